"""What an upper directory changes."""

from __future__ import annotations

import itertools
import os
import secrets
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstack_runtime.diff import Change, changes_between, changes_of, changes_of_layer, count
from cellstack_runtime.store import Changes, Image, Layer, Store, files
from cellstack_runtime.store.effort import Effort, StoppedError
from cellstack_runtime.store.marks import make_opaque, make_whiteout


def fill(folder: Path, files: dict[str, str]) -> str:
    """Write `files` (path -> text; None-like text "!" a whiteout) below `folder`."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text == "!":
            make_whiteout(str(path))
        else:
            path.write_text(text)
    return str(folder)


def opaque(path: Path) -> None:
    try:
        make_opaque(str(path))
    except OSError as error:
        pytest.skip(f"the temporary directory has no extended attributes: {error.strerror}")


def shown(upper: str, *lowers: str) -> list[str]:
    return [f"{change.kind} {change.path}" for change in changes_of(upper, lowers)]


def test_added_changed_and_deleted_are_told_apart(tmp_path: Path) -> None:
    lower = fill(tmp_path / "l", {"etc/old": "1", "etc/gone": "1", "same": "1"})
    upper = fill(tmp_path / "u", {"etc/old": "22", "etc/gone": "!", "new/file": "333"})
    assert shown(upper, lower) == ["C /etc", "D /etc/gone", "C /etc/old", "A /new", "A /new/file"]
    assert count(upper, [lower]) == Changes(added=2, changed=1, deleted=1, bytes=5)
    assert Change("A", "/new/file", "file", 3) in list(changes_of(upper, [lower]))


def test_whiteout_of_what_was_never_there_is_no_change(tmp_path: Path) -> None:
    upper = fill(tmp_path / "u", {"x": "!"})
    assert shown(upper, fill(tmp_path / "l", {})) == []


def test_deleted_directory_is_one_change(tmp_path: Path) -> None:
    lower = fill(tmp_path / "l", {"d/a": "1", "d/b": "1"})
    upper = fill(tmp_path / "u", {"d": "!"})
    assert list(changes_of(upper, [lower])) == [Change("D", "/d", "directory", 0)]


def test_opaque_directory_deletes_what_it_does_not_have(tmp_path: Path) -> None:
    lower = fill(tmp_path / "l", {"d/a": "1", "d/b": "1", "d/sub/x": "1", "d/sub/y": "1"})
    upper = fill(tmp_path / "u", {"d/a": "2", "d/sub/x": "2"})
    opaque(tmp_path / "u/d")
    assert shown(upper, lower) == ["C /d", "C /d/a", "D /d/b", "C /d/sub", "C /d/sub/x", "D /d/sub/y"]


def test_lowers_are_seen_as_their_overlay_shows_them(tmp_path: Path) -> None:
    bottom = fill(tmp_path / "0", {"a": "1", "d/x": "1", "e/x": "1", "f": "1"})
    middle = fill(tmp_path / "1", {"a": "!", "d/y": "1", "e/y": "1", "f/in": "1"})
    opaque(tmp_path / "1/e")
    upper = fill(tmp_path / "2", {"a": "2", "d/x": "2", "d/y": "2", "e/x": "2", "f/in": "2"})
    assert shown(upper, middle, bottom) == [
        "A /a", "C /d", "C /d/x", "C /d/y", "C /e", "A /e/x", "C /f", "C /f/in",
    ]  # fmt: skip


def test_closed_directory_is_listed_and_stays_closed(tmp_path: Path) -> None:
    upper = fill(tmp_path / "u", {"d/x": "1"})
    os.chmod(tmp_path / "u/d", 0)
    try:
        assert shown(upper) == ["A /d", "A /d/x"]
        assert os.stat(tmp_path / "u/d").st_mode & 0o777 == 0
    finally:
        os.chmod(tmp_path / "u/d", 0o700)


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", {"secret": "1"})
    upper = fill(tmp_path / "u", {})
    os.symlink(outside, f"{upper}/link")
    assert list(changes_of(upper, [])) == [Change("A", "/link", "symlink", 0)]


def nest(folder: str, depth: int) -> None:
    """Make directories in each other, deeper than a path could be given whole."""
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


def test_directories_may_be_nested_deeper_than_calls(tmp_path: Path) -> None:
    upper = fill(tmp_path / "u", {})
    nest(upper, 1500)
    try:
        assert count(upper, []) == Changes(added=1500)
    finally:
        files.remove_tree(upper, str(tmp_path))  # pytest cannot


def test_counting_nothing_costs_nothing(tmp_path: Path) -> None:
    upper = fill(tmp_path / "u", {})
    lowers = [fill(tmp_path / str(n), {"a": "1"}) for n in range(60)]
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        assert count(upper, lowers) == Changes()
        best = min(best, time.perf_counter() - start)
    assert best < 0.0002


class Stack:
    """A store with an image and layers of cells on it."""

    def __init__(self, folder: Path, below: dict[str, str]) -> None:
        self.store = Store.open(str(folder / "store"))
        self.image = self.store.put_image([self._commit(None, None, below, {})], {}, "2026-01-01T00:00:00.000000Z")

    def cell(self, parent: str | None, written: dict[str, str], *, image: Image | None = None, **cell: Any) -> str:
        """Return the layer of a cell that has written this (as in `fill`)."""
        return self._commit(parent, (image or self.image).id, written, cell)

    def _commit(self, parent: str | None, image: str | None, written: dict[str, str], cell: dict[str, Any]) -> str:
        name = secrets.token_hex(16)
        prepared = f"{self.store.home}/runs/{name}"
        os.makedirs(prepared)
        for part in ("root", "work"):
            own = {path[5:]: text for path, text in written.items() if path.startswith("work/")}
            rest = {path: text for path, text in written.items() if not path.startswith("work/")}
            fill(Path(prepared) / part, own if part == "work" else rest)
        time = "2026-01-01T00:00:00.000000Z"
        has = {part: bool(os.listdir(f"{prepared}/{part}")) for part in ("root", "work")}
        self.store.commit(
            prepared, Layer(name, parent, image, time, **has, changes=Changes(), state=None, cell=cell, digest=None)
        )
        return name

    def shown(self, first: str | None, last: str | None) -> list[str]:
        return [f"{change.kind} {change.path}" for change in changes_between(self.store, self.image, first, last)]


def test_branches_are_compared_with_each_other(tmp_path: Path) -> None:
    stack = Stack(tmp_path, {"etc/old": "1", "etc/gone": "1", "lib/x": "1"})
    base = stack.cell(None, {"work/data": "1", "etc/gone": "!"})
    left = stack.cell(base, {"work/data": "2", "work/left/in": "1", "lib/x": "!", "etc/same": "1"})
    right = stack.cell(stack.cell(base, {"work/data": "3", "etc/same": "2"}), {"etc/same": "1", "etc/old": "22"})
    assert stack.shown(left, right) == [
        "C /etc", "C /etc/old", "C /lib", "A /lib/x", "C /work/data", "D /work/left",
    ]  # fmt: skip
    assert stack.shown(right, left) == [
        "C /etc", "C /etc/old", "C /lib", "D /lib/x", "C /work/data", "A /work/left", "A /work/left/in",
    ]  # fmt: skip
    assert stack.shown(left, left) == []
    assert stack.shown(None, base) == ["C /etc", "D /etc/gone", "A /work/data"]
    assert stack.shown(base, None) == ["C /etc", "A /etc/gone", "D /work/data"]


def test_what_was_written_as_it_was_is_not_changed(tmp_path: Path) -> None:
    stack = Stack(tmp_path, {"a": "1", "b": "1", "c": "1"})
    again = stack.cell(None, {"a": "1", "b": "1"})
    os.chmod(f"{stack.store.layer_path(again, 'root')}/b", 0o700)
    os.symlink("a", f"{stack.store.layer_path(again, 'root')}/link")
    other = stack.cell(None, {})
    relinked = stack.cell(again, {"a/in": "1"})
    os.symlink("b", f"{stack.store.layer_path(relinked, 'root')}/link")
    assert stack.shown(other, again) == ["C /b", "A /link"]
    assert stack.shown(again, relinked) == ["C /a", "A /a/in", "C /link"]
    assert stack.shown(relinked, again) == ["C /a", "C /link"]


def test_layers_on_different_images_differ_by_their_images_too(tmp_path: Path) -> None:
    stack = Stack(tmp_path, {"a": "1"})
    first = stack.cell(None, {"x": "1"})
    other = stack.store.put_image([*stack.image.layers, first], {}, "2026-01-01T00:00:00.000000Z")
    last = stack.cell(None, {"y": "1"}, image=other)
    assert stack.shown(first, last) == ["A /y"]
    assert stack.shown(None, last) == ["A /x", "A /y"]
    assert stack.shown(stack.image.layers[0], last) == ["A /x", "A /y"]


def test_squashed_layers_are_what_they_were(tmp_path: Path) -> None:
    stack = Stack(tmp_path, {"a": "1", "gone": "1"})
    layers: list[str | None] = [None]
    for number in range(70):
        layers.append(stack.cell(layers[-1], {"etc/f": str(number), f"etc/{number}": "x", "gone": "!"}))
    before = [stack.shown(layers[3], layers[-1]), stack.shown(None, layers[-1]), stack.shown(layers[-1], layers[3])]
    assert stack.store.squash(stack.image, str(layers[-1]), "root")
    assert [
        stack.shown(layers[3], layers[-1]), stack.shown(None, layers[-1]), stack.shown(layers[-1], layers[3])
    ] == before  # fmt: skip


@pytest.mark.parametrize(
    ("most", "seconds", "changed"), [(300, 60, []), (250, 60, ["/c"]), (300, 0, ["/a", "/b", "/c"])]
)
def test_what_is_beyond_an_effort_is_told_as_changed(
    tmp_path: Path, most: int, seconds: float, changed: list[str]
) -> None:
    stack = Stack(tmp_path, {})
    first, last = (stack.cell(None, dict.fromkeys("abc", "x" * 100)) for _ in range(2))
    assert stack.shown(first, last) == []
    effort = Effort(most=most, seconds=seconds)
    found = changes_between(stack.store, stack.image, str(first), str(last), effort)
    assert [change.path for change in found] == changed


def test_a_comparison_ends_when_nobody_waits_for_it(tmp_path: Path) -> None:
    stack = Stack(tmp_path, {})
    first, last = stack.cell(None, {"a": ""}), stack.cell(None, {"a": ""})
    for layer in (first, last):
        os.truncate(f"{stack.store.layer_path(layer, 'root')}/a", files.MAX_COMPARED)
    asked = itertools.count()
    with pytest.raises(StoppedError):
        changes_between(stack.store, stack.image, first, last, Effort(lambda: next(asked) == 10))
    assert next(asked) == 11
    with pytest.raises(StoppedError):
        list(changes_of_layer(stack.store, stack.store.layer(last), Effort(lambda: True)))


def test_files_of_the_folder_are_in_no_layer_and_it_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    fill(folder, {"data": "1", "kept": "1", "closed/x": "1"})
    stack = Stack(tmp_path, {})
    first = stack.cell(None, {"work/data": "2"}, context=str(folder))
    last = stack.cell(first, {"work/new": "1", "work/data": "!"}, context=str(folder))
    assert stack.shown(None, first) == ["C /work/data"]
    assert stack.shown(None, last) == ["D /work/data", "A /work/new"]
    assert stack.shown(first, last) == ["D /work/data", "A /work/new"]


def test_closed_and_deep_directories_are_compared(tmp_path: Path) -> None:
    stack = Stack(tmp_path, {})
    first, last = stack.cell(None, {"d/x": "1"}), stack.cell(None, {"d/x": "2"})
    nest(f"{stack.store.layer_path(last, 'root')}/d", 1500)
    closed = f"{stack.store.layer_path(first, 'root')}/d"
    os.chmod(closed, 0)
    try:
        shown = stack.shown(first, last)
        assert (shown[:2], len(shown)) == (["C /d", "A /d/d"], 1502)
        assert os.stat(closed).st_mode & 0o777 == 0
    finally:
        os.chmod(closed, 0o700)
        stack.store.remove_layer(last)  # pytest cannot


PATHS = st.sampled_from(["a", "b", "d/x", "d/y", "d/e/z", "f/g"])
CELLS = st.lists(st.dictionaries(PATHS, st.sampled_from(["1", "2", "!"]), max_size=4), max_size=4)


@given(CELLS, CELLS, CELLS)
@settings(max_examples=60, deadline=None)
def test_any_two_layers_differ_as_their_files_do(
    tmp_path_factory: pytest.TempPathFactory,
    below: list[dict[str, str]],
    left: list[dict[str, str]],
    right: list[dict[str, str]],
) -> None:
    stack = Stack(tmp_path_factory.mktemp("stack"), {"a": "0", "d/x": "0"})

    def run(cells: list[dict[str, str]], layer: str | None, there: dict[str, str]) -> tuple[str | None, dict[str, str]]:
        for cell in cells:
            layer = stack.cell(layer, cell)
            there = {path: text for path, text in {**there, **cell}.items() if text != "!"}
        return layer, there

    base, start = run(below, None, {"a": "0", "d/x": "0"})
    (one, before), (two, after) = run(left, base, start), run(right, base, start)
    expected = {f"D /{path}" for path in before.keys() - after.keys()}
    expected |= {f"A /{path}" for path in after.keys() - before.keys()}
    expected |= {f"C /{path}" for path in before.keys() & after.keys() if before[path] != after[path]}
    folders = {"/d", "/d/e", "/f"}
    found = {line for line in stack.shown(one, two) if line[2:] not in folders}
    gone = {line[2:] for line in stack.shown(one, two) if line[0] == "D"} & folders
    assert found == {line for line in expected if not any(line.startswith(f"D {folder}/") for folder in gone)}
