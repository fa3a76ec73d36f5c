"""What a cell receives while it runs, and Jupyter's comms on top of it.

A comm is a channel between an object in the cell and its view in the front end (ipywidgets). `comm_open`,
`comm_msg` and `comm_close` travel as frames of type "comm". Incoming ones are handled when the cell waits:
for `input()`, or in an event loop.
"""

from __future__ import annotations

import contextlib
import select
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from cellstack_guest import protocol

try:
    import comm
    import comm.base_comm
except ImportError:  # an image without ipywidgets needs none
    comm = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import socket

    from cellstack_guest.outputs import Outputs

RECEIVE_BYTES = 2**18
POLL_MILLISECONDS = 200
DONT_WAIT = 0x40  # socket.MSG_DONTWAIT
KEY = "comm:"  # and its id: the key under which a comm is carried, as an object that no variable need have
TARGET = "comm-target:"  # and its name: the key of what is called when a front end opens a comm for it
_known_targets: dict[str, Any] = {}
_KINDS = ("comm_open", "comm_msg", "comm_close")


class Inbox:
    """The receiving side of a cell's socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._decoder = protocol.Decoder()
        self._frames: deque[tuple[protocol.Message, list[bytes]]] = deque()
        self._lock = threading.RLock()
        self.taken: list[int] = []  # the numbers of the comm messages that a comm of this process has had

    def receive(self) -> tuple[protocol.Message, list[bytes]]:
        """Wait for the next frame; EOFError when the host has gone."""
        while not self._frames:
            self._feed(0)
        return self._frames.popleft()

    @property
    def has_frames(self) -> bool:
        """Whether `receive` has something to return at once."""
        return bool(self._frames)

    def take(self, count: int) -> None:
        """Handle as many comm messages, which are on their way."""
        with self._lock:
            for _ in range(count):
                self._handle(*self.receive(), sole=True)

    def _handle(self, message: protocol.Message, buffers: list[bytes], *, sole: bool = False) -> None:
        if handle(message, buffers, sole=sole) and type(message.get("number")) is int:
            self.taken.append(message["number"])

    def wait_for(self, kind: str) -> protocol.Message:
        """Wait for a frame of type `kind`, handling comm messages meanwhile; EOFError when the host has gone."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        with self._lock:
            while True:
                # A signal that comes right before a system call does not interrupt it: none may wait for ever.
                while not self._frames and not poll.poll(POLL_MILLISECONDS):
                    pass
                message, buffers = self.receive()
                if message["type"] == kind:
                    return message
                self._handle(message, buffers)

    def detach_decoder(self) -> protocol.Decoder:
        """Give away what of the next frame has come, to whoever reads the socket from now on."""
        decoder, self._decoder = self._decoder, protocol.Decoder()
        return decoder

    def poll(self) -> None:
        """Handle the comm messages that have arrived, without waiting."""
        with self._lock:
            with contextlib.suppress(BlockingIOError):
                self._feed(DONT_WAIT)
            while self._frames:
                self._handle(*self._frames.popleft())

    def forget(self, kind: str) -> None:
        """Drop frames of type `kind` that have arrived unasked: answers to a question that was interrupted."""
        with self._lock:
            with contextlib.suppress(BlockingIOError):
                self._feed(DONT_WAIT)
            self._frames = deque(frame for frame in self._frames if frame[0]["type"] != kind)

    def _feed(self, flags: int) -> None:
        data = self.sock.recv(RECEIVE_BYTES, flags)
        if not data:
            raise EOFError("the kernel has gone")
        self._frames.extend(self._decoder.feed(data))


def handle(message: protocol.Message, buffers: list[bytes], *, sole: bool = False) -> bool:
    """Give an incoming comm message to its comm, and return whether there is one.

    sole: no other process is going to be offered it, so that a comm is closed, and an error logged, where nothing here
    answers to the target that it opens. Anything else that comes unasked is dropped.
    """
    kind = message.get("msg_type")
    if comm is None or message["type"] != "comm" or kind not in _KINDS:
        return False
    manager = comm.get_comm_manager()
    content = message.get("content") or {}
    if kind == "comm_open":
        if not sole and content.get("target_name") not in manager.targets:
            return False
    elif content.get("comm_id") not in manager.comms:
        return False
    envelope = {
        "header": {"msg_type": kind},
        "msg_type": kind,
        "content": content,
        "metadata": message.get("metadata") or {},
        "buffers": [memoryview(buffer) for buffer in buffers],  # as they come from ZeroMQ
    }
    getattr(manager, kind)(None, None, envelope)
    return True


class Comm(comm.base_comm.BaseComm if comm is not None else object):  # type: ignore[misc]
    """A comm of this cell. One that is carried to another cell goes on there, without being opened anew."""

    outputs: Outputs

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: list[bytes] | None = None,
        **keys: Any,
    ) -> None:
        """Send one message to the front end."""
        self.outputs.send(
            {
                "type": "comm",
                "msg_type": msg_type,
                "content": {"data": data or {}, "comm_id": self.comm_id, **keys},
                "metadata": metadata or {},
            },
            buffers or (),
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not self._closed:  # a copy that is only looked at does not take the place of the one that is there
            comm.get_comm_manager().comms.setdefault(self.comm_id, self)

    def __del__(self) -> None:
        """Close nothing: a copy that goes is not the end of the comm, and the manager holds the others."""


def opened() -> dict[str, Any]:
    """Return the comms that are open in this process, by the key that each is carried under."""
    return {} if comm is None else {f"{KEY}{name}": each for name, each in comm.get_comm_manager().comms.items()}


def targets() -> dict[str, Any]:
    """Return what cells have registered for comms that a front end opens, by the key that each is carried under."""
    if comm is None:
        return {}
    registered = comm.get_comm_manager().targets.items()
    return {f"{TARGET}{name}": called for name, called in registered if _known_targets.get(name) is not called}


def learn_targets() -> None:
    """Take what is registered now for that of libraries, whose imports register it in every process."""
    if comm is not None:
        _known_targets.clear()
        _known_targets.update(comm.get_comm_manager().targets)


def register(key: str, called: Any) -> None:
    """Register what was carried."""
    if comm is not None:
        comm.get_comm_manager().targets[key[len(TARGET) :]] = called


def manager_class() -> type | None:
    """Return the class that keeps a kernel's comms, None where there is no `comm` package."""
    return None if comm is None else comm.base_comm.CommManager


def install(outputs: Outputs) -> Any:
    """Make the `comm` package, if there is one, send over `outputs`; return its manager, else None."""
    if comm is None:
        return None
    Comm.outputs = outputs
    manager = comm.base_comm.CommManager()
    comm.create_comm = Comm
    comm.get_comm_manager = lambda: manager
    return manager
