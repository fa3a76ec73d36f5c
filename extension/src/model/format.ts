/** Numbers and texts as people read them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Return a size as "41.3 MiB": three digits at most. */
export function size(bytes: number): string {
  let unit = 0;
  let value = Math.abs(bytes);
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  const text = Number(value.toFixed(digits)).toString();
  return `${bytes < 0 ? '−' : ''}${text} ${UNITS[unit]}`;
}

/** Return a duration as "12 ms", "3.4 s", "2 min 5 s" or "1 h 3 min". */
export function duration(seconds: number): string {
  if (seconds < 0.9995) {
    return `${Math.round(seconds * 1000)} ms`;
  }
  if (seconds < 59.95) {
    return `${Number(seconds.toFixed(seconds < 9.995 ? 2 : 1))} s`;
  }
  const whole = Math.round(seconds);
  if (whole < 3600) {
    return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  }
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Control characters, line separators, and what changes the direction of what follows. */
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const ESCAPES: { [character: string]: string } = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Return a name out of a container with its unseen characters as escapes: with them it could look like another one. */
export function visible(name: string): string {
  return name.replace(
    UNSEEN,
    unseen =>
      ESCAPES[unseen] ??
      (unseen < '\x80'
        ? `\\x${unseen.charCodeAt(0).toString(16).padStart(2, '0')}`
        : `\\u${unseen.charCodeAt(0).toString(16).padStart(4, '0')}`)
  );
}

/** Return the first line of code that says something, visible as a name is, or "". */
export function firstLine(code: string): string {
  return visible(
    code
      .split('\n')
      .map(line => line.trim())
      .find(line => line !== '') ?? ''
  );
}

/** Return the 12 characters by which people know an id. */
export function short(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}

/** Return the last part of a path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Return an ISO date as a local time; with the day when it is not today's. */
export function time(iso: string, now = new Date()): string {
  const date = new Date(iso);
  if (isNaN(date.getTime())) {
    return iso;
  }
  const clock = date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return date.toDateString() === now.toDateString()
    ? clock
    : `${date.toLocaleDateString([], { month: 'short', day: 'numeric' })} ${clock}`;
}

/** Return bytes as the magics and commands take them: "1g", "1536m", "1000". */
export function asOption(bytes: number): string {
  for (const [unit, factor] of [
    ['g', 2 ** 30],
    ['m', 2 ** 20],
    ['k', 2 ** 10]
  ] as const) {
    if (bytes >= factor && bytes % factor === 0) {
      return `${bytes / factor}${unit}`;
    }
  }
  return String(bytes);
}

/** Return the bytes of "512m", "1.5 GiB" or "1000"; null when it is no size. */
export function parseSize(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*$/i.exec(text);
  if (!match) {
    return null;
  }
  const power = ' kmgt'.indexOf(match[2].toLowerCase() || ' ');
  const bytes = Math.round(Number(match[1]) * 1024 ** power);
  return bytes > 0 ? bytes : null;
}
