import { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { IContainer } from '../api/types';
import { ICellRun } from '../model/front';
import { baseName, duration, firstLine, short, size, time } from '../model/format';
import { cpuUse, History } from '../model/metrics';
import { Model } from '../model/model';
import { useStore } from '../model/store';
import { ContainerDetails } from './container';
import { useCellstack } from './host';
import { containerIcon } from './icons';
import { VirtualList } from './list';
import { Empty, Loading, Meter, Problem } from './parts';
import { Split } from './split';

const ROW_HEIGHT = 58;
const WHO = 'containers';
const NO_HISTORY: History = [];

/** The containers of all kernels, those that run first, and the selected one's metrics and processes. */
export function ContainersView(): React.ReactElement {
  const { model, trans } = useCellstack();
  const containers = useStore(model.containers);
  const metrics = useStore(model.metrics);
  const { container } = useStore(model.selection);
  React.useEffect(() => {
    model.interests.set(WHO, { containers: 'all', inPanel: true });
    if (model.images.value.data === null) {
      void model.reloadImages(); // for their names
    }
    return () => model.interests.set(WHO, null);
  }, [model]);
  useInspected(model, container);

  if (containers.data === null) {
    return containers.error ? (
      <Problem problem={containers.error} onRetry={() => void model.refresh()} />
    ) : (
      <Loading label={trans.__('Loading the containers')} />
    );
  }
  if (containers.data.length === 0) {
    return (
      <Empty icon={containerIcon} title={trans.__('No container runs')}>
        {trans.__(
          'Each cell of a Cellstack notebook has one of its own. They appear here while they run.'
        )}
      </Empty>
    );
  }
  const running = containers.data.filter(entry => entry.status === 'running').length;
  return (
    <Split
      label={trans.__('Height of the list of containers')}
      top={
        <div className="cs-Column">
          <div className="cs-Head">
            <div className="cs-Head-title">{trans.__('%1 running', running)}</div>
            <span className="cs-muted cs-Head-count">
              {trans.__('%1 in all', containers.data.length)}
            </span>
          </div>
          <VirtualList
            className="cs-Containers"
            label={trans.__('Containers')}
            items={containers.data}
            keyOf={entry => entry.id}
            rowHeight={ROW_HEIGHT}
            selected={container}
            onSelect={entry => model.select({ container: entry.id })}
            render={entry => (
              <ContainerRow container={entry} history={metrics.get(entry.id) ?? NO_HISTORY} />
            )}
          />
        </div>
      }
      bottom={container && <ContainerDetails id={container} />}
    />
  );
}

/** Have a container fetched in detail, for as long as a view shows it. */
export function useInspected(model: Model, container: string | null): void {
  React.useEffect(() => {
    model.inspect(container);
    return () => model.inspect(null);
  }, [model, container]);
}

const ContainerRow = React.memo(function ContainerRow(props: {
  container: IContainer;
  history: History;
}): React.ReactElement {
  const { trans } = useCellstack();
  const { container, history } = props;
  const last = history[history.length - 1];
  const cpu = cpuUse(history.slice(-2));
  const isLive = container.status !== 'ended';
  const span = spanOf(container);
  const run = useRun(container.id);
  const number = run?.number ?? null;
  return (
    <div className={`cs-Container cs-mod-${outcomeOf(container, run) ?? container.status}`}>
      <span className="cs-Container-dot" aria-hidden="true" />
      <div className="cs-Container-main">
        <div className="cs-Layer-line">
          {number !== null && <span className="cs-Layer-number">[{number}]</span>}
          <code className="cs-Layer-code">
            {firstLine(container.command) ||
              (container.status === 'waiting'
                ? trans.__('for the next cell')
                : trans.__('(no code)'))}
          </code>
          <State container={container} />
        </div>
        <div className="cs-Layer-facts">
          <code>{short(container.id)}</code>
          {container.notebook && <span>{baseName(container.notebook)}</span>}
          <span title={isLive ? trans.__('when it began') : trans.__('when it ended')}>
            {time(container.ended ?? container.started ?? container.created)}
          </span>
          {span !== null && <span title={trans.__('how long it ran')}>{duration(span)}</span>}
        </div>
        {isLive && last && (
          <div className="cs-Container-use">
            <span>{size(last.memory.bytes)}</span>
            <Meter
              value={last.memory.bytes}
              limit={last.memory.limit}
              label={trans.__('memory of its limit')}
            />
            <span>{percent(cpu[cpu.length - 1]?.value ?? 0)}</span>
            <Meter
              value={cpu[cpu.length - 1]?.value ?? 0}
              limit={last.cpu.limit}
              label={trans.__('processor of its limit')}
            />
          </div>
        )}
      </div>
    </div>
  );
});

/** Return processors in use as the percent that top shows: 100 % is one of them. */
export function percent(processors: number): string {
  return `${Math.round(processors * 100)} %`;
}

/** What a container does, or how it ended. */
export function State(props: { container: IContainer }): React.ReactElement {
  const { trans } = useCellstack();
  const { container } = props;
  const run = useRun(container.id);
  const states = {
    waiting: trans.__('waiting'),
    running: trans.__('running'),
    paused: trans.__('paused'),
    ended: ending(container, run, trans)
  };
  return (
    <span className={`cs-Chip${outcomeOf(container, run) === 'error' ? ' cs-mod-failed' : ''}`}>
      {states[container.status]}
    </span>
  );
}

/** Return what the notebook in front has kept of the cell that a container ran; null when it has nothing. */
function useRun(container: string): ICellRun | null {
  const { model } = useCellstack();
  const notebook = useStore(model.notebook);
  return notebook?.cells.find(cell => cell.container === container) ?? null;
}

/**
 * Return how a container ended; null for one that has not, or of which that is not known.
 *
 * One whose cell has raised an exception has ended as it should: that is known by what the notebook has kept.
 */
function outcomeOf({ status, exit }: IContainer, run: ICellRun | null): 'ok' | 'error' | null {
  if (status !== 'ended' || (!exit && !run)) {
    return null;
  }
  const isWell = !exit || (exit.reason === 'finished' && exit.code === 0);
  return isWell && (!run || run.status === 'ok') ? 'ok' : 'error';
}

function ending({ exit }: IContainer, run: ICellRun | null, trans: TranslationBundle): string {
  const { reason, code } = exit ?? { reason: '', code: 0 };
  switch (reason) {
    case '':
    case 'finished':
      if (code !== 0) {
        return trans.__('exit code %1', code);
      }
      if (run) {
        return { ok: trans.__('ok'), error: trans.__('error'), killed: trans.__('killed') }[
          run.status
        ];
      }
      return reason ? trans.__('finished') : trans.__('ended');
    case 'oom':
      return trans.__('out of memory');
    case 'timeout':
      return trans.__('out of time');
    case 'pids':
      return trans.__('too many processes');
    case 'interrupt':
      return trans.__('interrupted');
    case 'stop':
      return trans.__('stopped');
    case 'signal':
      return trans.__('ended by signal %1', code - 128);
    default:
      return trans.__('killed');
  }
}

/** Return for how many seconds a container ran that has ended; null when that is not known. */
export function spanOf({ started, ended }: IContainer): number | null {
  return started && ended ? Math.max(0, Date.parse(ended) - Date.parse(started)) / 1000 : null;
}
