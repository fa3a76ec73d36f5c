"""Cells whose inputs are those of an earlier run give what they gave then, without running."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from tests.kernel.test_widgets import CLICK, FrontEnd
from tests.kernels import PATIENCE, Running, debug

from cellstack_runtime import live

if TYPE_CHECKING:
    from collections.abc import Callable

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
        self.name = "a.ipynb"
        (path / "data").write_text("data")

    def run(self, *cells: str, flags: tuple[str, ...] = ("--cache",), tags: dict[int, str] | None = None) -> list[str]:
        """Run a notebook of these cells; return what the cache did for each."""
        notebook = self._write(self.path / self.name, *cells)
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


def test_time_zone_and_language_are_part_of_the_key(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = ["import time\ntime.tzname[0]"]
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    folder.run(*cells)
    monkeypatch.setenv("TZ", "UTC")
    assert folder.run(*cells) == ["miss"]
    assert folder.outputs[0][0].data["text/plain"] == "'UTC'"
    assert folder.run(*cells) == ["hit"]
    monkeypatch.setenv("LC_ALL", "C")
    assert folder.run(*cells) == ["miss"]


def test_cell_that_sees_the_folder_is_not_one_that_sees_none(folder: Folder) -> None:
    cells = ["import os\nos.listdir()"]
    (folder.path / "data").unlink()
    folder.run(*cells)
    assert folder.run(*cells, flags=("--cache", "--context", "none")) == ["miss"]
    assert folder.outputs[0][0].data["text/plain"] == "[]"


def test_cell_that_lists_the_folder_sees_its_own_notebook(folder: Folder) -> None:
    cells = ["import os\nsorted(os.listdir())"]
    (folder.path / "data").unlink()
    folder.run(*cells)
    assert folder.run(*cells) == ["hit"]
    folder.path, folder.name = folder.path / "other", "b.ipynb"
    folder.path.mkdir()
    assert folder.run(*cells) == ["miss"]
    assert folder.outputs[0][0].data["text/plain"] == "['b.ipynb']"


def test_file_with_other_content_and_the_same_size_and_time_is_another_file(folder: Folder) -> None:
    folder.run(*CELLS)
    path = folder.path / "data"
    before = path.stat()
    path.write_text("atad")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert folder.run(*CELLS) == ["miss"] * 4
    assert folder.outputs[2][1].data["text/plain"] == "'atad'"


def test_what_a_cell_gave_while_files_changed_is_not_kept(folder: Folder) -> None:
    cells = ["import time\nwhile open('data').read() == 'data':\n    time.sleep(0.05)\nopen('data').read()"]
    change = Timer(4, (folder.path / "data").write_text, ["other"])
    change.start()
    assert folder.run(*cells) == ["miss"]
    change.join()
    assert folder.run(*cells) == ["miss"]
    assert folder.run(*cells) == ["hit"]


def test_hashes_are_those_of_the_run_that_the_cache_goes_on_from(folder: Folder) -> None:
    folder.run("found = hash('text')")
    assert folder.run("found = hash('text')", "found == hash('text')") == ["hit", "miss"]
    assert folder.outputs[1][0].data["text/plain"] == "True"


def cached(kernel: Running, code: str, when_begun: Callable[[], object] = lambda: None) -> str:
    """Return what the cache did for a cell. when_begun: is called when the cell has printed "begun"."""

    def hear(message: dict[str, Any]) -> None:
        if message["content"].get("text") == "begun\n":
            when_begun()

    reply = kernel.client.execute_interactive(code, timeout=PATIENCE, output_hook=hear)
    assert reply["content"]["status"] == "ok"
    return str(reply["metadata"]["cellstack"]["cache"])


def test_cell_that_was_interrupted_and_went_on_is_not_kept(kernel: Running) -> None:
    code = "import time\ntry:\n    print('begun')\n    time.sleep(100)\nexcept KeyboardInterrupt:\n    stopped = True"
    for _ in range(2):
        kernel.run("%cache on")
        assert cached(kernel, code, kernel.manager.interrupt_kernel) == "miss"
        kernel.again(now=False)


def test_cell_that_had_nobody_to_ask_is_not_kept(folder: Folder) -> None:
    cells = ["try:\n    answer = input()\nexcept NotImplementedError:\n    answer = 'none'", "answer"]
    for _ in range(2):
        assert folder.run(*cells) == ["miss", "miss"]


def test_cell_whose_variables_found_no_room_is_not_kept_and_one_whose_cannot_be_carried_is(folder: Folder) -> None:
    large, never = "large = bytes(2**26)", "never = (each for each in [1])"
    for _ in range(2):
        assert folder.run(large, flags=("--cache", "--memory", "100m")) == ["miss"]
        assert folder.records[0]["carried"]["not_carried"].keys() == {"large"}
    folder.run(never)
    assert folder.run(never) == ["hit"]
    assert folder.records[0]["carried"]["not_carried"] == {"never": "generator"}


@pytest.mark.parametrize(
    "read",
    [
        "text = open('a.ipynb').read()",
        "text = {name: open(name).read() for name in os.listdir()}['a.ipynb']",
        "text = subprocess.run(['cat', 'a.ipynb'], stdout=subprocess.PIPE, text=True).stdout",
        "os.rename('a.ipynb', 'b')\ntext = open('b').read()",
    ],
    ids=["by its name", "all that is there", "another program", "under another name"],
)
def test_cell_that_reads_its_own_notebook_is_not_kept(folder: Folder, read: str) -> None:
    cells = ["import json, os, subprocess", read, "len(json.loads(text)['cells'])"]
    folder.run(*cells)
    assert folder.run(*cells, "'one more'") == ["hit", "miss", "miss", "miss"]
    assert folder.outputs[2][0].data["text/plain"] == "4"


def test_cell_that_reads_what_an_earlier_run_has_written_is_not_kept(folder: Folder) -> None:
    read = "len(open('out.ipynb').read())"
    folder.run("1")
    folder.run("'another'", read)
    assert folder.run("'another'", read) == ["hit", "miss"]


def test_cell_after_callbacks_of_widgets_stands_on_what_they_changed(kernel: Running) -> None:
    front = FrontEnd(kernel)
    kernel.run("import ipywidgets\ntotal = 0")
    kernel.run("def add(_):\n    global total\n    total += 1")
    button = front.show("button = ipywidgets.Button()\nbutton.on_click(add)\nbutton")
    _, (layers,) = kernel.run("%layers")
    layer = layers.splitlines()[-1].split()[1]
    kernel.run("%cache on")
    assert kernel.run("total")[1] == ["0"]
    kernel.again(now=False)
    for code in ("1", "2", "3", f"%checkout {layer}", "%cache on"):
        kernel.run(code)
    front.click(button)
    front.click(button)
    assert kernel.run("total")[1] == ["2"]


def test_cell_that_a_widget_has_told_something_is_not_kept(kernel: Running, store: Path) -> None:
    front = FrontEnd(kernel)
    kernel.run("import asyncio, ipywidgets\nclicks = []")
    button = front.show("button = ipywidgets.Button()\nbutton.on_click(clicks.append)\nbutton")
    kernel.run("%cache on")
    kept = list((store / "cache" / "cells").glob("*"))
    code = "button\nprint('begun')\nwhile not clicks:\n    await asyncio.sleep(0.01)\nseen = len(clicks)"
    assert cached(kernel, code, lambda: front.post(button, CLICK)) == "miss"
    assert list((store / "cache" / "cells").glob("*")) == kept


def test_cell_that_a_debugger_looks_at_runs(kernel: Running) -> None:
    kernel.run("%cache on")
    assert cached(kernel, "x = 1") == "miss"
    kernel.run("%undo")
    debug(kernel, "initialize", clientID="test", linesStartAt1=True, pathFormat="path")
    debug(kernel, "attach")
    assert cached(kernel, "x = 1") == "off"


@pytest.mark.parametrize("how", ["exec", "kill"])
def test_cell_that_was_reached_into_from_outside_is_not_kept(kernel: Running, store: Path, how: str) -> None:
    code = (
        "import os, signal, time\nreached = []\nsignal.signal(signal.SIGUSR1, lambda *_: reached.append(1))\n"
        "print('begun')\nwhile not (reached or os.path.exists('/tmp/made')):\n    time.sleep(0.01)"
    )
    words = {"exec": ["exec", "{}", "touch", "/tmp/made"], "kill": ["kill", "--signal", "USR1", "{}"]}[how]

    def reach() -> None:
        while not (running := [one.id for one in live.live_containers(str(store)) if one.status == "running"]):
            pass
        (container,) = running
        command = str(Path(sys.executable).with_name("cellstack"))
        # It may be killed with the cell, which ends when it has what it waits for.
        subprocess.run([command, *[word.format(container) for word in words]], check=False)

    for _ in range(2):
        kernel.run("%cache on")
        assert cached(kernel, code, reach) == "miss"
        kernel.again(now=False)


def test_layers_that_the_cache_gave_again_are_shown_once(tmp_path: Path) -> None:
    kernel = Running(tmp_path / "a.ipynb")
    try:
        cells = ["%cache on", "x = 1", "y = x"]
        for code in cells:
            kernel.run(code)
        kernel.again(now=False)
        for code in cells:
            kernel.run(code)
        _, (shown,) = kernel.run("%layers")
    finally:
        kernel.close()
    assert [row.split()[0] for row in shown.splitlines()] == ["CELL", "image", "[2]", "[3]"]
    assert shown.endswith("* head")


def test_cell_that_failed_runs_again_and_so_does_one_that_says_so(folder: Folder) -> None:
    cells = ["1", "1 / 0", "2"]
    assert folder.run(*cells) == ["miss"] * 3
    assert folder.run(*cells) == ["hit", "miss", "miss"]
    cells = ["1", "3", "2"]
    folder.run(*cells)
    assert folder.run(*cells, tags={1: "no-cache"}) == ["hit", "off", "miss"]


def test_cell_that_is_to_fail_gives_its_error_again(folder: Folder) -> None:
    cells, tags = ["x = 1", "x = 2\n1 / 0", "x"], {1: "raises-exception"}
    folder.run(*cells, tags=tags)
    outputs = folder.outputs
    assert folder.run(*cells, tags=tags) == ["hit"] * 3
    assert folder.outputs == outputs
    assert folder.outputs[1][0].ename == "ZeroDivisionError"
    assert folder.records[1]["status"] == "error"
    assert folder.run(*cells) == ["hit", "miss", "miss"]


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
