"""A cell's container as its client sees it: a socket, two pipes, a process, and how it ended."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import fcntl
import os
import signal
import socket
import sys
import termios
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellstack_guest.protocol import Decoder, Message, ProtocolError, encode
from cellstack_runtime import syscalls
from cellstack_runtime.client import close_quietly
from cellstack_runtime.clock import Clock
from cellstack_runtime.store import Changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellstack_runtime.limits import Limits
    from cellstack_runtime.workspace import Workspace

CHUNK = 1 << 18
MAX_QUEUED = 512  # frames; beyond it the cell waits until they are taken
MAX_QUEUED_BYTES = 16 * 2**20  # the same, of what has been read since there were none


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How a container ended.

    reason: finished, signal, oom, timeout, pids, interrupt, stuck, shutdown, protocol, zygote; stop or kill: from
    another process of the person.
    code: the process' exit code, None when a signal ended it. signal, signal_number: that signal, as in "SIGSEGV".
    """

    reason: str
    code: int | None = None
    signal: str | None = None
    signal_number: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """What is known of a container once it is gone. Memory in bytes, times in seconds.

    touched: whether another process of the person has sent it a signal, changed its limits, or run a program in it.
    """

    exit: ExitReport
    wall_seconds: float
    cpu_seconds: float
    memory_peak_bytes: int
    changes: Changes
    layer: str | None
    pids_refused: int = 0
    touched: bool = False


def exit_report(report: dict[str, Any]) -> ExitReport:
    """Return the exit report for the broker's answer to "finish"."""
    status = report["status"]
    code = name = None
    value = 0
    if status is not None:
        value = os.waitstatus_to_exitcode(status)
        code = value if value >= 0 else None
        name = signal_name(-value) if value < 0 else None
    reason = report["reason"]
    if reason is None:
        reason = "signal" if name else "finished"
        if report["pids_refused"] and (name or code):
            reason = "pids"
    return ExitReport(reason, code, name, -value if status is not None and value < 0 else None)


def signal_name(number: int) -> str:
    """Return "SIGSEGV", or "SIGRTMIN+6" for one of the real-time signals."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


def _waiting_bytes(fd: int) -> int:
    """Return how many bytes of a pipe or a socket can be read now."""
    size = fcntl.ioctl(fd, termios.FIONREAD, bytes(4))
    return int.from_bytes(size, sys.byteorder)


class CellContainer:
    """A container with a cell's process in it that waits for a request, and for more while these are kept in it."""

    def __init__(
        self, workspace: Workspace, layer: str, limits: Limits, answer: dict[str, Any], fds: Sequence[int]
    ) -> None:
        self._workspace = workspace
        self.id: str = answer["id"]
        self.layer = layer
        self.limits = limits
        self.namespaces: dict[str, int] = answer["namespaces"]
        self.cgroup: str | None = answer["cgroup"]
        self.enforced_by: dict[str, str] = answer["enforced_by"]
        sock, self._out, self._err, self._pidfd, self._init_pidfd = fds
        self.pid = syscalls.pid_of(self._pidfd)
        self._socket = socket.socket(fileno=sock)
        self._socket.setblocking(False)
        os.set_blocking(self._out, False)
        os.set_blocking(self._err, False)
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder()
        self._text = {fd: codecs.getincrementaldecoder("utf-8")("replace") for fd in (self._out, self._err)}
        self._frames: deque[tuple[Message, list[bytes]] | None] = deque()
        self._read = 0  # bytes, since no frame has waited
        self._arrived = asyncio.Event()
        self._paused = False
        self._unsent: deque[memoryview] = deque()
        self.clock = Clock(limits.timeout, lambda: self.kill("timeout"))
        self._killed: str | None = None
        self._cpu, self._refused = 0.0, 0  # what earlier requests have used, and how many processes they did not get
        self._closed = False
        self._watch()
        self._watch_death()

    # -- talking -----------------------------------------------------------------------------------------------

    def send(self, message: Message, buffers: Sequence[bytes] = ()) -> None:
        """Send a message; never blocks. The first one starts the clock of the wall-time limit."""
        first = self.clock.is_new
        if first:
            self.clock.start()
        waiting = bool(self._unsent)
        self._unsent.extend(memoryview(piece).cast("B") for piece in encode(message, buffers))
        if not waiting:
            self._flush()
        if first and "code" in message:
            self._workspace.began(self, message["code"])

    def _flush(self) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its death is told by `receive`
            while self._unsent:
                try:
                    sent = self._socket.send(self._unsent[0])
                except BlockingIOError:
                    self._loop.add_writer(self._socket.fileno(), self._flush)
                    return
                self._unsent[0] = self._unsent[0][sent:]
                if not self._unsent[0]:
                    self._unsent.popleft()
        self._unsent.clear()
        self._loop.remove_writer(self._socket.fileno())

    async def receive(self) -> tuple[Message, list[bytes]] | None:
        """Return the next message with its buffers; None once the cell's process is gone.

        What is written to the descriptors 1 and 2 arrives as stream messages, all of it before the reply.
        """
        while not self._frames:
            self._arrived.clear()
            self._read = 0
            if self._paused:
                self._watch()
            await self._arrived.wait()
        return self._frames.popleft()

    def put_back(self, frames: Sequence[tuple[Message, list[bytes]] | None]) -> None:
        """Have these received again, before all others."""
        self._frames.extendleft(reversed(frames))

    def _watch(self) -> None:
        self._paused = False
        self._loop.add_reader(self._socket.fileno(), self._on_socket)
        self._loop.add_reader(self._out, self._on_output, self._out, "stdout")
        self._loop.add_reader(self._err, self._on_output, self._err, "stderr")

    def _unwatch(self) -> None:
        for fd in (self._socket.fileno(), self._out, self._err):
            self._loop.remove_reader(fd)

    def _watch_death(self) -> None:
        self._loop.add_reader(self._pidfd, self._on_death)
        # Its death is that of all processes, whatever process the zygote has named as the cell's.
        self._loop.add_reader(self._init_pidfd, self._on_death)

    def _unwatch_death(self) -> None:
        for fd in (self._pidfd, self._init_pidfd):
            self._loop.remove_reader(fd)

    def _put(self, frame: tuple[Message, list[bytes]] | None) -> None:
        self._frames.append(frame)
        self._arrived.set()
        if (len(self._frames) > MAX_QUEUED or self._read > MAX_QUEUED_BYTES) and not self._paused:
            self._paused = True
            self._unwatch()

    def _on_socket(self) -> None:
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket.fileno())
            return
        self._read += len(data)
        try:
            for message, buffers in self._decoder.feed(data):
                if message["type"] == "reply":
                    self._drain_output()
                    self.clock.stop()
                self._put((message, buffers))
        except ProtocolError:
            self._loop.remove_reader(self._socket.fileno())
            self.kill("protocol")

    def _on_output(self, fd: int, name: str, size: int = CHUNK) -> None:
        try:
            data = os.read(fd, size)
        except BlockingIOError:
            return
        self._read += len(data)
        text = self._text[fd].decode(data, final=not data)
        if text:
            self._put(({"type": "stream", "name": name, "text": text}, []))
        if not data:
            self._loop.remove_reader(fd)

    def _drain_output(self) -> None:
        """Read what there is now; a process that is left may write for ever."""
        for fd, name in ((self._out, "stdout"), (self._err, "stderr")):
            self._on_output(fd, name, _waiting_bytes(fd) or 1)

    def _on_death(self) -> None:
        self._unwatch_death()
        self._unwatch()
        self.clock.stop()
        with contextlib.suppress(OSError, ProtocolError):
            data = self._socket.recv(_waiting_bytes(self._socket.fileno()))
            for frame in self._decoder.feed(data):
                self._put(frame)
        self._drain_output()
        self._unwatch()
        self._put(None)
        self._paused = False

    # -- ending ------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Send SIGINT to the cell's process."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGINT)
        self._workspace.unpause(self)

    def kill(self, reason: str) -> None:
        """Kill every process of the container; the first reason is the one that is reported."""
        self._killed = self._killed or reason
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._init_pidfd, signal.SIGKILL)
        self._workspace.unpause(self)

    async def so_far(self) -> Finished:
        """Return what is known once a request was answered; the next one to be sent starts the clock anew."""
        report = await self._workspace.look(self)
        wall = self.clock.seconds
        self.clock.reset()
        used = report.get("cpu") or 0.0
        cpu, self._cpu = used - self._cpu, used
        total = report.get("pids_refused") or 0
        refused, self._refused = total - self._refused, total
        return Finished(
            exit=ExitReport("finished"),
            wall_seconds=wall,
            cpu_seconds=cpu,
            memory_peak_bytes=report.get("peak") or 0,
            changes=Changes(),
            layer=None,
            pids_refused=refused,
        )

    async def commit(
        self,
        *,
        state: str | None,
        cell: dict[str, Any],
        parent: str | None,
        beside: bool = False,
        keep_unchanged: bool = True,
    ) -> Finished:
        """End the container and make its changes a layer on `parent`; that layer becomes head, unless it is `beside`.

        Without `keep_unchanged` there is a layer only if a file has changed.
        """
        return await self._workspace.finish(
            self, state=state, cell=cell, parent=parent, beside=beside, keep_unchanged=keep_unchanged
        )

    async def discard(self) -> Finished:
        """End the container; nothing of it remains."""
        return await self._workspace.finish(self, state=None, cell=None, parent=None)

    def finished(self, report: dict[str, Any]) -> Finished:
        """Close what is open and return what is known, from the broker's report."""
        if self._killed and report["reason"] is None:
            report["reason"] = self._killed
        self.close()
        return Finished(
            exit=exit_report(report),
            wall_seconds=self.clock.seconds,
            cpu_seconds=report["cpu"] or 0.0,
            memory_peak_bytes=report["peak"] or 0,
            changes=Changes(*report.get("changes", ())),
            layer=self.layer if "changes" in report and not report["dropped"] else None,
            pids_refused=report["pids_refused"],
            touched=report["touched"],
        )

    def close(self) -> None:
        """Let go of the descriptors."""
        if self._closed:
            return
        self._closed = True
        self.clock.stop()
        self._workspace.forget(self)
        self._unwatch()
        self._unwatch_death()
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for fd in (self._out, self._err, self._pidfd, self._init_pidfd):
            close_quietly(fd)
