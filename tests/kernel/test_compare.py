"""`cellstack compare` runs notebooks under both kernels, tells what varies from what differs, and leaves nothing."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Write = Callable[..., Path]

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

SAME = [
    "import os, sys, tempfile\nprint('out')\nprint('err', file=sys.stderr)\nos.getcwd()",
    "print(tempfile.mkdtemp())\nnumbers = {'one': 1, 'object': object()}\nnumbers",
    "1 / 0",
    "import pandas as pd\nframe = pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})\nframe",
    "%time frame.describe()",
    "print(open('beside.txt').read()); open('made.txt', 'w').write('text')",
    "sorted(os.listdir('.'))",
]


def test_what_is_the_same_what_varies_and_what_differs(cellstack: Run, write_notebook: Write, tmp_path: Path) -> None:
    (tmp_path / "beside.txt").write_text("beside")
    os.mkfifo(tmp_path / "pipe")  # cannot be copied, and is not
    same = write_notebook(tmp_path / "same.ipynb", *SAME)
    varies = write_notebook(tmp_path / "varies.ipynb", "import random\nprint(random.random())", "print('always')")
    differs = write_notebook(tmp_path / "differs.ipynb", "import os, time", "sorted(os.listdir('/'))", "time.time()")

    result = cellstack("compare", same, varies, "--format", "json")
    assert (result.returncode, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert [counts(found) for found in report["notebooks"]] == [(len(SAME), len(SAME), 0, []), (2, 1, 1, [])]
    assert (report["cells"], report["same"]) == (len(SAME) + 2, len(SAME) + 1)
    assert all(min(found["seconds"].values()) > 0 for found in report["notebooks"])

    result = cellstack("compare", differs, "--format", "json")
    assert (result.returncode, result.stderr) == (1, "")
    [found] = json.loads(result.stdout)["notebooks"]
    assert counts(found) == (3, 1, 1, [(1, 2, "data")])
    assert "'work'" in found["differs"][0]["got"]
    assert all(f"'{name}'" in found["differs"][0]["expected"] for name in os.listdir("/"))

    result = cellstack("compare", differs)
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        f"{'NOTEBOOK':{len(str(differs))}}   CELLS   SAME   VARIES   DIFFERS",
        f"{differs}   3       1      1        1",
    ]
    assert lines[3:6] == [f"{differs}, cell 1 [2]: data", "  --- ipykernel", "  +++ cellstack"]
    assert lines[-1] == "1 of 3 cells the same (33.3 %)"

    assert {path.name for path in tmp_path.iterdir()} == {
        *("beside.txt", "pipe", "same.ipynb", "varies.ipynb", "differs.ipynb")
    }
    sessions = json.loads(cellstack("layers", "--format", "json").stdout)
    assert not [session for session in sessions if "cellstack-compare-" in str(session["notebook"])]


def counts(found: dict[str, Any]) -> Any:
    differs = [(entry["index"], entry["execution_count"], entry["what"]) for entry in found["differs"]]
    return found["cells"], found["same"], found["varies"], differs


def test_timeout_and_a_kernel_that_dies_are_errors_of_their_cells(
    cellstack: Run, write_notebook: Write, tmp_path: Path
) -> None:
    code = ["import time; time.sleep(60)", "import os; os.kill(os.getpid(), 9)", "print('alive')"]
    notebook = write_notebook(tmp_path / "dies.ipynb", *code)
    result = cellstack("compare", notebook, "--timeout", "2", "--format", "json")
    assert (result.returncode, result.stderr) == (1, "")
    differs = json.loads(result.stdout)["notebooks"][0]["differs"]
    assert [entry["what"] for entry in differs] == ["error", "error", "execution_count", "stream"]
    slept, killed, _, alive = differs
    assert (slept["expected"], slept["got"].partition(":")[0]) == ("KeyboardInterrupt: \n", "CellTimeout")
    assert (killed["expected"], killed["got"].partition(":")[0]) == ("DeadKernelError: the kernel died\n", "CellKilled")
    assert (alive["expected"], alive["got"]) == ("", "alive\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no JSON", "is not a notebook: "),
        ("", "is not a notebook: "),
        (
            json.dumps(
                {
                    "nbformat": 4,
                    "nbformat_minor": 5,
                    "cells": [],
                    "metadata": {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}},
                }
            ),
            "is a notebook in R. ",
        ),
    ],
)
def test_what_is_no_python_notebook_is_said_in_one_sentence(
    cellstack: Run, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "odd.ipynb").write_text(text)
    result = cellstack("compare", tmp_path / "odd.ipynb")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"cellstack: {tmp_path}/odd.ipynb {sentence}")
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_that_is_too_large_is_not_copied(cellstack: Run, write_notebook: Write, tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "large.ipynb", "1")
    with (tmp_path / "data").open("w") as file:
        file.truncate(2**30 + 1)
    result = cellstack("compare", notebook)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"cellstack: the folder {tmp_path} is larger than 1")
    assert len(result.stderr.splitlines()) == 1
