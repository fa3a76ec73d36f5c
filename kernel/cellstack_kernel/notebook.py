"""One notebook as the kernel and `cellstack execute` see it: host magics, cells, and what the person has granted."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cellstack_kernel import magics
from cellstack_kernel.cache import HIT, MISS, NO_CACHE, Cache, Recording
from cellstack_kernel.defaults import default_limits
from cellstack_kernel.executor import Executor
from cellstack_kernel.grants import Grants
from cellstack_kernel.records import record_without_container
from cellstack_kernel.runs import FrontEnd, InterruptError, Nobody, Outcome, Request
from cellstack_kernel.settings import Settings
from cellstack_runtime.cli.output import printable
from cellstack_runtime.config import Config
from cellstack_runtime.context import resolve_context
from cellstack_runtime.errors import CellstackError, GrantError, HostError, UsageError
from cellstack_runtime.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cellstack_kernel.journal import Journal
    from cellstack_kernel.widgets.feed import Feed
    from cellstack_runtime.context import Context
    from cellstack_runtime.limits import Limits
    from cellstack_runtime.store import Session, Store
    from cellstack_runtime.workspace import BindMount

NOTHING = Settings()
RELEASE_SECONDS = 60.0  # for a container that several cells share, when the kernel ends
News = tuple[str, dict[str, Any]]  # a message and its content, for whoever runs the next cell


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far cells reach."""

    limits: Limits
    context: Context
    mounts: list[BindMount]


class Notebook:
    """A notebook's session. `last` and `before` are the records of the last two cell runs, None before there are any.

    feed: the live views of a kernel.
    """

    def __init__(self, workspace: Workspace, grants: Grants, path: str | None, folder: str | None) -> None:
        self.workspace = workspace
        self.grants = grants
        self.path = path
        self.folder = folder
        self.executor = Executor(workspace)
        self.last: dict[str, Any] | None = None
        self.before: dict[str, Any] | None = None
        self._wishes: tuple[list[tuple[str, str]], _Reach] | None = None
        self.news: News | None = None
        self.cache = Cache(workspace.store, [path] if path else [])
        self.feed: Feed | None = None
        self.connection: str | None = None  # the file by which clients find the kernel
        self._told_left_out: list[str] = []
        self._untold: dict[int, str] = {}  # cells that no layer knows of: host magics alone, and what was killed
        self.journal: Journal | None = None  # of a kernel, whose front ends come and go

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        path: str | None,
        folder: str | None = None,
        asked: Settings = NOTHING,
        given: Settings = NOTHING,
        env: Mapping[str, str] | None = None,
        session: Session | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Notebook:
        """Open a session for the notebook file `path`, or go on with `session`.

        The folder of `path` (else `folder`) is the context.
        asked: what the notebook's metadata says. given, env: what the person says, which goes before it and is
        granted by that. HostError when this host cannot run containers, NotFoundError for the image or the folder,
        UsageError for a setting that is none.
        """
        where = os.path.dirname(os.path.abspath(path)) if path else folder
        flags = [what for what, _ in given.grants()]
        config = Config(store.home)
        grants = Grants(config, path, flags=flags)
        own = {name: value for name, value in asked.limits.items() if name not in given.limits}
        wished = grants.default_limits(default_limits()).updated(own)
        limits = wished.updated(given.limits)
        if limits.network != "none":
            raise _no_network(limits.network, granted="network" in given.limits)
        mode = given.context or asked.context or "ro"
        mounts = [*given.bind_mounts(), *asked.bind_mounts()]
        wants = grants.beyond(wished) + [
            (what, flag) for what, flag in asked.grants() if not (given.context and what == "context:rw")
        ]
        open_wishes = [(what, flag) for what, flag in wants if what not in grants.granted]
        context = resolve_context(where, mode, store=store.home)
        if context.note:
            progress(context.note)
        wanted = _Reach(limits, context, mounts)
        first = wanted
        if open_wishes:  # nothing of what is not granted yet
            first = _Reach(
                grants.default_limits(default_limits()).updated(given.limits),
                resolve_context(where, given.context or "ro", store=store.home),
                given.bind_mounts(),
            )
        workspace = await Workspace.open(
            store,
            image=(session.image if session and session.head else None) or given.image or asked.image or "default",
            env=env,
            notebook=os.path.abspath(path) if path else None,
            session=session,
            progress=progress,
            limits=first.limits,
            context=first.context,
            mounts=first.mounts,
            rest=config.rest(),
        )
        notebook = cls(workspace, grants, path, where)
        notebook._wishes = (open_wishes, wanted) if open_wishes else None
        return notebook

    async def settle_wishes(self, front: FrontEnd) -> None:
        """Ask the person for what the notebook's metadata asks for and nobody has granted; GrantError when refused."""
        if self._wishes is not None:
            wants, reach = self._wishes
            for what, flag in wants:
                await self.grants.require(what, flag, front)
            self._wishes = None
            await self.workspace.configure(limits=reach.limits, context=reach.context, mounts=reach.mounts)

    async def execute(self, request: Request, front: FrontEnd) -> Outcome:
        """Run a cell, and keep what it puts out where that is wanted."""
        if self.journal is None or not request.store_history or not request.main:
            return await self._execute(request, front)
        journaled = self.journal.of(request, front)
        outcome = None
        try:
            outcome = await self._execute(request, journaled)
        finally:
            journaled.end(outcome)
        return outcome

    async def _execute(self, request: Request, front: FrontEnd) -> Outcome:
        """Answer the host magics of a cell, then run what is left of it in a container."""
        is_stored = request.store_history and not request.silent
        if is_stored:
            self._untold[request.number] = request.code
        try:
            if self.news is not None and not request.silent and request.main:
                news, self.news = self.news, None
                front.publish(*news)
            await self.settle_wishes(front)
            parsed = magics.parse(request.code)
            if parsed.calls and not request.main and self.executor.runs:
                raise UsageError(
                    f"%{parsed.calls[0].name} is answered when no other cell runs",
                    hint="Run it again then, or as a cell of the notebook",
                )
            for call in parsed.calls:
                # A program that runs notebooks would keep a view's state in the file, and viewers would take that, with
                # code that they fetch from elsewhere, and not the picture. It is told from a person by not answering.
                await magics.call(self, call, front, live=request.allow_stdin)
            if parsed.calls and not parsed.code.strip():
                content = {"status": "ok", "execution_count": request.number, **_EMPTY}
                return Outcome(content, record_without_container(self.workspace, request.number, "ok"))
            wanted = self._request(request, parsed)
            if wanted.limits is not None:
                await self.check_limits(wanted.limits, front)
            keeps = self.executor.keeps
            if keeps and parsed.options:
                raise UsageError(
                    "%%container is for a cell with a container of its own",
                    hint="%container scope=cell ends the shared one",
                )
            cached = request.main and not (parsed.calls or keeps or NO_CACHE in request.tags)
            cached &= self.executor.debugger_for(wanted) is None  # which is to stop in it, and may change it
            outcome = await self._run(wanted, front, cached=cached)
            if is_stored and request.main and wanted.commit and outcome.record["status"] != "killed":
                for number in [request.number, *dict(wanted.earlier)]:
                    del self._untold[number]
            if request.store_history:
                self._tell_left_out(front)
        except CellstackError as error:
            return Outcome(
                failed(error, request, front).content, record_without_container(self.workspace, request.number, "error")
            )
        outcome.record["grants"] = self.grants.granted
        self.before, self.last = self.last, outcome.record
        self.workspace.on_change()
        return outcome

    def _tell_left_out(self, front: FrontEnd) -> None:
        """Say once which directories cells do not see because there are too many."""
        left_out = self.workspace.left_out
        if left_out and left_out != self._told_left_out:
            self._told_left_out = left_out
            tops = sorted({path.partition("/")[0] for path in left_out})
            names = ", ".join(printable(name) for name in tops[:5]) + (", …" if len(tops) > 5 else "")
            text = (
                f"{self.workspace.context.folder} has too many directories: cells do not see {len(left_out)} of them, "
                f"in {names}. Move the notebook to a folder of its own to have all\n"
            )
            front.publish("stream", {"name": "stderr", "text": text})

    async def _run(self, request: Request, front: FrontEnd, *, cached: bool) -> Outcome:
        """Take a cell's result from the cache if it is there, else run it."""
        if cached:
            await self.executor.settle_before(front)
        key = await self.cache.key(self.workspace, request) if cached else None
        if key is None:
            return await self.executor.run(request, front)
        entry = await asyncio.to_thread(self.cache.get, key, request.tags)
        if entry is not None and await self.workspace.adopt(entry.layer, request.number):
            self.cache.hits += 1
            for kind, content, metadata in entry.outputs:
                front.publish(kind, content, metadata=metadata)
            return Outcome(entry.content, {**entry.record, "cache": HIT})
        self.cache.misses += 1
        recording = Recording(front)
        unread = self.cache.left_out_of(self.workspace)
        outcome = await self.executor.run(replace(request, cache=MISS, unread=unread), recording)
        outcome.record["cache"] = MISS
        await asyncio.to_thread(self.cache.put, key, outcome, recording, request.tags)
        return outcome

    def _request(self, request: Request, parsed: magics.Parsed) -> Request:
        options = dict(parsed.options)
        commit = options.pop("commit", "yes") != "no"
        limits = self.workspace.limits.updated(options) if options else None
        return replace(
            request,
            code=parsed.code,
            typed=request.code,
            skipped=parsed.skipped,
            kind=parsed.kind,
            limits=limits,
            commit=commit,
            earlier=tuple(each for each in self._untold.items() if each[0] < request.number),
        )

    async def check_limits(self, wanted: Limits, front: FrontEnd) -> None:
        """Pass when the notebook may have these limits; GrantError or HostError says why not."""
        if wanted.network != "none":
            raise _no_network(wanted.network, granted=False)
        for what, flag in self.grants.beyond(wanted):
            await self.grants.require(what, flag, front)

    async def close(self, ended: str | None = "shutdown") -> None:
        """End what runs; layers and session stay."""
        if self.feed is not None:
            self.feed.close()
        if not self.executor.runs:
            with contextlib.suppress(CellstackError, TimeoutError):  # there is nobody any more to tell
                await asyncio.wait_for(self.executor.release(Nobody()), RELEASE_SECONDS)
        await self.workspace.close(ended)


_EMPTY: dict[str, Any] = {"payload": [], "user_expressions": {}}


def _no_network(network: str, *, granted: bool) -> CellstackError:
    """Return why there is no network but none."""
    if granted:
        return HostError(
            f"network={network} is not in this version", hint="Cells run with network=none: loopback and nothing else"
        )
    return GrantError(
        f"network={network} is not granted to this notebook",
        hint=f"It takes `--network {network}` on the command line, and this version has network=none only",
    )


def failed(error: CellstackError, request: Request, front: FrontEnd) -> Outcome:
    """Show an error of ours the way a cell's error is shown, in one sentence and without a traceback."""
    name = "KeyboardInterrupt" if isinstance(error, InterruptError) else "CellstackError"
    content = {"ename": name, "evalue": str(error), "traceback": [f"\x1b[31m{name}\x1b[39m: {error}"]}
    if not request.silent:
        front.publish("error", content)
    return Outcome({"status": "error", "execution_count": request.number, **content}, {})
