import { closeIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IImage, IImageDetail } from '../api/types';
import { firstLine, short, size, time, visible } from '../model/format';
import { useStore } from '../model/store';
import { useCellstack } from './host';
import { imageIcon } from './icons';
import { VirtualList } from './list';
import { Button, Empty, listOf, Loading, PassesFocus, Problem, useNoKernel } from './parts';
import { Split } from './split';

const ROW_HEIGHT = 46;

/** The images of the store, and how the selected one was made. */
export function ImagesView(): React.ReactElement {
  const { model, trans } = useCellstack();
  const images = useStore(model.images);
  const info = useStore(model.info);
  const { image } = useStore(model.selection);
  React.useEffect(() => {
    void model.reloadImages();
  }, [model]);

  if (images.data === null) {
    return images.error ? (
      <Problem problem={images.error} onRetry={() => void model.reloadImages()} />
    ) : (
      <Loading label={trans.__('Loading the images')} />
    );
  }
  if (images.data.length === 0) {
    return (
      <Empty icon={imageIcon} title={trans.__('No image is there yet')}>
        {trans.__(
          'The first cell of a Cellstack notebook makes one of the environment that its kernel is installed in.'
        )}
      </Empty>
    );
  }
  return (
    <Split
      label={trans.__('Height of the list of images')}
      top={
        <div className="cs-Column">
          <div className="cs-Head">
            <div className="cs-Head-title">
              {trans._n('%1 image', '%1 images', images.data.length)}
            </div>
            {info.data && (
              <span className="cs-muted cs-Head-count">
                {trans.__('%1 on disk in all', size(info.data.disk_bytes))}
              </span>
            )}
          </div>
          <VirtualList
            className="cs-Images"
            label={trans.__('Images')}
            items={images.data}
            keyOf={entry => entry.id}
            rowHeight={ROW_HEIGHT}
            selected={image}
            onSelect={entry => model.select({ image: entry.id })}
            render={entry => <ImageRow image={entry} />}
          />
        </div>
      }
      bottom={image && <ImageDetails id={image} images={images.data} />}
    />
  );
}

function ImageRow(props: { image: IImage }): React.ReactElement {
  const { trans } = useCellstack();
  const { image } = props;
  const shared = Object.values(image.shared_layers).reduce(
    (most, count) => Math.max(most, count),
    0
  );
  return (
    <div className="cs-Image">
      <div className="cs-Layer-line">
        <span className="cs-Layer-code">
          {visible(image.tags.join(', ')) || trans.__('(no name)')}
        </span>
        {image.in_use_by.length > 0 && <span className="cs-Chip">{trans.__('in use')}</span>}
      </div>
      <div className="cs-Layer-facts">
        <code>{short(image.id)}</code>
        <span>{size(image.size)}</span>
        <span>
          {trans._n('%1 layer', '%1 layers', image.layers.length)}
          {shared > 0 && ` (${trans.__('%1 shared', shared)})`}
        </span>
        <span>{time(image.created)}</span>
      </div>
    </div>
  );
}

function ImageDetails(props: { id: string; images: readonly IImage[] }): React.ReactElement {
  const { model, actions, host, trans } = useCellstack();
  const detail = useStore(model.image);
  const noKernel = useNoKernel();
  const waitsForKernel = useStore(actions.waitsForKernel);
  const waitsForServer = useStore(actions.waitsForServer);
  const image = props.images.find(entry => entry.id === props.id);
  const inUse = useInUse(image);
  if (!image) {
    return <Empty title={trans.__('This image is there no more')} />;
  }
  const name = visible(image.tags[0] ?? short(image.id));
  const remove = async (): Promise<void> => {
    const sentence = trans.__('Layers that no notebook and no other image has go with it.');
    if (await host.confirm(trans.__('Remove the image %1?', name), sentence, trans.__('Remove'))) {
      await actions.removeImage(image.id);
    }
  };
  return (
    <PassesFocus
      next={listOf}
      className="cs-Column cs-mod-scroll"
      tabIndex={0}
      role="group"
      aria-label={trans.__('Image %1', name)}
    >
      <div className="cs-Head">
        <div className="cs-Head-title">{name}</div>
        <code className="cs-Head-id cs-muted">{short(image.id)}</code>
        <span className="cs-spacer" />
        <Button
          iconOnly
          icon={closeIcon}
          label={trans.__('Close the image')}
          onClick={() => model.select({ image: null })}
        />
      </div>
      <div className="cs-Actions" role="group" aria-label={trans.__('What to do with the image')}>
        <Button
          kind="accept"
          label={trans.__('Use for this notebook')}
          disabled={waitsForKernel}
          why={noKernel}
          onClick={() => void actions.useImage(image.tags[0] ?? image.id)}
        />
        <Button
          kind="danger"
          label={trans.__('Remove…')}
          disabled={waitsForServer}
          why={inUse}
          onClick={() => void remove()}
        />
      </div>
      {inUse && <p className="cs-Note">{inUse}</p>}
      {detail.error ? (
        <Problem problem={detail.error} />
      ) : detail.data?.id === image.id ? (
        <History image={detail.data} images={props.images} />
      ) : (
        <Loading label={trans.__('Loading the image')} />
      )}
    </PassesFocus>
  );
}

/** Return what uses an image, and what frees it; null when nothing does. */
function useInUse(image: IImage | undefined): string | null {
  const { model, trans } = useCellstack();
  const sessions = useStore(model.sessions).data ?? [];
  if (!image || image.in_use_by.length === 0) {
    return null;
  }
  const paths = image.in_use_by.map(
    id => sessions.find(session => session.id === id)?.notebook ?? null
  );
  const notebooks = [...new Set(paths.filter(path => path !== null))];
  const others = paths.filter(path => path === null).length;
  const sentences = [
    trans.__(
      'It is free once their kernels are shut down, the notebooks are deleted, and “cellstack prune --all” has been run.'
    )
  ];
  if (others > 0) {
    sentences.unshift(
      trans._n(
        'In use by %1 session whose notebook is not here.',
        'In use by %1 sessions whose notebooks are not here.',
        others
      )
    );
  }
  if (notebooks.length > 0) {
    sentences.unshift(trans.__('In use by %1.', notebooks.join(', ')));
  }
  return sentences.join(' ');
}

/** The layers of an image as a stack, the last on top, each with its share of the size. */
function History(props: { image: IImageDetail; images: readonly IImage[] }): React.ReactElement {
  const { trans } = useCellstack();
  const { image, images } = props;
  const most = image.history.reduce((largest, entry) => Math.max(largest, entry.bytes), 1);
  const others = images.filter(other => other.id !== image.id);
  const sharing = new Map(
    image.history.map(entry => [
      entry.layer,
      others.filter(other => other.layers.includes(entry.layer))
    ])
  );
  return (
    <ol className="cs-Stack" aria-label={trans.__('Layers of the image, the last on top')}>
      {image.history.map((entry, index) => {
        const with_ = sharing.get(entry.layer) ?? [];
        return (
          <li key={`${entry.layer}-${index}`} className={with_.length ? 'cs-mod-shared' : ''}>
            <div className="cs-Layer-line">
              <code className="cs-Layer-code" title={visible(entry.created_by)}>
                {firstLine(entry.created_by) || short(entry.layer)}
              </code>
              <span className="cs-muted">{size(entry.bytes)}</span>
            </div>
            <div className="cs-Stack-bar" aria-hidden="true">
              <span style={{ width: `${Math.max(0.5, (entry.bytes / most) * 100)}%` }} />
            </div>
            <div className="cs-Layer-facts">
              {entry.created_by && <code>{short(entry.layer)}</code>}
              <span>{time(entry.created)}</span>
              {with_.length > 0 && (
                <span
                  title={visible(with_.map(other => other.tags[0] ?? short(other.id)).join(', '))}
                >
                  {trans._n('shared with %1 image', 'shared with %1 images', with_.length)}
                </span>
              )}
            </div>
          </li>
        );
      })}
    </ol>
  );
}
