"""Cells whose inputs are those of an earlier run give what they gave then, without running."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

CELLS = [
    "x = [1]\nprint('once')",
    "x.append(2)\nopen('made', 'w').write('text')\nx",
    "from IPython.display import HTML\ndisplay(HTML('<b>shown</b>'))\nopen('data').read()",
    "x, open('made').read()",
]


class Folder:
    """A folder with a notebook and a data file, in which notebooks are run with the cache."""

    def __init__(self, cellstack: Run, write_notebook: Callable[..., Path], path: Path) -> None:
        self._cellstack = cellstack
        self._write = write_notebook
        self.path = path
        (path / "data").write_text("data")

    def run(self, *cells: str, flags: tuple[str, ...] = ("--cache",), tags: dict[int, str] | None = None) -> list[str]:
        """Run a notebook of these cells; return what the cache did for each."""
        notebook = self._write(self.path / "a.ipynb", *cells)
        node = nbformat.read(notebook, as_version=4)
        for index, tag in (tags or {}).items():
            node.cells[index].metadata["tags"] = [tag]
        nbformat.write(node, notebook)
        out = self.path / "out.ipynb"
        done = self._cellstack("execute", notebook, "-o", out, "--format", "json", "--allow-errors", *flags)
        self.records: list[dict[str, Any]] = json.loads(done.stdout)["cells"]
        self.outputs = [cell.outputs for cell in nbformat.read(out, as_version=4).cells]
        return [record["cache"] for record in self.records]


@pytest.fixture
def folder(cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path) -> Folder:
    return Folder(cellstack, write_notebook, tmp_path)


def test_second_run_gives_the_same_without_running(folder: Folder) -> None:
    assert folder.run(*CELLS) == ["miss"] * 4
    outputs, layers = folder.outputs, [record["layer"] for record in folder.records]
    assert folder.run(*CELLS) == ["hit"] * 4
    assert folder.outputs == outputs
    assert [record["layer"] for record in folder.records] == layers
    assert folder.records[0]["namespaces"] == {}
    assert folder.run(*CELLS, flags=()) == ["off"] * 4


def test_cell_after_hits_has_their_variables_and_files(folder: Folder) -> None:
    folder.run(*CELLS)
    assert folder.run(*CELLS, "x, open('made').read(), Out[2], In[2]") == [*["hit"] * 4, "miss"]
    assert folder.outputs[4][0].data["text/plain"].startswith("([1, 2], 'text', [1, 2], \"x.append(2)")


def test_changed_cell_and_what_comes_after_it_run_again(folder: Folder) -> None:
    folder.run(*CELLS)
    assert folder.run(CELLS[0], CELLS[1], "'another'", CELLS[3]) == ["hit", "hit", "miss", "miss"]
    assert folder.run(*CELLS) == ["hit"] * 4


def test_changed_file_of_the_folder_runs_all_again(folder: Folder) -> None:
    folder.run(*CELLS)
    (folder.path / "data").write_text("other")
    assert folder.run(*CELLS) == ["miss"] * 4
    assert folder.outputs[2][1].data["text/plain"] == "'other'"
    (folder.path / ".hidden").write_text("cells do not see it")
    assert folder.run(*CELLS) == ["hit"] * 4
    (folder.path / "new folder").mkdir()
    assert folder.run(*CELLS) == ["miss"] * 4


@pytest.mark.parametrize("flags", [("--memory", "300m"), ("-e", "NAME=value")])
def test_other_settings_are_another_result(folder: Folder, flags: tuple[str, ...]) -> None:
    folder.run("1")
    assert folder.run("1", flags=("--cache", *flags)) == ["miss"]
    assert folder.run("1", flags=("--cache", *flags)) == ["hit"]


def test_cell_that_failed_runs_again_and_so_does_one_that_says_so(folder: Folder) -> None:
    cells = ["1", "1 / 0", "2"]
    assert folder.run(*cells) == ["miss"] * 3
    assert folder.run(*cells) == ["hit", "miss", "miss"]
    cells = ["1", "3", "2"]
    folder.run(*cells)
    assert folder.run(*cells, tags={1: "no-cache"}) == ["hit", "off", "miss"]


def test_cell_that_can_write_to_the_host_is_never_cached(folder: Folder) -> None:
    flags = ("--cache", "--context", "rw")
    assert [folder.run("1", flags=flags), folder.run("1", flags=flags)] == [["off"], ["off"]]


def test_result_whose_layer_or_variables_are_gone_is_no_result(folder: Folder, store: Path) -> None:
    cells = ["y = [3]", "y"]
    folder.run(*cells)
    first, second = (record["layer"] for record in folder.records)
    shutil.rmtree(store / "layers" / second)
    assert folder.run(*cells) == ["hit", "miss"]
    for session in os.listdir(store / "sessions"):
        shutil.rmtree(store / "sessions" / session / "state" / first, ignore_errors=True)
    assert folder.run(*cells) == ["miss", "miss"]


def test_magic_turns_it_on_for_the_cells_after_it(folder: Folder) -> None:
    cells = ["%cache on", "z = 1", "%cache off", "z", "%cache"]
    assert folder.run(*cells, flags=()) == ["off", "miss", "off", "off", "off"]
    assert folder.run(*cells, flags=()) == ["off", "hit", "off", "off", "off"]
    shown = folder.outputs[4][0].data["text/plain"]
    assert shown.startswith("The cache is off: 1 cells of this run were taken from it")
    assert folder.run("%cache maybe", flags=()) == ["off"]
    assert folder.outputs[0][0].evalue == "%cache takes on, off or status, not 'maybe'"
