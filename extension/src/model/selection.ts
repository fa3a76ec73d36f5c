export const TABS = ['layers', 'containers', 'namespaces', 'images'] as const;
export type Tab = (typeof TABS)[number];

/** What is open and selected: what a reload brings back. */
export interface ISelection {
  readonly tab: Tab;
  readonly layer: string | null;
  /** A second layer, that `layer` is compared with. */
  readonly against: string | null;
  readonly container: string | null;
  readonly image: string | null;
}

/** The image in `diff?from=`: the comparison starts below all layers. */
export const FROM_IMAGE = 'image';

export const NOTHING_SELECTED: ISelection = {
  tab: 'layers',
  layer: null,
  against: null,
  container: null,
  image: null
};
