"""The iopub channel without a thread of its own.

ipykernel sends from a thread, because its main thread runs the cells. Here that one only waits for them, and a thread
between a message and its socket would cost two switches for each message.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from tornado.ioloop import IOLoop
from zmq.eventloop.zmqstream import ZMQStream

if TYPE_CHECKING:
    from collections.abc import Sequence

SUBSCRIBED = 1  # first byte of what an XPUB socket receives; the topic follows


class Publisher:
    """Sends on an XPUB socket. Stands for ipykernel's IOPubThread, and for the socket that this offers to others."""

    def __init__(self, socket: Any, session: Any) -> None:
        self.socket: Any = socket
        self._session = session
        self._loop = IOLoop.current()
        self._stream = ZMQStream(socket, self._loop)
        self._stream.on_recv(self._welcome)

    def send_multipart(self, frames: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        """Send at once; from another thread, of the control channel, as soon as the main loop comes to it."""
        if threading.current_thread() is threading.main_thread():
            self._send(frames, *args, **kwargs)
        else:
            self._loop.add_callback(partial(self._send, frames, *args, **kwargs))

    def _send(self, frames: Sequence[Any], *args: Any, **kwargs: Any) -> None:
        if self.socket is not None:
            self.socket.send_multipart(frames, *args, **kwargs)

    def _welcome(self, frames: list[bytes]) -> None:
        """Tell a new subscriber that it is one (JEP 65)."""
        for frame in frames:
            if frame[0] != SUBSCRIBED:
                continue
            topic = frame[1:].decode(errors="replace")
            message = self._session.msg("iopub_welcome", {"subscription": topic})
            self._send([*([frame[1:]] if topic else []), *self._session.serialize(message)])

    def stop(self) -> None:
        """Nothing runs that would have to be stopped."""

    def close(self) -> None:
        """Close the socket."""
        if self.socket is not None:
            self._stream.close()
            self.socket = None
