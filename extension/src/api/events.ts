import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { ISubscription, ServerEvent } from './types';

export type ConnectionStatus = 'connecting' | 'open' | 'lost';

/** The websocket side of the server extension. */
export interface IEvents extends IDisposable {
  readonly received: ISignal<this, ServerEvent>;
  readonly status: ConnectionStatus;
  readonly statusChanged: ISignal<this, ConnectionStatus>;
  /** Say what to be told about; it replaces what was said before. */
  subscribe(wanted: ISubscription): void;
}

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

/**
 * A websocket that is opened again when it breaks, with the last subscription said again.
 *
 * Nothing is open as long as nothing is subscribed.
 */
export class Events implements IEvents {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  get received(): ISignal<this, ServerEvent> {
    return this._received;
  }

  get status(): ConnectionStatus {
    return this._status;
  }

  get statusChanged(): ISignal<this, ConnectionStatus> {
    return this._statusChanged;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  subscribe(wanted: ISubscription): void {
    this._wanted = wanted;
    if (this._socket?.readyState === WebSocket.OPEN) {
      this._say();
    } else if (!this._socket && this._timer === undefined && !isNothing(wanted)) {
      this._open();
    }
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    window.clearTimeout(this._timer);
    this._socket?.close();
    this._socket = null;
    Signal.clearData(this);
  }

  private _open(): void {
    const { wsUrl, token, appendToken } = this._settings;
    let url = URLExt.join(wsUrl, 'cellstack/api/events');
    if (appendToken && token) {
      url += `?token=${encodeURIComponent(token)}`;
    }
    const socket = new this._settings.WebSocket(url);
    this._socket = socket;
    socket.onopen = () => {
      this._wait = FIRST_WAIT;
      this._say();
      this._become('open');
    };
    socket.onmessage = event => this._received.emit(JSON.parse(String(event.data)) as ServerEvent);
    socket.onclose = () => this._closed();
  }

  private _say(): void {
    this._socket?.send(JSON.stringify({ type: 'subscribe', ...this._wanted }));
  }

  private _closed(): void {
    this._socket = null;
    if (this._isDisposed) {
      return;
    }
    this._become('lost');
    this._timer = window.setTimeout(() => {
      this._timer = undefined;
      this._open();
    }, this._wait);
    this._wait = Math.min(this._wait * 2, LONGEST_WAIT);
  }

  private _become(status: ConnectionStatus): void {
    if (status !== this._status) {
      this._status = status;
      this._statusChanged.emit(status);
    }
  }

  private _isDisposed = false;
  private _received = new Signal<this, ServerEvent>(this);
  private _socket: WebSocket | null = null;
  private _status: ConnectionStatus = 'connecting';
  private _statusChanged = new Signal<this, ConnectionStatus>(this);
  private _timer: number | undefined;
  private _wait = FIRST_WAIT;
  private _wanted: ISubscription = { sessions: [], containers: [], interval: 1 };
}

function isNothing(wanted: ISubscription): boolean {
  return wanted.sessions.length === 0 && wanted.containers.length === 0;
}
