import { IDisposable } from '@lumino/disposable';
import { Signal } from '@lumino/signaling';

import { IApi } from '../api/client';
import { ConnectionStatus, IEvents } from '../api/events';
import {
  IContainer,
  IContainerDetail,
  IDiff,
  IImage,
  IImageDetail,
  IInfo,
  ILayer,
  ILayerDetail,
  IMetrics,
  ISession,
  ISessionLayers,
  ISubscription,
  ServerEvent
} from '../api/types';
import { IFront, IFrontNotebook } from './front';
import { Interests } from './interest';
import { sessionOf, sorted, withContainer, withHead, withLayer } from './lists';
import { extended, History, lastOf } from './metrics';
import {
  FROM_IMAGE,
  ISelectedLayers,
  ISelection,
  NO_LAYER_SELECTED,
  NOTHING_SELECTED
} from './selection';
import { Fetched, ILoadable, IReadable, Store } from './store';

/** Processes come and go by hundreds: those of a container are fetched no more often. */
const LOOK_AGAIN = 2000; // milliseconds

/**
 * What the panel, the lines under cells and the status bar show.
 *
 * It reads from the server and is told of news by it. What the person does is in `Actions`.
 */
export class Model implements IDisposable {
  constructor(
    readonly api: IApi,
    private readonly _events: IEvents,
    private readonly _front: IFront
  ) {
    this._interests = new Interests(wanted => this._subscribe(wanted));
    _events.received.connect(this._onEvent, this);
    _events.statusChanged.connect(this._onStatus, this);
    _front.changed.connect(this._onFront, this);
    this._onFront();
  }

  // -- what views read

  get connection(): IReadable<ConnectionStatus> {
    return this._connection;
  }

  get notebook(): IReadable<IFrontNotebook | null> {
    return this._notebook;
  }

  get info(): IReadable<ILoadable<IInfo>> {
    return this._info.store;
  }

  get sessions(): IReadable<ILoadable<ISession[]>> {
    return this._sessions.store;
  }

  /** The session of the notebook in front; null when it has none yet. */
  get session(): IReadable<ISession | null> {
    return this._session;
  }

  get layers(): IReadable<ILoadable<ISessionLayers>> {
    return this._layers.store;
  }

  /** The selected layer, or what is different between it and the one it is compared with. */
  get layer(): IReadable<ILoadable<ILayerDetail>> {
    return this._layer.store;
  }

  get diff(): IReadable<ILoadable<IDiff>> {
    return this._diff.store;
  }

  get containers(): IReadable<ILoadable<IContainer[]>> {
    return this._containers.store;
  }

  get container(): IReadable<ILoadable<IContainerDetail>> {
    return this._container.store;
  }

  get metrics(): IReadable<ReadonlyMap<string, History>> {
    return this._metrics;
  }

  get images(): IReadable<ILoadable<IImage[]>> {
    return this._images.store;
  }

  get image(): IReadable<ILoadable<IImageDetail>> {
    return this._image.store;
  }

  get selection(): IReadable<ISelection> {
    return this._selection;
  }

  get interests(): Interests {
    return this._interests;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  dispose(): void {
    if (!this._isDisposed) {
      this._isDisposed = true;
      Signal.clearData(this);
      this._events.dispose();
    }
  }

  // -- what views do

  select(change: Partial<ISelection>): void {
    const before = this._selection.value;
    this._selection.set({ ...before, ...change });
    const { layer, against, image } = this._selection.value;
    if (layer !== before.layer || against !== before.against) {
      this._loadLayer();
    }
    if (image !== before.image) {
      this._image.clear();
      this._loadImage();
    }
  }

  /** Select a layer that a line shows, which stays selected where the notebook in front does not have it. */
  showLayer(layer: string): void {
    this._shown = layer;
    this.select({ tab: 'layers', layer, against: null });
  }

  /** Select what was selected before a reload; what is there no more is left out when its list comes. */
  restore(selection: Partial<ISelection>): void {
    const { layer, against, notebook, ...others } = { ...NOTHING_SELECTED, ...selection };
    this.select(others);
    // The notebook may be there already, or other ones come to the front before it.
    if (notebook === this._selection.value.notebook) {
      this.select({ layer, against });
    } else if (notebook !== null) {
      this._selected.set(notebook, { layer, against, shown: null });
    }
  }

  /** Fetch everything that is shown anew. */
  async refresh(): Promise<void> {
    await Promise.all([
      this._info.load(() => this.api.info()),
      this._loadSessions(),
      this._loadContainers(),
      this._images.store.value.data || this._selection.value.tab === 'images'
        ? this.reloadImages()
        : undefined
    ]);
  }

  async reloadImages(): Promise<void> {
    await this._images.load(() => this.api.images());
    this._loadImage();
  }

  /** Fetch a container in detail, and anew when its processes change; null once a view has no more use for it. */
  inspect(container: string | null): void {
    this._inspected = container;
    if (container !== null && container !== this._container.store.value.data?.id) {
      this._container.clear();
    }
    void this.reloadContainer();
  }

  /** Fetch the inspected container anew, if it is there and somebody sees it. */
  async reloadContainer(): Promise<void> {
    const id = this._inspected;
    const known = this._containers.store.value.data?.find(container => container.id === id);
    if (known && known.status !== 'ended' && this._interests.isPanelSeen) {
      this._looked = {
        at: Date.now(),
        count: lastOf(this._metrics.value.get(known.id))?.pids.count
      };
      await this._container.load(() => this.api.container(known.id));
    }
  }

  /** Take note of a container that is new or has changed. */
  putContainer(container: IContainer): void {
    this._containers.amend(all => withContainer(all, container));
    if (container.id === this._inspected) {
      if (container.status === 'ended') {
        this._container.amend(detail => ({ ...detail, ...container, processes: [] }));
      } else {
        void this.reloadContainer();
      }
    }
  }

  // -- fetching

  private async _loadSessions(): Promise<void> {
    await this._sessions.load(() => this.api.sessions());
    this._findSession();
    const session = this._session.value;
    if (session) {
      await this._loadLayers(session.id);
    }
  }

  private async _loadContainers(): Promise<void> {
    await this._containers.load(async () => sorted(await this.api.containers()));
    await this.reloadContainer();
  }

  private async _loadLayers(session: string): Promise<void> {
    await this._layers.load(() => this.api.layers(session));
    const { data } = this._layers.store.value;
    const { layer, against } = this._selection.value;
    if (data) {
      const known = new Set(data.layers.map(entry => entry.id));
      this.select({
        layer: layer !== null && (known.has(layer) || layer === this._shown) ? layer : null,
        against: against !== null && (known.has(against) || against === FROM_IMAGE) ? against : null
      });
      this._loadLayer();
    }
  }

  private _loadLayer(): void {
    const { layer, against } = this._selection.value;
    const session = this._session.value?.id;
    if (layer === null || !session) {
      this._layer.clear();
      this._diff.clear();
      return;
    }
    if (this._layer.store.value.data?.id !== layer) {
      this._layer.clear();
    }
    void this._layer.load(() => this.api.layer(layer, session));
    if (against === null) {
      this._diff.clear();
    } else {
      void this._diff.load(() => this.api.diff(layer, against, session));
    }
  }

  /** Fetch anew what has names of images in it. */
  private async _reloadNames(): Promise<void> {
    const session = this._session.value;
    await Promise.all([
      session ? this._loadLayers(session.id) : undefined,
      this._images.store.value.data ? this.reloadImages() : undefined
    ]);
  }

  private _loadImage(): void {
    const { image } = this._selection.value;
    if (image !== null) {
      void this._image.load(() => this.api.image(image));
    }
  }

  // -- news

  private _onFront(): void {
    const before = this._notebook.value;
    const now = this._front.current;
    this._notebook.set(now);
    const isOurs = now?.kernel === 'ours';
    this._interests.set('front', isOurs ? { sessions: true } : null);
    if (isOurs && before?.kernelId !== now.kernelId) {
      void this.refresh();
    }
    if (now?.path !== before?.path || now?.kernelId !== before?.kernelId) {
      this._findSession(this._takeUp(before, now));
    }
  }

  /** Select what was selected in the notebook that comes to the front; return whether it is another one. */
  private _takeUp(before: IFrontNotebook | null, now: IFrontNotebook | null): boolean {
    const { notebook, layer, against } = this._selection.value;
    if (now === null || now.path === notebook) {
      return false;
    }
    const isRenamed = before?.path === notebook && before.kernelId === now.kernelId && now.kernelId;
    if (isRenamed) {
      this._selection.update(old => ({ ...old, notebook: now.path }));
      return false;
    }
    if (notebook !== null) {
      this._selected.set(notebook, { layer, against, shown: this._shown });
    }
    const { shown, ...selected } = this._selected.get(now.path) ?? NO_LAYER_SELECTED;
    this._shown = shown;
    this._selection.update(old => ({ ...old, ...selected, notebook: now.path }));
    return true;
  }

  /**
   * Find the session of the notebook in front: its kernel's, else the last one that its file had.
   *
   * isOther: whether another notebook has come to the front, with what is selected in it.
   */
  private _findSession(isOther = false): void {
    const notebook = this._notebook.value;
    const found =
      notebook === null || notebook.kernel === 'other'
        ? null
        : sessionOf(notebook, this._sessions.store.value.data ?? []);
    const before = this._session.value;
    this._session.set(found);
    if (found?.id !== before?.id) {
      this._layers.clear();
      if (before && !isOther) {
        this._shown = null; // by a line of an earlier run
      }
      this._loadLayer();
      if (found) {
        void this._loadLayers(found.id);
      }
    }
  }

  private _subscribe(wanted: ISubscription): void {
    const isTold = wanted.sessions === 'all';
    this._missed = this._missed || (isTold && !this._isTold);
    this._isTold = isTold;
    this._events.subscribe(wanted);
  }

  private _onStatus(_: IEvents, status: ConnectionStatus): void {
    this._connection.set(status);
    this._missed = this._missed || status === 'lost';
  }

  private _onEvent(_: IEvents, event: ServerEvent): void {
    switch (event.type) {
      case 'session':
        this._putSession(event.session);
        break;
      case 'layer':
        this._putLayer(event.session, event.layer, event.head);
        break;
      case 'container':
        this.putContainer(event.container);
        break;
      case 'metrics':
        this._putMetrics(event.metrics);
        break;
      case 'images':
        void this._reloadNames();
        break;
      case 'subscribed':
        if (this._missed && this._isTold) {
          this._missed = false;
          void this.refresh();
        }
        break;
      case 'reset':
        void this.refresh();
        break;
    }
  }

  private _putSession(session: ISession): void {
    const before = this._sessions.store.value.data?.find(other => other.id === session.id);
    if (before?.image !== session.image && this._images.store.value.data) {
      void this.reloadImages(); // they say which sessions use them
    }
    const shown = this._session.value?.id;
    this._sessions.amend(all => [session, ...all.filter(other => other.id !== session.id)]);
    this._findSession();
    this._layers.amend(data =>
      data.session.id === session.id ? withHead({ ...data, session }, session.head) : data
    );
    if (session.id === shown && this._session.value?.id === shown && this._lacks(session)) {
      void this._loadLayers(session.id);
    }
  }

  /** Whether the layers that are there are without the session's image, or its head: one from the cache is no news. */
  private _lacks({ image, head }: ISession): boolean {
    const { data } = this._layers.store.value;
    return (
      (image !== '' && data?.image?.id !== image) ||
      (head !== null && !data?.layers.some(layer => layer.id === head))
    );
  }

  private _putLayer(session: string, layer: ILayer, head: string | null): void {
    this._layers.amend(data => (data.session.id === session ? withLayer(data, layer, head) : data));
    const known = this._session.value;
    if (known?.id === session) {
      this._session.set({ ...known, head });
    }
  }

  private _putMetrics(samples: readonly IMetrics[]): void {
    const metrics = new Map(this._metrics.value);
    for (const sample of samples) {
      metrics.set(sample.id, extended(metrics.get(sample.id) ?? [], sample));
    }
    const known = this._containers.store.value.data;
    if (known) {
      const ids = new Set(known.map(container => container.id));
      for (const id of metrics.keys()) {
        if (!ids.has(id)) {
          metrics.delete(id);
        }
      }
    }
    this._metrics.set(metrics);
    const count = this._inspected && lastOf(metrics.get(this._inspected))?.pids.count;
    if (count && count !== this._looked.count && Date.now() - this._looked.at >= LOOK_AGAIN) {
      void this.reloadContainer();
    }
  }

  private _connection = new Store<ConnectionStatus>('connecting');
  private _container = new Fetched<IContainerDetail>();
  private _containers = new Fetched<IContainer[]>();
  private _diff = new Fetched<IDiff>();
  private _image = new Fetched<IImageDetail>();
  private _images = new Fetched<IImage[]>();
  private _info = new Fetched<IInfo>();
  /** The container that a view shows in detail. */
  private _inspected: string | null = null;
  private _interests: Interests;
  private _isDisposed = false;
  /** Whether the server tells of sessions, and whether there may be some that it has not told of. */
  private _isTold = false;
  private _missed = false;
  private _layer = new Fetched<ILayerDetail>();
  private _layers = new Fetched<ISessionLayers>();
  /** When the inspected container was fetched, and how many processes it had then. */
  private _looked: { at: number; count?: number } = { at: 0 };
  private _metrics = new Store<ReadonlyMap<string, History>>(new Map());
  private _notebook = new Store<IFrontNotebook | null>(null);
  /** What is selected in notebooks that have been in front, by their path. */
  private _selected = new Map<string, ISelectedLayers>();
  private _selection = new Store<ISelection>(NOTHING_SELECTED);
  private _session = new Store<ISession | null>(null);
  private _shown: string | null = null;
  private _sessions = new Fetched<ISession[]>();
}
