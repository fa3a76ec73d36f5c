"""Many layers as one directory, by hard links: what keeps an overlay of hundreds of layers short."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from typing import TYPE_CHECKING

from cellstack_runtime.store.files import readable
from cellstack_runtime.store.marks import announce_whiteouts, is_opaque, is_whiteout, make_opaque, make_whiteout

if TYPE_CHECKING:
    from collections.abc import Sequence

_OVERLAY_XATTRS = ("trusted.overlay.", "user.overlay.")


def squash(layers: Sequence[str], target: str) -> None:
    """Make directory `target` of the directories `layers` (bottom first), equal to them in any overlay.

    Files are hard links to the layers' own. Whiteouts and opaque directories stay, since more may lie below;
    those that nothing can lie below are left out, where an overlay would show them as devices. `target` must
    be on the layers' file system and not exist.
    """
    top_first = [path for path in reversed(layers) if os.path.isdir(path)]
    _merge(top_first, target, pure=False)


def _merge(folders: list[str], target: str, *, pure: bool) -> None:
    """Merge `folders` (top first) into the new directory `target`; pure: nothing below them can be seen."""
    os.mkdir(target, 0o700)
    status = os.lstat(folders[0])  # before it is opened for reading
    with contextlib.ExitStack() as stack:
        for folder in folders:
            stack.enter_context(readable(folder))
        opaque = next((index for index, folder in enumerate(folders) if is_opaque(folder)), None)
        if opaque is not None:
            folders = folders[: opaque + 1]
            make_opaque(target)
        contents = [set(os.listdir(folder)) for folder in folders]
        for name in set[str]().union(*contents):
            at = [f"{folder}/{name}" for folder, names in zip(folders, contents, strict=True) if name in names]
            _merge_entry(at, f"{target}/{name}", pure=pure or opaque is not None)
        _copy_status(folders[0], status, target)


def _merge_entry(paths: list[str], target: str, *, pure: bool) -> None:
    """Put what the stack of entries `paths` (top first) amounts to at `target`."""
    status = os.lstat(paths[0])
    if is_whiteout(paths[0], status):
        if not pure:
            make_whiteout(target)
            announce_whiteouts(os.path.dirname(target))
        return
    if not stat.S_ISDIR(status.st_mode):
        os.link(paths[0], target, follow_symlinks=False)
        return
    # A whiteout is not a directory either.
    folders = list(itertools.takewhile(lambda path: stat.S_ISDIR(os.lstat(path).st_mode), paths))
    replaces = len(folders) < len(paths)
    _merge(folders, target, pure=pure or replaces)
    if replaces and not pure:
        make_opaque(target)


def _copy_status(source: str, status: os.stat_result, target: str) -> None:
    """Give directory `target` the owner, mode and times in `status`, and the extended attributes of `source`."""
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(target, status.st_uid, status.st_gid)
    for name in os.listxattr(source, follow_symlinks=False):
        if not name.startswith(_OVERLAY_XATTRS):
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
