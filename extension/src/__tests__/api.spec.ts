import { ServerConnection } from '@jupyterlab/services';

import { Api, ApiError } from '../api/client';
import { ConnectionStatus, Events } from '../api/events';
import { ServerEvent } from '../api/types';
import { trans } from './fakes';

/** Answers what the server was asked, and keeps the questions. */
function server(
  text: string,
  more: { ok?: boolean; status?: number; statusText?: string } = {}
): { api: Api; asked: [string, RequestInit][] } {
  const asked: [string, RequestInit][] = [];
  const answer = { ok: true, status: 200, statusText: 'OK', text: async () => text, ...more };
  jest.spyOn(ServerConnection, 'makeRequest').mockImplementation(async (url, init) => {
    asked.push([url, init]);
    return answer as Response;
  });
  const settings = { baseUrl: 'http://host/user/me/' } as ServerConnection.ISettings;
  return { api: new Api(settings, trans), asked };
}

afterEach(() => jest.restoreAllMocks());

describe('the REST client', () => {
  it('asks below the base URL, with what goes into it written so that it stays in its place', async () => {
    const { api, asked } = server('{"text": "x"}');
    await api.file('a/b', '/work/a b&c?.txt', 's#', null);
    expect(asked[0][0]).toBe(
      'http://host/user/me/cellstack/api/layers/a%2Fb/file?path=%2Fwork%2Fa%20b%26c%3F.txt&session=s%23'
    );
    expect(asked[0][1].method).toBe('GET');
  });

  it('sends what changes as JSON', async () => {
    const { api, asked } = server('{}');
    await api.changeLimits('c', { memory: 1, pids: null });
    expect(asked[0][1]).toMatchObject({ method: 'PATCH', body: '{"memory":1,"pids":null}' });
    await api.removeImage('i');
    expect(asked[1][1]).toMatchObject({ method: 'DELETE' });
    expect(asked[1][1].body).toBeUndefined();
  });

  it('takes lists out of their answers, and an empty answer for nothing', async () => {
    expect(await server('{"containers": [1]}').api.containers()).toEqual([1]);
    expect(await server('').api.act('c', 'kill')).toBeUndefined();
  });

  it("fails with the server's sentence and hint", async () => {
    const { api } = server('{"message": "it has ended", "hint": "Run it again"}', {
      ok: false,
      status: 404
    });
    const error = (await api.container('c').catch(reason => reason)) as ApiError;
    expect(error).toBeInstanceOf(ApiError);
    expect([error.message, error.hint, error.status]).toEqual([
      'it has ended',
      'Run it again',
      404
    ]);
  });

  it('has a sentence also for a page of a proxy, and for no answer at all', async () => {
    const { api } = server('<html>', { ok: false, status: 502, statusText: 'Bad Gateway' });
    await expect(api.info()).rejects.toThrow('The server answered 502 Bad Gateway');
    jest.spyOn(ServerConnection, 'makeRequest').mockRejectedValue(new Error('refused'));
    await expect(api.info()).rejects.toMatchObject({
      status: 0,
      message: expect.stringContaining('refused')
    });
  });
});

class FakeSocket {
  static all: FakeSocket[] = [];
  readyState = 0;
  sent: object[] = [];
  onopen = (): void => undefined;
  onclose = (): void => undefined;
  onmessage = (_: { data: string }): void => undefined;

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.readyState = 3;
    this.onclose();
  }

  opens(): void {
    this.readyState = 1;
    this.onopen();
  }
}

describe('the websocket', () => {
  const NOTHING = { sessions: [] as string[], containers: [] as string[], interval: 1 };
  const ALL = { sessions: 'all' as const, containers: [] as string[], interval: 1 };

  beforeEach(() => {
    FakeSocket.all = [];
    jest.useFakeTimers();
  });
  afterEach(() => jest.useRealTimers());

  function events(more: object = {}): { events: Events; became: ConnectionStatus[] } {
    const settings = {
      wsUrl: 'ws://host/user/me/',
      token: 'a&b',
      appendToken: false,
      WebSocket: FakeSocket,
      ...more
    };
    const made = new Events(settings as unknown as ServerConnection.ISettings);
    const became: ConnectionStatus[] = [];
    made.statusChanged.connect((_, status) => void became.push(status));
    return { events: made, became };
  }

  it('is opened when something is wanted, and says what', () => {
    const { events: made, became } = events();
    made.subscribe(NOTHING);
    expect(FakeSocket.all).toHaveLength(0);
    made.subscribe(ALL);
    made.subscribe({ ...ALL, interval: 2 });
    const [socket] = FakeSocket.all;
    expect(socket.url).toBe('ws://host/user/me/cellstack/api/events');
    socket.opens();
    expect(socket.sent).toEqual([{ type: 'subscribe', ...ALL, interval: 2 }]);
    expect(became).toEqual(['open']);
    made.subscribe(NOTHING);
    expect(socket.sent).toHaveLength(2);
  });

  it('has the token in its URL where that is asked for', () => {
    events({ appendToken: true }).events.subscribe(ALL);
    expect(FakeSocket.all[0].url).toMatch(/\?token=a%26b$/);
  });

  it('tells what it is told', () => {
    const { events: made } = events();
    const told: ServerEvent[] = [];
    made.received.connect((_, event) => void told.push(event));
    made.subscribe(ALL);
    FakeSocket.all[0].onmessage({ data: '{"type": "reset"}' });
    expect(told).toEqual([{ type: 'reset' }]);
  });

  it('is opened again when it breaks, later each time, until it works', () => {
    const { events: made, became } = events();
    made.subscribe(ALL);
    FakeSocket.all[0].opens();
    FakeSocket.all[0].close();
    expect(became).toEqual(['open', 'lost']);
    for (const wait of [500, 1000, 2000]) {
      const count = FakeSocket.all.length;
      jest.advanceTimersByTime(wait - 1);
      expect(FakeSocket.all).toHaveLength(count);
      jest.advanceTimersByTime(1);
      expect(FakeSocket.all).toHaveLength(count + 1);
      FakeSocket.all[count].close();
    }
    jest.advanceTimersByTime(15_000);
    const last = FakeSocket.all[FakeSocket.all.length - 1];
    last.opens();
    expect(last.sent).toEqual([{ type: 'subscribe', ...ALL }]);
    expect(became).toEqual(['open', 'lost', 'open']);
    last.close();
    jest.advanceTimersByTime(500);
    expect(FakeSocket.all[FakeSocket.all.length - 1]).not.toBe(last);
  });

  it('is not opened again once it is disposed of', () => {
    const { events: made } = events();
    made.subscribe(ALL);
    FakeSocket.all[0].opens();
    made.dispose();
    jest.advanceTimersByTime(60_000);
    expect(FakeSocket.all).toHaveLength(1);
  });
});
