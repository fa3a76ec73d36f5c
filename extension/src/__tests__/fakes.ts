import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';

import { ApiError, IApi } from '../api/client';
import { ConnectionStatus, IEvents } from '../api/events';
import {
  IContainer,
  IContainerDetail,
  IImage,
  ILayer,
  IMetrics,
  ISession,
  ISessionLayers,
  ISubscription,
  ServerEvent
} from '../api/types';
import { IFront, IFrontNotebook, IStartsWith, KernelError } from '../model/front';
import { Actions } from '../model/actions';
import { Model } from '../model/model';
import { IContext, IHost } from '../views/host';

export const trans = nullTranslator.load('cellstack');

export const SESSION: ISession = {
  id: '5e5510000001',
  notebook: 'work/a.ipynb',
  image: 'f'.repeat(64),
  head: null,
  live: true,
  created: '2026-01-01T10:00:00Z',
  cells: 0,
  kernel_id: 'kernel-1'
};

export const IMAGE: IImage = {
  id: 'f'.repeat(64),
  tags: ['cellstack/default:latest'],
  created: '2026-01-01T09:00:00Z',
  size: 800 * 2 ** 20,
  layers: ['i1', 'i2'],
  in_use_by: [SESSION.id],
  shared_layers: {}
};

/** The n-th layer, a second after the one before. */
export function layer(n: number, parent: number | null, more: Partial<ILayer> = {}): ILayer {
  return {
    id: id(n),
    parent: parent === null ? null : id(parent),
    image: IMAGE.id,
    number: n,
    code: `x = ${n}`,
    created: new Date(Date.UTC(2026, 0, 1, 10, 0, n)).toISOString(),
    changes: { added: 1, changed: 0, deleted: 0 },
    bytes: 100,
    wall_seconds: 0.01,
    cpu_seconds: 0.01,
    memory_peak_bytes: 2 ** 20,
    memory_limit: 2 ** 30,
    status: 'ok',
    cache: 'off',
    tags: [],
    sessions: [],
    on_path: false,
    ...more
  };
}

export function id(n: number): string {
  return n.toString(16).padStart(32, '0');
}

export function container(name: string, more: Partial<IContainer> = {}): IContainer {
  return {
    id: name,
    session: SESSION.id,
    notebook: SESSION.notebook,
    status: 'running',
    image: IMAGE.id,
    command: 'x = 1',
    created: '2026-01-01T10:00:00Z',
    started: '2026-01-01T10:00:00Z',
    limits: {
      memory: 2 ** 30,
      cpus: 1,
      pids: 256,
      timeout: null,
      network: 'none',
      enforced_by: { memory: 'cgroup' }
    },
    cgroup: '/cellstack',
    pid: 100,
    ...more
  };
}

export function sample(name: string, time: number, more: Partial<IMetrics> = {}): IMetrics {
  return {
    id: name,
    time,
    memory: { bytes: 100 * 2 ** 20, limit: 2 ** 30, peak: null },
    cpu: { seconds: time / 2, limit: 1 },
    pids: { count: 3, limit: 256 },
    io: null,
    pressure: null,
    ...more
  };
}

/** Answers from what a test has put into it. */
export class FakeApi implements IApi {
  session = SESSION;
  allLayers: ILayer[] = [];
  allContainers: IContainer[] = [];
  allImages: IImage[] = [IMAGE];
  imageOfSession: IImage | null = IMAGE;
  detail: Partial<IContainerDetail> = {};
  failure: ApiError | null = null;
  calls: string[] = [];

  info = () =>
    this._give('info', {
      version: '0',
      home: '/home',
      disk_bytes: 2 ** 30,
      root: false,
      cgroup: 'v2' as const,
      userns: true,
      pressure: 'container' as const
    });
  sessions = () => this._give('sessions', [this.session]);
  layers = (session: string): Promise<ISessionLayers> =>
    this._give(`layers ${session}`, {
      session: this.session,
      head: this.session.head,
      layers: this.allLayers,
      image: this.imageOfSession
    });
  layer = (name: string) =>
    this._give(`layer ${name}`, {
      ...(this.allLayers.find(entry => entry.id === name) ?? layer(1, null)),
      ...CONTENTS
    });
  diff = (name: string, from: string) =>
    this._give(`diff ${name} ${from}`, { from, to: name, ...CONTENTS });
  file = (name: string, path: string) =>
    this._give(`file ${name} ${path}`, {
      path,
      size: 2,
      text: 'b\n',
      before: 'a\n',
      binary: false,
      truncated: false
    });
  downloadUrl = (name: string, path: string) => `/download/${name}${path}`;
  containers = () => this._give('containers', this.allContainers);
  container = (name: string) =>
    this._give(`container ${name}`, {
      ...(this.allContainers.find(entry => entry.id === name) ?? container(name)),
      processes: [],
      namespaces: [],
      ...this.detail
    });
  metrics = (name: string) => this._give(`metrics ${name}`, sample(name, 1));
  act = (name: string, action: string) => this._give(`${action} ${name}`, undefined);
  changeLimits = (name: string, change: object) =>
    this._give(`limits ${name} ${JSON.stringify(change)}`, container(name));
  openTerminal = (name: string) => this._give(`terminal ${name}`, 'cellstack-1');
  images = () => this._give('images', this.allImages);
  image = (name: string) => this._give(`image ${name}`, { ...IMAGE, history: [], config: {} });
  removeImage = (name: string) => this._give(`remove ${name}`, undefined);

  private async _give<T>(call: string, value: T): Promise<T> {
    this.calls.push(call);
    if (this.failure) {
      throw this.failure;
    }
    return value;
  }
}

const HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>';

const CONTENTS = {
  files: [
    { path: `/work/${HOSTILE}`, kind: 'added' as const, size: 10, type: 'file' as const },
    { path: '/work/b', kind: 'deleted' as const, size: null, type: 'file' as const },
    { path: '/work/d', kind: 'added' as const, size: null, type: 'directory' as const }
  ],
  files_total: 3,
  variables: [
    {
      name: HOSTILE,
      type: HOSTILE,
      size: 8,
      cell: 1,
      shared_with: [HOSTILE],
      not_carried: HOSTILE
    }
  ],
  variables_error: null
};

export class FakeEvents implements IEvents {
  readonly received = new Signal<this, ServerEvent>(this);
  readonly statusChanged = new Signal<this, ConnectionStatus>(this);
  status: ConnectionStatus = 'open';
  isDisposed = false;
  said: ISubscription[] = [];

  subscribe(wanted: ISubscription): void {
    this.said.push(wanted);
  }

  get last(): ISubscription | undefined {
    return this.said[this.said.length - 1];
  }

  tell(event: ServerEvent): void {
    this.received.emit(event);
  }

  become(status: ConnectionStatus): void {
    this.status = status;
    this.statusChanged.emit(status);
  }

  dispose(): void {
    this.isDisposed = true;
  }
}

export class FakeFront implements IFront {
  readonly changed = new Signal<this, void>(this);
  current: IFrontNotebook | null = {
    path: 'work/a.ipynb',
    kernel: 'ours',
    kernelId: 'kernel-1',
    kernelName: 'Python (Cellstack)',
    busy: false,
    cells: []
  };
  magics: string[] = [];
  /** What went into the notebook's metadata. */
  sets: IStartsWith[] = [];
  ranBelow: string[] = [];
  /** Layers that no cell has. */
  unknown: string[] = [];
  refuses: RegExp | null = null;

  async run(magic: string, sets?: IStartsWith): Promise<string> {
    this.magics.push(magic);
    if (this.refuses?.test(magic)) {
      throw new KernelError(`${magic} was refused`);
    }
    this.sets.push(...(sets ? [sets] : []));
    return `did ${magic}`;
  }

  below(name: string): () => Promise<void> {
    if (this.unknown.includes(name)) {
      throw new KernelError(`no cell has ${name}`);
    }
    return async () => {
      this.ranBelow.push(name);
    };
  }

  bring(notebook: IFrontNotebook | null): void {
    this.current = notebook;
    this.changed.emit();
  }
}

export interface IBench {
  api: FakeApi;
  events: FakeEvents;
  front: FakeFront;
  model: Model;
  actions: Actions;
  context: IContext;
  opened: string[];
}

/** A model over fakes, once it has fetched what it fetches at its start. */
export async function bench(
  prepare: (api: FakeApi, front: FakeFront) => void = () => undefined
): Promise<IBench> {
  const [api, events, front] = [new FakeApi(), new FakeEvents(), new FakeFront()];
  prepare(api, front);
  const model = new Model(api, events, front);
  const actions = new Actions(model, api, front, trans);
  await settled();
  const opened: string[] = [];
  const host: IHost = {
    openFile: (name, path) => opened.push(`${name} ${path}`),
    download: url => opened.push(url),
    showTerminal: (name, label) => opened.push(`terminal ${name} ${label}`),
    askText: async () => 'name:1',
    confirm: async () => true,
    copy: () => undefined
  };
  const context = { model, actions, host, trans };
  return { api, events, front, model, actions, context, opened };
}

/** Wait until all promises that need nothing from outside are done. */
export async function settled(): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, 0));
}
