export const TABS = ['layers', 'containers', 'namespaces', 'images'] as const;
export type Tab = (typeof TABS)[number];

/** What is open and selected: what a reload brings back. */
export interface ISelection {
  readonly tab: Tab;
  /** The notebook whose `layer` and `against` are: the last one that was in front. */
  readonly notebook: string | null;
  readonly layer: string | null;
  /** A second layer, that `layer` is compared with. */
  readonly against: string | null;
  readonly container: string | null;
  readonly image: string | null;
}

/** What is selected among the layers of one notebook. shown: the layer that one of its lines led to. */
export interface ISelectedLayers extends Pick<ISelection, 'layer' | 'against'> {
  readonly shown: string | null;
}

export const NO_LAYER_SELECTED: ISelectedLayers = { layer: null, against: null, shown: null };

/** The image in `diff?from=`: the comparison starts below all layers. */
export const FROM_IMAGE = 'image';

export const NOTHING_SELECTED: ISelection = {
  tab: 'layers',
  notebook: null,
  layer: null,
  against: null,
  container: null,
  image: null
};
