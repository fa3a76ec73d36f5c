"""How overlayfs marks what a layer deletes; Documentation/filesystems/overlayfs.rst of the kernel."""

from __future__ import annotations

import errno
import os
import stat

# "trusted" as root on the host, "user" for mounts with userxattr (rootless).
_NAMESPACES = ("trusted", "user")


def get_mark(path: str, name: str) -> bytes | None:
    """Return the value of overlayfs' attribute `name` ("opaque", "whiteout") of `path`, if it has it."""
    try:
        present = os.listxattr(path, follow_symlinks=False)
        for namespace in _NAMESPACES:
            if present and f"{namespace}.overlay.{name}" in present:
                return os.getxattr(path, f"{namespace}.overlay.{name}", follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES):
            raise
    return None


def is_whiteout(path: str, status: os.stat_result) -> bool:
    """Return whether the entry at `path` deletes what lies below: device 0:0, or an empty file so marked."""
    mode = status.st_mode
    if stat.S_ISCHR(mode):
        return status.st_rdev == 0
    return stat.S_ISREG(mode) and status.st_size == 0 and get_mark(path, "whiteout") is not None


def is_opaque(path: str) -> bool:
    """Return whether the directory at `path` hides everything below it."""
    return get_mark(path, "opaque") == b"y"


def make_whiteout(path: str) -> None:
    """Make a whiteout at `path`; a normal user may, since Linux 5.8."""
    os.mknod(path, stat.S_IFCHR, 0)


def make_opaque(path: str) -> None:
    """Make the directory at `path` hide everything below it."""
    _set_mark(path, "opaque", b"y")


def announce_whiteouts(path: str) -> None:
    """Let overlayfs expect whiteouts in the directory at `path`, also where nothing lies below it.

    It looks for them in merged directories, and in those with an origin; in others it lists them as devices. An
    empty value means "copied up, from where is not known".
    """
    _set_mark(path, "origin", b"")


def _set_mark(path: str, name: str, value: bytes) -> None:
    """Set the attribute for the kind of mount that this process can make."""
    try:
        os.setxattr(path, f"trusted.overlay.{name}", value, follow_symlinks=False)
    except PermissionError:
        os.setxattr(path, f"user.overlay.{name}", value, follow_symlinks=False)
