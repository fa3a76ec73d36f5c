import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { TranslationBundle } from '@jupyterlab/translation';

import { IApi } from './api/client';
import { sessionOf } from './model/lists';
import { Ask, isOurs, runMagic } from './notebook/front';
import { METADATA } from './notebook/record';
import { ISettings, magicsFor, Settings } from './settings';

/**
 * Give notebooks that say nothing of image and limits those of the settings, when their kernel is new.
 *
 * What is set goes through the same magics as what a person types, so the ceiling holds for it, too.
 */
export function applyDefaults(
  tracker: INotebookTracker,
  settings: Settings,
  api: IApi,
  trans: TranslationBundle,
  ask: Ask,
  fail: (error: unknown) => void
): void {
  tracker.widgetAdded.connect((_, panel) => {
    const apply = (): void => void applyTo(panel, settings.value, api, trans, ask).catch(fail);
    panel.sessionContext.kernelChanged.connect(apply);
    panel.sessionContext.statusChanged.connect((_, status) => {
      if (status === 'restarting') {
        void panel.sessionContext.ready.then(apply);
      }
    });
  });
}

async function applyTo(
  panel: NotebookPanel,
  settings: ISettings,
  api: IApi,
  trans: TranslationBundle,
  ask: Ask
): Promise<void> {
  const kernel = panel.sessionContext.session?.kernel ?? null;
  const asked = (panel.context.model.getMetadata(METADATA) ?? {}) as { [name: string]: unknown };
  const magics = magicsFor(settings, asked, trans);
  if (kernel === null || magics === '' || !(await isOurs(kernel))) {
    return;
  }
  const notebook = { path: panel.context.localPath, kernelId: kernel.id };
  const session = sessionOf(notebook, await api.sessions());
  if (!session?.live || session.cells === 0) {
    await runMagic(kernel, magics, ask);
  }
}
