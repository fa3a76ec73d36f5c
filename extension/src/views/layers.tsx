import { refreshIcon, undoIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { ILayer, ISessionLayers } from '../api/types';
import { baseName, duration, firstLine, short, size, visible } from '../model/format';
import { IGraph, IRow, layOut } from '../model/graph';
import { imageName } from '../model/lists';
import { FROM_IMAGE } from '../model/selection';
import { useStore } from '../model/store';
import { GraphCell } from './graphcell';
import { useCellstack } from './host';
import { headIcon, layersIcon } from './icons';
import { LayerDetails } from './layer';
import { IListHandle, VirtualList } from './list';
import { Button, Changes, Empty, Loading, Problem, useHeadStays } from './parts';
import { Split } from './split';

export const ROW_HEIGHT = 46;

/** The layers of the notebook in front, as a tree, and what the selected one holds. */
export function LayersView(): React.ReactElement {
  const { model, trans } = useCellstack();
  const notebook = useStore(model.notebook);
  const session = useStore(model.session);
  const sessions = useStore(model.sessions);
  const layers = useStore(model.layers);
  const selection = useStore(model.selection);

  if (sessions.error && !sessions.data) {
    return <Problem problem={sessions.error} onRetry={() => void model.refresh()} />;
  }
  if (notebook === null) {
    return (
      <Empty icon={layersIcon} title={trans.__('No notebook is in front')}>
        {trans.__(
          'Open one with the kernel “Python (Cellstack)”: each cell that you run becomes a layer here.'
        )}
      </Empty>
    );
  }
  if (notebook.kernel === 'other') {
    const wanted = notebook.cells.find(cell => cell.layer === selection.layer)?.layer;
    return wanted ? (
      <Empty
        icon={layersIcon}
        title={trans.__('The layer %1 is of a run with another kernel', short(wanted))}
      >
        {trans.__(
          'The kernel of %1 is “%2” now. The layer is in the store: it is shown when the notebook has the kernel “Python (Cellstack)” again.',
          baseName(notebook.path),
          notebook.kernelName
        )}
      </Empty>
    ) : (
      <Empty icon={layersIcon} title={trans.__('%1 has no layers', baseName(notebook.path))}>
        {trans.__(
          'Its kernel is “%1”. With the kernel “Python (Cellstack)” each of its cells runs in a container of its own.',
          notebook.kernelName
        )}
      </Empty>
    );
  }
  if (layers.error && !layers.data) {
    return <Problem problem={layers.error} onRetry={() => void model.refresh()} />;
  }
  if (layers.data === null) {
    return session || layers.loading || sessions.loading || notebook.kernel === 'starting' ? (
      <Loading label={trans.__('Loading the layers')} />
    ) : (
      <NoLayers path={notebook.path} />
    );
  }
  return (
    <Split
      label={trans.__('Height of the list of layers')}
      top={<LayerTree data={layers.data} />}
      bottom={selection.layer && <LayerDetails id={selection.layer} />}
    />
  );
}

function NoLayers(props: { path: string }): React.ReactElement {
  const { trans } = useCellstack();
  return (
    <Empty icon={layersIcon} title={trans.__('%1 has no layers yet', baseName(props.path))}>
      {trans.__('Run a cell: what it changes becomes the first one.')}
    </Empty>
  );
}

function LayerTree(props: { data: ISessionLayers }): React.ReactElement {
  const { model, actions, trans } = useCellstack();
  const { data } = props;
  const { layer, against } = useStore(model.selection);
  const waits = useStore(actions.waitsForKernel);
  const notebook = useStore(model.notebook);
  const image = data.image?.id ?? null;
  const graph = React.useMemo(
    () => layOut(data.layers, data.head, image),
    [data.layers, data.head, image]
  );
  const nameOf = useImageName(graph.rows.some(row => row.isElsewhere));
  const isOnImage = data.layers.some(entry => entry.id === layer && entry.image === image);
  const interrupted = new Set(
    notebook?.cells.filter(cell => cell.reason === 'interrupt').map(cell => cell.layer)
  );
  const why = useHeadStays();
  const list = React.useRef<IListHandle>(null);
  return (
    <div className="cs-Column">
      <div className="cs-Head">
        <div className="cs-Head-title" title={data.session.notebook ?? ''}>
          {baseName(data.session.notebook ?? trans.__('no file'))}
        </div>
        <span className="cs-muted cs-Head-count">
          {trans._n('%1 layer', '%1 layers', data.layers.length)}
        </span>
        <span className="cs-spacer" />
        <Button
          iconOnly
          icon={headIcon}
          label={trans.__('Show head in the list')}
          disabled={data.head === null}
          onClick={() => data.head !== null && list.current?.show(data.head)}
        />
        <Button
          iconOnly
          icon={undoIcon}
          label={trans.__('Undo the last cell: files and variables as they were before it')}
          disabled={waits || data.head === null}
          why={why}
          onClick={() => void actions.undo()}
        />
        <Button
          iconOnly
          icon={refreshIcon}
          label={trans.__('Fetch the layers anew')}
          onClick={() => void model.refresh()}
        />
      </div>
      {notebook?.kernel === 'none' && (
        <p className="cs-Note">
          {trans.__('No kernel runs: start one to check out layers, or to undo.')}
        </p>
      )}
      {data.layers.length === 0 ? (
        <NoLayers path={data.session.notebook ?? ''} />
      ) : (
        <VirtualList
          className="cs-Layers"
          label={trans.__('Layers, the newest first')}
          items={graph.rows}
          keyOf={keyOf}
          rowHeight={ROW_HEIGHT}
          selected={layer}
          followed={data.head}
          handle={list}
          onSelect={row => model.select({ layer: row.layer.id, against: null })}
          render={(row, selected) => (
            <LayerRow
              row={row}
              graph={graph}
              selected={selected}
              compared={row.layer.id === against}
              image={row.isElsewhere && row.layer.image !== null ? nameOf(row.layer.image) : null}
              interrupted={interrupted.has(row.layer.id)}
            />
          )}
        />
      )}
      <ImageFoot data={data} compared={against === FROM_IMAGE && isOnImage} />
    </div>
  );
}

const keyOf = (row: IRow): string => row.layer.id;

const LayerRow = React.memo(function LayerRow(props: {
  row: IRow;
  graph: IGraph;
  selected: boolean;
  compared: boolean;
  /** The name of the image that it stands on, where the graph does not lead to that. */
  image: string | null;
  /** As the notebook has kept: the layer itself knows of an error only. */
  interrupted: boolean;
}): React.ReactElement {
  const { trans } = useCellstack();
  const { row, graph, compared, image, interrupted } = props;
  const { layer } = row;
  const line = firstLine(layer.code);
  return (
    <div
      className={`cs-Layer${layer.on_path ? '' : ' cs-mod-aside'}${row.startsRun ? ' cs-mod-first' : ''}`}
    >
      <GraphCell
        row={row}
        width={graph.width}
        height={ROW_HEIGHT}
        failed={layer.status === 'error'}
      />
      <div className="cs-Layer-main">
        <div className="cs-Layer-line">
          <span className="cs-Layer-number">{number(layer)}</span>
          <code className="cs-Layer-code">{line || trans.__('(no code)')}</code>
          {compared && <span className="cs-Chip">{trans.__('compared')}</span>}
          {layer.tags.map(tag => (
            <span
              key={tag}
              className="cs-Chip cs-mod-tag"
              title={trans.__('image %1', visible(tag))}
            >
              {visible(tag)}
            </span>
          ))}
          {row.isHead && <span className="cs-Chip cs-mod-head">{trans.__('head')}</span>}
        </div>
        <div className="cs-Layer-facts">
          {row.startsRun && (
            <span
              title={trans.__('The kernel had been started anew: cells are counted from 1 again')}
            >
              {trans.__('new run')}
            </span>
          )}
          {image !== null && (
            <span title={trans.__('It stands on another image than head or the next cell')}>
              {trans.__('on image %1', visible(image))}
            </span>
          )}
          {layer.status === 'error' && (
            <span className="cs-mod-failed">
              {interrupted ? trans.__('interrupted') : trans.__('error')}
            </span>
          )}
          <Changes changes={layer.changes} />
          {layer.bytes > 0 && <span>{size(layer.bytes)}</span>}
          {layer.cache === 'hit' ? (
            <span title={trans.__('taken from the cache')}>{trans.__('cached')}</span>
          ) : (
            layer.wall_seconds !== null && (
              <span title={trans.__('time that the cell took')}>
                {duration(layer.wall_seconds)}
              </span>
            )
          )}
          {layer.memory_peak_bytes !== null && (
            <span title={trans.__('memory at its peak')}>{size(layer.memory_peak_bytes)}</span>
          )}
          {layer.sessions.length > 0 && (
            <span title={trans.__('other notebooks have it, too: %1', layer.sessions.length)}>
              {trans.__('shared')}
            </span>
          )}
        </div>
      </div>
    </div>
  );
});

/** The image of head, or of the next cell: what the lines of the graph lead to. */
function ImageFoot(props: { data: ISessionLayers; compared: boolean }): React.ReactElement | null {
  const { model, trans } = useCellstack();
  const { image, head } = props.data;
  if (image === null) {
    return <p className="cs-Note">{trans.__('The image is being made…')}</p>;
  }
  const name = image.tags[0] ?? short(image.id);
  return (
    <button
      type="button"
      className="cs-ImageFoot"
      title={
        head === null
          ? trans.__('Show the image of the next cell, %1', name)
          : trans.__('Show the image that head stands on, %1', name)
      }
      onClick={() => model.select({ tab: 'images', image: image.id })}
    >
      <span className="cs-ImageFoot-stack" aria-hidden="true" />
      <span>{trans.__('image %1', name)}</span>
      {props.compared && <span className="cs-Chip">{trans.__('compared')}</span>}
      {head === null && <span className="cs-Chip cs-mod-head">{trans.__('head')}</span>}
      <span className="cs-spacer" />
      <span className="cs-muted">
        {trans._n('%1 layer', '%1 layers', image.layers.length)} · {size(image.size)}
      </span>
    </button>
  );
}

/** Return what names images. isNeeded: whether others than that of the following cells are asked for. */
export function useImageName(isNeeded: boolean): (id: string) => string {
  const { model } = useCellstack();
  const images = useStore(model.images).data;
  const own = useStore(model.layers).data?.image ?? null;
  React.useEffect(() => {
    if (isNeeded && model.images.value.data === null) {
      void model.reloadImages();
    }
  }, [model, isNeeded]);
  return id => imageName(id, [own, ...(images ?? [])]);
}

/** Return a layer's cell number as a notebook shows it. */
export function number(layer: ILayer): string {
  return `[${layer.number ?? ' '}]`;
}
