"""The notebook that a newcomer runs first holds what it says."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOK = REPOSITORY / "notebooks" / "00-first-steps.ipynb"
NAMESPACES = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"}


def contents(folder: Path) -> dict[str, str]:
    """Return path -> digest of the files below a folder, without what JupyterLab and editors keep there."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
    }


@pytest.fixture(scope="module")
def executed(cellstack: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (the report on the cells, the executed notebook); the folder of the notebook stays as it was."""
    output = tmp_path_factory.mktemp("first-steps") / "out.ipynb"
    before = contents(NOTEBOOK.parent)
    result = cellstack("execute", NOTEBOOK, "-o", output, "--format", "json")
    assert result.returncode == 0, result.stderr
    assert contents(NOTEBOOK.parent) == before
    return json.loads(result.stdout), json.loads(output.read_text())


def cell_with(executed: tuple[dict[str, Any], dict[str, Any]], words: str) -> dict[str, Any]:
    """Return the record of the cell whose source has `words`."""
    report, notebook = executed
    [index] = [i for i, cell in enumerate(notebook["cells"]) if words in "".join(cell["source"]) and "outputs" in cell]
    cells: list[dict[str, Any]] = report["cells"]
    [record] = [record for record in cells if record["index"] == index]
    return record


def test_nbval_accepts_a_fresh_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--nbval", str(NOTEBOOK), "-q", "-c", os.devnull]
    command += ["--rootdir", str(tmp_path), "-p", "no:cacheprovider", "--nbval-kernel-startup-timeout", "120"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert result.returncode == 0, result.stdout + result.stderr


def test_committed_notebook_has_its_outputs() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(bool(cell["outputs"]) for cell in cells) > len(cells) / 2


def test_no_namespace_repeats_or_is_the_hosts(executed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    host = {name: os.stat(f"/proc/self/ns/{name}").st_ino for name in NAMESPACES}
    records = [cell["namespaces"] for cell in executed[0]["cells"] if cell["namespaces"]]
    assert len(records) > 10
    for name in NAMESPACES:
        inodes = [record[name] for record in records]
        assert len({*inodes, host[name]}) == len(inodes) + 1, name


def test_each_cell_stands_on_the_layer_before(executed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    first, second = (cell_with(executed, words) for words in ("read_counts(", "class Station"))
    assert second["parent"] == first["layer"]
    written = cell_with(executed, "to_csv")
    assert (written["changes"]["added"], written["changes"]["deleted"]) == (1, 0)


def test_greedy_cell_is_stopped_at_its_limit(executed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    greedy = cell_with(executed, "np.vstack")
    assert greedy["limits"]["memory"] == 512 * 2**20
    assert greedy["status"] != "ok"
    if greedy["limits"]["enforced_by"]["memory"] == "cgroup":
        assert greedy["exit"]["reason"] == "oom"
        assert greedy["memory_peak_bytes"] <= 512 * 2**20
    after = cell_with(executed, "monthly.csv:")
    assert after["status"] == "ok"


def test_undo_takes_the_package_away(executed: tuple[dict[str, Any], dict[str, Any]]) -> None:
    installed = cell_with(executed, "%pip install")
    assert installed["status"] == "ok"
    assert installed["changes"]["added"] > 3
    records = [cell["status"] for cell in executed[0]["cells"]]
    assert records[-2:] == ["error", "ok"]


def test_wheel_is_what_its_source_builds(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("build_wheel", NOTEBOOK.parent / "wheels" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    built: Path = module.build(tmp_path)
    assert built.read_bytes() == (NOTEBOOK.parent / "wheels" / built.name).read_bytes()


def test_demo_says_what_was_run_and_where_it_is(tmp_path: Path) -> None:
    if not (REPOSITORY / ".venv" / "bin" / "cellstack").exists():
        pytest.skip("the demo runs in .venv, which `make` has not made here")
    output = tmp_path / "demo" / "00-first-steps.ipynb"
    command = ["tests/setup/demo.sh", str(NOTEBOOK), str(output)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=280)
    assert result.returncode == 0, result.stderr
    assert output.exists()
    assert str(NOTEBOOK) in result.stdout
    assert str(output) in result.stdout
    assert "make lab" in result.stdout
