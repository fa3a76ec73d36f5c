import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import {
  Clipboard,
  Dialog,
  ICommandPalette,
  InputDialog,
  MainAreaWidget,
  showDialog
} from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ServerConnection } from '@jupyterlab/services';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Api } from './api/client';
import { Events } from './api/events';
import { asker } from './ask';
import { addCommands, CommandIDs, IN_PALETTE } from './commands';
import { applyDefaults } from './defaults';
import { addDifferences } from './differences';
import { Actions } from './model/actions';
import { Model } from './model/model';
import { ISelection } from './model/selection';
import { problemOf, Store } from './model/store';
import { NotebookFront } from './notebook/front';
import { CellLines, ILineFields } from './notebook/lines';
import { DEFAULTS, Settings } from './settings';
import { bundle, IContext, IHost } from './views/host';
import { layersIcon } from './views/icons';
import { cellLineWidget, PanelWidget, statusWidget } from './widgets';

const ID = 'cellstack:plugin';
const PANEL_ID = 'cellstack-panel';
const STATE = 'cellstack:selection';

const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Layers, containers, namespaces and images of Cellstack notebooks.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ILayoutRestorer, ICommandPalette, ISettingRegistry, IStateDB, IStatusBar, ITranslator],
  activate
};

export default plugin;

function activate(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  restorer: ILayoutRestorer | null,
  palette: ICommandPalette | null,
  registry: ISettingRegistry | null,
  state: IStateDB | null,
  statusBar: IStatusBar | null,
  translator: ITranslator | null
): void {
  const trans = bundle(translator ?? nullTranslator);
  const connection: ServerConnection.ISettings = app.serviceManager.serverSettings;
  const api = new Api(connection, trans);

  const ask = asker(trans);
  const front = new NotebookFront(tracker, trans, ask);
  const model = new Model(api, new Events(connection), front);
  const actions = new Actions(model, api, front, trans);

  // After what is to be seen is selected: its tab gets the keyboard's focus.
  const show = (): void => app.shell.activateById(PANEL_ID);
  const host: IHost = {
    openFile: (layer, path, from) => openFile(layer, path, from),
    download: url => {
      const anchor = document.createElement('a');
      anchor.href = url;
      anchor.download = '';
      anchor.click();
    },
    get showTerminal() {
      const command = 'terminal:open'; // of JupyterLab's own extension, which may be switched off
      return app.commands.hasCommand(command)
        ? (name: string, label: string) =>
            void app.commands
              .execute(command, { name })
              .then((opened?: MainAreaWidget) => opened && keepLabel(opened, label))
        : null;
    },
    askText: async (title, label, text) => {
      const answer = await InputDialog.getText({ title, label, text });
      return answer.button.accept && answer.value?.trim() ? answer.value.trim() : null;
    },
    confirm: async (title, body, label) => {
      const buttons = [Dialog.cancelButton(), Dialog.warnButton({ label })];
      return (await showDialog({ title, body, buttons })).button.accept;
    },
    copy: text => Clipboard.copyToSystem(text)
  };
  const context: IContext = { model, actions, host, trans };

  const openFile = addDifferences(app, restorer, context);

  const panel = new PanelWidget(context, model);
  panel.id = PANEL_ID;
  panel.title.icon = layersIcon;
  panel.title.caption = trans.__('Cellstack');
  panel.node.setAttribute('role', 'region');
  panel.node.setAttribute('aria-label', trans.__('Cellstack'));
  app.shell.add(panel, 'right', { rank: 300, type: 'Cellstack' });
  restorer?.add(panel, PANEL_ID);

  const settings = new Settings();
  const fields = new Store<ILineFields>(DEFAULTS.cellLine);
  const isShown = new Store(DEFAULTS.cellLine.show);
  const fail = (error: unknown): void => {
    actions.tell({ kind: 'failed', ...problemOf(error) });
    if (!panel.isVisible) {
      show(); // which takes the keyboard's focus
    }
  };
  new CellLines(tracker, {
    ask,
    fields,
    isShown,
    fail,
    render: line => cellLineWidget(context, line),
    showLayer: layer => {
      model.showLayer(layer);
      show();
    },
    showContainer: container => {
      model.select({ tab: 'containers', container });
      show();
    }
  });
  applyDefaults(tracker, settings, api, trans, ask, fail);
  addCommands(app, model, actions, host, tracker, trans, show);
  for (const { command, args } of IN_PALETTE) {
    palette?.addItem({
      command,
      args: { ...args, isPalette: true },
      category: trans.__('Cellstack')
    });
  }

  const inStatusBar = new Store(DEFAULTS.statusBar);
  const item = statusWidget(context, inStatusBar, () => {
    void app.commands.execute(CommandIDs.show, { tab: 'layers' });
  });
  statusBar?.registerStatusItem(ID, { item, align: 'left', rank: 5 });

  settings.changed.connect((_, value) => {
    fields.set(value.cellLine);
    isShown.set(value.cellLine.show);
    inStatusBar.set(value.statusBar);
    model.interests.setInterval(value.refreshInterval);
  });
  void registry?.load(ID).then(loaded => settings.follow(loaded));

  for (const event of ['pointerdown', 'keydown']) {
    document.addEventListener(event, () => front.stir(), { capture: true, passive: true });
  }
  document.addEventListener('visibilitychange', () =>
    model.interests.setVisible(document.visibilityState === 'visible')
  );
  void restoreSelection(model, state);
}

/** Have a tab say what it is of: a terminal numbers itself once it is connected. */
function keepLabel({ content }: MainAreaWidget, label: string): void {
  const keep = (): void => {
    content.title.label = label;
  };
  content.title.changed.connect(keep);
  keep();
}

/** Bring back what was selected before a reload, and keep what is selected from now on. */
async function restoreSelection(model: Model, state: IStateDB | null): Promise<void> {
  const kept = await state?.fetch(STATE);
  if (kept && typeof kept === 'object') {
    model.restore(kept as Partial<ISelection>);
  }
  model.selection.changed.connect((_, selection) => {
    void state?.save(STATE, { ...selection });
  });
}
