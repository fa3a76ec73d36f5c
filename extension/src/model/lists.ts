import {
  ContainerStatus,
  IContainer,
  IImage,
  ILayer,
  ISession,
  ISessionLayers
} from '../api/types';
import { short, visible } from './format';
import { IFrontNotebook } from './front';
import { pathOf } from './graph';

/** How many containers that have ended are listed. */
const ENDED_KEPT = 50;

/** Return the session that a notebook's kernel has, else the last one of its file; null when there is none. */
export function sessionOf(
  notebook: Pick<IFrontNotebook, 'kernelId' | 'path'>,
  all: readonly ISession[]
): ISession | null {
  const last = (found: ISession[]): ISession | null =>
    found.sort(
      (a, b) => Number(b.live) - Number(a.live) || b.created.localeCompare(a.created)
    )[0] ?? null;
  const { kernelId, path } = notebook;
  const own = kernelId === null ? [] : all.filter(session => session.kernel_id === kernelId);
  return last(own) ?? last(all.filter(session => session.notebook === path));
}

/** Return the session's layers with head where it is now. */
export function withHead(data: ISessionLayers, head: string | null): ISessionLayers {
  const path = pathOf(data.layers, head);
  const layers = data.layers.map(layer =>
    layer.on_path === path.has(layer.id) ? layer : { ...layer, on_path: path.has(layer.id) }
  );
  return { ...data, head, layers };
}

/** Return the session's layers with one that is new, and with head where it is now. */
export function withLayer(
  data: ISessionLayers,
  layer: ILayer,
  head: string | null
): ISessionLayers {
  return withHead(
    { ...data, layers: [...data.layers.filter(old => old.id !== layer.id), layer] },
    head
  );
}

/** Return containers with one that is new or has changed, in order. */
export function withContainer(all: readonly IContainer[], container: IContainer): IContainer[] {
  return sorted([container, ...all.filter(other => other.id !== container.id)]);
}

/** Return containers, those that run first, each kind with the newest first; of ended ones only the last. */
export function sorted(all: readonly IContainer[]): IContainer[] {
  const of = (status: ContainerStatus): IContainer[] =>
    all.filter(container => container.status === status).sort(newest);
  // One that was prepared and thrown away before a cell came is of no interest, nor is one whose cell was empty.
  const ended = of('ended').filter(
    container => container.started !== null && container.command.trim() !== ''
  );
  return [...of('running'), ...of('paused'), ...of('waiting'), ...ended.slice(0, ENDED_KEPT)];
}

/** Return the name of an image, or its id as people know it when it has none. */
export function imageName(id: string, images: readonly (IImage | null)[]): string {
  return visible(images.find(image => image?.id === id)?.tags[0] ?? short(id));
}

function newest(a: IContainer, b: IContainer): number {
  return b.created.localeCompare(a.created);
}
