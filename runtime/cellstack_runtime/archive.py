"""A layer's directory as a tar stream, the same bytes every time (OCI image specification, "layer.md").

Entries are sorted by path. Overlay whiteouts become `.wh.NAME`, opaque directories hold a `.wh..wh..opq`. Times are
whole seconds; owners are those inside the container. Hard links are kept among the files of the layer. What tar
cannot hold (sockets) is left out.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from typing import TYPE_CHECKING

from cellstack_runtime.store.files import readable
from cellstack_runtime.store.marks import is_opaque, is_whiteout

if TYPE_CHECKING:
    from collections.abc import Iterator

WHITEOUT_PREFIX = ".wh."
OPAQUE_NAME = ".wh..wh..opq"
BLOCK = 512
CHUNK = 1 << 20
GUEST_IDS = 65536


def tar_stream(directory: str, *, base_id: int = 0) -> Iterator[bytes]:
    """Yield the uncompressed tar of the layer in `directory`.

    base_id: the host's id of the containers' root. Ids outside its range, and all of a normal user's own files,
    belong to root in the archive.
    """
    seen: dict[tuple[int, int], str] = {}
    yield from _directory(directory, "", _Owner(base_id), seen)
    yield bytes(2 * BLOCK)


def digest(directory: str, *, base_id: int = 0) -> tuple[str, int]:
    """Return ("sha256:…", bytes) of the layer's uncompressed tar: its diff id."""
    result = hashlib.sha256()
    size = 0
    for chunk in tar_stream(directory, base_id=base_id):
        result.update(chunk)
        size += len(chunk)
    return f"sha256:{result.hexdigest()}", size


class _Owner:
    """Turns ids of the host into those inside the container."""

    def __init__(self, base_id: int) -> None:
        self.base = base_id
        self.rootless = os.geteuid() != 0

    def __call__(self, host_id: int) -> int:
        if self.rootless or not self.base <= host_id < self.base + GUEST_IDS:
            return 0
        return host_id - self.base


def _directory(folder: str, inside: str, owner: _Owner, seen: dict[tuple[int, int], str]) -> Iterator[bytes]:
    """Yield the entries of `folder`; inside: its path in the archive, "" or ending with a slash."""
    with readable(folder):
        if inside and is_opaque(folder):
            yield _header(tarfile.TarInfo(inside + OPAQUE_NAME))
        for name in sorted(os.listdir(folder)):
            path = f"{folder}/{name}"
            status = os.lstat(path)
            if is_whiteout(path, status):
                yield _header(tarfile.TarInfo(f"{inside}{WHITEOUT_PREFIX}{name}"))
                continue
            yield from _entry(path, f"{inside}{name}", status, owner, seen)
            if stat.S_ISDIR(status.st_mode):
                yield from _directory(path, f"{inside}{name}/", owner, seen)


def _entry(
    path: str, inside: str, status: os.stat_result, owner: _Owner, seen: dict[tuple[int, int], str]
) -> Iterator[bytes]:
    mode = status.st_mode
    info = tarfile.TarInfo(inside)
    info.mode = stat.S_IMODE(mode)
    info.uid, info.gid = owner(status.st_uid), owner(status.st_gid)
    info.mtime = max(0, int(status.st_mtime))
    if stat.S_ISREG(mode):
        first = seen.setdefault((status.st_dev, status.st_ino), inside) if status.st_nlink > 1 else inside
        if first != inside:
            info.type, info.linkname = tarfile.LNKTYPE, first
        else:
            info.size = status.st_size
    elif stat.S_ISDIR(mode):
        info.type, info.name = tarfile.DIRTYPE, f"{inside}/"
    elif stat.S_ISLNK(mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif stat.S_ISFIFO(mode):
        info.type = tarfile.FIFOTYPE
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        info.type = tarfile.CHRTYPE if stat.S_ISCHR(mode) else tarfile.BLKTYPE
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    else:
        return
    _add_xattrs(info, path)
    yield _header(info)
    if info.size:
        yield from _content(path, info.size)


def _content(path: str, size: int) -> Iterator[bytes]:
    """Yield exactly `size` bytes of the file, padded to blocks, also when it changes meanwhile."""
    mode = None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:
        mode = stat.S_IMODE(os.lstat(path).st_mode)
        os.chmod(path, mode | stat.S_IRUSR)
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.chmod(path, mode)
    left = size
    try:
        while left:
            data = os.read(fd, min(CHUNK, left))
            if not data:
                raise OSError(f"{path} became shorter while it was read")
            left -= len(data)
            yield data
    finally:
        os.close(fd)
    if size % BLOCK:
        yield bytes(BLOCK - size % BLOCK)


def _add_xattrs(info: tarfile.TarInfo, path: str) -> None:
    records = {}
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        if name == "security.capability" or (name.startswith("user.") and ".overlay." not in name):
            value = os.getxattr(path, name, follow_symlinks=False)
            records[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
    info.pax_headers = records


def _header(info: tarfile.TarInfo) -> bytes:
    """Return the header's blocks; plain ones without tarfile's detour, which costs three times as much."""
    name, link = os.fsencode(info.name), os.fsencode(info.linkname)
    plain = (
        len(name) <= 100
        and len(link) <= 100
        and name.isascii()
        and link.isascii()
        and info.size < 8**11
        and max(info.uid, info.gid) < 8**7
        and not info.pax_headers
        and info.type not in (tarfile.CHRTYPE, tarfile.BLKTYPE)
    )
    if not plain:
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    block = bytearray(
        b"%-100.100b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%b"
        % (
            name.ljust(100, b"\0"), info.mode, info.uid, info.gid, info.size, int(info.mtime),
            info.type, link.ljust(100, b"\0"),
        )
    )  # fmt: skip
    block += b"ustar\x0000"
    block += bytes(BLOCK - len(block))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
