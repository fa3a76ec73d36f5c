import { ISubscription } from '../api/types';

/** What one view wants to be told about. */
export interface IInterest {
  /** Sessions, their layers and containers. */
  sessions?: boolean;
  /** Containers whose metrics it draws. */
  containers?: readonly string[] | 'all';
  /** Only while the side panel is shown: hidden, its views stay as they are. */
  inPanel?: boolean;
}

/**
 * Who looks at what. The server is asked for what somebody looks at, and for nothing in a hidden window.
 */
export class Interests {
  constructor(private readonly _say: (wanted: ISubscription) => void) {}

  /** Say what the view `who` wants from now on; null for nothing. */
  set(who: string, wanted: IInterest | null): void {
    if (wanted === null) {
      this._wanted.delete(who);
    } else {
      this._wanted.set(who, wanted);
    }
    this._update();
  }

  /** Whether the window can be seen. */
  setVisible(visible: boolean): void {
    this._visible = visible;
    this._update();
  }

  /** Whether the side panel is shown in it. */
  setPanelShown(shown: boolean): void {
    this._panelShown = shown;
    this._update();
  }

  get isPanelSeen(): boolean {
    return this._visible && this._panelShown;
  }

  setInterval(seconds: number): void {
    this._interval = Math.min(60, Math.max(0.5, seconds));
    this._update();
  }

  private _update(): void {
    const wanted = this._merged();
    const text = JSON.stringify(wanted);
    if (text !== this._said) {
      this._said = text;
      this._say(wanted);
    }
  }

  private _merged(): ISubscription {
    const views = this._visible
      ? [...this._wanted.values()].filter(view => this._panelShown || !view.inPanel)
      : [];
    const all = views.some(view => view.containers === 'all');
    const ids = new Set(views.flatMap(view => (view.containers as readonly string[]) ?? []));
    return {
      sessions: views.some(view => view.sessions) ? 'all' : [],
      containers: all ? 'all' : [...ids].sort(),
      interval: this._interval
    };
  }

  private _interval = 1;
  private _panelShown = true;
  private _said = '';
  private _visible = true;
  private _wanted = new Map<string, IInterest>();
}
