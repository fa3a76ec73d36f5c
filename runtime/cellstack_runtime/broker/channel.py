"""Small JSON messages with descriptors, over a SOCK_SEQPACKET socket (one packet, one message)."""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BYTES = 1 << 20
MAX_DESCRIPTORS = 64
_SIZE = int(socket.MSG_PEEK | socket.MSG_TRUNC)  # what recv then returns is the size of the whole packet
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)
_CUT = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
_ROOM = socket.CMSG_LEN(MAX_DESCRIPTORS * array.array("i").itemsize)


class Channel:
    """One end of a SOCK_SEQPACKET pair. EOFError: the other end is gone. ValueError: what came is no message."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._first = bytearray(1)

    def fileno(self) -> int:
        """Return the descriptor, for selectors."""
        return self.sock.fileno()

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send one message; EOFError when nobody is there to read it, ValueError when it is too large."""
        data = json.dumps(message, separators=(",", ":")).encode()
        if len(data) > MAX_BYTES:
            raise ValueError(f"message of {len(data)} bytes; {MAX_BYTES} is the most")
        try:
            socket.send_fds(self.sock, [data], list(fds))
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError("the other end is gone") from None

    def receive(self) -> tuple[dict[str, Any], list[int]]:
        """Return the next message and its descriptors (close-on-exec)."""
        try:
            size = self.sock.recv_into(self._first, 1, _SIZE)
            data, ancillary, flags, _ = self.sock.recvmsg(min(size, MAX_BYTES), _ROOM, _CLOEXEC)
        except ConnectionResetError:
            raise EOFError("the other end is gone") from None
        if not data:
            raise EOFError("the other end is gone")
        fds = array.array("i")
        for _, _, rights in ancillary:
            fds.frombytes(rights[: len(rights) // fds.itemsize * fds.itemsize])
        if flags & _CUT:
            close_all(fds)
            raise ValueError(f"message of more than {MAX_BYTES} bytes or {MAX_DESCRIPTORS} descriptors")
        try:
            return dict(json.loads(data).items()), list(fds)
        except (ValueError, AttributeError, RecursionError):
            close_all(fds)
            raise ValueError("message is not an object") from None

    def close(self) -> None:
        """Close this end."""
        self.sock.close()


def pair() -> tuple[Channel, Channel]:
    """Return the two ends of a new channel, with room for messages of MAX_BYTES."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_BYTES)
    return Channel(ends[0]), Channel(ends[1])


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors of a message that is not used; one already closed is fine."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
