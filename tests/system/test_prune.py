"""What `cellstack df` counts and `cellstack prune` removes, with real notebooks and kernels."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(name="home")
def _home(store: Path) -> Iterator[Path]:
    """Return the directory of a store of its own, on the disk where the tests' is."""
    path = tempfile.mkdtemp(prefix="prune-", dir=store.parent)
    yield Path(path) / "store"
    own = Store.open(f"{path}/store")
    for name in set(os.listdir(own.home)) - {"trash"}:
        own.remove_tree(f"{own.home}/{name}")
    shutil.rmtree(path)


@pytest.fixture(name="own")
def _own(cellstack: Run, home: Path) -> Callable[..., Any]:
    """Return a function that runs a command in that store and returns its stdout, or the JSON in it."""

    def run(*arguments: str | Path) -> Any:
        result = cellstack(*arguments, env={"CELLSTACK_HOME": str(home)})
        assert result.returncode == 0, result.stdout + result.stderr
        return json.loads(result.stdout) if "json" in arguments else result.stdout

    return run


def test_notebook_is_kept_until_it_is_deleted(
    own: Callable[..., Any], write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    def used() -> dict[str, dict[str, int]]:
        return {row["Type"]: row for row in own("df", "--format", "json")}

    notebooks = [
        write_notebook(
            tmp_path / name, "data = bytearray(range(256)) * 4096", "open('out', 'wb').write(data)", "data[7]"
        )
        for name in ("stays.ipynb", "goes.ipynb")
    ]
    for notebook in notebooks:
        own("execute", notebook, "-o", tmp_path / "out.ipynb")
    before = used()
    assert before["Sessions"]["TotalCount"] == before["Sessions"]["Active"] == 2
    assert before["Layers"]["Size"] > 2 << 20
    assert before["Sessions"]["Size"] > 2 << 20
    for options in (["-f"], ["-f", "--all"]):
        assert own("prune", *options) == "Total reclaimed space: 0 B\n"
    assert used() == before

    session, goes = ({own("layers", path, "--format", "json")["session"]: path} for path in notebooks)
    notebooks[1].unlink()
    assert own("prune", "-f") == "Total reclaimed space: 0 B\n"
    planned = own("prune", "--all", "--dry-run", "--format", "json")
    assert used()["Sessions"]["TotalCount"] == 2
    said = own("prune", "--all", "-f")
    assert planned["sessions"] == list(goes)
    assert len(planned["layers"]) == 3
    assert "Deleted Sessions:\n" + planned["sessions"][0] in said
    assert [name for name in planned["layers"] if name not in said] == []
    after = used()
    freed = sum(before[kind]["Size"] - after[kind]["Size"] for kind in before)
    assert freed == planned["bytes"] > 2 << 20
    assert [(after[kind]["TotalCount"], after[kind]["Reclaimable"]) for kind in ("Sessions", "Layers")] == [
        (1, 0),
        (3, 0),
    ]
    assert list(session) == [entry["id"] for entry in own("layers", "--format", "json")]
    assert own("cp", f"{notebooks[0]}:/work/out", tmp_path / "copied") == ""
    assert (tmp_path / "copied").stat().st_size == 1 << 20
    own("run", "default", "true")
    own("execute", notebooks[0], "-o", tmp_path / "out.ipynb")


def test_running_notebook_and_its_default_image_that_was_rebuilt_stay(
    own: Callable[..., Any], home: Path, write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    own("run", "default", "true")
    ready, go = tmp_path / "ready", tmp_path / "go"
    os.mkfifo(ready)
    os.mkfifo(go)
    notebook = write_notebook(
        tmp_path / "a.ipynb",
        "x = list(range(1000))",
        "open('/pipes/ready', 'w').write('x')\nopen('/pipes/go').read()",
        "print(sum(x))",
    )
    program = Path(sys.executable).with_name("cellstack")
    command: list[str | Path] = [program, "execute", notebook, "-o", tmp_path / "out.ipynb"]
    env = {**os.environ, "CELLSTACK_HOME": str(home)}
    with subprocess.Popen(
        [*command, "--mount", f"{tmp_path}:/pipes", "--format", "json"], env=env, stdout=-1
    ) as process:
        ready.read_text()
        notebook.unlink()
        [image] = own("images", "--format", "json")
        for tag in (home / "tags").glob("*/*"):
            tag.unlink()
        for record in (home / "cache").glob("default-*.json"):
            record.unlink()
        own("run", "default", "true")  # builds it anew
        garbage = own("prune", "--all", "-f", "--format", "json")
        go.write_text("x")
        report, _ = process.communicate(timeout=60)
    assert (garbage["sessions"], garbage["images"], garbage["layers"]) == ([], [], [])
    assert [cell["exit"]["reason"] for cell in json.loads(report)["cells"]] == ["finished"] * 3
    assert "499500" in (tmp_path / "out.ipynb").read_text()
    for name in (home / "images", home / "layers"):
        for entry in name.iterdir():
            os.utime(entry, (0, 0))
    garbage = own("prune", "--all", "-f", "--format", "json")
    assert garbage["images"] == [image["Id"]]
    assert len(garbage["layers"]) >= 3 + 2
    own("run", "default", "true")


def test_prune_asks_on_a_terminal_and_refuses_where_nobody_can_answer(cellstack: Run, tmp_path: Path) -> None:
    env = {"CELLSTACK_HOME": str(tmp_path / "store")}
    refused = cellstack("prune", env=env)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--force" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "store").exists()
    for answer, code in ((b"n\n", 1), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        asked = cellstack("prune", "--all", env=env, stdin=theirs)
        os.close(ours)
        os.close(theirs)
        assert asked.returncode == code
        assert "WARNING! This will remove:" in asked.stderr
        assert "[y/N]" in asked.stderr
        assert asked.stdout == ("Total reclaimed space: 0 B\n" if code == 0 else "")
