import { GroupItem, TextItem } from '@jupyterlab/statusbar';
import * as React from 'react';

import { short, visible } from '../model/format';
import { IReadable, useStore } from '../model/store';
import { useCellstack } from './host';
import { layersIcon } from './icons';

/** Head and image of the notebook in front; nothing for other kernels' notebooks. */
export function StatusView(props: {
  isShown: IReadable<boolean>;
  onClick: () => void;
}): React.ReactElement | null {
  const { model, trans } = useCellstack();
  const session = useStore(model.session);
  const notebook = useStore(model.notebook);
  const layers = useStore(model.layers);
  const isShown = useStore(props.isShown);
  if (!isShown || notebook?.kernel !== 'ours' || !session) {
    return null;
  }
  const head = layers.data?.head ?? session.head;
  const layer = layers.data?.layers.find(entry => entry.id === head);
  const image = visible(layers.data?.image?.tags[0] ?? short(session.image));
  const where =
    head === null
      ? trans.__('head: image')
      : trans.__('head: [%1] %2', layer?.number ?? '?', short(head).slice(0, 7));
  const title = trans.__(
    'Cellstack: head and image of the notebook in front. Click for its layers.'
  );
  const Icon = layersIcon;
  return (
    <button type="button" className="cs-Status" title={title} onClick={props.onClick}>
      <GroupItem spacing={4}>
        <Icon.react tag="span" width="14px" height="14px" />
        <TextItem source={[where, image].filter(Boolean).join(' · ')} />
      </GroupItem>
    </button>
  );
}
