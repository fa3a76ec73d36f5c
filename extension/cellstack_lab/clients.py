"""One browser: what it wants to be told, and what it has not taken yet."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

MAX_QUEUED = 256  # messages
SHORTEST = 0.5  # seconds between metrics, whatever is asked for
RESET = json.dumps({"type": "reset"})
All = Literal["all"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """Ids of sessions and containers, or all of them; interval: seconds between metrics."""

    sessions: frozenset[str] | All = frozenset()
    containers: frozenset[str] | All = frozenset()
    interval: float = 1.0

    @classmethod
    def parse(cls, message: Mapping[str, Any]) -> Subscription:
        """Return the subscription of a message that was checked."""
        sessions, containers = message["sessions"], message["containers"]
        return cls(
            "all" if sessions == "all" else frozenset(sessions),
            "all" if containers == "all" else frozenset(containers),
            max(SHORTEST, message["interval"]),
        )

    @property
    def wants_anything(self) -> bool:
        """Whether there is anything to be told."""
        return bool(self.sessions or self.containers)

    def has_session(self, session_id: str | None) -> bool:
        """Whether events of a session are wanted; None is that of a container without one."""
        return self.sessions == "all" or session_id in self.sessions

    def has_container(self, container_id: str) -> bool:
        """Whether events and metrics of a container are wanted."""
        return self.containers == "all" or container_id in self.containers


class Client:
    """Sends messages one after the other, each when the one before has left. One that is too slow is told to reset.

    fail: closes the connection, and says why.
    """

    def __init__(self, write: Callable[[str], Awaitable[object]], fail: Callable[[str], object]) -> None:
        self.fail = fail
        self.subscription = Subscription()
        self.due = 0.0  # when the next metrics are, on the loop's clock
        self._write = write
        self._queue: deque[tuple[bool, str]] = deque()  # whether it is metrics, and the message
        self._filled = asyncio.Event()
        self._sending = asyncio.create_task(self._send())

    def put(self, message: str, *, metrics: bool = False) -> None:
        """Have a message sent. Of metrics, only the newest are kept."""
        if metrics and self._queue and self._queue[-1][0]:
            self._queue.pop()
        if len(self._queue) >= MAX_QUEUED:
            self._queue.clear()
            message, metrics = RESET, False
        self._queue.append((metrics, message))
        self._filled.set()

    async def _send(self) -> None:
        while True:
            await self._filled.wait()
            while self._queue:
                await self._write(self._queue.popleft()[1])
            self._filled.clear()

    async def sent(self) -> None:
        """Return when this client can be told nothing more: its connection has gone."""
        await asyncio.wait({self._sending})

    def close(self) -> None:
        """Send nothing more."""
        self._sending.cancel()
