"""Runs kinds of objects and idioms under ipykernel and under Cellstack, and says how each came through.

An entry is some cells of a notebook. A kind of object has these: one that makes it and looks at it, one that looks
again, and where there is a use, one that uses it and looks and one that looks once more. Cells of one library share a
notebook. Under Cellstack each runs in a fresh container, so that everything it shows was carried there; what is right
is what ipykernel shows.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import pickle
import re
import subprocess
import symtable
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellstack_kernel.cli import compare as command
from cellstack_kernel.cli.execute import Run
from cellstack_kernel.compare import ERROR, Cell, cells_of, compare_cells
from cellstack_kernel.files import Document
from cellstack_kernel.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
CARRIED, REOPENED, REFUSED, WRONG = "carried", "re-opened", "refused", "wrong"
STDERR = ("stream", "stderr")
# Notices below a cell, and notes below an error that says that a name is not there.
_SAID = re.compile(
    r"(?:will not|cannot|could not) be (?:carried|restored|saved)[^:]*: (?P<why>.*)"
    r"|(?P<late>could not be (?:loaded|set again): .*)"
    r"|was not carried to this cell: (?P<note>.*?)\. Make it again here"
)
_ANSI = re.compile("\x1b\\[[0-9;]*m")
_TYPE = "print(type(x).__module__, type(x).__qualname__)"


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind or an idiom. cells: their sources. anew: what it stands for in the process is opened or made again."""

    name: str
    cells: tuple[str, ...]
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Entries that share a notebook.

    modules: what must be installed. first, after: code before all, after each. clean: whether the variables of an
    entry are removed after it.
    """

    name: str
    entries: tuple[Entry, ...]
    modules: tuple[str, ...] = ()
    first: str = ""
    after: str = ""
    clean: bool = False

    def missing(self) -> list[str]:
        """Return the modules that are not installed."""
        return [module for module in self.modules if importlib.util.find_spec(module) is None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an entry. said: why it was refused, in the kernel's words. detail: what differs."""

    name: str
    verdict: str
    said: str = ""
    detail: str = ""


def kind(name: str, make: str, look: str, use: str = "", *, anew: bool = False, own: bool = False) -> Entry:
    """Return the entry of a kind of object, `x`. own: its class is not the same in every kernel."""
    cells = [f"{make}\n{'' if own else _TYPE}\n{look}", look]
    if use:
        cells += [f"{use}\n{look}", look]
    return Entry(name, tuple(cells), anew)


def run(group: Group) -> list[Outcome]:
    """Run a group's entries; AssertionError when an entry does not work under ipykernel."""
    cells: list[tuple[Entry | None, str]] = [(None, group.first)] if group.first else []
    for entry in group.entries:
        cells += [(entry, cell) for cell in entry.cells]
        if group.clean and (cleaning := _clean(entry, group)):
            cells.append((None, cleaning))
    with tempfile.TemporaryDirectory(prefix="carry-") as folder:
        path = Path(folder, f"{re.sub('[^a-z]+', '-', group.name.lower())}.ipynb")
        path.write_text(json.dumps(_notebook([source for _, source in cells])))
        answer = Path(folder, "expected")
        other = subprocess.Popen([sys.executable, "-m", __name__, path, answer], cwd=REPOSITORY)
        try:
            got, notes = _under_cellstack(Document.read(str(path)))
        finally:
            assert other.wait() == 0, "ipykernel was not run"
        expected: list[Cell] = pickle.loads(answer.read_bytes())
    assert len(expected) == len(got) == len(cells)
    results = list(zip(expected, got, notes, strict=True))
    heard: set[str] = set()
    found = [
        _outcome(entry, [each for each, (of, _) in zip(results, cells, strict=True) if of is entry], heard)
        for entry in group.entries
    ]
    broken = [
        f"{group.name}: {entry.name if entry else source}: {cell.texts[ERROR]}"
        for (entry, source), cell in zip(cells, expected, strict=True)
        if ERROR in cell.texts
    ]
    assert not broken, "not right under ipykernel:\n" + "\n".join(broken)
    return found


def _under_cellstack(document: Document) -> tuple[list[Cell], list[list[str]]]:
    """Run the cells under Cellstack; return them, and of each the lines that tracebacks end with."""
    with command._copy(document) as copy:
        going = Run(copy, Settings(limits={"timeout": "60"}), {}, allow_errors=True, quiet=True)
        try:
            asyncio.run(going.main((), None, None))
        finally:
            command._forget(copy.path)
        errors = [
            [line for output in cell.outputs if output.output_type == "error" for line in output.traceback]
            for cell in copy.node.cells
        ]
        return cells_of(copy.node), [_ANSI.sub("", "\n".join(lines)).splitlines() for lines in errors]


def _outcome(entry: Entry, results: list[tuple[Cell, Cell, list[str]]], heard: set[str]) -> Outcome:
    """Say what became of an entry. heard: notices of earlier entries, which later cells may repeat; added to."""
    said: list[re.Match[str]] = []
    compared = []
    for expected, got, notes in results:
        lines = got.texts.get(STDERR, "").splitlines(keepends=True)
        said += [match for line in [*lines, *notes] if line not in heard and (match := _SAID.search(line))]
        rest = "".join(line for line in lines if line not in heard)
        texts = {part: text for part, text in got.texts.items() if part != STDERR}
        compared.append((expected, replace(got, texts={**texts, **({STDERR: rest} if rest.strip() else {})})))
    if said:
        heard.update(match.string for match in said if match.string.endswith("\n"))
        why = next(filter(None, said[0].groups()))
        return Outcome(entry.name, REFUSED, why.strip(), "".join(match.string for match in said))
    differences = compare_cells(*zip(*compared, strict=True)).differences
    if differences:
        each = [f"{one.what} {one.stream}\n- {one.expected}\n+ {one.got}" for one in differences]
        return Outcome(entry.name, WRONG, "", "\n".join(each))
    return Outcome(entry.name, REOPENED if entry.anew else CARRIED)


def _clean(entry: Entry, group: Group) -> str:
    """Return a cell that removes the variables of an entry but x, which the next one binds anew."""
    names: set[str] = set()
    for cell in entry.cells:
        names.update(_assigned(cell))
    lines = [f"try: del {name}\nexcept NameError: pass" for name in sorted(names - {"x"})]
    return "\n".join([*([group.after] if group.after else []), *lines])


def _assigned(cell: str) -> Iterator[str]:
    code = "\n".join(line for line in cell.splitlines() if not line.startswith("%"))
    try:
        symbols = symtable.symtable(code, "cell", "exec").get_symbols()
    except SyntaxError:  # await and magics: such entries have few names
        return iter(("x",))
    return (symbol.get_name() for symbol in symbols if symbol.is_assigned() and not symbol.is_imported())


def _notebook(sources: list[str]) -> dict[str, Any]:
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"cell-{number}", "source": source, "metadata": {}}
        | {"execution_count": None, "outputs": []}
        for number, source in enumerate(sources)
    ]
    kernel = {"name": "cellstack", "display_name": "Cellstack", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "cells": cells, "metadata": {"kernelspec": kernel}}


if __name__ == "__main__":
    # Runs a notebook under ipykernel, beside another process that runs it under Cellstack.
    shown, _ = command._under_ipykernel(Document.read(sys.argv[1]), None)
    Path(sys.argv[2]).write_bytes(pickle.dumps(shown))
