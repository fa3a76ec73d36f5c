"""What happens in a store, told by the kernel (inotify) and not looked for: layers, sessions, containers, images.

Four kinds of directories are watched: `layers`; `sessions` with each session in it; `runs` with each broker's own and
its `containers`; `images`, and `tags` with each name in it. All of them change by rename only, so what is told of is
whole. The store's own directory is watched, too: when it or one of these goes, what comes in its place is another one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellstack_runtime import abi, syscalls
from cellstack_runtime.broker.outside import RECORDS
from cellstack_runtime.errors import HostError, StoreError
from cellstack_runtime.live import FILE, RUN
from cellstack_runtime.store.session import FILE as SESSION_FILE
from cellstack_runtime.store.session import MOVED_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK = "lock"
_LAYER, _SESSION = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{12}")
_APPEARED = abi.IN_MOVED_TO | abi.IN_CREATE
_GONE = abi.IN_MOVED_FROM | abi.IN_DELETE
_DIRECTORIES = _APPEARED | _GONE | abi.IN_ONLYDIR
_HOLDER = abi.IN_MOVED_TO | abi.IN_CLOSE_WRITE | abi.IN_ONLYDIR  # a lock is let go when its last descriptor is closed
_RECORDS = abi.IN_MOVED_TO | abi.IN_DELETE | abi.IN_ONLYDIR
_HOME = _GONE | abi.IN_MOVE_SELF | abi.IN_ONLYDIR


@dataclass(frozen=True, slots=True)
class Change:
    """Something to look at. kind: "layer", "session", "run", "container", "images" or "lost".

    name: of the layer or session; of the broker's run; "<run>/<container>". What it is about may be gone. Images are
    told of together, with their tags. Lost is all that has happened when the kernel had no more room for it, or the
    store is gone: who is told so makes a new Watch, since this one does not see all that there is.
    """

    kind: str
    name: str = ""


class Watch:
    """Watches the store at `home` until `close`. `fileno` is readable when `changes` has something to tell.

    HostError when the kernel lets this user have no more watches, StoreError when the store is not there.
    """

    def __init__(self, home: str) -> None:
        self._home = home
        self._fd = syscalls.inotify_init1()
        self._handlers: dict[int, tuple[str, Callable[[str, int, str], Iterator[Change]]]] = {}
        self._whole = {
            home: (_HOME, self._in_home),
            f"{home}/layers": (abi.IN_MOVED_TO | abi.IN_ONLYDIR, self._in_layers),
            f"{home}/sessions": (_DIRECTORIES, self._in_sessions),
            f"{home}/runs": (_DIRECTORIES, self._in_runs),
            f"{home}/images": (_RECORDS, self._in_images),
            f"{home}/tags": (_DIRECTORIES, self._in_tags),
        }
        try:
            for path, (mask, handler) in self._whole.items():
                if not self._add(path, mask, handler):
                    raise StoreError(f"the store {home} is not whole: there is no {path}")  # noqa: TRY301  it is closed
            for name in os.listdir(f"{home}/sessions"):
                self._watch_session(name)
            for name in os.listdir(f"{home}/runs"):
                self._watch_run(name)
            for name in os.listdir(f"{home}/tags"):
                self._watch_name(name)
        except FileNotFoundError as error:
            os.close(self._fd)
            raise StoreError(f"the store {home} is not whole: there is no {error.filename}") from None
        except BaseException:
            os.close(self._fd)
            raise

    def fileno(self) -> int:
        """Return the descriptor, for selectors and loops."""
        return self._fd

    def close(self) -> None:
        """Watch nothing any more."""
        os.close(self._fd)

    def changes(self) -> list[Change]:
        """Return what has happened since the last call, each once; never blocks.

        HostError when the kernel lets this user have no more watches: what has happened since is not all told.
        """
        found: dict[Change, None] = {}
        try:
            events = syscalls.inotify_read(self._fd)
        except BlockingIOError:
            return []
        for watch, mask, name in events:
            if mask & abi.IN_Q_OVERFLOW:
                found[Change("lost")] = None
            elif mask & abi.IN_IGNORED:  # the directory is gone
                if self._handlers.pop(watch, ("",))[0] in self._whole:
                    found[Change("lost")] = None
            elif watch in self._handlers:
                folder, handler = self._handlers[watch]
                found.update(dict.fromkeys(handler(folder, mask, name)))
        return list(found)

    def _add(self, path: str, mask: int, handler: Callable[[str, int, str], Iterator[Change]]) -> bool:
        """Watch a directory; False when it is gone."""
        try:
            watch = syscalls.inotify_add_watch(self._fd, path, mask)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise HostError(
                f"{path} cannot be watched: {error.strerror}",
                hint="`sysctl fs.inotify.max_user_watches` says how many directories a user may watch; raise it",
            ) from None
        self._handlers[watch] = (path, handler)
        return True

    def _in_home(self, folder: str, mask: int, name: str) -> Iterator[Change]:
        if mask & abi.IN_MOVE_SELF or f"{folder}/{name}" in self._whole:
            yield Change("lost")

    def _in_layers(self, _folder: str, _mask: int, name: str) -> Iterator[Change]:
        if _LAYER.fullmatch(name):
            yield Change("layer", name)

    def _in_sessions(self, _folder: str, mask: int, name: str) -> Iterator[Change]:
        if mask & _APPEARED:
            self._watch_session(name)
        if _SESSION.fullmatch(name):
            yield Change("session", name)

    def _watch_session(self, name: str) -> None:
        if _SESSION.fullmatch(name):
            self._add(f"{self._home}/sessions/{name}", _HOLDER, self._in_session)

    def _in_session(self, folder: str, _mask: int, name: str) -> Iterator[Change]:
        if name in (SESSION_FILE, MOVED_FILE, LOCK):
            yield Change("session", os.path.basename(folder))

    def _in_runs(self, _folder: str, mask: int, name: str) -> Iterator[Change]:
        if RUN.fullmatch(name):
            if mask & _APPEARED:
                self._watch_run(name)
            yield Change("run", name)

    def _watch_run(self, name: str) -> None:
        if RUN.fullmatch(name):
            run = f"{self._home}/runs/{name}"
            self._add(run, _HOLDER, self._in_run)
            self._add(f"{run}/{RECORDS}", _RECORDS, self._in_records)

    def _in_run(self, folder: str, _mask: int, name: str) -> Iterator[Change]:
        if name == LOCK:
            yield Change("run", os.path.basename(folder))

    def _in_records(self, folder: str, _mask: int, name: str) -> Iterator[Change]:
        if match := FILE.fullmatch(name):
            yield Change("container", f"{os.path.basename(os.path.dirname(folder))}/{match[1]}")

    def _in_images(self, _folder: str, _mask: int, _name: str) -> Iterator[Change]:
        yield Change("images")

    def _in_tags(self, _folder: str, mask: int, name: str) -> Iterator[Change]:
        if mask & _APPEARED:
            self._watch_name(name)
        yield Change("images")

    def _watch_name(self, name: str) -> None:
        self._add(f"{self._home}/tags/{name}", _RECORDS, self._in_images)
