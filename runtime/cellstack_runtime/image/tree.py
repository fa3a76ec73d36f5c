"""Making the directory of an image's layer out of files of the host: linked, cloned or copied, never bound."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FICLONE = 0x40049409  # <linux/fs.h>
LIBRARY = re.compile(r"\.so(\.[0-9.]+)?$")
# What a folder of sources holds beside its modules, and what would make an image of gigabytes.
NEVER = frozenset(
    [".git", ".hg", ".svn", ".venv", ".tox", ".nox", "node_modules", ".mypy_cache", ".ruff_cache", ".pytest_cache"]
)
MAX_FOLLOWED = 8


class Tree:
    """The directory of a layer in the making.

    root: its path on the host; all other paths are those inside the image, absolute. translate: gives the image's
    path of a host path that is in the image, None of any other. A hard link shares the file with the host, so
    only files are linked that belong to this process' user, and whose owner replaces them instead of writing
    into them, as package managers do; a tree that is edited by hand is mirrored with `copy`.
    """

    def __init__(self, root: str, translate: Callable[[str], str | None]) -> None:
        self.root = root
        self.translate = translate
        self.files = 0
        self.bytes = 0
        self.libraries: list[str] = []  # host paths of what looks like a shared library
        self._user = os.geteuid()
        self._made: set[str] = set()
        self._unlinkable: set[int] = set()  # devices from which no link can be made
        self._uncloneable: set[int] = set()
        os.makedirs(root, exist_ok=True)
        os.chmod(root, 0o755)  # noqa: S103  everybody in the container enters its root

    def directory(self, path: str, mode: int = 0o755) -> str:
        """Make directory `path` and those above it; return its path on the host."""
        here = self.root + path.rstrip("/")
        if here in self._made or here == self.root:
            return here
        resolved = self._through_links(path)
        if resolved != path:
            return self.directory(resolved, mode)
        self.directory(os.path.dirname(path))
        if not os.path.isdir(here):
            os.mkdir(here, mode)
        if stat.S_IMODE(os.stat(here).st_mode) != mode and mode != 0o755:
            os.chmod(here, mode)
        self._made.add(here)
        return here

    def _through_links(self, path: str) -> str:
        """Return `path` with the symbolic links of the image (/lib to usr/lib) followed inside the image."""
        parts, done = path.strip("/").split("/"), ""
        for index, part in enumerate(parts):
            here = f"{done}/{part}"
            if os.path.islink(self.root + here):
                target = os.path.join(done or "/", os.readlink(self.root + here))
                return self._through_links(os.path.normpath("/".join([target, *parts[index + 1 :]])))
            done = here
        return done

    def exists(self, path: str) -> bool:
        """Return whether the layer has an entry at `path`."""
        return os.path.lexists(self.root + self._through_links(os.path.dirname(path)) + "/" + os.path.basename(path))

    def text(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Write a file of the image's own."""
        here = f"{self.directory(os.path.dirname(path))}/{os.path.basename(path)}"
        data = content.encode() if isinstance(content, str) else content
        fd = os.open(here, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            os.fchmod(fd, mode)
        self.files += 1
        self.bytes += len(data)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link, unless something is there."""
        here = f"{self.directory(os.path.dirname(path))}/{os.path.basename(path)}"
        if not os.path.lexists(here):
            os.symlink(target, here)

    def file(self, source: str, path: str, *, copy: bool = False) -> None:
        """Put the host's file `source`, or what it links to, at `path`."""
        real = os.path.realpath(source)
        here = f"{self.directory(os.path.dirname(path))}/{os.path.basename(path)}"
        if os.path.lexists(here):
            return
        self._put(real, here, os.stat(real), copy=copy)

    def mirror(
        self,
        source: str,
        path: str,
        *,
        copy: bool = False,
        skip: Callable[[str, str], bool] = lambda _folder, _name: False,
        rewrite: Callable[[str, str], bytes | None] = lambda _folder, _name: None,
    ) -> None:
        """Put everything in the host's directory `source` into directory `path`.

        skip(folder, name): leave that entry out. rewrite(folder, name): the content to write instead, None to take
        the file as it is. Both are asked with host paths. Links that lead out of the image are replaced by what
        they lead to. Files that cannot be read are left out: no cell could read them either.
        """
        self._mirror(source, path, copy, skip, rewrite, 0)

    def _mirror(
        self,
        source: str,
        path: str,
        copy: bool,
        skip: Callable[[str, str], bool],
        rewrite: Callable[[str, str], bytes | None],
        followed: int,
    ) -> None:
        here = self.directory(path)
        try:
            entries = list(os.scandir(source))
        except PermissionError:
            return
        for entry in entries:
            name = entry.name
            if name in NEVER or skip(source, name):
                continue
            if entry.is_symlink():
                self._link_of(entry, path, copy, skip, rewrite, followed)
            elif entry.is_dir():
                self._mirror(entry.path, f"{path}/{name}", copy, skip, rewrite, followed)
            elif entry.is_file():
                self._file_of(entry, f"{here}/{name}", copy, rewrite)
        status = os.stat(source)
        os.utime(here, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def _file_of(
        self, entry: os.DirEntry[str], here: str, copy: bool, rewrite: Callable[[str, str], bytes | None]
    ) -> None:
        status = entry.stat()
        content = rewrite(os.path.dirname(entry.path), entry.name)
        if content is not None:
            self.text(here[len(self.root) :], content, stat.S_IMODE(status.st_mode) & 0o777)
            return
        if LIBRARY.search(entry.name):
            self.libraries.append(entry.path)
        if not os.path.lexists(here):
            self._put(entry.path, here, status, copy=copy)

    def _link_of(
        self,
        entry: os.DirEntry[str],
        path: str,
        copy: bool,
        skip: Callable[[str, str], bool],
        rewrite: Callable[[str, str], bytes | None],
        followed: int,
    ) -> None:
        """Take a symbolic link along: as a link when it leads to something in the image, else what it leads to."""
        real = os.path.realpath(entry.path)
        target = self.translate(real)
        inside = f"{path}/{entry.name}"
        if target is not None:
            text = os.readlink(entry.path)
            beside = self.translate(os.path.normpath(os.path.join(os.path.dirname(entry.path), text)))
            same = not text.startswith("/") and beside == os.path.normpath(os.path.join(path, text))
            self.link(inside, text if same else target)
        elif os.path.isdir(real):
            if followed < MAX_FOLLOWED and not f"{entry.path}/".startswith(f"{real.rstrip('/')}/"):
                self._mirror(real, inside, copy, skip, rewrite, followed + 1)
        elif os.path.isfile(real):
            self.file(real, inside, copy=copy)

    def _put(self, source: str, here: str, status: os.stat_result, *, copy: bool) -> None:
        special = status.st_mode & (stat.S_ISUID | stat.S_ISGID)
        fits = status.st_uid == self._user and not special and not copy
        try:
            if not (fits and status.st_dev not in self._unlinkable and self._link(source, here, status)):
                self._copy(source, here, status)
        except PermissionError:
            if os.path.lexists(here):
                os.unlink(here)
            if os.access(source, os.R_OK):
                raise
            return  # unreadable for this user, as `mirror` says
        self.files += 1
        self.bytes += status.st_size

    def _link(self, source: str, here: str, status: os.stat_result) -> bool:
        try:
            os.link(source, here, follow_symlinks=False)
        except OSError as error:
            if error.errno == errno.EXDEV:
                self._unlinkable.add(status.st_dev)
            elif error.errno not in (errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                raise
            return False
        return True

    def _copy(self, source: str, here: str, status: os.stat_result) -> None:
        with open(source, "rb") as reader, open(here, "xb") as writer:
            if status.st_dev in self._uncloneable or not self._clone(reader.fileno(), writer.fileno(), status):
                shutil.copyfileobj(reader, writer, 1 << 20)
            os.fchmod(writer.fileno(), stat.S_IMODE(status.st_mode) & 0o777)
        os.utime(here, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def _clone(self, source: int, target: int, status: os.stat_result) -> bool:
        try:
            fcntl.ioctl(target, FICLONE, source)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM):
                raise
            self._uncloneable.add(status.st_dev)
            return False
        return True
