"""The clock of a container: how long it has run, without the time in which it was paused."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Counts wall time from `start` to `stop`, and calls `expired` once it comes to `limit` seconds."""

    def __init__(self, limit: float | None, expired: Callable[[], None]) -> None:
        self._limit = limit
        self._expired = expired
        self._counted = 0.0
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = self._stopped = False

    @property
    def seconds(self) -> float:
        """The seconds counted so far."""
        return self._counted + (0.0 if self._since is None else time.monotonic() - self._since)

    @property
    def is_new(self) -> bool:
        """Whether it has not been started, or not since `reset`."""
        return not self._started

    def start(self) -> None:
        """Begin to count."""
        self._started = True
        self._go()

    def _go(self) -> None:
        self._since = time.monotonic()
        if self._limit is not None:
            left = max(0.0, self._limit - self._counted)
            self._timer = asyncio.get_running_loop().call_later(left, self._expired)

    def pause(self) -> None:
        """Do not count until `resume`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._counted, self._since = self.seconds, None

    def resume(self) -> None:
        """Count on after `pause`."""
        if self._started and not self._stopped and self._since is None:
            self._go()

    def stop(self) -> None:
        """Count no more."""
        self.pause()
        self._stopped = True

    def reset(self) -> None:
        """Be as new."""
        self.stop()
        self._counted, self._started, self._stopped = 0.0, False, False
