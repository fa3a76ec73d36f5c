"""Memory of a notebook at rest: all processes of its kernel, what they share counted once."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

import psutil
from tests.benchmarks import peers
from tests.benchmarks.carry import interpreter, store
from tests.benchmarks.kernels import Installed, Kernel, kernel
from tests.benchmarks.measure import Row

if TYPE_CHECKING:
    from pathlib import Path

OURS, PLAIN = "cellstack", "python3"
SOON = 10.0  # seconds: a zygote that has learned modules, and the container that stands by, are made after a cell
LEFT_ALONE = 15  # seconds until they are given back; 15 minutes where nothing is set
LATER = 10.0  # seconds after SOON
CELLS = {
    "1+1": ("1+1",),
    "pandas and scikit-learn": ("import pandas, sklearn.linear_model", "frame = pandas.DataFrame({'a': [1]})", "frame"),
}
AT_MOST = {
    "notebook at rest, pandas and scikit-learn": 1.5,
    "notebook left alone, pandas and scikit-learn": 1.5,
    "notebook left alone, 1+1": 1.5,
}
_PSS = re.compile(rb"^Pss: +(\d+) kB", re.MULTILINE)


def memory(folder: Path, _scale: float) -> list[Row]:
    """What a notebook takes while nothing runs, once it was used: soon after, and when it has been left alone."""
    try:
        python = interpreter("carry")
    except peers.MissingPeerError as reason:
        return [Row("notebook at rest", OURS, skipped=str(reason))]
    rows: list[Row] = []
    with store(python.with_name("cellstack")) as home:
        (home / "config.toml").write_text(f"[rest]\nseconds = {LEFT_ALONE}\n")
        subjects = {
            PLAIN: Installed(python, "ipykernel_launcher"),
            OURS: Installed(python, "cellstack_kernel", {"CELLSTACK_HOME": str(home)}),
        }
        with kernel(OURS, folder, subjects[OURS]) as first:  # it prepares what every later one finds
            first.run("1+1")
        for number, (title, cells) in enumerate(CELLS.items()):
            place = folder / f"memory-{number}"
            place.mkdir()
            soon: dict[str, int] = {}
            later: dict[str, int] = {}
            for name, installed in subjects.items():
                with kernel(name, place, installed) as running:
                    for code in cells:
                        running.run(code)
                    time.sleep(SOON)
                    soon[name] = proportional(running)
                    time.sleep(LATER)
                    later[name] = proportional(running)
            for state, taken in (("at rest", soon), ("left alone", later)):
                what = f"notebook {state}, {title}"
                rows.append(Row(what, "ipykernel", runs=1, memory=taken[PLAIN]))
                ratio, goal = taken[OURS] / taken[PLAIN], AT_MOST.get(what)
                rows.append(Row(what, OURS, 1, memory=taken[OURS], peer="ipykernel", ratio=ratio, at_most=goal))
    return rows


def proportional(running: Kernel) -> int:
    """Return the bytes of a kernel and all that it has started: each page divided by those who share it (PSS)."""
    first = psutil.Process(running.manager.provisioner.pid)  # type: ignore[union-attr]
    total = 0
    for process in (first, *first.children(recursive=True)):
        with contextlib.suppress(OSError), open(f"/proc/{process.pid}/smaps_rollup", "rb") as file:  # it has just ended
            found = _PSS.search(file.read())
            total += int(found[1]) * 1024 if found else 0
    return total
