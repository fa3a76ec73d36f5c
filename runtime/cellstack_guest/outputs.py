"""What a cell sends while it runs: frames on its socket, in the order they were made.

Guarantees:
- A frame is never torn. A signal handler may raise anywhere (KeyboardInterrupt, a person's own alarm); what was
  not sent of a frame then goes out before the next one.
- Text of stdout and stderr keeps its order among itself and with every other frame. It is gathered and sent when
  something else is sent, when there is much of it, on `flush()`, before a child process is started, or after
  `FLUSH_SECONDS`, whichever comes first.
- After a fork in the cell's code the child's text goes to its descriptors 1 and 2: the socket is the parent's.
"""

from __future__ import annotations

import _thread
import base64
import contextlib
import ctypes
import datetime as dt
import functools
import io
import numbers
import os
import struct
import subprocess
import sys
import termios
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fcntl import ioctl

# By names of this module: a cell may put other functions in the place of those of `os` and the like while it runs.
from os import getpid, write
from select import poll
from typing import Any, Protocol

from cellstack_guest import interrupts, protocol

FLUSH_SECONDS = 0.03
FLUSH_CHARACTERS = 2**18  # seldom within FLUSH_SECONDS: who shows messages takes its time for each of them
FRAME_CHARACTERS = 2**20
PIPE_SECONDS = 0.1
MAX_PIECES = 512  # of one sendmsg; the kernel takes 1024
DESCRIPTORS = {"stdout": 1, "stderr": 2}

_COUNT = struct.Struct("i")
_libc = ctypes.CDLL(None)

Piece = bytes | memoryview
# Text of one stream, or a finished frame.
Item = tuple[str, str] | list[Piece]


class Sink(Protocol):
    """The one thing `Outputs` needs of a socket."""

    def sendmsg(self, buffers: Iterable[Piece], /) -> int:
        """Send from the front of `buffers` and return the number of bytes taken."""


class Nowhere:
    """Takes everything: for the runs that warm a process up."""

    def sendmsg(self, buffers: Iterable[Piece], /) -> int:
        """Return the length of `buffers`."""
        return sum(map(len, buffers))


class Outputs:
    """The sending side of a cell's socket; safe to use from threads, signal handlers and forked children."""

    def __init__(self) -> None:
        self._sink: Sink | None = None
        self._pid = 0
        self._reset()

    def _reset(self) -> None:
        self._queue: deque[Item] = deque()
        self._characters = 0
        self._lock = threading.RLock()
        self._draining = False
        self._flushing = False
        self._no_wait = threading.Event()
        self._ended = threading.Lock()
        self._frame: tuple[list[Piece], list[int]] = ([], [])
        self._started_children = False
        self._heard: frozenset[int] | None = None  # the threads that are, while others are muted

    def bind(self, sink: Sink | None) -> None:
        """Send to `sink` from now on, as this process; None: text goes to the descriptors, frames nowhere."""
        self._stop_flushing()
        self._reset()
        self._pid = getpid()
        self._sink = sink

    @contextlib.contextmanager
    def muted(self) -> Iterator[None]:
        """Drop all text and frames meanwhile, but those of other threads that run already."""
        before = self._heard
        if before is None:
            # A debugger hides its threads from `threading.enumerate`.
            self._heard = frozenset(sys._current_frames()) - {_thread.get_ident()}  # noqa: SLF001
        try:
            yield
        finally:
            self._heard = before

    def _is_muted(self) -> bool:
        return self._heard is not None and _thread.get_ident() not in self._heard

    def mine(self) -> bool:
        """Tell whether this process is the one that was bound, and not a child of it."""
        return self._sink is not None and getpid() == self._pid

    def text(self, name: str, text: str) -> None:
        """Queue `text` of the stream `name`."""
        if not text or self._is_muted():
            return
        if not self.mine():
            _write_all(DESCRIPTORS[name], text)
            return
        self._queue.append((name, text))
        self._characters += len(text)
        if self._characters >= FLUSH_CHARACTERS:
            self.flush()
        elif not self._flushing:
            self._flush_later()

    def send(self, message: protocol.Message, buffers: Sequence[bytes | memoryview] = ()) -> None:
        """Send one frame after everything that is queued.

        Raises ValueError for a message over the size the host accepts, TypeError for one that cannot be JSON.
        """
        if self._is_muted():
            return
        if not self.mine():
            self._send_from_child(message)
            return
        self._queue.append(_encode(message, buffers))
        self.flush()

    def flush(self) -> None:
        """Send what is queued; blocks while the host is slow."""
        if not self.mine():
            return
        with self._lock:
            if self._draining:
                return  # a signal handler inside a flush: that flush sends this too
            self._draining = True
            try:
                if self._started_children and self._queue:
                    self._wait_for_pipes()
                self._drain()
            finally:
                self._draining = False

    def before_child(self) -> None:
        """Send what is queued, so that the text of a child process about to start comes after it."""
        if self.mine():
            self.flush()
            self._started_children = True

    def before_fork(self) -> None:
        """Do the same, and end the thread that flushes: a fork with threads is warned of from Python 3.12 on."""
        self.before_child()
        self._stop_flushing()

    def _stop_flushing(self) -> None:
        """End the thread that flushes, if this process has one."""
        if self._ended.locked() and getpid() == self._pid:
            self._no_wait.set()
            # Not without end: a signal handler that forks may hold what the thread waits for.
            if self._ended.acquire(timeout=FLUSH_SECONDS):
                self._ended.release()

    def _drain(self) -> None:
        while True:
            pieces, sent = self._frame
            while rest := _after(pieces, sum(sent)):
                # One call from C, so that the count is kept even if a signal handler raises right after it.
                sent.extend(map(self._sink.sendmsg, (rest[:MAX_PIECES],)))  # type: ignore[union-attr]
            if not self._queue:
                return
            self._frame = (self._next_frame(), [])

    def _next_frame(self) -> list[Piece]:
        item = self._queue.popleft()
        if isinstance(item, list):
            return item
        name, text = item
        texts = [text]
        length = len(text)
        while self._queue and length < FRAME_CHARACTERS:
            following = self._queue[0]
            if isinstance(following, list) or following[0] != name:
                break
            texts.append(following[1])
            length += len(following[1])
            self._queue.popleft()
        text = "".join(texts)
        if length > FRAME_CHARACTERS:
            self._queue.appendleft((name, text[FRAME_CHARACTERS:]))
            text = text[:FRAME_CHARACTERS]
        self._characters = max(0, self._characters - len(text))
        return protocol.encode({"type": "stream", "name": name, "text": text})

    def _flush_later(self) -> None:
        if not self._ended.acquire(blocking=False):
            return  # the thread is about to end, and looks at the queue once more
        self._flushing = True
        self._no_wait.clear()
        try:
            # Not a threading.Thread: it is none of the cell's own threads, and starts in a tenth of the time.
            with interrupts.left_to_main():
                _thread.start_new_thread(self._flush_loop, (self._ended,))
        except RuntimeError:  # the limit on processes is reached
            self._flushing = False
            self._ended.release()
            self.flush()

    def _flush_loop(self, ended: threading.Lock) -> None:
        while self._queue:
            self._no_wait.wait(FLUSH_SECONDS)
            self.flush()
        self._flushing = False
        ended.release()
        if self._queue:
            self.flush()

    def _wait_for_pipes(self) -> None:
        """Let the host read what children wrote to descriptors 1 and 2 before this process writes on."""
        pause = poll()
        for _ in range(int(PIPE_SECONDS * 1000)):
            if not any(map(_unread, DESCRIPTORS.values())):
                return
            pause.poll(1)

    def _send_from_child(self, message: protocol.Message) -> None:
        data = message.get("data")
        if self._sink is not None and isinstance(data, dict) and "text/plain" in data:
            _write_all(DESCRIPTORS["stdout"], f"{data['text/plain']}\n")


_streams: dict[str, Stream] = {}  # of this process, by name


def _stream_of_cell(name: str) -> Stream:
    return _streams[name]


class Stream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of a cell."""

    encoding = "UTF-8"
    errors = "strict"

    def __init__(self, outputs: Outputs, name: str) -> None:
        super().__init__()
        self._outputs = outputs
        self.name = name
        _streams[name] = self

    def __reduce__(self) -> tuple[Any, ...]:
        """Be the stream of the cell that it is carried to."""
        return _stream_of_cell, (self.name,)

    def write(self, text: str, /) -> int:
        """Queue `text` and return its length."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        self._outputs.text(self.name, text)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]
        """Queue every string of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Send what is queued."""
        self._outputs.flush()

    def fileno(self) -> int:
        """Return the descriptor that child processes inherit."""
        return DESCRIPTORS[self.name]

    def isatty(self) -> bool:
        """Return False."""
        return False

    def _is_master_process(self) -> bool:
        """Tell what ipykernel's stream tells: whether this is the cell's process and not a child of it."""
        return self._outputs.mine()

    def set_parent(self, parent: object) -> None:
        """Do nothing: what is written belongs to the cell that writes it, whatever libraries say."""

    def writable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Send what is queued; the stream stays open, as the interpreter needs it to report errors."""
        self.flush()


def flush_before_children(outputs: Outputs) -> None:
    """Make every way to start a program send the text written before it first.

    Without it `print("a"); subprocess.run(["echo", "b"])` would show b before a: they take different ways.
    """

    def flushing(module: str, start: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(start)
        def flush_and_start(*args: Any, **kwargs: Any) -> Any:
            outputs.before_child()
            return start(*args, **kwargs)

        flush_and_start.__module__ = module  # where pickle finds it by its name
        return flush_and_start

    starting = [(os, "system"), (os, "posix_spawn"), (os, "posix_spawnp"), (subprocess, "_fork_exec")]
    ending = [(os, "_exit"), (os, "abort"), (os, "kill")]  # what was printed is not to be lost with the process
    for module, name in starting + ending:
        if hasattr(module, name):  # the last is private to CPython's subprocess
            setattr(module, name, flushing(module.__name__, getattr(module, name)))
    os.register_at_fork(before=outputs.before_fork)


def flush_c() -> None:
    """Write what libraries have printed by C's own means and left in its buffer, which `os._exit` would drop."""
    _libc.fflush(ctypes.c_void_p.in_dll(_libc, "stdout"))


_CONVERSIONS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (numbers.Integral, int),
    (numbers.Real, float),
    (dt.date, lambda value: value.isoformat()),
)


def jsonable(value: Any) -> Any:
    """Return `value` as JSON can hold it, by the rules of Jupyter's messages: bytes as base64, dates as ISO 8601.

    Raises TypeError for anything else.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Iterable):
        return [jsonable(item) for item in value]
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            return convert(value)
    raise TypeError(f"{value!r} is not JSON serializable")


def _encode(message: protocol.Message, buffers: Sequence[bytes | memoryview]) -> list[Piece]:
    try:
        pieces = protocol.encode(message, buffers)
    except TypeError:
        pieces = protocol.encode(jsonable(message), buffers)
    length = len(pieces[0])
    if length > protocol.MAX_JSON:
        raise ValueError(f"one output of {length >> 20} MiB is over the limit of {protocol.MAX_JSON >> 20} MiB")
    values = protocol.values_in(bytes(pieces[0])) if length > protocol.MAX_VALUES else 0
    if values > protocol.MAX_VALUES:
        raise ValueError(f"one output of {values:,} values is over the limit of {protocol.MAX_VALUES:,}")
    buffer_bytes = sum(map(len, pieces[1:]))
    if buffer_bytes > protocol.MAX_BUFFER_BYTES or len(pieces) - 1 > protocol.MAX_BUFFERS:
        raise ValueError(
            f"{len(pieces) - 1} buffers of {buffer_bytes >> 20} MiB are over the limits of {protocol.MAX_BUFFERS} "
            f"buffers and {protocol.MAX_BUFFER_BYTES >> 20} MiB"
        )
    return pieces


def _after(pieces: list[Piece], sent: int) -> list[Piece]:
    """Return what is left of `pieces` after their first `sent` bytes."""
    for index, piece in enumerate(pieces):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *pieces[index + 1 :]]
        sent -= len(piece)
    return []


def _write_all(fd: int, text: str) -> None:
    data = memoryview(text.encode("utf-8", "backslashreplace"))
    while data:
        data = data[write(fd, data) :]


def _unread(fd: int) -> int:
    """Return the bytes that wait in the pipe `fd`; 0 for anything that cannot say."""
    try:
        return int(_COUNT.unpack(ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0])
    except OSError:
        return 0
