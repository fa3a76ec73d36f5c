"""Bring files out of a stack of layers to the host, as `docker cp` does, without mounting anything.

What is copied comes from a container, so nothing of it is followed on the host: symbolic links are resolved within
the stack while a path is looked up, and copied as links; set-uid bits are dropped.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from typing import TYPE_CHECKING

from cellstack_runtime.diff import Below, look, merged_names
from cellstack_runtime.errors import CellstackError, NotFoundError
from cellstack_runtime.store.effort import Effort
from cellstack_runtime.store.records import PARTS

if TYPE_CHECKING:
    from cellstack_runtime.store import Image, Store

MAX_LINKS = 40


def copy_out(store: Store, image: Image, head: str | None, path: str, target: str) -> int:
    """Copy the file or folder at absolute `path` of the stack to the host path `target`; return how many files.

    A `target` that is a folder gets the copy inside it. NotFoundError when the stack does not have `path`;
    files of the notebook's folder that no cell has changed are the host's own and not in the stack. Links are
    copied only in a folder that has what they lead to: others would lead somewhere on the host.
    """
    found, name = find(store, image, head, path)
    if stat.S_ISLNK(found.status.st_mode):
        raise CellstackError(f"{path} is a symbolic link", hint=f"Copy what it leads to: {os.readlink(found.path)}")
    destination = os.path.join(target, name) if os.path.isdir(target) else target
    parent = os.path.dirname(os.path.abspath(destination))
    if not os.path.isdir(parent):
        raise NotFoundError(f"there is no folder {parent} on the host to copy to")
    partial = f"{parent}/.{os.path.basename(destination)}.{secrets.token_hex(4)}"
    try:
        count = _copy(found, partial, depth=0)
        if os.path.isdir(destination) and os.path.isdir(partial):
            shutil.copytree(partial, destination, symlinks=True, dirs_exist_ok=True)
        else:
            os.replace(partial, destination)
    except OSError as error:
        raise CellstackError(f"{path} cannot be copied to {destination}: {error.strerror}") from None
    finally:
        if os.path.isdir(partial) and not os.path.islink(partial):
            shutil.rmtree(partial)
        elif os.path.lexists(partial):
            os.unlink(partial)
    return count


def find(store: Store, image: Image, head: str | None, path: str, effort: Effort | None = None) -> tuple[Below, str]:
    """Return what the stack has at `path`, and its name; links on the way are followed within the stack.

    NotFoundError when there is nothing, StoppedError when `effort` is stopped.
    """
    effort = effort or Effort()
    root, work = (tuple(store.lowers(image, head, part)) for part in PARTS)
    pending = _names(path)
    passed: list[tuple[Below, str]] = []  # from the root down to where the rest of the path begins
    hops = 0
    while pending:
        effort.go_on()
        name = pending.pop()
        if name == "..":
            if passed and not passed[-1][0].folders:
                raise NotFoundError(f"{path!r} goes on below a file")
            del passed[-1:]
            continue
        if not passed and name == "work" and work:
            found: Below | None = Below(work[0], os.lstat(work[0]), work)
        else:
            found = look(passed[-1][0].folders if passed else root, name)
        if found is None:
            raise NotFoundError(
                f"no {path!r} in this layer", hint="Files of the notebook's folder that no cell changed are on the host"
            )
        if stat.S_ISLNK(found.status.st_mode) and pending:
            hops += 1
            if hops > MAX_LINKS:
                raise NotFoundError(f"{path!r} passes too many symbolic links")
            link = os.readlink(found.path)
            pending += _names(link)
            if link.startswith("/"):
                passed.clear()
        else:
            passed.append((found, name))
    if not passed:
        raise NotFoundError(f"{path!r} names no file or folder")
    return passed[-1]


def _names(path: str) -> list[str]:
    """Return the names in a path, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def has_hidden(found: Below) -> bool:
    """Return whether a folder has anything below it whose name starts with a dot."""
    for name in merged_names(found.folders):
        below = look(found.folders, name)
        if below is not None and (name.startswith(".") or has_hidden(below)):
            return True
    return False


def _copy(found: Below, target: str, *, depth: int) -> int:
    """Copy one entry, `depth` folders below the first, with what is below it; return the number of files."""
    mode = found.status.st_mode
    if stat.S_ISDIR(mode):
        os.mkdir(target, 0o700)
        count = 0
        for name in sorted(merged_names(found.folders)):
            below = look(found.folders, name)
            if below is not None:
                count += _copy(below, f"{target}/{name}", depth=depth + 1)
        os.chmod(target, stat.S_IMODE(mode) & 0o777 | 0o700)
        return count
    if stat.S_ISLNK(mode):
        link = os.readlink(found.path)
        if link.startswith("/") or os.path.normpath(f"{'x/' * (depth - 1)}{link}").startswith(".."):
            return 0
        os.symlink(link, target)
        return 1
    if not stat.S_ISREG(mode):
        return 0  # devices, sockets and fifos mean nothing outside of their container
    source = os.open(found.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(source, "rb") as reader, open(target, "xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
    os.chmod(target, stat.S_IMODE(mode) & 0o777 | 0o200)
    return 1
