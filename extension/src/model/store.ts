import { ISignal, Signal } from '@lumino/signaling';
import { useCallback, useSyncExternalStore } from 'react';

/** A value that changes, and says so. */
export interface IReadable<T> {
  readonly value: T;
  readonly changed: ISignal<unknown, T>;
}

/** A value that its owner sets. Values are replaced, never changed in place. */
export class Store<T> implements IReadable<T> {
  constructor(private _value: T) {}

  get value(): T {
    return this._value;
  }

  get changed(): ISignal<this, T> {
    return this._changed;
  }

  set(value: T): void {
    if (value !== this._value) {
      this._value = value;
      this._changed.emit(value);
    }
  }

  update(change: (value: T) => T): void {
    this.set(change(this._value));
  }

  private _changed = new Signal<this, T>(this);
}

/** What is fetched: the last data that came stay while new ones load or fail to. */
export interface ILoadable<T> {
  readonly data: T | null;
  readonly error: IProblem | null;
  readonly loading: boolean;
}

/** A sentence, and what the person can do now. */
export interface IProblem {
  readonly message: string;
  readonly hint: string | null;
  /** The status of the server's answer; 0 when none came, undefined where the server was not asked. */
  readonly status?: number;
}

export const NOTHING_YET: ILoadable<never> = { data: null, error: null, loading: false };

/** Return what a rejected promise says, as a sentence. */
export function problemOf(error: unknown): IProblem {
  const { message, hint, status } = error as Partial<IProblem>;
  return { message: message || String(error), hint: hint ?? null, status };
}

/** Fetch into a store. An answer that is older than a later call's is dropped. */
export class Fetched<T> {
  readonly store = new Store<ILoadable<T>>(NOTHING_YET);

  async load(fetch: () => Promise<T>): Promise<void> {
    const turn = ++this._turn;
    this._amended = [];
    this.store.update(old => ({ ...old, loading: true }));
    try {
      const data = await fetch();
      if (turn === this._turn) {
        const amended = this._amended.reduce<T>((whole, change) => change(whole), data);
        this.store.set({ data: amended, error: null, loading: false });
      }
    } catch (error) {
      if (turn === this._turn) {
        this.store.update(old => ({ ...old, error: problemOf(error), loading: false }));
      }
    }
  }

  /**
   * Change what was fetched, or is being fetched: the answer may be from before the change.
   *
   * Of a thing that changes twice while the answer is on its way, the answer may have the second state already; the
   * second change follows then, too.
   */
  amend(change: (data: T) => T): void {
    const { data, loading } = this.store.value;
    if (loading) {
      this._amended.push(change);
    }
    if (data !== null) {
      this.store.update(old => ({ ...old, data: change(data) }));
    }
  }

  /** Forget what was fetched, and what is on its way. */
  clear(): void {
    this._turn++;
    this.store.set(NOTHING_YET);
  }

  /** What was changed since the fetch that is under way began. */
  private _amended: ((data: T) => T)[] = [];
  private _turn = 0;
}

/** Render again whenever the value changes. */
export function useStore<T>(store: IReadable<T>): T {
  const subscribe = useCallback(
    (notify: () => void) => {
      store.changed.connect(notify);
      return () => {
        store.changed.disconnect(notify);
      };
    },
    [store]
  );
  return useSyncExternalStore(subscribe, () => store.value);
}
