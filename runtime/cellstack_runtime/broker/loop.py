"""A loop for one thread: callbacks on descriptors and timers, and tasks written as generators.

A task yields an Event and is resumed with the event's value once it is set. asyncio would do the same, but its
import alone makes every fork of the broker dearer (about 9 MB and 35 ms at start).
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Task = Generator["Event", Any, None]


class Event:
    """Something that happens once, with a value. A task waits for it by yielding it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: list[Task] = []
        self.done = False
        self.value: Any = None

    def set(self, value: Any = None) -> None:
        """Resume who waits. Only the first call counts."""
        if self.done:
            return
        self.done = True
        self.value = value
        for task in self._waiting:
            self._loop.soon(lambda task=task: self._loop.step(task, value))  # type: ignore[misc]
        self._waiting.clear()

    def wait(self, task: Task) -> None:
        """Resume `task` once the event is set."""
        self._waiting.append(task)


class Loop:
    """Runs until `stop`."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()
        self._soon: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._running = True

    def event(self) -> Event:
        """Return a new event."""
        return Event(self)

    def readable(self, fd: int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `fd` can be read, until `forget`."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def forget(self, fd: int) -> None:
        """Stop watching `fd`; to be called before it is closed."""
        self._selector.unregister(fd)

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call `callback` once, `seconds` from now."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._count), callback))

    def soon(self, callback: Callable[[], None]) -> None:
        """Call `callback` once before waiting again."""
        self._soon.append(callback)

    def start(self, task: Task) -> None:
        """Run `task` up to its first unset event."""
        self.step(task, None)

    def step(self, task: Task, value: Any) -> None:
        """Resume `task` with `value`; returns when it waits or is done."""
        try:
            event = task.send(value)
            while event.done:
                event = task.send(event.value)
        except StopIteration:
            return
        except Exception:  # noqa: BLE001  a mistake in one task must not end the containers of all others
            sys.excepthook(*sys.exc_info())
            return
        event.wait(task)

    def stop(self) -> None:
        """Return from `run` after the current callback: what is ready besides may be of what was just ended."""
        self._running = False

    def run(self) -> None:
        """Serve until `stop` is called."""
        while self._running:
            while self._soon:
                self._soon.popleft()()
            if not self._running:
                return
            timeout: float | None = None
            if self._timers:
                timeout = max(0.0, self._timers[0][0] - time.monotonic())
            for key, _ in self._selector.select(timeout):
                if self._selector.get_map().get(key.fd) is key:  # not forgotten by an earlier callback
                    key.data()
                if not self._running:
                    return
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
