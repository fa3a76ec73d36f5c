import { JupyterFrontEnd } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { CommandRegistry } from '@lumino/commands';

import { addCommands, CommandIDs } from '../commands';
import { bench, IBench, id, layer, SESSION, trans } from './fakes';
import { FakeCell } from './notebook';

jest.mock('@jupyterlab/cells', () => ({ CodeCell: jest.requireActual('./notebook').FakeCell }));

const OF_A_CELL = [CommandIDs.showCell, CommandIDs.checkoutCell, CommandIDs.runFromCell];

/** The commands beside a notebook whose active cell has run. */
async function commands(): Promise<IBench & { commands: CommandRegistry; show: jest.Mock }> {
  const made = await bench(api => {
    api.allLayers = [layer(1, null)];
    api.session = { ...SESSION, head: id(1) };
  });
  const registry = new CommandRegistry();
  const { model, actions, context } = made;
  const app = { commands: registry } as unknown as JupyterFrontEnd;
  const tracker = {
    activeCell: new FakeCell('a', { status: 'ok', layer: id(1) }),
    activeCellChanged: { connect: () => true }
  } as unknown as INotebookTracker;
  const show = jest.fn();
  addCommands(app, model, actions, context.host, tracker, trans, show);
  return { ...made, commands: registry, show };
}

describe('commands', () => {
  it('of cells are in no menu of a notebook of another kernel', async () => {
    const { commands: registry, front } = await commands();
    expect(OF_A_CELL.map(command => registry.isVisible(command))).toEqual([true, true, true]);
    front.bring({ ...front.current!, kernel: 'none', kernelId: null });
    expect(OF_A_CELL.map(command => registry.isVisible(command))).toEqual([true, true, true]);
    front.bring({ ...front.current!, kernel: 'other' });
    expect(OF_A_CELL.map(command => registry.isVisible(command))).toEqual([false, false, false]);
  });

  it('that move head wait for no cell: it would be another head then', async () => {
    const moving = [
      CommandIDs.checkoutCell,
      CommandIDs.runFromCell,
      CommandIDs.undo,
      CommandIDs.tag
    ];
    const { commands: registry, front } = await commands();
    expect(moving.every(command => registry.isEnabled(command))).toBe(true);
    front.bring({ ...front.current!, busy: true });
    expect(moving.some(command => registry.isEnabled(command))).toBe(false);
    expect(registry.isEnabled(CommandIDs.limits)).toBe(true);
  });

  it.each([
    [CommandIDs.checkoutCell, 'work/a.ipynb'],
    [CommandIDs.runFromCell, 'work/a.ipynb'],
    [CommandIDs.undo, 'work/a.ipynb'],
    [CommandIDs.tag, 'nosuch:1'],
    [CommandIDs.limits, 'much'],
    [CommandIDs.limits, '2g'],
    [CommandIDs.image, 'nosuch:1']
  ])('show the panel where they fail: %s, answered by %s', async (command, answer) => {
    const { commands: registry, context, front, show } = await commands();
    context.host.askText = async () => answer;
    front.refuses = /./;
    await registry.execute(command);
    expect(show).toHaveBeenCalled();
  });

  it('leave the panel where it is when all goes well', async () => {
    const { commands: registry, show } = await commands();
    await registry.execute(CommandIDs.undo);
    await registry.execute(CommandIDs.image);
    expect(show).not.toHaveBeenCalled();
  });
});
