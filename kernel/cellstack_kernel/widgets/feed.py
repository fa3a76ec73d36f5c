"""What is new, given to the views that are shown: after each change, and twice a second while a cell runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

from cellstack_kernel.runs import Nobody
from cellstack_kernel.widgets import facts
from cellstack_kernel.widgets.models import Joined, Models, module_version
from cellstack_runtime.errors import CellstackError
from cellstack_runtime.live import change_limits, read_container
from cellstack_runtime.metrics import sample
from cellstack_runtime.namespaces import look

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellstack_kernel.notebook import Notebook
    from cellstack_kernel.runs import FrontEnd, Run
    from cellstack_runtime.containers import CellContainer
    from cellstack_runtime.live import Container
    from cellstack_runtime.metrics import Sample

SAMPLE_SECONDS = 0.5
FIRST_SECONDS = 0.2  # a cell that is over by then is not measured while it runs
_HELD = ("memory", "cpus", "pids")


class Feed:
    """The live views of one notebook. front: where goes what nobody has asked for."""

    def __init__(self, notebook: Notebook, front: FrontEnd) -> None:
        self._notebook = notebook
        self.models = Models(front, self.changed)
        self._inside = facts.NOTHING_SEEN
        self._points: deque[list[float | None]] = deque(maxlen=facts.MAX_POINTS)
        self._measured: tuple[Run, Sample] | None = None  # what was looked at last
        self._usage: dict[str, Any] | None = None  # of it
        self._telling: asyncio.Task[None] | None = None
        self._measuring: asyncio.Task[None] | None = None
        self._again = False
        notebook.workspace.on_change = self.changed

    def close(self) -> None:
        """Tell nothing any more."""
        for task in (self._telling, self._measuring):
            if task is not None:
                task.cancel()

    # -- what is shown when it is asked for ----------------------------------------------------------------------

    async def show(self, kind: str, front: FrontEnd) -> dict[str, Any]:
        """Return what shows a live view of a kind in a mimebundle; nothing where anywidget is not installed."""
        return self.models.show(kind, await self.facts(), front) if module_version() else {}

    async def expect(self, kinds: Sequence[str]) -> None:
        """Have the views ready that the notebook's file shows, for a browser that asks for them by name."""
        if kinds:
            layers = await asyncio.to_thread(facts.layers, self._notebook.workspace)
            for kind in kinds:
                self.models.expect(kind, {**self._quick(), "layers": layers})

    async def facts(self) -> dict[str, Any]:
        """Return all there is to see now."""
        await self._look()
        layers = await asyncio.to_thread(facts.layers, self._notebook.workspace)
        return {**self._quick(), "layers": layers}

    async def _look(self) -> None:
        if self._inside is facts.NOTHING_SEEN:
            self._inside = await facts.inside_the_next(self._notebook.workspace)

    def _quick(self) -> dict[str, Any]:
        notebook, last, run = self._notebook, self._notebook.last, self._notebook.executor.current
        measured = run is not None and self._measured is not None and self._measured[0] is run
        return {
            "namespaces": facts.of_notebook(notebook, self._inside),
            "limits": facts.wanted(notebook.workspace.limits),
            "samples": self._samples(),
            "usage": self._usage if measured else facts.used(last) if last is not None else None,
        }

    def _samples(self) -> dict[str, Any]:
        """Return what was measured of the cell that was measured last: [seconds, bytes, percent or None, processes]."""
        number = self._measured[0].request.number if self._measured is not None else None
        return {"number": number, "points": list(self._points)}

    # -- what has changed ----------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Have the views told what is new, if there are any."""
        self._again = True
        if self._telling is None or self._telling.done():
            self._telling = asyncio.ensure_future(self._tell())
            self._telling.add_done_callback(self._told)
        running = self._notebook.executor.running is not None
        if running and self.models.wants("samples") and (self._measuring is None or self._measuring.done()):
            self._measuring = asyncio.ensure_future(self._measure())

    async def _tell(self) -> None:
        while self._again:
            self._again = False
            if self.models.wants("namespaces"):
                await self._look()
            news = self._quick() if any(map(self.models.wants, ("namespaces", "usage"))) else {}
            if self.models.wants("layers"):
                news["layers"] = await asyncio.to_thread(facts.layers, self._notebook.workspace)
            self.models.update(news)

    def _told(self, task: asyncio.Task[None]) -> None:
        """Say that it has failed, if it has, and tell what has changed meanwhile all the same."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            message = "live views could not be brought up to date"
            task.get_loop().call_exception_handler({"message": message, "exception": error})
            if self._again:
                self.changed()

    # -- while a cell runs ---------------------------------------------------------------------------------------

    async def _measure(self) -> None:
        executor = self._notebook.executor
        while (run := executor.current) is not None and self.models.wants("samples"):
            container = run.container
            fresh = self._measured is None or self._measured[0] is not run
            await asyncio.sleep(FIRST_SECONDS if fresh or container is None else SAMPLE_SECONDS)
            if container is not None and run.container is container:
                await self._sample(run, container, fresh=fresh)

    async def _sample(self, run: Run, container: CellContainer, *, fresh: bool) -> None:
        record, taken = await asyncio.to_thread(self._read, container.id)
        if record is None or taken is None or run.container is not container:
            return
        if fresh:
            self._points.clear()
        before = self._measured[1] if self._measured is not None and not fresh else None
        self._measured = run, taken
        seconds = container.clock.seconds
        self._points.append([round(seconds, 2), taken.memory, _percent(before, taken), taken.pids])
        self._usage = facts.now(run.request.number, taken, record.limits, record.enforced_by, seconds)
        self.models.update({"samples": self._samples(), "usage": self._usage})
        if fresh and self.models.wants("namespaces"):
            with contextlib.suppress(CellstackError):  # the cell is over
                self._inside = container.id, facts.seen(await asyncio.to_thread(look, record))
                self.models.update({"namespaces": facts.of_notebook(self._notebook, self._inside)})

    def _read(self, container_id: str) -> tuple[Container | None, Sample | None]:
        record = read_container(self._notebook.workspace.run_dir, container_id)
        return record, sample(record) if record is not None else None

    # -- what front ends say -------------------------------------------------------------------------------------

    async def receive(self, message: dict[str, Any], front: FrontEnd) -> None:
        """Take a comm message to one of the models."""
        asked = self.models.receive(message, front)
        if asked is not None:
            kind, options = asked
            try:
                text, ok = await self._limit(options), True
            except CellstackError as error:
                text, ok = str(error), False
            self.models.answer(kind, text, front, ok=ok)

    def joined(self, front: FrontEnd) -> FrontEnd:
        """Return a front end that is told of these models when a cell's container tells of its own."""
        return Joined(front, self.models)

    async def _limit(self, options: Mapping[str, str]) -> str:
        """Change limits of the following cells, and of the container that runs as far as its cgroup holds them.

        Return what was done. CellstackError when the notebook may not have them: nothing is changed then.
        """
        notebook, workspace = self._notebook, self._notebook.workspace
        if not options:
            return "Nothing was to be changed."
        wanted = workspace.limits.updated(options)
        await notebook.check_limits(wanted, Nobody())  # a form is no place for the kernel's question
        container = notebook.executor.holding
        changes = {name: getattr(wanted, name) for name in options if name in _HELD}
        await workspace.configure(limits=wanted)
        self.changed()
        if container is None:
            return "From the next cell on."
        if not changes:
            return "From the next container on: the time of this one is counted already."
        try:
            await asyncio.to_thread(self._apply, container.id, changes)
        except CellstackError as error:
            return f"From the next container on. This one keeps its own: {error}"
        return "At once, and for the cells that follow."

    def _apply(self, container_id: str, changes: Mapping[str, Any]) -> None:
        workspace = self._notebook.workspace
        record = read_container(workspace.run_dir, container_id)
        if record is None:
            raise CellstackError("it has just ended")
        change_limits(record, workspace.store.home, changes)


def _percent(before: Sample | None, taken: Sample) -> float | None:
    """Return the processor time between two samples, in percent of one processor."""
    if before is None or taken.time <= before.time:
        return None
    return round(max(0.0, 100 * (taken.cpu_seconds - before.cpu_seconds) / (taken.time - before.time)), 1)
