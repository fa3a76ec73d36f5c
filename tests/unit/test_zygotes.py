"""Which modules the process that cells are forked from has, as cells import them."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_runtime import hardening
from cellstack_runtime.errors import CellstackError
from cellstack_runtime.zygotes import Zygotes, changes_imports, imported_by

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    Test = Callable[["Notebook"], Coroutine[Any, Any, None]]
    Run = Callable[[Test], None]


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("import numpy as np, pandas.io.json", {"numpy", "pandas.io.json"}),
        ("import numpy; import pandas  # and import polars", {"numpy", "pandas"}),
        ("from scipy import stats as s, linalg", {"scipy", "scipy.stats", "scipy.linalg"}),
        ("from a.b import (c,", {"a.b", "a.b.c"}),
        ("x = 1\nimport numpy\n  import indented", {"numpy"}),
        ("%%writefile lib.py\nimport numpy", set()),
        ("from . import sibling\nfrom .x import y", set()),
        ("import sys, _thread, numpy._core\nimport\nfrom x import *\nimport ,;", {"x"}),
        ("imported = 1\nfromage", set()),
    ],
)
def test_imports_are_found_in_the_text_of_a_cell(code: str, modules: set[str]) -> None:
    assert set(imported_by(code)) == modules


def test_modules_are_found_in_the_order_of_the_text() -> None:
    assert imported_by("import b, a\nfrom c import a\nimport a, b") == ["b", "a", "c", "c.a"]


@pytest.mark.parametrize(
    ("files", "changes"),
    [
        ([], True),
        (["lib.py"], True),
        (["lib/__pycache__/a.pyc", "__pycache__/b.pyc"], False),
        (["lib/__pycache__/a.pyc", "lib/deep/a.py"], True),
        (["lib/__pycache__/a.pyc", "empty/"], True),
    ],
)
def test_what_python_has_compiled_changes_no_imports(files: list[str], changes: bool, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).touch()
    assert changes_imports(str(tmp_path)) is changes
    assert not changes_imports(str(tmp_path / "missing"))


class Broker:
    """Starts zygotes that have what they are to import and is on `installed`; one with what `kills` has dies."""

    def __init__(self) -> None:
        self.installed = {"numpy", "numpy.linalg", "pandas", "utils"}
        self.kills: set[str] = set()
        self.started: list[dict[str, Any]] = []
        self.dropped: list[str] = []
        self.may_start = asyncio.Event()
        self.may_start.set()

    async def ask(self, op: str, **fields: Any) -> tuple[dict[str, Any], list[int]]:
        if op == "drop_zygote":
            self.dropped.append(fields["key"])
            return {}, []
        await self.may_start.wait()
        preload = json.loads(json.dumps(fields["preload"]))
        wanted = {name for each in preload for name in each["names"]}
        if wanted & self.kills:
            raise CellstackError("the guest could not be started")
        self.started.append({"key": fields["key"], "after": fields["after"], "preload": preload})
        return {"modules": sorted(wanted & self.installed)}, []


class Workspace:
    """A notebook in a folder."""

    def __init__(self, folder: Path) -> None:
        self.store = SimpleNamespace(home=str(folder))
        self.image = SimpleNamespace(id="ab" * 16, config={"cellstack": {"python": "/python"}})
        self.context = SimpleNamespace(folder=str(folder))
        self.limits = SimpleNamespace(memory=None)
        self.env: dict[str, str] = {}
        self.head = None
        self.chores: set[asyncio.Future[None]] = set()

    def lowers(self, _head: str | None, _part: str) -> tuple[()]:
        return ()

    def prepare(self) -> None:
        pass

    def chore(self, work: Coroutine[Any, Any, None]) -> None:
        self.chores.add(asyncio.ensure_future(work))

    async def quiet(self) -> None:
        while waiting := [chore for chore in self.chores if not chore.done()]:
            await asyncio.wait_for(asyncio.gather(*waiting), 10)


class Notebook:
    """Zygotes, and what tests ask of them."""

    def __init__(self, folder: Path) -> None:
        broker: Any = Broker()
        workspace: Any = Workspace(folder)
        self.broker, self.workspace = broker, workspace
        self.zygotes = Zygotes(workspace, broker)

    async def begin(self) -> None:
        async with self.zygotes.running(self.zygotes.key(), None):
            pass

    async def run(self, code: str, *imported: str, environ: dict[str, str] | None = None) -> None:
        """Run a cell that tells that it has imported modules."""
        self.zygotes.expect(code)
        await asyncio.sleep(0)
        self.zygotes.learn([{"names": list(imported), "environ": environ or {}}])
        self.zygotes.decide()
        await self.zygotes.caught_up()
        await self.workspace.quiet()

    @property
    def preloaded(self) -> list[str]:
        """What the newest zygote was to import."""
        return [name for each in self.broker.started[-1]["preload"] for name in each["names"]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for program in ("cell_program", "zygote_program", "joined_program"):
        monkeypatch.setattr(hardening, program, lambda _: b"")

    def start(test: Test) -> None:
        async def main() -> None:
            notebook = Notebook(tmp_path)
            await notebook.begin()
            await test(notebook)

        asyncio.run(main())

    return start


def test_what_a_cell_imports_is_imported_while_it_runs(run: Run) -> None:
    async def test(notebook: Notebook) -> None:
        first = notebook.zygotes.key()
        notebook.zygotes.expect("import numpy")
        for _ in range(5):
            await asyncio.sleep(0)
        assert notebook.preloaded == ["numpy"]
        assert notebook.broker.started[-1]["after"] == first
        assert notebook.zygotes.key() == first  # which serves until it is known that the cell has imported it
        await notebook.run("import numpy", "numpy")
        assert notebook.zygotes.key() != first
        assert notebook.broker.dropped == [first]

    run(test)


def test_what_the_cell_has_not_imported_is_dropped(run: Run) -> None:
    async def test(notebook: Notebook) -> None:
        first = notebook.zygotes.key()
        await notebook.run("import numpy\nimport utils", "numpy")  # it has found another module of that name
        assert "utils" not in notebook.preloaded
        assert notebook.preloaded == ["numpy"]
        assert len(notebook.broker.dropped) == 2
        assert first in notebook.broker.dropped

    run(test)


def test_a_module_beside_the_notebook_is_not_expected(run: Run, tmp_path: Path) -> None:
    async def test(notebook: Notebook) -> None:
        await notebook.run("import utils")
        assert len(notebook.broker.started) == 1

    (tmp_path / "utils.py").touch()
    run(test)


def test_what_ends_a_zygote_is_not_tried_again(run: Run) -> None:
    async def test(notebook: Notebook) -> None:
        notebook.broker.kills = {"pandas"}
        await notebook.run("import pandas", "pandas")
        await notebook.run("import pandas", "pandas")
        assert len(notebook.broker.started) == 1
        await notebook.run("import numpy", "numpy", "numpy.linalg")
        assert notebook.preloaded == ["numpy", "numpy.linalg"]

    run(test)


def test_modules_that_no_longer_fit_into_the_limit_are_left_to_cells(run: Run) -> None:
    async def test(notebook: Notebook) -> None:
        await notebook.run("import pandas", "pandas")
        notebook.zygotes.rest()
        notebook.broker.kills = {"pandas"}
        await notebook.begin()
        assert notebook.preloaded == []

    run(test)


def test_modules_are_imported_with_the_environment_that_they_had(run: Run) -> None:
    async def test(notebook: Notebook) -> None:
        await notebook.run("import os\nos.environ['A'] = '1'\nimport numpy", "numpy", environ={"A": "1"})
        await notebook.run("import pandas", "pandas", environ={"A": "1"})
        assert notebook.preloaded == ["numpy", "pandas"]
        assert notebook.broker.started[-1]["preload"][-1]["environ"] == {"A": "1"}
        notebook.zygotes.head_moved()
        await notebook.begin()
        assert notebook.broker.started[-1]["after"] == ""
        assert notebook.preloaded == []

    run(test)


@pytest.mark.parametrize("environ", [{"": "1"}, {"A=B": "1"}, {"A": "a\0b"}, {"A": "x" * 10_000}])
def test_an_environment_that_cannot_be_is_no_environment(run: Run, environ: dict[str, str]) -> None:
    async def test(notebook: Notebook) -> None:
        await notebook.run("", "numpy", environ=environ)
        assert len(notebook.broker.started) == 1

    run(test)
