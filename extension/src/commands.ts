import { JupyterFrontEnd } from '@jupyterlab/application';
import { CodeCell } from '@jupyterlab/cells';
import { INotebookTracker } from '@jupyterlab/notebook';
import { TranslationBundle } from '@jupyterlab/translation';

import { parseSize } from './model/format';
import { Actions } from './model/actions';
import { Model } from './model/model';
import { Tab, TABS } from './model/selection';
import { recordOf } from './notebook/record';
import { IHost } from './views/host';
import { checkoutIcon, layersIcon } from './views/icons';

export namespace CommandIDs {
  export const show = 'cellstack:show';
  export const showCell = 'cellstack:show-cell';
  export const checkoutCell = 'cellstack:checkout-cell';
  export const runFromCell = 'cellstack:run-from-cell';
  export const undo = 'cellstack:undo';
  export const tag = 'cellstack:tag';
  export const limits = 'cellstack:limits';
  export const image = 'cellstack:image';
  export const refresh = 'cellstack:refresh';
}

/** In the palette, in this order. */
export const IN_PALETTE: { command: string; args?: { tab: Tab } }[] = [
  ...TABS.map(tab => ({ command: CommandIDs.show, args: { tab } })),
  { command: CommandIDs.showCell },
  { command: CommandIDs.checkoutCell },
  { command: CommandIDs.runFromCell },
  { command: CommandIDs.undo },
  { command: CommandIDs.tag },
  { command: CommandIDs.limits },
  { command: CommandIDs.image },
  { command: CommandIDs.refresh }
];

/** Register the commands. `show` brings the panel to the front. */
export function addCommands(
  app: JupyterFrontEnd,
  model: Model,
  actions: Actions,
  host: IHost,
  tracker: INotebookTracker,
  trans: TranslationBundle,
  show: () => void
): void {
  const { commands } = app;
  const isOurs = (): boolean => model.notebook.value?.kernel === 'ours';
  /** While a cell runs, head would move later, and from where nobody has seen it yet. */
  const canMove = (): boolean => isOurs() && model.notebook.value?.busy === false;
  const cellLayer = (): string | null => {
    const cell = tracker.activeCell;
    return cell instanceof CodeCell ? (recordOf(cell.model)?.layer ?? null) : null;
  };
  /** Other kernels' notebooks have menus without what is of no use there. */
  const isOfUse = (): boolean =>
    isOurs() || (model.notebook.value?.kernel !== 'other' && cellLayer() !== null);
  const headNumber = (): string => model.session.value?.head ?? '';
  const titles: { [tab in Tab]: string } = {
    layers: trans.__('Show the layers of the notebook'),
    containers: trans.__('Show the containers'),
    namespaces: trans.__('Show the namespaces of a container'),
    images: trans.__('Show the images')
  };
  /** Do what tells in the panel how it went, and show the panel where it failed: who did it elsewhere may not see it. */
  const shown = async (action: () => Promise<unknown>): Promise<void> => {
    await action();
    if (actions.notice.value?.kind === 'failed') {
      show();
    }
  };
  const isTab = (value: unknown): value is Tab => TABS.includes(value as Tab);

  commands.addCommand(CommandIDs.show, {
    label: args => (isTab(args.tab) ? titles[args.tab] : trans.__('Cellstack')),
    caption: trans.__('Show the layers, containers, namespaces and images of Cellstack'),
    icon: args => (args.isPalette ? undefined : layersIcon),
    execute: args => {
      if (isTab(args.tab)) {
        model.select({ tab: args.tab });
      }
      show();
    },
    describedBy: { args: { type: 'object', properties: { tab: { enum: [...TABS] } } } }
  });
  commands.addCommand(CommandIDs.showCell, {
    label: trans.__('Show the layer of this cell'),
    icon: args => (args.isPalette ? undefined : layersIcon),
    isEnabled: () => cellLayer() !== null,
    isVisible: isOfUse,
    execute: () => {
      const layer = cellLayer();
      if (layer !== null) {
        model.showLayer(layer);
      }
      show();
    },
    describedBy: NO_ARGS
  });
  commands.addCommand(CommandIDs.checkoutCell, {
    label: trans.__('Check out the layer of this cell'),
    caption: trans.__('Files and variables become what they were after this cell'),
    icon: args => (args.isPalette ? undefined : checkoutIcon),
    isEnabled: () => canMove() && cellLayer() !== null,
    isVisible: isOfUse,
    execute: async () => {
      const layer = cellLayer();
      if (layer !== null) {
        await shown(() => actions.checkout(layer));
      }
    },
    describedBy: NO_ARGS
  });
  commands.addCommand(CommandIDs.runFromCell, {
    label: trans.__('Check out the layer of this cell and run those below'),
    isEnabled: () => canMove() && cellLayer() !== null,
    isVisible: isOfUse,
    execute: async () => {
      const layer = cellLayer();
      if (layer !== null) {
        await shown(() => actions.runFrom(layer));
      }
    },
    describedBy: NO_ARGS
  });
  commands.addCommand(CommandIDs.undo, {
    label: trans.__('Undo the last cell'),
    caption: trans.__('Files and variables become what they were before it'),
    isEnabled: () => canMove() && headNumber() !== '',
    execute: () => shown(() => actions.undo()),
    describedBy: NO_ARGS
  });
  commands.addCommand(CommandIDs.tag, {
    label: trans.__('Make head an image…'),
    isEnabled: () => canMove() && headNumber() !== '',
    execute: async () => {
      const head = model.session.value?.head;
      const name = await host.askText(
        trans.__('Make head an image'),
        trans.__('Its name, as NAME or NAME:TAG'),
        ''
      );
      if (head && name) {
        await shown(() => actions.tag(head, name));
      }
    },
    describedBy: NO_ARGS
  });
  commands.addCommand(CommandIDs.limits, {
    label: trans.__('Change the memory limit of the notebook…'),
    isEnabled: isOurs,
    execute: async () => {
      const text = await host.askText(
        trans.__('Memory limit of the following cells'),
        trans.__('A size, as 512m or 2g'),
        ''
      );
      if (text === null) {
        return;
      }
      const memory = parseSize(text);
      if (memory === null) {
        const message = trans.__('“%1” is not a size', text);
        actions.tell({
          kind: 'failed',
          message,
          hint: trans.__('Sizes are written as 512m or 2g')
        });
        show();
      } else {
        await shown(() => actions.setLimits({ memory }));
      }
    },
    describedBy: NO_ARGS
  });
  commands.addCommand(CommandIDs.image, {
    label: trans.__('Choose the image of the notebook…'),
    isEnabled: isOurs,
    execute: async () => {
      const name = await host.askText(
        trans.__('Image of the following cells'),
        trans.__('Its name or id'),
        'default'
      );
      if (name) {
        await shown(() => actions.useImage(name));
      }
    },
    describedBy: NO_ARGS
  });
  commands.addCommand(CommandIDs.refresh, {
    label: trans.__('Fetch layers, containers and images anew'),
    execute: () => model.refresh(),
    describedBy: NO_ARGS
  });

  const changed = (): void => commands.notifyCommandChanged();
  model.notebook.changed.connect(changed);
  model.session.changed.connect(changed);
  tracker.activeCellChanged.connect(changed);
}

const NO_ARGS = { args: { type: 'object', properties: {} } };
