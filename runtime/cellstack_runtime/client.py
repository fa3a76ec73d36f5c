"""The client's side of a broker, for an asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Self

from cellstack_runtime import bare
from cellstack_runtime.broker.channel import Channel, close_all, pair
from cellstack_runtime.errors import CellstackError, HostError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BROKER = "from cellstack_runtime.broker.start import main; main(int(sys.argv[1]))"


class BrokerClient:
    """Asks a broker, and hands each answer to who asked. `close` ends the broker and everything it made."""

    def __init__(self, process: subprocess.Popen[bytes], channel: Channel, run_dir: str) -> None:
        self._process = process
        self._channel = channel
        self.run_dir = run_dir
        self._numbers = itertools.count()
        self._pending: dict[int, asyncio.Queue[tuple[dict[str, Any], list[int]]]] = {}
        self._loop = asyncio.get_running_loop()
        self.on_event: Callable[[dict[str, Any]], None] = lambda _: None  # takes what the broker tells unasked
        self.gone = False
        self._closing = False

    @classmethod
    async def start(cls, settings: dict[str, Any], *, log: int | None = None, keep: Sequence[int] = ()) -> BrokerClient:
        """Start a broker with `settings` and wait until it can make containers.

        keep: descriptors that it has for as long as it lives. HostError when this host does not let it.
        """
        ours, theirs = pair()
        try:
            process = subprocess.Popen(  # noqa: ASYNC220  a vfork; the child reports on its own channel
                bare.command(BROKER, str(theirs.fileno())),
                pass_fds=[theirs.fileno(), *keep],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env={},  # what it forks can be looked at from containers; the person's tokens are not for them
            )
        finally:
            theirs.close()
        client = cls(process, ours, settings["run_dir"])
        try:
            ours.send(settings)
            await client._readable()
            answer, fds = ours.receive()
        except EOFError:
            client._reap()
            raise HostError(
                "the broker died while it was starting", hint="`cellstack doctor` says what this host allows"
            ) from None
        close_all(fds)
        if "error" in answer:
            client._reap()
            shutil.rmtree(settings["run_dir"], ignore_errors=True)
            raise _host_error(answer)
        ours.sock.setblocking(False)
        client._loop.add_reader(ours.fileno(), client._on_answer)
        return client

    async def _readable(self) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._channel.fileno(), _set, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._channel.fileno())

    def _on_answer(self) -> None:
        while True:
            try:
                message, fds = self._channel.receive()
            except BlockingIOError:
                return
            except EOFError:
                self._lost()
                return
            if "event" in message:
                self.on_event(message)
                continue
            queue = self._pending.get(message["reply"])
            if queue is None:
                close_all(fds)
            else:
                queue.put_nowait((message, fds))

    def _lost(self) -> None:
        if not self.gone:
            self.gone = True
            self._loop.remove_reader(self._channel.fileno())
            for queue in self._pending.values():
                queue.put_nowait(({"gone": True}, []))

    async def ask(self, op: str, fds: Sequence[int] = (), **fields: Any) -> tuple[dict[str, Any], list[int]]:
        """Return the broker's answer to `op`; CellstackError when it could not be done."""
        async with self.conversation(op, fds, **fields) as answers:
            return await answers.next()

    def tell(self, op: str, **fields: Any) -> None:
        """Tell the broker something that is not answered."""
        self.send(-1, op, (), fields)

    def conversation(self, op: str, fds: Sequence[int] = (), **fields: Any) -> Conversation:
        """Ask for something that is answered more than once."""
        return Conversation(self, op, fds, fields)

    def send(self, number: int, op: str, fds: Sequence[int], fields: dict[str, Any]) -> None:
        """Send request `number`."""
        if self.gone:
            raise self.gone_error()
        try:
            self._channel.send({"request": number, "op": op, **fields}, fds)
        except EOFError:
            self._lost()
            raise self.gone_error() from None

    def gone_error(self) -> CellstackError:
        """Return why the broker cannot be asked: it has died, or its client has ended it."""
        if self._closing:
            return CellstackError("the notebook was closed before this was done")
        return CellstackError("the broker is gone", hint="Restart the kernel")

    def register(self) -> tuple[int, asyncio.Queue[tuple[dict[str, Any], list[int]]]]:
        """Return a request number and the queue of its answers."""
        number = next(self._numbers)
        queue = self._pending[number] = asyncio.Queue()
        return number, queue

    def unregister(self, number: int) -> None:
        """Forget a request; what is still answered is dropped."""
        self._pending.pop(number, None)

    async def close(self) -> None:
        """End the broker, which ends and removes everything it made."""
        self._closing = True
        self._lost()
        self._channel.close()
        await asyncio.to_thread(self._reap)

    def _reap(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.close()
        self._process.wait()


class Conversation:
    """The answers to one request."""

    def __init__(self, client: BrokerClient, op: str, fds: Sequence[int], fields: dict[str, Any]) -> None:
        self._client = client
        self._what = (op, fds, fields)

    async def __aenter__(self) -> Self:
        self._number, self._queue = self._client.register()
        self._client.send(self._number, *self._what)
        return self

    async def next(self) -> tuple[dict[str, Any], list[int]]:
        """Return the next answer; CellstackError when it is an error."""
        message, fds = await self._queue.get()
        if "gone" in message:
            raise self._client.gone_error()
        if "error" in message:
            close_all(fds)
            raise _host_error(message)
        return message, fds

    async def __aexit__(self, *_: object) -> None:
        self._client.unregister(self._number)


class ZygoteGoneError(HostError):
    """The process is gone that a cell was to be forked from; another one can be made."""


def _host_error(answer: dict[str, Any]) -> CellstackError:
    number = answer.get("errno")
    if answer.get("without_zygote"):
        return ZygoteGoneError(f"the container could not be made: {answer['error']}", hint="Restart the kernel")
    if number in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"the disk of the store is full ({answer['error']})",
            hint="Free some space or point CELLSTACK_HOME elsewhere",
        )
    return HostError(
        f"the container could not be made: {answer['error']}",
        hint="`cellstack doctor` says what this host allows and what to do",
    )


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def close_quietly(fd: int) -> None:
    """Close a descriptor that may be closed already."""
    with contextlib.suppress(OSError):
        os.close(fd)
