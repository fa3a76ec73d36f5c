"""What the person asks of a broker's containers from another process: stop, kill, pause, change limits, wait, exec.

The broker listens on `control` in its run's directory, which only the person may enter, and answers only its own user.
(No container has that directory, unless the person mounts the store into it, which gives away everything.) One message
is one request, answered by one message; each end may close at any time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from typing import TYPE_CHECKING, Any

from cellstack_runtime.broker.channel import Channel, close_all
from cellstack_runtime.broker.outside import ContainerError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from cellstack_runtime.broker.containers import Container
    from cellstack_runtime.broker.loop import Event
    from cellstack_runtime.broker.server import Broker

    Answer = Callable[..., None]  # takes a message, and descriptors that go with it
    Steps = Generator[Event, Any, None]

NAME = "control"
TOUCHING = ("stop", "kill", "limits", "exec")  # what changes how a program goes on
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7)


class Control:
    """Serves requests for the containers of `broker`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        folder = os.open(broker.run_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._listener.bind(
                f"/proc/self/fd/{folder}/{NAME}"
            )  # the path itself may be longer than a socket's may be
        finally:
            os.close(folder)
        self._listener.listen()
        broker.loop.readable(self._listener.fileno(), self._on_connection)

    def _on_connection(self) -> None:
        sock, _ = self._listener.accept()
        data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(data)
        if uid != os.geteuid():
            sock.close()
            return
        channel = Channel(sock)
        self._broker.loop.readable(channel.fileno(), lambda: self._on_message(channel))

    def _on_message(self, channel: Channel) -> None:
        try:
            message, fds = channel.receive()
        except (EOFError, ValueError):
            self._broker.loop.forget(channel.fileno())
            channel.close()
            return

        def answer(what: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
            with contextlib.suppress(EOFError, OSError):  # it has not waited
                channel.send(what, descriptors)

        self._broker.loop.start(self._serve(message, fds, answer))

    def _serve(self, message: dict[str, Any], fds: list[int], answer: Answer) -> Steps:
        try:
            container = self._running(message)
            operations: dict[Any, Callable[[Container, dict[str, Any], Answer], Steps]] = {
                "stop": self._stop,
                "kill": self._kill,
                "pause": self._pause,
                "unpause": self._unpause,
                "limits": self._limits,
                "wait": self._wait,
                "exec": lambda container, message, answer: container.execs.join(message, answer, fds),
            }
            operation = operations[message.get("op")]
            container.touched |= message["op"] in TOUCHING
            yield from operation(container, message, answer)
        except Exception as error:  # noqa: BLE001  one request that fails must not end the containers
            answer({"error": str(error) if isinstance(error, ContainerError) else f"{type(error).__name__}: {error}"})
        finally:
            close_all(fds)

    def _running(self, message: dict[str, Any]) -> Container:
        container = self._broker.containers.get(str(message.get("id")))
        if container is None:
            raise ContainerError("it has ended")
        if container.outside.started is None and container.zygote is not None:
            raise ContainerError("it waits for the next cell and runs nothing")
        return container

    def _stop(self, container: Container, message: dict[str, Any], answer: Answer) -> Steps:
        """Ask the main process to end, and kill the container when it has not after `seconds`."""
        container.blame("stop")
        container.outside.signal(signal.SIGTERM)
        container.outside.unpause()
        self._broker.loop.later(float(message["seconds"]), container.kill)
        yield container.ended
        answer({})

    def _kill(self, container: Container, message: dict[str, Any], answer: Answer) -> Steps:
        number = int(message["signal"])
        if number != signal.SIGKILL:
            container.outside.signal(number)
        else:
            container.kill("kill")
            yield container.dead
        answer({})

    def _pause(self, container: Container, _message: dict[str, Any], answer: Answer) -> Steps:
        if container.outside.paused:
            raise ContainerError("it is paused already")
        container.outside.pause()
        yield from self._once_written(answer)

    def _unpause(self, container: Container, _message: dict[str, Any], answer: Answer) -> Steps:
        if not container.outside.paused:
            raise ContainerError("it is not paused")
        container.outside.unpause()
        yield from self._once_written(answer)

    def _limits(self, container: Container, message: dict[str, Any], answer: Answer) -> Steps:
        container.outside.change_limits({name: message[name] for name in ("memory", "cpus", "pids") if name in message})
        yield from self._once_written(answer)

    def _once_written(self, answer: Answer) -> Steps:
        """Answer when the container's record says what has changed, as whoever asked will look there."""
        self._broker.chores.add(lambda: answer({}))
        yield from ()

    def _wait(self, container: Container, _message: dict[str, Any], answer: Answer) -> Steps:
        answer({"code": (yield container.ended)})
