import { ICodeCellModel } from '@jupyterlab/cells';

import { IRecord } from '../api/types';

/** The entry of a cell's metadata that keeps what its last run was; of a notebook's, with what its kernel starts. */
export const METADATA = 'cellstack';

/** What is kept of a cell's record in the notebook: little, and nothing of this machine. */
export interface IKeptRecord {
  status: IRecord['status'];
  number: number | null;
  container: string | null;
  layer: string | null;
  /** Whether the run left a layer of its own. */
  committed: boolean;
  changes: { added: number; changed: number; deleted: number };
  wall_seconds: number;
  memory_peak_bytes: number;
  memory_limit: number | null;
  /** How it ended: "finished", "exception", "interrupt", "oom", "timeout", "signal" or "pids". */
  reason: string;
  signal: string | null;
  /** The limit that it was killed by, in the units of the record; null when there was none. */
  limit: number | null;
  cache: IRecord['cache'];
}

const LIMIT_OF: { [reason: string]: 'memory' | 'timeout' | 'pids' } = {
  oom: 'memory',
  timeout: 'timeout',
  pids: 'pids'
};

/** Return which of the limits a run ended by; null when it was none. */
export function limitOf(reason: string): 'memory' | 'timeout' | 'pids' | null {
  return LIMIT_OF[reason] ?? null;
}

/** Return what of a record is kept with the notebook; null for a cell for which no container ran. */
export function kept(record: IRecord): IKeptRecord | null {
  if (record.wall_seconds === 0 && !record.host?.pid && record.cache !== 'hit') {
    return null;
  }
  const { reason, signal } = record.exit;
  const limit = limitOf(reason);
  return {
    status: record.status,
    number: record.execution_count,
    container: record.container ?? null,
    layer: record.layer,
    committed: record.layer !== null && record.layer !== record.parent,
    changes: record.changes,
    wall_seconds: record.wall_seconds,
    memory_peak_bytes: record.memory_peak_bytes,
    memory_limit: record.limits.memory,
    reason,
    signal,
    limit: limit && record.limits[limit],
    cache: record.cache
  };
}

/**
 * Return what a cell's metadata says of its last run; null when it says nothing, or nothing that can be read.
 *
 * A notebook is anybody's: what is not of the right kind is not taken.
 */
export function recordOf(model: ICodeCellModel): IKeptRecord | null {
  return parseRecord(model.getMetadata(METADATA));
}

export function parseRecord(value: unknown): IKeptRecord | null {
  if (typeof value !== 'object' || value === null) {
    return null;
  }
  const entry = value as { [name: string]: unknown };
  const status = entry.status;
  if (status !== 'ok' && status !== 'error' && status !== 'killed') {
    return null;
  }
  const changes = (entry.changes ?? {}) as { [name: string]: unknown };
  const cache = entry.cache;
  return {
    status,
    number: numberOr(entry.number, null),
    container: textOr(entry.container, null),
    layer: textOr(entry.layer, null),
    committed: entry.committed === true,
    changes: {
      added: numberOr(changes.added, 0),
      changed: numberOr(changes.changed, 0),
      deleted: numberOr(changes.deleted, 0)
    },
    wall_seconds: numberOr(entry.wall_seconds, 0),
    memory_peak_bytes: numberOr(entry.memory_peak_bytes, 0),
    memory_limit: numberOr(entry.memory_limit, null),
    reason: textOr(entry.reason, '') ?? '',
    signal: textOr(entry.signal, null),
    limit: numberOr(entry.limit, null),
    cache: cache === 'hit' || cache === 'miss' ? cache : 'off'
  };
}

function numberOr<T>(value: unknown, otherwise: T): number | T {
  return typeof value === 'number' && isFinite(value) && value >= 0 ? value : otherwise;
}

function textOr<T>(value: unknown, otherwise: T): string | T {
  return typeof value === 'string' ? value.slice(0, 500) : otherwise;
}
