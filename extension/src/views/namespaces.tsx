import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IContainer, INamespace, ISession } from '../api/types';
import { baseName, firstLine, short } from '../model/format';
import { useStore } from '../model/store';
import { useInspected } from './containers';
import { useCellstack } from './host';
import { namespaceIcon } from './icons';
import { Empty, Loading, Problem } from './parts';
import { Inside, summary } from './inside';

const WHO = 'namespaces';

/** The eight namespaces of a container beside the host's and those of the cell before. */
export function NamespacesView(): React.ReactElement {
  const { model, trans } = useCellstack();
  const containers = useStore(model.containers);
  const session = useStore(model.session);
  const { container: selected } = useStore(model.selection);
  const detail = useStore(model.container);
  const live = (containers.data ?? []).filter(container => container.status !== 'ended');
  const chosen = choose(live, selected, session);
  const id = chosen?.id ?? null;
  React.useEffect(() => {
    // Whether its processes change is known by its metrics.
    model.interests.set(WHO, id === null ? null : { containers: [id], inPanel: true });
    return () => model.interests.set(WHO, null);
  }, [model, id]);
  useInspected(model, id);

  if (containers.data === null) {
    return containers.error ? (
      <Problem problem={containers.error} onRetry={() => void model.refresh()} />
    ) : (
      <Loading label={trans.__('Loading the containers')} />
    );
  }
  if (live.length === 0) {
    return (
      <Empty icon={namespaceIcon} title={trans.__('No container is there to look into')}>
        {trans.__(
          'The namespaces of a cell are here while it runs, and those of the container that waits for the next one.'
        )}
      </Empty>
    );
  }
  const namespaces = detail.data?.id === id ? detail.data.namespaces : null;
  return (
    <div className="cs-Column cs-mod-scroll">
      <label className="cs-Compare">
        <span>{trans.__('Container')}</span>
        <select
          className="cs-Select"
          value={id ?? ''}
          onChange={event => model.select({ container: event.target.value })}
        >
          {!chosen && <option value="">{trans.__('none of this notebook')}</option>}
          {live.map(container => (
            <option key={container.id} value={container.id}>
              {[
                short(container.id),
                firstLine(container.command) ||
                  (container.status === 'waiting' ? trans.__('for the next cell') : ''),
                baseName(container.notebook ?? '')
              ]
                .filter(Boolean)
                .join(' · ')}
            </option>
          ))}
        </select>
      </label>
      {!chosen ? (
        <Empty icon={namespaceIcon} title={trans.__('This notebook has no container now')}>
          {trans.__('Run a cell, or choose a container of another notebook above.')}
        </Empty>
      ) : detail.error ? (
        <Problem problem={detail.error} onRetry={() => void model.reloadContainer()} />
      ) : namespaces === null ? (
        <Loading label={trans.__('Looking into the container')} />
      ) : namespaces.length === 0 ? (
        <Empty title={trans.__('Its namespaces cannot be looked at now')} />
      ) : (
        <Picture namespaces={namespaces} waits={chosen.status === 'waiting'} />
      )}
    </div>
  );
}

/**
 * Return the selected container, else one of the notebook in front, those that run first; null when there is none.
 *
 * Those of others take its place only where it has no session; they would do so after each of its cells.
 */
function choose(
  live: readonly IContainer[],
  selected: string | null,
  session: ISession | null
): IContainer | null {
  const own = session ? live.filter(container => container.session === session.id) : live;
  return live.find(container => container.id === selected) ?? own[0] ?? null;
}

/**
 * A row for each kind of namespace, a column each for the host, the cell before and this one.
 *
 * Who shares a namespace stands in the same room: its wall goes around both.
 */
function Picture(props: { namespaces: readonly INamespace[]; waits: boolean }): React.ReactElement {
  const { trans } = useCellstack();
  const [open, setOpen] = React.useState<string | null>(null);
  const { waits } = props;
  const own = props.namespaces.filter(isOwn).length;
  const all = props.namespaces.length;
  const hasPrevious = props.namespaces.some(namespace => namespace.previous_inode !== null);
  return (
    <>
      <p className="cs-Note">
        {own === all
          ? waits
            ? trans.__('The next cell has %1 namespaces of its own, and shares none.', own)
            : trans.__('This cell has %1 namespaces of its own, and shares none.', own)
          : waits
            ? trans.__('The next cell has %1 of %2 namespaces of its own.', own, all)
            : trans.__('This cell has %1 of %2 namespaces of its own.', own, all)}
      </p>
      <div className="cs-Rooms" role="table" aria-label={trans.__('Namespaces')}>
        <div className="cs-Rooms-houses" role="presentation">
          <span />
          <span />
          <span />
        </div>
        <div className="cs-Rooms-head" role="row">
          <span role="columnheader">{trans.__('namespace')}</span>
          <span role="columnheader">{trans.__('host')}</span>
          <span role="columnheader">{trans.__('before')}</span>
          <span role="columnheader">{waits ? trans.__('next cell') : trans.__('this cell')}</span>
        </div>
        {props.namespaces.map(namespace => (
          <Kind
            key={namespace.kind}
            namespace={namespace}
            hasPrevious={hasPrevious}
            isOpen={open === namespace.kind}
            onToggle={() => setOpen(open === namespace.kind ? null : namespace.kind)}
          />
        ))}
      </div>
      <p className="cs-Note cs-muted">
        {trans.__(
          'Each box is one namespace, with the end of its inode number. A box across columns is shared.'
        )}
      </p>
    </>
  );
}

function isOwn(namespace: INamespace): boolean {
  return namespace.inode !== namespace.host_inode && namespace.inode !== namespace.previous_inode;
}

function Kind(props: {
  namespace: INamespace;
  hasPrevious: boolean;
  isOpen: boolean;
  onToggle: () => void;
}): React.ReactElement {
  const { trans } = useCellstack();
  const { namespace, hasPrevious, isOpen, onToggle } = props;
  const Caret = isOpen ? caretDownIcon : caretRightIcon;
  return (
    <>
      <div className={`cs-Rooms-row${isOpen ? ' cs-mod-open' : ''}`} role="row">
        <span role="rowheader" className="cs-Rooms-kind">
          <button
            type="button"
            aria-expanded={isOpen}
            title={namespace.isolates}
            onClick={onToggle}
          >
            <Caret.react tag="span" width="14px" height="14px" />
            {namespace.kind}
          </button>
        </span>
        {rooms(namespace, hasPrevious).map(room => (
          <span
            key={room.who}
            role="cell"
            aria-colspan={room.span > 1 ? room.span : undefined}
            className={`cs-Room cs-mod-${room.who}${room.span > 1 ? ' cs-mod-shared' : ''}`}
            style={{ gridColumn: `span ${room.span}` }}
          >
            {room.inode === null ? (
              <span className="cs-muted">–</span>
            ) : (
              <>
                {room.who === 'this' && (
                  <span className="cs-Room-inside">{summary(namespace, trans)}</span>
                )}
                <span className="cs-Room-inode" title={String(room.inode)}>
                  <span className="cs-visuallyHidden">{room.inode}</span>
                  <span aria-hidden="true">…{String(room.inode).slice(-5)}</span>
                </span>
              </>
            )}
          </span>
        ))}
      </div>
      {isOpen && (
        <div className="cs-Rooms-detail" role="row">
          <div role="cell" aria-colspan={4}>
            <p>{namespace.isolates}</p>
            <Inside namespace={namespace} />
          </div>
        </div>
      )}
    </>
  );
}

interface IRoom {
  who: 'host' | 'previous' | 'this';
  inode: number | null;
  span: number;
}

/** Return the boxes of a row: one for each namespace, as wide as there are neighbours in it. */
export function rooms(namespace: INamespace, hasPrevious: boolean): IRoom[] {
  const { inode, host_inode, previous_inode } = namespace;
  const columns: IRoom[] = [
    { who: 'host', inode: host_inode, span: 1 },
    { who: 'previous', inode: hasPrevious ? previous_inode : null, span: 1 },
    { who: 'this', inode, span: 1 }
  ];
  const joined: IRoom[] = [];
  for (const room of columns) {
    const last = joined[joined.length - 1];
    if (last && room.inode !== null && last.inode === room.inode) {
      joined[joined.length - 1] = { who: room.who, inode: room.inode, span: last.span + 1 };
    } else {
      joined.push(room);
    }
  }
  return joined;
}
