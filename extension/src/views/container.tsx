import { TranslationBundle } from '@jupyterlab/translation';
import { closeIcon, stopIcon, terminalIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { ContainerStatus, IContainer, IProcess } from '../api/types';
import {
  asOption,
  baseName,
  duration,
  parseSize,
  short,
  size,
  time,
  visible
} from '../model/format';
import { imageName } from '../model/lists';
import { cpuUse, History, ioRate, memoryUse, processCount } from '../model/metrics';
import { useStore } from '../model/store';
import { Chart } from './chart';
import { percent, spanOf, State } from './containers';
import { useCellstack } from './host';
import { limitsIcon, namespaceIcon } from './icons';
import { Button, Empty, listOf, Loading, PassesFocus, Problem } from './parts';

const NO_HISTORY: History = [];
/** How far back charts go. */
const SECONDS = 60;

/** One container: what can be done with it, charts, pressure and processes. */
export function ContainerDetails(props: { id: string }): React.ReactElement {
  const { id } = props;
  const { model, trans } = useCellstack();
  const containers = useStore(model.containers);
  const detail = useStore(model.container);
  const [changing, setChanging] = React.useState(false);
  const container = containers.data?.find(entry => entry.id === id);
  if (!container) {
    return containers.loading ? (
      <Loading label={trans.__('Loading the container')} />
    ) : (
      <Empty title={trans.__('Container %1 is there no more', short(id))} />
    );
  }
  const isLive = container.status !== 'ended';
  return (
    <PassesFocus
      next={listOf}
      className="cs-Column cs-mod-scroll"
      tabIndex={0}
      role="group"
      aria-label={trans.__('Container %1', short(id))}
    >
      <ContainerHead
        container={container}
        onLimits={() => setChanging(!changing)}
        changing={changing}
      />
      {changing && isLive && (
        <PassesFocus next={limitsButton}>
          <LimitsForm container={container} onDone={() => setChanging(false)} />
        </PassesFocus>
      )}
      <Facts container={container} />
      <Charts id={id} status={container.status} />
      {detail.error && isLive && <Problem problem={detail.error} />}
      {isLive && detail.data?.id === id && <Processes processes={detail.data.processes} />}
    </PassesFocus>
  );
}

function ContainerHead(props: {
  container: IContainer;
  changing: boolean;
  onLimits: () => void;
}): React.ReactElement {
  const { model, actions, host, trans } = useCellstack();
  const { container, changing, onLimits } = props;
  const doing = useStore(actions.waitsForServer);
  const { id, status } = container;
  const isLive = status !== 'ended';
  const { showTerminal } = host;
  const openTerminal = async (): Promise<void> => {
    const name = await actions.openTerminal(id);
    if (name !== null) {
      showTerminal?.(name, short(id));
    }
  };
  // The server refuses to touch one that waits: it is the kernel's, and nothing runs in it.
  const canAct = status === 'running' || status === 'paused';
  return (
    <>
      <div className="cs-Head">
        <code className="cs-Head-id">{short(id)}</code>
        <State container={container} />
        <span className="cs-spacer" />
        <Button
          iconOnly
          icon={namespaceIcon}
          label={trans.__('Show its namespaces')}
          disabled={!isLive}
          onClick={() => model.select({ tab: 'namespaces' })}
        />
        <Button
          iconOnly
          icon={closeIcon}
          label={trans.__('Close the container')}
          onClick={() => model.select({ container: null })}
        />
      </div>
      {canAct && (
        <PassesFocus
          next={detailsOf}
          className="cs-Actions"
          role="group"
          aria-label={trans.__('What to do with the container')}
        >
          <Button
            icon={stopIcon}
            label={trans.__('Stop')}
            disabled={doing}
            onClick={() => void actions.act(id, 'stop')}
          />
          <Button
            kind="danger"
            label={trans.__('Kill')}
            disabled={doing}
            onClick={() => void actions.act(id, 'kill')}
          />
          {status === 'paused' ? (
            <Button
              label={trans.__('Go on')}
              disabled={doing}
              onClick={() => void actions.act(id, 'unpause')}
            />
          ) : (
            <Button
              label={trans.__('Pause')}
              disabled={doing || status !== 'running'}
              onClick={() => void actions.act(id, 'pause')}
            />
          )}
          <Button
            icon={limitsIcon}
            label={trans.__('Limits…')}
            pressed={changing}
            disabled={doing}
            onClick={onLimits}
          />
          {showTerminal && (
            <Button
              icon={terminalIcon}
              label={trans.__('Terminal')}
              disabled={doing || status !== 'running'}
              onClick={() => void openTerminal()}
            />
          )}
        </PassesFocus>
      )}
    </>
  );
}

/** Return the container's details that an element is in. */
function detailsOf(inside: HTMLElement): HTMLElement | null | undefined {
  return inside.parentElement?.closest<HTMLElement>('[role="group"]');
}

/** Return the button that has opened the form that is in `box`. */
function limitsButton(box: HTMLElement): HTMLElement | null | undefined {
  return detailsOf(box)?.querySelector<HTMLElement>('.cs-Actions [aria-pressed]');
}

type Limit = 'memory' | 'cpus' | 'pids';

/** Changes the limits of a container that runs. A field that is empty is no limit. */
function LimitsForm(props: { container: IContainer; onDone: () => void }): React.ReactElement {
  const { actions, trans } = useCellstack();
  const { container, onDone } = props;
  const { limits } = container;
  const [texts, setTexts] = React.useState<{ [name in Limit]: string }>({
    memory: limits.memory === null ? '' : asOption(limits.memory),
    cpus: limits.cpus === null ? '' : String(limits.cpus),
    pids: limits.pids === null ? '' : String(limits.pids)
  });
  const id = React.useId();
  const fields = [
    { name: 'memory', label: trans.__('Memory'), ...memoryOf(texts.memory, trans) },
    { name: 'cpus', label: trans.__('Processors'), ...cpusOf(texts.cpus, trans) },
    { name: 'pids', label: trans.__('Processes'), ...pidsOf(texts.pids, trans) }
  ] as const;
  const wrong = fields.filter(field => field.problem !== null);
  const submit = async (event: React.FormEvent): Promise<void> => {
    event.preventDefault();
    if (wrong.length > 0) {
      return;
    }
    const changed = fields.filter(field => field.value !== limits[field.name]);
    const change = Object.fromEntries(changed.map(field => [field.name, field.value]));
    if (changed.length === 0 || (await actions.changeLimits(container.id, change))) {
      onDone();
    }
  };
  return (
    <form className="cs-Form" onSubmit={event => void submit(event)}>
      {fields.map(({ name, label, problem }) => (
        <label key={name}>
          <span>{label}</span>
          <input
            className="cs-Input"
            value={texts[name]}
            placeholder={trans.__('no limit')}
            aria-invalid={problem !== null}
            aria-describedby={problem === null ? undefined : id}
            onChange={event => setTexts({ ...texts, [name]: event.target.value })}
          />
        </label>
      ))}
      <Button kind="accept" label={trans.__('Apply at once')} disabled={wrong.length > 0} />
      <p id={id} className="cs-Form-problem" role="status">
        {wrong[0]?.problem}
      </p>
    </form>
  );
}

/** What a field says, null being no limit; or why it says nothing, in a sentence. */
interface IField {
  value: number | null;
  problem: string | null;
}

/** The least memory of a container, and the most of all that the server takes (its `requests.json`). */
const LEAST_MEMORY = 6 * 2 ** 20;
const LEAST_CPUS = 0.01;
const MOST_CPUS = 65_536;
const MOST_PIDS = 4_194_304;

function memoryOf(text: string, trans: TranslationBundle): IField {
  const value = text.trim() ? parseSize(text) : null;
  if (text.trim() && (value === null || value > Number.MAX_SAFE_INTEGER)) {
    return wrong(trans.__('“%1” is not a size. Sizes are written as 512m or 2g.', text));
  }
  return value !== null && value < LEAST_MEMORY
    ? wrong(trans.__('A container needs %1 of memory or more.', size(LEAST_MEMORY)))
    : { value, problem: null };
}

function cpusOf(text: string, trans: TranslationBundle): IField {
  const value = text.trim() ? Number(text) : null;
  return value === null || (value >= LEAST_CPUS && value <= MOST_CPUS)
    ? { value, problem: null }
    : wrong(trans.__('Processors are a number of %1 or more, as 1.5.', LEAST_CPUS));
}

function pidsOf(text: string, trans: TranslationBundle): IField {
  const value = text.trim() ? Number(text) : null;
  return value === null || (Number.isInteger(value) && value >= 1 && value <= MOST_PIDS)
    ? { value, problem: null }
    : wrong(trans.__('Processes are a whole number from 1 to %1, as 256.', MOST_PIDS));
}

function wrong(problem: string): IField {
  return { value: null, problem };
}

function Facts(props: { container: IContainer }): React.ReactElement {
  const { model, trans } = useCellstack();
  const images = useStore(model.images).data ?? [];
  const own = useStore(model.layers).data?.image ?? null;
  const { limits, notebook, image, command, ended } = props.container;
  const span = spanOf(props.container);
  const facts: [string, string][] = [
    [trans.__('notebook'), notebook ? baseName(notebook) : trans.__('none')],
    [trans.__('image'), imageName(image, [own, ...images])],
    ...(ended ? [[trans.__('ended'), time(ended)] as [string, string]] : []),
    ...(span !== null ? [[trans.__('ran for'), duration(span)] as [string, string]] : []),
    [trans.__('time limit'), limits.timeout === null ? trans.__('none') : duration(limits.timeout)],
    [trans.__('network'), limits.network],
    [trans.__('limits held by'), [...new Set(Object.values(limits.enforced_by))].join(', ') || '–']
  ];
  return (
    <>
      <dl className="cs-Facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {command && (
        <pre className="cs-Code cs-mod-short" tabIndex={0} aria-label={trans.__('what it runs')}>
          {command}
        </pre>
      )}
    </>
  );
}

function Charts(props: { id: string; status: ContainerStatus }): React.ReactElement | null {
  const { model, trans } = useCellstack();
  const history = useStore(model.metrics).get(props.id) ?? NO_HISTORY;
  const last = history[history.length - 1];
  if (!last) {
    return props.status === 'running' || props.status === 'paused' ? (
      <Loading label={trans.__('Waiting for the first measurement')} />
    ) : null;
  }
  const isOver = props.status === 'ended';
  const common = { seconds: SECONDS, noData: '–', isOver };
  return (
    <>
      {isOver && <p className="cs-Note">{trans.__('What it used before it ended, at most:')}</p>}
      <div className="cs-Charts">
        <Chart
          {...common}
          label={trans.__('memory')}
          points={memoryUse(history)}
          limit={last.memory.limit}
          least={2 ** 20}
          format={size}
        />
        <Chart
          {...common}
          label={trans.__('cpu')}
          points={cpuUse(history)}
          limit={last.cpu.limit}
          least={1}
          format={percent}
        />
        <Chart
          {...common}
          label={trans.__('processes')}
          points={processCount(history)}
          limit={last.pids.limit}
          least={4}
          format={String}
        />
        {last.io && (
          <Chart
            {...common}
            label={trans.__('disk')}
            points={ioRate(history)}
            limit={null}
            least={2 ** 20}
            format={rate => `${size(rate)}/s`}
          />
        )}
      </div>
      {last.pressure && !isOver && <Pressure pressure={last.pressure} />}
    </>
  );
}

/** Pressure stall information: how long processes had to wait for what there was too little of. */
function Pressure(props: {
  pressure: { memory: number | null; cpu: number | null; io: number | null };
}): React.ReactElement {
  const { trans } = useCellstack();
  const names = { cpu: trans.__('cpu'), memory: trans.__('memory'), io: trans.__('disk') };
  return (
    <div className="cs-Pressure">
      <span
        title={trans.__(
          'Pressure (PSI): the share of the last 10 seconds in which a process had to wait'
        )}
      >
        {trans.__('pressure')}
      </span>
      {(['cpu', 'memory', 'io'] as const).map(name => {
        const value = props.pressure[name];
        return (
          value !== null && (
            <span key={name} className="cs-Pressure-item">
              <span className="cs-muted">{names[name]}</span>
              <span className="cs-Pressure-bar" aria-hidden="true">
                <span style={{ width: `${Math.min(100, value)}%` }} />
              </span>
              <span>{value.toFixed(value < 10 ? 1 : 0)} %</span>
            </span>
          )
        );
      })}
    </div>
  );
}

interface IBranch {
  process: IProcess;
  depth: number;
}

/** Return processes as a tree, each below the one that started it. */
export function processTree(processes: readonly IProcess[]): IBranch[] {
  const ids = new Set(processes.map(process => process.pid));
  const children = new Map<number, IProcess[]>();
  const roots: IProcess[] = [];
  for (const process of processes) {
    if (ids.has(process.ppid) && process.ppid !== process.pid) {
      children.set(process.ppid, [...(children.get(process.ppid) ?? []), process]);
    } else {
      roots.push(process);
    }
  }
  const tree: IBranch[] = [];
  const add = (process: IProcess, depth: number): void => {
    tree.push({ process, depth });
    (children.get(process.pid) ?? []).forEach(child => add(child, depth + 1));
  };
  roots.forEach(root => add(root, 0));
  return tree;
}

function Processes(props: { processes: readonly IProcess[] }): React.ReactElement | null {
  const { trans } = useCellstack();
  if (props.processes.length === 0) {
    return null;
  }
  return (
    <table className="cs-Table">
      <caption>{trans.__('Processes')}</caption>
      <thead>
        <tr>
          <th scope="col">{trans.__('inside')}</th>
          <th scope="col">{trans.__('host')}</th>
          <th scope="col">{trans.__('command')}</th>
          <th scope="col">{trans.__('memory')}</th>
          <th scope="col">{trans.__('cpu')}</th>
        </tr>
      </thead>
      <tbody>
        {processTree(props.processes).map(({ process, depth }) => (
          <tr key={process.pid}>
            <td>{process.pid_inside ?? '–'}</td>
            <td className="cs-muted">{process.pid}</td>
            <td
              className="cs-Process"
              style={{ paddingLeft: 6 + depth * 12 }}
              title={visible(process.command)}
            >
              {depth > 0 && <span aria-hidden="true">└ </span>}
              {visible(process.command)}
            </td>
            <td>{process.memory === null ? '–' : size(process.memory)}</td>
            <td>{process.cpu_seconds === null ? '–' : duration(process.cpu_seconds)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
