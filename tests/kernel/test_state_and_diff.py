"""%state and %diff say what each cell has left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

FIRST = """\
import cellstack
x = [1]
y = {"x": x}
text = "text" * 9
large = bytearray(200_000)
cellstack.provide("made", lambda: 5)
open("file", "w").write("one")
open("same", "w").write("same")
del cellstack"""
LEFT = """\
x.append(2)
text = 5
g = (number for number in range(3))
open("file", "w").write("left")
open("left", "w").write("1")
open("same", "w").write("same")"""
RIGHT = """\
large[7] = 1
del y
right = 1.5
open("file", "w").write("right")
print("right")"""


@pytest.fixture(scope="module")
def shown(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Return what each magic of one notebook shows, or the error that it gives."""
    folder = tmp_path_factory.mktemp("state")
    cells = [
        "%state  # first",
        "%diff  # first",
        "1\n",
        FIRST,
        "%diff",
        LEFT,
        "%state",
        "%state g x",
        "%state no neither g",
        "%diff 4 6",
    ]
    cells += ["%tag left", "%checkout [4]", RIGHT, "%state large", "%diff left", "%diff head 6", "%diff head~1 head"]
    cells += ["%diff head head", "%diff nosuch", "%checkout left", "%state right", "%diff image head~1"]
    notebook = write_notebook(folder / "a.ipynb", *cells)
    done = cellstack("execute", notebook, "-o", folder / "out.ipynb", "--allow-errors")
    assert (folder / "out.ipynb").exists(), done.stderr
    found: dict[str, str] = {}
    for cell in json.loads((folder / "out.ipynb").read_text())["cells"]:
        output: dict[str, Any] = next(iter(cell["outputs"]), {})
        text = output.get("evalue") or output.get("data", {}).get("text/plain", "")
        found["".join(cell["source"])] = "".join(text)
    return found


def rows(text: str) -> list[list[str]]:
    """Return the words of each line, without sizes, which are the pickler's business."""
    return [
        [word for word in line.split() if not word.isdecimal() and word not in ("B", "KiB")]
        for line in text.splitlines()
    ]


def test_beginning_has_neither_variables_nor_changes(shown: dict[str, str]) -> None:
    assert shown["%state  # first"] == "There is no variable."
    assert shown["%diff  # first"] == "No file was changed.\n\nNo variable was changed."


def test_state_shows_every_variable_with_its_cell_and_company(shown: dict[str, str]) -> None:
    assert rows(shown["%state"]) == [
        ["VARIABLE", "TYPE", "SIZE", "CELL", "SHARED", "WITH"],
        ["large", "bytearray", "[4]"],
        ["made", "cellstack.provide", "[4]"],
        ["text", "int", "[6]"],
        ["x", "list", "[6]", "y"],
        ["y", "dict", "[6]", "x"],
        [],
        ["NOT", "CARRIED", "CELL", "WHY"],
        ["g", "[6]", "generator"],
    ]
    assert "195 KiB" in shown["%state"]


def test_state_shows_the_names_that_are_asked_for(shown: dict[str, str]) -> None:
    assert [row[0] for row in rows(shown["%state g x"]) if row] == ["VARIABLE", "x", "NOT", "g"]
    assert shown["%state no neither g"] == "head has no variable 'no', 'neither'. %state shows all there are"
    assert rows(shown["%state large"])[1] == ["large", "bytearray", "[13]"]
    assert shown["%state right"] == "head has no variable 'right'. %state shows all there are"


def test_diff_shows_all_since_the_image_by_default(shown: dict[str, str]) -> None:
    assert rows(shown["%diff"]) == [
        ["PATH", "SIZE"],
        ["A", "/work/file"],
        ["A", "/work/same"],
        [],
        ["VARIABLE", "TYPE", "SIZE"],
        ["A", "large", "bytearray"],
        ["A", "made", "cellstack.provide"],
        ["A", "text", "str"],
        ["A", "x", "list"],
        ["A", "y", "dict"],
    ]


def test_diff_of_a_layer_and_one_above_it(shown: dict[str, str]) -> None:
    assert rows(shown["%diff 4 6"]) == [
        ["PATH", "SIZE"],
        ["C", "/work/file"],
        ["A", "/work/left"],
        [],
        ["VARIABLE", "TYPE", "SIZE"],
        ["C", "text", "str", "→", "int", "→"],
        ["C", "x", "list", "→"],
        ["C", "y", "dict", "→"],
    ]
    assert [row[:2] for row in rows(shown["%diff head~1 head"])] == [
        ["PATH", "SIZE"], ["C", "/work/file"], [], ["VARIABLE", "TYPE"],
        ["C", "large"], ["A", "right"], ["C", "x"], ["D", "y"],
    ]  # fmt: skip


def test_diff_of_branches_says_how_the_second_differs_from_the_first(shown: dict[str, str]) -> None:
    assert [row[:2] for row in rows(shown["%diff left"])] == [
        ["PATH", "SIZE"], ["C", "/work/file"], ["D", "/work/left"], [], ["VARIABLE", "TYPE"],
        ["C", "large"], ["A", "right"], ["C", "text"], ["C", "x"], ["D", "y"],
    ]  # fmt: skip
    assert [row[:2] for row in rows(shown["%diff head 6"])] == [
        ["PATH", "SIZE"], ["C", "/work/file"], ["A", "/work/left"], [], ["VARIABLE", "TYPE"],
        ["C", "large"], ["D", "right"], ["C", "text"], ["C", "x"], ["A", "y"],
    ]  # fmt: skip
    assert shown["%diff head head"] == "No file was changed.\n\nNo variable was changed."


def test_references_are_layers_and_tags(shown: dict[str, str]) -> None:
    assert shown["%diff nosuch"] == "no layer 'nosuch'. `cellstack layers` lists them"
    assert shown["%checkout left"].endswith("the result of cell [6].")
    assert shown["%diff image head~1"] == shown["%diff"]


def test_damaged_variables_are_told_and_files_shown_all_the_same(
    cellstack: Run, write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    damage = """\
from cellstack_guest import manifest
def write(state, folder):
    open(folder + "/manifest", "w").write("[" * 100_000)
manifest.write = write
open("file", "w").write("1")"""
    notebook = write_notebook(tmp_path / "a.ipynb", damage, "%state", "%diff")
    cellstack("execute", notebook, "-o", tmp_path / "out.ipynb", "--allow-errors")
    outputs = [cell["outputs"] for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"]]
    assert "cannot be read (RecursionError" in outputs[1][0]["evalue"]
    shown = "".join(outputs[2][0]["data"]["text/plain"])
    assert "A  /work/file  1 B\n\nthe variables of layer " in shown
    assert "cannot be read (RecursionError" in shown
