import * as React from 'react';

import { IPoint } from '../model/metrics';
import { useCellstack } from './host';

const WIDTH = 240;
const HEIGHT = 48;
/** Room above the largest value, so that a line there can be seen whole. */
const HEADROOM = 1.5;
/** A limit that is as many times the largest value is far: with its scale, nothing could be seen of the values. */
const FAR = 6;

/**
 * A measure over the last `seconds`, with its limit as a line.
 *
 * With a limit the scale is the limit's; with one that is far, and without one, it is that of the largest value, and at
 * least `least`. A limit that is far has no line, which would be near to the values: it is told, and so is the scale.
 */
export function Chart(props: {
  label: string;
  points: readonly IPoint[];
  limit: number | null;
  least: number;
  seconds: number;
  format: (value: number) => string;
  noData: string;
  /** Nothing is measured any more: the largest value is told in place of the last one. */
  isOver: boolean;
}): React.ReactElement {
  const { trans } = useCellstack();
  const { label, points, limit, least, seconds, format, noData, isOver } = props;
  const last = points[points.length - 1];
  const peak = points.reduce((most, point) => Math.max(most, point.value), 0);
  const isFar = limit !== null && Math.max(peak, least) * FAR < limit;
  const hasLine = limit !== null && !isFar;
  const top = Math.max(hasLine ? limit : least, peak);
  const now = last?.time ?? 0;
  const shown = points.filter(point => point.time >= now - seconds);
  const y = (value: number): number => HEIGHT - (value / top) * (HEIGHT - HEADROOM);
  const line = shown
    .map(
      point =>
        `${(WIDTH - ((now - point.time) / seconds) * WIDTH).toFixed(1)} ${y(point.value).toFixed(1)}`
    )
    .join('L');
  const first = shown[0] && WIDTH - ((now - shown[0].time) / seconds) * WIDTH;
  const value = last ? format(isOver ? peak : last.value) : noData;
  const isHigh = limit !== null && last !== undefined && last.value > limit * 0.9;
  return (
    <figure className={`cs-Chart${isHigh ? ' cs-mod-high' : ''}`}>
      <figcaption>
        <span className="cs-Chart-label">{label}</span>
        <span className="cs-Chart-value">{value}</span>
      </figcaption>
      <div className="cs-Chart-scale" aria-hidden="true">
        {!hasLine && <span title={trans.__('the upper edge of the chart')}>{format(top)}</span>}
        {limit !== null && (
          <span className="cs-Chart-limitText">{trans.__('of %1', format(limit))}</span>
        )}
      </div>
      <svg
        role="img"
        aria-label={
          limit === null
            ? `${label}: ${value}`
            : `${label}: ${trans.__('%1 of %2', value, format(limit))}`
        }
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
      >
        {hasLine && <path className="cs-Chart-limit" d={`M0 ${y(limit)}H${WIDTH}`} />}
        {shown.length > 1 && (
          <>
            <path className="cs-Chart-area" d={`M${line}V${HEIGHT}H${first.toFixed(1)}Z`} />
            <path className="cs-Chart-line" d={`M${line}`} />
          </>
        )}
      </svg>
    </figure>
  );
}
