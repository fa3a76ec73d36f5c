"""A cell that dies loses nothing: one clear error with the limit's number, and the next cell goes on from before it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

# Where rlimits hold the memory limit a cell may end by a MemoryError instead, and leave what it did: every way to
# die starts from a state set up anew.
SET_UP = """
import collections, os
globals().pop("spoilt", None)
if os.path.exists("/root/spoilt"):
    os.remove("/root/spoilt")
numbers = {"a": [1, 2]}
Point = collections.namedtuple("Point", "x y")
point = Point(1, 2)
def double(value):
    return value * len(numbers["a"])
open("kept", "w").write("in /work")
open("/root/kept", "w").write("outside of it")
"""
SPOIL = """
print("before")
numbers["a"].append(3)
point = None
spoilt = True
open("kept", "w").write("spoilt")
open("/root/spoilt", "w").close()
"""
LOOK = """
kept = [open("kept").read(), open("/root/kept").read()]
print([numbers, point and tuple(point), double(21), kept, "spoilt" in globals(), os.path.exists("/root/spoilt")])
"""
UNSPOILT = "[{'a': [1, 2]}, (1, 2), 42, ['in /work', 'outside of it'], False, False]\n"


@dataclass(frozen=True)
class Way:
    """A way to die, and the words (regular expressions) of the error; `options` are those of %%container."""

    code: str
    reason: str
    words: tuple[str, ...]
    signal: str | None = None
    options: str = ""

    @property
    def source(self) -> str:
        magic = f"%%container {self.options}\n" if self.options else ""
        return f"{magic}{SPOIL}{self.code}\n"


WAYS = {
    "memory": Way("bytearray(2**29)", "oom", (r"\b64 MiB\b", "memory=128m"), "SIGKILL", "memory=64m"),
    "segfault": Way("import ctypes; ctypes.string_at(0)", "signal", ("SIGSEGV",), "SIGSEGV"),
    "exit": Way("import os; os._exit(3)", "finished", (r"exit code 3\b",)),
    "kill": Way("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal", ("SIGKILL",), "SIGKILL"),
    "abort": Way("import os; os.abort()", "signal", ("SIGABRT",), "SIGABRT"),
    "time": Way("while True: pass", "timeout", (r"\b1 s\b", "%%container timeout=2"), "SIGKILL", "timeout=1"),
    "fork bomb": Way(
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        "timeout",
        (r"\b3 s\b", "timeout=6"),
        "SIGKILL",
        "pids=50 timeout=3",
    ),
    "memory of a child": Way(
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'len(bytearray(2**29))'], check=True)",
        "oom",
        (r"\b64 MiB\b", "memory=128m"),
        "SIGKILL",
        "memory=64m",
    ),
}
# One that ends by the error that the limit causes: the cell is over, not killed, and its result is kept.
REFUSED = {
    "processes": "%%container pids=50 timeout=30\nimport os\nwhile True:\n    os.fork()",
    "threads": "%%container pids=50 timeout=30\nimport threading\nstop = threading.Event()\nwhile True:\n"
    "    threading.Thread(target=stop.wait, daemon=True).start()",
}


@dataclass(frozen=True)
class Cell:
    """A cell's record and its outputs; one for which no container was made has no `enforced_by` in its record."""

    record: dict[str, Any]
    outputs: list[dict[str, Any]]

    def error(self) -> str:
        """Return the text of the cell's one error, without colours."""
        [error] = [output for output in self.outputs if output["output_type"] == "error"]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join([error["evalue"], *error["traceback"]]))

    def printed(self) -> str:
        """Return what the cell has printed."""
        texts = [output["text"] for output in self.outputs if output.get("name") == "stdout"]
        return "".join("".join(text) for text in texts)


def executed(cellstack: Run, notebook: Path) -> list[Cell]:
    """Execute the notebook to its end; return its cells."""
    output = notebook.with_name("out.ipynb")
    result = cellstack("execute", notebook, "-o", output, "--allow-errors", "--format", "json")
    assert result.returncode == 0, result.stderr
    cells = json.loads(output.read_text())["cells"]
    return [Cell(record, cells[record["index"]]["outputs"]) for record in json.loads(result.stdout)["cells"]]


def pairs(cells: list[Cell]) -> list[tuple[Cell, Cell]]:
    """Return (cell, the cell after it) of cells that come in threes, the first of which sets up."""
    assert {cell.record["status"] for cell in cells[::3]} == {"ok"}
    return list(zip(cells[1::3], cells[2::3], strict=True))


@pytest.fixture(scope="module")
def dead(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Cell, Cell]]:
    """Return, by way to die, (the cell that died, the one after it), all of one notebook."""
    cells = [source for way in WAYS.values() for source in (SET_UP, way.source, LOOK)]
    notebook = write_notebook(tmp_path_factory.mktemp("dying") / "dying.ipynb", *cells)
    return dict(zip(WAYS, pairs(executed(cellstack, notebook)), strict=True))


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refused_by_rlimit(cell: Cell) -> bool:
    """Whether the allocation failed inside of the cell, as rlimits have it, and the cell went on to its end."""
    return held_by_rlimit(cell) and cell.record["status"] == "error"


def held_by_rlimit(cell: Cell) -> bool:
    held: str | None = cell.record["limits"]["enforced_by"].get("memory")
    return held == "rlimit"


def test_record_says_how_the_cell_died(dead: dict[str, tuple[Cell, Cell]], way: str) -> None:
    cell, _ = dead[way]
    if WAYS[way].reason == "oom" and refused_by_rlimit(cell):
        assert cell.record["exit"]["reason"] == "exception"
        return
    assert cell.record["status"] == "killed"
    assert cell.record["exit"] == {"reason": WAYS[way].reason, "signal": WAYS[way].signal}


def test_one_error_says_why_with_the_limits_number(dead: dict[str, tuple[Cell, Cell]], way: str) -> None:
    cell, _ = dead[way]
    text = cell.error()
    if way == "memory of a child" and refused_by_rlimit(cell):
        assert "CalledProcessError" in text
        return
    missing = [word for word in WAYS[way].words if not re.search(word, text)]
    assert missing == [], text
    if cell.record["status"] == "killed":
        assert "Traceback" not in text
        assert "Files and variables are as they were before it" in text


@pytest.mark.parametrize("way", ["time", "fork bomb"])
def test_what_the_cell_printed_long_before_is_there_once(dead: dict[str, tuple[Cell, Cell]], way: str) -> None:
    cell, _ = dead[way]
    assert cell.printed() == "before\n"


def test_head_stays(dead: dict[str, tuple[Cell, Cell]], way: str) -> None:
    cell, after = dead[way]
    if refused_by_rlimit(cell):
        assert after.record["parent"] == cell.record["layer"]
        return
    assert cell.record["layer"] == cell.record["parent"] == after.record["parent"]
    assert cell.record["changes"] == {"added": 0, "changed": 0, "deleted": 0}


def test_next_cell_has_variables_and_files_from_before(dead: dict[str, tuple[Cell, Cell]], way: str) -> None:
    cell, after = dead[way]
    assert after.record["status"] == "ok"
    if not refused_by_rlimit(cell):
        assert after.printed() == UNSPOILT


def test_peak_stays_at_the_memory_limit(dead: dict[str, tuple[Cell, Cell]]) -> None:
    cell, _ = dead["memory"]
    if held_by_rlimit(cell):
        pytest.skip("no memory controller here counts exactly; the limit is held by rlimits")
    assert 0 < cell.record["memory_peak_bytes"] <= cell.record["limits"]["memory"] == 64 * 2**20


def test_time_limit_is_kept(dead: dict[str, tuple[Cell, Cell]]) -> None:
    cell, _ = dead["time"]
    assert 1 <= cell.record["wall_seconds"] < 3


def test_time_limit_is_what_is_said_each_time(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    notebook = write_notebook(tmp_path / "slow.ipynb", *["%%container timeout=0.1\nwhile True: pass"] * 12)
    cells = executed(cellstack, notebook)
    assert [cell.record["exit"]["reason"] for cell in cells] == ["timeout"] * len(cells)
    assert [cell for cell in cells if "time limit of 0.1 s" not in cell.error()] == []


@pytest.fixture(scope="module")
def refused(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Cell, Cell]]:
    cells = [source for code in REFUSED.values() for source in (SET_UP, code, LOOK)]
    notebook = write_notebook(tmp_path_factory.mktemp("refused") / "refused.ipynb", *cells)
    return dict(zip(REFUSED, pairs(executed(cellstack, notebook)), strict=True))


@pytest.mark.parametrize("what", REFUSED)
def test_error_at_the_limit_of_processes_says_the_limit(refused: dict[str, tuple[Cell, Cell]], what: str) -> None:
    cell, after = refused[what]
    text = cell.error()
    assert re.search(r"\b50\b", text), text
    assert "pids=100" in text
    assert after.printed() == UNSPOILT
