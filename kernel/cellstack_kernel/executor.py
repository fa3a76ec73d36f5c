"""One cell run: code into a container, its frames out to a front end, its changes into a layer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from cellstack_kernel.deaths import UNCHANGED, cause
from cellstack_kernel.frames import FrameError, checked
from cellstack_kernel.records import cell_record
from cellstack_runtime.errors import CellstackError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellstack_guest.protocol import Message
    from cellstack_runtime.containers import CellContainer, Finished
    from cellstack_runtime.limits import Limits
    from cellstack_runtime.workspace import Workspace


class FrontEnd(Protocol):
    """Where a cell's outputs go and where its questions are answered."""

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        """Take one output: a Jupyter message type with its content, and `metadata` and `buffers` where it has them."""

    async def ask(self, prompt: str, *, password: bool) -> str | None:
        """Return the person's answer; None when there is nobody to ask."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to run. kind: "execute" or "shell". commit: whether the result becomes a layer. tags: the cell's."""

    code: str
    kind: str = "execute"
    number: int = 0
    silent: bool = False
    store_history: bool = True
    user_expressions: dict[str, Any] = field(default_factory=dict)
    allow_stdin: bool = False
    cell_id: str | None = None
    parent: dict[str, Any] = field(default_factory=dict)  # the header of the message that asked
    limits: Limits | None = None
    commit: bool = True
    tags: tuple[str, ...] = ()
    cache: str = "off"  # "miss": it was looked for in the cache


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell run ended: the content of the Jupyter reply, and the cell's record (CONTRACT's CELL)."""

    content: dict[str, Any]
    record: dict[str, Any]


@dataclass(slots=True)
class Kept:
    """A container that runs several cells. first, last: the cells that have run in it, `last` as its layer's record."""

    container: CellContainer
    first: int
    last: dict[str, Any]


class Executor:
    """Runs cells of one workspace, one at a time.

    keeps: whether following cells share a container, which is `kept` between them; they make one layer when it ends.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.running: CellContainer | None = None
        self.keeps = False
        self.kept: Kept | None = None
        self.comms: dict[str, str] = {}
        self._interrupts = 0
        self._preparing: asyncio.Task[CellContainer] | None = None

    def interrupt(self) -> None:
        """Interrupt the running cell; a second time in the same run kills its container."""
        if self._preparing is not None:
            self._preparing.cancel()
        if self.running is None:
            return
        self._interrupts += 1
        if self._interrupts == 1:
            self.running.interrupt()
        else:
            self.running.kill("interrupt")

    async def run(self, request: Request, front: FrontEnd) -> Outcome:
        """Run one cell. CellstackError when no container could be made for it."""
        workspace = self.workspace
        await workspace.settled()
        parent = workspace.head
        before = self._state()
        container = self.kept.container if self.kept is not None else await self._container(request)
        self.running, self._interrupts = container, 0
        container.send(self._frame(request, container, before))
        reply: Message | None = None
        finished: Finished | None = None
        try:
            while reply is None and (arrived := await container.receive()) is not None:
                message = checked(arrived[0])
                if message["type"] == "reply":
                    reply = _trusted(message, before, container.layer)
                else:
                    await self._forward(message, arrived[1], container, front, request)
        except FrameError as error:
            container.kill("protocol")
            finished = await container.discard()
            return self._killed(request, container, finished, front, f"cell sent something that is no output ({error})")
        except BaseException:  # cancelled, or a mistake of ours: the container must not go on alone
            self.kept = None
            container.kill("interrupt")
            await container.discard()
            raise
        finally:
            self.running = None
        if reply is None:
            finished = await container.discard()
            return self._killed(request, container, finished, front, None)
        content = {"execution_count": request.number, **reply["content"]}
        if self.keeps:
            first = request.number if self.kept is None else self.kept.first
            self.kept = Kept(container, first, summary(request, content))
            finished = await container.so_far()
        elif request.commit:
            finished = await container.commit(state=reply["state"], cell=summary(request, content))
            workspace.zygotes.learn(reply["modules"])
        else:
            finished = await container.discard()
        return Outcome(content, cell_record(request.number, container, finished, parent, content, reply["carried"]))

    async def _container(self, request: Request) -> CellContainer:
        self._preparing = asyncio.ensure_future(
            self.workspace.container(limits=request.limits or self.workspace.limits)
        )
        try:
            await asyncio.wait({self._preparing})
            if self._preparing.cancelled():
                raise CellstackError("interrupted while the cell's container was being made", hint=UNCHANGED)
            return self._preparing.result()
        finally:
            self._preparing = None

    async def release(self, front: FrontEnd) -> str:
        """End the container that is kept, if there is one, and make its cells a layer; return what that is, a sentence.

        CellstackError when it has died.
        """
        kept, self.kept = self.kept, None
        if kept is None:
            return ""
        request = Request("", kind="end", number=kept.last["number"] + 1)
        container, before = kept.container, self._state()
        cells = f"cells [{kept.first}] to [{kept.last['number']}]"
        self.running, self._interrupts = container, 0
        container.send(self._frame(request, container, before))
        try:
            while (arrived := await container.receive()) is not None:
                message = checked(arrived[0])
                if message["type"] == "reply":
                    reply = _trusted(message, before, container.layer)
                    await container.commit(state=reply["state"], cell=kept.last)
                    await self.workspace.settled()
                    self.workspace.zygotes.learn(reply["modules"])
                    return f"The container of {cells} has ended; what they left is the layer {container.layer[:12]}."
                await self._forward(message, arrived[1], container, front, request)
        except FrameError:
            container.kill("protocol")
        finally:
            self.running = None
        finished = await container.discard()
        _, sentence = cause(container.limits, finished, unchanged=f"What {cells} left is lost")
        raise CellstackError(sentence)

    def _state(self) -> str | None:
        head = self.workspace.head
        return self.workspace.store.layer(head).state if head else None

    def _frame(self, request: Request, container: CellContainer, state: str | None) -> Message:
        return {
            "type": request.kind,
            "code": request.code,
            "silent": request.silent,
            "store_history": request.store_history,
            "user_expressions": request.user_expressions,
            "allow_stdin": request.allow_stdin,
            "execution_count": request.number,
            "cell_id": request.cell_id,
            "parent": {"header": request.parent},
            "state": state,
            "layer": container.layer,
            "keep": self.keeps and request.kind != "end",
            "layer_info": {
                "layer": container.layer,
                "limits": {**container.limits.as_json(), "enforced_by": container.enforced_by},
            },
        }

    async def _forward(
        self,
        message: Message,
        buffers: Sequence[bytes],
        container: CellContainer,
        front: FrontEnd,
        request: Request,
    ) -> None:
        kind = message.pop("type")
        if kind == "input_request":
            answer = await self._answer(message, container, front, allowed=request.allow_stdin)
            if answer is not None:
                container.send({"type": "input_reply", "value": answer})
        elif kind == "notice":
            front.publish("stream", {"name": "stderr", "text": message["text"].rstrip("\n") + "\n"})
        elif kind == "comm":
            content = message["content"]
            if message["msg_type"] == "comm_open":
                self.comms[str(content.get("comm_id"))] = str(content.get("target_name"))
            elif message["msg_type"] == "comm_close":
                self.comms.pop(str(content.get("comm_id")), None)
            front.publish(message["msg_type"], content, metadata=message["metadata"], buffers=buffers)
        elif not (request.silent and kind == "execute_result"):
            front.publish(kind, message)

    async def _answer(
        self, message: Message, container: CellContainer, front: FrontEnd, *, allowed: bool
    ) -> str | None:
        """Ask the person, but stop asking when the cell is interrupted or dies meanwhile."""
        if not allowed:
            return None
        asking = asyncio.ensure_future(front.ask(message["prompt"], password=message["password"]))
        over = asyncio.ensure_future(container.changed())
        try:
            await asyncio.wait({asking, over}, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            asking.cancel()
            over.cancel()

    def _killed(
        self, request: Request, container: CellContainer, finished: Finished, front: FrontEnd, why: str | None
    ) -> Outcome:
        unchanged = UNCHANGED
        if self.kept is not None:
            kept, self.kept = self.kept, None
            unchanged = f"Files and variables are as they were before cell [{kept.first}], the first in its container"
        name, sentence = (
            ("CellKilled", f"{why}. {unchanged}") if why else cause(container.limits, finished, unchanged=unchanged)
        )
        error = {"ename": name, "evalue": sentence, "traceback": [f"\x1b[31m{name}\x1b[39m: {sentence}"]}
        if not request.silent:
            front.publish("error", error)
        content = {"status": "error", "execution_count": request.number, **error}
        return Outcome(content, cell_record(request.number, container, finished, self.workspace.head, content, None))

    async def query(self, message: Message) -> dict[str, Any] | None:
        """Answer a question about code (complete, inspect, is_complete) in a new container; None when it died."""
        workspace = self.workspace
        await workspace.settled()
        state = self._state()
        container = await workspace.container()
        container.send({**message, "state": state})
        content = None
        try:
            while content is None and (arrived := await container.receive()) is not None:
                if arrived[0]["type"] == "reply":
                    content = checked(arrived[0])["content"]
        except FrameError:
            container.kill("protocol")
        finally:
            await container.discard()
        return content


def summary(request: Request, content: dict[str, Any]) -> dict[str, Any]:
    """Return what a layer's record says of the cell that made it."""
    status = content.get("status", "ok")
    return {"number": request.number, "code": request.code, "status": status, "cache": request.cache}


def _trusted(reply: Message, before: str | None, layer: str) -> Message:
    """Return the reply to a cell; FrameError for one that no guest sends: an odd status, the state of another layer."""
    if reply["content"].get("status") not in ("ok", "error"):
        raise FrameError(f"a cell ends with ok or error, not {reply['content'].get('status')!r}")
    if reply["state"] not in (None, before, layer):
        raise FrameError(f"state {reply['state']} is not this cell's")
    return reply
