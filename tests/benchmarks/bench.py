"""Measure cells, notebooks at rest and what cells carry beside ipykernel and Kishu, containers beside docker, runc and
bubblewrap, the server beside jupyter-resource-usage, and the panel in JupyterLab beside its file browser.

`python -m tests.benchmarks.bench [--output FILE] [--scale 0.2] [--only carry]` prints a table and writes the same as
JSON.
Numbers of different runs should not be compared: machines are noisy; ratios are what counts.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from tests.benchmarks import peers
from tests.benchmarks.carry import carry
from tests.benchmarks.kernels import Kernel, kernel, start_time
from tests.benchmarks.measure import Row, Series, row, take_turns, timed
from tests.benchmarks.memory import memory
from tests.benchmarks.panel import panel
from tests.benchmarks.server import server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OURS, PLAIN = "cellstack", "python3"
APART_SECONDS = 0.15
IMPORTING = (  # as a notebook begins: what a cell imports, the next one uses
    *("import numpy as np", "a = np.arange(10)", "import pandas as pd", "df = pd.DataFrame({'a': a})", "df.describe()"),
    *("import matplotlib.pyplot as plt", "fig, ax = plt.subplots(); ax.plot(a)", "n = 1", "n += 1", "df['a'].sum()"),
)


def main() -> int:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="where the table goes as JSON")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for the number of runs")
    parser.add_argument("--only", choices=[section.__name__ for section in SECTIONS], help="leave out all others")
    options = parser.parse_args()
    sections = [section for section in SECTIONS if options.only in (None, section.__name__)]
    console = Console(width=None if sys.stdout.isatty() else 150)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="cs-bench-") as name:
        folder = Path(name)
        if not {*sections} <= {carry, memory, server, panel}:  # which have stores of their own
            peers.run([cellstack(), "run", "default", "true"])
        for section in sections:
            console.print(f"measuring {section.__name__.replace('_', ' ')}", style="dim")
            rows += section(folder, options.scale)
    console.print(as_table(rows))
    for why in dict.fromkeys(f"{line.subject}: {line.skipped}" for line in rows if line.skipped):
        console.print(why, markup=False, highlight=False)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        report = {"machine": machine(), "milliseconds": [line.as_json() for line in rows]}
        options.output.write_text(json.dumps(report, indent=1) + "\n")
        console.print(f"also in {options.output}")
    return 0


def cellstack() -> str:
    """Return the command of the installation that runs this."""
    return str(Path(sys.executable).with_name("cellstack"))


def machine() -> dict[str, object]:
    """Return what the numbers depend on."""
    return {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "root": os.geteuid() == 0,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def scaled(runs: int, scale: float) -> int:
    """Return how often to run."""
    return max(3, round(runs * scale))


def round_trips(folder: Path, scale: float) -> list[Row]:
    """`1+1`, typed by a person and run by a machine."""

    def after_pause(running: Kernel) -> float:
        time.sleep(APART_SECONDS)
        return running.run("1+1")

    with kernel(OURS, folder) as ours, kernel(PLAIN, folder) as plain:
        both = {OURS: ours, PLAIN: plain}
        apart = take_turns({n: functools.partial(after_pause, k) for n, k in both.items()}, runs=scaled(60, scale))
        burst = {
            name: Series(tuple(running.run("1+1") for _ in range(scaled(200, scale)))) for name, running in both.items()
        }
    return [
        *against_plain("1+1, 150 ms apart", apart, at_most=1.5),
        *against_plain("1+1, back to back", burst, at_most=3),
    ]


def against_plain(what: str, taken: dict[str, Series], *, at_most: float | None) -> list[Row]:
    """Return ipykernel's row and ours beside it."""
    return [
        row(what, "ipykernel", taken[PLAIN]),
        row(what, OURS, taken[OURS], peer=("ipykernel", taken[PLAIN]), at_most=at_most),
    ]


def kernel_starts(folder: Path, scale: float) -> list[Row]:
    """From starting the kernel to the reply of its first cell."""
    actions = {name: functools.partial(start_time, name, folder) for name in (OURS, PLAIN)}
    return against_plain(
        "kernel start to first reply", take_turns(actions, runs=scaled(5, scale), warmup=1), at_most=None
    )


def run_all(folder: Path, scale: float) -> list[Row]:
    """All cells of a notebook in a new kernel, from the first request to the last reply."""

    def take(name: str) -> float:
        with kernel(name, folder) as running:
            return sum(running.run(code) for code in IMPORTING)

    actions = {name: functools.partial(take, name) for name in (OURS, PLAIN)}
    what = f"{len(IMPORTING)} cells with numpy, pandas, matplotlib"
    return against_plain(what, take_turns(actions, runs=scaled(5, scale), warmup=1), at_most=None)


def containers(folder: Path, scale: float) -> list[Row]:
    """`true` in a new container."""
    skipped: list[Row] = []
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(kernel(OURS, folder))

        def prepared_cell() -> float:
            time.sleep(APART_SECONDS)
            return ours.run("%%sh\ntrue")

        actions: dict[str, Callable[[], float]] = {
            "cellstack, %%sh cell": prepared_cell,
            "cellstack run": timed(lambda: peers.run([cellstack(), "run", "default", "true"])),
        }
        for name, start in available_peers(stack, folder):
            try:
                actions[name] = timed(functools.partial(peers.run, start()))
            except peers.MissingPeerError as reason:
                skipped.append(Row("true in a container", name, skipped=str(reason)))
        taken = take_turns(actions, runs=scaled(20, scale))
    docker = taken.get("docker run")
    rows = [
        row(
            "true in a container",
            name,
            series,
            peer=("docker run", docker) if docker and name != "docker run" else None,
            at_most=0.1 if name == "cellstack, %%sh cell" else None,
        )
        for name, series in taken.items()
    ]
    return rows + skipped


def available_peers(stack: contextlib.ExitStack, folder: Path) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Yield (name, what starts the peer and returns its command); starting raises MissingPeerError."""

    @functools.cache
    def root() -> Path:
        return peers.busybox_root(folder)

    yield "bwrap", lambda: peers.bwrap(root())
    yield "runc run", lambda: peers.runc(root(), folder)
    yield "docker run", lambda: stack.enter_context(peers.docker(root(), folder))


def many_cells(folder: Path, scale: float) -> list[Row]:
    """Cells on top of many layers: cell 300 beside cell 10, each layer with a file of its own."""
    last = max(40, round(300 * scale))
    with kernel(OURS, folder) as ours:
        taken = [ours.run(f"open('file-{i}', 'w').write('x')") for i in range(1, last + 6)]
    early, late = Series(tuple(taken[5:15])), Series(tuple(taken[last - 5 : last + 5]))
    what = f"cell {last} beside cell 10"
    return [
        row(what, "cells 6 to 15", early),
        row(what, f"cells {last - 4} to {last + 5}", late, peer=("cell 10", early)),
    ]


SECTIONS = (round_trips, kernel_starts, run_all, memory, containers, many_cells, carry, server, panel)


def as_table(rows: list[Row]) -> Table:
    """Return the table for a terminal."""
    table = Table()
    for title in ("what", "subject"):
        table.add_column(title)
    for title in ("runs", "p50 ms", "p95 ms", "ratio", "added ms", "written", "MiB", "wanted"):
        table.add_column(title, justify="right")
    for line in rows:
        if line.skipped:
            table.add_row(line.what, line.subject, "", "skipped")
            continue
        ratio = f"{line.ratio:.2f} x {line.peer}" if line.ratio is not None else ""
        added = f"{line.added:.2f}" if line.added is not None else ""
        written = f"{line.written:,}" if line.written is not None else ""
        times = [f"{value:.2f}" if value is not None else "" for value in (line.p50, line.p95)]
        mebibytes = f"{line.memory / 2**20:.0f}" if line.memory is not None else ""
        table.add_row(line.what, line.subject, str(line.runs), *times, ratio, added, written, mebibytes, wanted(line))
    return table


def wanted(line: Row) -> str:
    """Return what is to be reached and whether it is."""
    goals = [
        f"<= {limit:g}{unit}" for limit, unit in ((line.at_most, ""), (line.added_at_most, " ms")) if limit is not None
    ]
    if line.p95_at_most is not None:
        goals.append(f"p95 <= {line.p95_at_most:g} ms")
    if line.written_at_most is not None:
        goals.append(f"<= {line.written_at_most:,} bytes")
    return f"{', '.join(goals)} {'yes' if line.reached else 'NO'}" if goals else ""


if __name__ == "__main__":
    sys.exit(main())
