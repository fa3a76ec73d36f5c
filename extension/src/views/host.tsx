import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { Actions } from '../model/actions';
import { Model } from '../model/model';

/** The domain of our strings. */
export const DOMAIN = 'cellstack';

/** What views ask of the window around them. */
export interface IHost {
  /** Show a file of a layer in the main area, beside what it was in `from` (null: in the layer's parent). */
  openFile(layer: string, path: string, from: string | null): void;
  /** Save what lies behind a URL of the server. */
  download(url: string): void;
  /** Show one of Jupyter's terminals, with what its tab says; null where JupyterLab has none. */
  showTerminal: ((name: string, label: string) => void) | null;
  /** Ask for a line of text; null when the person gives none. */
  askText(title: string, label: string, value: string): Promise<string | null>;
  /** Ask whether to do what cannot be undone. */
  confirm(title: string, sentence: string, action: string): Promise<boolean>;
  copy(text: string): void;
}

export interface IContext {
  model: Model;
  actions: Actions;
  host: IHost;
  trans: TranslationBundle;
}

const Context = React.createContext<IContext | null>(null);

export const Provider = Context.Provider;

export function useCellstack(): IContext {
  const context = React.useContext(Context);
  if (context === null) {
    throw new Error('a view of Cellstack stands outside of its Provider');
  }
  return context;
}

export function bundle(translator: ITranslator): TranslationBundle {
  return translator.load(DOMAIN);
}
