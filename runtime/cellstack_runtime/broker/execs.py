"""Programs that join a container which runs: `cellstack exec`.

init forks them, which is inside of all namespaces and cgroups already: nothing of the host enters, and they end with
the container. They may do what the container's own program may (`Container.program`), whoever asks. Nothing is made for
them that outlives their container, which is written down: so there is nothing to write down for them.
"""

from __future__ import annotations

import itertools
import signal
from typing import TYPE_CHECKING, Any

from cellstack_runtime.broker.channel import close_all
from cellstack_runtime.broker.outside import ContainerError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from cellstack_runtime.broker.containers import Container
    from cellstack_runtime.broker.loop import Event

TERM = "xterm"  # as docker


class Execs:
    """The programs that have joined `container`."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._numbers = itertools.count()
        self._running: dict[int, tuple[Event, Event]] = {}  # by number: started and exited

    def join(
        self, message: dict[str, Any], answer: Callable[..., None], fds: Sequence[int]
    ) -> Generator[Event, Any, None]:
        """Start a program and answer that it has, then how it ended: {"exited": wait status}.

        message: {"args", "env", "cwd", "size"}; env is added to the container's, cwd None is the container's. size is
        the rows and columns of a new terminal, whose master goes with the first answer; without one, `fds` become 0, 1
        and 2.
        """
        container = self._container
        if container.outside.paused:
            raise ContainerError("it is paused, and nothing could run in it; unpause it first")
        if container.channel is None:
            raise ContainerError("it has ended")
        own, loop = container.program, container.broker.loop
        number = next(self._numbers)
        started, exited = self._running[number] = loop.event(), loop.event()
        env = {**own["env"], **({"TERM": TERM} if message["size"] else {}), **message["env"]}
        program = {**own, "exec": number, "args": message["args"], "env": env, "size": message["size"]}
        try:
            container.channel.send({**program, "cwd": message["cwd"] or own["cwd"]}, fds)
        except EOFError:
            raise ContainerError("it has ended") from None
        told, terminal = yield started
        if "error" in told:
            raise ContainerError(f"nothing could be started in it: {told['error']}")
        answer({"pid": told["started"]}, terminal)
        close_all(terminal)
        answer({"exited": (yield exited)})

    def on_message(self, message: dict[str, Any], fds: list[int]) -> None:
        """Take what init says of one of them."""
        started, exited = self._running[message["exec"]]
        if "exited" in message:
            del self._running[message["exec"]]
            exited.set(message["exited"])
        else:
            if "error" in message:
                del self._running[message["exec"]]
            started.set((message, fds))

    def lost(self) -> None:
        """Have them ended: init is dead, and so is the container."""
        for started, exited in self._running.values():
            started.set(({"error": "it has ended"}, []))
            exited.set(signal.SIGKILL)
        self._running.clear()
