"""`cellstack ps --all` knows what ended while nobody looked, and no more than that is worth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cellstack_runtime.broker.ended import MAX_BROKERS, MAX_CONTAINERS, Ended
from cellstack_runtime.live import ended_containers

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

FACTS: dict[str, Any] = {
    "id": "0" * 12, "image": "0" * 64, "session": "0" * 12, "created": "2026-01-01T00:00:00.000+00:00", "started": None,
    "status": "ended", "command": ["cell", "1"], "parent": None, "limits": {}, "enforced_by": {},
    "namespaces": {"pid": 1}, "cgroup": None, "cgroups": {}, "pid": 1, "reason": "finished", "code": 0,
}  # fmt: skip


def test_cells_and_programs_that_ended_are_listed_with_how(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", "quick = 1", "import os; os.kill(os.getpid(), 11)")
    assert cellstack("execute", notebook, "--allow-errors").returncode == 0
    assert cellstack("run", "default", "sh", "-c", "exit 3").returncode == 3
    listed = json.loads(cellstack("ps", "--all", "--format", "json").stdout)
    ended = [(" ".join(one["command"]), one["exit"]) for one in listed if one["status"] == "ended"]
    assert ended[:3] == [
        ("sh -c exit 3", {"reason": "finished", "code": 3}),
        ("cell import os; os.kill(os.getpid(), 11)", {"reason": "signal", "code": 139}),
        ("cell quick = 1", {"reason": "finished", "code": 0}),
    ]
    assert "exited (139, signal)" in cellstack("ps", "-a").stdout
    assert not [one for one in json.loads(cellstack("ps", "--format", "json").stdout) if one["status"] == "ended"]


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "ended"
    for broker in range(MAX_BROKERS + 5):
        kept = Ended(str(folder), f"{broker:08x}")
        for number in range(MAX_CONTAINERS + 10 if broker == MAX_BROKERS else 1):
            kept.keep({**FACTS, "id": f"{broker:06}{number:06}", "ended": f"2026-01-01T00:{broker:02}:00.{number:03}"})
    assert len(list(folder.iterdir())) == MAX_BROKERS
    assert all(len(path.read_text().splitlines()) < 2 * MAX_CONTAINERS for path in folder.iterdir())
    found = [one.container.id for one in ended_containers(str(tmp_path), most=6)]
    newest = [f"{broker:06}{0:06}" for broker in range(MAX_BROKERS + 4, MAX_BROKERS, -1)]
    assert found == [*newest, *(f"{MAX_BROKERS:06}{number:06}" for number in (MAX_CONTAINERS + 9, MAX_CONTAINERS + 8))]


def test_a_line_that_was_cut_off_or_is_none_is_no_record(tmp_path: Path) -> None:
    kept = Ended(str(tmp_path / "ended"), "0" * 8)
    kept.keep({**FACTS, "ended": "2026-01-01T00:00:00.000+00:00"})
    path = tmp_path / "ended" / f"{'0' * 8}.jsonl"
    whole = path.read_text()
    path.write_text(f'{whole[:50]}\n[]\n{{"id": 1}}\n\x00\n{whole}{whole[:-30]}')
    assert len(ended_containers(str(tmp_path))) == 1
