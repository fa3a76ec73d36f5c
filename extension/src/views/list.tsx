import { useVirtualizer } from '@tanstack/react-virtual';
import * as React from 'react';

/** Rows above and below those that can be seen. */
const OVERSCAN = 4;

/** What can be done with a list from outside. */
export interface IListHandle {
  /** Scroll to an entry. */
  show(key: string): void;
}

/**
 * A list of which only what can be seen is in the page, so that a thousand entries scroll as ten do.
 *
 * It is one stop of the Tab key; arrow keys, Home, End and the page keys select, Enter and a double click open.
 */
export function VirtualList<T>(props: {
  items: readonly T[];
  keyOf: (item: T) => string;
  /** Pixels. */
  rowHeight: number;
  label: string;
  selected: string | null;
  /**
   * An entry that is gone along with: another one that becomes it is scrolled to. One that is new is not where the old
   * one was out of sight, as the person looks at something else then.
   */
  followed?: string | null;
  handle?: React.Ref<IListHandle>;
  className?: string;
  render: (item: T, selected: boolean) => React.ReactNode;
  onSelect: (item: T) => void;
  onOpen?: (item: T) => void;
}): React.ReactElement {
  const { items, keyOf, rowHeight, label, selected, className, render, onSelect, onOpen } = props;
  const { followed = null, handle } = props;
  const id = React.useId();
  const scroller = React.useRef<HTMLDivElement>(null);
  // Rows that leave at one end are those that come at the other, so there are always as many: elements are filled anew,
  // which costs less than new ones.
  const slots = React.useRef(1);
  const virtualizer = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: OVERSCAN,
    rangeExtractor: ({ startIndex, endIndex, overscan, count }) => {
      slots.current = Math.max(slots.current, endIndex - startIndex + 1 + 2 * overscan);
      const last = Math.min(count, Math.max(0, startIndex - overscan) + slots.current);
      const first = Math.max(0, last - slots.current);
      return Array.from({ length: last - first }, (_, n) => first + n);
    }
  });
  const indexOf = (key: string | null): number =>
    key === null ? -1 : items.findIndex(item => keyOf(item) === key);
  const show = (key: string | null): void => {
    const index = indexOf(key);
    if (index >= 0) {
      virtualizer.scrollToIndex(index, { align: 'auto' });
    }
  };
  React.useImperativeHandle(handle, () => ({ show }));

  const position = indexOf(selected);
  // Before that of what is selected, which has the last word when the list is new.
  const before = React.useRef({ items, isInSight: true });
  React.useEffect(() => {
    const { isInSight, items: old } = before.current;
    if (isInSight || old.some(item => keyOf(item) === followed)) {
      show(followed);
    }
  }, [followed]); // eslint-disable-line react-hooks/exhaustive-deps
  React.useEffect(() => {
    const { startIndex = 0, endIndex = 0 } = virtualizer.range ?? {};
    const index = indexOf(followed);
    before.current = {
      items,
      isInSight: followed === null || (index >= startIndex && index <= endIndex)
    };
  });
  React.useEffect(() => {
    if (position >= 0) {
      virtualizer.scrollToIndex(position, { align: 'auto' });
    }
    // Only when another one is selected: what the person scrolls to stays where it is.
  }, [selected, position >= 0]); // eslint-disable-line react-hooks/exhaustive-deps

  const onKeyDown = (event: React.KeyboardEvent): void => {
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / rowHeight) - 1);
    const targets: { [key: string]: number } = {
      ArrowDown: position + 1,
      ArrowUp: position - 1,
      PageDown: position + page,
      PageUp: position - page,
      Home: 0,
      End: items.length - 1
    };
    if (event.key === 'Enter' && position >= 0 && onOpen) {
      event.preventDefault();
      onOpen(items[position]);
    } else if (event.key in targets && items.length > 0) {
      event.preventDefault();
      onSelect(items[Math.min(items.length - 1, Math.max(0, targets[event.key]))]);
    }
  };
  const rows = virtualizer
    .getVirtualItems()
    .map(row => ({ ...row, slot: row.index % slots.current }));
  if (virtualizer.isScrolling) {
    // An element that changes its place in the page costs what a new one does: all come into order when the list rests.
    rows.sort((a, b) => a.slot - b.slot);
  }
  const optionId = (index: number): string => `${id}-${index}`;
  return (
    <div
      ref={scroller}
      className={`cs-List ${className ?? ''}`}
      role="listbox"
      aria-label={label}
      aria-activedescendant={position >= 0 ? optionId(position) : undefined}
      tabIndex={0}
      onKeyDown={onKeyDown}
    >
      <div
        role="presentation"
        className="cs-List-content"
        style={{ height: virtualizer.getTotalSize() }}
      >
        {rows.map(({ index, slot, start }) => {
          const item = items[index];
          const isSelected = index === position;
          return (
            <div
              key={slot}
              id={optionId(index)}
              role="option"
              aria-selected={isSelected}
              aria-setsize={items.length}
              aria-posinset={index + 1}
              className="cs-List-row"
              style={{ height: rowHeight, top: start }}
              onClick={() => onSelect(item)}
              onDoubleClick={onOpen && (() => onOpen(item))}
            >
              {render(item, isSelected)}
            </div>
          );
        })}
      </div>
    </div>
  );
}
