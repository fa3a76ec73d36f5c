/** The kernel's live views, which are an anywidget module of its own. */

interface IModel {
  state: Record<string, unknown>;
  sent: unknown[];
  listeners: Map<string, Set<(value?: unknown) => void>>;
  get(name: string): unknown;
  set(changes: Record<string, unknown>): void;
  say(content: unknown): void;
}

interface IViews {
  default: { render(context: { model: IModel; el: HTMLElement }): () => void };
  rooms(row: unknown): { who: string; span: number; shared: boolean }[];
  size(bytes: number): string;
}

const views = jest.requireActual<IViews>('../../../kernel/cellstack_kernel/widgets/view.js');
const HOSTILE = '<img src=x onerror="window.pwned=1">';

function fakeModel(state: Record<string, unknown>): IModel {
  const listeners: IModel['listeners'] = new Map();
  const call = (event: string, value?: unknown) =>
    [...(listeners.get(event) ?? [])].forEach(callback => callback(value));
  return Object.assign(
    {
      on: (event: string, callback: () => void) =>
        listeners.set(event, (listeners.get(event) ?? new Set()).add(callback)),
      off: (event: string, callback: () => void) => listeners.get(event)?.delete(callback),
      send(this: IModel, content: unknown) {
        this.sent.push(content);
      }
    },
    {
      state,
      sent: [] as unknown[],
      listeners,
      get: (name: string) => state[name],
      set(changes: Record<string, unknown>) {
        Object.assign(state, changes);
        Object.keys(changes).forEach(name => call(`change:${name}`));
        call('change');
      },
      say: (content: unknown) => call('msg:custom', content)
    }
  );
}

function row(kind: string, inside: string[] = []) {
  return { kind, isolates: 'much', inode: 3, host: 1, before: 2, inside };
}

const LIMITS = { memory: 100 * 2 ** 20, cpus: null, pids: 64, timeout: 60 };
const USAGE = {
  number: 3,
  container: 'c',
  running: true,
  seconds: 1.5,
  status: 'running',
  memory: 2 ** 20,
  cpu_seconds: 1,
  pids: 2,
  limits: LIMITS,
  held_by: { memory: 'cgroup' }
};

function dashboard() {
  const layer = { id: 'a', number: 1, depth: 0, code: HOSTILE, added: 1, changed: 0, deleted: 0 };
  const model = fakeModel({
    kind: 'dashboard',
    layers: {
      image: 'i',
      image_layers: 3,
      head: 'a',
      left_out: 0,
      rows: [{ ...layer, size: '1 B', status: 'ok', on_path: true }]
    },
    namespaces: {
      number: 3,
      container: 'c',
      before: 2,
      inside_of: HOSTILE,
      rows: [row('net', ['lo']), row('uts', [HOSTILE])]
    },
    usage: USAGE,
    samples: { number: 3, points: [[0.2, 2 ** 20, null, 2]] },
    limits: { memory: '100m', cpus: '', pids: '64', timeout: '60' }
  });
  const el = document.createElement('div');
  document.body.replaceChildren(el);
  return { model, el, leave: views.default.render({ model, el }) };
}

function input(el: HTMLElement, name: string): HTMLInputElement {
  return el.querySelector<HTMLInputElement>(`input[name=${name}]`)!;
}

test('what comes out of containers is text', () => {
  const { el } = dashboard();
  expect(el.textContent).toContain(HOSTILE);
  expect(el.querySelector('img')).toBeNull();
});

test('the chart follows the samples of the cell, and is named by its value and limit', () => {
  const { el, model } = dashboard();
  const level = el.querySelector('.csv-line')!.getAttribute('d');
  expect(level).toMatch(/^M0\.0 ([\d.]+)L240\.0 \1$/);
  const points = [
    [0.2, 2 ** 20, null, 2],
    [0.7, 50 * 2 ** 20, 90, 2]
  ];
  model.set({ samples: { number: 3, points }, usage: { ...USAGE, memory: 50 * 2 ** 20 } });
  const line = el.querySelector('.csv-line')!.getAttribute('d');
  model.set({ samples: { number: 3, points: [...points, [1.2, 60 * 2 ** 20, 80, 2]] } });
  expect(el.querySelector('.csv-line')!.getAttribute('d')).not.toBe(line);
  const names = [...el.querySelectorAll('[role=img]')].map(one => one.getAttribute('aria-label'));
  expect(names).toEqual([
    'Memory: 50 MiB, of 100 MiB',
    'Processor: 80 %, no limit',
    'Processes: 2, of 64'
  ]);
  model.set({ usage: { ...USAGE, number: 4 } });
  expect(el.querySelector('.csv-line')!.getAttribute('d')).toBe(level); // these were another cell's
});

test('a view says that it is shown, that it takes what it is sent, and that it is gone', () => {
  const { model, leave } = dashboard();
  for (let time = 0; time < 8; time++) {
    model.set({ usage: { ...USAGE, seconds: time } });
  }
  leave();
  expect(model.sent).toEqual([{ kind: 'shown' }, { kind: 'more' }, { kind: 'hidden' }]);
  expect([...model.listeners.values()].every(callbacks => callbacks.size === 0)).toBe(true);
});

test('the form sends what was changed, and keeps what is typed', () => {
  const { el, model } = dashboard();
  model.sent = [];
  input(el, 'memory').value = ' 200m ';
  input(el, 'timeout').value = '';
  model.set({ limits: { memory: '50m', cpus: '', pids: '32', timeout: '60' } });
  expect(input(el, 'memory').value).toBe(' 200m ');
  expect(input(el, 'pids').value).toBe('32');
  el.querySelector('form')!.requestSubmit();
  expect(model.sent).toEqual([
    { kind: 'limits', limits: { memory: '200m', timeout: 'unlimited' } }
  ]);
  model.say({ kind: 'limits', ok: false, text: HOSTILE });
  expect(el.querySelector('[role=status]')!.textContent).toBe(HOSTILE);
  expect(input(el, 'memory').value).toBe(' 200m ');
});

test('what was opened stays open when it is drawn anew, and what has the focus keeps it', () => {
  const { el, model } = dashboard();
  el.querySelector<HTMLDetailsElement>('details[data-details=uts]')!.open = true;
  el.querySelector<HTMLElement>('[data-key=inside-net]')!.tabIndex = 0;
  const facts = model.get('namespaces') as object;
  el.querySelector<HTMLElement>('[data-key=stack]')!.focus();
  model.set({
    namespaces: { ...facts, number: 4 },
    layers: { ...(model.get('layers') as object) }
  });
  const open = [...el.querySelectorAll<HTMLDetailsElement>('details[open]')];
  expect(open.map(one => one.dataset.details)).toEqual(['uts']);
  expect((document.activeElement as HTMLElement).dataset.key).toBe('stack');
});

test('who shares a namespace stands in the same room', () => {
  const { rooms } = views;
  expect(rooms(row('net')).map(room => [room.who, room.span])).toEqual([
    ['host', 1],
    ['before', 1],
    ['own', 1]
  ]);
  expect(rooms({ ...row('net'), inode: 2 })).toEqual([
    { who: 'host', inode: 1, span: 1, shared: false },
    { who: 'before', inode: 2, span: 2, shared: true }
  ]);
});

test('a view is there before any cell has run', () => {
  const model = fakeModel({
    kind: 'cgroup',
    usage: null,
    samples: { number: null, points: [] },
    limits: { memory: '', cpus: '', pids: '', timeout: '' }
  });
  const el = document.createElement('div');
  views.default.render({ model, el });
  expect(el.textContent).toContain('No cell has run yet.');
});
