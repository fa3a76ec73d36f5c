"""Questions to the person: `input_request` on the stdin channel, one at a time.

Several pages may show one question, and a page may have missed it. One that looks on is told the open question in the
answer to what it asks about outputs, and by `cellstack_question_over` that another page has answered it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import zmq
import zmq.asyncio

from cellstack_kernel.requests import NoMessageError, parsed

if TYPE_CHECKING:
    from collections.abc import Sequence

END_OF_FILE = "\x04"  # an answer for which `input` raises EOFError
MAX_LOOKING = 100  # clients; those of pages that are gone are not told from the others


class Questions:
    """The stdin channel of a kernel."""

    def __init__(self, socket: Any, session: Any, log: Any) -> None:
        self._socket = socket
        self._session = session
        self._log = log
        self._waiting: zmq.asyncio.Socket | None = None
        self._lock = asyncio.Lock()
        self._asked: dict[str, Any] | None = None  # the message
        self._over: set[str] = set()  # the ids of messages that want no answer any more
        self._looking: list[list[bytes]] = []  # clients, the one that came last at the end

    async def ask(self, prompt: str, idents: Sequence[bytes], parent: dict[str, Any], *, password: bool) -> str:
        """Ask the client that sent `parent`, and the one that looks on, and return the first answer.

        Whoever does not want it any more cancels this. An answer that says what it answers counts for nothing else.
        """
        if self._waiting is None:
            self._waiting = zmq.asyncio.Socket.shadow(self._socket)
        async with self._lock:
            with contextlib.suppress(zmq.Again):
                while True:  # answers to questions that were given up
                    self._socket.recv_multipart(zmq.NOBLOCK)
            asked = self._session.msg("input_request", {"prompt": prompt, "password": password}, parent)
            self._asked = asked
            answered: list[bytes] = []
            try:
                for told in [list(idents), *[last for last in self._looking[-1:] if last != list(idents)]]:
                    self._session.send(self._socket, dict(asked), ident=told)  # which adds to it
                while True:
                    answered, answer = self._answer(await self._waiting.recv_multipart())
                    if answer is not None:
                        return answer
            finally:
                self._asked = None
                self._over.add(asked["header"]["msg_id"])
                content = {"question": asked["header"]["msg_id"]}
                for told in self._looking:
                    if told != answered:
                        self._session.send(self._socket, "cellstack_question_over", content, parent, ident=told)

    def looks(self, idents: Sequence[bytes]) -> dict[str, Any] | None:
        """Return the question that is open: the page that was asked may be gone. This client is asked the next ones."""
        client = list(idents)
        self._looking = [*[other for other in self._looking if other != client][1 - MAX_LOOKING :], client]
        return self._asked

    def _answer(self, frames: list[bytes]) -> tuple[list[bytes], str | None]:
        """Return who has answered, and the answer; None when it is none to what is asked now."""
        try:
            idents, message = parsed(self._session, frames)
        except NoMessageError as error:
            self._log.warning("an answer that is none was dropped: %s", error)
            return [], None
        question = message["parent_header"].get("msg_id")  # which not every client says
        if message["header"]["msg_type"] != "input_reply":
            self._log.warning("an answer that is none was dropped")
            return [], None
        if isinstance(question, str) and question in self._over:
            self._log.warning("an answer to a question that was over was dropped")
            return [], None
        value = message["content"].get("value")
        return idents, END_OF_FILE if value is None else str(value)
