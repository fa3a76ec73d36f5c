"""Outputs of a notebook under two kernels, compared cell by cell. Pure functions; the running is in `cli/compare.py`.

Compared of each cell: its execution count; the text of stdout and of stderr; of results and displays, in order,
their kind, execution count, MIME types and text/plain; name and value of errors. Not compared: tracebacks, the
contents of other MIME types, and how text and displays are interleaved.

Before that, in every text, these are made the same (`normalize`):
- the folder of the notebook, which is a copy under ipykernel and /work under Cellstack: /work;
- the folders of Python and its packages: where the image has them, as /opt/venv;
- the folder of temporary files: /tmp;
- file names of cells, `<ipython-input-3-0a1b…>` and `/tmp/ipykernel_123/456.py`: <cell>;
- memory addresses, as in `<object at 0x7f3c5e0a1b20>`: 0x…. Other hexadecimal numbers are left as they are;
- names that Python's tempfile makes up, `tmp` and eight characters: tmp…;
- what `%time` and `%timeit` report: <time>;
- durations with a decimal point and a unit from ns to s, as `1.23 s`: <time>. Whole numbers (`5 s`) are left.

A text that differs between two runs under ipykernel is nondeterministic, and no difference of the kernels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cellstack_kernel.files import is_executed

# What is compared, and the name of the stream where it is one.
Part = tuple[str, str]
# Folders of the host and where a container has them, longer ones before those that hold them.
Paths = Sequence[tuple[str, str]]
EXECUTION_COUNT: Part = ("execution_count", "")
DATA: Part = ("data", "")
ERROR: Part = ("error", "")

_REPLACED = [
    (re.compile(r"<ipython-input-\d+-[0-9a-f]+>|/tmp/ipykernel_\d+/\d+\.py"), "<cell>"),
    # 47 bits: pointers to the heap begin with 0x5, those to mapped memory with 0x7.
    (re.compile(r"(?<=\bat )0x[0-9a-fA-F]{6,16}\b|\b0x[57][0-9a-f]{11}\b"), "0x…"),
    (re.compile(r"(?<=/)tmp[a-z0-9_]{8}(?![a-z0-9_])"), "tmp…"),
    (re.compile(r"^(CPU times|Wall time): .*$", re.MULTILINE), r"\1: <time>"),
    (re.compile(r"^.* per loop \(mean ± std\. dev\. of .*\)$", re.MULTILINE), "<time> per loop"),
    (re.compile(r"\b\d+\.\d+(e[+-]?\d+)? ?(ns|[uµμ]s|ms|s|secs?|seconds?)\b"), "<time>"),
]


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell that was run, with its normalized texts. index: its place among all cells, from 0."""

    index: int
    execution_count: int | None
    texts: dict[Part, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs in a cell. stream: "stdout" or "stderr" when `what` is "stream". expected: ipykernel's text."""

    index: int
    execution_count: int | None
    what: str
    stream: str
    expected: str
    got: str

    def as_json(self) -> dict[str, Any]:
        """Return it as `cellstack compare --format json` shows it."""
        return {
            "index": self.index,
            "execution_count": self.execution_count,
            "what": self.what,
            **({"name": self.stream} if self.stream else {}),
            "expected": self.expected,
            "got": self.got,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Numbers of cells, and what differs. A cell of which some texts vary and others differ is one that differs."""

    cells: int
    varies: int
    differences: tuple[Difference, ...]

    @property
    def differs(self) -> int:
        """Number of cells that differ."""
        return len({difference.index for difference in self.differences})

    @property
    def same(self) -> int:
        """Number of cells that are the same."""
        return self.cells - self.varies - self.differs


def normalize(text: str, paths: Paths = ()) -> str:
    """Return `text` without what differs from run to run."""
    for host, container in paths:
        text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w.-])", container, text)
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    return text


def cells_of(node: Any, paths: Paths = ()) -> list[Cell]:
    """Return the cells of a notebook that was run."""
    return [
        Cell(index, cell.get("execution_count"), _texts(cell, paths))
        for index, cell in enumerate(node["cells"])
        if is_executed(cell)
    ]


def compare_cells(expected: Sequence[Cell], got: Sequence[Cell], again: Sequence[Cell] | None = None) -> Comparison:
    """Compare a run under ipykernel with one under Cellstack; `again` is a second run under ipykernel."""
    varies = 0
    found: list[Difference] = []
    for place, cell in enumerate(expected):
        parts = _differing(cell, got[place])
        varying = _differing(cell, again[place]) if again is not None else []
        meant = [part for part in parts if part not in varying]
        varies += bool(parts) and not meant
        found += [
            Difference(
                cell.index, cell.execution_count, *part, cell.texts.get(part, ""), got[place].texts.get(part, "")
            )
            for part in meant
        ]
    return Comparison(len(expected), varies, tuple(found))


def _differing(one: Cell, other: Cell) -> list[Part]:
    return [part for part in {**one.texts, **other.texts} if one.texts.get(part) != other.texts.get(part)]


def _texts(cell: Any, paths: Paths) -> dict[Part, str]:
    texts: dict[Part, str] = {}
    for output in cell["outputs"]:
        kind = output["output_type"]
        if kind == "stream":
            part, text = ("stream", output["name"]), output["text"]
        elif kind == "error":
            part, text = ERROR, f"{output['ename']}: {output['evalue']}\n"
        else:
            count = f" [{output['execution_count']}]" if kind == "execute_result" else ""
            data = output["data"]
            part, text = DATA, f"{kind}{count} {' '.join(sorted(data))}\n{data.get('text/plain', '')}\n"
        texts[part] = texts.get(part, "") + text
    # Only whole texts are normalized: a flush may have cut a stream anywhere.
    normalized = {part: normalize(text, paths) for part, text in texts.items()}
    return {EXECUTION_COUNT: str(cell.get("execution_count")), **normalized}
