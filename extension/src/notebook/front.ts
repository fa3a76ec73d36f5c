import { ISessionContext } from '@jupyterlab/apputils';
import { Cell, CodeCell } from '@jupyterlab/cells';
import { INotebookTracker, Notebook, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { Kernel, KernelMessage } from '@jupyterlab/services';
import { TranslationBundle } from '@jupyterlab/translation';
import { ISignal, Signal } from '@lumino/signaling';

import { ICellRun, IFront, IFrontNotebook, IStartsWith, KernelError } from '../model/front';
import { METADATA, recordOf } from './record';

/** What the kernel calls itself in its answer to kernel_info_request. */
const IMPLEMENTATION = 'cellstack';

/** A kernel that was quiet for longer may have given back what waits for its next cell, and makes it anew when asked. */
const QUIET = 5 * 60_000; // milliseconds

/** Each key that is typed changes the notebook: what its cells have kept is read once for many. */
const READ_AFTER = 200; // milliseconds

/** Asks the person what the kernel wants to know; null when the person does not answer. */
export type Ask = (prompt: string, password: boolean) => Promise<string | null>;

/** The notebook in front of JupyterLab's window. */
export class NotebookFront implements IFront {
  constructor(
    private readonly _tracker: INotebookTracker,
    private readonly _trans: TranslationBundle,
    private readonly _ask: Ask
  ) {
    _tracker.currentChanged.connect(this._onCurrent, this);
    this._onCurrent();
  }

  get current(): IFrontNotebook | null {
    return this._current;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  async run(magic: string, sets?: IStartsWith): Promise<string> {
    const file = this._file; // another one may come to the front before the kernel has answered
    const kernel = this._context?.session?.kernel;
    if (!kernel || this._current?.kernel !== 'ours') {
      throw new KernelError(
        this._trans.__('The notebook in front has no Cellstack kernel that runs')
      );
    }
    const shown = await runMagic(kernel, magic, this._ask);
    if (sets && file && !file.isDisposed) {
      const old = (file.model.getMetadata(METADATA) ?? {}) as IStartsWith;
      const limits = { ...old.limits, ...sets.limits };
      file.model.setMetadata(METADATA, { ...old, ...sets, ...(sets.limits && { limits }) });
    }
    return shown;
  }

  /** Have the kernel make ready: a person does something, and may run a cell next. */
  stir(): void {
    const kernel = this._context?.session?.kernel;
    if (kernel && this._current?.kernel === 'ours' && Date.now() - this._heard > QUIET) {
      this._heard = Date.now();
      kernel.requestKernelInfo().catch(() => undefined); // a kernel that has just gone says so elsewhere
    }
  }

  below(layer: string): () => Promise<void> {
    const context = this._context ?? undefined;
    const notebook = this._panel?.content;
    const index =
      notebook?.widgets.findIndex(cell => runOf(cell).some(run => run.layer === layer)) ?? -1;
    if (!notebook || index === -1) {
      throw new KernelError(
        this._trans.__('No cell of this notebook has that layer as its result')
      );
    }
    const made = notebook.widgets[index];
    return async () => {
      const next = notebook.widgets.indexOf(made) + 1;
      if (next > 0 && next < notebook.widgets.length) {
        notebook.deselectAll();
        notebook.activeCellIndex = next;
        await NotebookActions.runAllBelow(notebook, context);
      }
    };
  }

  private get _panel(): NotebookPanel | null {
    return this._tracker.currentWidget;
  }

  private _onCurrent(): void {
    const file = this._panel?.context ?? null;
    if (file !== this._file) {
      this._file?.pathChanged.disconnect(this._update, this);
      this._file = file;
      file?.pathChanged.connect(this._update, this);
    }
    const context = this._panel?.sessionContext ?? null;
    if (context !== this._context) {
      this._disconnect();
      this._context = context;
      this._heard = 0;
      this._content = this._panel?.content ?? null;
      this._content?.modelContentChanged.connect(this._onContent, this);
      context?.kernelChanged.connect(this._onKernel, this);
      context?.statusChanged.connect(this._onStatus, this);
      context?.disposed.connect(this._disconnect, this);
    }
    this._onKernel();
  }

  private _disconnect(): void {
    this._content?.modelContentChanged.disconnect(this._onContent, this);
    this._content = null;
    this._context?.kernelChanged.disconnect(this._onKernel, this);
    this._context?.statusChanged.disconnect(this._onStatus, this);
    this._context?.disposed.disconnect(this._disconnect, this);
    this._context = null;
  }

  private _onKernel(): void {
    const kernel = this._context?.session?.kernel ?? null;
    if (kernel?.id !== this._asked) {
      this._asked = kernel?.id;
      this._kind = 'starting';
      void isOurs(kernel).then(ours => {
        if (kernel?.id === this._asked) {
          this._kind = kernel === null ? 'none' : ours ? 'ours' : 'other';
          this._update();
        }
      });
    }
    this._update();
  }

  private _onStatus(): void {
    this._heard = Date.now();
    this._update();
  }

  private _onContent(): void {
    this._reading ??= setTimeout(() => {
      this._reading = null;
      this._update();
    }, READ_AFTER);
  }

  private _update(): void {
    const panel = this._panel;
    const kernel = this._context?.session?.kernel ?? null;
    const next: IFrontNotebook | null = panel && {
      path: panel.context.localPath,
      kernel: kernel === null ? 'none' : this._kind,
      kernelId: kernel?.id ?? null,
      kernelName: this._context?.kernelDisplayName ?? '',
      busy: kernel?.status === 'busy',
      cells: panel.content.widgets.flatMap(runOf)
    };
    if (JSON.stringify(next) !== JSON.stringify(this._current)) {
      this._current = next;
      this._changed.emit();
    }
  }

  private _asked: string | null | undefined;
  private _changed = new Signal<this, void>(this);
  private _content: Notebook | null = null;
  private _context: ISessionContext | null = null;
  private _current: IFrontNotebook | null = null;
  private _file: NotebookPanel['context'] | null = null;
  /** When the kernel did something last, milliseconds since 1970. */
  private _heard = 0;
  private _kind: 'ours' | 'other' | 'starting' | 'none' = 'none';
  private _reading: ReturnType<typeof setTimeout> | null = null;
}

/** Whether a kernel is one of ours; waits until it has said what it is. */
export async function isOurs(kernel: Kernel.IKernelConnection | null): Promise<boolean> {
  return kernel !== null && (await kernel.info).implementation === IMPLEMENTATION;
}

/** Return what a cell has kept of its last run, if it has. */
function runOf(cell: Cell): ICellRun[] {
  const record = cell instanceof CodeCell ? recordOf(cell.model) : null;
  if (!record) {
    return [];
  }
  const { status, number, container, layer, reason } = record;
  return [{ status, number, container, layer, reason }];
}

/**
 * Let a kernel answer a magic, outside of the notebook's cells and of its history.
 *
 * Returns what it showed, as text. Rejects with a KernelError that has the kernel's own sentence.
 */
export async function runMagic(
  kernel: Kernel.IKernelConnection,
  code: string,
  ask: Ask
): Promise<string> {
  const future = kernel.requestExecute({
    code,
    silent: false,
    store_history: false,
    allow_stdin: true,
    stop_on_error: false
  });
  const shown: string[] = [];
  future.onIOPub = message => {
    if (KernelMessage.isDisplayDataMsg(message)) {
      const text = message.content.data['text/plain'];
      shown.push(Array.isArray(text) ? text.join('') : String(text ?? ''));
    }
  };
  future.onStdin = async message => {
    if (KernelMessage.isInputRequestMsg(message)) {
      const { prompt, password } = message.content;
      const value = (await ask(prompt, password)) ?? '';
      future.sendInputReply({ status: 'ok', value }, message.header);
    }
  };
  const { content } = await future.done;
  if (content.status === 'error') {
    throw new KernelError(content.evalue);
  }
  if (content.status !== 'ok') {
    throw new KernelError(`${code.split(' ')[0]}: ${content.status}`);
  }
  return shown.join('\n');
}
