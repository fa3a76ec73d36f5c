import { closeIcon, copyIcon, downloadIcon, runIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IContents, IFile, ILayer, IVariable } from '../api/types';
import { firstLine, short, size, visible } from '../model/format';
import { FROM_IMAGE } from '../model/selection';
import { useStore } from '../model/store';
import { useCellstack } from './host';
import { checkoutIcon, compareIcon, tagIcon } from './icons';
import { number, useImageName } from './layers';
import { VirtualList } from './list';
import {
  Button,
  Empty,
  listOf,
  Loading,
  PassesFocus,
  Problem,
  TabPanel,
  Tabs,
  useHeadStays
} from './parts';

const PREFIX = 'cellstack-layer';
const FILE_HEIGHT = 24;
const VARIABLE_HEIGHT = 40;
/** Characters of a layer's code where it is one of many to choose from. */
const MOST_CODE = 40;
/** So many files are looked through without a filter. */
const FEW_FILES = 20;

type Page = 'files' | 'variables' | 'code';

/** The selected layer: what can be done with it, its files, variables and code. */
export function LayerDetails(props: { id: string }): React.ReactElement {
  const { model, trans } = useCellstack();
  const { data } = useStore(model.layers);
  const { against } = useStore(model.selection);
  const detail = useStore(model.layer);
  const diff = useStore(model.diff);
  const [page, setPage] = React.useState<Page>('files');
  const layer = data?.layers.find(entry => entry.id === props.id);
  if (!layer) {
    return <NoLayer id={props.id} />;
  }
  const shown = against === null ? detail : diff;
  const contents: IContents | null = shown.data;
  return (
    <PassesFocus next={listOf} className="cs-Column">
      <LayerHead layer={layer} />
      <CompareBar layer={layer} />
      <Tabs<Page>
        small
        tabs={[
          { id: 'files', label: trans.__('Files'), count: contents?.files_total },
          { id: 'variables', label: trans.__('Variables'), count: contents?.variables.length },
          { id: 'code', label: trans.__('Code') }
        ]}
        current={page}
        label={trans.__('What the layer holds')}
        prefix={PREFIX}
        onSelect={setPage}
      />
      <TabPanel id={page} prefix={PREFIX} className="cs-Column">
        {page === 'code' ? (
          <pre className="cs-Code" tabIndex={0}>
            {layer.code}
          </pre>
        ) : shown.error ? (
          <Problem problem={shown.error} onRetry={() => void model.refresh()} />
        ) : contents === null ? (
          <Loading label={trans.__('Loading the layer')} />
        ) : page === 'files' ? (
          <Files layer={layer.id} from={against} contents={contents} />
        ) : (
          <Variables
            variables={contents.variables}
            error={contents.variables_error}
            compared={against !== null}
          />
        )}
      </TabPanel>
    </PassesFocus>
  );
}

/** A layer that the notebook in front does not have: a copy of a notebook keeps the lines of the original's runs. */
function NoLayer(props: { id: string }): React.ReactElement {
  const { model, trans } = useCellstack();
  const { data, loading } = useStore(model.layer);
  const sessions = useStore(model.sessions).data ?? [];
  if (data?.id !== props.id) {
    return loading ? (
      <Loading label={trans.__('Loading the layer')} />
    ) : (
      <Empty title={trans.__('This layer is there no more')} />
    );
  }
  const owner = sessions.find(session => data.sessions.includes(session.id));
  return (
    <Empty
      title={
        owner?.notebook
          ? trans.__('This layer is of %1', owner.notebook)
          : trans.__('This layer is of another notebook')
      }
    >
      {trans.__(
        'A run there made it, and the cell was copied. Tag it there to use it here as an image, or run the cell.'
      )}
    </Empty>
  );
}

function LayerHead(props: { layer: ILayer }): React.ReactElement {
  const { model, actions, host, trans } = useCellstack();
  const { layer } = props;
  const notebook = useStore(model.notebook);
  const layers = useStore(model.layers);
  const waits = useStore(actions.waitsForKernel);
  const why = useHeadStays();
  const isOfCell = notebook?.cells.some(cell => cell.layer === layer.id);
  const isHead = layers.data?.head === layer.id;
  const askTag = async (): Promise<void> => {
    const name = await host.askText(
      trans.__('Make this layer an image'),
      trans.__('Its name, as NAME or NAME:TAG'),
      ''
    );
    if (name) {
      await actions.tag(layer.id, name);
    }
  };
  return (
    <>
      <div className="cs-Head">
        <span className="cs-Layer-number">{number(layer)}</span>
        <code className="cs-Head-id">{short(layer.id)}</code>
        <Button
          iconOnly
          icon={copyIcon}
          label={trans.__('Copy the id of the layer')}
          onClick={() => host.copy(layer.id)}
        />
        <span className="cs-spacer" />
        <Button
          iconOnly
          icon={closeIcon}
          label={trans.__('Close the layer')}
          onClick={() => model.select({ layer: null, against: null })}
        />
      </div>
      <div className="cs-Actions" role="group" aria-label={trans.__('What to do with the layer')}>
        <Button
          icon={checkoutIcon}
          kind={isHead ? 'plain' : 'accept'}
          label={isHead ? trans.__('Checked out') : trans.__('Check out')}
          disabled={waits || isHead}
          why={isHead ? null : why}
          onClick={() => void actions.checkout(layer.id)}
        />
        <Button
          icon={runIcon}
          label={trans.__('Run from here')}
          disabled={waits}
          why={
            why ??
            (isOfCell ? null : trans.__('No cell of this notebook has that layer as its result'))
          }
          onClick={() => void actions.runFrom(layer.id)}
        />
        <Button
          icon={tagIcon}
          label={trans.__('Tag…')}
          disabled={waits}
          why={why}
          onClick={() => void askTag()}
        />
      </div>
    </>
  );
}

/** Chooses what the layer is compared with: nothing is its parent. */
function CompareBar(props: { layer: ILayer }): React.ReactElement {
  const { model, trans } = useCellstack();
  const { layer } = props;
  const { data } = useStore(model.layers);
  const { against } = useStore(model.selection);
  const others = (data?.layers ?? []).filter(other => other.id !== layer.id);
  const nameOf = useImageName(layer.image !== null && layer.image !== data?.image?.id);
  const Compare = compareIcon;
  return (
    <label className="cs-Compare">
      <Compare.react tag="span" width="14px" height="14px" />
      <span>{trans.__('Compared with')}</span>
      <select
        className="cs-Select"
        value={against ?? ''}
        onChange={event => model.select({ against: event.target.value || null })}
      >
        <option value="">{trans.__('the layer before it')}</option>
        <option value={FROM_IMAGE}>
          {layer.image === null
            ? trans.__('the image')
            : trans.__('the image %1', nameOf(layer.image))}
        </option>
        {others.reverse().map(other => (
          <option key={other.id} value={other.id}>
            {[
              number(other),
              short(other.id),
              firstLine(other.code).slice(0, MOST_CODE),
              other.id === data?.head ? trans.__('(head)') : ''
            ]
              .filter(Boolean)
              .join(' ')}
          </option>
        ))}
      </select>
    </label>
  );
}

const SIGN = { added: '+', changed: '~', deleted: '−' } as const;

function Files(props: {
  layer: string;
  from: string | null;
  contents: IContents;
}): React.ReactElement {
  const { model, host, trans } = useCellstack();
  const { layer, from, contents } = props;
  const session = useStore(model.session);
  const [selected, setSelected] = React.useState<string | null>(null);
  const [filter, setFilter] = React.useState('');
  if (contents.files.length === 0) {
    return <Empty title={trans.__('No file is different')} />;
  }
  const hasFilter = contents.files.length > FEW_FILES;
  const wanted = hasFilter ? filter.trim().toLowerCase() : '';
  const files = contents.files.filter(entry => entry.path.toLowerCase().includes(wanted));
  const kinds = {
    added: trans.__('added'),
    changed: trans.__('changed'),
    deleted: trans.__('deleted')
  };
  const file = files.find(entry => entry.path === selected);
  const open = (entry: IFile): void => {
    if (entry.type === 'file') {
      host.openFile(layer, entry.path, from);
    }
  };
  const left = contents.files_total - contents.files.length;
  return (
    <>
      {hasFilter && (
        <div className="cs-Filter">
          <input
            type="search"
            className="cs-Input"
            aria-label={trans.__('Show only files with this in their path')}
            placeholder={trans.__('Filter by path')}
            value={filter}
            onChange={event => setFilter(event.target.value)}
          />
          <span className="cs-muted" role="status">
            {wanted && trans.__('%1 of %2', files.length, contents.files.length)}
          </span>
        </div>
      )}
      <VirtualList
        className="cs-Files"
        label={trans.__('Files that are different')}
        items={files}
        keyOf={entry => entry.path}
        rowHeight={FILE_HEIGHT}
        selected={selected}
        onSelect={entry => setSelected(entry.path)}
        onOpen={open}
        render={entry => (
          <div className={`cs-File cs-mod-${entry.kind}`} title={visible(entry.path)}>
            <span className="cs-File-sign" aria-hidden="true">
              {SIGN[entry.kind]}
            </span>
            <span className="cs-visuallyHidden">{kinds[entry.kind]}</span>
            <span className="cs-File-path">
              <bdi>
                {visible(entry.path)}
                {entry.type === 'directory' && '/'}
              </bdi>
            </span>
            <span className="cs-muted">{entry.size !== null && size(entry.size)}</span>
          </div>
        )}
      />
      {left > 0 && <p className="cs-Note">{trans.__('%1 more are not shown.', left)}</p>}
      <div className="cs-Actions cs-mod-foot">
        <Button
          icon={compareIcon}
          label={trans.__('Show the change')}
          disabled={file?.type !== 'file'}
          onClick={() => file && open(file)}
        />
        <Button
          icon={downloadIcon}
          label={trans.__('Download')}
          disabled={file?.type !== 'file' || file.kind === 'deleted' || !session}
          onClick={() =>
            file && session && host.download(model.api.downloadUrl(layer, file.path, session.id))
          }
        />
      </div>
    </>
  );
}

function Variables(props: {
  variables: readonly IVariable[];
  error: string | null;
  compared: boolean;
}): React.ReactElement {
  const { trans } = useCellstack();
  const [selected, setSelected] = React.useState<string | null>(null);
  const { variables, error, compared } = props;
  if (error !== null) {
    return <Problem problem={{ message: error, hint: null }} />;
  }
  if (variables.length === 0) {
    return (
      <Empty
        title={compared ? trans.__('No variable is different') : trans.__('No variable is there')}
      />
    );
  }
  return (
    <VirtualList
      className="cs-Variables"
      label={trans.__('Variables')}
      items={variables}
      keyOf={variable => variable.name}
      rowHeight={VARIABLE_HEIGHT}
      selected={selected}
      onSelect={variable => setSelected(variable.name)}
      render={variable => (
        <div className={`cs-Variable${variable.not_carried ? ' cs-mod-lost' : ''}`}>
          <div className="cs-Variable-line">
            {variable.kind && (
              <span className={`cs-File-sign cs-mod-${variable.kind}`}>{SIGN[variable.kind]}</span>
            )}
            <code className="cs-Variable-name" title={visible(variable.name)}>
              {visible(variable.name)}
            </code>
            <span className="cs-muted cs-Variable-type" title={visible(variable.type)}>
              {visible(variable.type)}
            </span>
            <span className="cs-spacer" />
            <span className="cs-muted cs-Variable-size">
              {variable.size !== null && size(variable.size)}
            </span>
          </div>
          <div className="cs-Variable-facts">
            {variable.not_carried !== null && (
              <span className="cs-mod-failed">
                {trans.__('not carried: %1', visible(variable.not_carried))}
              </span>
            )}
            {variable.cell !== null && <span>{trans.__('made by [%1]', variable.cell)}</span>}
            {variable.shared_with.length > 0 && (
              <span>
                {trans.__('shares objects with %1', visible(variable.shared_with.join(', ')))}
              </span>
            )}
          </div>
        </div>
      )}
    />
  );
}
