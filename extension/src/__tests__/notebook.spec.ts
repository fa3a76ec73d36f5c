import { INotebookTracker } from '@jupyterlab/notebook';
import { Kernel } from '@jupyterlab/services';
import { nullTranslator } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';

import { Store } from '../model/store';
import { Ask, NotebookFront, runMagic } from '../notebook/front';
import { CellLines, ICellLine, ILinesHost, withOwnLimit } from '../notebook/lines';
import { DEFAULTS } from '../settings';
import { id, settled } from './fakes';
import { FakeCell, FakeKernel, FakePanel, FakeTracker, FakeWidget } from './notebook';

const ran: [string, number][] = [];

jest.mock('@jupyterlab/cells', () => {
  const { OutputAreaModel } = jest.requireActual('@jupyterlab/outputarea');
  const createOutputArea = (options: object): object => new OutputAreaModel(options);
  return {
    CodeCell: jest.requireActual('./notebook').FakeCell,
    CodeCellModel: { defaultContentFactory: { createOutputArea } }
  };
});
jest.mock('@jupyterlab/notebook', () => ({
  NotebookActions: {
    run: async (content: { activeCellIndex: number }) => {
      ran.push(['run', content.activeCellIndex]);
    },
    runAllBelow: async (content: { activeCellIndex: number }) => {
      ran.push(['below', content.activeCellIndex]);
    }
  }
}));

const RECORD = {
  status: 'ok',
  execution_count: 1,
  container: 'c0ffee',
  layer: id(1),
  parent: null,
  changes: { added: 1, changed: 0, deleted: 0 },
  wall_seconds: 0.5,
  memory_peak_bytes: 2 ** 20,
  limits: { memory: 2 ** 30, timeout: null, pids: null },
  exit: { reason: 'finished', signal: null },
  host: { pid: 1 },
  cache: 'off'
};

beforeEach(() => {
  ran.length = 0;
});

function front(panel: FakePanel | null): { front: NotebookFront; tracker: FakeTracker } {
  const tracker = new FakeTracker(panel);
  const trans = nullTranslator.load('cellstack');
  const made = new NotebookFront(tracker as unknown as INotebookTracker, trans, async () => null);
  return { front: made, tracker };
}

describe('the notebook in front', () => {
  it('has a kernel that starts until it has said what it is', async () => {
    const made = front(new FakePanel(new FakeKernel('k1'), []));
    expect(made.front.current).toMatchObject({ path: 'work/a.ipynb', kernel: 'starting' });
    await settled();
    expect(made.front.current).toMatchObject({ kernel: 'ours', kernelId: 'k1' });
  });

  it('may have another kernel, or none, or not be there', async () => {
    const panel = new FakePanel(new FakeKernel('k1', 'ipython'), []);
    const made = front(panel);
    await settled();
    expect(made.front.current?.kernel).toBe('other');
    panel.use(null);
    expect(made.front.current).toMatchObject({ kernel: 'none', kernelId: null });
    made.tracker.bring(null);
    expect(made.front.current).toBeNull();
  });

  it('is known by its new name when it is renamed, and the one before is not listened to', async () => {
    const [panel, other] = [new FakePanel(null, []), new FakePanel(null, [])];
    const made = front(panel);
    panel.rename('work/b.ipynb');
    expect(made.front.current?.path).toBe('work/b.ipynb');
    made.tracker.bring(other);
    panel.rename('work/c.ipynb');
    expect(made.front.current?.path).toBe('work/a.ipynb');
  });

  it('is not mistaken for the one before, whose kernel answers late', async () => {
    let answer: (info: { implementation: string }) => void = () => undefined;
    const slow = new FakeKernel('slow');
    slow.info = new Promise(resolve => (answer = resolve));
    const made = front(new FakePanel(slow, []));
    made.tracker.bring(new FakePanel(new FakeKernel('quick', 'ipython'), []));
    await settled();
    answer({ implementation: 'cellstack' });
    await settled();
    expect(made.front.current).toMatchObject({ kernel: 'other', kernelId: 'quick' });
  });

  it('asks no magic of a kernel that is not ours', async () => {
    const kernel = new FakeKernel('k1', 'ipython');
    const made = front(new FakePanel(kernel, []));
    await settled();
    await expect(made.front.run('%undo')).rejects.toThrow('no Cellstack kernel');
    expect(kernel.asked).toEqual([]);
  });

  it('has in its metadata what its kernel was set to, though another one has come to the front', async () => {
    const kernel = new FakeKernel('k1');
    const [panel, other] = [new FakePanel(kernel, []), new FakePanel(new FakeKernel('k2'), [])];
    const { model } = panel.context;
    model.setMetadata('cellstack', { context: 'none', limits: { cpus: '1', memory: '1g' } });
    const made = front(panel);
    await settled();
    await made.front.run('%image name', { image: 'name' });
    const set = made.front.run('%limits memory=2g', { limits: { memory: '2g' } });
    made.tracker.bring(other);
    await set;
    expect(model.getMetadata('cellstack')).toEqual({
      context: 'none',
      image: 'name',
      limits: { cpus: '1', memory: '2g' }
    });
    expect(other.context.model.getMetadata('cellstack')).toBeUndefined();
    kernel.reply = { status: 'error', evalue: 'no image nosuch' };
    made.tracker.bring(panel);
    await settled();
    await expect(made.front.run('%image nosuch', { image: 'nosuch' })).rejects.toThrow('nosuch');
    expect(model.getMetadata('cellstack')).toMatchObject({ image: 'name' });
  });

  it('has its kernel make ready when a person comes back, and is quiet otherwise', async () => {
    const now = jest.spyOn(Date, 'now').mockReturnValue(0);
    const minutes = (number: number): unknown => now.mockReturnValue(number * 60_000);
    const [kernel, other] = [new FakeKernel('k1'), new FakeKernel('k2', 'ipython')];
    const panel = new FakePanel(kernel, []);
    const made = front(panel);
    await settled();
    minutes(4);
    made.front.stir();
    expect(kernel.stirred).toBe(0);
    minutes(20);
    made.front.stir();
    made.front.stir();
    expect(kernel.stirred).toBe(1);
    minutes(30);
    panel.sessionContext.statusChanged.emit(); // a cell has run
    minutes(34);
    made.front.stir();
    expect(kernel.stirred).toBe(1);
    minutes(36);
    made.front.stir();
    expect(kernel.stirred).toBe(2);
    made.tracker.bring(new FakePanel(other, []));
    await settled();
    minutes(60);
    made.front.stir();
    expect(other.stirred).toBe(0);
    now.mockRestore();
  });

  it('has what its cells have kept of their runs, and reads it once for many changes', async () => {
    const kept = { status: 'ok', layer: id(2), container: 'c0ffee', number: 3 };
    const [empty, cell] = [new FakeCell('a'), new FakeCell('b', kept)];
    const panel = new FakePanel(new FakeKernel('k1'), [empty, cell]);
    const made = front(panel);
    await settled();
    expect(made.front.current?.cells).toEqual([
      { status: 'ok', number: 3, container: 'c0ffee', layer: id(2), reason: '' }
    ]);
    jest.useFakeTimers();
    let told = 0;
    made.front.changed.connect(() => told++);
    cell.model.deleteMetadata('cellstack');
    for (let key = 0; key < 5; key++) {
      panel.content.modelContentChanged.emit();
    }
    jest.runAllTimers();
    jest.useRealTimers();
    expect(made.front.current?.cells).toEqual([]);
    expect(told).toBe(1);
  });

  it('runs the cells below the one that made a layer', async () => {
    const cells = [new FakeCell('a'), new FakeCell('b', { status: 'ok', layer: id(2) })];
    const panel = new FakePanel(new FakeKernel('k1'), [...cells, new FakeCell('c')]);
    const made = front(panel);
    await made.front.below(id(2))();
    expect(ran).toEqual([['below', 2]]);
    expect(() => made.front.below(id(9))).toThrow('No cell of this notebook');
  });

  it('runs nothing below its last cell', async () => {
    const last = new FakeCell('a', { status: 'ok', layer: id(1) });
    const made = front(new FakePanel(new FakeKernel('k1'), [last]));
    await made.front.below(id(1))();
    expect(ran).toEqual([]);
  });
});

describe('a magic', () => {
  const magic = (kernel: FakeKernel, ask: Ask = async () => null): Promise<string> =>
    runMagic(kernel as unknown as Kernel.IKernelConnection, '%undo', ask);

  it('returns what the kernel shows, as text', async () => {
    const kernel = new FakeKernel('k1');
    kernel.shows = ['one', ['tw', 'o']].map(text => ({
      header: { msg_type: 'display_data' },
      content: { data: { 'text/plain': text, 'text/html': '<b>no</b>' } }
    }));
    expect(await magic(kernel)).toBe('one\ntwo');
    expect(kernel.asked).toEqual(['%undo']);
  });

  it('lets the person answer what the kernel asks; no answer is an empty one', async () => {
    const kernel = new FakeKernel('k1');
    kernel.asks = { prompt: 'Grant it?', password: false };
    await magic(kernel, async prompt => `yes to ${prompt}`);
    await magic(kernel);
    expect(kernel.replied).toEqual([
      { status: 'ok', value: 'yes to Grant it?' },
      { status: 'ok', value: '' }
    ]);
  });

  it("fails with the kernel's sentence, or with what became of it", async () => {
    const kernel = new FakeKernel('k1');
    kernel.reply = { status: 'error', evalue: 'there is nothing to undo' };
    await expect(magic(kernel)).rejects.toThrow('there is nothing to undo');
    kernel.reply = { status: 'aborted' };
    await expect(magic(kernel)).rejects.toThrow('%undo: aborted');
  });
});

describe('lines under cells', () => {
  interface ILines {
    kernel: FakeKernel;
    panel: FakePanel;
    cells: FakeCell[];
    lines: Map<string, ICellLine>;
    isShown: Store<boolean>;
    failures: unknown[];
    all: CellLines;
  }

  async function lines(
    kernel = new FakeKernel('k1'),
    metadata?: object,
    code = 'y = 2'
  ): Promise<ILines> {
    const cells = [new FakeCell('a', metadata, 'x = 1'), new FakeCell('b', undefined, code)];
    const panel = new FakePanel(kernel, cells);
    const shown = new Map<string, ICellLine>();
    const isShown = new Store(true);
    const failures: unknown[] = [];
    const host: ILinesHost = {
      ask: async () => null,
      fields: new Store(DEFAULTS.cellLine),
      isShown,
      render: line => {
        shown.set(line.id, line);
        return new FakeWidget() as unknown as ReactWidget;
      },
      showLayer: () => undefined,
      showContainer: () => undefined,
      fail: error => failures.push(error)
    };
    const all = new CellLines(new FakeTracker(panel) as unknown as INotebookTracker, host);
    await settled();
    return { kernel, panel, cells, lines: shown, isShown, failures, all };
  }

  it('come when there is something to show: a run that was kept, or one that is on', async () => {
    const { kernel, lines: shown } = await lines(undefined, { status: 'ok', layer: id(1) });
    expect([...shown.keys()]).toEqual(['a']);
    kernel.requests('b', 'r1');
    expect(shown.get('b')?.state.value.run).toBe('waits');
  });

  it("keep the record of a reply in the metadata of the request's cell", async () => {
    const { kernel, cells, lines: shown } = await lines();
    kernel.requests('b', 'r1');
    kernel.replies('r1', RECORD);
    expect(cells[1].model.getMetadata('cellstack')).toMatchObject({ status: 'ok', layer: id(1) });
    expect(cells[0].model.getMetadata('cellstack')).toBeUndefined();
    expect(shown.get('b')?.state.value).toMatchObject({ run: 'none', record: { layer: id(1) } });
  });

  it('show a run while another request of the cell waits, and lose an aborted one', async () => {
    const { kernel, cells, lines: shown } = await lines();
    kernel.requests('a', 'r1');
    kernel.requests('a', 'r2');
    kernel.replies('r1', RECORD);
    expect(shown.get('a')?.state.value.run).toBe('waits');
    kernel.replies('r2', RECORD, 'aborted');
    expect(shown.get('a')?.state.value).toMatchObject({ run: 'none', record: null });
    expect(cells[0].model.getMetadata('cellstack')).toBeUndefined();
  });

  it('run once the kernel has taken them up, also when they have been moved meanwhile', async () => {
    const { kernel, panel, cells, lines: shown } = await lines();
    kernel.requests('a', 'r1');
    kernel.requests('b', 'r2');
    kernel.begins('r1');
    expect([shown.get('a')?.state.value.run, shown.get('b')?.state.value.run]).toEqual([
      'on',
      'waits'
    ]);
    const moved = new FakeCell('a', undefined, 'x = 1');
    panel.content.widgets.splice(0, 2, cells[1], moved);
    panel.content.modelContentChanged.emit();
    await settled();
    expect(shown.get('a')?.state.value.run).toBe('on');
    kernel.replies('r1', RECORD);
    expect(moved.model.getMetadata('cellstack')).toMatchObject({ layer: id(1) });
  });

  it('know which kernel runs them', async () => {
    const { lines: shown } = await lines(undefined, { status: 'ok', layer: id(1) });
    expect(shown.get('a')?.kernel).toBe('k1');
  });

  it('go with the outputs that a person clears', async () => {
    const { cells, lines: shown } = await lines(undefined, { status: 'ok', layer: id(1) });
    cells[0].model.clear();
    expect(cells[0].model.getMetadata('cellstack')).toBeUndefined();
    expect(shown.get('a')?.state.value.record).toBeNull();
  });

  it('wait no longer when the kernel restarts, dies or is another one', async () => {
    const { kernel, panel, lines: shown } = await lines();
    for (const end of [
      () => kernel.become('restarting'),
      () => kernel.become('dead'),
      () => panel.use(new FakeKernel('k2'))
    ]) {
      kernel.requests('a', 'r1');
      expect(shown.get('a')?.state.value.run).toBe('waits');
      end();
      expect(shown.get('a')?.state.value.run).toBe('none');
    }
    kernel.requests('a', 'r2');
    expect(shown.get('a')?.state.value.run).toBe('none');
  });

  it('bring up to date what has run while no page was there, where the code is what was run', async () => {
    const kernel = new FakeKernel('k1');
    const outputs = [{ output_type: 'stream', name: 'stdout', text: 'said' }];
    const ended = { number: 3, runs: false, outputs, record: RECORD };
    kernel.kept = [
      { ...ended, cell_id: 'a', code: 'x = 1', request: 'gone1' },
      { ...ended, cell_id: 'b', code: 'y = 1 # as it was', request: 'gone2' }
    ].map((kept, index) => ({ ...kept, number: kept.number + index }));
    const { cells, lines: shown } = await lines(kernel);
    await settled();
    expect(cells[0].model.outputs.toJSON()).toEqual(outputs);
    expect(cells[0].model.executionCount).toBe(3);
    expect(shown.get('a')?.state.value).toMatchObject({ run: 'none', record: { layer: id(1) } });
    expect(cells[1].model.outputs.toJSON()).toEqual([]);
    expect(cells[1].model.executionCount).toBeNull();
  });

  it('find a cell by its code where its id is another since, if no other cell has it', async () => {
    const kernel = new FakeKernel('k1');
    const outputs = [{ output_type: 'stream', name: 'stdout', text: 'said' }];
    const run = { cell_id: 'before', code: 'x = 1', request: 'gone', number: 3, record: RECORD };
    kernel.kept = [{ ...run, runs: false, outputs } as (typeof kernel.kept)[0]];
    const { cells, lines: shown } = await lines(kernel);
    await settled();
    expect(cells[0].model.outputs.toJSON()).toEqual(outputs);
    expect(shown.get('a')?.state.value).toMatchObject({ record: { layer: id(1) } });

    const other = new FakeKernel('k2');
    other.kept = [{ ...run, runs: false, outputs } as (typeof kernel.kept)[0]];
    const twice = await lines(other, undefined, 'x = 1');
    await settled();
    expect(twice.cells.map(cell => cell.model.outputs.length)).toEqual([0, 0]);
  });

  it('follow a run that another page has begun, until it is over', async () => {
    const kernel = new FakeKernel('k1');
    const said = (text: string): object[] => [{ output_type: 'stream', name: 'stdout', text }];
    const run = { cell_id: 'a', code: 'x = 1', request: 'gone', number: 3 };
    kernel.kept = [{ ...run, runs: true, outputs: said('1') } as (typeof kernel.kept)[0]];
    const { cells, lines: shown } = await lines(kernel);
    await settled();
    expect(cells[0].model.executionState).toBe('running');
    expect(shown.get('a')?.state.value.run).toBe('on');
    expect(cells[0].model.outputs.toJSON()).toEqual(said('1'));
    kernel.kept = [
      { ...run, runs: false, outputs: said('12'), record: RECORD } as (typeof kernel.kept)[0]
    ];
    kernel.putsOut('gone');
    await new Promise(resolve => setTimeout(resolve, 600)); // it is asked for twice a second
    expect(cells[0].model.outputs.toJSON()).toEqual(said('12'));
    expect(cells[0].model.executionState).toBe('idle');
    expect(shown.get('a')?.state.value.run).toBe('none');
  });

  it('show what a run of another page has made of displays of other cells, where they are still', async () => {
    const kernel = new FakeKernel('k1');
    const shows = (text: string): object => ({
      output_type: 'display_data',
      data: { 'text/plain': text },
      metadata: {}
    });
    const first = { cell_id: 'a', code: 'x = 1', request: 'r1', number: 1, runs: false, ended: 1 };
    const second = { cell_id: 'b', code: 'y = 2', request: 'gone', number: 2, runs: true };
    const keep = (text: string): void => {
      const updates = [{ number: 1, request: 'r1' }];
      const kept: object[] = [
        { ...first, outputs: [shows(text)] },
        { ...second, ended: null, outputs: [], updates }
      ];
      kernel.kept = kept as typeof kernel.kept;
    };
    keep('one');
    const { cells } = await lines(kernel);
    await settled();
    expect(cells[0].model.outputs.toJSON()).toEqual([shows('one')]);
    keep('two');
    kernel.putsOut('gone');
    await new Promise(resolve => setTimeout(resolve, 600)); // it is asked for twice a second
    expect(cells[0].model.outputs.toJSON()).toEqual([shows('two')]);
    cells[0].model.clear();
    keep('three');
    kernel.putsOut('gone');
    await new Promise(resolve => setTimeout(resolve, 600));
    expect(cells[0].model.outputs.toJSON()).toEqual([]);
  });

  it('stay as they were saved, but for displays that were updated since', async () => {
    const { kernel, cells } = await lines();
    const shown = { output_type: 'display_data', data: { 'text/plain': 'new' }, metadata: {} };
    const run = { runs: false, ended: 1, outputs: [shown] }; // it asks for what is later than 2
    const kept: object[] = [
      { ...run, cell_id: 'a', code: 'x = 1', request: 'r1', number: 1 },
      { ...run, cell_id: 'b', code: 'y = 2', request: 'r2', number: 2 }
    ];
    kernel.kept = kept as typeof kernel.kept;
    cells[1].model.outputs.add({ ...shown, data: { 'text/plain': 'old' } });
    kernel.connectionStatusChanged.emit('connected');
    await settled();
    expect(cells.map(cell => cell.model.outputs.toJSON())).toEqual([[], [shown]]);
  });

  it('show lines that are written over as the page does that sees them come', async () => {
    const kernel = new FakeKernel('k1');
    const said = (text: string): object[] => [{ output_type: 'stream', name: 'stdout', text }];
    const run = { cell_id: 'a', code: 'x = 1', request: 'gone', number: 3, runs: true };
    kernel.kept = [{ ...run, outputs: said('10%') } as (typeof kernel.kept)[0]];
    const { cells } = await lines(kernel);
    await settled();
    let changes = 0;
    cells[0].model.outputs.changed.connect(() => (changes += 1));
    kernel.kept = [{ ...run, outputs: said('10%\r20%\r30\b5%') } as (typeof kernel.kept)[0]];
    for (let times = 0; times < 2; times += 1) {
      kernel.putsOut('gone');
      await new Promise(resolve => setTimeout(resolve, 600)); // it is asked for twice a second
    }
    expect(cells[0].model.outputs.toJSON()).toEqual(said('35%'));
    expect(changes).toBe(1);
  });

  it('take another output where one was cleared', async () => {
    const kernel = new FakeKernel('k1');
    const text = { output_type: 'stream', name: 'stdout', text: 'said' };
    const shown = { output_type: 'display_data', data: { 'text/plain': 'shown' }, metadata: {} };
    const run = { cell_id: 'a', code: 'x = 1', request: 'gone', number: 3, runs: true };
    kernel.kept = [{ ...run, outputs: [text] } as (typeof kernel.kept)[0]];
    const { cells } = await lines(kernel);
    await settled();
    kernel.kept = [{ ...run, outputs: [shown, text] } as (typeof kernel.kept)[0]];
    kernel.putsOut('gone');
    await new Promise(resolve => setTimeout(resolve, 600)); // it is asked for twice a second
    expect(cells[0].model.outputs.toJSON()).toEqual([shown, text]);
  });

  const asks = (cell: FakeCell): string[] =>
    cell.outputArea.widgets.map(({ question }) => question.content.prompt);

  function running(kernel: FakeKernel, request: string): void {
    const run = { cell_id: 'a', code: 'x = 1', request, number: 3, runs: true, outputs: [] };
    kernel.kept = [run as (typeof kernel.kept)[0]];
  }

  it('show what a cell asks that another page has run, until it has an answer from somewhere', async () => {
    const kernel = new FakeKernel('k1');
    running(kernel, 'gone');
    kernel.asksFor('gone', 'one?');
    const { cells } = await lines(kernel);
    await settled();
    kernel.asksFor('gone', 'one?'); // it may come twice
    expect(asks(cells[0])).toEqual(['one?']);
    cells[0].outputArea.widgets[0].answer('yes');
    expect(kernel.replied).toEqual([[{ status: 'ok', value: 'yes' }, kernel.question!.header]]);
    kernel.asksFor('gone', 'two?');
    expect(asks(cells[0])).toEqual(['two?']);
    kernel.asksFor('gone', 'one?'); // an answer that was under way
    expect(asks(cells[0])).toEqual(['two?']);
    kernel.asksFor('gone', 'two?');
    kernel.isAnswered();
    expect(asks(cells[0])).toEqual([]);
  });

  it('ask what a lost connection has dropped, also for the own request of the page, and once', async () => {
    const { kernel, cells } = await lines();
    kernel.requests('a', 'r1');
    kernel.asksFor('r1', 'one?', kernel.clientId, false);
    running(kernel, 'r1');
    for (let times = 0; times < 2; times += 1) {
      kernel.connectionStatusChanged.emit('connected');
      await settled();
      expect(asks(cells[0])).toEqual(['one?']);
    }
    kernel.asksFor('r1', 'two?', kernel.clientId, false); // the other was answered meanwhile
    kernel.connectionStatusChanged.emit('connected');
    await settled();
    expect(asks(cells[0])).toEqual(['two?']);
  });

  it('take away the box of the page itself when another one has answered, and let cells be run', async () => {
    const { kernel, cells } = await lines();
    kernel.requests('a', 'r1');
    kernel.asksFor('r1', 'one?', kernel.clientId);
    cells[0].outputArea.onInputRequest(kernel.question!, kernel); // which JupyterLab does
    kernel.hasPendingInput = true;
    kernel.connectionStatusChanged.emit('connected');
    await settled();
    expect(asks(cells[0])).toEqual(['one?']);
    kernel.isAnswered();
    expect(asks(cells[0])).toEqual([]);
    expect(kernel.hasPendingInput).toBe(false);
  });

  it('bring what a lost connection has dropped, though the reply comes before it is found', async () => {
    const { kernel, cells } = await lines();
    kernel.requests('a', 'r1');
    kernel.connectionStatusChanged.emit('connecting');
    const outputs = [{ output_type: 'stream', name: 'stdout', text: 'said' }];
    const run = { cell_id: 'a', code: 'x = 1', request: 'r1', number: 3, record: RECORD };
    kernel.kept = [{ ...run, runs: false, outputs } as (typeof kernel.kept)[0]];
    kernel.connectionStatusChanged.emit('connected');
    kernel.replies('r1', RECORD);
    await settled();
    expect(cells[0].model.outputs.toJSON()).toEqual(outputs);
  });

  it('are not there for another kernel', async () => {
    const { kernel, lines: shown } = await lines(new FakeKernel('k1', 'ipython'));
    kernel.requests('a', 'r1');
    kernel.replies('r1', null);
    expect(shown.size).toBe(0);
  });

  it('raise a limit and run the cell again; a refusal is told and nothing runs', async () => {
    const { kernel, lines: shown, failures } = await lines();
    kernel.requests('b', 'r1');
    kernel.replies('r1', { ...RECORD, status: 'killed' });
    shown.get('b')?.raiseAndRun('memory=1g');
    await settled();
    expect(kernel.asked).toEqual(['%limits memory=1g']);
    expect(ran).toEqual([['run', 1]]);
    kernel.reply = { status: 'error', evalue: 'above the ceiling' };
    shown.get('b')?.raiseAndRun('memory=9g');
    await settled();
    expect(ran).toHaveLength(1);
    expect(String(failures[0])).toContain('above the ceiling');
  });

  it("raise a limit of the cell's own where it has one, and not the notebook's", async () => {
    const { kernel, cells, lines: shown } = await lines();
    cells[1].model.sharedModel.setSource('\n%layers\n%%container cpus=1 memory=100m\nmemory=1');
    kernel.requests('b', 'r1');
    kernel.replies('r1', { ...RECORD, status: 'killed' });
    shown.get('b')?.raiseAndRun('memory=200m');
    await settled();
    expect(cells[1].model.sharedModel.getSource()).toBe(
      '\n%layers\n%%container cpus=1 memory=200m\nmemory=1'
    );
    expect(kernel.asked).toEqual([]);
    expect(ran).toEqual([['run', 1]]);
    expect(withOwnLimit('%%container cpus=1\nmemory=1', 'memory=200m')).toBeNull();
    expect(withOwnLimit('x = 1\n%%container memory=1g', 'memory=200m')).toBeNull();
  });

  it('go when they are switched off, and listen to nothing when all is over', async () => {
    const { kernel, lines: shown, isShown, all } = await lines();
    isShown.set(false);
    kernel.requests('a', 'r1');
    expect(shown.size).toBe(0);
    all.dispose();
    isShown.set(true);
    expect(shown.size).toBe(0);
  });
});
