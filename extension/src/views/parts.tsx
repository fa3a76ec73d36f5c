import { LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { IChanges } from '../api/types';
import { IProblem, useStore } from '../model/store';
import { useCellstack } from './host';

/**
 * A button with an icon, a text, or both; one without a text has it as its name.
 *
 * One that cannot be pressed says so and keeps the keyboard's focus, which browsers take from what is `disabled`.
 */
export function Button(props: {
  label: string;
  icon?: LabIcon;
  iconOnly?: boolean;
  kind?: 'plain' | 'accept' | 'danger';
  disabled?: boolean;
  pressed?: boolean;
  /** Why it cannot be pressed; null when it can. */
  why?: string | null;
  /** What it does; without it, it submits the form that it is in. */
  onClick?: () => void;
}): React.ReactElement {
  const { label, icon: Icon, iconOnly, kind = 'plain', disabled, pressed, why, onClick } = props;
  const isOff = disabled || Boolean(why);
  return (
    <button
      type={onClick ? 'button' : 'submit'}
      className={`cs-Button cs-mod-${kind}${iconOnly ? ' cs-mod-iconOnly' : ''}`}
      title={[iconOnly || !why ? label : '', why].filter(Boolean).join('\n')}
      aria-label={iconOnly ? label : undefined}
      aria-pressed={pressed}
      aria-disabled={isOff || undefined}
      onClick={isOff ? event => event.preventDefault() : onClick}
    >
      {Icon && <Icon.react tag="span" className="cs-Button-icon" width="14px" height="14px" />}
      {!iconOnly && <span>{label}</span>}
    </button>
  );
}

/** A box that may go while the keyboard's focus is in it: what `next` finds has the focus then, not the page as a whole. */
export function PassesFocus(
  props: React.HTMLAttributes<HTMLDivElement> & {
    next: (going: HTMLElement) => HTMLElement | null | undefined;
  }
): React.ReactElement {
  const { next, ...rest } = props;
  const box = React.useRef<HTMLDivElement>(null);
  const latest = React.useRef(next);
  latest.current = next;
  React.useLayoutEffect(() => {
    const going = box.current;
    return () => {
      if (going?.contains(document.activeElement)) {
        latest.current(going)?.focus();
      }
    };
  }, []);
  return <div ref={box} {...rest} />;
}

/** Return the list whose selected entry is shown in `details`. */
export function listOf(details: HTMLElement): HTMLElement | null | undefined {
  return details.closest('.cs-Split')?.querySelector<HTMLElement>('[role="listbox"]');
}

/** Return the tab that is open, of the panel that an element is in. */
export function openTab(inside: HTMLElement): HTMLElement | null | undefined {
  return inside
    .closest('.cellstack')
    ?.querySelector<HTMLElement>('.cs-Bar [role="tab"][aria-selected="true"]');
}

/** Return why the kernel of the notebook in front can be asked for nothing; null when it can. */
export function useNoKernel(): string | null {
  const { model, trans } = useCellstack();
  const notebook = useStore(model.notebook);
  return notebook?.kernel === 'ours'
    ? null
    : trans.__('No Cellstack kernel runs in the notebook in front: start one first.');
}

/** Return why head cannot be moved now; null when it can. */
export function useHeadStays(): string | null {
  const { model, trans } = useCellstack();
  const notebook = useStore(model.notebook);
  const noKernel = useNoKernel();
  return notebook?.kernel === 'ours' && notebook.busy
    ? trans.__('The kernel is busy: head can be moved when its cells are done.')
    : noKernel;
}

/** Files added, changed and deleted; nothing for a run that changed none. */
export function Changes(props: { changes: IChanges }): React.ReactElement | null {
  const { trans } = useCellstack();
  const { added, changed, deleted } = props.changes;
  if (!added && !changed && !deleted) {
    return null;
  }
  const label = trans.__('files: %1 added, %2 changed, %3 deleted', added, changed, deleted);
  return (
    <span className="cs-Changes" title={label}>
      <span className="cs-visuallyHidden">{label}</span>
      <span aria-hidden="true">
        {added > 0 && <span className="cs-mod-added">+{added}</span>}
        {changed > 0 && <span className="cs-mod-changed">~{changed}</span>}
        {deleted > 0 && <span className="cs-mod-deleted">−{deleted}</span>}
      </span>
    </span>
  );
}

/** What there is to say where there is nothing to show. */
export function Empty(props: {
  icon?: LabIcon;
  title: string;
  children?: React.ReactNode;
}): React.ReactElement {
  const { icon: Icon, title, children } = props;
  return (
    <div className="cs-Empty">
      {Icon && <Icon.react tag="div" className="cs-Empty-icon" width="36px" height="36px" />}
      <p className="cs-Empty-title">{title}</p>
      {children && <div className="cs-Empty-text">{children}</div>}
    </div>
  );
}

export function Problem(props: { problem: IProblem; onRetry?: () => void }): React.ReactElement {
  const { trans } = useCellstack();
  return (
    <div className="cs-Problem" role="alert">
      <p>{props.problem.message}</p>
      {props.problem.hint && <p className="cs-muted">{props.problem.hint}</p>}
      {props.onRetry && <Button label={trans.__('Try again')} onClick={props.onRetry} />}
    </div>
  );
}

/** Grey lines in the place of what is on its way. */
export function Loading(props: { label: string }): React.ReactElement {
  return (
    <div className="cs-Loading" role="status" aria-label={props.label}>
      {[82, 64, 73].map(width => (
        <div key={width} className="cs-Loading-line" style={{ width: `${width}%` }} />
      ))}
    </div>
  );
}

/** How much of a limit is used, as a bar; without a limit there is no bar. */
export function Meter(props: {
  value: number;
  limit: number | null;
  label: string;
}): React.ReactElement | null {
  const { value, limit, label } = props;
  if (limit === null || limit <= 0) {
    return null;
  }
  const share = Math.min(1, Math.max(0, value / limit));
  const level = share > 0.9 ? 'high' : share > 0.7 ? 'middle' : 'low';
  return (
    <span
      className={`cs-Meter cs-mod-${level}`}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(share * 100)}
    >
      <span className="cs-Meter-fill" style={{ width: `${share * 100}%` }} />
    </span>
  );
}

export interface ITab<T extends string> {
  id: T;
  label: string;
  icon?: LabIcon;
  count?: number;
}

/** A row of tabs; arrow keys go from one to the next. */
export function Tabs<T extends string>(props: {
  tabs: readonly ITab<T>[];
  current: T;
  label: string;
  prefix: string;
  small?: boolean;
  onSelect: (id: T) => void;
}): React.ReactElement {
  const { tabs, current, label, prefix, small, onSelect } = props;
  const list = React.useRef<HTMLDivElement>(null);
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const index = tabs.findIndex(tab => tab.id === current);
    const steps: { [key: string]: number } = {
      ArrowRight: (index + 1) % tabs.length,
      ArrowLeft: (index + tabs.length - 1) % tabs.length,
      Home: 0,
      End: tabs.length - 1
    };
    const next = steps[event.key];
    if (next !== undefined) {
      event.preventDefault();
      onSelect(tabs[next].id);
      (list.current?.children[next] as HTMLElement | undefined)?.focus();
    }
  };
  return (
    <div
      ref={list}
      role="tablist"
      aria-label={label}
      className={`cs-Tabs${small ? ' cs-mod-small' : ''}`}
      onKeyDown={onKeyDown}
    >
      {tabs.map(({ id, label: text, icon: Icon, count }) => (
        <button
          key={id}
          type="button"
          role="tab"
          id={`${prefix}-tab-${id}`}
          aria-selected={id === current}
          aria-controls={id === current ? `${prefix}-panel-${id}` : undefined}
          tabIndex={id === current ? 0 : -1}
          className="cs-Tab"
          title={small ? undefined : text}
          onClick={() => onSelect(id)}
        >
          {Icon && <Icon.react tag="span" className="cs-Tab-icon" width="16px" height="16px" />}
          <span className="cs-Tab-text">{text}</span>
          {count !== undefined && <span className="cs-Tab-count">{count}</span>}
        </button>
      ))}
    </div>
  );
}

export function TabPanel(props: {
  id: string;
  prefix: string;
  className?: string;
  children: React.ReactNode;
}): React.ReactElement {
  const { id, prefix, className, children } = props;
  return (
    <div
      role="tabpanel"
      id={`${prefix}-panel-${id}`}
      aria-labelledby={`${prefix}-tab-${id}`}
      className={`cs-TabPanel ${className ?? ''}`}
    >
      {children}
    </div>
  );
}
