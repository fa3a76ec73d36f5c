import { IMetrics } from '../api/types';

/** How many samples of a container are kept: two minutes at one each second. */
export const KEPT = 120;

export type History = readonly IMetrics[];

/** Return the history with a sample more. A sample that is not newer than the last one is dropped. */
export function extended(history: History, sample: IMetrics): History {
  const last = history[history.length - 1];
  if (last && sample.time <= last.time) {
    return history;
  }
  return [...history.slice(-(KEPT - 1)), sample];
}

export function lastOf(history: History | undefined): IMetrics | undefined {
  return history?.[history.length - 1];
}

export interface IPoint {
  time: number;
  value: number;
}

/** Return processors in use over time: 1.0 is one of them, busy all the time between two samples. */
export function cpuUse(history: History): IPoint[] {
  return rates(history, sample => sample.cpu.seconds);
}

/** Return bytes a second, read and written together. */
export function ioRate(history: History): IPoint[] {
  return rates(
    history.filter(sample => sample.io !== null),
    sample => sample.io!.read_bytes + sample.io!.written_bytes
  );
}

export function memoryUse(history: History): IPoint[] {
  return history.map(sample => ({ time: sample.time, value: sample.memory.bytes }));
}

export function processCount(history: History): IPoint[] {
  return history.map(sample => ({ time: sample.time, value: sample.pids.count }));
}

function rates(history: History, total: (sample: IMetrics) => number): IPoint[] {
  const points: IPoint[] = [];
  for (let i = 1; i < history.length; i++) {
    const seconds = history[i].time - history[i - 1].time;
    const used = total(history[i]) - total(history[i - 1]);
    points.push({ time: history[i].time, value: Math.max(0, used / seconds) });
  }
  return points;
}
