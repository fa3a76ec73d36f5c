"""The iopub channel without a thread of its own, and with back-pressure.

ipykernel sends from a thread, because its main thread runs the cells. Here that one only waits for them, and a thread
between a message and its socket would cost two switches for each message.

Guarantees:
- Messages leave in the order in which they were given to `send_multipart`, which never blocks.
- A reader that is slower than a cell gets everything: what does not fit into its queue waits here, and whoever forwards
  a cell's output waits for `drained`, so that the cell waits too. Text that waits is joined with what follows it in its
  stream: a slow reader takes its time for each message, whatever the length.
- A reader that takes nothing for `PATIENCE_SECONDS` loses what does not fit into its queue, and the others nothing,
  until there is room again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zmq
from tornado.ioloop import IOLoop

if TYPE_CHECKING:
    from collections.abc import Sequence

SUBSCRIBED = 1  # first byte of what an XPUB socket receives; the topic follows
QUEUED_MESSAGES = 64  # of one reader, in libzmq; text comes in messages of up to 1 MiB
WAITING_BYTES = 2**20
MAX_TEXT = 2**20  # characters, to which no more are joined
PATIENCE_SECONDS = 10.0


@dataclass(slots=True)
class _Text:
    """Text of one stream, under one header, that waits."""

    name: str
    parent: dict[str, Any] | None
    ident: bytes
    pieces: list[str]
    size: int

    def takes(self, name: str, parent: dict[str, Any] | None, ident: bytes) -> bool:
        """Tell whether what follows can be joined to this."""
        same = self.name == name and self.parent is parent and self.ident == ident
        return same and self.size < MAX_TEXT


class Publisher:
    """Sends on an XPUB socket. Stands for ipykernel's IOPubThread, and for the socket that this offers to others."""

    def __init__(self, socket: Any, session: Any) -> None:
        self.socket: Any = socket
        self._session = session
        self._loop: asyncio.AbstractEventLoop = IOLoop.current().asyncio_loop  # type: ignore[attr-defined]
        self._waiting: deque[list[Any] | _Text] = deque()
        self._bytes = 0
        self._drained = asyncio.Event()
        self._drained.set()
        self._patience: asyncio.TimerHandle | None = None
        self._impatient = False  # whether a reader has taken nothing for so long that nobody waits for it any more
        socket.sndhwm = QUEUED_MESSAGES
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._loop.add_reader(socket.getsockopt(zmq.FD), self._on_event)

    def send_multipart(self, frames: Sequence[Any], *_args: Any, **_options: Any) -> None:
        """Send, at once if every reader has room for it."""
        if self.socket is not None:
            self._put(list(frames))

    def send_text(self, name: str, text: str, parent: dict[str, Any] | None, ident: bytes) -> None:
        """Send text of the stream `name`."""
        if self.socket is None:
            return
        last = self._waiting[-1] if self._waiting else None
        if isinstance(last, _Text) and last.takes(name, parent, ident):
            last.pieces.append(text)
            last.size += len(text)
            self._bytes += len(text)
            self._hold_back()
        else:
            self._put(_Text(name, parent, ident, [text], len(text)))

    def _put(self, item: list[Any] | _Text) -> None:
        self._waiting.append(item)
        self._bytes += _size(item)
        if len(self._waiting) == 1:
            self._on_event()
        self._hold_back()

    def _hold_back(self) -> None:
        """Have those wait who wait for `drained`, if there is much to be sent."""
        if self._waiting and self._bytes >= WAITING_BYTES:
            self._drained.clear()

    async def drained(self, *, wholly: bool = False) -> None:
        """Return when less than `WAITING_BYTES` wait to be sent; wholly: when nothing does."""
        if wholly and self._waiting:
            self._drained.clear()
        await self._drained.wait()

    def _on_event(self) -> None:
        """Take what has arrived and send what waits.

        The socket's descriptor tells of a change once, and any call on the socket may be the one that takes note of it:
        hence all is looked at again after each of them.
        """
        while self.socket is not None:
            if self.socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
                self._welcome(self.socket.recv_multipart())
            elif not self._waiting:
                break
            else:
                if not self._send(self._first()):
                    self._patience = self._patience or self._loop.call_later(PATIENCE_SECONDS, self._lose_patience)
                    return
                self._bytes -= _size(self._waiting.popleft())
        self._drained.set()

    def _first(self) -> list[Any]:
        """Return the frames of what is to be sent first; nothing is joined to them any more."""
        item = self._waiting[0]
        if isinstance(item, _Text):
            content = {"name": item.name, "text": "".join(item.pieces)}
            frames = self._session.serialize(self._session.msg("stream", content, item.parent), item.ident)
            self._bytes += _size(frames) - item.size
            self._waiting[0] = item = frames
        return item

    def _send(self, frames: list[Any]) -> bool:
        """Send one message; return False when a reader has no room for it and there is patience left."""
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            if not self._impatient:
                return False
            self.socket.setsockopt(zmq.XPUB_NODROP, 0)
            self.socket.send_multipart(frames, zmq.NOBLOCK)
            self.socket.setsockopt(zmq.XPUB_NODROP, 1)
            return True
        self._impatient = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        return True

    def _lose_patience(self) -> None:
        self._patience, self._impatient = None, True
        self._on_event()

    def _welcome(self, frames: list[bytes]) -> None:
        """Tell a new subscriber that it is one (JEP 65)."""
        for frame in frames:
            if frame[:1] != bytes([SUBSCRIBED]):
                continue
            topic = frame[1:].decode(errors="replace")
            message = self._session.msg("iopub_welcome", {"subscription": topic})
            parts = [*([frame[1:]] if topic else []), *self._session.serialize(message)]
            self._waiting.appendleft(parts)  # what waits goes to it, too, and is not the first that it hears
            self._bytes += _size(parts)

    def stop(self) -> None:
        """Nothing runs that would have to be stopped."""

    def close(self) -> None:
        """Close the socket."""
        if self.socket is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self.socket.getsockopt(zmq.FD))
            self.socket.close()
            self.socket = None


def _size(item: Sequence[Any] | _Text) -> int:
    return item.size if isinstance(item, _Text) else sum(len(frame) for frame in item)
