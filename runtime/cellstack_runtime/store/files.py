"""Files of the store: atomic writes, locks, and removal of trees that containers have made."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import threading
from typing import TYPE_CHECKING

from cellstack_runtime.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from cellstack_runtime.store.effort import Effort

SPACE_HINT = "Make room, or set CELLSTACK_HOME to a directory elsewhere"
MAX_COMPARED = 256 << 20  # bytes; comparing more takes longer than a person waits
_CHUNK = 1 << 20
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def write_atomic(path: str, text: str, *, durable: bool = True) -> None:
    """Write `text` to `path` so that a reader sees all of it or what was there before.

    durable: on disk when this returns; otherwise as soon as the kernel writes it back. StoreError when it fails.
    """
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        _write(temporary, text, durable=durable)
        os.rename(temporary, path)
        if durable:
            fsync_directory(os.path.dirname(path))
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise StoreError(f"{path} cannot be written: {error.strerror or error}", hint=SPACE_HINT) from error
        raise


def _write(path: str, text: str, *, durable: bool) -> None:
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def fsync_directory(path: str) -> None:
    """Bring the names in directory `path` to disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def try_lock(path: str) -> int | None:
    """Return a descriptor that holds the lock file `path` until it is closed, None when another has it.

    Those who only look (`is_locked`) share the lock for a moment: they are waited for.
    """
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # fails, too, when somebody has it for himself
                fcntl.flock(fd, fcntl.LOCK_UN)
            else:
                return fd
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise


def is_locked(path: str) -> bool:
    """Return whether a process holds the lock file `path`; nobody does when there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def lock_within(path: str, seconds: float) -> int | None:
    """Return a descriptor that holds the lock file `path`, waiting for it; None when another has it all the time."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    held = threading.Event()

    def wait() -> None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        held.set()

    threading.Thread(target=wait, daemon=True).start()
    if held.wait(seconds):
        return fd
    os.close(fd)  # and with it the lock, should the thread still get it
    return None


@contextlib.contextmanager
def lock(path: str) -> Iterator[None]:
    """Hold the lock file `path`; wait for whoever holds it."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def open_regular(path: str) -> BinaryIO:
    """Open a file that a container has made, for reading; OSError when it is a link, or no file but a fifo, say."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return os.fdopen(fd, "rb")
    os.close(fd)
    raise FileNotFoundError(errno.ENOENT, "not a regular file", path)


def have_same_bytes(one: tuple[str, int, int], other: tuple[str, int, int], effort: Effort) -> bool:
    """Return whether two (path, offset, bytes) are there and hold the same.

    What cannot be read does not, nor what is beyond `effort`.
    """
    (first, start, size), (second, begin, length) = one, other
    if size != length:
        return False
    try:
        with open_regular(first) as a, open_regular(second) as b:
            for done in range(0, size, _CHUNK):
                count = min(_CHUNK, size - done)
                if not effort.allows(count):
                    return False
                data = os.pread(a.fileno(), count, start + done)
                if len(data) != count or data != os.pread(b.fileno(), count, begin + done):
                    return False
    except OSError:
        return False
    return True


@contextlib.contextmanager
def readable(folder: str) -> Iterator[None]:
    """Keep a directory of the store open for its owner, whatever mode a cell has left it with."""
    if os.access(folder, os.R_OK | os.X_OK):
        yield
        return
    mode = stat.S_IMODE(os.lstat(folder).st_mode)
    os.chmod(folder, mode | stat.S_IRUSR | stat.S_IXUSR)
    try:
        yield
    finally:
        os.chmod(folder, mode)


def is_below(path: str, folder: str) -> bool:
    """Return whether `path` lies in `folder`, whatever links lead to it; a link itself is not followed."""
    parent = os.path.realpath(os.path.dirname(os.path.abspath(path)))
    return os.path.join(parent, os.path.basename(path)).startswith(os.path.realpath(folder).rstrip("/") + "/")


def disk_bytes(paths: Iterable[str], *, freed: bool = False) -> int:
    """Return the bytes on disk of the files and trees `paths`, each file once however many links it has there.

    freed: only those that go when the paths are removed, because no other link is left. Directories that cannot be
    read (a cell may have closed them, or nested them deeper than a path may be long) count as empty.
    """
    links: dict[tuple[int, int], int] = {}
    total = 0
    pending = list(paths)
    while pending:
        path = pending.pop()
        try:
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                pending += [f"{path}/{name}" for name in os.listdir(path)]
        except OSError:
            continue
        if not stat.S_ISDIR(status.st_mode):
            identity = (status.st_dev, status.st_ino)
            links[identity] = links.get(identity, 0) + 1
            if links[identity] != (status.st_nlink if freed else 1):
                continue
        total += status.st_blocks * 512
    return total


def remove_tree(path: str, trash: str) -> None:
    """Remove the tree at `path`, whatever is in it: links are not followed, modes and depth do not matter.

    The tree is first renamed into directory `trash` (same file system), so it is gone at once; `empty_trash`
    finishes what a crash has left there. A path that does not exist is removed already.
    """
    name = secrets.token_hex(8)
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        os.unlink(path)
        return
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(path, 0o700)  # a directory that moves must be writable
    try:
        os.rename(path, f"{trash}/{name}")
    except FileNotFoundError:
        return
    _empty(trash, [name])


def empty_trash(trash: str) -> None:
    """Remove everything in directory `trash`; another process may be at it too."""
    with os.scandir(trash) as entries:
        names = [entry.name for entry in entries]
    _empty(trash, names)


def _empty(trash: str, names: list[str]) -> None:
    """Remove the directories `names` of `trash`.

    Directories found inside are moved up into `trash` before they are emptied: no path gets longer than what
    the kernel takes, and no recursion deeper than one, however deep a container has nested them.
    """
    top = os.open(trash, _OPEN_DIRECTORY)
    pending = list(names)
    try:
        while pending:
            name = pending.pop()
            try:
                fd = os.open(name, _OPEN_DIRECTORY, dir_fd=top)
            except FileNotFoundError:
                continue
            try:
                pending.extend(_flatten(fd, top))
            finally:
                os.close(fd)
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)


def _flatten(fd: int, top: int) -> list[str]:
    """Unlink the files of the directory `fd`, move its directories to `top`, return their new names."""
    moved: list[str] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=fd)
                    continue
                mode = entry.stat(follow_symlinks=False).st_mode
                if mode & stat.S_IRWXU != stat.S_IRWXU:
                    os.chmod(entry.name, 0o700, dir_fd=fd)
                name = secrets.token_hex(8)
                os.rename(entry.name, name, src_dir_fd=fd, dst_dir_fd=top)
                moved.append(name)
    return moved


def make_home(home: str, folders: tuple[str, ...]) -> None:
    """Make the store's directories; StoreError when they cannot be made or written."""
    try:
        os.makedirs(home, mode=0o700, exist_ok=True)
        for folder in folders:
            os.makedirs(f"{home}/{folder}", mode=0o700, exist_ok=True)
        if not os.access(home, os.R_OK | os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(13, "Permission denied", home)
    except OSError as error:
        raise StoreError(
            f"the store {home} is not writable: {error.strerror or error}",
            hint="Set CELLSTACK_HOME to a directory that you may write to",
        ) from error
