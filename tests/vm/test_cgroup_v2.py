"""Limits on a host with pure cgroup v2. `make vm` boots one; on such a host these run with all others."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_runtime import live
from cellstack_runtime.metrics import sample

if TYPE_CHECKING:
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


def test_a_running_container_is_measured_paused_limited_and_killed(store: Path) -> None:
    command = [str(Path(sys.executable).with_name("cellstack")), "run", "default", "sh", "-c", "while :; do :; done"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while not (found := [one for one in live.live_containers(str(store)) if one.status == "running"]):
        assert process.poll() is None
        time.sleep(0.2)
    container = found[0]
    try:
        live.pause(container)
        before = sample(container)
        time.sleep(1)
        after = sample(container)
        assert before is not None
        assert after is not None
        assert after.cpu_seconds - before.cpu_seconds < 0.1
        assert after.memory_peak is None or after.memory_peak >= after.memory > 0
        assert after.io is not None
        has_pressure = Path("/proc/pressure").exists()
        assert (after.pressure.cpu is not None, after.pressure.memory is not None) == (has_pressure, has_pressure)
        changed = live.change_limits(container, str(store), {"memory": 64 << 20, "pids": 20})
        assert (Path(container.cgroups[""]) / "memory.max").read_text() == f"{64 << 20}\n"
        assert (changed.limits["memory"], changed.limits["pids"]) == (64 << 20, 20)
        live.kill(container)  # paused as it is
        assert process.wait(60) == 128 + 9
    finally:
        process.kill()
        process.wait()


def test_nothing_is_left_in_the_cgroup_tree(cells: list[dict[str, Any]], leftovers: Callable[[], set[str]]) -> None:
    assert cells
    assert {line for line in leftovers() if line.startswith("cgroup")} == set()


def test_doctor_says_v2(cellstack: Run) -> None:
    assert "v2" in cellstack("doctor").stdout
