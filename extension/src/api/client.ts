import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { TranslationBundle } from '@jupyterlab/translation';

import {
  IContainer,
  IContainerDetail,
  IDiff,
  IFileText,
  IImage,
  IImageDetail,
  IInfo,
  ILayerDetail,
  IMetrics,
  ISession,
  ISessionLayers
} from './types';

/** What went wrong, in a sentence of the server; `status` is 0 when no answer came. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly hint: string | null,
    readonly status: number
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export interface ILimitChange {
  memory?: number | null;
  cpus?: number | null;
  pids?: number | null;
}

export type ContainerAction = 'stop' | 'kill' | 'pause' | 'unpause';

/** What the model asks the server; every method rejects with an ApiError. */
export interface IApi {
  info(): Promise<IInfo>;
  sessions(): Promise<ISession[]>;
  layers(session: string): Promise<ISessionLayers>;
  layer(id: string, session: string): Promise<ILayerDetail>;
  diff(id: string, from: string, session: string): Promise<IDiff>;
  file(id: string, path: string, session: string, from: string | null): Promise<IFileText>;
  downloadUrl(id: string, path: string, session: string): string;
  containers(): Promise<IContainer[]>;
  container(id: string): Promise<IContainerDetail>;
  metrics(id: string): Promise<IMetrics>;
  act(id: string, action: ContainerAction): Promise<void>;
  changeLimits(id: string, change: ILimitChange): Promise<IContainer>;
  /** Start a terminal of Jupyter's inside a container; returns its name. */
  openTerminal(id: string): Promise<string>;
  images(): Promise<IImage[]>;
  image(id: string): Promise<IImageDetail>;
  removeImage(id: string): Promise<void>;
}

/** The REST side of the server extension. */
export class Api implements IApi {
  constructor(
    private readonly _settings: ServerConnection.ISettings,
    private readonly _trans: TranslationBundle
  ) {}

  info(): Promise<IInfo> {
    return this._get('info');
  }

  async sessions(): Promise<ISession[]> {
    return (await this._get<{ sessions: ISession[] }>('sessions')).sessions;
  }

  layers(session: string): Promise<ISessionLayers> {
    return this._get(`sessions/${part(session)}/layers`);
  }

  layer(id: string, session: string): Promise<ILayerDetail> {
    return this._get(`layers/${part(id)}${query({ session })}`);
  }

  diff(id: string, from: string, session: string): Promise<IDiff> {
    return this._get(`layers/${part(id)}/diff${query({ from, session })}`);
  }

  file(id: string, path: string, session: string, from: string | null): Promise<IFileText> {
    return this._get(`layers/${part(id)}/file${query({ path, session, from })}`);
  }

  downloadUrl(id: string, path: string, session: string): string {
    return this._url(`layers/${part(id)}/download${query({ path, session })}`);
  }

  async containers(): Promise<IContainer[]> {
    return (await this._get<{ containers: IContainer[] }>('containers')).containers;
  }

  container(id: string): Promise<IContainerDetail> {
    return this._get(`containers/${part(id)}`);
  }

  metrics(id: string): Promise<IMetrics> {
    return this._get(`containers/${part(id)}/metrics`);
  }

  act(id: string, action: ContainerAction): Promise<void> {
    return this._request(`containers/${part(id)}/${action}`, 'POST');
  }

  changeLimits(id: string, change: ILimitChange): Promise<IContainer> {
    return this._request(`containers/${part(id)}/limits`, 'PATCH', change);
  }

  async openTerminal(id: string): Promise<string> {
    return (await this._request<{ name: string }>(`containers/${part(id)}/terminal`, 'POST')).name;
  }

  async images(): Promise<IImage[]> {
    return (await this._get<{ images: IImage[] }>('images')).images;
  }

  image(id: string): Promise<IImageDetail> {
    return this._get(`images/${part(id)}`);
  }

  removeImage(id: string): Promise<void> {
    return this._request(`images/${part(id)}`, 'DELETE');
  }

  private _get<T>(path: string): Promise<T> {
    return this._request(path, 'GET');
  }

  private _url(path: string): string {
    return URLExt.join(this._settings.baseUrl, 'cellstack/api') + '/' + path;
  }

  private async _request<T>(path: string, method: string, body?: unknown): Promise<T> {
    // With "no-store", its default, makeRequest puts the time into the query, which the server does not take.
    const init: RequestInit = { method, cache: 'no-cache' };
    if (body !== undefined) {
      init.body = JSON.stringify(body);
    }
    let response: Response;
    let text: string;
    try {
      response = await ServerConnection.makeRequest(this._url(path), init, this._settings);
      text = await response.text();
    } catch (error) {
      const sentence = this._trans.__('The server does not answer (%1)', (error as Error).message);
      throw new ApiError(sentence, null, 0);
    }
    const answer = parsed(text);
    if (!response.ok) {
      const { message, hint } = (answer ?? {}) as { message?: string; hint?: string | null };
      const status = `${response.status} ${response.statusText}`;
      const sentence = message || this._trans.__('The server answered %1', status);
      throw new ApiError(sentence, hint ?? null, response.status);
    }
    return answer as T;
  }
}

/** Return the JSON of an answer; undefined for none, and for a page that is no JSON (as a proxy's error). */
function parsed(text: string): unknown {
  try {
    return text ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}

const part = encodeURIComponent;

function query(values: { [name: string]: string | null }): string {
  const given = Object.entries(values).filter(([, value]) => value !== null);
  return given.length
    ? '?' + given.map(([name, value]) => `${name}=${part(value!)}`).join('&')
    : '';
}
