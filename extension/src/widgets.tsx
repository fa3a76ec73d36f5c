import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IFileText } from './api/types';
import { Model } from './model/model';
import { Fetched, IReadable } from './model/store';
import { ICellLine } from './notebook/lines';
import { CellLineView } from './views/cellline';
import { DifferenceView, IDifference } from './views/difference';
import { IContext, Provider } from './views/host';
import { PanelView } from './views/panel';
import { openTab } from './views/parts';
import { StatusView } from './views/status';

/** A view of ours in a widget of JupyterLab's. */
export class ViewWidget extends ReactWidget {
  constructor(
    private readonly _context: IContext,
    private readonly _view: () => React.ReactElement
  ) {
    super();
    this.addClass('cellstack');
  }

  protected render(): React.ReactElement {
    return <Provider value={this._context}>{this._view()}</Provider>;
  }
}

/** The side panel. Hidden, it asks the server for nothing. */
export class PanelWidget extends ViewWidget {
  constructor(
    context: IContext,
    private readonly _model: Model
  ) {
    super(context, () => <PanelView />);
    this.addClass('cs-Panel');
  }

  protected onAfterShow(): void {
    this._model.interests.setPanelShown(true);
    this._model.interests.set('panel', { sessions: true });
    void this._model.refresh();
  }

  /** Who brings the panel to the front goes on in it. */
  protected onActivateRequest(): void {
    openTab(this.node)?.focus();
  }

  protected onAfterHide(): void {
    this._model.interests.set('panel', null);
    this._model.interests.setPanelShown(false);
  }
}

export function cellLineWidget(context: IContext, line: ICellLine): ReactWidget {
  return new ViewWidget(context, () => <CellLineView line={line} />);
}

export function statusWidget(
  context: IContext,
  isShown: IReadable<boolean>,
  onClick: () => void
): ReactWidget {
  return new ViewWidget(context, () => <StatusView isShown={isShown} onClick={onClick} />);
}

export function differenceWidget(
  context: IContext,
  shown: IDifference,
  file: Fetched<IFileText>,
  onRetry: () => void
): ReactWidget {
  const widget = new ViewWidget(context, () => (
    <DifferenceView shown={shown} file={file} onRetry={onRetry} />
  ));
  widget.addClass('cs-Document');
  return widget;
}
