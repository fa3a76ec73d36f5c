"""Questions to the person: `input_request` on the stdin channel, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import zmq
import zmq.asyncio

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class _Asked:
    """A question that has no answer yet. told: the clients that have been asked."""

    content: dict[str, Any]
    parent: dict[str, Any]
    told: list[list[bytes]] = field(default_factory=list)


class Questions:
    """The stdin channel of a kernel."""

    def __init__(self, socket: Any, session: Any, log: Any) -> None:
        self._socket = socket
        self._session = session
        self._log = log
        self._waiting: zmq.asyncio.Socket | None = None
        self._lock = asyncio.Lock()
        self._asked: _Asked | None = None
        self._looking: list[bytes] = []  # the client that came last

    async def ask(self, prompt: str, idents: Sequence[bytes], parent: dict[str, Any], *, password: bool) -> str:
        """Ask the client that sent `parent`, and the one that looks on, and return the first answer.

        Whoever does not want it any more cancels this.
        """
        if self._waiting is None:
            self._waiting = zmq.asyncio.Socket.shadow(self._socket)
        async with self._lock:
            with contextlib.suppress(zmq.Again):
                while True:  # answers to questions that were given up
                    self._socket.recv_multipart(zmq.NOBLOCK)
            self._asked = _Asked({"prompt": prompt, "password": password}, parent)
            try:
                self._tell(list(idents))
                if self._looking:
                    self._tell(self._looking)
                while (answer := self._answer(await self._waiting.recv_multipart())) is None:
                    pass
            finally:
                self._asked = None
            return answer

    def looks(self, idents: Sequence[bytes]) -> None:
        """Have a client asked, too, what another one is asked: the page of that one may be gone."""
        self._looking = list(idents)
        self._tell(self._looking)

    def _tell(self, idents: list[bytes]) -> None:
        asked = self._asked
        if asked is not None and idents not in asked.told:
            asked.told.append(idents)
            self._session.send(self._socket, "input_request", asked.content, asked.parent, ident=idents)

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
