/**
 * What the server extension sends, as JSON. Sizes are bytes, times seconds, dates ISO 8601 in UTC.
 *
 * Names, code, paths, types and reprs come out of containers: they may be anything, and are shown as text only.
 */

export interface ISession {
  id: string;
  /** Relative to the server's root; null for a session without a file there. */
  notebook: string | null;
  image: string;
  head: string | null;
  live: boolean;
  created: string;
  cells: number;
  kernel_id: string | null;
}

export interface IChanges {
  added: number;
  changed: number;
  deleted: number;
}

export interface ILayer {
  id: string;
  parent: string | null;
  /** What it and those below it stand on; null for a layer that is an image's own. */
  image: string | null;
  number: number | null;
  code: string;
  created: string;
  changes: IChanges;
  bytes: number;
  wall_seconds: number | null;
  cpu_seconds: number | null;
  memory_peak_bytes: number | null;
  memory_limit: number | null;
  status: 'ok' | 'error' | null;
  cache: 'hit' | 'miss' | 'off' | null;
  tags: string[];
  sessions: string[];
  on_path: boolean;
}

export type Kind = 'added' | 'changed' | 'deleted';

export interface IFile {
  path: string;
  kind: Kind;
  size: number | null;
  type: 'file' | 'directory' | 'link' | 'other';
}

export interface IVariable {
  name: string;
  type: string;
  size: number | null;
  cell: number | null;
  shared_with: string[];
  not_carried: string | null;
  /** Only in a comparison. */
  kind?: Kind;
}

export interface IContents {
  files: IFile[];
  files_total: number;
  variables: IVariable[];
  /** Why the variables cannot be read: a cell may have damaged them. */
  variables_error: string | null;
}

export interface ILayerDetail extends ILayer, IContents {}

export interface IDiff extends IContents {
  from: string | null;
  to: string;
}

export interface IFileText {
  path: string;
  /** null when the layer has deleted it; `text` is, too. */
  size: number | null;
  text: string | null;
  before: string | null;
  binary: boolean;
  truncated: boolean;
}

export interface IImage {
  id: string;
  tags: string[];
  created: string;
  size: number;
  layers: string[];
  in_use_by: string[];
  shared_layers: { [image: string]: number };
}

export interface IImageHistory {
  layer: string;
  created: string;
  bytes: number;
  created_by: string;
}

export interface IImageDetail extends IImage {
  history: IImageHistory[];
  config: { [name: string]: unknown };
}

export interface ISessionLayers {
  session: ISession;
  head: string | null;
  layers: ILayer[];
  /** null as long as the kernel has not made or found it. */
  image: IImage | null;
}

export interface ILimits {
  memory: number | null;
  cpus: number | null;
  pids: number | null;
  timeout: number | null;
  network: string;
  enforced_by: { [limit: string]: string };
}

export type ContainerStatus = 'waiting' | 'running' | 'paused' | 'ended';

export interface IContainer {
  id: string;
  session: string | null;
  notebook: string | null;
  status: ContainerStatus;
  image: string;
  command: string;
  created: string;
  started: string | null;
  limits: ILimits;
  cgroup: string | null;
  pid: number | null;
  /** Of one that has ended, as far as it is known. reason: as in an ExitReport. code: what docker would show. */
  ended?: string;
  exit?: { reason: string; code: number };
}

export interface IProcess {
  pid: number;
  ppid: number;
  pid_inside: number | null;
  command: string;
  memory: number | null;
  cpu_seconds: number | null;
}

export type NamespaceKind = 'user' | 'mnt' | 'pid' | 'net' | 'ipc' | 'uts' | 'cgroup' | 'time';

/** What a namespace shows to those in it; which of these are there depends on its kind. */
export interface IInside {
  hostname?: string;
  mounts?: { target: string; source: string; type: string; options: string }[];
  interfaces?: { name: string; addresses: string[]; up: boolean }[];
  processes?: number;
  /** [first id inside, first id outside, how many] */
  uid_map?: [number, number, number][];
  gid_map?: [number, number, number][];
  path?: string;
  offsets?: unknown;
}

export interface INamespace {
  kind: NamespaceKind;
  inode: number;
  host_inode: number;
  previous_inode: number | null;
  isolates: string;
  inside: IInside;
}

export interface IContainerDetail extends IContainer {
  processes: IProcess[];
  namespaces: INamespace[];
}

export interface IMetrics {
  id: string;
  /** Seconds since the epoch, with fractions. */
  time: number;
  memory: { bytes: number; limit: number | null; peak: number | null };
  cpu: { seconds: number; limit: number | null };
  pids: { count: number; limit: number | null };
  io: { read_bytes: number; written_bytes: number } | null;
  /** Share of the last 10 seconds in which some process waited, in percent. */
  pressure: { memory: number | null; cpu: number | null; io: number | null } | null;
}

export interface IInfo {
  version: string;
  home: string;
  disk_bytes: number;
  root: boolean;
  cgroup: 'v1' | 'v2' | null;
  userns: boolean;
  /** Whose pressure the kernel counts: with version 1 of cgroups only the machine's, so that `IMetrics` has none. */
  pressure: 'container' | 'machine' | null;
}

export type ServerEvent =
  | { type: 'session'; session: ISession }
  | { type: 'layer'; session: string; layer: ILayer; head: string | null }
  | { type: 'container'; container: IContainer }
  | { type: 'metrics'; metrics: IMetrics[] }
  /** Images, or their names, have changed. */
  | { type: 'images' }
  /** What is fetched from now on misses nothing of what was subscribed. */
  | { type: 'subscribed' }
  | { type: 'reset' };

export interface ISubscription {
  sessions: string[] | 'all';
  containers: string[] | 'all';
  /** Seconds between samples, 0.5 to 60. */
  interval: number;
}

/** The record of a cell run, as the kernel puts it into a reply's metadata. */
export interface IRecord {
  status: 'ok' | 'error' | 'killed';
  execution_count: number | null;
  layer: string | null;
  parent: string | null;
  changes: IChanges;
  bytes: number;
  wall_seconds: number;
  cpu_seconds: number;
  memory_peak_bytes: number;
  exit: { reason: string; signal: string | null };
  limits: ILimits;
  host: { pid: number | null; cgroup: string | null };
  cache: 'hit' | 'miss' | 'off';
  container?: string | null;
}
