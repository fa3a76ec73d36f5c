"""What variables cost that are there while a cell runs: beside ipykernel, and beside Kishu's checkpoints.

Each kind of variable has kernels of its own, with a pause before each cell as a person makes it, and the disk quiet.
"Added" is a cell's p50 less that of `1+1` on a second kernel of the same sort, which has the same imports but not the
variable; the two take turns, so that noise that comes and goes does not look like a cost. "Written" is what the cell
left on the disk for later cells: the state directory of its layer, or the growth of Kishu's database.

It takes 8 GB of memory, and 25 GB of disk until its end.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import peers
from tests.benchmarks.kernels import Installed, Kernel, kernel
from tests.benchmarks.measure import Row, Series, row, take_turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OURS, PLAIN, KISHU = "cellstack", "ipykernel", "kishu"
ENVIRONMENTS = Path("build/bench")  # peers.sh makes them: `carry` for Cellstack and ipykernel, `kishu`
APART_SECONDS = 0.15
PATIENCE_SECONDS = 60.0
NOTEBOOK = "bench.ipynb"
_CALLBACK_FAILED = "Error in callback"  # how IPython says that a checkpoint was not made, in an else successful cell


@dataclass(frozen=True)
class Kind:
    """A kind of variable. Cells may have the word TURN in them: a number that is another one in each run.

    needs: a module that has to be there. holds: what is true after the cell `change`, of the same TURN.
    untouched_at_most: milliseconds. changed_at_most: bytes.
    """

    title: str
    name: str
    needs: str
    make: str
    read: str
    change: str
    holds: str
    replace: str
    untouched_at_most: float | None = None
    changed_at_most: int | None = None


FRAME = """\
frame = pandas.DataFrame({
    "number": numpy.arange(TURN, TURN + 1_000_000),
    "value": numpy.random.default_rng(TURN).random(1_000_000),
    "when": pandas.date_range("2024-01-01", periods=1_000_000, freq="s"),
    "name": [f"name {i}" for i in range(TURN, TURN + 1_000_000)],
    "city": ["Bern", "Oslo", "Lima", "Accra"] * 250_000,
})"""
ARRAYS = "arrays = [numpy.arange(TURN + i, TURN + i + 2**24, dtype=float) for i in range(8)]"
NUMBERS = "numbers = list(range(TURN, TURN + 1_000_000))"
MODEL = """\
random = numpy.random.default_rng(TURN)
samples = random.random((5_000, 20))
model = sklearn.ensemble.RandomForestClassifier(n_estimators=100, random_state=TURN)
model.fit(samples, samples[:, 0] + samples[:, 1] > random.random(5_000) * 2)
del random, samples"""

KINDS = (
    Kind(
        "1 GiB of arrays",
        "arrays",
        needs="numpy",
        make=ARRAYS,
        read="arrays[0][0]",
        change="arrays[0][0] = -TURN",
        holds="arrays[0][0] == -TURN and arrays[0][1] == arrays[1][0]",
        replace=ARRAYS,
        untouched_at_most=2,
        changed_at_most=2**20,
    ),
    Kind(
        "frame of 1M rows",
        "frame",
        needs="pandas",
        make=f"import numpy\n{FRAME}",
        read="len(frame)",
        change='frame.loc[5, "value"] = -TURN',
        holds='frame["value"][5] == -TURN and frame["name"][6].startswith("name ")',
        replace=FRAME,
    ),
    Kind(
        "list of 1M integers",
        "numbers",
        needs="sys",
        make=NUMBERS,
        read="numbers[5]",
        change="numbers[5] = -TURN",
        holds="numbers[5] == -TURN and numbers[6] == numbers[4] + 2",
        replace=NUMBERS,
        untouched_at_most=2,
    ),
    Kind(
        "forest of 100 trees",
        "model",
        needs="sklearn.ensemble",
        make=f"import numpy\n{MODEL}",
        read="model.n_features_in_",
        change="model.verbose = -TURN",
        holds="model.verbose == -TURN and len(model.estimators_) == 100",
        replace=MODEL,
    ),
)


class Subject:
    """A kernel whose cells are measured. failure: why its numbers mean nothing; it runs no more cells then."""

    def __init__(self, name: str, running: Kernel) -> None:
        self.name = name
        self.failure: str | None = None
        self.written: list[int] = []
        self._kernel = running

    def run(self, code: str) -> float:
        """Run a cell and return its milliseconds; what it has left on the disk is added to `written`."""
        if self.failure:
            return 0.0
        milliseconds = self._kernel.run(code)
        if _CALLBACK_FAILED in self._kernel.errors:
            self.failure = f"after {code[:40]!r}: {self._kernel.errors.strip().splitlines()[-1]}"
        self.written.append(self.bytes_written())
        return milliseconds

    def bytes_written(self) -> int:
        """Return the bytes that the last cell has left on the disk."""
        return 0

    def await_module(self, module: str) -> None:
        """Import a module, and wait until it is there in cells that do not import it."""
        self.run(f"import {module}")
        there = f'assert "{module}" in __import__("sys").modules'
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            time.sleep(APART_SECONDS)
            try:
                self.run(there)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            else:
                return


class Ours(Subject):
    """Cellstack, with a store of its own."""

    def __init__(self, name: str, running: Kernel, home: Path) -> None:
        super().__init__(name, running)
        self._home = home

    def bytes_written(self) -> int:
        """Return the size of the state of the layer that the last cell has made."""
        layer = self._kernel.reply["metadata"]["cellstack"]["layer"]
        if layer is None:
            return 0
        files = self._home.glob(f"sessions/*/state/{layer}/*")
        return sum(file.stat().st_size for file in files)


class Kishu(Subject):
    """Kishu in an ipykernel of its own environment; the notebook that it wants to have is an empty one."""

    def __init__(self, name: str, running: Kernel, folder: Path) -> None:
        super().__init__(name, running)
        self._database = (folder / NOTEBOOK).with_suffix(".kishudb")
        self._size = 0
        empty = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"name": KISHU}}, "cells": []}
        (folder / NOTEBOOK).write_text(json.dumps(empty))
        running.run(f"from kishu import init_kishu\ninit_kishu({NOTEBOOK!r})")

    def bytes_written(self) -> int:
        """Return by how much the database has grown."""
        before, self._size = self._size, self._database.stat().st_size
        return self._size - before


@dataclass(frozen=True)
class Measured:
    """One cell, several times on one kernel: milliseconds and the median of the bytes written."""

    series: Series
    written: int


def carry(folder: Path, scale: float) -> list[Row]:
    """Variables that are carried untouched, read, changed in one place, and replaced."""
    try:
        python = interpreter("carry")
    except peers.MissingPeerError as reason:
        return [Row("variables of all kinds", OURS, skipped=str(reason))]
    rows: list[Row] = []
    for number, kind in enumerate(KINDS):
        with contextlib.ExitStack() as stack:
            home = stack.enter_context(store(python.with_name("cellstack")))
            full, skipped = start(kind, folder / f"carry-{number}", home, stack)
            empty, _ = start(kind, folder / f"carry-{number}-empty", home, stack)
            rows += measure(kind, full, empty, scale) + skipped
    return rows


@contextlib.contextmanager
def store(command: Path) -> Iterator[Path]:
    """Give a store with the environment's image in it; it is on a disk, where /tmp may be in memory."""
    disk = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="cs-bench-home-", dir=disk) as name:
        home = Path(name)
        peers.run([command, "run", "default", "true"], environ={"CELLSTACK_HOME": name})
        try:
            yield home
        finally:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while any(home.glob("runs/*")) and time.monotonic() < deadline:  # the broker ends after its kernel
                time.sleep(APART_SECONDS)


def start(kind: Kind, folder: Path, home: Path, stack: contextlib.ExitStack) -> tuple[list[Subject], list[Row]]:
    """Return the kernels, all with what `kind` needs imported, and rows for what is not here."""
    folder.mkdir()
    python = interpreter("carry")
    ours = Installed(python, "cellstack_kernel", {"CELLSTACK_HOME": str(home)})
    subjects = [
        Ours(OURS, stack.enter_context(kernel(OURS, folder, ours)), home),
        Subject(PLAIN, stack.enter_context(kernel(PLAIN, folder, Installed(python, "ipykernel_launcher")))),
    ]
    skipped = []
    try:
        running = stack.enter_context(kernel(KISHU, folder, kishu(folder)))
        subjects.append(Kishu(KISHU, running, folder))
    except (peers.MissingPeerError, RuntimeError) as reason:
        skipped.append(Row(kind.title, KISHU, skipped=str(reason)))
    for subject in subjects:
        subject.await_module(kind.needs)
    return subjects, skipped


def kishu(folder: Path) -> Installed:
    """Return the kernel that Kishu is installed for; MissingPeerError says why it is not."""
    python = interpreter("kishu")
    settings = folder / ".kishu" / "config.ini"
    settings.parent.mkdir()
    settings.write_text("[JUPYTERINT]\ntest_mode = True\n")  # no front end here whose notebook could be saved
    return Installed(python, "ipykernel_launcher", {"KISHU_PATH_ROOT": str(folder)})


def interpreter(environment: str) -> Path:
    """Return the Python of an environment; MissingPeerError says why it is not there."""
    if (ENVIRONMENTS / environment / ".made").exists():
        return (ENVIRONMENTS / environment / "bin" / "python").absolute()
    note = ENVIRONMENTS / f"{environment}.missing"
    reason = note.read_text().strip() if note.exists() else "`tests/setup/peers.sh bench` installs it"
    raise peers.MissingPeerError(f"not installed: {reason}")


def measure(kind: Kind, full: Sequence[Subject], empty: Sequence[Subject], scale: float) -> list[Row]:
    """Return the rows of one kind of variable; it is made in the kernels `full`."""

    def runs(number: int) -> int:
        return max(3, round(number * scale))

    for subject in full:
        subject.run(kind.make.replace("TURN", "1"))
    both = in_turns("1+1", [*full, *empty], runs(30))
    untouched, without = both[: len(full)], both[len(full) :]
    series = {
        "untouched": untouched,
        "read": in_turns(kind.read, full, runs(7)),
        "changed": in_turns(kind.change, full, runs(5), kind.holds),
        "replaced": in_turns(kind.replace, full, runs(5)),
    }
    names = [subject.name for subject in full]
    rows: list[Row] = []
    for what, taken in series.items():
        title = f"{kind.title}, {what}"
        plain = taken[names.index(PLAIN)].series
        for subject, measured, baseline in zip(full, taken, without, strict=True):
            if subject.failure:
                rows.append(Row(title, subject.name, skipped=subject.failure))
                continue
            is_ours, is_plain = subject.name == OURS, subject.name == PLAIN
            rows.append(
                row(
                    title,
                    subject.name,
                    measured.series,
                    peer=None if is_plain else (PLAIN, plain),
                    without=baseline.series,
                    added_at_most=kind.untouched_at_most if is_ours and what == "untouched" else None,
                    written=None if is_plain else measured.written,
                    written_at_most=kind.changed_at_most if is_ours and what == "changed" else None,
                )
            )
    return rows


def in_turns(code: str, subjects: Sequence[Subject], runs: int, holds: str = "True") -> list[Measured]:
    """Run a cell on all kernels by turns; `holds` has to be true in a cell after the last one."""

    def one(subject: Subject, numbers: Iterator[int]) -> float:
        os.sync()
        time.sleep(APART_SECONDS)
        return subject.run(code.replace("TURN", str(next(numbers))))

    for subject in subjects:
        subject.written.clear()
    actions = {str(i): functools.partial(one, s, itertools.count(2)) for i, s in enumerate(subjects)}
    taken = take_turns(actions, runs=runs, warmup=1).values()
    measured = [
        Measured(series, round(statistics.median(subject.written or [0])))
        for series, subject in zip(taken, subjects, strict=True)
    ]
    for subject in subjects:
        subject.run(f"assert {holds}".replace("TURN", str(runs + 2)))
    return measured
