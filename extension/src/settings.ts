import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { TranslationBundle } from '@jupyterlab/translation';
import { ISignal, Signal } from '@lumino/signaling';

import { word } from './model/actions';
import { ILineFields } from './notebook/lines';

/** What the person has set; see schema/plugin.json. */
export interface ISettings {
  refreshInterval: number;
  cellLine: { show: boolean } & ILineFields;
  statusBar: boolean;
  defaultImage: string;
  defaultLimits: { [name: string]: string };
}

export const DEFAULTS: ISettings = {
  refreshInterval: 1,
  cellLine: {
    show: true,
    container: true,
    time: true,
    memory: true,
    files: true,
    layer: true,
    cache: true
  },
  statusBar: true,
  defaultImage: '',
  defaultLimits: {}
};

/** The settings, as they are now. */
export class Settings {
  get value(): ISettings {
    return this._value;
  }

  get changed(): ISignal<this, ISettings> {
    return this._changed;
  }

  /** Follow what is set from now on. */
  follow(settings: ISettingRegistry.ISettings): void {
    const read = (): void => {
      // The registry has checked it against the schema.
      const composite = settings.composite as unknown as ISettings;
      this._value = {
        ...DEFAULTS,
        ...composite,
        cellLine: { ...DEFAULTS.cellLine, ...composite.cellLine }
      };
      this._changed.emit(this._value);
    };
    settings.changed.connect(read);
    read();
  }

  private _changed = new Signal<this, ISettings>(this);
  private _value = DEFAULTS;
}

/** Return the magics that set what the settings have and the notebook's metadata does not; "" for none. */
export function magicsFor(
  settings: ISettings,
  asked: { [name: string]: unknown },
  trans: TranslationBundle
): string {
  const lines: string[] = [];
  if (settings.defaultImage && !asked.image) {
    lines.push(`%image ${word(settings.defaultImage, trans)}`);
  }
  const own = (asked.limits ?? {}) as { [name: string]: unknown };
  const limits = Object.entries(settings.defaultLimits)
    .filter(([name, value]) => value !== '' && !(name in own))
    .map(([name, value]) => `${name}=${word(value, trans)}`);
  if (limits.length) {
    lines.push(`%limits ${limits.join(' ')}`);
  }
  return lines.join('\n');
}
