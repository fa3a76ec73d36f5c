import { Cell, CodeCell, ICellModel } from '@jupyterlab/cells';
import { IChangedArgs } from '@jupyterlab/coreutils';
import { INotebookTracker, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { Kernel, KernelMessage } from '@jupyterlab/services';
import { ReactWidget } from '@jupyterlab/ui-components';
import { DisposableDelegate, DisposableSet, IDisposable } from '@lumino/disposable';
import { PanelLayout } from '@lumino/widgets';

import { IRecord } from '../api/types';
import { IReadable, Store } from '../model/store';
import { CatchUp } from './catchup';
import { Ask, isOurs, runMagic } from './front';
import { IKeptRecord, kept, METADATA, recordOf } from './record';

/** What lines show, beside how the run ended. */
export interface ILineFields {
  container: boolean;
  time: boolean;
  memory: boolean;
  files: boolean;
  layer: boolean;
  cache: boolean;
}

/** Whether a run of a cell is on, or waits for its turn. */
export type Run = 'none' | 'waits' | 'on';

export interface ILineState {
  record: IKeptRecord | null;
  run: Run;
  /** The last run ended while no page was there, and what it put out was brought here from the kernel. */
  isLate: boolean;
}

/** The line under one cell, as its view knows it. */
export interface ICellLine {
  readonly id: string;
  /** The id of the kernel that runs the cell. */
  readonly kernel: string | null;
  readonly state: IReadable<ILineState>;
  readonly fields: IReadable<ILineFields>;
  showLayer(layer: string): void;
  showContainer(container: string): void;
  /** Raise a limit ("memory=1g"), the cell's own if it has one and else the notebook's, and run the cell again. */
  raiseAndRun(option: string): void;
}

/** What lines ask of the window around them. */
export interface ILinesHost {
  ask: Ask;
  fields: IReadable<ILineFields>;
  isShown: IReadable<boolean>;
  render(line: ICellLine): ReactWidget;
  showLayer(layer: string): void;
  showContainer(container: string): void;
  fail(error: unknown): void;
}

/** Keeps what the kernel says of each run in the cell's metadata, and shows it in a line under the cell. */
export class CellLines implements IDisposable {
  constructor(tracker: INotebookTracker, host: ILinesHost) {
    const add = (panel: NotebookPanel): void => {
      const lines = new NotebookLines(panel, host);
      this._all.add(lines);
      panel.disposed.connect(() => {
        this._all.remove(lines);
        lines.dispose();
      });
    };
    const onAdded = (_: INotebookTracker, panel: NotebookPanel): void => add(panel);
    tracker.forEach(add);
    tracker.widgetAdded.connect(onAdded);
    this._all.add(new DisposableDelegate(() => tracker.widgetAdded.disconnect(onAdded)));
  }

  get isDisposed(): boolean {
    return this._all.isDisposed;
  }

  dispose(): void {
    this._all.dispose();
  }

  private _all = new DisposableSet();
}

/** The lines of one notebook. */
class NotebookLines implements IDisposable {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _host: ILinesHost
  ) {
    _panel.sessionContext.kernelChanged.connect(this._onKernel, this);
    _panel.content.modelContentChanged.connect(this._update, this);
    _host.isShown.changed.connect(this._update, this);
    void _panel.context.ready.then(() => this._update());
    this._onKernel();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this._host.isShown.changed.disconnect(this._update, this);
    this._leave();
    for (const line of this._lines.values()) {
      line.dispose();
    }
    this._lines.clear();
  }

  private _leave(): void {
    this._kernel?.anyMessage.disconnect(this._onMessage, this);
    this._kernel?.statusChanged.disconnect(this._onStatus, this);
    this._kernel = null;
    this._catchUp?.dispose();
    this._catchUp = null;
  }

  private _onKernel(): void {
    const kernel = this._panel.sessionContext.session?.kernel ?? null;
    this._leave();
    this._forget();
    this._isOurs = false;
    if (kernel) {
      // Connected before it has said what it is: a cell may be run at once.
      this._kernel = kernel;
      kernel.anyMessage.connect(this._onMessage, this);
      kernel.statusChanged.connect(this._onStatus, this);
      const catchUp = this._hadKernel ? null : this._newCatchUp(kernel);
      this._catchUp = catchUp;
      this._hadKernel = true;
      void isOurs(kernel).then(ours => {
        if (ours && kernel === this._kernel) {
          this._isOurs = true;
          new Set(this._cellOf.values()).forEach(cell => this._showRun(cell));
          catchUp?.start();
        }
      });
    }
  }

  /** A kernel that restarts or dies answers nothing that was asked before. */
  private _onStatus(kernel: Kernel.IKernelConnection, status: Kernel.Status): void {
    if (kernel === this._kernel && /restarting|dead/.test(status)) {
      this._catchUp?.dispose();
      this._catchUp = null;
      this._forget();
    }
  }

  /** What was asked of a kernel comes to nothing. */
  private _forget(): void {
    this._cellOf.clear();
    this._begun.clear();
    for (const line of this._lines.values()) {
      line.setRun('none');
    }
  }

  private _onMessage(
    _: Kernel.IKernelConnection,
    { msg, direction }: Kernel.IAnyMessageArgs
  ): void {
    if (direction === 'send' && msg.header.msg_type === 'execute_request') {
      const cell = (msg.metadata as { cellId?: unknown }).cellId;
      if (typeof cell === 'string') {
        this._cellOf.set(msg.header.msg_id, cell);
        this._catchUp?.leave(cell, msg.header.msg_id);
        this._showRun(cell);
      }
    } else if (direction === 'recv' && msg.header.msg_type === 'execute_input') {
      const request = (msg.parent_header as KernelMessage.IHeader).msg_id;
      const cell = this._cellOf.get(request);
      if (cell !== undefined) {
        this._begun.add(request);
        this._showRun(cell);
      }
    } else if (direction === 'recv' && msg.header.msg_type === 'execute_reply') {
      const request = (msg.parent_header as KernelMessage.IHeader).msg_id;
      const cell = this._cellOf.get(request);
      this._cellOf.delete(request);
      this._begun.delete(request);
      this._catchUp?.answered(request);
      if (cell !== undefined) {
        const { status } = msg.content as { status: string };
        const { cellstack } = msg.metadata as { cellstack?: IRecord };
        this._keep(cell, status === 'aborted' ? null : (cellstack ?? null), false);
      }
    }
  }

  /** A page that is opened may have missed what its kernel did; one that stays has seen it. */
  private _newCatchUp(kernel: Kernel.IKernelConnection): CatchUp {
    return new CatchUp(this._panel, kernel, {
      cell: id => this._cell(id),
      withCode: code =>
        this._panel.content.widgets.filter(
          (cell): cell is CodeCell =>
            cell instanceof CodeCell && cell.model.sharedModel.getSource() === code
        ),
      setRuns: (id, runs) => this._lineOf(id)?.setRun(runs ? 'on' : 'none'),
      keep: (id, record) => this._keep(id, record, true),
      fail: error => this._host.fail(error)
    });
  }

  private _keep(id: string, found: IRecord | null, isLate: boolean): void {
    const cell = this._cell(id);
    const line = this._lineOf(id);
    if (!cell) {
      return;
    }
    const record = found && kept(found);
    if (record) {
      cell.model.setMetadata(METADATA, record);
    } else {
      cell.model.deleteMetadata(METADATA);
    }
    line?.setRecord(record, isLate);
    line?.setRun(this._runOf(id));
  }

  private _showRun(cell: string): void {
    if (this._isOurs) {
      this._lineOf(cell)?.setRun(this._runOf(cell));
    }
  }

  private _runOf(id: string): Run {
    const requests = [...this._cellOf].filter(([, cell]) => cell === id);
    return requests.length === 0
      ? 'none'
      : requests.some(([request]) => this._begun.has(request))
        ? 'on'
        : 'waits';
  }

  private _cell(id: string): CodeCell | undefined {
    return this._panel.content.widgets.find(
      (cell): cell is CodeCell => cell instanceof CodeCell && cell.model.id === id
    );
  }

  private _lineOf(id: string): Line | undefined {
    const cell = this._cell(id);
    return cell && this._lines.get(cell);
  }

  /** Give each code cell its line, once the cell itself is in the page; take away what is not wanted. */
  private _update(): void {
    if (this._isDisposed) {
      return;
    }
    const cells = new Set<Cell>(this._panel.content.widgets);
    for (const [cell, line] of this._lines) {
      if (!cells.has(cell) || !this._host.isShown.value) {
        line.dispose();
        this._lines.delete(cell);
      }
    }
    for (const cell of cells) {
      if (cell instanceof CodeCell && this._host.isShown.value && !this._lines.has(cell)) {
        this._lines.set(cell, new Line(cell, this._panel, this._host));
        this._showRun(cell.model.id); // one that was moved may run
      }
    }
  }

  private _catchUp: CatchUp | null = null;
  /** The cell of each request that has no reply yet. */
  private _cellOf = new Map<string, string>();
  /** Those of these requests that the kernel has taken up. */
  private _begun = new Set<string>();
  private _hadKernel = false;
  private _isDisposed = false;
  private _isOurs = false;
  private _kernel: Kernel.IKernelConnection | null = null;
  private _lines = new Map<Cell, Line>();
}

/** Return a cell's code with a limit of its own (`%%container memory=…`) raised; null when it has none of that name. */
export function withOwnLimit(code: string, option: string): string | null {
  const line = /^(?:[ \t]*\n|%(?!%).*\n)*(%%container\b.*)/.exec(code);
  const own = new RegExp(`(\\s)${option.split('=')[0]}=\\S*`);
  if (!line || !own.test(line[1])) {
    return null;
  }
  const start = line[0].length - line[1].length;
  const raised = line[1].replace(own, (_, space: string) => space + option);
  return code.slice(0, start) + raised + code.slice(line[0].length);
}

class Line implements ICellLine, IDisposable {
  constructor(
    private readonly _cell: CodeCell,
    private readonly _panel: NotebookPanel,
    private readonly _host: ILinesHost
  ) {
    this.id = _cell.model.id;
    this._state = new Store<ILineState>({
      record: recordOf(_cell.model),
      run: 'none',
      isLate: false
    });
    void _cell.ready.then(() => this._attach());
    _cell.model.metadataChanged.connect(this._onMetadata, this);
    _cell.model.stateChanged.connect(this._onState, this);
    this._state.changed.connect(this._attach, this);
  }

  /** Known also when the cell has been deleted. */
  readonly id: string;

  get kernel(): string | null {
    return this._panel.sessionContext.session?.kernel?.id ?? null;
  }

  get state(): IReadable<ILineState> {
    return this._state;
  }

  get fields(): IReadable<ILineFields> {
    return this._host.fields;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      this._cell.model?.metadataChanged.disconnect(this._onMetadata, this);
      this._cell.model?.stateChanged.disconnect(this._onState, this);
      this._widget?.dispose();
    }
  }

  setRun(run: Run): void {
    this._state.update(state => (state.run === run ? state : { ...state, run }));
  }

  setRecord(record: IKeptRecord | null, isLate: boolean): void {
    this._state.update(state => ({ ...state, record, isLate }));
  }

  showLayer(layer: string): void {
    this._host.showLayer(layer);
  }

  showContainer(container: string): void {
    this._host.showContainer(container);
  }

  raiseAndRun(option: string): void {
    void this._raiseAndRun(option).catch(error => this._host.fail(error));
  }

  private async _raiseAndRun(option: string): Promise<void> {
    const { content, sessionContext } = this._panel;
    const kernel = sessionContext.session?.kernel;
    if (!kernel) {
      return;
    }
    const code = this._cell.model.sharedModel;
    const raised = withOwnLimit(code.getSource(), option);
    if (raised !== null) {
      code.setSource(raised);
    } else {
      await runMagic(kernel, `%limits ${option}`, this._host.ask);
    }
    content.deselectAll();
    content.activeCellIndex = content.widgets.indexOf(this._cell);
    await NotebookActions.run(content, sessionContext);
  }

  private _onMetadata(): void {
    const record = recordOf(this._cell.model);
    if (JSON.stringify(record) !== JSON.stringify(this._state.value.record)) {
      this.setRecord(record, false);
    }
  }

  /** A cell whose number and outputs are cleared is of no run any more. */
  private _onState(model: ICellModel, change: IChangedArgs<unknown>): void {
    if (change.name === 'executionCount' && change.newValue === null) {
      model.deleteMetadata(METADATA);
    }
  }

  /** A cell that has nothing to show has no line in the page. */
  private _attach(): void {
    const { record, run } = this._state.value;
    const isInPage = !this._isDisposed && !this._cell.isDisposed && !this._cell.isPlaceholder();
    if (isInPage && this._widget === null && (record !== null || run !== 'none')) {
      this._widget = this._host.render(this);
      (this._cell.layout as PanelLayout).addWidget(this._widget);
    }
  }

  private _isDisposed = false;
  private _state: Store<ILineState>;
  private _widget: ReactWidget | null = null;
}
