"""What code leaves running when it is over: threads, and the tasks and timers of the event loop."""

# mypy: disable-error-code="no-untyped-call"
# (most of IPython's functions have no annotations)

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from typing import TYPE_CHECKING, ClassVar, Self

from IPython.core.async_helpers import get_asyncio_loop

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

LOOK_SECONDS = 0.05  # after which it is looked again for what is left: a thread does not say when it ends
POOL_PREFIXES = ("ThreadPoolExecutor", "asyncio_")
POOL_THREAD = "_ExecutorManagerThread"  # of a ProcessPoolExecutor


def threads() -> list[str]:
    """Return the names of the cell's own threads; idle workers of a pool are nobody's loss."""
    return [
        thread.name
        for thread in threading.enumerate()
        if thread is not threading.main_thread()
        and not thread.daemon
        and not thread.name.startswith(POOL_PREFIXES)
        and type(thread).__qualname__ != POOL_THREAD
    ]


def tasks(loop: asyncio.AbstractEventLoop) -> int:
    """Return how many tasks of `loop` are not done."""
    return sum(not task.done() for task in asyncio.all_tasks(loop))


def ended_threads() -> list[str]:
    """Tell of the threads that end with the cell."""
    return [f"thread {name!r} was still running and ended with the cell" for name in threads()]


def ended_tasks(count: int) -> list[str]:
    """Tell of as many tasks, which end with the cell."""
    plural = "s were" if count > 1 else " was"
    return [f"{count} asyncio task{plural} still running and ended with the cell"] if count else []


def are_there() -> bool:
    """Tell whether anything runs on."""
    loop = get_asyncio_loop()
    # No public method tells of timers, with which calls are put off (`call_later`).
    timers = getattr(loop, "_scheduled", ())
    return bool(tasks(loop) or threads() or not all(timer.cancelled() for timer in timers))


def call_on_loop(function: Callable[[], None]) -> None:
    """Call a function that finds the event loop running, as it would in ipykernel; nothing else of the loop runs."""
    asyncio._set_running_loop(get_asyncio_loop())  # noqa: SLF001
    try:
        function()
    finally:
        asyncio._set_running_loop(None)  # noqa: SLF001


class Loan:
    """The event loop, for code that runs without it and may call what asks for the running one.

    What is started on the loop begins when the code is over, as in ipykernel.
    """

    _now: ClassVar[Loan | None] = None  # of the code that runs

    def __init__(self) -> None:
        self.is_used = False
        self.borrower = os.getpid(), threading.get_ident()

    def __enter__(self) -> Self:
        Loan._now = self
        return self

    def __exit__(self, *_: object) -> None:
        Loan._now = None

    @classmethod
    def offer(cls) -> None:
        """Have `asyncio.get_running_loop` return the loop that is lent where none runs."""
        found = asyncio.get_running_loop

        def get_running_loop() -> asyncio.AbstractEventLoop:
            try:
                return found()
            except RuntimeError:
                loan = cls._now
                if loan is None or loan.borrower != (os.getpid(), threading.get_ident()):
                    raise
                loan.is_used = True
                loop: asyncio.AbstractEventLoop = get_asyncio_loop()
                return loop

        get_running_loop.__module__, get_running_loop.__qualname__ = "asyncio.events", "get_running_loop"
        asyncio.get_running_loop = asyncio.events.get_running_loop = get_running_loop


def run_on(seconds: float = math.inf, *, until: socket.socket | None = None) -> None:
    """Have all that is left run on until it is over, the time is, or something arrives on the socket `until`."""
    loop = get_asyncio_loop()
    deadline = time.monotonic() + seconds
    arrived = False

    def stop() -> None:
        nonlocal arrived
        arrived = True
        loop.stop()

    if until is not None:
        loop.add_reader(until.fileno(), stop)
    try:
        while are_there() and not arrived and time.monotonic() < deadline:
            pause = loop.call_later(LOOK_SECONDS, loop.stop)
            loop.run_forever()
            pause.cancel()
    finally:
        if until is not None:
            loop.remove_reader(until.fileno())
