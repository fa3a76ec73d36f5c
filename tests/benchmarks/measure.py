"""Series of timings and the rows that a table of comparisons is made of."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Series:
    """Milliseconds of one thing, measured several times."""

    milliseconds: tuple[float, ...]

    @property
    def p50(self) -> float:
        """Return the median."""
        return statistics.median(self.milliseconds)

    @property
    def p95(self) -> float:
        """Return the 95th percentile (nearest rank)."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, beside whom, and what is to be reached.

    ratio: p50, or the memory, of the subject divided by that of the peer. added: milliseconds of p50 that are not there
    without what is measured. written: bytes on the disk. memory: bytes. at_most, added_at_most, written_at_most: what
    ratio, added and written are to be at most; p95_at_most: what p95 is, in milliseconds. skipped: why there are no
    numbers.
    """

    what: str
    subject: str
    runs: int = 0
    p50: float | None = None
    p95: float | None = None
    p95_at_most: float | None = None
    peer: str | None = None
    ratio: float | None = None
    at_most: float | None = None
    added: float | None = None
    added_at_most: float | None = None
    written: int | None = None
    written_at_most: int | None = None
    memory: int | None = None
    skipped: str | None = None

    @property
    def reached(self) -> bool | None:
        """Return whether all that is to be reached is; None where nothing is to be reached."""
        goals = (
            (self.ratio, self.at_most),
            (self.p95, self.p95_at_most),
            (self.added, self.added_at_most),
            (self.written, self.written_at_most),
        )
        reached = [value <= limit for value, limit in goals if value is not None and limit is not None]
        return all(reached) if reached else None

    def as_json(self) -> dict[str, Any]:
        """Return the row for a report."""
        return {**asdict(self), "reached": self.reached}


def row(
    what: str,
    subject: str,
    series: Series,
    *,
    peer: tuple[str, Series] | None = None,
    at_most: float | None = None,
    p95_at_most: float | None = None,
    without: Series | None = None,
    added_at_most: float | None = None,
    written: int | None = None,
    written_at_most: int | None = None,
) -> Row:
    """Return the row of a series, compared with a peer's series where there is one.

    without: the same without what is measured; `added` is what p50 is above its p50.
    """
    ratio = series.p50 / peer[1].p50 if peer else None
    return Row(
        what,
        subject,
        runs=len(series.milliseconds),
        p50=series.p50,
        p95=series.p95,
        p95_at_most=p95_at_most,
        peer=peer[0] if peer else None,
        ratio=ratio,
        at_most=at_most,
        added=series.p50 - without.p50 if without else None,
        added_at_most=added_at_most,
        written=written,
        written_at_most=written_at_most,
    )


def take_turns(actions: Mapping[str, Callable[[], float]], *, runs: int, warmup: int = 2) -> dict[str, Series]:
    """Run the actions one after the other, `runs` times round, so that all see the same noise.

    Each action returns the milliseconds that count. The first `warmup` rounds are not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(warmup + runs):
        for name, action in actions.items():
            milliseconds = action()
            if turn >= warmup:
                taken[name].append(milliseconds)
    return {name: Series(tuple(values)) for name, values in taken.items()}


def timed(action: Callable[[], object]) -> Callable[[], float]:
    """Return an action that runs `action` and returns its milliseconds."""

    def run() -> float:
        start = time.perf_counter()
        action()
        return (time.perf_counter() - start) * 1000

    return run
