import { ISignal } from '@lumino/signaling';

/** What a cell's last run was, as the notebook has kept it. */
export interface ICellRun {
  readonly status: 'ok' | 'error' | 'killed';
  readonly number: number | null;
  readonly container: string | null;
  readonly layer: string | null;
  /** How it ended, as in its record: "interrupt", "exception" and the like. */
  readonly reason: string;
}

/**
 * What the model needs to know of the notebook in front.
 *
 * kernel: "ours", another one ("other"), not known yet ("starting"), or "none".
 */
export interface IFrontNotebook {
  readonly path: string;
  readonly kernel: 'ours' | 'other' | 'starting' | 'none';
  readonly kernelId: string | null;
  readonly kernelName: string;
  readonly busy: boolean;
  readonly cells: readonly ICellRun[];
}

/** What a notebook's metadata has for its kernel to start with: an image, and limits by name, as %limits takes them. */
export interface IStartsWith {
  readonly image?: string;
  readonly limits?: { readonly [name: string]: string };
}

/** The notebook in front, and its kernel. */
export interface IFront {
  readonly current: IFrontNotebook | null;
  readonly changed: ISignal<unknown, void>;
  /**
   * Let the kernel of the notebook in front answer a magic, and return what it showed, as text.
   *
   * What it `sets` is put into that notebook's metadata then: kernels that are started later have it, too. Rejects with a
   * KernelError that has the kernel's own sentence.
   */
  run(magic: string, sets?: IStartsWith): Promise<string>;
  /**
   * Return what runs the cells of the notebook in front that are below the one whose result `layer` is.
   *
   * Throws a KernelError when there is no such cell.
   */
  below(layer: string): () => Promise<void>;
}

/** The kernel said no, in a sentence. */
export class KernelError extends Error {
  readonly hint: string | null = null;

  constructor(message: string) {
    super(message);
    this.name = 'KernelError';
  }
}
