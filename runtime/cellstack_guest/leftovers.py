"""What code leaves running when it is over: threads, programs, and the tasks and timers of the event loop."""

# mypy: disable-error-code="no-untyped-call"
# (most of IPython's functions have no annotations)

from __future__ import annotations

import asyncio
import math
import os
import threading
import time

# By names of this module: a cell may put other functions in the place of those of `os` and the like while it runs.
from os import getpid
from threading import get_ident
from typing import TYPE_CHECKING, ClassVar, Self

from IPython.core import async_helpers

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

LOOK_SECONDS = 0.05  # after which it is looked again for what is left: a thread does not say when it ends
POOL_PREFIXES = ("ThreadPoolExecutor", "asyncio_")
POOL_THREAD = "_ExecutorManagerThread"  # of a ProcessPoolExecutor
# What pools, shared memory and the debugger start for themselves, by a part of its command: nobody's loss.
HELPERS = (b"multiprocessing.", b"--multiprocessing-fork", b"loky", b"debugpy")
MAX_COMMAND = 80  # characters of a command that are told
INIT = 1
WAY_OUT = "%container scope=notebook lets it go on"


def event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop on which cells run: asyncio's own, as in ipykernel, whatever policy a cell has set."""
    loop = async_helpers._asyncio_event_loop  # noqa: SLF001
    if loop is None or loop.is_closed():
        async_helpers._asyncio_event_loop = asyncio.SelectorEventLoop()  # noqa: SLF001
    running: asyncio.AbstractEventLoop = async_helpers.get_asyncio_loop()
    return running


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


def tasks() -> int:
    """Return how many tasks of the loop that cells run on, if there is one, are not done."""
    loop = async_helpers._asyncio_event_loop  # noqa: SLF001  asking for it makes one
    return 0 if loop is None else sum(not task.done() for task in asyncio.all_tasks(loop))


def programs() -> list[str]:
    """Return the commands of programs that the cell has started and that run; its own forks are no programs."""
    # The cell's own parent is outside of the container: what init has for a parent was left by the cell's children.
    parents = {os.getpid(), INIT} if os.getppid() == 0 else {os.getpid()}
    own = _command("self")
    commands = []
    for entry in os.listdir("/proc"):
        if not entry.isdecimal() or int(entry) in {os.getpid(), INIT}:
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
            command = _command(entry)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        is_ours = int(parent) in parents and state != b"Z" and command not in {b"", own}
        if is_ours and not any(helper in command for helper in HELPERS):
            commands.append(command.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace"))
    return commands


def _command(pid: str) -> bytes:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read(4096)


def ended() -> list[str]:
    """Tell of what runs and ends with the cell."""
    count = tasks()
    found = [f"{count} asyncio task{'s were' if count > 1 else ' was'}"] if count else []
    found += [f"thread {name!r} was" for name in threads()]
    shown = (command if len(command) <= MAX_COMMAND else f"{command[:MAX_COMMAND]}…" for command in programs())
    found += [f"{command!r} was" for command in shown]
    return [f"{what} still running and ended with the cell; {WAY_OUT}" for what in found]


def are_there() -> bool:
    """Tell whether anything runs on."""
    loop = event_loop()
    # No public method tells of timers, with which calls are put off (`call_later`).
    timers = getattr(loop, "_scheduled", ())
    return bool(tasks() or threads() or not all(timer.cancelled() for timer in timers))


def call_on_loop(function: Callable[[], None]) -> None:
    """Call a function that finds the event loop running, as it would in ipykernel; nothing else of the loop runs."""
    asyncio._set_running_loop(event_loop())  # noqa: SLF001
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
        self.borrower = getpid(), get_ident()

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
                if loan is None or loan.borrower != (getpid(), get_ident()):
                    raise
                loan.is_used = True
                return event_loop()

        get_running_loop.__module__, get_running_loop.__qualname__ = "asyncio.events", "get_running_loop"
        asyncio.get_running_loop = asyncio.events.get_running_loop = get_running_loop


def run_on(seconds: float = math.inf, *, until: socket.socket | None = None) -> None:
    """Have all that is left run on until it is over, the time is, or something arrives on the socket `until`."""
    loop = event_loop()
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
