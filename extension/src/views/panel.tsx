import { refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { Tab } from '../model/selection';
import { ILoadable, IProblem, useStore } from '../model/store';
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
      <div className="cs-Body">
        <TabPanel id={tab} prefix={PREFIX} className="cs-Section">
          <PassesFocus key={tab} next={openTab} className="cs-Column">
            {tab === 'layers' && <LayersView />}
            {tab === 'containers' && <ContainersView />}
            {tab === 'namespaces' && <NamespacesView />}
            {tab === 'images' && <ImagesView />}
          </PassesFocus>
        </TabPanel>
        <Notice />
      </div>
    </>
  );
}

/** What is being done, and why what is shown is from before. */
function State(): React.ReactElement {
  const { actions, trans } = useCellstack();
  const stale = useStale();
  const waitsForKernel = useStore(actions.waitsForKernel);
  const waitsForServer = useStore(actions.waitsForServer);
  return (
    <div className="cs-State">
      {stale && (
        <div className="cs-Message cs-mod-warn" role="status">
          <div className="cs-Message-text">
            {stale.message}
            {stale.hint && <div className="cs-muted">{stale.hint}</div>}
            <div className="cs-muted">{trans.__('What is shown is from before.')}</div>
          </div>
        </div>
      )}
      {(waitsForKernel || waitsForServer) && (
        <div className="cs-Progress" role="progressbar" aria-label={trans.__('Working')} />
      )}
    </div>
  );
}

/** Return why what the open section shows is from before; null when it is not, or shows nothing. */
function useStale(): IProblem | null {
  const { model, trans } = useCellstack();
  const connection = useStore(model.connection);
  const { tab } = useStore(model.selection);
  const sessions = useStore(model.sessions);
  const layers = useStore(model.layers);
  const containers = useStore(model.containers);
  const images = useStore(model.images);
  const isLost = connection === 'lost';
  React.useEffect(() => {
    if (isLost) {
      void model.refresh(); // a server that says why it ends what it tells is there
    }
  }, [model, isLost]);
  const sources: { [name in Tab]: ILoadable<unknown>[] } = {
    layers: [layers, sessions],
    containers: [containers],
    namespaces: [containers],
    images: [images]
  };
  const failed = sources[tab].find(source => source.error);
  if (failed?.error?.status) {
    return failed.data === null ? null : failed.error; // without data, the section itself says so
  }
  return isLost || failed?.data
    ? { message: trans.__('The server cannot be reached; trying again.'), hint: null }
    : null;
}

/**
 * How it went. It comes and goes by itself, at the foot: it takes its room from what is lowest, so that nothing is covered,
 * and little moves away from under the pointer.
 */
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
