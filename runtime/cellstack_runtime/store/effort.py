"""What is spent on one question about what cells have left, which may be of any size."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from cellstack_runtime.errors import CellstackError

if TYPE_CHECKING:
    from collections.abc import Callable


class StoppedError(CellstackError):
    """Nobody waits for the answer any more."""


class Effort:
    """Bytes that may be compared, from now on for some seconds. is_stopped: asked often whether anybody still waits."""

    def __init__(
        self, is_stopped: Callable[[], bool] = lambda: False, *, most: float = math.inf, seconds: float = math.inf
    ) -> None:
        self._bytes = most
        self._until = time.monotonic() + seconds
        self._is_stopped = is_stopped

    def go_on(self) -> None:
        """Return if somebody still waits; StoppedError ends all when nobody does."""
        if self._is_stopped():
            raise StoppedError("what was asked for was stopped", hint="Ask again")

    def allows(self, count: int) -> bool:
        """Return whether `count` more bytes may be compared, which counts as done; StoppedError as of `go_on`."""
        self.go_on()
        self._bytes -= count
        return self._bytes >= 0 and time.monotonic() < self._until
