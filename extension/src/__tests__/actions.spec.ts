import { ApiError } from '../api/client';
import { word } from '../model/actions';
import { bench, id, IMAGE, layer, SESSION, trans } from './fakes';

const three = [layer(1, null), layer(2, 1), layer(3, 2)];

describe('actions', () => {
  it('that move head are magics of the kernel, whose sentence is shown', async () => {
    const { actions, front } = await bench();
    expect(await actions.checkout(id(1))).toBe(true);
    expect(front.magics).toEqual([`%checkout ${id(1)}`]);
    expect(actions.notice.value).toMatchObject({ kind: 'done', message: `did %checkout ${id(1)}` });
  });

  it('say for a while that they went well, and for as long as it takes that they did not', async () => {
    const { actions, front } = await bench();
    jest.useFakeTimers();
    await actions.checkout(id(1));
    jest.advanceTimersByTime(10_000);
    expect(actions.notice.value).toBeNull();
    front.refuses = /undo/;
    await actions.undo();
    jest.advanceTimersByTime(10_000);
    expect(actions.notice.value).toMatchObject({ kind: 'failed' });
    jest.useRealTimers();
  });

  it('that are refused show why', async () => {
    const { actions, front } = await bench();
    front.refuses = /undo/;
    expect(await actions.undo()).toBe(false);
    expect(actions.notice.value).toMatchObject({ kind: 'failed', message: '%undo was refused' });
    expect(actions.waitsForKernel.value).toBe(false);
  });

  it('tag a layer in one request, between whose parts no cell can run', async () => {
    const { actions, front } = await bench(api => {
      api.allLayers = three;
      api.session = { ...SESSION, head: id(3) };
    });
    expect(await actions.tag(id(1), 'name')).toBe(true);
    expect(await actions.tag(id(1), 'a b')).toBe(false);
    expect(front.magics).toEqual([`%tag name ${id(1)}`]);
  });

  it('run the cells below only when head has moved', async () => {
    const { actions, front } = await bench();
    await actions.runFrom(id(2));
    expect(front.ranBelow).toEqual([id(2)]);
    front.refuses = /checkout/;
    await actions.runFrom(id(1));
    expect(front.ranBelow).toEqual([id(2)]);
  });

  it('leave head where it is when no cell is there to go on from', async () => {
    const { actions, front } = await bench();
    front.unknown = [id(1)];
    await actions.runFrom(id(1));
    expect(front.magics).toEqual([]);
    expect(actions.notice.value).toMatchObject({ kind: 'failed', message: `no cell has ${id(1)}` });
  });

  it('on containers do not wait for the kernel', async () => {
    const { actions, api, front } = await bench();
    let answer: (text: string) => void = () => undefined;
    front.run = () => new Promise<string>(resolve => (answer = resolve));
    const undone = actions.undo();
    expect(actions.waitsForKernel.value).toBe(true);
    expect(actions.waitsForServer.value).toBe(false);
    expect(await actions.act('a', 'kill')).toBe(true);
    expect(api.calls).toContain('kill a');
    answer('');
    expect(await undone).toBe(true);
    expect(actions.waitsForKernel.value).toBe(false);
  });

  it('that remove an image leave none selected', async () => {
    const { actions, api, model } = await bench();
    await model.reloadImages();
    model.select({ image: IMAGE.id });
    api.calls = [];
    expect(await actions.removeImage(IMAGE.id)).toBe(true);
    expect(model.selection.value.image).toBeNull();
    expect(api.calls).toEqual([`remove ${IMAGE.id}`]);
  });

  it('write limits as %limits takes them', async () => {
    const { actions, front } = await bench();
    await actions.setLimits({ memory: 2 ** 30, cpus: 1.5, timeout: null });
    expect(front.magics).toEqual(['%limits memory=1g cpus=1.5 timeout=none']);
    expect(front.sets).toEqual([{ limits: { memory: '1g', cpus: '1.5', timeout: 'none' } }]);
  });

  it('that choose an image do so for later kernels, too, once this one has taken it', async () => {
    const { actions, front } = await bench();
    front.refuses = /nosuch/;
    expect(await actions.useImage('nosuch')).toBe(false);
    expect(front.sets).toEqual([]);
    expect(await actions.useImage('name:1')).toBe(true);
    expect(front.sets).toEqual([{ image: 'name:1' }]);
    expect(actions.notice.value?.message).toBe(
      'did %image name:1 Save the notebook, and it has this also after a restart.'
    );
  });

  it('never put into a magic what is more than a word', async () => {
    const { actions, front } = await bench();
    for (const name of ['a b', 'a\nimport os', '-x', '', '$(x)', "a'"]) {
      expect(await actions.useImage(name)).toBe(false);
      expect(() => word(name, trans)).toThrow();
    }
    expect(front.magics).toEqual([]);
  });

  it('on containers tell what the server says', async () => {
    const { actions, api } = await bench();
    expect(await actions.act('a', 'kill')).toBe(true);
    expect(api.calls).toContain('kill a');
    api.failure = new ApiError('it has ended', 'Run the cell again', 409);
    expect(await actions.act('a', 'kill')).toBe(false);
    expect(actions.notice.value).toEqual({
      kind: 'failed',
      message: 'it has ended',
      hint: 'Run the cell again',
      status: 409
    });
  });
});
