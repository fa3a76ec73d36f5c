import { OutputAreaModel } from '@jupyterlab/outputarea';
import { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

/** A kernel that answers as a test tells it to. */
export class FakeKernel {
  readonly anyMessage = new Signal<this, object>(this);
  readonly connectionStatusChanged = new Signal<this, string>(this);
  readonly iopubMessage = new Signal<this, object>(this);
  readonly statusChanged = new Signal<this, string>(this);
  readonly clientId = 'this page';
  hasPendingInput = false;
  /** What it asks now. */
  question: IQuestion | null = null;
  readonly username = '';
  /** What it has kept of cells that have run while no page was there. */
  kept: { request: string; number: number }[] = [];
  status = 'idle';
  asked: string[] = [];
  replied: object[] = [];
  reply: object = { status: 'ok' };
  /** What it sends before its reply. */
  shows: { header: { msg_type: string }; content: object }[] = [];
  asks: { prompt: string; password: boolean } | null = null;
  info: Promise<{ implementation: string }>;

  constructor(
    readonly id: string,
    implementation = 'cellstack'
  ) {
    this.info = Promise.resolve({ implementation });
  }

  /** How often it was asked what it is. */
  stirred = 0;

  async requestKernelInfo(): Promise<void> {
    this.stirred += 1;
  }

  requestExecute(content: { code: string }): object {
    this.asked.push(content.code);
    const future = {
      onIOPub: (_: object): void => undefined,
      onStdin: async (_: object): Promise<void> => undefined,
      sendInputReply: (answer: object) => this.replied.push(answer),
      done: Promise.resolve().then(async () => {
        this.shows.forEach(message => future.onIOPub(message));
        if (this.asks) {
          await future.onStdin({ header: { msg_type: 'input_request' }, content: this.asks });
        }
        return { content: this.reply };
      })
    };
    return future;
  }

  sendControlMessage({ content }: { content: { number?: number } }): object {
    const cells = this.kept.filter(
      ({ number }) => content.number === undefined || content.number === number
    );
    const answer = { status: 'ok', time: 2, cells, question: this.question };
    return { done: Promise.resolve({ content: answer }) };
  }

  /** Something that another page's request has put out goes by. */
  putsOut(request: string): void {
    this.iopubMessage.emit({
      header: { msg_type: 'stream' },
      parent_header: { msg_id: request, session: 'another page' }
    });
  }

  sendInputReply(content: object, parent: object): void {
    this.replied.push([content, parent]);
  }

  /** It asks for a request, of this page or another one; told: whether this page gets to know. */
  asksFor(request: string, prompt: string, session = 'another page', told = true): void {
    this.question = {
      header: { msg_type: 'input_request', msg_id: prompt },
      parent_header: { msg_id: request, session },
      content: { prompt, password: false }
    };
    if (told) {
      this.anyMessage.emit({ direction: 'recv', msg: { channel: 'stdin', ...this.question } });
    }
  }

  /** Another page has answered. */
  isAnswered(): void {
    const { header, parent_header } = this.question!;
    const msg = {
      header: { msg_type: 'cellstack_question_over', msg_id: 'over' },
      parent_header,
      content: { question: header.msg_id }
    };
    this.question = null;
    this.anyMessage.emit({ direction: 'recv', msg });
  }

  /** A front end sends the request of a cell. */
  requests(cell: string, request: string): void {
    const msg = {
      header: { msg_type: 'execute_request', msg_id: request },
      metadata: { cellId: cell }
    };
    this.anyMessage.emit({ direction: 'send', msg });
  }

  /** The kernel takes it up. */
  begins(request: string): void {
    const msg = {
      header: { msg_type: 'execute_input', msg_id: `in-${request}` },
      parent_header: { msg_id: request },
      content: {}
    };
    this.anyMessage.emit({ direction: 'recv', msg });
  }

  /** The kernel answers it. */
  replies(request: string, record: object | null, status = 'ok'): void {
    const msg = {
      header: { msg_type: 'execute_reply', msg_id: `re-${request}` },
      parent_header: { msg_id: request },
      content: { status },
      metadata: record ? { cellstack: record } : {}
    };
    this.anyMessage.emit({ direction: 'recv', msg });
  }

  become(status: string): void {
    this.status = status;
    this.statusChanged.emit(status);
  }
}

/** Stands for JupyterLab's CodeCell. */
export class FakeCell {
  readonly model;
  readonly ready = Promise.resolve();
  readonly added: object[] = [];
  readonly layout = { addWidget: (widget: object) => this.added.push(widget) };
  /** Boxes for answers are all that it shows. */
  readonly outputArea = {
    widgets: [] as FakeBox[],
    onInputRequest: (question: IQuestion, future: IAnswers): void => {
      this.outputArea.widgets.push(new FakeBox(this, question, future));
    }
  };
  isDisposed = false;

  constructor(id: string, metadata: unknown = undefined, code = '') {
    this.model = new FakeCellModel(id, metadata, code);
  }

  isPlaceholder(): boolean {
    return false;
  }
}

/** What a kernel asks, as its messages are. */
export interface IQuestion {
  header: { msg_type: string; msg_id: string };
  parent_header: { msg_id: string; session: string };
  content: { prompt: string; password: boolean };
}

interface IAnswers {
  sendInputReply(content: object, parent: object): void;
}

/** Stands for JupyterLab's box for an answer. */
class FakeBox {
  constructor(
    private readonly _cell: FakeCell,
    readonly question: IQuestion,
    private readonly _future: IAnswers
  ) {}

  answer(value: string): void {
    this._future.sendInputReply({ status: 'ok', value }, this.question.header);
  }

  hasClass(name: string): boolean {
    return name === 'jp-OutputArea-stdin-item';
  }

  dispose(): void {
    const { outputArea } = this._cell;
    outputArea.widgets = outputArea.widgets.filter(box => box !== this);
  }
}

class FakeCellModel {
  readonly metadataChanged = new Signal<this, void>(this);
  readonly stateChanged = new Signal<this, object>(this);

  constructor(
    readonly id: string,
    private _metadata: unknown,
    private _code: string
  ) {}

  readonly sharedModel = {
    getSource: (): string => this._code,
    setSource: (code: string): void => {
      this._code = code;
    }
  };
  readonly outputs = new OutputAreaModel();
  executionCount: number | null = null;
  executionState = 'idle';
  trusted = false;

  getMetadata(_: string): unknown {
    return this._metadata;
  }

  /** Clear the outputs and the number, as people and runs do. */
  clear(): void {
    this.outputs.fromJSON([]);
    this.executionCount = null;
    this.stateChanged.emit({ name: 'executionCount', newValue: null });
  }

  setMetadata(_: string, value: unknown): void {
    this._metadata = value;
    this.metadataChanged.emit();
  }

  deleteMetadata(_: string): void {
    this._metadata = undefined;
    this.metadataChanged.emit();
  }
}

export class FakePanel {
  readonly disposed = new Signal<this, void>(this);
  readonly context = {
    localPath: 'work/a.ipynb',
    pathChanged: new Signal<object, string>({}),
    ready: Promise.resolve(),
    isDisposed: false,
    model: new FakeCellModel('notebook', undefined, '')
  };
  readonly content;
  readonly sessionContext;

  constructor(kernel: FakeKernel | null, cells: FakeCell[]) {
    this.content = {
      widgets: cells,
      activeCellIndex: 0,
      modelContentChanged: new Signal<object, void>({}),
      deselectAll: () => undefined
    };
    this.sessionContext = {
      session: { kernel },
      kernelDisplayName: 'Python (Cellstack)',
      kernelChanged: new Signal<object, void>({}),
      statusChanged: new Signal<object, void>({}),
      disposed: new Signal<object, void>({})
    };
  }

  /** A person renames the notebook. */
  rename(path: string): void {
    this.context.localPath = path;
    this.context.pathChanged.emit(path);
  }

  /** Another kernel, or none, takes the place of this one. */
  use(kernel: FakeKernel | null): void {
    this.sessionContext.session.kernel = kernel;
    this.sessionContext.kernelChanged.emit();
  }
}

export class FakeTracker {
  readonly currentChanged = new Signal<this, FakePanel | null>(this);
  readonly widgetAdded = new Signal<this, FakePanel>(this);

  constructor(public currentWidget: FakePanel | null) {}

  forEach(visit: (panel: FakePanel) => void): void {
    if (this.currentWidget) {
      visit(this.currentWidget);
    }
  }

  bring(panel: FakePanel | null): void {
    this.currentWidget = panel;
    this.currentChanged.emit(panel);
  }
}

export class FakeWidget implements IDisposable {
  isDisposed = false;

  dispose(): void {
    this.isDisposed = true;
  }
}
