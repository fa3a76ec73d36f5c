"""The shell and control channels: which request is answered when.

The main shell, each subshell and the control channel have a queue of their own, and answer what is in it one after the
other. Comm messages are offered at once to the cell that runs; those to the kernel's own views, interrupts, shutdowns
and questions about the kernel and about outputs wait for nothing. A question about code (completion, inspection) is
answered beside what follows it: a cell never waits for it.
"""

# mypy: disable-error-code="no-untyped-call, union-attr"
# (much of ipykernel has no annotations, and its session may be None before it starts)

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import zmq

from cellstack_kernel.requests import NoMessageError, checked, parsed
from cellstack_runtime.errors import CellstackError, UsageError

if TYPE_CHECKING:
    from cellstack_kernel.kernel import CellstackKernel

SHELL, CONTROL = "shell", "control"
COMMS = ("comm_open", "comm_msg", "comm_close")
AT_ONCE = ("interrupt_request", "shutdown_request")
# A page that is loaded anew while a cell runs asks these first, and can show nothing of it without the answers. Who
# waits for other answers in the same queue has this one in its turn.
QUESTIONS = ("kernel_info_request", "cellstack_outputs_request")
BESIDE = ("complete_request", "inspect_request", "is_complete_request")
MAX_SUBSHELLS = 32


@dataclass(eq=False, slots=True)
class Incoming:
    """A request: who sent it, and what it says."""

    stream: Any
    idents: list[bytes]
    message: dict[str, Any]
    channel: str
    aborted: bool = False
    beside: bool = False  # answered beside what follows it

    @property
    def kind(self) -> str:
        """The message's type."""
        return str(self.message["header"]["msg_type"])


@dataclass(eq=False, slots=True)
class Queue:
    """Requests that are answered one after the other. `current` is the one being answered."""

    pending: deque[Incoming] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    current: Incoming | None = None
    worker: asyncio.Task[None] | None = None

    def put(self, incoming: Incoming) -> None:
        """Add a request."""
        self.pending.append(incoming)
        self.arrived.set()

    def has_request_of(self, session: str) -> bool:
        """Tell whether a client waits for an answer."""
        waiting = [*([self.current] if self.current is not None else []), *self.pending]
        return any(incoming.message["header"].get("session") == session for incoming in waiting)

    async def get(self) -> Incoming:
        """Wait for the next request."""
        while not self.pending:
            self.arrived.clear()
            await self.arrived.wait()
        return self.pending.popleft()


class Channels:
    """Reads both channels of a kernel from the main loop."""

    def __init__(self, kernel: CellstackKernel) -> None:
        self._kernel = kernel
        self._queues: dict[str | None, Queue] = {}
        self._control = self._start(Queue())
        self._tasks: set[asyncio.Task[None]] = set()
        self._queues[None] = self._start(Queue())
        kernel.shell_stream.on_recv(lambda frames: self._received(kernel.shell_stream, SHELL, frames))
        kernel.control_stream.on_recv(lambda frames: self._received(kernel.control_stream, CONTROL, frames))

    @property
    def current(self) -> Incoming | None:
        """What the main shell is answering."""
        return self._queues[None].current

    # -- subshells ---------------------------------------------------------------------------------------------

    @property
    def subshells(self) -> list[str]:
        """The ids of the subshells there are."""
        return [name for name in self._queues if name is not None]

    def create_subshell(self) -> str:
        """Make a subshell and return its id. UsageError when there are too many."""
        if len(self._queues) > MAX_SUBSHELLS:
            raise UsageError(f"there are {MAX_SUBSHELLS} subshells, which is as many as a notebook may have")
        name = uuid.uuid4().hex
        self._queues[name] = self._start(Queue())
        return name

    def delete_subshell(self, name: str) -> None:
        """End a subshell once it has answered what it was asked. UsageError when there is none of this id."""
        queue = self._queues.pop(name, None)
        if queue is None:
            raise UsageError(f"Unknown subshell_id {name!r}")
        if queue.current is None and not queue.pending and queue.worker is not None:
            queue.worker.cancel()

    # -- arrivals ----------------------------------------------------------------------------------------------

    def _received(self, stream: Any, channel: str, frames: list[bytes]) -> None:
        log = self._kernel.log
        try:
            idents, message = parsed(self._kernel.session, frames)
        except NoMessageError as error:
            log.warning("a message that is none was dropped: %s", error)
            return
        incoming = Incoming(stream, idents, message, channel)
        own = incoming.kind in COMMS and self._kernel.has_view(message["content"].get("comm_id"))
        queue = self._control if channel == CONTROL else self._queues.get(message["header"].get("subshell_id"))
        first = incoming.kind in QUESTIONS and (
            queue is None or channel == CONTROL or not queue.has_request_of(message["header"].get("session"))
        )
        incoming.beside = own or incoming.kind in BESIDE or first
        if incoming.kind in COMMS and not own and self.current is not None and self.current.kind == "execute_request":
            with contextlib.suppress(CellstackError):  # which is said when it is its turn
                self._kernel.offer(checked(message), idents)
        if own or incoming.kind in AT_ONCE or first:
            self._beside(self._answer(incoming))
        elif queue is not None:
            queue.put(incoming)
        else:
            name = message["header"].get("subshell_id")
            self._beside(self._refuse(incoming, UsageError(f"Unknown subshell_id {name!r}")))

    def _beside(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def abort(self, subshell: str | None) -> None:
        """Have the cells that wait in a queue answered with `aborted`: one before them has failed."""
        self._kernel.shell_stream.flush(zmq.POLLIN)  # those too that have come and were not read yet
        queue = self._queues.get(subshell)
        for incoming in queue.pending if queue is not None else ():
            incoming.aborted = incoming.kind == "execute_request"

    # -- answers -----------------------------------------------------------------------------------------------

    def _start(self, queue: Queue) -> Queue:
        queue.worker = asyncio.ensure_future(self._work(queue))
        return queue

    async def _work(self, queue: Queue) -> None:
        while queue.pending or queue is self._control or queue in self._queues.values():
            incoming = await queue.get()
            if incoming.beside:
                self._beside(self._answer(incoming))
                continue
            queue.current = incoming
            try:
                await self._answer(incoming)
            finally:
                queue.current = None

    async def _answer(self, incoming: Incoming) -> None:
        """Answer a request."""
        kernel = self._kernel
        self._status("busy", incoming)
        try:
            await self._handle(incoming)
        except CellstackError as error:
            self._reply(incoming, {"status": "error", **_error("CellstackError", str(error))})
        except Exception as error:
            # A mistake of ours, or a request that no check has thought of. Without a reply its client waits for ever.
            kernel.log.exception("%s could not be answered", incoming.kind)
            self._reply(incoming, {"status": "error", **_error(type(error).__name__, str(error))})
        self._status("idle", incoming)
        if incoming.beside:  # the kernel is as busy as before
            self._status("busy", self.current)

    async def _handle(self, incoming: Incoming) -> None:
        kernel, message = self._kernel, checked(incoming.message)
        kernel.set_parent(incoming.idents, message, channel=incoming.channel)
        if incoming.channel == CONTROL:  # for a cell that is run there
            kernel.set_parent(incoming.idents, message, channel=SHELL)
        if incoming.aborted:
            kernel._send_abort_reply(incoming.stream, message, incoming.idents)  # noqa: SLF001
            return
        handlers = kernel.control_handlers if incoming.channel == CONTROL else kernel.shell_handlers
        handler = handlers.get(incoming.kind)
        if handler is None:
            kernel.log.warning("there is no answer to a %r on the %s channel", incoming.kind, incoming.channel)
            return
        await handler(incoming.stream, incoming.idents, message)

    async def _refuse(self, incoming: Incoming, error: CellstackError) -> None:
        self._status("busy", incoming)
        self._reply(incoming, {"status": "error", **_error("UnknownSubshellError", str(error))})
        self._status("idle", incoming)

    def _reply(self, incoming: Incoming, content: dict[str, Any]) -> None:
        kind, request, _ = incoming.kind.rpartition("_request")
        if request:
            kernel = self._kernel
            kernel.session.send(incoming.stream, f"{kind}_reply", content, incoming.message, incoming.idents)

    def _status(self, status: str, incoming: Incoming | None) -> None:
        kernel = self._kernel
        if incoming is not None and kernel.session is not None:
            kernel._publish_status(status, incoming.channel, parent=incoming.message)  # noqa: SLF001


def _error(name: str, text: str) -> dict[str, Any]:
    return {"ename": name, "evalue": text, "traceback": [f"{name}: {text}"]}
