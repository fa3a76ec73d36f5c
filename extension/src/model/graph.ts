import { ILayer } from '../api/types';

/** One line of a row of the graph: from the row's top to its bottom, or from or to its node. */
export interface IEdge {
  from: number;
  to: number;
  part: 'through' | 'into' | 'out';
  /** Head reaches what it leads to. */
  onPath: boolean;
}

export interface IRow {
  layer: ILayer;
  lane: number;
  edges: IEdge[];
  isHead: boolean;
  /** Other layers start from this one, too: how many. */
  children: number;
  /** It stands on another image than the one that is below the graph. */
  isElsewhere: boolean;
  /** The first layer after a kernel was started anew, of those that have layers of an earlier kernel below them. */
  startsRun: boolean;
}

export interface IGraph {
  rows: IRow[];
  /** How many lanes are used at most. */
  width: number;
}

/** The parent that layers on the bare image have. */
const IMAGE = '';

/**
 * Lay layers out as a graph, the newest first and `image` below those that stand on it; null: below all of them.
 *
 * Guarantees: a layer's row is above its parent's; what head reaches is in lane 0.
 */
export function layOut(
  layers: readonly ILayer[],
  head: string | null,
  image: string | null = null
): IGraph {
  const path = pathOf(layers, head);
  const children = countChildren(layers);
  const lanes: (string | null)[] = [];
  const rows: IRow[] = [];
  const ordered = newestFirst(layers);
  const byId = new Map(layers.map(layer => [layer.id, layer]));
  let width = 1;
  for (const [index, layer] of ordered.entries()) {
    const before = lanes.slice();
    let lane = lanes.indexOf(layer.id);
    if (lane === -1) {
      lane = path.has(layer.id) ? 0 : freeLane(lanes);
    }
    for (let other = 0; other < lanes.length; other++) {
      if (lanes[other] === layer.id) {
        lanes[other] = null;
      }
    }
    const isElsewhere = layer.parent === null && image !== null && layer.image !== image;
    const parent = layer.parent ?? IMAGE;
    const wanted = path.has(layer.id) ? 0 : lane;
    const there = lanes.indexOf(parent);
    if (!isElsewhere && (there === -1 || wanted === 0)) {
      if (there > 0) {
        lanes[there] = null;
      }
      while (lanes.length <= wanted) {
        lanes.push(null);
      }
      lanes[wanted] = parent;
    }
    const edges: IEdge[] = [];
    before.forEach((id, from) => {
      if (id === layer.id) {
        edges.push({ from, to: lane, part: 'into', onPath: path.has(id) && from === 0 });
      } else if (id !== null) {
        const to = lanes.indexOf(id);
        edges.push({ from, to, part: 'through', onPath: from === 0 && to === 0 && path.size > 0 });
      }
    });
    if (!isElsewhere) {
      const to = lanes.indexOf(parent);
      edges.push({ from: lane, to, part: 'out', onPath: path.has(layer.id) });
    }
    rows.push({
      layer,
      lane,
      edges,
      isHead: layer.id === head,
      children: children.get(layer.id) ?? 0,
      isElsewhere,
      startsRun:
        isCountedAnew(layer, ordered[index + 1]) &&
        (layer.parent === null || isCountedAnew(layer, byId.get(layer.parent)))
    });
    width = Math.max(width, lanes.length, lane + 1);
    while (lanes.length && lanes[lanes.length - 1] === null) {
      lanes.pop();
    }
  }
  return { rows, width };
}

/** Return the ids of the layers that head stands on, itself among them. */
export function pathOf(layers: readonly ILayer[], head: string | null): Set<string> {
  const byId = new Map(layers.map(layer => [layer.id, layer]));
  const path = new Set<string>();
  for (let id = head; id !== null && byId.has(id) && !path.has(id); id = byId.get(id)!.parent) {
    path.add(id);
  }
  return path;
}

/**
 * Whether cells are counted anew from `layer` on. Cells that ran beside each other may have left their layers in another
 * order than they have numbers, but none has a smaller number than the one whose layer it started from.
 */
function isCountedAnew(layer: ILayer, before: ILayer | undefined): boolean {
  return before !== undefined && (layer.number ?? Infinity) <= (before.number ?? 0);
}

/** Lane 0 is kept for what head reaches. */
function freeLane(lanes: readonly (string | null)[]): number {
  const free = lanes.indexOf(null, 1);
  return free === -1 ? Math.max(lanes.length, 1) : free;
}

function countChildren(layers: readonly ILayer[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { parent } of layers) {
    if (parent !== null) {
      counts.set(parent, (counts.get(parent) ?? 0) + 1);
    }
  }
  return counts;
}

/** Order by age, but no layer below its parent, whatever the clocks said. */
function newestFirst(layers: readonly ILayer[]): ILayer[] {
  const oldestFirst = layers
    .map((layer, index) => ({ layer, index }))
    .sort((a, b) => a.layer.created.localeCompare(b.layer.created) || a.index - b.index)
    .map(entry => entry.layer);
  const byId = new Map(layers.map(layer => [layer.id, layer]));
  const placed = new Set<string>();
  const ordered: ILayer[] = [];
  for (const layer of oldestFirst) {
    const chain: ILayer[] = [];
    let next: ILayer | undefined = layer;
    while (next && !placed.has(next.id)) {
      placed.add(next.id);
      chain.push(next);
      next = next.parent === null ? undefined : byId.get(next.parent);
    }
    ordered.push(...chain.reverse());
  }
  return ordered.reverse();
}
