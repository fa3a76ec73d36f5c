import { JupyterFrontEnd } from '@jupyterlab/application';
import { CommandRegistry } from '@lumino/commands';
import { Widget } from '@lumino/widgets';

import { addDifferences, differenceOf, sidesOf } from '../differences';
import { FROM_IMAGE } from '../model/selection';
import { bench, id, layer, trans } from './fakes';

jest.mock('@jupyterlab/apputils', () => ({
  MainAreaWidget: jest.requireActual('@lumino/widgets').Widget,
  WidgetTracker: class {
    private _all: Widget[] = [];
    add = (widget: Widget) => this._all.push(widget);
    find = (is: (widget: Widget) => boolean) => this._all.find(is);
  }
}));
jest.mock('../widgets', () => ({ differenceWidget: () => new Widget() }));

const three = [layer(1, null), layer(2, 1), layer(3, 2)];

describe('a difference of a file', () => {
  it('names what is compared', () => {
    const sides = (name: string, from: string | null): string => {
      const { before, after } = sidesOf(three, name, from, trans);
      return `${before} ${after}`;
    };
    expect(sides(id(3), null)).toBe('[2] [3]');
    expect(sides(id(1), null)).toBe('image [1]');
    expect(sides(id(3), id(1))).toBe('[1] [3]');
    expect(sides(id(3), FROM_IMAGE)).toBe('image [3]');
    expect(sides(id(3), id(9))).toBe(`${id(9).slice(0, 12)} [3]`);
  });

  it('is shown once, and after a reload by what was kept of it', async () => {
    const { api, context } = await bench(api => {
      api.allLayers = three;
    });
    const page = () => {
      const [added, active]: [Widget[], string[]] = [[], []];
      const commands = new CommandRegistry();
      const shell = {
        add: (widget: Widget) => added.push(widget),
        activateById: (name: string) => active.push(name)
      };
      const app = { commands, shell } as unknown as JupyterFrontEnd;
      return { added, active, commands, open: addDifferences(app, null, context) };
    };
    const { added, active, open } = page();
    open(id(3), '/work/a b.txt', null);
    open(id(3), '/work/a b.txt', null);
    open(id(3), '/work/a b.txt', id(1));
    expect(added.map(widget => widget.title.label)).toEqual(['a b.txt [2]→[3]', 'a b.txt [1]→[3]']);
    expect(added[0].title.caption).toContain('/work/a b.txt: layer [3]');
    expect(active).toEqual([added[0].id, added[0].id, added[1].id]);
    expect(added[0].id).not.toContain(' ');

    const { shown } = added[1] as unknown as { shown: object };
    const again = page();
    api.calls = [];
    await again.commands.execute('cellstack:show-difference', JSON.parse(JSON.stringify(shown)));
    expect(again.added[0].id).toBe(added[1].id);
    expect(api.calls).toEqual([`file ${id(3)} /work/a b.txt`]);
  });

  it.each([{}, { session: 's', layer: 1, from: null, path: '/x', before: '', after: '' }])(
    'is none of %j',
    args => expect(differenceOf(args)).toBeNull()
  );
});
