import { CodeCell, CodeCellModel, ICodeCellModel } from '@jupyterlab/cells';
import { NotebookPanel } from '@jupyterlab/notebook';
import { Kernel, KernelMessage } from '@jupyterlab/services';
import { JSONExt } from '@lumino/coreutils';
import { IDisposable } from '@lumino/disposable';
import { Widget } from '@lumino/widgets';

import { IRecord } from '../api/types';

type Outputs = ICodeCellModel['outputs'];
type Output = ReturnType<Outputs['toJSON']>[number];

/** What the kernel sends when a question has been answered by another page, or given up. */
const OVER = 'cellstack_question_over';

/** The classes of JupyterLab's box for an answer, and of one that has been answered there. */
const BOX = 'jp-OutputArea-stdin-item';
const BOX_ANSWERED = 'jp-OutputArea-stdin-hiding';

/** At most so often is a running cell asked for. */
const PAUSE = 500; // milliseconds

/** What the kernel has kept of a cell's newest run; from `outputs` on when it was asked for that run. */
export interface IKept {
  cell_id: string;
  number: number;
  code: string;
  /** The id of the request that ran the cell. */
  request: string;
  runs: boolean;
  /** Seconds since 1970; displays that it shows may have been updated since. */
  ended: number | null;
  outputs?: Output[];
  record?: IRecord | null;
  /** The other cells whose displays it has updated. */
  updates?: Pick<IKept, 'number' | 'request'>[];
}

/** What the kernel answers. time: runs that are written to from then on may not be in it, seconds since 1970. */
interface IAnswer {
  cells: IKept[];
  time: number;
  /** What is asked of the person now, when this was asked for all cells. */
  question?: KernelMessage.IInputRequestMsg | null;
}

/** What an output area does with a question; JupyterLab calls it for requests of the page only. */
interface IAsks {
  onInputRequest(
    message: KernelMessage.IInputRequestMsg,
    future: Pick<Kernel.IShellFuture, 'sendInputReply'>
  ): void;
}

/** The cells of the notebook that is brought up to date. */
export interface ICells {
  cell(id: string): CodeCell | undefined;
  /** All that have this code. */
  withCode(code: string): CodeCell[];
  setRuns(id: string, runs: boolean): void;
  /** Show how a run ended that this page has not seen. */
  keep(id: string, record: IRecord | null): void;
  fail(error: unknown): void;
}

/**
 * Brings a notebook up to date with what its cells put out while no page was there to take it.
 *
 * JupyterLab drops the messages of requests that it has not sent, so after a reload it would neither show that a cell
 * runs nor what it puts out. The kernel keeps that. A cell is brought up to date if its code is what was run, and if
 * the run is on or ended after the file was saved: what a person has saved is what is wanted.
 */
export class CatchUp implements IDisposable {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _kernel: Kernel.IKernelConnection,
    private readonly _cells: ICells
  ) {
    _kernel.iopubMessage.connect(this._onMessage, this);
    _kernel.anyMessage.connect(this._onAnyMessage, this);
    _kernel.connectionStatusChanged.connect(this._onConnection, this);
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._kernel.iopubMessage.disconnect(this._onMessage, this);
      this._kernel.anyMessage.disconnect(this._onAnyMessage, this);
      this._kernel.connectionStatusChanged.disconnect(this._onConnection, this);
      for (const kept of this._running.values()) {
        this._stop(kept);
      }
      this._running.clear();
    }
  }

  /** Bring all cells up to date that have run meanwhile. */
  start(): void {
    void this._panel.context.ready.then(() => {
      const saved = this._panel.context.contentsModel?.last_modified;
      this._since = saved === undefined ? 0 : Date.parse(saved) / 1000;
      this._try(this._look());
    });
  }

  /** Leave a cell to a run that this page asks for, as long as the connection holds. */
  leave(id: string, request: string): void {
    this._newest.set(id, request);
    this._own.add(request);
  }

  /** Take note that a run that this page has asked for is over; all of it has come if the connection has held. */
  answered(request: string): void {
    this._asked.delete(request);
    if (this._own.delete(request)) {
      this._known.add(request);
    }
  }

  /** What was sent while the connection was lost may have come nowhere, the reply too. */
  private _onConnection(_: Kernel.IKernelConnection, status: Kernel.ConnectionStatus): void {
    if (status === 'connected') {
      this._own.clear();
      this._try(this._look());
    }
  }

  /** Requests of a page that is gone may begin only now; others' messages say that a running cell has put out more. */
  private _onMessage(_: Kernel.IKernelConnection, message: KernelMessage.IIOPubMessage): void {
    const { msg_id, session } = message.parent_header as KernelMessage.IHeader;
    const kept = this._running.get(msg_id);
    if (kept) {
      this._try(this._follow(kept));
    } else if (message.header.msg_type === 'execute_input' && session !== this._kernel.clientId) {
      this._try(this._look());
    }
  }

  /** The kernel asks who looks what a cell asks that another page has run, and says when a question is over. */
  private _onAnyMessage(_: Kernel.IKernelConnection, args: Kernel.IAnyMessageArgs): void {
    const { direction, msg } = args;
    if (direction === 'recv' && KernelMessage.isInputRequestMsg(msg as KernelMessage.IMessage)) {
      const question = msg as KernelMessage.IInputRequestMsg;
      const { session } = question.parent_header as KernelMessage.IHeader;
      this._onQuestion(question, session === this._kernel.clientId);
    } else if (direction === 'recv' && (msg.header.msg_type as string) === OVER) {
      const { msg_id } = msg.parent_header as KernelMessage.IHeader;
      const { question } = msg.content as unknown as { question: string };
      this._heard.add(question);
      if (this._asked.get(msg_id) === question) {
        this._close(msg_id);
        this._kernel.hasPendingInput = false; // JupyterLab would run nothing before it is answered here
      }
    }
  }

  /** Take what a cell asks, once. isShown: JupyterLab shows what requests of this page ask. */
  private _onQuestion(question: KernelMessage.IInputRequestMsg, isShown: boolean): void {
    const request = (question.parent_header as KernelMessage.IHeader).msg_id;
    // An answer may come after what was sent later on the other channel: it asks nothing that was asked before.
    if (!this._heard.has(question.header.msg_id)) {
      this._heard.add(question.header.msg_id);
      this._close(request); // what it has asked before has its answer
      this._asked.set(request, question.header.msg_id);
      if (!isShown) {
        this._questions.set(request, question);
        this._show(request);
      }
    }
  }

  /** Show what a running cell asks, below what it has put out: again where outputs that were replaced took the box. */
  private _show(request: string): void {
    const question = this._questions.get(request);
    const kept = this._brought.has(request) ? this._running.get(request) : undefined;
    const cell = kept && this._cellOf(kept);
    if (question && cell && !cell.outputArea.widgets.some(isOpenBox)) {
      (cell.outputArea as unknown as IAsks).onInputRequest(question, {
        sendInputReply: (content, parent) => {
          if (this._questions.get(request) === question) {
            this._questions.delete(request);
          }
          this._kernel.sendInputReply(content, parent);
        }
      });
    }
  }

  /** Take away the box in which nobody can answer any more what a request has asked. */
  private _close(request: string): void {
    this._questions.delete(request);
    this._asked.delete(request);
    const [id] = [...this._newest].find(([, newest]) => newest === request) ?? [''];
    for (const widget of [...(this._cells.cell(id)?.outputArea.widgets ?? [])]) {
      if (isOpenBox(widget)) {
        widget.dispose();
      }
    }
  }

  private async _look(): Promise<void> {
    if (this._since === null) {
      return;
    }
    const since = this._since;
    const { cells, time, question } = await this._ask({ since });
    this._since = time;
    const found = cells
      .filter(({ request }) => !this._known.has(request) && !this._own.has(request))
      .map(kept => ({ ...kept, cell_id: this._idOf(kept) }));
    for (const kept of found) {
      this._known.add(kept.request);
      this._newest.set(kept.cell_id, kept.request);
      const cell = this._cellOf(kept);
      if (cell && kept.runs) {
        this._running.set(kept.request, kept);
        cell.model.executionState = 'running';
        this._cells.setRuns(kept.cell_id, true);
      }
    }
    if (question) {
      this._onQuestion(question, false);
    }
    for (const kept of found) {
      if (kept.ended !== null && kept.ended < since) {
        await this._update(kept);
      } else if (this._cellOf(kept)) {
        await (kept.runs ? this._follow(kept) : this._bring(kept));
      }
    }
  }

  /** Bring a running cell up to date; when there is more meanwhile, once more after a pause. */
  private async _follow(kept: IKept): Promise<void> {
    const { request } = kept;
    this._more.add(request);
    if (this._asking.has(request)) {
      return;
    }
    this._asking.add(request);
    try {
      while (this._running.has(request) && this._more.delete(request)) {
        await this._bring(kept);
        await new Promise(resolve => setTimeout(resolve, PAUSE));
      }
    } finally {
      this._asking.delete(request);
      this._more.delete(request);
    }
  }

  private async _bring(wanted: IKept): Promise<void> {
    const kept = await this._whole(wanted);
    const cell = kept && this._cellOf(wanted);
    if (kept && cell) {
      const { model } = cell;
      // A person has run it, and JupyterLab trusts what a person runs.
      model.trusted = true;
      // Who types an answer goes on: what is replaced takes the box along, and more comes when it has its answer.
      const isAsked = kept.runs && cell.outputArea.widgets.some(isOpenBox);
      const isNew = bring(model.outputs, kept.outputs ?? [], !isAsked);
      if (!kept.runs && (isNew || model.executionCount !== kept.number)) {
        model.executionCount = kept.number;
        this._cells.keep(wanted.cell_id, kept.record ?? null);
      }
    }
    for (const other of kept?.updates ?? []) {
      await this._update(other);
    }
    if (!kept?.runs && this._running.delete(wanted.request)) {
      this._stop(wanted);
    } else {
      this._brought.add(wanted.request);
      this._show(wanted.request);
    }
  }

  /** Bring up to date what another cell has updated of a run's displays, where they are shown still. */
  private async _update(wanted: Pick<IKept, 'number' | 'request'>): Promise<void> {
    const found = await this._whole(wanted);
    if (found) {
      const kept = { ...found, cell_id: this._idOf(found) };
      this._newest.set(kept.cell_id, this._newest.get(kept.cell_id) ?? kept.request);
      const outputs = this._cellOf(kept)?.model.outputs;
      if (outputs && kept.outputs?.length === outputs.length) {
        bring(outputs, kept.outputs);
      }
    }
  }

  private async _whole(wanted: Pick<IKept, 'number' | 'request'>): Promise<IKept | undefined> {
    const { cells } = await this._ask({ number: wanted.number });
    return cells.find(({ request }) => request === wanted.request);
  }

  private _stop(kept: IKept): void {
    this._close(kept.request);
    this._brought.delete(kept.request);
    const cell = this._cells.cell(kept.cell_id);
    if (cell && this._newest.get(kept.cell_id) === kept.request) {
      cell.model.executionState = 'idle';
      this._cells.setRuns(kept.cell_id, false);
    }
  }

  /** Return the cell to bring up to date; undefined when it is gone, was changed, or has been run since. */
  private _cellOf(kept: IKept): CodeCell | undefined {
    const cell = this._isDisposed ? undefined : this._cells.cell(kept.cell_id);
    const isNewest = this._newest.get(kept.cell_id) === kept.request;
    return isNewest && cell?.model.sharedModel.getSource() === kept.code ? cell : undefined;
  }

  /** Return the id of its cell: another one since the page was loaded where the file has none (before nbformat 4.5). */
  private _idOf(kept: IKept): string {
    const [same, ...more] = this._cells.withCode(kept.code);
    return this._cells.cell(kept.cell_id) || !same || more.length ? kept.cell_id : same.model.id;
  }

  /** Ask the kernel, on the channel that it answers while a cell runs. */
  private async _ask(content: { since: number } | { number: number }): Promise<IAnswer> {
    // JupyterLab has no type for a kernel's own requests.
    const message = KernelMessage.createMessage({
      channel: 'control',
      msgType: 'cellstack_outputs_request',
      session: this._kernel.clientId,
      username: this._kernel.username,
      content
    } as unknown as KernelMessage.IOptions<KernelMessage.IDebugRequestMsg>);
    const reply = await this._kernel.sendControlMessage(message, true).done;
    const answer = reply!.content as unknown as IAnswer & { status: string; evalue?: string };
    if (answer.status !== 'ok') {
      throw new Error(answer.evalue);
    }
    return answer;
  }

  /** What is asked of a kernel that ends, or for a notebook that is closed, comes to nothing. */
  private _try(work: Promise<void>): void {
    work.catch(error => {
      if (!this._isDisposed) {
        this._cells.fail(error);
      }
    });
  }

  /** The last question that has come, by the request that asks. */
  private _asked = new Map<string, string>();
  private _asking = new Set<string>();
  /** Running cells whose outputs are here. */
  private _brought = new Set<string>();
  /** Questions that have come or are over. */
  private _heard = new Set<string>();
  private _isDisposed = false;
  private _known = new Set<string>();
  private _more = new Set<string>();
  private _newest = new Map<string, string>();
  /** Requests of this page that have no reply yet. */
  private _own = new Set<string>();
  /** What running cells of other pages ask, until it is answered. */
  private _questions = new Map<string, KernelMessage.IInputRequestMsg>();
  private _running = new Map<string, IKept>();
  private _since: number | null = null;
}

/**
 * Make a cell's outputs what they are to be, and touch only those that differ; returns whether any did.
 *
 * mayReplace: whether all may be taken away and put there anew, where it takes that; else they are left as they are then.
 */
export function bring(model: Outputs, outputs: Output[], mayReplace = true): boolean {
  const held = outputs.map(asHeld);
  // A model knows what it has added last, and joins text to that: what takes its place has to be of its kind.
  const isOther = held.some(
    (output, index) => index < model.length && kindOf(model.get(index).toJSON()) !== kindOf(output)
  );
  if (model.length > held.length || isOther) {
    if (mayReplace) {
      model.fromJSON(held);
    }
    return mayReplace;
  }
  let isNew = false;
  held.forEach((output, index) => {
    if (index >= model.length) {
      model.add(output);
      isNew = true;
    } else if (!JSONExt.deepEqual(model.get(index).toJSON(), output)) {
      model.set(index, output);
      isNew = true;
    }
  });
  return isNew;
}

/** Return an output as a model holds it: carriage returns and backspaces are carried out when text is added to one. */
function asHeld(output: Output): Output {
  if (output.output_type !== 'stream') {
    return output;
  }
  const model = CodeCellModel.defaultContentFactory.createOutputArea({ values: [output] });
  const [held] = model.toJSON();
  model.dispose();
  return held;
}

function kindOf(output: Output): string {
  return `${output.output_type} ${String(output.name ?? '')}`;
}

/** Tell whether a box waits for an answer; one that was answered keeps the focus for a moment, and goes by itself. */
function isOpenBox(widget: Widget): boolean {
  return widget.hasClass(BOX) && !widget.hasClass(BOX_ANSWERED);
}
