import { LabIcon } from '@jupyterlab/ui-components';

/** An icon of lines; style/base.css gives them the theme's colour. */
function icon(name: string, ...lines: string[]): LabIcon {
  const paths = lines.map(line => `<path d="${line}"/>`).join('');
  return new LabIcon({
    name: `cellstack:${name}`,
    svgstr:
      '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">' +
      '<g class="cs-icon" fill="none" stroke="#616161" stroke-width="1.3" stroke-linejoin="round" ' +
      `stroke-linecap="round">${paths}</g></svg>`
  });
}

/** Three layers on top of each other. */
export const layersIcon = icon(
  'layers',
  'M8 1.8 14.2 5 8 8.2 1.8 5Z',
  'M1.8 8 8 11.2 14.2 8',
  'M1.8 11 8 14.2 14.2 11'
);

/** A box with slats. */
export const containerIcon = icon('container', 'M1.8 4h12.4v8H1.8Z', 'M4.9 6v4M8 6v4M11.1 6v4');

/** A room in a room. */
export const namespaceIcon = icon('namespace', 'M1.8 2.5h12.4v11H1.8Z', 'M7 6.2h4.6v4.6H7Z');

/** A parcel. */
export const imageIcon = icon(
  'image',
  'M8 1.8 13.6 4.8v6.4L8 14.2 2.4 11.2V4.8Z',
  'M2.4 4.8 8 7.8l5.6-3M8 7.8v6.4'
);

/** A label. */
export const tagIcon = icon('tag', 'M2 2.2h5.4L14 8.8 8.8 14 2 7.4Z', 'M5 5.1h.02');

/** Two pages and a line between. */
export const compareIcon = icon('compare', 'M2 3.5h4v9H2Z', 'M10 3.5h4v9h-4Z', 'M8 1.5v13');

/** An arrow that goes back to a point. */
export const checkoutIcon = icon(
  'checkout',
  'M4 8a4.5 4.5 0 1 0 1.5-3.3',
  'M5.2 1.6 5.4 5 8.7 4.8'
);

/** A mark on a target. */
export const headIcon = icon('head', 'M8 3.5a4.5 4.5 0 1 0 .01 0', 'M8 1v4M8 11v4M1 8h4M11 8h4');

/** A gauge. */
export const limitsIcon = icon('limits', 'M2.2 12a6 6 0 1 1 11.6 0', 'M8 10.5 10.8 6.5');
