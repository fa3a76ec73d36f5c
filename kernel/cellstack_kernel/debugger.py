"""The debugger as front ends see it: one, though every cell is another process.

Breakpoints, and the text of the cells they are in, are kept here. Each container that runs a cell while debugging is on
has debugpy in it (`cellstack_guest/debug.py`), and is sent them before its code runs. While no cell runs, a container
that stands by, with all variables and no code, answers what front ends ask: it is made when it is first needed, and
thrown away when a cell runs.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import functools
import json
import os
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

from ipykernel.compiler import get_tmp_hash_seed, murmur2_x86

from cellstack_kernel.debuggee import LISTENING, REFUSED, Link, body_of, failure, first, success
from cellstack_kernel.frames import FrameError, checked
from cellstack_runtime.errors import CellstackError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from cellstack_guest.protocol import Message
    from cellstack_kernel.executor import Executor
    from cellstack_runtime.containers import CellContainer

PREFIX, SUFFIX = "/tmp/ipykernel_1/", ".py"  # noqa: S108  of the names that code of cells has
OURS = (
    "/run/cellstack/**",
    *(f"**/{package}/**" for package in ("IPython", "debugpy", "ipykernel", "pygments", "stack_data", "executing")),
    *(f"**/{package}/**" for package in ("asttokens", "pure_eval", "traitlets", "matplotlib_inline", "prompt_toolkit")),
)
ATTACH_SECONDS = 30.0
REQUEST_SECONDS = 30.0
MAX_SOURCES = 1000
BUNDLE = "__import__('cellstack_guest.debug', fromlist=['bundle']).bundle({name})"
# What every container can answer: the next one is asked when the one that was has come to its end.
OF_NO_STOP = (
    *("inspectVariables", "modules", "richInspectVariables"),
    *("setBreakpoints", "setExceptionBreakpoints", "source"),
)
NOT_FORWARDED = ("terminated", "exited", "initialized", LISTENING, REFUSED)


class Debugger:
    """Answers debug_requests. publish: sends a debug_event."""

    def __init__(self, publish: Callable[[Message], None]) -> None:
        self.started = False
        self._publish = publish
        self._initialize: dict[str, Any] = {}
        self._breakpoints: dict[str, list[Any]] = {}
        self._marked: set[str] = set()  # the files that have had some
        self._exceptions: dict[str, Any] | None = None
        self._sources: dict[str, str] = {}
        self._cell: Link | None = None
        self._untold = False  # a container that is kept for the next cell has breakpoints that are no more
        self._standing_by: Link | None = None
        self._head: str | None = None  # the layer whose variables that one has
        self._reading: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    # -- containers that run cells -----------------------------------------------------------------------------

    def settings(self, code: str) -> dict[str, Any] | None:
        """Return what a container needs to know that is going to run `code`; None when it needs no debugger."""
        return {"sources": {**self._sources, file_name(code): code}} if self.is_wanted else None

    @property
    def is_wanted(self) -> bool:
        """Whether the next cell has to wait for it: also to let go of a container that has been kept."""
        return self.started or self._untold

    def begin(self, container: CellContainer) -> None:
        """Attach to a container that was sent `settings`."""
        self._untold = False
        self.end_standing_by()
        if self._cell is None or self._cell.container is not container:
            self._cell = Link(container, self._happened)
            self._later(self._let_run(self._cell, self._introduce(self._cell)))
        elif not self._cell.closed:
            self._cell.idle = False
            self._cell.attached.clear()
            self._later(self._let_run(self._cell, self._catch_up(self._cell)))

    def received(self, container: CellContainer, message: Message) -> None:
        """Take a frame of type "debug"."""
        if self._cell is not None and self._cell.container is container:
            self._cell.received(message)

    def end(self, container: CellContainer, *, kept: bool) -> None:
        """Let go of a container whose cell has ended, unless it is kept for the next one."""
        self.end_standing_by()  # what it knows of variables is old
        link = self._cell
        if link is not None and link.container is container:
            if kept:
                link.rest()
                return
            self._cell, self._untold = None, False
            link.close()
            for thread in link.stopped:
                body = {"threadId": thread, "allThreadsContinued": True}
                self._publish({"type": "event", "event": "continued", "seq": 0, "body": body})

    async def _let_run(self, link: Link, once: Coroutine[Any, Any, None]) -> None:
        """Let the code run once debugpy traces the container's threads, with all breakpoints set."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(once, ATTACH_SECONDS)
        if not link.closed:
            link.container.send({"type": "debug_ready"})
        link.attached.set()

    async def _introduce(self, link: Link) -> None:
        await link.event(LISTENING)
        link.initialized = await link.ask("initialize", self._initialize)
        rules = [{"path": path, "include": False} for path in (*OURS, *_of_this_process())]
        arguments = {"justMyCode": False, "debugOptions": ["DebugStdLib"], "rules": rules}
        attaching = link.ask("attach", arguments)
        if await first(link.event("initialized"), attaching):
            for path, breakpoints in list(self._breakpoints.items()):
                await link.ask("setBreakpoints", {"source": {"path": path}, "breakpoints": breakpoints})
            if self._exceptions is not None:
                await link.ask("setExceptionBreakpoints", self._exceptions)
            await link.ask("configurationDone", {})
        link.attachment = await attaching

    async def _catch_up(self, link: Link) -> None:
        """Tell a container that was idle what has changed meanwhile; its answers are nobody's business."""
        for path, code in list(self._sources.items()):
            await link.ask("cellstack_dump", {"path": path, "code": code})
        for path in self._sources.keys() | self._marked:
            breakpoints = self._breakpoints.get(path, [])
            await link.ask("setBreakpoints", {"source": {"path": path}, "breakpoints": breakpoints})
        await link.ask("setExceptionBreakpoints", self._exceptions or {"filters": []})

    def _happened(self, link: Link, event: Message) -> None:
        body = event.get("body")
        body = body if isinstance(body, dict) else {}
        thread = body.get("threadId")
        if event["event"] in NOT_FORWARDED or link is not self._cell:
            return
        if event["event"] == "stopped":
            self._later(self._stopped(link, event))
            return
        if event["event"] == "continued":
            if body.get("allThreadsContinued", True):
                link.stopped.clear()
            elif isinstance(thread, int):
                link.stopped.discard(thread)
        self._publish(event)

    async def _stopped(self, link: Link, event: Message) -> None:
        """Learn which threads have stopped, then tell it."""
        answer = await link.ask("threads", {})
        threads = body_of(answer).get("threads")
        for thread in threads if isinstance(threads, list) else ():
            if isinstance(thread, dict) and isinstance(thread.get("id"), int):
                link.stopped.add(thread["id"])
        self._publish(event)

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- the container that stands by --------------------------------------------------------------------------

    async def _link(self, executor: Executor) -> Link:
        """Return the debugger of the cell that runs, else of a container that stands by."""
        while True:
            if self._cell is not None and not self._cell.idle:
                link = self._cell
            elif self._standing_by is not None and not self._standing_by.closed and self._head == executor.head:
                link = self._standing_by
            else:
                link = await self._stand_by(executor)
            await link.attached.wait()
            if not self._is_past(link):
                return link

    def _is_past(self, link: Link) -> bool:
        """Tell whether a container answers no more because a cell has begun or ended, so that there is another."""
        return (link.closed or link.idle) and link is not self._standing_by and not self._closing

    async def _stand_by(self, executor: Executor) -> Link:
        """Make a container with the variables of head, in place of one that has those of another layer."""
        self.end_standing_by()
        self._head = executor.head
        container = await executor.container_aside()
        while self._head != executor.head:  # a cell has ended meanwhile
            await container.discard()
            self._head = executor.head
            container = await executor.container_aside()
        link = self._standing_by = Link(container, self._happened)
        state = executor.state()
        container.send({"type": "debug", "state": state, "debug": {"sources": self._sources}})
        self._reading = asyncio.ensure_future(self._read(link))
        self._later(self._let_run(link, self._introduce(link)))
        return link

    async def _read(self, link: Link) -> None:
        try:
            while (arrived := await link.container.receive()) is not None:
                message = checked(arrived[0])
                if message["type"] == "debug":
                    link.received(message["message"])
        except FrameError:
            link.container.kill("protocol")
        finally:
            link.close()
            with contextlib.suppress(CellstackError):
                await link.container.discard()

    def end_standing_by(self) -> None:
        """End the container that stands by; another one is made when it is needed."""
        link, self._standing_by = self._standing_by, None
        if link is not None and not link.closed:
            link.container.kill("interrupt")

    async def close(self) -> None:
        """End what stands by."""
        self._closing = True
        self.end_standing_by()
        if self._reading is not None:
            await asyncio.wait({self._reading})

    # -- requests ----------------------------------------------------------------------------------------------

    async def answer(self, request: dict[str, Any], executor: Executor) -> dict[str, Any]:
        """Return the reply to a debug_request: a response of the Debug Adapter Protocol, {} when debugging is off."""
        command, arguments = request["command"], request.get("arguments") or {}
        executor.workspace.attend()
        reply = await self._answer(command, arguments, executor)
        if not reply:
            return {}
        return {**reply, "type": "response", "request_seq": request.get("seq", 0), "command": command}

    async def _answer(  # noqa: PLR0911  one for each kind of request
        self, command: str, arguments: dict[str, Any], executor: Executor
    ) -> dict[str, Any]:
        if command == "debugInfo":
            return success(self._info())
        if command == "initialize":
            self.started, self._initialize = True, {"adapterID": "", **arguments}
        elif command in ("inspectVariables", "modules"):
            pass
        elif command == "richInspectVariables":
            return await self._rich(arguments, executor)
        elif command == "copyToGlobals":
            return await self._copy(arguments, executor)
        elif not self.started:
            return {}
        match command:
            case "initialize":
                initialized = (await self._link(executor)).initialized
                self.started = bool(initialized.get("success"))
                return initialized
            case "attach":
                return (await self._link(executor)).attachment
            case "configurationDone":
                await self._link(executor)  # which was told so
                return success({})
            case "dumpCell":
                return await self._dump(arguments)
            case "setBreakpoints":
                return await self._set_breakpoints(arguments, executor)
            case "setExceptionBreakpoints":
                self._exceptions = arguments
            case "source" if (text := self._sources.get(_path(arguments))) is not None:
                return success({"content": text})
            case "disconnect":
                return await self._disconnect()
            case "variables" if not self._stopped_threads():
                command = "cellstack_children"
        reply = await self._ask_any(executor, command, arguments)
        if command == "stackTrace":
            _leave_out_ours(body_of(reply))
        if command == "variables" and isinstance(variables := body_of(reply).get("variables"), list):
            reply["body"]["variables"] = [entry for entry in variables if _is_shown(entry)]
        return reply

    async def _ask(self, link: Link, command: str, arguments: dict[str, Any]) -> Message:
        try:
            return await asyncio.wait_for(link.ask(command, arguments), REQUEST_SECONDS)
        except TimeoutError:
            return failure(f"no answer within {REQUEST_SECONDS:.0f} s")

    async def _ask_any(self, executor: Executor, command: str, arguments: dict[str, Any]) -> Message:
        while True:
            link = await self._link(executor)
            reply = await self._ask(link, command, arguments)
            if command not in OF_NO_STOP or reply.get("success") or not self._is_past(link):
                return reply

    def _stopped_threads(self) -> list[int]:
        return sorted(self._cell.stopped) if self._cell is not None else []

    def _info(self) -> dict[str, Any]:
        return {
            "isStarted": self.started,
            "hashMethod": "Murmur2",
            "hashSeed": get_tmp_hash_seed(),  # type: ignore[no-untyped-call]
            "tmpFilePrefix": PREFIX,
            "tmpFileSuffix": SUFFIX,
            "breakpoints": [{"source": path, "breakpoints": found} for path, found in self._breakpoints.items()],
            "stoppedThreads": self._stopped_threads(),
            "richRendering": True,
            "exceptionPaths": ["Python Exceptions"],
            "copyToGlobals": True,
        }

    async def _dump(self, arguments: dict[str, Any]) -> dict[str, Any]:
        code = arguments.get("code")
        if not isinstance(code, str):
            return failure("code is no text")
        path = file_name(code)
        self._sources.pop(path, None)
        self._sources[path] = code
        while len(self._sources) > MAX_SOURCES:
            del self._sources[next(iter(self._sources))]
        for link in (self._cell, self._standing_by):
            if link is not None and link.attached.is_set() and not link.idle:
                await self._ask(link, "cellstack_dump", {"path": path, "code": code})
        return success({"sourcePath": path})

    async def _set_breakpoints(self, arguments: dict[str, Any], executor: Executor) -> dict[str, Any]:
        path, wanted = _path(arguments), arguments.get("breakpoints")
        if not path or not isinstance(wanted, list):
            return failure("source.path and breakpoints are wanted")
        self._breakpoints[path] = wanted
        self._marked.add(path)
        reply = await self._ask_any(executor, "setBreakpoints", arguments)
        found = body_of(reply).get("breakpoints")
        if isinstance(found, list):  # debugpy may have moved them
            moved = [
                {**asked, "line": real["line"]} for asked, real in zip(wanted, found, strict=False) if "line" in real
            ]
            self._breakpoints[path] = moved
        if not wanted:
            del self._breakpoints[path]
        return reply

    async def _rich(self, arguments: dict[str, Any], executor: Executor) -> dict[str, Any]:
        name, frame = arguments.get("variableName"), arguments.get("frameId")
        if not isinstance(name, str) or not name.isidentifier():
            special = name in ("special variables", "function variables")
            return {**success({"data": {}, "metadata": {}}), "success": special}
        if not self._stopped_threads() or frame is None:
            return await self._ask_any(executor, "richInspectVariables", {"variableName": name})
        expression = {"expression": BUNDLE.format(name=name), "frameId": frame, "context": "clipboard"}
        reply = await self._ask(await self._link(executor), "evaluate", expression)
        try:
            bundle = json.loads(ast.literal_eval(str(body_of(reply).get("result"))))
            return success({"data": dict(bundle["data"]), "metadata": dict(bundle["metadata"])})
        except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
            return failure("the variable cannot be shown")

    async def _copy(self, arguments: dict[str, Any], executor: Executor) -> dict[str, Any]:
        source, target = arguments.get("srcVariableName"), arguments.get("dstVariableName")
        if not all(isinstance(name, str) and name.isidentifier() for name in (source, target)):
            return failure("dstVariableName and srcVariableName must be valid identifiers")
        expression = {"expression": f"globals()['{target}']", "value": source, "frameId": arguments.get("srcFrameId")}
        return await self._ask(await self._link(executor), "setExpression", expression)

    async def _disconnect(self) -> dict[str, Any]:
        self.started, self._exceptions = False, None
        marked = list(self._breakpoints)
        self._breakpoints.clear()
        self.end_standing_by()
        link = self._cell
        if link is not None and link.idle:
            self._untold = True  # what is sent now might arrive only when the next cell runs
        elif link is not None:
            # debugpy itself stays connected: the container may have cells that come after debugging is on again.
            asked = [link.ask("setBreakpoints", {"source": {"path": path}, "breakpoints": []}) for path in marked]
            asked.append(link.ask("setExceptionBreakpoints", {"filters": []}))
            asked += [link.ask("continue", {"threadId": thread}) for thread in link.stopped]
            await asyncio.wait(asked, timeout=REQUEST_SECONDS)
        return success({})


@functools.cache
def _of_this_process() -> list[str]:
    """Return where a container has the modules that a kernel needs, as ipykernel's debugger leaves out its own."""
    standard = sysconfig.get_path("stdlib") + os.sep
    found = []
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None) or ""
        _, packages, inner = path.rpartition("-packages/")
        if packages:
            found.append(f"**/*-packages/{inner}")
        elif path.startswith(standard):
            found.append(f"**/lib/python3*/{path[len(standard) :]}")
    return found


def file_name(code: str) -> str:
    """Return the name that a cell's code has in a container, as `CellCompiler` makes it."""
    text = code.encode("utf-8", "replace").decode()
    return f"{PREFIX}{murmur2_x86(text, get_tmp_hash_seed())}{SUFFIX}"  # type: ignore[no-untyped-call]


def _path(arguments: dict[str, Any]) -> str:
    source = arguments.get("source")
    path = source.get("path") if isinstance(source, dict) else None
    return path if isinstance(path, str) else ""


def _leave_out_ours(trace: dict[str, Any]) -> None:
    """Take out the lowest frame of the main thread's whole stack: the program that the container was started with."""
    frames = trace.get("stackFrames")
    if not isinstance(frames, list) or not frames or trace.get("totalFrames") != len(frames):
        return
    lowest = frames[-1]
    if isinstance(lowest, dict) and lowest.get("name") == "<module>" and _path(lowest) == "<string>":
        del frames[-1]
        trace["totalFrames"] = len(frames)


def _is_shown(variable: Any) -> bool:
    name = variable.get("name") if isinstance(variable, dict) else None
    return isinstance(name, str) and name not in ("get_ipython", "exit", "quit", "In", "Out", "debugpy")
