import { ApiError } from '../api/client';
import { IContainer, ISessionLayers } from '../api/types';
import { sessionOf } from '../model/lists';
import { KEPT } from '../model/metrics';
import { FROM_IMAGE } from '../model/selection';
import { bench, container, IBench, id, IMAGE, layer, sample, SESSION, settled } from './fakes';

const three = [layer(1, null), layer(2, 1), layer(3, 2)];

describe('the session of the notebook in front', () => {
  it('is the one of its kernel, with its layers', async () => {
    const { model } = await bench(api => {
      api.allLayers = three;
    });
    expect(model.session.value?.id).toBe(SESSION.id);
    expect(model.layers.value.data?.layers).toHaveLength(3);
  });

  it('is the last one of the file while no kernel runs', () => {
    const notebook = { path: 'work/a.ipynb', kernelId: null };
    const old = { ...SESSION, id: 'old', live: false, kernel_id: null };
    const last = { ...old, id: 'last', created: '2026-02-01T00:00:00Z' };
    const other = { ...last, id: 'other', notebook: 'work/b.ipynb' };
    expect(sessionOf(notebook, [old, last, other])?.id).toBe('last');
  });

  it('is found when its kernel has started it after the notebook was opened', async () => {
    const { api, model, events } = await bench(api => {
      api.session = { ...SESSION, notebook: 'x.ipynb', kernel_id: 'another' };
    });
    expect(model.session.value).toBeNull();
    api.session = SESSION;
    events.tell({ type: 'session', session: SESSION });
    await settled();
    expect(model.session.value?.id).toBe(SESSION.id);
    expect(model.layers.value.data).not.toBeNull();
  });

  it('is none for another kernel, of which nothing is asked', async () => {
    const { model, events } = await bench((_, front) => {
      front.current = { ...front.current!, kernel: 'other' };
    });
    expect(model.session.value).toBeNull();
    expect(events.last).toMatchObject({ sessions: [], containers: [] });
  });

  it('changes with the notebook in front', async () => {
    const { model, front } = await bench();
    front.bring({ ...front.current!, path: 'work/b.ipynb', kernelId: 'kernel-2' });
    await settled();
    expect(model.session.value).toBeNull();
    expect(model.layers.value.data).toBeNull();
  });
});

describe('news', () => {
  it('of a layer move head, and what it reaches', async () => {
    const { model, events } = await bench(api => {
      api.allLayers = three.slice(0, 2);
      api.session = { ...SESSION, head: id(2) };
    });
    events.tell({ type: 'layer', session: SESSION.id, layer: layer(3, 1), head: id(3) });
    const { data } = model.layers.value;
    expect(data?.head).toBe(id(3));
    expect(data?.layers.filter(entry => entry.on_path).map(entry => entry.number)).toEqual([1, 3]);
  });

  it('of a head that the cache gave, so that no layer is new, have the layers fetched', async () => {
    const { api, model, events } = await bench(api => {
      api.allLayers = three.slice(0, 1);
      api.session = { ...SESSION, head: id(1) };
    });
    api.allLayers = three;
    api.session = { ...SESSION, head: id(3) };
    api.calls = [];
    events.tell({ type: 'session', session: api.session });
    await settled();
    expect(model.layers.value.data?.layers).toHaveLength(3);
    api.calls = [];
    events.tell({ type: 'session', session: { ...SESSION, head: id(2) } });
    await settled();
    expect(model.layers.value.data?.head).toBe(id(2));
    expect(api.calls).toEqual([]);
  });

  it('of such a head are not lost to an older answer', async () => {
    const { api, model, events } = await bench();
    const answers: ((layers: ISessionLayers) => void)[] = [];
    api.layers = () => new Promise(resolve => answers.push(resolve));
    const fetched = model.refresh();
    await settled();
    const session = { ...SESSION, head: id(1) };
    events.tell({ type: 'session', session });
    const older = { session: SESSION, head: null, layers: [], image: IMAGE };
    answers.forEach((answer, turn) =>
      answer(turn === 0 ? older : { ...older, session, head: id(1), layers: [layer(1, null)] })
    );
    await fetched;
    await settled();
    expect(model.layers.value.data?.layers.map(entry => entry.id)).toEqual([id(1)]);
  });

  it('of another session leave the layers as they are', async () => {
    const { model, events } = await bench(api => {
      api.allLayers = three;
    });
    const before = model.layers.value.data;
    events.tell({ type: 'layer', session: 'other', layer: layer(9, null), head: id(9) });
    expect(model.layers.value.data).toBe(before);
  });

  it('of containers put those that run first and leave out what never ran', async () => {
    const { model, events } = await bench(api => {
      api.allContainers = [container('a', { status: 'waiting', started: null })];
    });
    events.tell({ type: 'container', container: container('b') });
    expect(model.containers.value.data?.map(entry => entry.id)).toEqual(['b', 'a']);
    events.tell({
      type: 'container',
      container: container('a', { status: 'ended', started: null })
    });
    events.tell({ type: 'container', container: container('b', { status: 'ended' }) });
    events.tell({ type: 'container', container: container('c', { status: 'ended', command: '' }) });
    expect(model.containers.value.data?.map(entry => entry.id)).toEqual(['b']);
  });

  it('that come while the containers are fetched are not lost to an older answer', async () => {
    const { api, model, events } = await bench();
    let answer: (found: IContainer[]) => void = () => undefined;
    api.containers = () => new Promise(resolve => (answer = resolve));
    const fetched = model.refresh();
    events.tell({ type: 'container', container: container('b') });
    answer([container('a')]);
    await fetched;
    expect(model.containers.value.data?.map(entry => entry.id).sort()).toEqual(['a', 'b']);
    events.tell({ type: 'container', container: container('b', { status: 'ended' }) });
    expect(model.containers.value.data?.map(entry => entry.status)).toEqual(['running', 'ended']);
  });

  it('are fetched when the server has left some out, and after the connection was lost', async () => {
    const { api, events } = await bench();
    api.calls = [];
    events.tell({ type: 'reset' });
    await settled();
    expect(api.calls).toContain('sessions');
    events.become('lost');
    events.become('open');
    api.calls = [];
    events.tell({ type: 'subscribed' });
    await settled();
    expect(api.calls).toContain('sessions');
    api.calls = [];
    events.tell({ type: 'subscribed' });
    await settled();
    expect(api.calls).toEqual([]);
  });

  it('of images are of names, which layers show, too', async () => {
    const { api, events, model } = await bench(api => {
      api.allLayers = three;
    });
    await model.reloadImages();
    api.allLayers = [layer(1, null, { tags: ['name:latest'] }), ...three.slice(1)];
    api.calls = [];
    events.tell({ type: 'images' });
    await settled();
    expect(model.layers.value.data?.layers[0].tags).toEqual(['name:latest']);
    expect(api.calls).toEqual([`layers ${SESSION.id}`, 'images']);
  });

  it('of metrics are kept for two minutes, and for containers that are known', async () => {
    const { model, events } = await bench(api => {
      api.allContainers = [container('a')];
    });
    for (let time = 1; time <= KEPT + 10; time++) {
      events.tell({ type: 'metrics', metrics: [sample('a', time), sample('gone', time)] });
    }
    events.tell({ type: 'metrics', metrics: [sample('a', 5)] });
    expect(model.metrics.value.get('a')).toHaveLength(KEPT);
    expect(model.metrics.value.get('a')?.[KEPT - 1].time).toBe(KEPT + 10);
    expect(model.metrics.value.has('gone')).toBe(false);
  });
});

describe('a container that is looked at', () => {
  const fetched = 'container a';

  async function look(): Promise<IBench & { count: (processes: number, after: number) => void }> {
    const made = await bench(api => {
      api.allContainers = [container('a'), container('ended', { status: 'ended' })];
    });
    const now = jest.spyOn(Date, 'now').mockReturnValue(0);
    let time = 0;
    const count = (processes: number, after: number): void => {
      time += after;
      now.mockReturnValue(time * 1000);
      const pids = { count: processes, limit: null };
      made.events.tell({ type: 'metrics', metrics: [sample('a', time, { pids })] });
    };
    count(1, 1);
    made.model.inspect('a');
    await settled();
    expect(made.api.calls.pop()).toBe(fetched);
    made.api.calls = [];
    return { ...made, count };
  }

  afterEach(() => jest.restoreAllMocks());

  it('is fetched anew when its processes change, each two seconds at most', async () => {
    const { api, count } = await look();
    count(1, 5);
    expect(api.calls).toEqual([]);
    count(2, 1);
    count(3, 1);
    expect(api.calls).toEqual([fetched]);
    await settled();
    count(3, 1);
    count(3, 1);
    expect(api.calls).toEqual([fetched, fetched]);
    count(3, 5);
    expect(api.calls).toEqual([fetched, fetched]);
  });

  it('is left alone while nobody sees it', async () => {
    const { api, model, count } = await look();
    model.interests.setPanelShown(false);
    count(2, 5);
    model.interests.setPanelShown(true);
    model.interests.setVisible(false);
    count(3, 5);
    model.interests.setVisible(true);
    model.inspect(null);
    count(4, 5);
    expect(api.calls).toEqual([]);
  });

  it('is not asked for once it has ended', async () => {
    const { api, events, model } = await look();
    model.inspect('ended');
    await model.refresh();
    model.inspect('a');
    await settled();
    api.calls = [];
    events.tell({ type: 'container', container: container('a', { status: 'ended' }) });
    await model.reloadContainer();
    expect(api.calls).toEqual([]);
  });
});

describe('the image of a session', () => {
  it('is fetched once the kernel has it', async () => {
    const { api, model, events } = await bench(api => {
      api.session = { ...SESSION, image: '' };
      api.imageOfSession = null;
    });
    expect(model.layers.value.data?.image).toBeNull();
    api.imageOfSession = IMAGE;
    events.tell({ type: 'session', session: SESSION });
    await settled();
    expect(model.layers.value.data?.image).toEqual(IMAGE);
  });
});

describe('images', () => {
  it('are fetched again when a session has another one, since they say who uses them', async () => {
    const { api, model, events } = await bench();
    await model.reloadImages();
    api.calls = [];
    events.tell({ type: 'session', session: { ...SESSION, cells: 1 } });
    await settled();
    expect(api.calls).toEqual([]);
    events.tell({ type: 'session', session: { ...SESSION, image: 'e'.repeat(64) } });
    await settled();
    expect(api.calls).toContain('images');
  });
});

describe('what is subscribed', () => {
  it('is what views want, together', async () => {
    const { model, events } = await bench();
    model.interests.set('x', { containers: ['b'] });
    model.interests.set('y', { containers: ['a', 'b'] });
    expect(events.last).toEqual({ sessions: 'all', containers: ['a', 'b'], interval: 1 });
    model.interests.set('z', { containers: 'all' });
    expect(events.last?.containers).toBe('all');
  });

  it('is nothing in a hidden window', async () => {
    const { model, events } = await bench();
    model.interests.set('x', { containers: 'all' });
    model.interests.setVisible(false);
    expect(events.last).toEqual({ sessions: [], containers: [], interval: 1 });
    model.interests.setVisible(true);
    expect(events.last).toEqual({ sessions: 'all', containers: 'all', interval: 1 });
  });

  it('is nothing for views of the panel while that is hidden', async () => {
    const { model, events } = await bench();
    model.interests.set('x', { containers: 'all', inPanel: true });
    model.interests.set('line', { containers: ['a'] });
    model.interests.setPanelShown(false);
    expect(events.last).toEqual({ sessions: 'all', containers: ['a'], interval: 1 });
    model.interests.setPanelShown(true);
    expect(events.last?.containers).toBe('all');
  });

  it('is said once, and within what the server takes', async () => {
    const { model, events } = await bench();
    const count = events.said.length;
    model.interests.set('x', {});
    model.interests.set('x', null);
    expect(events.said).toHaveLength(count);
    model.interests.setInterval(0.001);
    expect(events.last?.interval).toBe(0.5);
  });
});

describe('the selection', () => {
  it('loads the layer, and the difference when another one is chosen', async () => {
    const { api, model } = await bench(api => {
      api.allLayers = three;
    });
    model.select({ layer: id(2) });
    await settled();
    expect(model.layer.value.data?.id).toBe(id(2));
    model.select({ against: FROM_IMAGE });
    await settled();
    expect(api.calls).toContain(`diff ${id(2)} image`);
    expect(model.diff.value.data?.files_total).toBe(3);
  });

  it('loses what is there no more after a reload', async () => {
    const { model } = await bench(api => {
      api.allLayers = three;
    });
    model.restore({ tab: 'layers', notebook: 'work/a.ipynb', layer: 'gone' });
    expect(model.selection.value.layer).toBe('gone');
    await model.refresh();
    expect(model.selection.value.layer).toBeNull();
  });

  it('keeps a layer of another notebook that a line shows, also when another notebook was in front', async () => {
    const { api, front, model, events } = await bench(api => {
      api.session = { ...SESSION, kernel_id: 'another', notebook: 'x.ipynb' };
    });
    expect(model.session.value).toBeNull();
    model.showLayer(id(9)); // before the kernel of the notebook, a copy, has its session
    api.session = SESSION;
    events.tell({ type: 'session', session: SESSION });
    await settled();
    await model.refresh();
    expect(model.selection.value.layer).toBe(id(9));
    const { current } = front;
    front.bring({ ...current!, path: 'work/b.ipynb', kernelId: 'kernel-2' });
    await settled();
    front.bring(current!);
    await settled();
    expect(model.session.value?.id).toBe(SESSION.id);
    expect(model.selection.value.layer).toBe(id(9));
  });

  it('is that of each notebook when it comes to the front again', async () => {
    const { api, front, model } = await bench(api => {
      api.allLayers = three;
    });
    model.select({ layer: id(2), against: id(1) });
    const { current } = front;
    front.bring({ ...current!, path: 'work/b.ipynb', kernelId: 'kernel-2' });
    await settled();
    expect(model.selection.value).toMatchObject({ layer: null, against: null });
    front.bring(null);
    api.calls = [];
    front.bring(current!);
    await settled();
    expect(model.selection.value).toMatchObject({ layer: id(2), against: id(1) });
    expect(model.diff.value.data?.from).toBe(id(1));
    front.bring({ ...current!, path: 'work/renamed.ipynb' });
    await settled();
    expect(model.selection.value).toMatchObject({ layer: id(2), notebook: 'work/renamed.ipynb' });
  });

  it('of before a reload waits for its notebook, when others come to the front first', async () => {
    const { front, model } = await bench((api, front) => {
      api.allLayers = three;
      front.current = null;
    });
    model.restore({ tab: 'images', notebook: 'work/a.ipynb', layer: id(2) });
    const kernel = { kernel: 'ours' as const, kernelName: '', busy: false, cells: [] };
    front.bring({ ...kernel, path: 'work/b.ipynb', kernelId: 'kernel-2' });
    await settled();
    expect(model.selection.value).toMatchObject({ tab: 'images', layer: null });
    front.bring({ ...kernel, path: 'work/a.ipynb', kernelId: 'kernel-1' });
    await settled();
    expect(model.selection.value.layer).toBe(id(2));
    expect(model.layer.value.data?.id).toBe(id(2));
  });
});

describe('a server that does not answer', () => {
  it('leaves what was there and says so', async () => {
    const { api, model } = await bench(api => {
      api.allLayers = three;
    });
    api.failure = new ApiError('The server does not answer', null, 0);
    await model.refresh();
    expect(model.layers.value.data?.layers).toHaveLength(3);
    expect(model.layers.value.error?.message).toBe('The server does not answer');
    expect(model.containers.value.error).not.toBeNull();
  });
});
