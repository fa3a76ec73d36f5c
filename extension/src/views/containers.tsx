import * as React from 'react';

import { IContainer } from '../api/types';
import { baseName, firstLine, short, size, time } from '../model/format';
import { cpuUse, History } from '../model/metrics';
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
    model.interests.set(WHO, { containers: 'all' });
    return () => model.interests.set(WHO, null);
  }, [model]);

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

const ContainerRow = React.memo(function ContainerRow(props: {
  container: IContainer;
  history: History;
}): React.ReactElement {
  const { trans } = useCellstack();
  const { container, history } = props;
  const last = history[history.length - 1];
  const cpu = cpuUse(history.slice(-2));
  const state = useStates()[container.status];
  const isLive = container.status !== 'ended';
  return (
    <div className={`cs-Container cs-mod-${container.status}`}>
      <span className="cs-Container-dot" aria-hidden="true" />
      <div className="cs-Container-main">
        <div className="cs-Layer-line">
          <code className="cs-Layer-code">
            {firstLine(container.command) ||
              (container.status === 'waiting'
                ? trans.__('for the next cell')
                : short(container.id))}
          </code>
          <span className="cs-Chip">{state}</span>
        </div>
        <div className="cs-Layer-facts">
          <code>{short(container.id)}</code>
          {container.notebook && <span>{baseName(container.notebook)}</span>}
          <span>{time(container.started ?? container.created)}</span>
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

export function useStates(): { [status in IContainer['status']]: string } {
  const { trans } = useCellstack();
  return {
    waiting: trans.__('waiting'),
    running: trans.__('running'),
    paused: trans.__('paused'),
    ended: trans.__('ended')
  };
}
