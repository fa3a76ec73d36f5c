"""A thread for what nobody waits for: removing and writing down, which may wait for the disk."""

from __future__ import annotations

import queue
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Chores:
    """Does one step after the other, in the order they are given."""

    def __init__(self) -> None:
        self._steps: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)
        self._thread.start()

    def add(self, *steps: Callable[[], object]) -> None:
        """Have `steps` done. One that fails is told on stderr: what cannot be removed goes with the whole run."""
        for step in steps:
            self._steps.put(step)

    def finish(self) -> None:
        """Return when all is done; nothing can be added any more."""
        self._steps.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (step := self._steps.get()) is not None:
            try:
                step()
            except OSError as error:
                sys.stderr.write(f"cellstack: cleaning up: {error}\n")
            except Exception:  # noqa: BLE001  a mistake in one step must not keep the others from being done
                sys.excepthook(*sys.exc_info())
