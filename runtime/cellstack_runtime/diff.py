"""What an overlay's upper directory changes in the directories below it."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from cellstack_runtime.store.files import readable
from cellstack_runtime.store.marks import is_opaque, is_whiteout
from cellstack_runtime.store.records import PARTS, Changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellstack_runtime.store.records import Layer
    from cellstack_runtime.store.store import Store

Kind = Literal["A", "C", "D"]
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}

MAX_PATH = 4096 - 256 - 2  # PATH_MAX less one more name


@dataclass(frozen=True, slots=True)
class Change:
    """One changed path. kind: A added, C changed, D deleted, as `docker diff`. path: from "/".

    type: "file", "directory", "symlink", "device", "fifo" or "socket" (of what was deleted, for D).
    size: bytes of a file, 0 for all else.
    """

    kind: Kind
    path: str
    type: str
    size: int


@dataclass(frozen=True, slots=True)
class Below:
    """What merged directories have at one name: the topmost entry's path; its merged directories, top first."""

    path: str
    status: os.stat_result
    folders: tuple[str, ...]


def changes_of(upper: str, lowers: Sequence[str]) -> Iterator[Change]:
    """Yield what directory `upper` changes on top of `lowers` (top first), in the order of paths.

    A directory that is in `upper` only because something in it changed is a "C" too. A deleted directory is
    one "D", without what was in it. Directories that a cell has made unreadable are opened for their owner
    meanwhile.
    """
    yield from _walk(upper, tuple(lowers), "", hiding=False)


def changes_of_layer(store: Store, layer: Layer) -> Iterator[Change]:
    """Yield what a layer of a notebook changes, below "/" and below "/work"; an image's own layers add everything.

    The files of the notebook's folder, as they are on the host now, lie below /work where the cell saw them.
    """
    for part in PARTS:
        lowers: list[str] = []
        if layer.image is not None:
            lowers = store.lowers(store.image(layer.image), layer.parent, part)
            folder = layer.cell.get("context")
            if part == "work" and isinstance(folder, str):
                lowers.append(folder)
        prefix = "/work" if part == "work" else ""
        for change in changes_of(store.layer_path(layer.id, part), lowers):
            yield replace(change, path=prefix + change.path)


def count(upper: str, lowers: Sequence[str]) -> Changes:
    """Return the number of changes in `upper`: all files, and directories that are new or deleted."""
    added = changed = deleted = size = 0
    for change in changes_of(upper, lowers):
        size += change.size if change.kind != "D" else 0
        if change.kind == "A":
            added += 1
        elif change.kind == "D":
            deleted += 1
        elif change.type != "directory":
            changed += 1
    return Changes(added, changed, deleted, size)


def _walk(folder: str, lowers: tuple[str, ...], path: str, *, hiding: bool) -> Iterator[Change]:
    """Yield the changes of one directory. hiding: it, or one above, is opaque: what it lacks is deleted."""
    if len(folder) > MAX_PATH:
        return  # A cell has nested directories deeper than a path can name; what is in there is kept, not listed.
    with readable(folder):
        hiding = hiding or (bool(path) and bool(lowers) and is_opaque(folder))
        present = set(os.listdir(folder))
        for name in sorted(present | merged_names(lowers) if hiding else present):
            here, shown = f"{folder}/{name}", f"{path}/{name}"
            below = look(lowers, name)
            status = os.lstat(here) if name in present else None
            if status is None or is_whiteout(here, status):
                if below is not None:
                    yield Change("D", shown, _type(below.status), 0)
                continue
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            yield Change("A" if below is None else "C", shown, _type(status), size)
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(here, below.folders if below is not None else (), shown, hiding=hiding)


def _type(status: os.stat_result) -> str:
    return _TYPES[stat.S_IFMT(status.st_mode)]


def look(folders: tuple[str, ...], name: str) -> Below | None:
    """Return what the merge of `folders` (top first) shows at `name`."""
    top: tuple[str, os.stat_result] | None = None
    merged: list[str] = []
    for folder in folders:
        path = f"{folder}/{name}"
        # Mostly there is nothing; asking is quicker than an exception. A cell does not see more than its owner does.
        if not os.access(path, os.F_OK, follow_symlinks=False):
            continue
        found = os.lstat(path)
        if is_whiteout(path, found):
            break
        is_directory = stat.S_ISDIR(found.st_mode)
        if top is not None and not is_directory:
            break  # the directory above hides the file
        top = top or (path, found)
        if not is_directory:
            break
        merged.append(path)
        if is_opaque(path):
            break
    return None if top is None else Below(*top, tuple(merged))


def merged_names(folders: tuple[str, ...]) -> set[str]:
    """Return all names in `folders`, those of whiteouts too; what their owner may not read has none."""
    names: set[str] = set()
    for folder in folders:
        with contextlib.suppress(PermissionError):
            names.update(os.listdir(folder))
    return names
