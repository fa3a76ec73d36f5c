"""Limits on a host with pure cgroup v2. `make vm` boots one; on such a host these run with all others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        not Path("/sys/fs/cgroup/cgroup.controllers").exists(), reason="not a host with pure cgroup v2 (`make vm`)"
    ),
]


@pytest.fixture(scope="module")
def cells(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """Return the records of a notebook whose cells run into one limit after the other."""
    notebook = write_notebook(
        tmp_path_factory.mktemp("v2") / "limits.ipynb",
        "x = 42",
        "%%container memory=64m\ny = bytearray(2**28)",
        "%%container pids=20\nimport os\nwhile True:\n    if os.fork() == 0:\n        os.read(os.pipe()[0], 1)",
        "%%container timeout=2\nwhile True: pass",
        "%%container cpus=0.5\nassert x == 42",
    )
    result = cellstack("execute", notebook, "--allow-errors", "--format", "json")
    records: list[dict[str, Any]] = json.loads(result.stdout)["cells"]
    return records


def test_every_limit_is_kept_by_the_cgroup(cells: list[dict[str, Any]]) -> None:
    assert {name for cell in cells for name in cell["limits"]["enforced_by"].values()} == {"cgroup"}


def test_cell_past_its_memory_is_told_from_a_killed_one(cells: list[dict[str, Any]]) -> None:
    assert cells[1]["exit"]["reason"] == "oom"
    assert 2**25 < cells[1]["memory_peak_bytes"] <= 2**26


def test_fork_bomb_and_endless_cell_end(cells: list[dict[str, Any]]) -> None:
    assert [cell["status"] for cell in cells[2:4]] != ["ok", "ok"]
    assert cells[3]["exit"]["reason"] == "timeout"


def test_variables_are_there_after_all_of_it(cells: list[dict[str, Any]]) -> None:
    assert [cells[0]["status"], cells[-1]["status"]] == ["ok", "ok"]
    assert all(cell["cpu_seconds"] > 0 for cell in (cells[0], cells[-1]))


def test_nothing_is_left_in_the_cgroup_tree(cells: list[dict[str, Any]], leftovers: Callable[[], set[str]]) -> None:
    assert cells
    assert {line for line in leftovers() if line.startswith("cgroup")} == set()


def test_doctor_says_v2(cellstack: Run) -> None:
    assert "v2" in cellstack("doctor").stdout
