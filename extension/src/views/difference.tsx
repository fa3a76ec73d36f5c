import { structuredPatch } from 'diff';
import * as React from 'react';

import { IFileText } from '../api/types';
import { size, visible } from '../model/format';
import { Fetched, useStore } from '../model/store';
import { useCellstack } from './host';
import { Empty, Loading, Problem } from './parts';

/** How many unchanged lines are shown around a change. */
const CONTEXT = 3;
/** Longer differences are cut: nobody reads them, and the browser would stand still. */
const MOST_LINES = 5_000;
/** Comparing gives up after as many changed lines. */
const MOST_EDITS = 10_000;

/** A file of a layer, and what it is compared with: null is the layer's parent. */
export interface IDifference {
  session: string;
  layer: string;
  from: string | null;
  path: string;
  /** What the two are called. */
  before: string;
  after: string;
}

/** A file of a layer beside what it was before, as a difference of lines. */
export function DifferenceView(props: {
  shown: IDifference;
  file: Fetched<IFileText>;
  onRetry: () => void;
}): React.ReactElement {
  const { trans } = useCellstack();
  const { data, error } = useStore(props.file.store);
  if (error) {
    return <Problem problem={error} onRetry={props.onRetry} />;
  }
  if (data === null) {
    return <Loading label={trans.__('Loading the file')} />;
  }
  return (
    <div className="cs-Column">
      <div className="cs-Head">
        <code className="cs-Layer-code">{visible(data.path)}</code>
        <span>
          {props.shown.before} → {props.shown.after}
        </span>
        <span className="cs-spacer" />
        <span className="cs-muted">
          {data.size === null ? trans.__('deleted') : size(data.size)}
        </span>
      </div>
      {data.truncated && (
        <p className="cs-Note">{trans.__('Only the beginning is compared: the file is large.')}</p>
      )}
      {data.binary ? (
        <Empty title={trans.__('The file is not text')}>
          {trans.__('It can be downloaded from its layer in the panel.')}
        </Empty>
      ) : (
        <Lines before={data.before ?? ''} after={data.text ?? ''} isWhole={!data.truncated} />
      )}
    </div>
  );
}

interface ILine {
  kind: 'added' | 'deleted' | 'same' | 'gap' | 'end';
  before: number | null;
  after: number | null;
  text: string;
}

/** Return the lines of a difference, with their numbers; null when there is too much of it. */
export function differences(before: string, after: string): ILine[] | null {
  const patch = structuredPatch('', '', before, after, '', '', {
    context: CONTEXT,
    maxEditLength: MOST_EDITS
  });
  if (!patch) {
    return null;
  }
  const lines: ILine[] = [];
  for (const hunk of patch.hunks) {
    let [old, now] = [hunk.oldStart, hunk.newStart];
    if (old > 1 || now > 1) {
      lines.push({ kind: 'gap', before: null, after: null, text: '⋯' });
    }
    for (const line of hunk.lines) {
      const text = line.slice(1);
      if (line[0] === '+') {
        lines.push({ kind: 'added', before: null, after: now++, text });
      } else if (line[0] === '-') {
        lines.push({ kind: 'deleted', before: old++, after: null, text });
      } else if (line[0] === ' ') {
        lines.push({ kind: 'same', before: old++, after: now++, text });
      } else {
        lines.push({ kind: 'end', before: null, after: null, text: '' }); // "\\ No newline at end of file"
      }
    }
  }
  return lines;
}

const SIGN = { added: '+', deleted: '−', same: ' ', gap: ' ', end: ' ' } as const;

function Lines(props: { before: string; after: string; isWhole: boolean }): React.ReactElement {
  const { trans } = useCellstack();
  const { before, after, isWhole } = props;
  const lines = React.useMemo(
    // What is cut ends anywhere.
    () => differences(before, after)?.filter(line => isWhole || line.kind !== 'end') ?? null,
    [before, after, isWhole]
  );
  if (lines === null) {
    return <Empty title={trans.__('Too much is different to be shown')} />;
  }
  if (lines.length === 0) {
    return <Empty title={trans.__('No line is different')} />;
  }
  const kinds = {
    added: trans.__('added'),
    deleted: trans.__('deleted'),
    same: '',
    gap: '',
    end: ''
  };
  return (
    <div className="cs-Difference" tabIndex={0} role="group" aria-label={trans.__('Changed lines')}>
      <table>
        <tbody>
          {lines.slice(0, MOST_LINES).map((line, index) => (
            <tr key={index} className={`cs-mod-${line.kind}`}>
              <td className="cs-Difference-number">{line.before}</td>
              <td className="cs-Difference-number">{line.after}</td>
              <td className="cs-Difference-sign">
                <span aria-hidden="true">{SIGN[line.kind]}</span>
                <span className="cs-visuallyHidden">{kinds[line.kind]}</span>
              </td>
              <td className="cs-Difference-text">
                {line.kind === 'end' ? trans.__('(no newline at the end)') : line.text}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {lines.length > MOST_LINES && (
        <p className="cs-Note">
          {trans.__('%1 more lines are not shown.', lines.length - MOST_LINES)}
        </p>
      )}
    </div>
  );
}
