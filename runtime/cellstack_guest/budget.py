"""The time that saving may take: it is said when it is long, ended by an interrupt, and ended when it is over."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any

from cellstack_guest.hints import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 120.0  # for all variables of a cell
PATIENCE = 3.0  # seconds after which it is said, and an interrupt is not one that was meant for the cell's code


class Budget:
    """The seconds that saving has, from now on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.deadline = self._began + SECONDS

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def announcement(self, largest: int, name: str) -> list[str]:
        """Return what there is to say at the end. largest: the bytes of variable `name`."""
        if self.spent < PATIENCE:
            return []
        which = f"; the largest is {name} ({format_size(largest)})" if name else ""
        return [f"saving the variables took {self.spent:.0f} s of at most {SECONDS:.0f} s{which}"]

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise KeyboardInterrupt when the person interrupts what has taken long."""

        def interrupt(_number: int, _frame: Any) -> None:
            if self.spent > PATIENCE:
                raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
