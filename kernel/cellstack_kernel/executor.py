"""One cell run: code into a container, its frames out to a front end, its changes into a layer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from cellstack_kernel.deaths import UNCHANGED, cause, magic_of
from cellstack_kernel.frames import FrameError, checked
from cellstack_kernel.opened import Opened
from cellstack_kernel.records import cell_record
from cellstack_kernel.runs import InterruptError, Kept, Nobody, Outcome, Request, Run
from cellstack_runtime.errors import CellstackError
from cellstack_runtime.store.variables import comms_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellstack_guest.protocol import Message
    from cellstack_kernel.debugger import Debugger
    from cellstack_kernel.letters import Letter
    from cellstack_kernel.runs import FrontEnd
    from cellstack_runtime.containers import CellContainer, Finished
    from cellstack_runtime.limits import Limits
    from cellstack_runtime.workspace import Workspace

AHEAD = "cellstack_guest.ahead"  # what zygotes import where completions are asked for
QUESTION_SECONDS = 10.0  # for a completion or an inspection
LIVE_SECONDS = 2.0  # without a message, after which what widgets have changed becomes a layer
END_SECONDS = 2.0  # for cells that are killed when the kernel ends
PATIENCE_SECONDS = 2.0  # for what callbacks have started, when a cell comes
STUCK_SECONDS = 10.0  # for the guest to say that this time is over
MAX_CODE = 2**15  # characters in a layer's record; a message to the broker has a limit, and records are read often
MAX_COMMS = 20_000  # that are known; of more, the oldest are forgotten
CELLS = ("execute", "shell")  # kinds of requests
_REACTION = "# what widgets have changed"


class Executor:
    """Runs cells of one workspace: those of the notebook one at a time, and those of subshells beside them.

    keeps: whether following cells share a container, which is `kept` between them; they make one layer when it ends.
    live: the container in which widgets react between cells. It ends before the next cell runs, or when nothing has
    come for some time and no thread or task of theirs is left, and is a layer then if they have changed anything.
    comms: (target, None once it was closed; container of the cell that has opened it or used it last) of each comm.

    A cell of a subshell starts from head as every cell does. What it leaves becomes head if head is still where it
    started and no cell of the notebook runs; else it is a layer beside, which `%checkout` goes to, and it is said so.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.keeps = False
        self.kept: Kept | None = None
        self.live: Kept | None = None
        self._living = asyncio.Lock()
        self._rest: asyncio.TimerHandle | None = None
        self._listening: asyncio.Task[None] | None = None
        self._told_by: FrontEnd = Nobody()  # whose message was the last to a container in which widgets react
        self._lost = ""  # what has to be said of a container that was live and has died
        self.comms: dict[str, tuple[str | None, CellContainer]] = {}
        self.runs: list[Run] = []
        self._none_runs = asyncio.Event()
        self._ending = False  # with the kernel
        self.debugger: Debugger | None = None
        self._asking = asyncio.Lock()
        self._question: asyncio.Task[dict[str, Any] | None] | None = None

    @property
    def running(self) -> CellContainer | None:
        """The container of the notebook's cell that runs, if one does."""
        return next((run.container for run in self.runs if run.request.main), None)

    @property
    def current(self) -> Run | None:
        """The run of the notebook's cell that runs, if one does."""
        return next((run for run in self.runs if run.request.main and run.request.kind in CELLS), None)

    @property
    def holding(self) -> CellContainer | None:
        """The container that runs a cell of the notebook, or is kept for the next."""
        kept = self.kept.container if self.kept is not None else None
        return self.running or kept

    def interrupt(self, *, beside: bool = True) -> None:
        """Interrupt what runs, with `beside` also in subshells; a second time in the same run kills its container."""
        for run in self.runs:
            if run.request.main or beside:
                run.interrupt()

    async def end(self) -> None:
        """End what runs, with the kernel, and give it a moment to say so. Nothing runs after that."""
        self._ending = True
        self._none_runs.clear()
        for run in self.runs:
            if run.preparing is not None:
                run.preparing.cancel()
            elif run.container is not None:
                run.container.kill("shutdown")
        if self.runs:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_runs.wait(), END_SECONDS)

    def _drop(self, run: Run) -> None:
        self.runs.remove(run)
        if not self.runs:
            self._none_runs.set()

    def offer(self, letter: Letter) -> None:
        """Send a comm message to the cell that runs and has the comm, if one does: it may be waiting for it."""
        _, owner = self.comms.get(letter.comm, ("", None))
        running = [run for run in self.runs if run.container is not None]
        target = next((run for run in running if run.container is owner), None)
        target = target or next((run for run in running if run.request.main), None)
        if target is not None:
            target.give(letter)

    async def open_comms(self) -> dict[str, str]:
        """Return the target of each comm that head has, or a container which is there, by its id.

        StoreError when the variables of head are in no order.
        """
        workspace = self.workspace
        await workspace.settled()
        carried = await asyncio.to_thread(comms_of, workspace.store, workspace.session, workspace.head)
        there = [each.container for each in (*self.runs, self.kept, self.live) if each is not None]
        known = carried | {name: target for name, (target, owner) in self.comms.items() if owner in there}
        return {name: target for name, target in known.items() if target is not None}

    def _note_comm(self, name: str, target: str | None, container: CellContainer) -> None:
        self.comms[name] = target, container
        if len(self.comms) > MAX_COMMS:
            del self.comms[next(iter(self.comms))]

    async def tell(self, letter: Letter, front: FrontEnd) -> None:
        """Have what is at the other end of a comm react, while no cell of the notebook runs.

        That is in the container that cells share, or in one of its own, which is kept for further messages.
        """
        async with self._living:
            await self._stay()
            await self.workspace.settled()
            shared = self.kept or self.live
            request = Request(_REACTION, kind="event", parent=letter.parent)
            run = Run(request)
            self.runs.append(run)
            try:
                before = self.state()
                container = run.container = shared.container if shared else await self._container(run)
                frame = self._frame(request, container, before)
                container.send({**frame, "keep": True, "comms": letter.comms, "target": letter.target, "letters": 1})
                run.give(letter)
                if letter.msg_type in ("comm_open", "comm_close"):
                    self._note_comm(letter.comm, letter.target, container)
                await self._answered()
                reply = await self._reply(run, container, before, front)
            except FrameError:
                container.kill("protocol")
                reply = None
            finally:
                self._drop(run)
            if reply is None:
                finished = await container.discard()
                self._killed(request, container, finished, front, None)
                return
            self._told_by = front
            if reply["busy"]:
                self._listening = asyncio.create_task(self._listen(request, container, front))
            await container.so_far()
            if shared is None:
                self.live = Kept(container, 0, {"number": None, "code": _REACTION, "status": "ok"})
            if not reply["busy"]:
                self._rest_soon()

    async def _listen(self, request: Request, container: CellContainer, front: FrontEnd) -> None:
        """Forward what threads and tasks of callbacks put out, until they are over or this is cancelled."""
        try:
            while (arrived := await container.receive()) is not None:
                message = checked(arrived[0])
                if message["type"] == "rest":
                    self._rest_soon()
                    return
                await self._forward(message, arrived[1], container, front, request)
            container.put_back([None])
        except FrameError:
            container.kill("protocol")
        self._settle()  # finds that it has died

    def _rest_soon(self) -> None:
        self._rest = asyncio.get_running_loop().call_later(LIVE_SECONDS, self._settle)

    async def _stay(self) -> None:
        """Have the container in which widgets react neither end by itself nor be listened to."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
            self._listening = None

    def _settle(self) -> None:
        self._rest = None
        self.workspace.chore(self.settle())

    async def settle(self) -> None:
        """End the container in which widgets react, if there is one, and make a layer of what they have changed."""
        async with self._living:
            is_busy = self._listening is not None and not self._listening.done()
            await self._stay()
            live, self.live = self.live, None
            if live is None:
                return
            await self.workspace.settled()
            reply, before = None, self.state()
            run = Run(Request("", kind="end"), live.container)
            self.runs.append(run)
            frame = self._frame(run.request, live.container, before)
            live.container.send({**frame, "keep": False, "patience": PATIENCE_SECONDS})
            await self._answered()
            if is_busy:
                run.deadline = asyncio.create_task(_kill_stuck(live.container))
            try:
                reply = await self._reply(run, live.container, before, self._told_by)
            except FrameError:
                live.container.kill("protocol")
            finally:
                if run.deadline is not None:
                    run.deadline.cancel()
                self._drop(run)
            if reply is None:
                finished = await live.container.discard()
                self._lost = cause(live.container.limits, finished, unchanged="What widgets had changed is lost")[1]
                return
            await live.container.commit(
                state=reply["state"],
                cell=live.last,
                parent=self.workspace.head,
                keep_unchanged=reply["state"] != before,
            )
            await self.workspace.settled()
            self.workspace.zygotes.learn(reply["modules"])

    async def settle_before(self, front: FrontEnd) -> None:
        """Have head be what the next cell starts from, and say what was lost by that."""
        await self.settle()
        if self._lost:
            front.publish("stream", {"name": "stderr", "text": f"{self._lost}\n"})
            self._lost = ""
        await self.workspace.settled()

    async def run(self, request: Request, front: FrontEnd) -> Outcome:
        """Run one cell. CellstackError when no container could be made for it."""
        run = Run(request)
        self.runs.append(run)  # now: an interrupt must find it
        try:
            await self.settle_before(front)
            if run.interrupts or request.interrupted.is_set():
                raise InterruptError("interrupted before the cell ran", hint=UNCHANGED)
            if self._ending:
                raise CellstackError("the kernel was ended before the cell ran", hint=UNCHANGED)
            return await self._run(run, front)
        finally:
            self._drop(run)

    async def _run(self, run: Run, front: FrontEnd) -> Outcome:
        request, workspace = run.request, self.workspace
        parent = workspace.head
        before = self.state()
        kept = self.kept if request.main else None
        container = kept.container if kept is not None else await self._container(run)
        run.container = container
        opened = Opened(container.pid, request.unread)
        container.send(self._frame(request, container, before))
        workspace.on_change()
        if (debugger := self.debugger_for(request)) is not None:
            debugger.begin(container)
        if kept is not None:
            await self._answered()
        finished: Finished | None = None
        reply: Message | None = None
        try:
            if request.main and request.kind == "execute":
                workspace.zygotes.expect(request.code)
            reply = await self._reply(run, container, before, front)
        except FrameError as error:
            container.kill("protocol")
            finished = await container.discard()
            return self._killed(request, container, finished, front, f"cell sent something that is no output ({error})")
        except BaseException:  # cancelled, or a mistake of ours: the container must not go on alone
            if request.main:
                self.kept = None
            container.kill("interrupt")
            await container.discard()
            raise
        finally:
            run.container = None
            was_opened = opened.end()
            if self.debugger is not None and request.main:
                self.debugger.end(container, kept=reply is not None and self.keeps)
            if reply is not None:
                workspace.zygotes.learn(reply["modules"])
            if request.main:
                workspace.zygotes.decide()
        if reply is None:
            finished = await container.discard()
            return self._killed(request, container, finished, front, None, run.error)
        content = {"execution_count": request.number, **reply["content"]}
        if self.keeps and request.main:
            first = request.number if self.kept is None else self.kept.first
            self.kept = Kept(container, first, summary(request, content))
            finished = await container.so_far()
        elif request.commit:
            await workspace.settled()  # a cell beside this one may have ended just now
            beside = not request.main and (workspace.head != parent or self._in_the_way())
            finished = await container.commit(
                state=reply["state"],
                cell={**summary(request, content), **({"beside": True} if beside else {})},
                parent=parent,
                beside=beside,
                keep_unchanged=reply["state"] != before,
            )
            if beside and finished.layer is not None and not request.silent:
                self._tell_beside(finished.layer, front)
        else:
            finished = await container.discard()
        touched = bool(was_opened or finished.touched or run.interrupts or request.interrupted.is_set() or run.letters)
        record = cell_record(request.number, container, finished, parent, content, reply["carried"])
        return Outcome(content, record, repeatable=reply["repeatable"] and not touched)

    async def _reply(self, run: Run, container: CellContainer, before: str | None, front: FrontEnd) -> Message | None:
        """Forward what comes out of a container until its reply, and return that; None when it has died."""
        asking: asyncio.Task[None] | None = None  # beside what threads and widgets of the cell put out meanwhile
        try:
            while (arrived := await container.receive()) is not None:
                message = checked(arrived[0])
                if message["type"] == "reply":
                    reply = _trusted(message, before, container.layer)
                    for letter in run.letters:
                        letter.taken = letter.number in reply["taken"] and run.request.commit
                    return reply
                if message["type"] == "rest":
                    if run.deadline is not None:
                        run.deadline.cancel()  # to save what there is takes as long as it takes
                    continue
                if message["type"] == "debug":
                    if self.debugger is not None and run.request.main:
                        self.debugger.received(container, message["message"])
                elif message["type"] == "input_request":
                    if asking is not None:
                        asking.cancel()
                    if run.request.allow_stdin:
                        asking = asyncio.ensure_future(_ask(message, container, front))
                    await front.drained()
                else:
                    if message["type"] == "error":
                        run.error = {name: message[name] for name in ("ename", "evalue", "traceback")}
                    await self._forward(message, arrived[1], container, front, run.request)
            return None
        finally:
            if asking is not None:
                asking.cancel()

    def _in_the_way(self) -> bool:
        """Tell whether a cell of the notebook is going to make the next head."""
        return self.kept is not None or self.live is not None or any(run.request.main for run in self.runs)

    def _tell_beside(self, layer: str, front: FrontEnd) -> None:
        text = (
            f"What this cell has left is the layer {layer[:12]}, beside the notebook's: another cell ran at the same "
            f"time. %checkout {layer[:12]} goes there.\n"
        )
        front.publish("stream", {"name": "stderr", "text": text})

    async def _container(self, run: Run) -> CellContainer:
        limits = run.request.limits or self.workspace.limits
        run.preparing = preparing = asyncio.ensure_future(self.workspace.container(limits=limits))
        try:
            await asyncio.wait({preparing})
            if run.interrupts or self._ending:
                if not preparing.cancelled() and preparing.exception() is None:  # it came when there was one already
                    await preparing.result().discard()
                if not run.interrupts:
                    raise CellstackError("the kernel was ended before the cell ran", hint=UNCHANGED)
                raise InterruptError("interrupted while the cell's container was being made", hint=UNCHANGED)
            return preparing.result()
        finally:
            run.preparing = None

    async def release(self, front: FrontEnd) -> str:
        """End the container that is kept, if there is one, and make its cells a layer; return what that is, a sentence.

        CellstackError when it has died.
        """
        await self.settle()
        kept, self.kept = self.kept, None
        if kept is None:
            return ""
        request = Request("", kind="end", number=kept.last["number"] + 1)
        container, before = kept.container, self.state()
        cells = f"cells [{kept.first}] to [{kept.last['number']}]"
        run = Run(request, container)
        self.runs.append(run)
        container.send(self._frame(request, container, before))
        await self._answered()
        try:
            reply = await self._reply(run, container, before, front)
            if reply is not None:
                await container.commit(state=reply["state"], cell=kept.last, parent=self.workspace.head)
                await self.workspace.settled()
                self.workspace.zygotes.learn(reply["modules"])
                return f"The container of {cells} has ended; what they left is the layer {container.layer[:12]}."
        except FrameError:
            container.kill("protocol")
        finally:
            self._drop(run)
        finished = await container.discard()
        _, sentence = cause(container.limits, finished, unchanged=f"What {cells} left is lost")
        raise CellstackError(sentence)

    def debugger_for(self, request: Request) -> Debugger | None:
        """Return the debugger that looks at a cell, if one does."""
        on = self.debugger is not None and self.debugger.is_wanted and request.main and request.kind == "execute"
        return self.debugger if on else None

    async def container_aside(self) -> CellContainer:
        """Return a container for something else than a cell; a cell that comes finds one made as always."""
        await self.workspace.settled()
        container = await self.workspace.container()
        self.workspace.prepare()
        return container

    @property
    def head(self) -> str | None:
        """The layer that the next container starts from."""
        return self.workspace.head

    def state(self) -> str | None:
        """Return the layer whose variables a container has that starts on head."""
        head = self.workspace.head
        return self.workspace.store.layer(head).state if head else None

    def _frame(self, request: Request, container: CellContainer, state: str | None) -> Message:
        return {
            "type": request.kind,
            "code": request.code,
            "typed": request.typed,
            "skipped": request.skipped,
            "earlier": request.earlier,
            "silent": request.silent,
            "store_history": request.store_history,
            "user_expressions": request.user_expressions,
            "allow_stdin": request.allow_stdin,
            "execution_count": request.number,
            "cell_id": request.cell_id,
            "parent": request.parent,
            "state": state,
            "layer": container.layer,
            "keep": self.keeps and request.main and request.kind != "end",
            "debug": debugger.settings(request.typed) if (debugger := self.debugger_for(request)) else None,
            "layer_info": {
                "layer": container.layer,
                "limits": {**container.limits.as_json(), "enforced_by": container.enforced_by},
                "magics": {
                    name: magic_of(name, container.limits, self._notebooks_limits(request))
                    for name in ("memory", "pids")
                },
            },
        }

    def _notebooks_limits(self, request: Request) -> Limits | None:
        """Return the limits of the notebook; None where the cell has none of its own."""
        return None if request.limits is None else self.workspace.limits

    async def _forward(
        self,
        message: Message,
        buffers: Sequence[bytes],
        container: CellContainer,
        front: FrontEnd,
        request: Request,
    ) -> None:
        kind = message.pop("type")
        if kind == "answer":
            raise FrameError("an answer to no question")
        if kind == "notice":
            front.publish("stream", {"name": "stderr", "text": message["text"].rstrip("\n") + "\n"})
        elif kind == "comm":
            content, name = message["content"], message["content"]["comm_id"]
            if message["msg_type"] == "comm_open":
                self._note_comm(name, str(content.get("target_name")), container)
            elif message["msg_type"] == "comm_close":
                self._note_comm(name, None, container)
            elif (known := self.comms.get(name)) is not None:
                self.comms[name] = known[0], container
            front.publish(message["msg_type"], content, metadata=message["metadata"], buffers=buffers)
        elif not (request.silent and kind == "execute_result"):
            front.publish(kind, message)
        await front.drained()

    def _killed(
        self,
        request: Request,
        container: CellContainer,
        finished: Finished,
        front: FrontEnd,
        why: str | None,
        shown: dict[str, Any] | None = None,
    ) -> Outcome:
        """Show what killed a cell. shown: its own error: the end of the kernel, after an interrupt, is no other."""
        unchanged = UNCHANGED
        if self.live is not None and self.live.container is container:
            self.live = None
            unchanged = "Files and variables are as they were before widgets reacted"
        if self.kept is not None and self.kept.container is container:
            kept, self.kept = self.kept, None
            unchanged = f"Files and variables are as they were before cell [{kept.first}], the first in its container"
        name, sentence = (
            ("CellKilled", f"{why}. {unchanged}")
            if why
            else cause(container.limits, finished, unchanged=unchanged, notebooks=self._notebooks_limits(request))
        )
        error = {"ename": name, "evalue": sentence, "traceback": [f"\x1b[31m{name}\x1b[39m: {sentence}"]}
        if shown is not None and finished.exit.reason == "shutdown":
            error = shown
        elif not request.silent:
            front.publish("error", error)
        content = {"status": "error", "execution_count": request.number, **error}
        return Outcome(content, cell_record(request.number, container, finished, self.workspace.head, content, None))

    async def query(self, message: Message) -> dict[str, Any] | None:
        """Answer a question about code (complete, inspect, is_complete); None when it took too long or died.

        It is answered by a process that is thrown away: of a container of its own, or, while cells or widgets have one
        that is idle, a fork of the one that has their variables.
        """
        async with self._asking:
            if message["type"] == "complete":
                self.workspace.zygotes.add(AHEAD)  # for the next one
            shared = self.kept or self.live
            if shared is not None and not self._in_use(shared.container):
                self._question = asyncio.ensure_future(self._ask_kept(shared.container, message))
                try:
                    return await self._question
                finally:
                    self._question = None
            return await self._ask_new(message)

    async def _ask_new(self, message: Message) -> dict[str, Any] | None:
        container = await self.container_aside()
        container.send({**message, "state": self.state()})
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                while (arrived := await container.receive()) is not None:
                    if arrived[0]["type"] == "reply":
                        return checked(arrived[0])["content"]  # type: ignore[no-any-return]
        except (FrameError, TimeoutError):
            container.kill("protocol")
        finally:
            await container.discard()
        return None

    async def _ask_kept(self, container: CellContainer, message: Message) -> dict[str, Any] | None:
        """Ask the process that waits for the next cell; it gives a question up when that cell comes."""
        container.send({**message, "state": self.state(), "keep": True})
        others = []
        try:
            while (arrived := await container.receive()) is not None:
                if arrived[0]["type"] == "answer":
                    return checked(arrived[0])["content"] or None
                others.append(arrived)
        except FrameError:
            container.kill("protocol")
        finally:
            container.put_back(others)
        return None

    async def _answered(self) -> None:
        """Wait until a question is over that was asked in a container that is kept."""
        if self._question is not None:
            await asyncio.wait({self._question})

    def _in_use(self, container: CellContainer) -> bool:
        listening = self._listening is not None and not self._listening.done()
        return listening or any(run.container is container for run in self.runs)


async def _kill_stuck(container: CellContainer) -> None:
    """Kill a container in which a task of a callback lets nothing else run, not even what would end it."""
    ends = container.clock.seconds + STUCK_SECONDS  # which stands still while it is paused
    while (left := ends - container.clock.seconds) > 0:  # noqa: ASYNC110  a clock tells nobody when it goes on
        await asyncio.sleep(left)
    container.kill("stuck")


async def _ask(message: Message, container: CellContainer, front: FrontEnd) -> None:
    """Ask the person, and tell the cell; whoever does not want it any more cancels this."""
    with contextlib.suppress(InterruptError):  # the cell is being told
        answer = await front.ask(message["prompt"], password=message["password"])
        if answer is not None:
            container.send({"type": "input_reply", "value": answer})


def summary(request: Request, content: dict[str, Any]) -> dict[str, Any]:
    """Return what a layer's record says of the cell that made it: its code is cut at MAX_CODE characters."""
    status = content.get("status", "ok")
    code = request.code
    if len(code) > MAX_CODE:
        code = f"{code[:MAX_CODE]}\n# … and {len(code) - MAX_CODE} more characters\n"
    return {"number": request.number, "code": code, "status": status, "cache": request.cache}


def _trusted(reply: Message, before: str | None, layer: str) -> Message:
    """Return the reply to a cell; FrameError for one that no guest sends: an odd status, the state of another layer."""
    if reply["content"].get("status") not in ("ok", "error"):
        raise FrameError(f"a cell ends with ok or error, not {reply['content'].get('status')!r}")
    if reply["state"] not in (None, before, layer):
        raise FrameError(f"state {reply['state']} is not this cell's")
    return reply
