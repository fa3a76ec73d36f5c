import * as React from 'react';

import { asOption, duration, short, size } from '../model/format';
import { cpuUse, History } from '../model/metrics';
import { useStore } from '../model/store';
import { IKeptRecord, limitOf } from '../notebook/record';
import { ICellLine } from '../notebook/lines';
import { percent } from './containers';
import { useCellstack } from './host';
import { Button, Changes, Meter, useNoKernel } from './parts';

const NO_HISTORY: History = [];

/** The line under a cell: what its last run was, or how the one that is on now is doing. */
export function CellLineView(props: { line: ICellLine }): React.ReactElement | null {
  const { line } = props;
  const { record, run, isLate } = useStore(line.state);
  if (run !== 'none') {
    return <Running line={line} isOn={run === 'on'} />;
  }
  return record && <Ended line={line} record={record} isLate={isLate} />;
}

function Running(props: { line: ICellLine; isOn: boolean }): React.ReactElement {
  const { model, trans } = useCellstack();
  const containers = useStore(model.containers);
  const metrics = useStore(model.metrics);
  const sessions = useStore(model.sessions);
  const { line, isOn } = props;
  const session = sessions.data?.find(entry => entry.kernel_id === line.kernel);
  const container = containers.data?.find(
    entry =>
      isOn &&
      entry.session === session?.id &&
      (entry.status === 'running' || entry.status === 'paused')
  );
  const id = container?.id ?? null;
  React.useEffect(() => {
    model.interests.set(`cell ${line.id}`, id ? { containers: [id] } : null);
    return () => model.interests.set(`cell ${line.id}`, null);
  }, [model, line.id, id]);
  const history = (id && metrics.get(id)) || NO_HISTORY;
  const last = history[history.length - 1];
  const cpu = cpuUse(history.slice(-2))[0]?.value ?? 0;
  return (
    <div
      className="cs-CellLine cs-mod-running"
      role="group"
      aria-label={trans.__('Container of this cell')}
    >
      <span className="cs-CellLine-dot" aria-hidden="true" />
      {id ? (
        <button
          type="button"
          className="cs-CellLine-link"
          title={trans.__('Show the container in the panel')}
          onClick={() => line.showContainer(id)}
        >
          {short(id)}
        </button>
      ) : (
        <span>{trans.__('waits')}</span>
      )}
      {container?.status === 'paused' && <span>{trans.__('paused')}</span>}
      {last && (
        <>
          <span className="cs-CellLine-number">{size(last.memory.bytes)}</span>
          <Meter
            value={last.memory.bytes}
            limit={last.memory.limit}
            label={trans.__('memory of its limit')}
          />
          <span className="cs-CellLine-number">{trans.__('cpu %1', percent(cpu))}</span>
        </>
      )}
    </div>
  );
}

function Ended(props: {
  line: ICellLine;
  record: IKeptRecord;
  isLate: boolean;
}): React.ReactElement {
  const { model, trans } = useCellstack();
  const { line, record, isLate } = props;
  const fields = useStore(line.fields);
  const notebook = useStore(model.notebook);
  const outcome = useOutcome(record);
  const noKernel = useNoKernel();
  const why =
    noKernel ??
    (notebook?.busy
      ? trans.__('The kernel is busy: the cell can be run again when its cells are done.')
      : null);
  const raised = raise(record);
  const { layer } = record;
  return (
    <div
      className={`cs-CellLine cs-mod-${record.status}`}
      role="group"
      aria-label={trans.__('Container of this cell')}
    >
      <span className="cs-CellLine-dot" aria-hidden="true" />
      {fields.container && record.container && (
        <code className="cs-CellLine-id" title={trans.__('container')}>
          {short(record.container)}
        </code>
      )}
      <span className="cs-CellLine-outcome">{outcome}</span>
      {fields.time && (
        <span title={trans.__('time that the cell took')}>{duration(record.wall_seconds)}</span>
      )}
      {fields.memory && record.memory_peak_bytes > 0 && (
        <span className="cs-CellLine-memory">
          <span title={trans.__('memory at its peak')}>{size(record.memory_peak_bytes)}</span>
          <Meter
            value={record.memory_peak_bytes}
            limit={record.memory_limit}
            label={trans.__('memory at its peak, of its limit')}
          />
        </span>
      )}
      {fields.files && <Changes changes={record.changes} />}
      {fields.cache && record.cache !== 'off' && (
        <span>{record.cache === 'hit' ? trans.__('cached') : trans.__('run')}</span>
      )}
      {fields.layer && layer && record.committed && (
        <button
          type="button"
          className="cs-CellLine-link"
          title={trans.__('Show the layer in the panel')}
          onClick={() => line.showLayer(layer)}
        >
          {trans.__('layer %1', short(layer))}
        </button>
      )}
      {isLate && (
        <span
          title={trans.__(
            'It ran, or went on, where this page did not see it: the kernel has kept what it put out'
          )}
        >
          {trans.__('brought up to date')}
        </span>
      )}
      {raised && (
        <Button
          kind="accept"
          label={trans.__('Raise to %1 and run again', raised.shown)}
          why={why}
          onClick={() => line.raiseAndRun(raised.option)}
        />
      )}
    </div>
  );
}

/** Return how a run ended, in a word or with the limit that ended it. */
function useOutcome(record: IKeptRecord): string {
  const { trans } = useCellstack();
  const { status, reason, limit, signal } = record;
  switch (reason) {
    case 'oom':
      return limit === null
        ? trans.__('killed: out of memory')
        : trans.__('killed at its memory limit of %1', size(limit));
    case 'timeout':
      return limit === null
        ? trans.__('killed: out of time')
        : trans.__('killed at its time limit of %1', duration(limit));
    case 'pids':
      return limit === null
        ? trans.__('too many processes')
        : trans.__('ended at its limit of %1 processes', limit);
    case 'interrupt':
      return trans.__('interrupted');
    case 'exception':
      return trans.__('error');
    default:
      if (status === 'killed') {
        return signal ? trans.__('ended by %1', signal) : trans.__('killed');
      }
      return status === 'ok' ? trans.__('ok') : trans.__('error');
  }
}

/** Return twice the limit that a cell was killed at, as %limits takes it and as people read it; null for no limit. */
export function raise(record: IKeptRecord): { option: string; shown: string } | null {
  const name = limitOf(record.reason);
  if (record.status !== 'killed' || name === null || record.limit === null || record.limit <= 0) {
    return null;
  }
  const wanted = record.limit * 2;
  switch (name) {
    case 'memory':
      return { option: `memory=${asOption(wanted)}`, shown: size(wanted) };
    case 'timeout':
      return { option: `timeout=${wanted}`, shown: duration(wanted) };
    case 'pids':
      return { option: `pids=${Math.round(wanted)}`, shown: String(Math.round(wanted)) };
  }
}
