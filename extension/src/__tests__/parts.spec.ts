import { ILayer, INamespace, IRecord } from '../api/types';
import { asOption, duration, firstLine, parseSize, size, visible } from '../model/format';
import { layOut } from '../model/graph';
import { cpuUse, ioRate } from '../model/metrics';
import { kept, parseRecord } from '../notebook/record';
import { DEFAULTS, magicsFor } from '../settings';
import { raise } from '../views/cellline';
import { processTree } from '../views/container';
import { differences } from '../views/difference';
import { rooms } from '../views/namespaces';
import { id, layer, sample, trans } from './fakes';

describe('numbers', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [10.24 * 2 ** 20, '10.2 MiB'],
    [2 ** 30 - 1, '1 GiB'],
    [-5, '−5 B']
  ])('size of %d is %s', (bytes, text) => expect(size(bytes)).toBe(text));

  it.each([
    [0, '0 ms'],
    [0.9994, '999 ms'],
    [1.256, '1.26 s'],
    [59.96, '1 min 0 s'],
    [3725, '1 h 2 min']
  ])('duration of %d is %s', (seconds, text) => expect(duration(seconds)).toBe(text));

  it.each([
    ['512m', 512 * 2 ** 20],
    ['1.5 GiB', 1.5 * 2 ** 30],
    ['1000', 1000],
    ['x', null],
    ['0', null],
    ['-1m', null]
  ])('size %s is %d bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it('are given to magics without loss', () => {
    for (const bytes of [2 ** 30, 1.5 * 2 ** 30, 1000, 2 ** 20 + 1]) {
      expect(parseSize(asOption(bytes))).toBe(bytes);
    }
  });

  it('of a line are the first that says something', () => {
    expect(firstLine('\n\n  x = 1\ny')).toBe('x = 1');
    expect(firstLine('')).toBe('');
    expect(firstLine('\nx \u202e= 1')).toBe('x \\u202e= 1');
  });

  it('shows what cannot be seen in names, or turns them around', () => {
    expect(visible('rtl\u202egnp.exe')).toBe('rtl\\u202egnp.exe');
    expect(visible('a\nb\tc\x1b[1m\x85\u2066')).toBe('a\\nb\\tc\\x1b[1m\\u0085\\u2066');
    expect(visible('naïve – עברית 🙂.txt')).toBe('naïve – עברית 🙂.txt');
  });
});

describe('the graph', () => {
  const order = (layers: ILayer[], head: string | null): number[] =>
    layOut(layers, head).rows.map(row => row.layer.number!);

  it('shows the newest first', () => {
    expect(order([layer(1, null), layer(2, 1), layer(3, 2)], id(3))).toEqual([3, 2, 1]);
  });

  it('keeps what head reaches in the first lane', () => {
    const { rows, width } = layOut(
      [layer(1, null), layer(2, 1), layer(3, 1), layer(4, 2), layer(5, 3)],
      id(4)
    );
    const lanes = Object.fromEntries(rows.map(row => [row.layer.number, row.lane]));
    expect([lanes[1], lanes[2], lanes[4]]).toEqual([0, 0, 0]);
    expect(lanes[3]).toBe(lanes[5]);
    expect(lanes[3]).toBeGreaterThan(0);
    expect(width).toBe(2);
  });

  it('has room for a branch of a single layer', () => {
    const { rows, width } = layOut([layer(1, null), layer(2, 1), layer(3, 1)], id(3));
    expect(rows.map(row => row.lane)).toEqual([0, 1, 0]);
    expect(width).toBe(2);
  });

  it('leads no layer to an image that it does not stand on', () => {
    const image = 'e'.repeat(64);
    const layers = [layer(1, null, { image }), layer(2, 1, { image }), layer(3, null)];
    const ends = (head: string | null, below: string | null): string[][] =>
      layOut(layers, head, below).rows.map(row =>
        row.edges.filter(edge => edge.part !== 'into').map(edge => `${edge.part} ${edge.to}`)
      );
    expect(ends(id(3), layers[2].image)).toEqual([
      ['out 0'],
      ['through 0', 'out 1'],
      ['through 0']
    ]);
    expect(ends(id(2), image)).toEqual([[], ['out 0'], ['out 0']]);
    expect(ends(id(3), null)).toEqual([['out 0'], ['through 0', 'out 1'], ['through 0', 'out 0']]);
  });

  it('leaves the first lane free when head is the image', () => {
    const { rows } = layOut([layer(1, null), layer(2, 1)], null);
    expect(rows.every(row => row.lane > 0)).toBe(true);
  });

  it('has no layer below its parent, whatever the clocks said', () => {
    const child = layer(2, 1, { created: '2020-01-01T00:00:00Z' });
    expect(order([child, layer(1, null)], id(2))).toEqual([2, 1]);
  });

  it('draws every edge to where the next row goes on', () => {
    const layers = Array.from({ length: 300 }, (_, i) =>
      layer(i + 1, i === 0 ? null : 1 + Math.floor(Math.abs(Math.sin(i)) * i))
    );
    const { rows } = layOut(layers, id(300));
    for (let i = 1; i < rows.length; i++) {
      const left = new Set(
        rows[i - 1].edges.filter(edge => edge.part !== 'into').map(edge => edge.to)
      );
      const entered = new Set(
        rows[i].edges.filter(edge => edge.part !== 'out').map(edge => edge.from)
      );
      expect(entered).toEqual(left);
    }
    expect(rows.every(row => row.edges.every(edge => edge.from >= 0 && edge.to >= 0))).toBe(true);
  });

  it('marks where cells are counted anew, and not where some ran beside each other', () => {
    const runs = (layers: ILayer[]): number[] =>
      layOut(layers, null)
        .rows.filter(row => row.startsRun)
        .map(row => new Date(row.layer.created).getUTCSeconds());
    const again = (n: number, count: number, parent: number | null): ILayer =>
      layer(n, parent, { number: count });
    expect(runs([layer(1, null), layer(2, 1), again(3, 1, null), again(4, 2, 3)])).toEqual([3]);
    expect(runs([layer(1, null), layer(2, 1), again(3, 1, 2)])).toEqual([3]);
    expect(runs([layer(1, null), again(2, 3, 1), again(3, 2, 1), layer(4, 2)])).toEqual([]);
    expect(runs([layer(1, null), layer(2, 1), layer(3, 1)])).toEqual([]);
  });

  it('takes what is no tree', () => {
    const loop = [layer(1, 2), layer(2, 1)];
    expect(layOut(loop, id(1)).rows).toHaveLength(2);
    expect(layOut([layer(5, 4)], id(5)).rows).toHaveLength(1);
  });
});

describe('metrics', () => {
  it('give processors in use and bytes a second', () => {
    const history = [
      sample('a', 10, {
        cpu: { seconds: 1, limit: null },
        io: { read_bytes: 0, written_bytes: 0 }
      }),
      sample('a', 12, {
        cpu: { seconds: 2, limit: null },
        io: { read_bytes: 10, written_bytes: 30 }
      })
    ];
    expect(cpuUse(history)).toEqual([{ time: 12, value: 0.5 }]);
    expect(ioRate(history)).toEqual([{ time: 12, value: 20 }]);
  });
});

const RECORD: IRecord = {
  status: 'killed',
  execution_count: 3,
  layer: 'p',
  parent: 'p',
  changes: { added: 0, changed: 0, deleted: 0 },
  bytes: 0,
  wall_seconds: 0.2,
  cpu_seconds: 0.1,
  memory_peak_bytes: 2 ** 27,
  exit: { reason: 'oom', signal: 'SIGKILL' },
  limits: { memory: 2 ** 27, cpus: 1, pids: 256, timeout: null, network: 'none', enforced_by: {} },
  container: 'abc',
  host: { pid: 1, cgroup: '/somewhere/of/the/machine' },
  cache: 'off'
};

describe('the record of a cell', () => {
  it('is kept small, and says nothing of the machine', () => {
    const text = JSON.stringify(kept(RECORD));
    expect(text.length).toBeLessThan(500);
    expect(text).not.toContain('somewhere');
    expect(parseRecord(JSON.parse(text))).toEqual(kept(RECORD));
  });

  it('is none when no container ran', () => {
    expect(kept({ ...RECORD, wall_seconds: 0, host: { pid: null, cgroup: null } })).toBeNull();
  });

  it.each([null, 1, 'x', [], {}, { status: 'x' }])(
    'of a notebook that has %j there is none',
    value => expect(parseRecord(value)).toBeNull()
  );

  it('of a notebook that lies is taken apart', () => {
    const odd = parseRecord({
      status: 'ok',
      layer: { toString: 'x' },
      changes: { added: '<b>', changed: -1 },
      wall_seconds: 'NaN',
      container: 'x'.repeat(10_000)
    });
    expect(odd).toMatchObject({ layer: null, changes: { added: 0, changed: 0 }, wall_seconds: 0 });
    expect(odd?.container).toHaveLength(500);
  });

  it('offers twice the limit that a cell was killed at', () => {
    const record = kept(RECORD)!;
    expect(raise(record)).toEqual({ option: 'memory=256m', shown: '256 MiB' });
    expect(raise({ ...record, reason: 'timeout', limit: 1.5 })?.option).toBe('timeout=3');
    expect(raise({ ...record, reason: 'signal', limit: null })).toBeNull();
    expect(raise({ ...record, status: 'ok' })).toBeNull();
  });
});

describe('a difference', () => {
  it('has numbers of both sides', () => {
    expect(differences('a\nb\nc\n', 'a\nB\nc\n')).toEqual([
      { kind: 'same', before: 1, after: 1, text: 'a' },
      { kind: 'deleted', before: 2, after: null, text: 'b' },
      { kind: 'added', before: null, after: 2, text: 'B' },
      { kind: 'same', before: 3, after: 3, text: 'c' }
    ]);
  });

  it('of what is new has added lines only', () => {
    expect(differences('', 'x\n')?.map(line => line.kind)).toEqual(['added']);
  });

  it('says where a newline is missing at the end', () => {
    const kinds = (before: string, after: string): string[] | undefined =>
      differences(before, after)?.map(line => line.kind);
    expect(kinds('b', 'b\n')).toEqual(['deleted', 'end', 'added']);
    expect(kinds('b\n', 'b')).toEqual(['deleted', 'added', 'end']);
  });
});

describe('processes', () => {
  const process = (pid: number, ppid: number) => ({
    pid,
    ppid,
    pid_inside: pid,
    command: '',
    memory: null,
    cpu_seconds: null
  });

  it('stand below those that started them', () => {
    const tree = processTree([process(3, 2), process(1, 0), process(2, 1), process(4, 1)]);
    expect(tree.map(({ process: { pid }, depth }) => [pid, depth])).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
      [4, 1]
    ]);
  });
});

describe('rooms', () => {
  const namespace = (inode: number, host: number, previous: number | null): INamespace => ({
    kind: 'net',
    inode,
    host_inode: host,
    previous_inode: previous,
    isolates: '',
    inside: {}
  });

  it('are one for each namespace', () => {
    const spans = (entry: INamespace, hasPrevious = true): number[] =>
      rooms(entry, hasPrevious).map(room => room.span);
    expect(spans(namespace(3, 1, 2))).toEqual([1, 1, 1]);
    expect(spans(namespace(2, 1, 2))).toEqual([1, 2]);
    expect(spans(namespace(1, 1, 1))).toEqual([3]);
    expect(spans(namespace(1, 1, null), false)).toEqual([1, 1, 1]);
  });
});

describe('defaults of the settings', () => {
  const settings = {
    ...DEFAULTS,
    defaultImage: 'tools:1',
    defaultLimits: { memory: '2g', cpus: '' }
  };

  it('are said by magics', () => {
    expect(magicsFor(settings, {}, trans)).toBe('%image tools:1\n%limits memory=2g');
    expect(magicsFor(DEFAULTS, {}, trans)).toBe('');
  });

  it('stand behind what the notebook says', () => {
    expect(magicsFor(settings, { image: 'x', limits: { memory: '1g' } }, trans)).toBe('');
  });
});
