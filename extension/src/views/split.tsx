import * as React from 'react';

const STEP = 4;
const LEAST = 15;
const MOST = 85;

/**
 * Two views on top of each other, with a handle between them that a pointer or the arrow keys move.
 *
 * The upper one has a share of the panel's whole body: a notice at its foot takes room from the lower one.
 */
export function Split(props: {
  label: string;
  top: React.ReactNode;
  /** null: the upper view has all the room. */
  bottom: React.ReactNode | null;
}): React.ReactElement {
  const { label, top, bottom } = props;
  const [share, setShare] = React.useState(50);
  const box = React.useRef<HTMLDivElement>(null);
  const move = (percent: number): void => setShare(Math.min(MOST, Math.max(LEAST, percent)));
  const onPointerMove = (event: React.PointerEvent): void => {
    const body = box.current?.closest('.cs-Body');
    if (event.buttons & 1 && body) {
      const { top: start, height } = body.getBoundingClientRect();
      move(((event.clientY - start) / height) * 100);
    }
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const steps: { [key: string]: number } = { ArrowUp: -STEP, ArrowDown: STEP };
    if (event.key in steps) {
      event.preventDefault();
      move(share + steps[event.key]);
    }
  };
  return (
    <div className="cs-Split" ref={box}>
      <div className="cs-Split-part" style={bottom ? { flex: `0 1 ${share}cqh` } : undefined}>
        {top}
      </div>
      {bottom && (
        <>
          <div
            role="separator"
            aria-label={label}
            aria-orientation="horizontal"
            aria-valuemin={LEAST}
            aria-valuemax={MOST}
            aria-valuenow={Math.round(share)}
            tabIndex={0}
            className="cs-Split-handle"
            onPointerDown={event => event.currentTarget.setPointerCapture(event.pointerId)}
            onPointerMove={onPointerMove}
            onKeyDown={onKeyDown}
          />
          <div className="cs-Split-part">{bottom}</div>
        </>
      )}
    </div>
  );
}
