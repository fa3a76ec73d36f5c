"""The context: the notebook's folder, as cells see it under /work."""

from __future__ import annotations

import contextlib
import os
import stat
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cellstack_runtime.errors import NotFoundError, UsageError
from cellstack_runtime.store.marks import make_whiteout

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["ro", "rw", "none"]
MODES: tuple[Mode, ...] = ("ro", "rw", "none")
MAX_DIRECTORIES = 5000  # that are looked through, and looked at again before each cell; and as many that are not


@dataclass(frozen=True, slots=True)
class Context:
    """How /work sees a folder of the host.

    mode: "ro" (read through; writes go to the layer), "rw" (the folder itself) or "none".
    folder: absolute path, None with "none". note: one sentence for the person when the folder was refused.
    """

    mode: Mode
    folder: str | None = None
    note: str | None = None


def resolve_context(folder: str | None, mode: str, *, store: str | None = None) -> Context:
    """Return the context for a notebook in `folder`.

    "/" and the person's home are not shown to cells as a whole: the mode is "none" then, with a note. The
    same for a folder that holds the store at `store`, which overlayfs refuses to mount. UsageError for an
    unknown mode, NotFoundError when the folder is not there.
    """
    chosen = next((known for known in MODES if known == mode), None)
    if chosen is None:
        raise UsageError(f"context {mode!r} is not a mode", hint=f"Modes are: {', '.join(MODES)}")
    if chosen == "none" or folder is None:
        return Context("none")
    path = os.path.realpath(folder)
    if not os.path.isdir(path) or not os.access(path, os.R_OK | os.X_OK):
        raise _gone(folder)
    home = os.path.realpath(os.path.expanduser("~"))
    if _holds(path, home):
        what = "the root directory" if path == "/" else "your home" if path == home else f"{path}, above your home,"
        return Context("none", note=f"cells do not see {what} under /work: move the notebook to a folder of its own")
    if store is not None and _holds(path, os.path.realpath(store)):
        return Context(
            "none",
            note=f"cells do not see {path} under /work because it holds the store {store}: "
            "set CELLSTACK_HOME to a directory elsewhere",
        )
    return Context(chosen, path)


def _gone(folder: str) -> NotFoundError:
    return NotFoundError(
        f"the folder {folder} is not there any more, or cannot be read",
        hint="Bring it back, or run with --context none",
    )


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def hidden_mask(folder: str, mask_dir: str) -> tuple[Mapping[str, int], list[str]]:
    """Fill directory `mask_dir` with whiteouts for every hidden entry (`.git`, `.env`) of `folder` and below.

    Laid over `folder` as an overlay's lower, it hides them. Directories of the mask have the owner, mode and
    time of the folder's own, which they stand for. Returns a fingerprint for `mask_is_current`, and the
    directories that are hidden whole since they came after 5,000 others, the deepest last. UsageError when these
    are too many, too.
    """
    fingerprint: dict[str, int] = {}
    left_out: list[str] = []
    made = {""}
    os.makedirs(mask_dir, exist_ok=True)
    pending = deque([""])
    while pending:
        relative = pending.popleft()
        if len(fingerprint) >= MAX_DIRECTORIES:
            if len(left_out) >= MAX_DIRECTORIES:
                raise UsageError(
                    f"the folder {folder} has more than {2 * MAX_DIRECTORIES:,} directories: too many for cells",
                    hint="Move the notebook to a folder of its own, or run with --context none",
                )
            _make_parents(os.path.dirname(relative), mask_dir, made)
            make_whiteout(f"{mask_dir}/{relative}")
            left_out.append(relative)
            continue
        path = f"{folder}/{relative}" if relative else folder
        try:
            # The time first: what changes while the entries are read makes the fingerprint stale, not wrong.
            fingerprint[path] = os.stat(path).st_mtime_ns
            with os.scandir(path) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except (PermissionError, FileNotFoundError) as error:
            if not relative:
                raise _gone(folder) from error
            continue  # what the person cannot read, or what has just gone, a cell does not see either
        for name, is_directory in found:
            inside = f"{relative}/{name}" if relative else name
            if name.startswith("."):
                _make_parents(relative, mask_dir, made)
                make_whiteout(f"{mask_dir}/{inside}")
            elif is_directory:
                pending.append(inside)
    for relative in sorted(made, reverse=True):
        with contextlib.suppress(FileNotFoundError):  # gone since it was read: the fingerprint is stale already
            _copy_status(f"{folder}/{relative}", f"{mask_dir}/{relative}")
    return fingerprint, left_out


def mask_is_current(fingerprint: Mapping[str, int]) -> bool:
    """Return whether no directory of the folder has changed since its mask was made."""
    try:
        return all(os.stat(path).st_mtime_ns == mtime for path, mtime in fingerprint.items())
    except OSError:
        return False


def _make_parents(relative: str, mask_dir: str, made: set[str]) -> None:
    missing = []
    while relative not in made:
        missing.append(relative)
        relative = os.path.dirname(relative)
    for folder in reversed(missing):
        os.mkdir(f"{mask_dir}/{folder}", 0o700)
        made.add(folder)


def _copy_status(source: str, target: str) -> None:
    status = os.stat(source)
    if os.geteuid() == 0 and (status.st_uid, status.st_gid) != (0, 0):
        os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
