import { refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { Tab } from '../model/selection';
import { useStore } from '../model/store';
import { ContainersView } from './containers';
import { useCellstack } from './host';
import { containerIcon, imageIcon, layersIcon, namespaceIcon } from './icons';
import { ImagesView } from './images';
import { LayersView } from './layers';
import { NamespacesView } from './namespaces';
import { Button, ITab, openTab, PassesFocus, TabPanel, Tabs } from './parts';

const PREFIX = 'cellstack';

/** The side panel: four sections over one model. */
export function PanelView(): React.ReactElement {
  const { model, trans } = useCellstack();
  const { tab } = useStore(model.selection);
  const tabs: ITab<Tab>[] = [
    { id: 'layers', label: trans.__('Layers'), icon: layersIcon },
    { id: 'containers', label: trans.__('Containers'), icon: containerIcon },
    { id: 'namespaces', label: trans.__('Namespaces'), icon: namespaceIcon },
    { id: 'images', label: trans.__('Images'), icon: imageIcon }
  ];
  return (
    <>
      <div className="cs-Bar">
        <Tabs
          tabs={tabs}
          current={tab}
          label={trans.__('Cellstack')}
          prefix={PREFIX}
          onSelect={id => model.select({ tab: id })}
        />
        <Button
          iconOnly
          icon={refreshIcon}
          label={trans.__('Fetch everything anew')}
          onClick={() => void model.refresh()}
        />
      </div>
      <State />
      <TabPanel id={tab} prefix={PREFIX} className="cs-Section">
        <PassesFocus key={tab} next={openTab} className="cs-Column">
          {tab === 'layers' && <LayersView />}
          {tab === 'containers' && <ContainersView />}
          {tab === 'namespaces' && <NamespacesView />}
          {tab === 'images' && <ImagesView />}
        </PassesFocus>
      </TabPanel>
      <Notice />
    </>
  );
}

/** What is being done, and whether the server still answers. */
function State(): React.ReactElement {
  const { model, actions, trans } = useCellstack();
  const connection = useStore(model.connection);
  const waitsForKernel = useStore(actions.waitsForKernel);
  const waitsForServer = useStore(actions.waitsForServer);
  return (
    <div className="cs-State">
      {connection === 'lost' && (
        <div className="cs-Message cs-mod-warn" role="status">
          {trans.__('The server cannot be reached. What is shown is from before; trying again…')}
        </div>
      )}
      {(waitsForKernel || waitsForServer) && (
        <div className="cs-Progress" role="progressbar" aria-label={trans.__('Working')} />
      )}
    </div>
  );
}

/** How it went. It comes and goes by itself, so it lies above the rest: nothing moves away from under the pointer. */
function Notice(): React.ReactElement {
  const { actions, trans } = useCellstack();
  const notice = useStore(actions.notice);
  return (
    <div className="cs-Notice" role="status">
      {notice && (
        <PassesFocus next={openTab} className={`cs-Message cs-mod-${notice.kind}`}>
          <div className="cs-Message-text">
            {notice.message}
            {notice.hint && <div className="cs-muted">{notice.hint}</div>}
          </div>
          <button
            type="button"
            className="cs-Message-close"
            aria-label={trans.__('Close this message')}
            onClick={() => actions.clearNotice()}
          >
            ×
          </button>
        </PassesFocus>
      )}
    </div>
  );
}
