"""The debugger in one container: requests of the Debug Adapter Protocol go in, responses and events come out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from cellstack_guest.protocol import Message
    from cellstack_runtime.containers import CellContainer

LISTENING, REFUSED = "cellstack_listening", "cellstack_refused"
GOING_ON = ("continue", "next", "stepIn", "stepOut")


class Link:
    """The debugger in one container."""

    def __init__(self, container: CellContainer, on_event: Callable[[Link, Message], None]) -> None:
        self.container = container
        self.stopped: set[int] = set()
        self.attached = asyncio.Event()
        # What debugpy has answered to these two.
        self.initialized: Message = failure("debugpy does not answer; is it in the image?")
        self.attachment: Message = failure("debugpy does not answer; is it in the image?")
        self.closed = False
        self.idle = False  # a container that is kept for the next cell: nobody reads what it says meanwhile
        self._refusal = ""  # why there is no debugger in it
        self._on_event = on_event
        self._waiting: dict[int, tuple[str, asyncio.Future[Message]]] = {}  # by number, with the command
        self._events: dict[str, asyncio.Event] = {name: asyncio.Event() for name in (LISTENING, "initialized")}
        self._number = 0

    async def event(self, name: str) -> None:
        """Wait for one of the events that come once."""
        await self._events[name].wait()

    def ask(self, command: str, arguments: dict[str, Any]) -> asyncio.Future[Message]:
        """Send a request; the future is its response, one without success when the container ends before it."""
        self._number += 1
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        if self.closed or self._refusal:
            answer.set_result(failure(self._refusal or "the cell has ended"))
            return answer
        self._waiting[self._number] = command, answer
        message = {"type": "request", "seq": self._number, "command": command, "arguments": arguments}
        self.container.send({"type": "debug", "message": message})
        return answer

    def received(self, message: Message) -> None:
        """Take what came out of the container, which may be anything."""
        if message.get("type") == "response":
            number = message.get("request_seq")
            _, answer = self._waiting.pop(number, ("", None)) if isinstance(number, int) else ("", None)
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif message.get("type") == "event" and isinstance(message.get("event"), str):
            if message["event"] == REFUSED:
                self._refusal = str(body_of(message).get("text"))
                self._events[LISTENING].set()  # it is asked then, and answers with this
            elif message["event"] in self._events:
                self._events[message["event"]].set()
            self._on_event(self, message)

    def close(self) -> None:
        """Answer what is still asked: the container has ended."""
        self.closed = True
        for event in (*self._events.values(), self.attached):
            event.set()
        self._answer_all()

    def rest(self) -> None:
        """Answer what is still asked: the cell has ended, and nobody reads what its container says until the next."""
        self.idle = True
        self.stopped.clear()  # that a thread went on may not have been read
        self._answer_all()

    def _answer_all(self) -> None:
        for command, answer in self._waiting.values():
            if not answer.done():
                went_on = command in GOING_ON  # and came to its end before it was told
                answer.set_result(success({}) if went_on else failure("the cell has ended"))
        self._waiting.clear()


async def first(wanted: Coroutine[Any, Any, None], other: asyncio.Future[Message]) -> bool:
    """Wait for one of two; return whether it is the first."""
    task = asyncio.ensure_future(wanted)
    try:
        futures: set[asyncio.Future[Any]] = {task, other}
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        return task.done()
    finally:
        task.cancel()


def body_of(reply: Message) -> dict[str, Any]:
    """Return the body of a response, empty where it has none."""
    body = reply.get("body")
    return body if isinstance(body, dict) else {}


def success(body: dict[str, Any]) -> dict[str, Any]:
    """Return what a response says that answers a request."""
    return {"success": True, "body": body}


def failure(text: str) -> dict[str, Any]:
    """Return what a response says that has no answer; `text` is shown to the person."""
    return {"success": False, "message": text, "body": {}}
