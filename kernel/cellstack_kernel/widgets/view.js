/*
 * What live views draw: an anywidget module (https://anywidget.dev/en/afm/). The model is the kernel's (models.py), and
 * says what there is to see in parts: layers, namespaces, usage, samples, limits.
 *
 * Names and code come out of containers. They become text nodes and attributes here, and never markup.
 */

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 240;
const HEIGHT = 60;
/** The kernel stops sending when nobody says that it has taken something (CREDIT in models.py). */
const TAKEN_EACH = 8;
/** A limit that is as many times the largest value would leave nothing to see of the values. */
const FAR = 6;
const MIB = 2 ** 20;

const PARTS = {
  layers: ['layers'],
  namespaces: ['namespaces'],
  cgroup: ['usage', 'limits'],
  dashboard: ['usage', 'limits', 'layers', 'namespaces']
};
const DRAWN_WITH = { samples: 'usage' };

/** Return an element: attributes, `on…` listeners, and children that are elements or texts. */
function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') {
      element.addEventListener(name.slice(2), value);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}

export function size(bytes) {
  for (const [unit, scale] of [
    ['GiB', 2 ** 30],
    ['MiB', MIB],
    ['KiB', 2 ** 10]
  ]) {
    if (bytes >= scale) {
      const value = bytes / scale;
      return `${value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1)} ${unit}`;
    }
  }
  return `${bytes} B`;
}

function cellName(number) {
  return number ? `cell [${number}]` : 'a cell';
}

// -- layers ------------------------------------------------------------------------------------------------------------

function layers(facts) {
  const rows = [...facts.rows].reverse().map(row => {
    const isHead = row.id === facts.head;
    return h(
      'li',
      {
        class: row.on_path ? 'csv-on' : '',
        style: `margin-left: ${Math.min(row.depth, 12) * 2}em`,
        'aria-current': isHead ? 'true' : null
      },
      h('span', {}, row.number ? `[${row.number}]` : '[ ]'),
      h('code', { title: row.code }, row.code),
      isHead ? h('strong', { class: 'csv-head' }, 'head') : null,
      h(
        'span',
        { class: 'csv-muted' },
        `+${row.added} ~${row.changed} -${row.deleted} · ${row.size} · ${row.id}`,
        row.status === 'error' ? ' · error' : ''
      )
    );
  });
  const older = facts.left_out ? [h('li', {}, `and ${facts.left_out} older layers`)] : [];
  const image = h(
    'li',
    { class: 'csv-on' },
    h('span', {}, `image ${facts.image}`),
    facts.head === null ? h('strong', { class: 'csv-head' }, 'head') : null,
    h('span', { class: 'csv-muted' }, `${facts.image_layers} layers`)
  );
  return [
    h('h3', {}, 'Layers'),
    h('ol', { class: 'csv-stack', tabindex: 0, 'data-key': 'stack', 'aria-label': 'Layers, newest first' }, [
      ...rows,
      ...older,
      image
    ])
  ];
}

// -- namespaces ----------------------------------------------------------------------------------------------------------

/** Return the boxes of a row: one for each namespace, as wide as there are neighbours in it. */
export function rooms(row) {
  const joined = [];
  for (const [who, inode] of [
    ['host', row.host],
    ['before', row.before],
    ['own', row.inode]
  ]) {
    const last = joined[joined.length - 1];
    if (last && inode !== null && last.inode === inode) {
      last.span += 1;
      last.shared = true;
    } else {
      joined.push({ who, inode, span: 1, shared: false });
    }
  }
  return joined;
}

function namespaces(facts) {
  const known = facts.rows.filter(row => row.inode !== null);
  const own = known.filter(row => row.inode !== row.host && row.inode !== row.before);
  const says = known.length
    ? `${own.length} of ${known.length} namespaces are this cell's own.`
    : 'No cell has run yet.';
  const head = ['namespace', 'host', facts.before ? cellName(facts.before) : 'cell before'];
  head.push(facts.number ? cellName(facts.number) : 'this cell', 'isolates, and what is visible inside');
  return [
    h('h3', {}, 'Namespaces'),
    h('p', {}, says),
    h(
      'table',
      { class: 'csv-rooms', 'aria-label': 'Namespaces' },
      h('thead', {}, h('tr', {}, head.map(name => h('th', { scope: 'col' }, name)))),
      h('tbody', {}, facts.rows.map(namespace))
    ),
    facts.inside_of
      ? h('p', { class: 'csv-muted' }, 'What is visible is that of container ', h('code', {}, facts.inside_of), '.')
      : null
  ];
}

function namespace(row) {
  const boxes = rooms(row).map(room =>
    h(
      'td',
      { colspan: room.span, class: room.who === 'own' && !room.shared && room.inode ? 'csv-room csv-own' : 'csv-room' },
      room.inode === null ? '—' : String(room.inode),
      room.shared ? ' shared' : ''
    )
  );
  const inside = row.inside.length
    ? h(
        'details',
        { 'data-details': row.kind },
        h('summary', { 'data-key': `inside-${row.kind}` }, row.isolates, ': ', h('code', {}, row.inside[0])),
        h('ul', {}, row.inside.map(line => h('li', {}, h('code', {}, line))))
      )
    : row.isolates;
  return h('tr', {}, h('th', { scope: 'row' }, h('code', {}, row.kind)), boxes, h('td', {}, inside));
}

// -- charts --------------------------------------------------------------------------------------------------------------

/** Return the drawing of a measure over time, with its limit as a line; `points`: [seconds, value or null]. */
export function chart(label, points, { limit, least, value, format }) {
  const measured = points.filter(([, height]) => height !== null);
  // What nobody has watched is a level.
  const seen = measured.length > 1 || value === null ? measured : [[0, value], [10, value]];
  const peak = Math.max(least, ...seen.map(([, height]) => height));
  const isFar = limit !== null && peak * FAR < limit;
  const top = 1.12 * Math.max(peak, isFar || limit === null ? 0 : limit);
  const [start, end] = seen.length ? [seen[0][0], Math.max(seen[seen.length - 1][0], seen[0][0] + 10)] : [0, 1];
  const x = seconds => (((seconds - start) / (end - start)) * WIDTH).toFixed(1);
  const y = height => (HEIGHT - (height / top) * HEIGHT).toFixed(1);
  const shown = value === null ? 'not measured' : format(value);
  const most = limit === null ? 'no limit' : `of ${format(limit)}`;
  const edge = isFar || limit === null ? null : y(limit);
  return h(
    'figure',
    { role: 'img', 'aria-label': `${label}: ${shown}, ${most}` },
    h('figcaption', {}, h('span', {}, label), h('span', {}, `${shown} `, h('span', { class: 'csv-muted' }, most))),
    svg(
      'svg',
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      edge === null ? null : svg('path', { class: 'csv-limit', d: `M0 ${edge}H${WIDTH}` }),
      seen.length > 1
        ? svg('path', { class: 'csv-line', d: `M${seen.map(([at, height]) => `${x(at)} ${y(height)}`).join('L')}` })
        : null
    )
  );
}

function usage(facts, samples) {
  if (facts === null) {
    return [h('h3', {}, 'Cgroup'), h('p', {}, 'No cell has run yet.')];
  }
  const points = samples && samples.number === facts.number ? samples.points : [];
  const column = index => points.map(point => [point[0], point[index]]);
  const processes = column(3);
  const { limits } = facts;
  const percent = points.length ? points[points.length - 1][2] : null;
  const mean = facts.seconds > 0 ? (100 * facts.cpu_seconds) / facts.seconds : null;
  const held = Object.entries(facts.held_by).map(([name, by]) => `${name} by ${by}`);
  return [
    h('h3', {}, facts.running ? `Cgroup: ${cellName(facts.number)} runs` : `Cgroup: ${cellName(facts.number)} is over`),
    h(
      'div',
      { class: 'csv-charts' },
      chart(facts.running ? 'Memory' : 'Memory, peak', column(1), {
        limit: limits.memory,
        least: 16 * MIB,
        value: facts.memory,
        format: size
      }),
      chart(facts.running ? 'Processor' : 'Processor, mean', column(2), {
        limit: limits.cpus === null ? null : 100 * limits.cpus,
        least: 20,
        value: facts.running ? percent : mean,
        format: value => `${Math.round(value)} %`
      }),
      chart(facts.running ? 'Processes' : 'Processes, peak', processes, {
        limit: limits.pids,
        least: 4,
        value: facts.pids ?? (processes.length ? Math.max(...processes.map(([, count]) => count)) : null),
        format: String
      })
    ),
    h(
      'p',
      { class: 'csv-muted' },
      `${facts.seconds.toFixed(1)} s`,
      limits.timeout === null ? '' : ` of ${limits.timeout} s`,
      held.length ? ` · limits held: ${held.join(', ')}` : ''
    )
  ];
}

// -- limits --------------------------------------------------------------------------------------------------------------

const FIELDS = [
  ['memory', 'Memory', '512m, 2g'],
  ['cpus', 'Processors', '1.5'],
  ['pids', 'Processes', '256'],
  ['timeout', 'Seconds', '60']
];

/** A form that lives as long as its view: what is typed stays when the limits change meanwhile. */
function limitsForm(model) {
  const known = {};
  const inputs = Object.fromEntries(
    FIELDS.map(([name, , example]) => [
      name,
      h('input', { name, type: 'text', maxlength: 32, placeholder: `unlimited (${example})`, autocomplete: 'off' })
    ])
  );
  const said = h('p', { role: 'status', 'aria-live': 'polite' });
  const submit = event => {
    event.preventDefault();
    const limits = {};
    for (const [name, input] of Object.entries(inputs)) {
      const typed = input.value.trim();
      if (typed !== known[name]) {
        limits[name] = typed || 'unlimited';
      }
    }
    said.textContent = '…';
    model.send({ kind: 'limits', limits });
  };
  // Browsers do so by themselves, but not in JupyterLab's notebook, which cancels the key's default.
  const submitOnEnter = event => {
    if (event.key === 'Enter' && event.target.tagName === 'INPUT') {
      event.preventDefault();
      form.requestSubmit();
    }
  };
  const form = h(
    'form',
    { class: 'csv-form', 'aria-label': 'Limits', onsubmit: submit, onkeydown: submitOnEnter },
    FIELDS.map(([name, label]) => h('label', {}, label, inputs[name])),
    h('button', { type: 'submit' }, 'Apply at once')
  );
  return {
    element: h('section', {}, h('h3', {}, 'Limits of the cells'), form, said),
    show(limits) {
      for (const [name, input] of Object.entries(inputs)) {
        if (known[name] === undefined || input.value.trim() === known[name]) {
          input.value = limits[name];
        }
        known[name] = limits[name];
      }
    },
    answer(content) {
      said.textContent = content.text;
      said.className = content.ok ? '' : 'csv-bad';
      if (content.ok) {
        for (const [name, input] of Object.entries(inputs)) {
          input.value = known[name]; // as the kernel writes it
        }
      }
    }
  };
}

// -- the view ------------------------------------------------------------------------------------------------------------

/** Put new contents into a section; what was open stays open, and what had the focus has it. */
function redraw(section, children) {
  const open = new Set([...section.querySelectorAll('details[open]')].map(one => one.dataset.details));
  const focused = section.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const scrolled = section.querySelector('.csv-stack')?.scrollTop ?? 0;
  section.replaceChildren(...children.filter(child => child !== null));
  for (const details of section.querySelectorAll('details')) {
    details.open = open.has(details.dataset.details);
  }
  const stack = section.querySelector('.csv-stack');
  if (stack) {
    stack.scrollTop = scrolled;
  }
  if (focused) {
    [...section.querySelectorAll('[data-key]')].find(one => one.dataset.key === focused)?.focus();
  }
}

const DRAW = {
  layers: model => layers(model.get('layers')),
  namespaces: model => namespaces(model.get('namespaces')),
  usage: model => usage(model.get('usage'), model.get('samples'))
};

function render({ model, el }) {
  const root = h('div', {
    class: 'cellstack-view',
    role: 'group',
    'aria-label': `Cellstack: ${model.get('kind')}`,
    'data-lm-suppress-shortcuts': 'true' // what is typed here is no command of JupyterLab's
  });
  const listeners = [];
  const listen = (event, callback) => {
    model.on(event, callback);
    listeners.push([event, callback]);
  };
  for (const part of PARTS[model.get('kind')]) {
    if (part === 'limits') {
      const form = limitsForm(model);
      const show = () => form.show(model.get('limits'));
      show();
      listen('change:limits', show);
      listen('msg:custom', content => content.kind === 'limits' && form.answer(content));
      root.append(form.element);
      continue;
    }
    const section = h('section');
    const draw = () => redraw(section, DRAW[part](model));
    draw();
    listen(`change:${part}`, draw);
    for (const [other, drawn] of Object.entries(DRAWN_WITH)) {
      if (drawn === part) {
        listen(`change:${other}`, draw);
      }
    }
    root.append(section);
  }
  let taken = 0;
  listen('change', () => {
    taken += 1;
    if (taken % TAKEN_EACH === 0) {
      model.send({ kind: 'more' });
    }
  });
  el.append(root);
  model.send({ kind: 'shown' });
  return () => {
    for (const [event, callback] of listeners) {
      model.off(event, callback);
    }
    model.send({ kind: 'hidden' });
  };
}

export default { render };
