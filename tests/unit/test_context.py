"""The notebook's folder: which is shown, and what of it is hidden."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from cellstack_runtime import context
from cellstack_runtime.context import Context, hidden_mask, mask_is_current, resolve_context
from cellstack_runtime.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for path in (".git/objects", "data/.cache", "data/deep/er", "src"):
        (folder / path).mkdir(parents=True)
    for path in (".env", "data/a.csv", "data/deep/er/.secret", "src/helpers.py"):
        (folder / path).write_text("x")
    os.symlink(folder / ".git", folder / "link")
    os.symlink("/", folder / ".hidden-link")
    return folder


def whiteouts(mask: Path) -> set[str]:
    return {
        str(path.relative_to(mask))
        for path in mask.rglob("*")
        if stat.S_ISCHR(path.lstat().st_mode) and path.lstat().st_rdev == 0
    }


def test_every_hidden_entry_is_masked_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    mask = tmp_path / "mask"
    hidden_mask(str(folder), str(mask))
    assert whiteouts(mask) == {".git", ".env", ".hidden-link", "data/.cache", "data/deep/er/.secret"}
    directories = {str(path.relative_to(mask)) for path in mask.rglob("*") if path.is_dir()}
    assert directories == {"data", "data/deep", "data/deep/er"}


def test_directories_of_the_mask_look_like_those_they_stand_for(folder: Path, tmp_path: Path) -> None:
    (folder / "data").chmod(0o750)
    os.utime(folder / "data", (5, 6))
    hidden_mask(str(folder), str(tmp_path / "mask"))
    status = os.stat(tmp_path / "mask/data")
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o750, 6)


@pytest.mark.parametrize("path", [".new", "data/deep/.new", "src/.new", "data/sub/.new"])
def test_mask_is_stale_when_something_hidden_appears(folder: Path, tmp_path: Path, path: str) -> None:
    fingerprint, _ = hidden_mask(str(folder), str(tmp_path / "mask"))
    assert mask_is_current(fingerprint)
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text("secret")
    assert not mask_is_current(fingerprint)


def test_mask_is_stale_when_the_folder_vanishes(folder: Path, tmp_path: Path) -> None:
    fingerprint, _ = hidden_mask(str(folder), str(tmp_path / "mask"))
    folder.rename(tmp_path / "elsewhere")
    assert not mask_is_current(fingerprint)
    with pytest.raises(NotFoundError, match=r"is not there any more.*--context none"):
        hidden_mask(str(folder), str(tmp_path / "mask2"))


def test_of_too_many_directories_the_deepest_are_hidden_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "MAX_DIRECTORIES", 4)
    fingerprint, left_out = hidden_mask(str(folder), str(tmp_path / "mask"))
    assert (len(fingerprint), left_out) == (4, ["data/deep/er"])
    assert whiteouts(tmp_path / "mask") == {".git", ".env", ".hidden-link", "data/.cache", "data/deep/er"}
    (folder / "data/deep/er/.new").touch()
    assert mask_is_current(fingerprint)
    monkeypatch.setattr(context, "MAX_DIRECTORIES", 1)
    with pytest.raises(UsageError, match=r"project has more than 2 directories.*--context none"):
        hidden_mask(str(folder), str(tmp_path / "other"))


def test_folder_is_resolved(folder: Path) -> None:
    assert resolve_context(f"{folder}/../project", "ro") == Context("ro", str(folder.resolve()))
    assert resolve_context(str(folder), "rw") == Context("rw", str(folder.resolve()))
    assert resolve_context(str(folder), "none") == Context("none")
    assert resolve_context(None, "ro") == Context("none")


def test_home_and_what_is_above_it_are_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "data"))
    for path, what in (("/", "the root directory"), (folder, "above your home"), (folder / "data", "your home")):
        found = resolve_context(str(path), "ro")
        assert found.mode == "none"
        assert what in (found.note or "")
    assert resolve_context(str(folder / "src"), "ro").mode == "ro"


def test_folder_that_holds_the_store_is_not_shown(folder: Path) -> None:
    found = resolve_context(str(folder), "ro", store=str(folder / "data/store"))
    assert found.mode == "none"
    assert "CELLSTACK_HOME" in (found.note or "")


def test_missing_folder_and_unknown_mode_are_errors(folder: Path) -> None:
    with pytest.raises(NotFoundError):
        resolve_context(str(folder / "nowhere"), "ro")
    with pytest.raises(UsageError, match="ro, rw, none"):
        resolve_context(str(folder), "readonly")
