import { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { INamespace } from '../api/types';
import { baseName, visible } from '../model/format';
import { useCellstack } from './host';

/** Return in a word or two what those in a namespace see. */
export function summary(namespace: INamespace, trans: TranslationBundle): string {
  const { inside, kind } = namespace;
  switch (kind) {
    case 'uts':
      return visible(inside.hostname ?? '');
    case 'mnt':
      return inside.mounts ? trans._n('%1 mount', '%1 mounts', inside.mounts.length) : '';
    case 'net':
      return inside.interfaces?.map(entry => entry.name).join(' ') ?? '';
    case 'pid':
      return inside.processes === undefined
        ? ''
        : trans._n('%1 process', '%1 processes', inside.processes);
    case 'user': {
      const first = inside.uid_map?.[0];
      return first ? `${first[0]} → ${first[1]}` : '';
    }
    case 'cgroup':
      return inside.path === undefined ? '' : baseName(inside.path) || '/';
    case 'ipc':
    case 'time':
      return '';
  }
}

/** What is to be seen inside of a namespace. */
export function Inside(props: { namespace: INamespace }): React.ReactElement | null {
  const { trans } = useCellstack();
  const { inside, kind } = props.namespace;
  if (kind === 'mnt' && inside.mounts) {
    return (
      <table className="cs-Table">
        <thead>
          <tr>
            <th scope="col">{trans.__('at')}</th>
            <th scope="col">{trans.__('type')}</th>
            <th scope="col">{trans.__('from')}</th>
          </tr>
        </thead>
        <tbody>
          {inside.mounts.map((mount, index) => (
            <tr key={index} title={mount.options}>
              <td>
                <code>{visible(mount.target)}</code>
              </td>
              <td>{mount.type}</td>
              <td className="cs-muted">{visible(mount.source)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    );
  }
  if (kind === 'net' && inside.interfaces) {
    return (
      <ul className="cs-Plugs">
        {inside.interfaces.map(entry => (
          <li key={entry.name} className={entry.up ? 'cs-mod-up' : ''}>
            <span className="cs-Plugs-dot" aria-hidden="true" />
            <code>{entry.name}</code>
            <span className="cs-muted">
              {entry.up ? entry.addresses.join(', ') : trans.__('down')}
            </span>
          </li>
        ))}
      </ul>
    );
  }
  if (kind === 'user' && inside.uid_map) {
    return (
      <>
        <IdMap label={trans.__('users')} map={inside.uid_map} />
        {inside.gid_map && <IdMap label={trans.__('groups')} map={inside.gid_map} />}
      </>
    );
  }
  const lines: [string, string | undefined][] = [
    [trans.__('host name'), inside.hostname && visible(inside.hostname)],
    [trans.__('path'), inside.path],
    [trans.__('processes'), inside.processes?.toString()],
    [
      trans.__('clock offsets'),
      inside.offsets === undefined ? undefined : JSON.stringify(inside.offsets)
    ]
  ];
  const there = lines.filter(([, value]) => value !== undefined);
  return there.length === 0 ? null : (
    <dl className="cs-Facts">
      {there.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Ids inside above those outside that they stand for. */
function IdMap(props: { label: string; map: [number, number, number][] }): React.ReactElement {
  const { trans } = useCellstack();
  return (
    <div className="cs-IdMap">
      <span className="cs-IdMap-label">{props.label}</span>
      {props.map.map(([inside, outside, count]) => (
        <div key={inside} className="cs-IdMap-range">
          <span className="cs-mod-inside">
            {trans.__('inside')} <b>{range(inside, count)}</b>
          </span>
          <span className="cs-mod-outside">
            {trans.__('host')} <b>{range(outside, count)}</b>
          </span>
        </div>
      ))}
    </div>
  );
}

function range(first: number, count: number): string {
  return count === 1 ? String(first) : `${first} … ${first + count - 1}`;
}
