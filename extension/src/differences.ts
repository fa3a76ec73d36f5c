import { ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';

import { IFileText, ILayer } from './api/types';
import { baseName, short, visible } from './model/format';
import { FROM_IMAGE } from './model/selection';
import { Fetched } from './model/store';
import { IContext, IHost } from './views/host';
import { number } from './views/layers';
import { layersIcon } from './views/icons';
import { IDifference } from './views/difference';
import { differenceWidget } from './widgets';

const COMMAND = 'cellstack:show-difference';

class DifferenceWidget extends MainAreaWidget<ReactWidget> {
  constructor(
    readonly shown: IDifference,
    content: ReactWidget
  ) {
    super({ content });
  }
}

/**
 * Return what shows a difference in the main area: each once, and again after a reload.
 *
 * What a reload brings back is anybody's, as a workspace can be given from one to another: it is looked at anew.
 */
export function addDifferences(
  app: JupyterFrontEnd,
  restorer: ILayoutRestorer | null,
  context: IContext
): IHost['openFile'] {
  const { model, trans } = context;
  const tracker = new WidgetTracker<DifferenceWidget>({ namespace: 'cellstack-difference' });
  const show = (shown: IDifference): void => {
    const { session, layer, from, path, after, before } = shown;
    const id = ['cellstack-difference', layer, from ?? '', encodeURIComponent(path)].join(':');
    const there = tracker.find(widget => widget.id === id);
    if (!there) {
      const file = new Fetched<IFileText>();
      const load = (): void => void file.load(() => model.api.file(layer, path, session, from));
      load();
      const widget = new DifferenceWidget(shown, differenceWidget(context, shown, file, load));
      widget.id = id;
      widget.title.label = `${visible(baseName(path))} ${before}→${after}`;
      widget.title.caption = trans.__(
        '%1: layer %2 (%3), compared with %4',
        visible(path),
        after,
        short(layer),
        before
      );
      widget.title.icon = layersIcon;
      app.shell.add(widget, 'main');
      void tracker.add(widget);
    }
    app.shell.activateById(id);
  };
  app.commands.addCommand(COMMAND, {
    label: trans.__('Show what a layer has changed in a file'),
    isVisible: () => false, // it is of no use without what it is to show
    execute: args => {
      const shown = differenceOf(args);
      if (shown) {
        show(shown);
      }
    },
    describedBy: { args: { type: 'object', properties: {} } }
  });
  void restorer?.restore(tracker, {
    command: COMMAND,
    args: widget => ({ ...widget.shown }),
    name: widget => widget.id
  });
  return (layer, path, from) => {
    const session = model.session.value?.id;
    if (session) {
      const layers = model.layers.value.data?.layers ?? [];
      show({ session, layer, from, path, ...sidesOf(layers, layer, from, trans) });
    }
  };
}

/** Return what a layer and the one it is compared with are called, as the notebook numbers them. */
export function sidesOf(
  layers: readonly ILayer[],
  layer: string,
  from: string | null,
  trans: TranslationBundle
): { before: string; after: string } {
  const found = (id: string): ILayer | undefined => layers.find(other => other.id === id);
  const name = (id: string): string => {
    const known = found(id);
    return known ? number(known) : short(id);
  };
  const below = from ?? found(layer)?.parent ?? FROM_IMAGE;
  return {
    before: below === FROM_IMAGE ? trans.__('image') : name(below),
    after: name(layer)
  };
}

/** Return what is to be shown; null when it is none. */
export function differenceOf(args: { [name: string]: unknown }): IDifference | null {
  const { session, layer, from, path, after, before } = args;
  const texts = [session, layer, path, after, before];
  return texts.every(text => typeof text === 'string') &&
    (from === null || typeof from === 'string')
    ? (args as unknown as IDifference)
    : null;
}
