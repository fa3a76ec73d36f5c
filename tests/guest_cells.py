"""Cells without containers: a warm guest process, and forks of it that serve one request each."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cellstack_guest import protocol

if TYPE_CHECKING:
    from collections.abc import Callable

RUNTIME = str(Path(__file__).resolve().parents[1] / "runtime")
PATIENCE = 30.0  # seconds

SERVER = """
import json, os, socket, sys
sys.path.insert(0, sys.argv[2])
control = socket.socket(fileno=int(sys.argv[1]))
from cellstack_guest import baseline, cell, patches, tables
cell = cell.warm(preload=sys.argv[3:])
tables.pin()
cell.baseline = baseline.of(tables.Twin())
control.send(b"warm")
while True:
    try:
        data, fds, _, _ = socket.recv_fds(control, 65536, 8)
    except ConnectionResetError:
        data = b""
    if not data:
        os._exit(0)
    order = json.loads(data)
    pid = os.fork()
    if pid == 0:
        control.close()
        sock, out, err = fds
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        os.setsid()
        os.chdir(order["folder"])
        patches.FOLDER = order["folder"]
        try:
            cell.serve(socket.socket(fileno=sock), order["state_root"], order["out"])
        except BaseException:
            import traceback
            os.write(2, traceback.format_exc().encode())
            os._exit(70)
        os._exit(0)
    control.send(str(pid).encode())
    os.waitpid(pid, 0)
    for fd in fds:
        os.close(fd)
    control.send(b"gone")
"""


@dataclass
class Run:
    """One request: its process, the frames so far, what came through descriptors 1 and 2."""

    sock: socket.socket
    pid: int
    pipes: dict[int, str]
    frames: list[dict[str, Any]] = field(default_factory=list)
    buffers: list[list[bytes]] = field(default_factory=list)
    text: dict[str, str] = field(default_factory=lambda: {"stdout": "", "stderr": ""})
    decoder: protocol.Decoder = field(default_factory=protocol.Decoder)
    order: list[str] = field(default_factory=list)

    def send(self, message: dict[str, Any], buffers: tuple[bytes, ...] = ()) -> None:
        for piece in protocol.encode(message, buffers):
            self.sock.sendall(piece)

    def interrupt(self) -> None:
        os.kill(self.pid, signal.SIGINT)

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Read until a frame of type `kind` with these fields arrives, and return it."""
        seen = 0
        deadline = time.monotonic() + PATIENCE
        while True:
            for frame in self.frames[seen:]:
                if frame["type"] == kind and all(frame.get(key) == value for key, value in fields.items()):
                    return frame
            seen = len(self.frames)
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"no {kind}: {self.frames} {self.text}")

    def _read(self, timeout: float) -> bool:
        waiting: list[Any] = [self.sock, *self.pipes]
        ready, _, _ = select.select(waiting, [], [], max(0, timeout))
        # A cell sends no frame before its pipes are empty: what is in both was in the socket first.
        ended = False
        if self.sock in ready:
            data = self.sock.recv(1 << 20)
            ended = not data
            for message, buffers in self.decoder.feed(data):
                self.frames.append(message)
                self.buffers.append(buffers)
                if message["type"] == "stream":
                    self.order.append(message["text"])
        for fd in [fd for fd in self.pipes if fd in ready]:
            data = os.read(fd, 65536)
            if data:
                self.text[self.pipes[fd]] += data.decode()
                self.order.append(data.decode())
            else:
                del self.pipes[fd]
                os.close(fd)
        return bool(ready) and not ended

    def finish(self) -> Self:
        self.until("reply")
        while self.pipes:
            self._read(PATIENCE)
        self.sock.close()
        return self

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    def stream(self, name: str) -> str:
        return "".join(frame["text"] for frame in self.all("stream") if frame["name"] == name)

    @property
    def stdout(self) -> str:
        return self.stream("stdout")

    @property
    def stderr(self) -> str:
        return self.stream("stderr")

    @property
    def result(self) -> str | None:
        results = self.all("execute_result")
        return results[-1]["data"]["text/plain"] if results else None

    @property
    def reply(self) -> dict[str, Any]:
        return self.all("reply")[-1]

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = self.reply["content"]
        return content

    @property
    def notices(self) -> list[str]:
        return [frame["text"] for frame in self.all("notice")]

    @property
    def traceback(self) -> str:
        return "\n".join(self.all("error")[-1]["traceback"])


class Cells:
    """A warm process that has imported the modules `preload`, and a notebook that runs in its forks."""

    def __init__(self, *preload: str) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(theirs.fileno()), RUNTIME, *preload], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        self._control = ours
        ours.settimeout(PATIENCE)
        assert ours.recv(16) == b"warm"
        self._folder = tempfile.TemporaryDirectory()
        self._running = False
        self.new()

    def new(self) -> None:
        """Start a new notebook."""
        self.root = tempfile.mkdtemp(dir=self._folder.name)
        self.folder = tempfile.mkdtemp(dir=self._folder.name)
        self.state: str | None = None
        self.count = 0
        self._layers = 0

    def start(self, kind: str = "execute", *, first: Callable[[Run], None] = lambda _: None, **fields: Any) -> Run:
        """Start a cell; `first` is done before its process is sent anything."""
        self._wait()
        self._layers += 1
        layer = f"layer{self._layers}"
        out = str(Path(self.root) / layer)
        os.mkdir(out)
        sock, theirs = socket.socketpair()
        pipes = [os.pipe(), os.pipe()]
        order = {"state_root": self.root, "out": out, "folder": self.folder}
        fds = [theirs.fileno(), pipes[0][1], pipes[1][1]]
        socket.send_fds(self._control, [json.dumps(order).encode()], fds)
        pid = int(self._control.recv(16))
        self._running = True
        theirs.close()
        for _, writer in pipes:
            os.close(writer)
        run = Run(sock, pid, {pipes[0][0]: "stdout", pipes[1][0]: "stderr"})
        request = {"type": kind, "state": self.state, "layer": layer, "execution_count": self.count + 1, **fields}
        first(run)
        run.send(request)
        return run

    def finish(self, run: Run) -> Run:
        run.finish()
        self.state = run.reply["state"]
        return run

    def run(self, code: str, **fields: Any) -> Run:
        """Run one cell to its end, on what the cells before it left."""
        run = self.finish(self.start("execute", code=code, **fields))
        if fields.get("store_history", True) and not fields.get("silent"):
            self.count += 1
        return run

    def shell(self, code: str) -> Run:
        run = self.finish(self.start("shell", code=code))
        self.count += 1
        return run

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        return self.start(kind, **fields).finish().content

    def _wait(self) -> None:
        if self._running:
            assert self._control.recv(16) == b"gone"
            self._running = False

    def close(self) -> None:
        self._control.close()
        self._process.wait()
        self._folder.cleanup()
