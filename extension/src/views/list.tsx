import { useVirtualizer } from '@tanstack/react-virtual';
import * as React from 'react';

/** Rows above and below those that can be seen. */
const OVERSCAN = 4;

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
  className?: string;
  render: (item: T, selected: boolean) => React.ReactNode;
  onSelect: (item: T) => void;
  onOpen?: (item: T) => void;
}): React.ReactElement {
  const { items, keyOf, rowHeight, label, selected, className, render, onSelect, onOpen } = props;
  const id = React.useId();
  const scroller = React.useRef<HTMLDivElement>(null);
  const virtualizer = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: OVERSCAN
  });
  const position = selected === null ? -1 : items.findIndex(item => keyOf(item) === selected);
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
  const rows = virtualizer.getVirtualItems();
  // Rows that leave at one end are those that come at the other: elements are filled anew, which costs less than new ones.
  const slots = React.useRef(1);
  slots.current = Math.max(slots.current, rows.length);
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
        {rows.map(({ index, start }) => {
          const item = items[index];
          const isSelected = index === position;
          return (
            <div
              key={index % slots.current}
              id={optionId(index)}
              role="option"
              aria-selected={isSelected}
              aria-setsize={items.length}
              aria-posinset={index + 1}
              className="cs-List-row"
              style={{ height: rowHeight, transform: `translateY(${start}px)` }}
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
