import { act, cleanup, fireEvent, render, screen, waitFor } from '@testing-library/react';
import * as React from 'react';

import { ApiError } from '../api/client';
import { FROM_IMAGE } from '../model/selection';
import { Store } from '../model/store';
import { ICellLine, ILineFields, ILineState } from '../notebook/lines';
import { DEFAULTS } from '../settings';
import { CellLineView } from '../views/cellline';
import { Provider } from '../views/host';
import { PanelView } from '../views/panel';
import { StatusView } from '../views/status';
import {
  bench,
  container,
  FakeApi,
  FakeFront,
  IBench,
  id,
  IMAGE,
  layer,
  sample,
  SESSION,
  settled
} from './fakes';

const HOSTILE = '<img src=x onerror="window.pwned=1">';

beforeAll(() => {
  // jsdom lays nothing out: lists would have no room for any row.
  Object.defineProperty(HTMLElement.prototype, 'clientHeight', { get: () => 400 });
  Object.defineProperty(HTMLElement.prototype, 'clientWidth', { get: () => 340 });
});

afterEach(() => {
  cleanup();
  expect((window as { pwned?: number }).pwned).toBeUndefined();
  expect(document.querySelectorAll('img, script')).toHaveLength(0);
});

async function show(prepare?: (api: FakeApi, front: FakeFront) => void): Promise<IBench> {
  const made = await bench(prepare);
  render(
    <div className="cellstack">
      <Provider value={made.context}>
        <PanelView />
      </Provider>
    </div>
  );
  await act(settled);
  return made;
}

async function tab(name: string): Promise<void> {
  fireEvent.click(screen.getByRole('tab', { name }));
  await act(settled);
}

const isOff = (button: HTMLElement): boolean => button.getAttribute('aria-disabled') === 'true';

/** Press a button by the keyboard: it has the focus. */
async function press(name: string | RegExp): Promise<HTMLElement> {
  const button = screen.getByRole('button', { name });
  button.focus();
  fireEvent.click(button);
  await act(settled);
  return button;
}

describe('the panel', () => {
  it('says what to do when no notebook is in front', async () => {
    await show((_, front) => {
      front.current = null;
    });
    expect(screen.getByText('No notebook is in front')).toBeTruthy();
  });

  it('gives a notebook of another kernel a hint and no error', async () => {
    await show((_, front) => {
      front.current = { ...front.current!, kernel: 'other', kernelName: 'Python 3' };
    });
    expect(screen.getByText(/Its kernel is “Python 3”/)).toBeTruthy();
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it('says where the layer is that a line of a notebook with another kernel leads to', async () => {
    const { model } = await show((_, front) => {
      const cells = [
        { status: 'ok' as const, number: 1, container: null, layer: id(1), reason: '' }
      ];
      front.current = { ...front.current!, kernel: 'other', kernelName: 'Python 3', cells };
    });
    act(() => model.showLayer(id(1)));
    expect(screen.getByText(/The layer 000000000000 is of a run/)).toBeTruthy();
    expect(
      screen.getByText(/The kernel of a.ipynb is “Python 3” now. The layer is in/)
    ).toBeTruthy();
    act(() => model.showLayer(id(2)));
    expect(screen.getByText('a.ipynb has no layers')).toBeTruthy();
  });

  it('says that the server cannot be reached and keeps what it had', async () => {
    const { events } = await show(api => {
      api.allLayers = [layer(1, null)];
    });
    act(() => events.become('lost'));
    await act(settled);
    expect(screen.getByText(/cannot be reached/)).toBeTruthy();
    expect(screen.getByText('x = 1')).toBeTruthy();
  });

  it('says in the words of the server why what is shown is from before, as long as it is', async () => {
    const { api, events, model } = await show(api => {
      api.allLayers = [layer(1, null)];
      api.allContainers = [container('c0ffee')];
    });
    await act(() => model.reloadImages());
    api.failure = new ApiError('The store /s is gone.', 'Restore it', 503);
    act(() => events.become('lost'));
    await act(settled);
    for (const name of ['Layers', 'Containers', 'Namespaces', 'Images']) {
      await tab(name);
      expect(screen.getAllByText(/The store \/s is gone/)[0].textContent).toContain('Restore it');
      expect(screen.queryByText(/cannot be reached/)).toBeNull();
    }
    api.failure = new ApiError('The server does not answer', null, 0);
    await act(() => model.refresh());
    expect(screen.getByText(/cannot be reached/)).toBeTruthy();
    api.failure = null;
    act(() => events.become('open'));
    await act(() => model.refresh());
    expect(screen.queryByText(/from before/)).toBeNull();
  });

  it('shows an error with its hint, and tries again', async () => {
    const { api } = await show(api => {
      api.failure = new ApiError('the store is broken', 'Run cellstack doctor', 500);
    });
    expect(screen.getByRole('alert').textContent).toContain(
      'the store is brokenRun cellstack doctor'
    );
    api.failure = null;
    fireEvent.click(screen.getByRole('button', { name: 'Try again' }));
    await act(settled);
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it('goes from section to section by the arrow keys', async () => {
    const { model } = await show();
    fireEvent.keyDown(screen.getByRole('tab', { name: 'Layers' }), { key: 'ArrowRight' });
    expect(model.selection.value.tab).toBe('containers');
    expect(screen.getByRole('tabpanel').getAttribute('aria-labelledby')).toBe(
      'cellstack-tab-containers'
    );
  });
});

describe('layers', () => {
  it('are a list that keys go through', async () => {
    const { model } = await show(api => {
      api.allLayers = [layer(1, null), layer(2, 1), layer(3, 2, { status: 'error' })];
      api.session = { ...SESSION, head: id(3) };
    });
    const list = screen.getByRole('listbox', { name: /Layers/ });
    expect(screen.getAllByRole('option')).toHaveLength(3);
    expect(screen.getAllByRole('option')[0].textContent).toContain('head');
    expect(screen.getAllByRole('option')[0].textContent).toContain('error');
    fireEvent.keyDown(list, { key: 'ArrowDown' });
    fireEvent.keyDown(list, { key: 'ArrowDown' });
    expect(model.selection.value.layer).toBe(id(2));
    await act(settled);
    fireEvent.click(screen.getByRole('button', { name: 'Check out' }));
    await act(settled);
    expect(screen.getByText(`did %checkout ${id(2)}`)).toBeTruthy();
  });

  it('of a thousand only have the rows in the page that can be seen', async () => {
    await show(api => {
      api.allLayers = Array.from({ length: 1000 }, (_, i) => layer(i + 1, i || null));
    });
    const rows = screen.getAllByRole('option');
    expect(rows.length).toBeLessThan(40);
    expect(rows[0].getAttribute('aria-setsize')).toBe('1000');
  });

  it('are scrolled with elements that stay where they are in the page, until the list rests', async () => {
    await show(api => {
      api.allLayers = Array.from({ length: 1000 }, (_, i) => layer(i + 1, i || null));
    });
    const list = screen.getByRole('listbox', { name: /Layers/ });
    const places = (): number[] =>
      screen.getAllByRole('option').map(row => Number(row.getAttribute('aria-posinset')));
    const inOrder = (): number[] => [...places()].sort((a, b) => a - b);
    const scroll = (top: number): void => {
      list.scrollTop = top;
      fireEvent.scroll(list);
    };
    scroll(5000);
    await waitFor(() => expect(places()).toEqual(inOrder()));
    const before = screen.getAllByRole('option');
    scroll(5083);
    scroll(5286);
    const after = screen.getAllByRole('option');
    expect(new Set(after)).toEqual(new Set(before)); // filled anew
    expect(places()).not.toEqual(inOrder());
    await waitFor(() => expect(places()).toEqual(inOrder()));
    expect(inOrder()[0]).toBeGreaterThan(100);
  });

  it('show names that look like markup as text', async () => {
    const { model, opened } = await show(api => {
      api.allLayers = [layer(1, null, { code: HOSTILE, tags: [HOSTILE] })];
    });
    expect(screen.getAllByText(HOSTILE)).toHaveLength(2);
    act(() => model.select({ layer: id(1) }));
    await act(settled);
    expect(screen.getByText(/\/work\/<img/)).toBeTruthy();
    expect(screen.getByText('/work/d/').tagName).toBe('BDI'); // else its end is put in front of it
    fireEvent.doubleClick(screen.getByText(/\/work\/<img/));
    expect(opened[0]).toContain(`${id(1)} /work/<img`);
    fireEvent.click(screen.getByRole('tab', { name: /Variables/ }));
    expect(screen.getByText(/not carried: <img/)).toBeTruthy();
  });

  it('show what would turn a name around or hide in it', async () => {
    const name = 'a\u202e\nb';
    const { api, model } = await show(api => {
      api.allLayers = [layer(1, null, { code: name, tags: ['t\u202e'] })];
    });
    const variable = { size: 8, cell: 1, shared_with: [], not_carried: 'no' };
    api.layer = async () => ({
      ...layer(1, null),
      files: [{ path: `/work/${name}`, kind: 'added', size: 1, type: 'file' }],
      files_total: 1,
      variables: [{ ...variable, name, type: name }],
      variables_error: null
    });
    act(() => model.select({ layer: id(1) }));
    await act(settled);
    expect(screen.getByText('/work/a\\u202e\\nb')).toBeTruthy();
    expect(screen.getByText('a\\u202e')).toBeTruthy();
    expect(screen.getByText('t\\u202e')).toBeTruthy();
    fireEvent.click(screen.getByRole('tab', { name: /Variables/ }));
    expect(screen.getAllByTitle('a\\u202e\\nb')).toHaveLength(2); // name and type, which may be cut
  });

  it('of cells that were interrupted are called so, as under the cell', async () => {
    await show((api, front) => {
      api.allLayers = [1, 2].map(n => layer(n, n - 1 || null, { status: 'error' }));
      const run = { status: 'error' as const, number: 1, container: null };
      const cells = [
        { ...run, layer: id(1), reason: 'interrupt' },
        { ...run, layer: id(2), reason: 'exception' }
      ];
      front.current = { ...front.current!, cells };
    });
    const [second, first] = screen.getAllByRole('option');
    expect(second.querySelector('.cs-mod-failed:not(circle)')?.textContent).toBe('error');
    expect(first.querySelector('.cs-mod-failed:not(circle)')?.textContent).toBe('interrupted');
  });

  it('are scrolled to head where it goes to one of them, and to a new one where head was seen', async () => {
    const scrolled = jest.fn();
    HTMLElement.prototype.scrollTo = scrolled;
    const { events } = await show(api => {
      api.allLayers = Array.from({ length: 300 }, (_, i) => layer(i + 1, i || null));
      api.session = { ...SESSION, head: id(300) };
    });
    const moved = (): number => {
      const { length } = scrolled.mock.calls;
      scrolled.mockClear();
      return length;
    };
    moved();
    act(() => events.tell({ type: 'session', session: { ...SESSION, head: id(10) } }));
    expect(moved()).toBeGreaterThan(0);
    const newer = { type: 'layer' as const, session: SESSION.id, head: id(301) };
    act(() => events.tell({ ...newer, layer: layer(301, 10) })); // here nothing scrolls: [10] is out of sight
    expect(moved()).toBe(0);
    act(() => events.tell({ type: 'session', session: { ...SESSION, head: id(10) } }));
    moved();
    fireEvent.click(screen.getByRole('button', { name: 'Show head in the list' }));
    expect(moved()).toBeGreaterThan(0);
  });

  it('say whose they are when a copied cell leads to one, and when they are there no more', async () => {
    const { api, model } = await show(api => {
      api.allLayers = [layer(1, null)];
      api.session = { ...SESSION, head: id(1) };
    });
    const contents = { files: [], files_total: 0, variables: [], variables_error: null };
    api.layer = async name => {
      if (name === id(9)) {
        throw new Error('no layer');
      }
      return { ...layer(8, null), ...contents, sessions: [SESSION.id] };
    };
    act(() => model.select({ layer: id(8) }));
    await act(settled);
    expect(screen.getByText('This layer is of work/a.ipynb')).toBeTruthy();
    act(() => model.select({ layer: id(9) }));
    await act(settled);
    expect(screen.getByText('This layer is there no more')).toBeTruthy();
  });

  it('say on which image they stand, and are compared with, where it is not that of head', async () => {
    const old = { ...IMAGE, id: 'e'.repeat(64), tags: ['old:1'] };
    const { api, model } = await show(api => {
      api.allImages = [IMAGE, old];
      api.allLayers = [
        layer(1, null, { image: old.id }),
        layer(2, 1, { image: old.id }),
        layer(3, null)
      ];
      api.session = { ...SESSION, head: id(3) };
    });
    const foot = screen.getByRole('button', { name: /^image cellstack/ });
    expect(foot.title).toBe('Show the image that head stands on, cellstack/default:latest');
    expect(screen.getAllByRole('option').map(row => row.textContent!.includes('image'))).toEqual([
      false,
      false,
      true
    ]);
    expect(screen.getByText('on image old:1')).toBeTruthy();
    act(() => model.select({ layer: id(2), against: FROM_IMAGE }));
    await act(settled);
    expect(api.calls).toContain(`diff ${id(2)} image`);
    expect(screen.getByRole('option', { name: 'the image old:1' })).toBeTruthy();
    expect(foot.textContent).not.toContain('compared');
    act(() => model.select({ layer: id(3) }));
    await act(settled);
    expect(foot.textContent).toContain('compared');
  });

  it('are chosen to be compared by their first line of code', async () => {
    const { model } = await show(api => {
      api.allLayers = [layer(1, null, { code: `\n${'long '.repeat(20)}\nx` }), layer(2, 1)];
      api.session = { ...SESSION, head: id(2) };
    });
    act(() => model.select({ layer: id(2) }));
    await act(settled);
    const option = screen.getByRole('combobox').lastElementChild;
    expect(option?.textContent).toBe(`[1] ${id(1).slice(0, 12)} ${'long '.repeat(8)}`);
  });

  it('have a filter for their files where there are many', async () => {
    const many = Array.from({ length: 21 }, (_, i) => ({
      path: `/work/${i % 2 ? 'Odd' : 'even'}/${i}.txt`,
      kind: 'added' as const,
      size: 1,
      type: 'file' as const
    }));
    const { api, model } = await show(api => {
      api.allLayers = [layer(1, null), layer(2, 1)];
    });
    act(() => model.select({ layer: id(1) }));
    await act(settled);
    expect(screen.queryByRole('searchbox')).toBeNull();
    const contents = { files: many, files_total: 21, variables: [], variables_error: null };
    api.layer = async name => ({ ...layer(2, 1), ...contents, id: name });
    act(() => model.select({ layer: id(2) }));
    await act(settled);
    fireEvent.change(screen.getByRole('searchbox'), { target: { value: ' odd/' } });
    expect(screen.getByText('10 of 21')).toBeTruthy();
    const files = screen.getByRole('listbox', { name: /Files/ });
    expect(files.textContent).toContain('/work/Odd/1.txt');
    expect(files.textContent).not.toContain('even');
  });

  it('wait for the image that a new kernel makes', async () => {
    await show(api => {
      api.session = { ...SESSION, image: '' };
      api.imageOfSession = null;
    });
    expect(screen.getByText('The image is being made…')).toBeTruthy();
  });

  it('cannot be moved on while no kernel of ours runs', async () => {
    const { model } = await show((api, front) => {
      api.allLayers = [layer(1, null)];
      api.session = { ...SESSION, head: id(1), kernel_id: null };
      front.current = { ...front.current!, kernel: 'none', kernelId: null };
    });
    await act(() => model.refresh());
    expect(isOff(screen.getByRole('button', { name: /Undo/ }))).toBe(true);
    expect(screen.getByText(/No kernel runs/)).toBeTruthy();
  });

  it('cannot be moved on while a cell runs: head would be another one then', async () => {
    const { front, model } = await show(api => {
      api.allLayers = [layer(1, null), layer(2, 1)];
      api.session = { ...SESSION, head: id(2) };
    });
    act(() => model.select({ layer: id(1) }));
    await act(settled);
    const buttons = (): HTMLElement[] =>
      [/^Undo/, 'Check out', 'Tag…'].map(name => screen.getByRole('button', { name }));
    expect(buttons().some(isOff)).toBe(false);
    act(() => front.bring({ ...front.current!, busy: true }));
    for (const button of buttons()) {
      expect(isOff(button)).toBe(true);
      expect(button.title).toContain('The kernel is busy');
    }
  });

  it('are run from only where a cell of the notebook has them', async () => {
    const { front, model } = await show(api => {
      api.allLayers = [layer(1, null), layer(2, 1)];
      api.session = { ...SESSION, head: id(2) };
    });
    act(() => model.select({ layer: id(1) }));
    await act(settled);
    const button = screen.getByRole('button', { name: 'Run from here' });
    expect(isOff(button)).toBe(true);
    expect(button.title).toBe('No cell of this notebook has that layer as its result');
    const cells = [
      { status: 'ok' as const, number: 1, container: 'c0ffee', layer: id(1), reason: '' }
    ];
    act(() => front.bring({ ...front.current!, cells }));
    expect(isOff(button)).toBe(false);
  });
});

describe("the keyboard's focus", () => {
  const list = (): HTMLElement => screen.getAllByRole('listbox')[0];

  it('stays on a button while what it does is waited for, in which it does nothing', async () => {
    const { front, model } = await show(api => {
      api.allLayers = [layer(1, null), layer(2, 1)];
      api.session = { ...SESSION, head: id(2) };
    });
    act(() => model.select({ layer: id(1) }));
    await act(settled);
    let answer = (): void => undefined;
    front.run = magic => {
      front.magics.push(magic);
      return new Promise(resolve => (answer = () => resolve('')));
    };
    const button = await press('Check out');
    expect(isOff(button)).toBe(true);
    fireEvent.click(button);
    expect(front.magics).toHaveLength(1);
    expect(document.activeElement).toBe(button);
    answer();
    await act(settled);
    expect(isOff(button)).toBe(false);
    expect(document.activeElement).toBe(button);
  });

  it('goes to the list when what is shown of an entry is closed', async () => {
    const { model } = await show(api => {
      api.allLayers = [layer(1, null)];
      api.allContainers = [container('c0ffee')];
      api.allImages = [{ ...IMAGE, in_use_by: [] }];
    });
    act(() => model.select({ layer: id(1), container: 'c0ffee', image: IMAGE.id }));
    await act(settled);
    await press('Close the layer');
    expect(document.activeElement).toBe(list());
    await tab('Containers');
    await press('Close the container');
    expect(document.activeElement).toBe(list());
    await tab('Images');
    await press('Remove…');
    expect(document.activeElement).toBe(list());
  });

  it('goes from the limits to the button that has opened them, and stays with a container that ends', async () => {
    const { events } = await show(api => {
      api.allContainers = [container('c0ffee')];
    });
    await tab('Containers');
    fireEvent.click(screen.getByRole('option'));
    await act(settled);
    const opener = await press('Limits…');
    await press('Apply at once');
    expect(document.activeElement).toBe(opener);
    await press('Kill');
    act(() =>
      events.tell({ type: 'container', container: container('c0ffee', { status: 'ended' }) })
    );
    expect(document.activeElement).toBe(screen.getByRole('group', { name: 'Container c0ffee' }));
  });

  it('goes to the tab of a section that a button opens', async () => {
    await show(api => {
      api.allContainers = [container('c0ffee')];
    });
    await tab('Containers');
    fireEvent.click(screen.getByRole('option'));
    await act(settled);
    await press('Show its namespaces');
    expect(document.activeElement).toBe(screen.getByRole('tab', { name: 'Namespaces' }));
  });
});

describe('the status bar', () => {
  it('names head and image, and no image while it is made', async () => {
    const { context, api, events } = await bench(api => {
      api.session = { ...SESSION, image: '' };
      api.imageOfSession = null;
    });
    render(
      <Provider value={context}>
        <StatusView isShown={new Store(true)} onClick={() => undefined} />
      </Provider>
    );
    expect(screen.getByRole('button').textContent).toBe('head: image');
    api.imageOfSession = IMAGE;
    act(() => events.tell({ type: 'session', session: SESSION }));
    await act(settled);
    expect(screen.getByRole('button').textContent).toBe('head: image · cellstack/default:latest');
  });
});

describe('containers', () => {
  it('show what they use, and are killed', async () => {
    const { api, events } = await show(api => {
      api.allContainers = [container('c0ffee', { command: HOSTILE })];
    });
    await tab('Containers');
    expect(events.last?.containers).toBe('all');
    act(() =>
      events.tell({ type: 'metrics', metrics: [sample('c0ffee', 1), sample('c0ffee', 2)] })
    );
    expect(screen.getByRole('option').textContent).toContain('100 MiB');
    fireEvent.click(screen.getByRole('option'));
    await act(settled);
    expect(screen.getByRole('img', { name: 'memory: 100 MiB of 1 GiB' })).toBeTruthy();
    fireEvent.click(screen.getByRole('button', { name: 'Kill' }));
    await act(settled);
    expect(api.calls).toContain('kill c0ffee');
  });

  it.each([
    ['finished', 0, 'ok', 'finished'],
    ['finished', 3, 'error', 'exit code 3'],
    ['oom', 137, 'error', 'out of memory'],
    ['timeout', 137, 'error', 'out of time'],
    ['interrupt', 1, 'error', 'interrupted'],
    ['stop', 0, 'error', 'stopped'],
    ['kill', 137, 'error', 'killed'],
    ['signal', 139, 'error', 'ended by signal 11']
  ])('that ended by %s with %d are marked %s', async (reason, code, mark, text) => {
    await show(api => {
      const ended = '2026-01-01T10:00:05Z';
      api.allContainers = [container('c0ffee', { status: 'ended', ended, exit: { reason, code } })];
    });
    await tab('Containers');
    const row = screen.getByRole('option');
    expect(row.querySelector('.cs-Chip')?.textContent).toBe(text);
    expect(row.querySelector(`.cs-Container.cs-mod-${mark}`)).toBeTruthy();
    expect(row.textContent).toContain('5 s');
  });

  it('have their cell and the name of their image, and no use that is over', async () => {
    const { events } = await show((api, front) => {
      api.allContainers = [container('c0ffee'), container('abc', { image: 'e'.repeat(64) })];
      front.current = {
        ...front.current!,
        cells: [{ status: 'error', number: 7, container: 'c0ffee', layer: id(1), reason: '' }]
      };
    });
    await tab('Containers');
    const rows = screen.getAllByRole('option');
    expect(rows[0].textContent).toContain('[7]');
    expect(rows[1].textContent).not.toContain('[');
    fireEvent.click(rows[0]);
    await act(settled);
    expect(screen.getByText('cellstack/default:latest')).toBeTruthy();
    for (const [time, bytes] of [
      [1, 2 ** 28],
      [2, 2 ** 20]
    ]) {
      const memory = { bytes, limit: 2 ** 30, peak: null };
      act(() => events.tell({ type: 'metrics', metrics: [sample('c0ffee', time, { memory })] }));
    }
    const ended = container('c0ffee', { status: 'ended' });
    act(() => events.tell({ type: 'container', container: ended }));
    expect(screen.getByText(/before it ended/)).toBeTruthy();
    expect(screen.getByRole('img', { name: 'memory: 256 MiB of 1 GiB' })).toBeTruthy();
    expect(screen.getAllByRole('option')[1].textContent).not.toContain('MiB');
    const exit = { reason: 'finished', code: 0 };
    act(() => events.tell({ type: 'container', container: { ...ended, exit } }));
    expect(screen.getAllByRole('option')[1].textContent).toContain('error'); // as its cell has raised one
  });

  it('have the line of a limit in their charts only where it is near', async () => {
    const near = { bytes: 100 * 2 ** 20, limit: 2 ** 28, peak: null };
    const far = { ...near, limit: 20 * 2 ** 30 };
    const { events } = await show(api => {
      api.allContainers = [container('c0ffee')];
    });
    await tab('Containers');
    fireEvent.click(screen.getByRole('option'));
    await act(settled);
    const chart = (): HTMLElement =>
      screen.getByRole('img', { name: /^memory/ }).closest('figure')!;
    act(() => events.tell({ type: 'metrics', metrics: [sample('c0ffee', 1, { memory: near })] }));
    expect(chart().querySelector('.cs-Chart-limit')).toBeTruthy();
    expect(chart().textContent).toBe('memory100 MiBof 256 MiB');
    act(() => events.tell({ type: 'metrics', metrics: [sample('c0ffee', 2, { memory: far })] }));
    expect(chart().querySelector('.cs-Chart-limit')).toBeNull();
    expect(chart().textContent).toBe('memory100 MiB100 MiBof 20 GiB');
  });

  async function form(): Promise<FakeApi> {
    const { api } = await show(api => {
      api.allContainers = [container('c0ffee')];
    });
    await tab('Containers');
    fireEvent.click(screen.getByRole('option'));
    await act(settled);
    fireEvent.click(screen.getByRole('button', { name: 'Limits…' }));
    return api;
  }

  it.each([
    ['Memory', '2g', { memory: 2 ** 31 }],
    ['Memory', ' ', { memory: null }],
    ['Processors', '', { cpus: null }],
    ['Processes', '64', { pids: 64 }]
  ])('take new limits, and none where a field is emptied: %s “%s”', async (name, text, change) => {
    const api = await form();
    fireEvent.change(screen.getByLabelText(name), { target: { value: text } });
    fireEvent.click(screen.getByRole('button', { name: 'Apply at once' }));
    await act(settled);
    expect(api.calls).toContain(`limits c0ffee ${JSON.stringify(change)}`);
    expect(screen.queryByLabelText(name)).toBeNull();
  });

  it.each([
    ['Memory', 'much', '“much” is not a size. Sizes are written as 512m or 2g.'],
    ['Memory', '1m', 'A container needs 6 MiB of memory or more.'],
    ['Processors', '0', 'Processors are a number of 0.01 or more, as 1.5.'],
    ['Processes', '2.5', 'Processes are a whole number from 1 to 4194304, as 256.']
  ])('take no wrong limits, and say why: %s “%s”', async (name, text, sentence) => {
    const api = await form();
    const field = screen.getByLabelText(name);
    fireEvent.change(field, { target: { value: text } });
    expect(screen.getByText(sentence)).toBeTruthy();
    expect(isOff(screen.getByRole('button', { name: 'Apply at once' }))).toBe(true);
    fireEvent.submit(field);
    await act(settled);
    expect(api.calls.some(call => call.startsWith('limits'))).toBe(false);
  });

  it('open a terminal inside, where JupyterLab has terminals', async () => {
    const { api, context, opened } = await show(api => {
      api.allContainers = [container('c0ffee')];
    });
    await tab('Containers');
    fireEvent.click(screen.getByRole('option'));
    await act(settled);
    fireEvent.click(screen.getByRole('button', { name: 'Terminal' }));
    await act(settled);
    expect(api.calls).toContain('terminal c0ffee');
    expect(opened).toEqual(['terminal cellstack-1 c0ffee']);

    api.failure = new ApiError('it has ended', null, 404);
    fireEvent.click(screen.getByRole('button', { name: 'Terminal' }));
    await act(settled);
    expect(opened).toHaveLength(1);
    expect(screen.getByText('it has ended')).toBeTruthy();

    cleanup();
    context.host.showTerminal = null;
    render(
      <Provider value={context}>
        <PanelView />
      </Provider>
    );
    await act(settled);
    expect(screen.queryByRole('button', { name: 'Terminal' })).toBeNull();
    expect(screen.getByRole('button', { name: 'Kill' })).toBeTruthy();
  });

  it('are not measured any more when another section is open', async () => {
    const { events } = await show(api => {
      api.allContainers = [container('c0ffee')];
    });
    await tab('Containers');
    expect(events.last?.containers).toBe('all');
    await tab('Layers');
    expect(events.last?.containers).toEqual([]);
  });
});

describe('images', () => {
  it('that are in use say by what, and what frees them', async () => {
    const { model } = await show(api => {
      api.allImages = [{ ...IMAGE, in_use_by: [SESSION.id, SESSION.id, 'gone'] }];
    });
    await tab('Images');
    act(() => model.select({ image: IMAGE.id }));
    await act(settled);
    const button = screen.getByRole('button', { name: 'Remove…' });
    expect(isOff(button)).toBe(true);
    expect(button.title).toContain('In use by work/a.ipynb. In use by 1 session whose');
    expect(button.title).toContain('cellstack prune --all');
  });
});

describe('namespaces', () => {
  it('open to what is inside, as text', async () => {
    await show(api => {
      api.allContainers = [container('c0ffee')];
      api.detail = {
        namespaces: [
          {
            kind: 'uts',
            inode: 3,
            host_inode: 1,
            previous_inode: 2,
            isolates: 'the host name',
            inside: { hostname: HOSTILE }
          },
          {
            kind: 'net',
            inode: 1,
            host_inode: 1,
            previous_inode: 1,
            isolates: 'networks',
            inside: { interfaces: [{ name: 'lo', addresses: ['127.0.0.1'], up: true }] }
          }
        ]
      };
    });
    await tab('Namespaces');
    expect(screen.getByText('This cell has 1 of 2 namespaces of its own.')).toBeTruthy();
    expect(screen.getByText(HOSTILE)).toBeTruthy();
    const button = screen.getByRole('button', { name: 'net' });
    fireEvent.click(button);
    expect(button.getAttribute('aria-expanded')).toBe('true');
    expect(screen.getByText('127.0.0.1')).toBeTruthy();
  });
});

describe('the container whose namespaces are shown', () => {
  const other = container('other', {
    session: 'other',
    notebook: 'work/b.ipynb',
    status: 'waiting',
    started: null,
    command: ''
  });
  const chosen = (): HTMLSelectElement => screen.getByRole('combobox', { name: 'Container' });

  it('is never one of another notebook when that in front has a session', async () => {
    const { model, events } = await show(api => {
      api.allContainers = [container('own'), other];
    });
    await tab('Namespaces');
    expect(chosen().value).toBe('own');
    act(() => events.tell({ type: 'container', container: container('own', { status: 'ended' }) }));
    expect(screen.getByText('This notebook has no container now')).toBeTruthy();
    const next = container('next', { status: 'waiting', started: null, command: '' });
    act(() => events.tell({ type: 'container', container: next }));
    expect(chosen().value).toBe('next');
    expect(model.selection.value.container).toBeNull();
    fireEvent.change(chosen(), { target: { value: 'other' } });
    await act(settled);
    expect(model.selection.value.container).toBe('other');
  });

  it('is any where the notebook in front has no session, and says whose it is', async () => {
    const { model } = await show((api, front) => {
      api.allContainers = [other];
      front.current = null;
    });
    await tab('Namespaces');
    await act(() => model.refresh());
    expect(chosen().value).toBe('other');
    expect(chosen().textContent).toBe('other · for the next cell · b.ipynb');
  });

  it('leaves selected in Containers what has ended', async () => {
    const { model } = await show(api => {
      api.allContainers = [container('own'), container('gone', { status: 'ended' })];
    });
    act(() => model.select({ container: 'gone' }));
    await tab('Namespaces');
    expect(chosen().value).toBe('own');
    await tab('Containers');
    expect(model.selection.value.container).toBe('gone');
  });

  it('is that of the next cell while it waits', async () => {
    await show(api => {
      api.allContainers = [{ ...other, session: SESSION.id }];
      const namespace = { kind: 'uts' as const, isolates: 'the host name', inside: {} };
      api.detail = {
        namespaces: [{ ...namespace, inode: 3, host_inode: 1, previous_inode: 2 }]
      };
    });
    await tab('Namespaces');
    expect(screen.getByText(/^The next cell has 1 namespace/)).toBeTruthy();
    expect(screen.getByRole('columnheader', { name: 'next cell' })).toBeTruthy();
  });
});

describe('the line under a cell', () => {
  function line(state: ILineState, done: string[] = []): ICellLine {
    return {
      id: 'cell',
      kernel: 'kernel-1',
      state: new Store(state),
      fields: new Store<ILineFields>(DEFAULTS.cellLine),
      showLayer: name => done.push(`layer ${name}`),
      showContainer: name => done.push(`container ${name}`),
      raiseAndRun: option => done.push(`raise ${option}`)
    };
  }

  const record = {
    status: 'ok' as const,
    number: 1,
    container: 'c0ffee',
    layer: id(1),
    committed: true,
    changes: { added: 2, changed: 0, deleted: 1 },
    wall_seconds: 0.5,
    memory_peak_bytes: 2 ** 29,
    memory_limit: 2 ** 30,
    reason: 'finished',
    signal: null,
    limit: null,
    cache: 'miss' as const
  };

  async function showLine(entry: ICellLine, prepare?: (api: FakeApi) => void): Promise<IBench> {
    const made = await bench(prepare);
    render(
      <Provider value={made.context}>
        <CellLineView line={entry} />
      </Provider>
    );
    return made;
  }

  it('says how the run was and leads to its layer', async () => {
    const done: string[] = [];
    await showLine(line({ record, run: 'none', isLate: false }, done));
    const text = screen.getByRole('group').textContent;
    for (const part of ['c0ffee', 'ok', '500 ms', '512 MiB', '+2', '−1', 'run']) {
      expect(text).toContain(part);
    }
    expect(screen.getByRole('meter').getAttribute('aria-valuenow')).toBe('50');
    fireEvent.click(screen.getByRole('button', { name: /layer/ }));
    expect(done).toEqual([`layer ${id(1)}`]);
  });

  it('of a killed cell names the limit and offers a higher one', async () => {
    const done: string[] = [];
    const killed = {
      ...record,
      status: 'killed' as const,
      reason: 'oom',
      limit: 2 ** 27,
      committed: false
    };
    const { front } = await showLine(line({ record: killed, run: 'none', isLate: false }, done));
    expect(screen.getByText('killed at its memory limit of 128 MiB')).toBeTruthy();
    const button = screen.getByRole('button', { name: 'Raise to 256 MiB and run again' });
    const ours = front.current!;
    act(() => front.bring({ ...ours, kernel: 'other' }));
    expect(button.title).toContain('No Cellstack kernel runs');
    act(() => front.bring({ ...ours, busy: true }));
    expect(button.title).toContain('The kernel is busy');
    fireEvent.click(button);
    expect(done).toEqual([]);
    act(() => front.bring(ours));
    fireEvent.click(button);
    expect(done).toEqual(['raise memory=256m']);
  });

  it('of a running cell asks for the metrics of its container, and shows them', async () => {
    const { events } = await showLine(line({ record: null, run: 'on', isLate: false }), api => {
      api.allContainers = [container('c0ffee')];
    });
    expect(events.last?.containers).toEqual(['c0ffee']);
    act(() => events.tell({ type: 'metrics', metrics: [sample('c0ffee', 1)] }));
    act(() => events.tell({ type: 'metrics', metrics: [sample('c0ffee', 2)] }));
    expect(screen.getByRole('group').textContent).toContain('100 MiB');
    expect(screen.getByRole('group').textContent).toContain('cpu 50 %');
    cleanup();
    expect(events.last?.containers).toEqual([]);
  });

  it('of a cell that waits, or of another kernel, tells of no container', async () => {
    const waits = line({ record: null, run: 'waits', isLate: false });
    const elsewhere = { ...line({ record: null, run: 'on', isLate: false }), kernel: 'kernel-2' };
    for (const entry of [waits, elsewhere]) {
      const { events } = await showLine(entry, api => {
        api.allContainers = [container('c0ffee')];
      });
      expect(screen.getByRole('group').textContent).toBe('waits');
      expect(events.last?.containers).toEqual([]);
      cleanup();
    }
  });
});
