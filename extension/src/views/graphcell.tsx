import * as React from 'react';

import { IEdge, IRow } from '../model/graph';

const LANE = 13;
const LEFT = 11;
/** More lanes than these are drawn on top of each other. */
const SHOWN = 6;

/** The piece of the graph that belongs to one row. It tells nothing that the row's text does not. */
export function GraphCell(props: {
  row: IRow;
  width: number;
  height: number;
  failed: boolean;
}): React.ReactElement {
  const { row, width, height, failed } = props;
  const x = laneX(row.lane);
  const y = height / 2;
  const classes = ['cs-Graph-node'];
  if (row.layer.on_path) {
    classes.push('cs-mod-path');
  }
  if (failed) {
    classes.push('cs-mod-failed');
  }
  return (
    <svg
      className="cs-Graph"
      aria-hidden="true"
      width={graphWidth(width)}
      height={height}
      viewBox={`0 0 ${graphWidth(width)} ${height}`}
    >
      <path className="cs-Graph-edge" d={paths(row.edges, false, height)} />
      <path className="cs-Graph-edge cs-mod-path" d={paths(row.edges, true, height)} />
      {row.isHead && <circle className="cs-Graph-halo" cx={x} cy={y} r={8} />}
      <circle className={classes.join(' ')} cx={x} cy={y} r={4.5} />
    </svg>
  );
}

function graphWidth(lanes: number): number {
  return LEFT * 2 + LANE * (Math.min(lanes, SHOWN) - 1);
}

function laneX(lane: number): number {
  return LEFT + LANE * Math.min(lane, SHOWN - 1);
}

/** Return all edges of one colour as one path: few elements are quick to draw. */
function paths(edges: readonly IEdge[], onPath: boolean, height: number): string {
  return edges
    .filter(edge => edge.onPath === onPath)
    .map(edge => path(edge, height))
    .join('');
}

function path(edge: IEdge, height: number): string {
  const top = edge.part === 'out' ? height / 2 : 0;
  const bottom = edge.part === 'into' ? height / 2 : height;
  const [from, to] = [laneX(edge.from), laneX(edge.to)];
  if (from === to) {
    return `M${from} ${top}V${bottom}`;
  }
  const middle = (top + bottom) / 2;
  return `M${from} ${top}C${from} ${middle} ${to} ${middle} ${to} ${bottom}`;
}
