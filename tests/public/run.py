"""Compare the notebooks of notebooks.txt: `build/public-venv/bin/python -m tests.public.run [PART-OF-A-PATH…]`.

A result is written to build/public-results as soon as it is there, and kept: a run that was ended goes on where it was.
Remove the folder to compare everything anew. At the end `differences.md` is written from all results and from
`reasons.toml`; leaves with 1 when a cell differs for a bug or for no reason there, or more than 1 of 100 cells differ.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import json
import os
import platform
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).parent
TOP = HERE.parent.parent
NOTEBOOKS, RESULTS = TOP / "build/public", TOP / "build/public-results"
CELL_SECONDS, NOTEBOOK_SECONDS = 120, 900
LEAST = 0.99
SHOWN = 160  # characters of a difference
BUG = "**Bug**: "
VERSIONS = ("ipykernel", "ipython", "numpy", "pandas", "matplotlib")


def main() -> int:
    """Compare what has no result yet, and write the report."""
    notebooks = [line.split("\t")[1] for line in (HERE / "notebooks.txt").read_text().splitlines()]
    RESULTS.mkdir(parents=True, exist_ok=True)
    for path in notebooks:
        if not _result(path).exists() and (not sys.argv[1:] or any(part in path for part in sys.argv[1:])):
            click.echo(f"{path}: ", nl=False)
            result = compare(path)
            _result(path).write_text(json.dumps(result, indent=1) + "\n")
            click.echo(result.get("failed") or f"{result['same']} of {result['cells']} cells the same")
    results = [json.loads(_result(path).read_text()) for path in notebooks if _result(path).exists()]
    text, is_good = report(results, tomllib.loads((HERE / "reasons.toml").read_text())["reason"], len(notebooks))
    (HERE / "differences.md").write_text(text)
    return 0 if is_good and len(results) == len(notebooks) else 1


def _result(path: str) -> Path:
    return RESULTS / (path.replace("/", "__") + ".json")


def compare(path: str) -> dict[str, Any]:
    """Return what `cellstack compare` says of one notebook, in an environment as one that is activated."""
    scripts = Path(sys.executable).parent
    environ = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "CELLSTACK_HOME": str(TOP / "build/public-store"),
    }
    command = [str(scripts / "cellstack"), "compare", "--timeout", str(CELL_SECONDS), "--format", "json", path]
    try:
        done = subprocess.run(
            command,
            cwd=NOTEBOOKS,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=NOTEBOOK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"notebook": path, "commit": _commit(), "failed": f"took longer than {NOTEBOOK_SECONDS} s"}
    if not done.stdout:
        return {"notebook": path, "commit": _commit(), "failed": done.stderr.strip()}
    return {**json.loads(done.stdout)["notebooks"][0], "commit": _commit()}


def report(results: list[dict[str, Any]], reasons: list[dict[str, Any]], listed: int) -> tuple[str, bool]:
    """Return the report, and whether every difference has a reason and few enough cells differ.

    listed: number of notebooks of which there could be a result.
    """
    compared = [result for result in results if "failed" not in result]
    failed = [result for result in results if "failed" in result]
    rows: dict[str, list[int]] = {}
    lines, unexplained, bugs = [], 0, 0
    for result in compared:
        package = result["notebook"].split("/")[0]
        cells: dict[int, list[dict[str, Any]]] = {}
        for difference in result["differs"]:
            cells.setdefault(difference["index"], []).append(difference)
        for index, differences in sorted(cells.items()):
            why = _reason(result["notebook"], index, differences, reasons)
            unexplained += why is None
            bugs += why is not None and why.startswith(BUG)
            shown = "<br>".join(_shown(difference) for difference in differences)
            lines.append(f"| {result['notebook']} | {index} | {shown} | {why or '**no reason known**'} |")
        row = rows.setdefault(package, [0, 0, 0, 0, 0])
        for place, number in enumerate((1, result["cells"], result["same"], result["varies"], len(cells))):
            row[place] += number
    total = [sum(column) for column in zip(*rows.values(), strict=True)] or [0] * 5
    share = 1 - total[4] / total[1] if total[1] else 0.0
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    commits = ", ".join(sorted({result["commit"] for result in results}))
    numbers = (
        f"**{total[0]} of {listed} notebooks, {total[1]} code cells: {total[2]} the same, "
        f"{total[3]} vary under ipykernel itself, {total[4]} differ; {100 * share:.1f} of 100 cells do not differ.** "
        f"{unexplained} differ for no known reason, "
        f"{bugs} because of a bug."
    )
    head = [
        "# Public notebooks beside ipykernel",
        "",
        "Written by `python -m tests.public.run`; do not edit. What is compared, `cellstack compare --help` says.",
        "",
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, Cellstack {commits}, Python {platform.python_version()}, {versions}.",
        "",
        numbers,
        "",
        "| sdist | notebooks | cells | same | vary | differ |",
        "|---|--:|--:|--:|--:|--:|",
        *(f"| {package} | {' | '.join(map(str, row))} |" for package, row in sorted(rows.items())),
        "",
        "## Cells that differ",
        "",
        "| notebook | cell | difference: ipykernel → Cellstack | reason |",
        "|---|--:|---|---|",
        *lines,
        "",
    ]
    if failed:
        head += ["## Not compared", "", *(f"- {one['notebook']}: {_inline(one['failed'])}" for one in failed), ""]
    return "\n".join(head), not unexplained and not bugs and share >= LEAST


def _reason(notebook: str, index: int, differences: list[dict[str, Any]], reasons: list[dict[str, Any]]) -> str | None:
    """Return the first reason that is about this cell, by its place or by what was shown."""
    shown = {key: "\n".join(difference[key] for difference in differences) for key in ("expected", "got")}
    for reason in reasons:
        is_cell = "cell" not in reason or index in map(int, reason["cell"].split())
        is_shown = all(reason.get(key, "") in text for key, text in shown.items())
        if is_cell and is_shown and fnmatch.fnmatch(notebook, reason.get("notebook", "*")):
            return f"{BUG if 'bug' in reason else ''}{reason['why']}"
    return None


def _shown(difference: dict[str, Any]) -> str:
    what = f"{difference['what']} {difference.get('name', '')}".rstrip()
    expected, got = difference["expected"].splitlines(), difference["got"].splitlines()
    only = [line for line in expected if line not in got], [line for line in got if line not in expected]
    return f"{what}: {' → '.join(_inline(' '.join(lines)) for lines in only)}"


def _inline(text: str) -> str:
    """Return text that fits into a cell of a table."""
    text = " ".join(text.replace("`", "'").replace("|", "¦").split())
    return f"`{text[:SHOWN]}{'…' if len(text) > SHOWN else ''}`" if text else "nothing"


def _commit() -> str:
    """Return the commit that is checked out, and whether anything but the report differs from it."""
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{commit}-dirty" if _git("status", "--porcelain", "--", ".", ":!tests/public/differences.md") else commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(TOP), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
