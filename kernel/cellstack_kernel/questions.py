"""Questions to the person: `input_request` on the stdin channel, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import zmq
import zmq.asyncio

if TYPE_CHECKING:
    from collections.abc import Sequence


class Questions:
    """The stdin channel of a kernel."""

    def __init__(self, socket: Any, session: Any, log: Any) -> None:
        self._socket = socket
        self._session = session
        self._log = log
        self._waiting: zmq.asyncio.Socket | None = None
        self._lock = asyncio.Lock()

    async def ask(self, prompt: str, idents: Sequence[bytes], parent: dict[str, Any], *, password: bool) -> str:
        """Ask the client that sent `parent` and return the answer. Whoever does not want it any more cancels this."""
        if self._waiting is None:
            self._waiting = zmq.asyncio.Socket.shadow(self._socket)
        async with self._lock:
            with contextlib.suppress(zmq.Again):
                while True:  # answers to questions that were given up
                    self._socket.recv_multipart(zmq.NOBLOCK)
            content = {"prompt": prompt, "password": password}
            self._session.send(self._socket, "input_request", content, parent, ident=list(idents))
            while True:
                answer = self._answer(await self._waiting.recv_multipart())
                if answer is not None:
                    return answer

    def _answer(self, frames: list[bytes]) -> str | None:
        try:
            _, parts = self._session.feed_identities(frames)
            message = self._session.deserialize(parts)
            value = message["content"]["value"]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._log.warning("an answer that is none was dropped: %s", error)
            return None
        if message["header"].get("msg_type") != "input_reply" or not isinstance(value, str):
            self._log.warning("an answer that is none was dropped")
            return None
        return value
