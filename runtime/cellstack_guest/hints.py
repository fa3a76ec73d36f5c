"""What is said below an error that the container caused: which limit it was, and how to have more."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterator, Mapping

NO_NETWORK = "this cell has no network (network=none); this version offers nothing but its own loopback"
_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH})
_UNITS = (("g", 2**30, "GiB"), ("m", 2**20, "MiB"), ("k", 2**10, "KiB"))
MAX_CHAIN = 32
# What a function that starts processes calls: os.fork, subprocess, multiprocessing.
_FORKING = frozenset({"fork", "forkpty", "_fork_exec", "fork_exec", "posix_spawn", "posix_spawnp"})


class Limits:
    """What a cell may use, and how it may use more.

    values: what `cellstack.limits` shows. magics: the one that sets each, `%limits` where it is not said.
    """

    def __init__(self, values: Mapping[str, Any] | None = None, magics: Mapping[str, str] | None = None) -> None:
        self.values = dict(values or {})
        self._magics = magics or {}

    @property
    def memory(self) -> int | None:
        """Bytes; None for any."""
        memory: int | None = self.values.get("memory")
        return memory

    @property
    def has_network(self) -> bool:
        """Whether there is more than the container's own loopback."""
        return self.values.get("network") != "none"

    def memory_hint(self) -> str:
        """Return what to say when the memory was not enough."""
        by = (self.values.get("enforced_by") or {}).get("memory")
        memory = self.memory or 0
        held = f"the cell may use {format_size(memory)}{f' (enforced by {by})' if by else ''}"
        return f"{held}. {self._raise('memory', _option(2 * memory))}"

    def pids_hint(self) -> str:
        """Return what to say when there were too many processes."""
        pids = self.values["pids"]
        return f"the cell may have {pids} processes and threads. {self._raise('pids', str(2 * pids))}"

    def _raise(self, name: str, value: str) -> str:
        return f"Raise it with {self._magics.get(name, '%limits')} {name}={value}"


def add_hints(error: BaseException, limits: Limits, note_for: Callable[[str], str | None]) -> None:
    """Add to `error` the notes that tell why it happened here.

    note_for: what is known of a variable that could not be carried.
    """
    for hint in _hints(error, limits, note_for):
        if hint not in getattr(error, "__notes__", ()):
            error.add_note(hint)


def needs_network(error: BaseException) -> bool:
    """Tell whether a missing network is what `error`, or an error below it, is about."""
    return any(
        isinstance(below, socket.gaierror) or (isinstance(below, OSError) and below.errno in _UNREACHABLE)
        for below in _chain(error)
    )


def _hints(error: BaseException, limits: Limits, note_for: Callable[[str], str | None]) -> Iterator[str]:
    if isinstance(error, NameError) and not isinstance(error, UnboundLocalError) and error.name:
        note = note_for(error.name)
        if note:
            yield note
    if limits.memory and isinstance(error, MemoryError):
        yield limits.memory_hint()
    if limits.values.get("pids") and any(_at_pids_limit(below) for below in _chain(error)):
        yield limits.pids_hint()
    if not limits.has_network and needs_network(error):
        yield NO_NETWORK


def _at_pids_limit(error: BaseException) -> bool:
    """Tell whether a process or a thread was refused; a socket without data says EAGAIN too, but is not asked here."""
    if isinstance(error, BlockingIOError):
        return error.errno == errno.EAGAIN and any(
            name in _FORKING for frame in _frames(error) for name in frame.f_code.co_names
        )
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


def _frames(error: BaseException) -> Iterator[types.FrameType]:
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_next is None:
            yield traceback.tb_frame
        traceback = traceback.tb_next


def format_size(size: int) -> str:
    """Return bytes for a reader: "512 MiB", "1.5 GiB"."""
    for _, unit, name in _UNITS:
        if size >= unit:
            value = size / unit
            return f"{value:.0f} {name}" if value >= 100 or value == int(value) else f"{value:.1f} {name}"
    return f"{size} B"


def _option(size: int) -> str:
    for suffix, unit, _ in _UNITS:
        if size >= unit and size % unit == 0:
            return f"{size // unit}{suffix}"
    return str(size)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and the errors it stands for; libraries keep them as cause, as reason, as argument."""
    seen: set[int] = set()
    pending = [error]
    while pending and len(seen) < MAX_CHAIN:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        below = [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
        pending.extend(item for item in below if isinstance(item, BaseException))
