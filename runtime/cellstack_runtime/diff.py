"""What an overlay's upper directory changes in the directories below it, and how two stacks of them differ."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from cellstack_runtime.store.effort import Effort
from cellstack_runtime.store.files import MAX_COMPARED, have_same_bytes, readable
from cellstack_runtime.store.marks import is_opaque, is_whiteout
from cellstack_runtime.store.records import PARTS, Changes

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from cellstack_runtime.store.records import Image, Layer, Part
    from cellstack_runtime.store.store import Store

    # The changes of one directory; where one of those in it comes, its own.
    Level: TypeAlias = Generator["Change | Level", None, None]

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


def changes_of(upper: str, lowers: Sequence[str], effort: Effort | None = None) -> Iterator[Change]:
    """Yield what directory `upper` changes on top of `lowers` (top first), in the order of paths.

    A directory that is in `upper` only because something in it changed is a "C" too. A deleted directory is
    one "D", without what was in it. Directories that a cell has made unreadable are opened for their owner
    meanwhile. StoppedError when `effort` is stopped.
    """
    yield from _flat(_level(upper, tuple(lowers), "", hiding=False), effort or Effort())


def changes_of_layer(store: Store, layer: Layer, effort: Effort | None = None) -> Iterator[Change]:
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
        for change in changes_of(store.layer_path(layer.id, part), lowers, effort):
            yield replace(change, path=prefix + change.path)


def changes_between(
    store: Store, image: Image, first: str | None, last: str | None, effort: Effort | None = None
) -> list[Change]:
    """Return what is different in layer `last` from layer `first`, by path, wherever the two are; None is `image`.

    A file is changed when its content, its mode or where it links to differs, or when it was written anew and is
    larger than 256 MiB or beyond `effort`; a directory when anything below it is different. StoppedError when `effort`
    is stopped.
    """
    effort = effort or Effort()
    # The notebook's folder is the host's, as it is now, and the same for both: only layers are compared.
    contexts = [store.layer(layer).cell.get("context") for layer in (last, first) if layer is not None]
    folder = next((context for context in contexts if isinstance(context, str)), None)
    found: dict[str, Change] = {}
    for part in PARTS:
        under = (folder,) if part == "work" and folder is not None else ()
        before, after = ((*_stack(store, image, layer, part), *under) for layer in (first, last))
        prefix = "/work" if part == "work" else ""
        for change in _flat(_difference(before, after, "", store.home, effort), effort):
            found[prefix + change.path] = replace(change, path=prefix + change.path)
    for path in list(found):
        while (path := os.path.dirname(path)) not in ("/", "/work") and path not in found:
            found[path] = Change("C", path, "directory", 0)
    return [found[path] for path in sorted(found)]


def _stack(store: Store, image: Image, layer_id: str | None, part: Part) -> list[str]:
    if layer_id is None:
        return store.lowers(image, None, part)
    layer = store.layer(layer_id)
    if layer.image is None:  # one of an image's own
        return [store.layer_path(layer_id, part)] if layer.has(part) else []
    return store.lowers(store.image(layer.image), layer_id, part)


def _difference(before: tuple[str, ...], after: tuple[str, ...], path: str, home: str, effort: Effort) -> Level:
    """Yield how the merge of `after` (top first) differs from that of `before`. home: the store's directory."""
    shared = 0
    while shared < min(len(before), len(after)) and before[-1 - shared] == after[-1 - shared]:
        shared += 1
    # What only directories have that both end with is the same in both, unread.
    own = [*before[: len(before) - shared], *after[: len(after) - shared]]
    if any(len(folder) > MAX_PATH for folder in own):
        return
    with contextlib.ExitStack() as opened:
        for folder in own:
            if folder.startswith(f"{home}/"):  # and not the person's
                opened.enter_context(readable(folder))
        for name in sorted(merged_names(own)):
            effort.go_on()
            shown = f"{path}/{name}"
            old, new = look(before, name), look(after, name)
            if new is None:
                if old is not None:
                    yield Change("D", shown, _type(old.status), 0)
                continue
            if old is None or not _is_same(old, new, effort):
                yield Change("A" if old is None else "C", shown, _type(new.status), _size(new.status))
            if stat.S_ISDIR(new.status.st_mode):
                yield _difference(old.folders if old is not None else (), new.folders, shown, home, effort)


def _is_same(one: Below, other: Below, effort: Effort) -> bool:
    """Whether two entries are the same, but for what may lie below them and their owners.

    Images have the host's ids, layers shifted ones, and no cell can change them.
    """
    a, b = one.status, other.status
    if os.path.samestat(a, b):  # a squashed layer has links to the files
        return True
    if a.st_mode != b.st_mode or _size(a) != _size(b):
        return False
    if stat.S_ISLNK(a.st_mode):
        return os.readlink(one.path) == os.readlink(other.path)
    if stat.S_ISREG(a.st_mode):
        size = a.st_size
        return size <= MAX_COMPARED and have_same_bytes((one.path, 0, size), (other.path, 0, size), effort)
    return a.st_rdev == b.st_rdev


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


def _flat(first: Level, effort: Effort) -> Iterator[Change]:
    """Yield the changes of a directory and of those in it; cells can nest more of them than Python can calls."""
    levels = [first]
    try:
        while levels:
            effort.go_on()
            step = next(levels[-1], None)
            if step is None:
                levels.pop()
            elif isinstance(step, Change):
                yield step
            else:
                levels.append(step)
    finally:
        while levels:
            levels.pop().close()


def _level(folder: str, lowers: tuple[str, ...], path: str, *, hiding: bool) -> Level:
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
            yield Change("A" if below is None else "C", shown, _type(status), _size(status))
            if stat.S_ISDIR(status.st_mode):
                yield _level(here, below.folders if below is not None else (), shown, hiding=hiding)


def _size(status: os.stat_result) -> int:
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


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


def merged_names(folders: Sequence[str]) -> set[str]:
    """Return all names in `folders`, those of whiteouts too; what their owner may not read has none."""
    names: set[str] = set()
    for folder in folders:
        with contextlib.suppress(PermissionError):
            names.update(os.listdir(folder))
    return names
