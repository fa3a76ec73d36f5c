"""After containers have run nothing of ours is left: no mount, cgroup, process or temporary file.

Runs last, so that the final test speaks for the whole test run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]


def test_cells_of_every_ending_leave_nothing(
    cellstack: Run, write_notebook: Callable[..., Path], leftovers: Callable[[], set[str]], tmp_path: Path
) -> None:
    notebook = write_notebook(
        tmp_path / "endings.ipynb",
        "open('file', 'w').write('x')",
        "1 / 0",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import subprocess; subprocess.Popen(['sleep', '1000'])",
        "import os; os.fork() or os.setsid() or os.execvp('sleep', ['sleep', '1000'])",
        "import os; os.makedirs('a/b'); os.chmod('a', 0)",
        "%%container timeout=1\nwhile True: pass",
    )
    executed = cellstack("execute", notebook, "-o", tmp_path / "out.ipynb", "--allow-errors", "--format", "json")
    endings = [cell["exit"]["reason"] for cell in json.loads(executed.stdout)["cells"]]
    assert endings == ["finished", "exception", "signal", "finished", "finished", "finished", "timeout"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["endings.ipynb", "out.ipynb"]
    assert leftovers() == set()


def test_what_a_process_left_behind_writes_later_goes_nowhere(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    notebook = write_notebook(
        tmp_path / "left.ipynb",
        "import subprocess\nsubprocess.Popen(['sh', '-c', 'sleep 0.1; touch late']);",
        "import os, time\ntime.sleep(0.3)\nprint(os.listdir('.'))",
    )
    executed = cellstack("execute", notebook, "-o", tmp_path / "out.ipynb", "--format", "json")
    first, second = json.loads(executed.stdout)["cells"]
    assert (first["exit"]["reason"], first["changes"]["added"], second["changes"]["added"]) == ("finished", 0, 0)
    assert "late" not in (tmp_path / "out.ipynb").read_text().replace(r"touch late", "")


def test_command_that_is_killed_leaves_no_process_and_the_next_one_clears_up(
    cellstack: Run, write_notebook: Callable[..., Path], leftovers: Callable[[], set[str]], tmp_path: Path
) -> None:
    notebook = write_notebook(tmp_path / "long.ipynb", "open('here', 'w').close()\nwhile True: pass")
    command = [str(Path(sys.executable).with_name("cellstack")), "execute", str(notebook), "--context", "rw"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 60
        while not (tmp_path / "here").exists() and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (tmp_path / "here").exists(), "the cell has not started"
        os.kill(running.pid, signal.SIGKILL)
    assert {line for line in leftovers() if line.startswith(("process", "mount"))} == set()
    assert cellstack("run", "default", "true").returncode == 0
    assert leftovers() == set()


def test_whole_test_run_left_nothing(leftovers: Callable[[], set[str]]) -> None:
    assert leftovers() == set()
