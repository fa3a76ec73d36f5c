"""What an upper directory changes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from cellstack_runtime.diff import Change, changes_of, count
from cellstack_runtime.store import Changes
from cellstack_runtime.store.marks import make_opaque, make_whiteout

if TYPE_CHECKING:
    from pathlib import Path


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


def test_counting_nothing_costs_nothing(tmp_path: Path) -> None:
    upper = fill(tmp_path / "u", {})
    lowers = [fill(tmp_path / str(n), {"a": "1"}) for n in range(60)]
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        assert count(upper, lowers) == Changes()
        best = min(best, time.perf_counter() - start)
    assert best < 0.0002
