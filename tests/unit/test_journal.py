"""What is kept of the outputs of cells: as much as they show, not as much as they have put out."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_kernel import journal
from cellstack_kernel.kept import outputs_content
from cellstack_kernel.runs import Nobody, Outcome, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

LIMIT = 10_000
Publish = tuple[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_BYTES", LIMIT)


def text(value: str) -> Publish:
    return "stream", {"name": "stdout", "text": value}


def clear(*, wait: bool = False) -> Publish:
    return "clear_output", {"wait": wait}


def shown(value: str, display: str = "d", *, update: bool = False) -> Publish:
    kind = "update_display_data" if update else "display_data"
    return kind, {"data": {"text/plain": value}, "metadata": {}, "transient": {"display_id": display}}


def update(value: str, display: str = "d") -> Publish:
    return shown(value, display, update=True)


class Kernel:
    """Keeps what the cells of a test put out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / journal.FOLDER
        self._chores: set[asyncio.Task[None]] = set()
        self.journal = journal.Journal(str(folder), self._chore)
        self._number = 0

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        self._chores.add(asyncio.ensure_future(work))

    def begin(self, cell_id: str = "a") -> journal.Journaled:
        self._number += 1
        parent = {"shell": {"header": {"msg_id": f"request {self._number}"}}}
        request = Request("", number=self._number, cell_id=cell_id, parent=parent)
        return self.journal.of(request, Nobody())

    async def end(self, cell: journal.Journaled) -> None:
        cell.end(Outcome({"status": "ok"}, {}))
        await self.written()

    async def written(self) -> None:
        while self._chores:
            await self._chores.pop()

    async def run(self, *outputs: Publish, cell_id: str = "a") -> int:
        """Run a cell whose outputs are written one by one; return its number."""
        cell = self.begin(cell_id)
        for output in outputs:
            cell.publish(*output)
            await cell.write()
        await self.end(cell)
        return self._number

    async def answer(self, number: int) -> dict[str, Any]:
        [cell] = (await outputs_content(self.journal, since=0.0, number=number))["cells"]
        return dict(cell)

    async def outputs(self, number: int) -> list[str]:
        """Return what a front end is told that a cell shows."""
        outputs = (await self.answer(number))["outputs"]
        return [output.get("text") or output["data"]["text/plain"] for output in outputs]

    @property
    def size(self) -> int:
        return sum(file.stat().st_size for file in self.folder.iterdir())


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def ended(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


FRAMES: dict[str, Callable[[str], list[Publish]]] = {
    "cleared": lambda frame: [clear(), text(frame)],
    "cleared by the next": lambda frame: [clear(wait=True), text(frame)],
    "updated": lambda frame: [update(frame)],
}


@pytest.mark.parametrize("of", FRAMES.values(), ids=FRAMES)
def test_the_newest_frame_is_kept_of_however_many(kernel: Kernel, of: Callable[[str], list[Publish]]) -> None:
    async def work() -> None:
        frames = [output for number in range(60) for output in of(f"{number} ".ljust(LIMIT // 3, "."))]
        number = await kernel.run(text("first"), clear(), shown("begins"), *frames)
        [*_, last] = await kernel.outputs(number)
        assert last.startswith("59 ")
        assert kernel.size < 4 * LIMIT

    ended(work())


def test_frames_that_come_faster_than_they_are_written_are_not_held(kernel: Kernel) -> None:
    async def work() -> None:
        cell = kernel.begin()
        for number in range(60):
            cell.publish(*clear(wait=True))
            cell.publish(*text(f"{number} ".ljust(LIMIT // 3, ".")))
        assert len(cell._lines) < 20
        await kernel.end(cell)
        [last] = await kernel.outputs(1)
        assert last.startswith("59 ")

    ended(work())


def test_a_cell_that_clears_little_very_often_is_written_anew_now_and_then(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced: list[str] = []
    replace = os.replace

    def note(source: str, target: str) -> None:
        replaced.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", note)

    async def work() -> None:
        number = await kernel.run(*[output for number in range(500) for output in (clear(), text(str(number)))])
        assert await kernel.outputs(number) == ["499"]
        assert kernel.size < 2 * LIMIT
        assert 2 < len(replaced) < 20

    ended(work())


def test_what_is_left_out_is_said_until_it_is_cleared(kernel: Kernel) -> None:
    async def work() -> None:
        much = "x" * (LIMIT + 1)
        said = f"{len(much)} bytes of outputs that followed were too many to keep\n"
        assert await kernel.outputs(await kernel.run(text("one"), text(much))) == ["one", said]
        assert await kernel.outputs(await kernel.run(text(much), clear(), text("two"))) == ["two"]
        assert await kernel.outputs(await kernel.run(text("one"), clear(wait=True))) == ["one"]

    ended(work())


def test_other_outputs_stay_where_they_are_beside_a_display_that_is_updated(kernel: Kernel) -> None:
    async def work() -> None:
        frames = [update(f"{number} ".ljust(LIMIT // 3, ".")) for number in range(20)]
        number = await kernel.run(text("before"), shown("0"), shown("other", "e"), *frames[:9], text("after"), *frames)
        before, frame, other, after = await kernel.outputs(number)
        assert (before, frame[:3], other, after) == ("before", "19 ", "other", "after")

    ended(work())


def test_an_update_is_kept_with_the_cell_that_shows_the_display(kernel: Kernel) -> None:
    async def work() -> None:
        first = await kernel.run(text("before"), shown("start"), cell_id="a")
        [before] = (await outputs_content(kernel.journal, since=0.0, number=None))["cells"]
        frames = [update(f"{number} ".ljust(LIMIT // 3, ".")) for number in range(20)]
        second = await kernel.run(*frames, update("nobody shows it", "e"), cell_id="b")
        assert (await kernel.outputs(first))[1].startswith("19 ")
        assert kernel.size < 4 * LIMIT
        answer = await kernel.answer(second)
        assert answer["outputs"] == []
        assert answer["updates"] == [{"number": first, "request": "request 1"}]
        again = (await outputs_content(kernel.journal, since=0.0, number=None))["cells"]
        assert [cell["ended"] for cell in again if cell["number"] == first] == [before["ended"]]

    ended(work())


def test_a_display_that_is_not_shown_any_more_is_not_updated(kernel: Kernel) -> None:
    async def work() -> None:
        await kernel.run(shown("old"), cell_id="a")
        new = await kernel.run(shown("cleared"), clear(), text("left"), cell_id="a")
        last = await kernel.run(update("new"), cell_id="b")
        assert (await kernel.answer(last))["updates"] == []
        assert (await kernel.outputs(new)) == ["left"]
        listed = (await outputs_content(kernel.journal, since=0.0, number=None))["cells"]
        assert {cell["cell_id"]: cell["number"] for cell in listed} == {"a": new, "b": last}

    ended(work())


def test_what_an_output_widget_takes_is_not_the_cells(kernel: Kernel) -> None:
    def of(comm: str, request: str) -> Publish:
        return "comm_msg", {"comm_id": comm, "data": {"method": "update", "state": {"msg_id": request}}}

    async def work() -> None:
        outputs = [
            text("1 "),
            ("comm_open", {"comm_id": "w", "data": {"state": {"msg_id": "", "outputs": []}}}),
            of("w", "request 1"),
            text("inside "),
            of("v", "request 1"),
            of("v", ""),
            clear(),
            text("inside "),
            ("comm_msg", {"comm_id": "w", "data": {"method": "custom"}}),
            ("comm_msg", {"comm_id": "w", "data": "what a cell says"}),
            of("w", ""),
            text("2 "),
            of("w", "another request"),
            text("3"),
        ]
        assert await kernel.outputs(await kernel.run(*outputs)) == ["1 2 3"]

    ended(work())
