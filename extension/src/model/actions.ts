import { TranslationBundle } from '@jupyterlab/translation';

import { ContainerAction, IApi, ILimitChange } from '../api/client';
import { asOption } from './format';
import { IFront, IStartsWith, KernelError } from './front';
import { Model } from './model';
import { IProblem, IReadable, problemOf, Store } from './store';

/** How long it is shown that something went well. */
const DONE_MS = 8000;

export interface INotice extends IProblem {
  readonly kind: 'done' | 'failed';
}

/**
 * What the person does in the panel, and how it went.
 *
 * What changes a session is asked of the notebook's kernel, which answers when its cells are done; all else is asked of
 * the server. One thing of each is done at a time: a cell that runs can be stopped while the kernel is waited for.
 */
export class Actions {
  constructor(
    private readonly _model: Model,
    private readonly _api: IApi,
    private readonly _front: IFront,
    private readonly _trans: TranslationBundle
  ) {}

  /** How the last action went. */
  get notice(): IReadable<INotice | null> {
    return this._notice;
  }

  /** Whether the kernel has been asked and has not answered yet. */
  get waitsForKernel(): IReadable<boolean> {
    return this._waitsForKernel;
  }

  /** Whether the server has been asked and has not answered yet. */
  get waitsForServer(): IReadable<boolean> {
    return this._waitsForServer;
  }

  /** Show a sentence to the person. */
  tell(notice: INotice): void {
    this._notice.set(notice);
    if (notice.kind === 'done') {
      // It is soon no longer true: more cells run.
      setTimeout(() => this._notice.value === notice && this._notice.set(null), DONE_MS);
    }
  }

  clearNotice(): void {
    this._notice.set(null);
  }

  // -- asked of the kernel

  checkout(layer: string): Promise<boolean> {
    return this._magic(() => `%checkout ${word(layer, this._trans)}`);
  }

  undo(): Promise<boolean> {
    return this._magic(() => '%undo');
  }

  /** Make a layer an image with a name; in one request, so that no cell runs meanwhile from another head. */
  tag(layer: string, name: string): Promise<boolean> {
    return this._magic(() => `%tag ${word(name, this._trans)} ${word(layer, this._trans)}`);
  }

  /** Choose the image of the notebook, from its following cells on. */
  useImage(ref: string): Promise<boolean> {
    return this._set(() => `%image ${word(ref, this._trans)}`, { image: ref });
  }

  /** Change the limits of the notebook, from its following cells on; null is no limit. */
  setLimits(change: ILimitChange & { timeout?: number | null }): Promise<boolean> {
    const limits: { [name: string]: string } = {};
    for (const [name, value] of Object.entries(change)) {
      limits[name] = value === null ? 'none' : name === 'memory' ? asOption(value) : String(value);
    }
    const options = Object.entries(limits).map(([name, text]) => `${name}=${text}`);
    return this._set(() => `%limits ${options.join(' ')}`, { limits });
  }

  /** Go to a layer and run the cells below the one that made it. */
  async runFrom(layer: string): Promise<void> {
    try {
      const run = this._front.below(layer);
      if (await this.checkout(layer)) {
        await run();
      }
    } catch (error) {
      this.tell({ kind: 'failed', ...problemOf(error) });
    }
  }

  // -- asked of the server

  act(container: string, action: ContainerAction): Promise<boolean> {
    return this._do(this._waitsForServer, () => this._api.act(container, action));
  }

  changeLimits(container: string, change: ILimitChange): Promise<boolean> {
    return this._do(this._waitsForServer, async () =>
      this._model.putContainer(await this._api.changeLimits(container, change))
    );
  }

  /** Start a terminal inside a container; returns its name, null when there is none. */
  async openTerminal(container: string): Promise<string | null> {
    let name: string | null = null;
    await this._do(this._waitsForServer, async () => {
      name = await this._api.openTerminal(container);
    });
    return name;
  }

  async removeImage(id: string): Promise<boolean> {
    const done = await this._do(this._waitsForServer, () => this._api.removeImage(id));
    if (done) {
      this._model.select({ image: null });
    }
    return done;
  }

  private _set(code: () => string, sets: IStartsWith): Promise<boolean> {
    return this._do(this._waitsForKernel, async () => {
      const said = await this._front.run(code(), sets);
      const kept = this._trans.__('Save the notebook, and it has this also after a restart.');
      return `${said.trim()} ${kept}`;
    });
  }

  private _magic(code: () => string): Promise<boolean> {
    return this._do(this._waitsForKernel, () => this._front.run(code()));
  }

  /** Do something, and tell how it went; what it returns, if it is a text, is shown. */
  private async _do(waits: Store<boolean>, action: () => Promise<string | void>): Promise<boolean> {
    waits.set(true);
    this._notice.set(null);
    try {
      const message = (await action())?.trim();
      if (message) {
        this.tell({ kind: 'done', message, hint: null });
      }
      return true;
    } catch (error) {
      this.tell({ kind: 'failed', ...problemOf(error) });
      return false;
    } finally {
      waits.set(false);
    }
  }

  private _notice = new Store<INotice | null>(null);
  private _waitsForKernel = new Store(false);
  private _waitsForServer = new Store(false);
}

/** Return a text as one word of a magic; a KernelError for what could end its line. */
export function word(text: string, trans: TranslationBundle): string {
  if (!/^[\w.:/@~-]+$/.test(text) || text.startsWith('-')) {
    throw new KernelError(trans.__('%1 is not a name', JSON.stringify(text)));
  }
  return text;
}
