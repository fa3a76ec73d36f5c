"""Whether a cell opens certain files of the notebook's folder, or moves them, told by the kernel (inotify).

What is watched are directories of the container's own /work: an overlay's reads cannot be seen in the folder below it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cellstack_runtime import abi, syscalls

if TYPE_CHECKING:
    from collections.abc import Sequence

_EVENTS = abi.IN_OPEN | abi.IN_MOVED_FROM | abi.IN_ONLYDIR


class Opened:
    """Watches `paths`, relative to /work, in the container of a process that has not begun its cell yet."""

    def __init__(self, pid: int, paths: Sequence[str]) -> None:
        self._fd: int | None = None
        self._watched: set[tuple[int, str]] = set()
        self._is_known = True  # whether all is told
        try:
            for path in paths:
                self._watch(f"/proc/{pid}/root/work/{os.path.dirname(path)}", os.path.basename(path))
        except OSError:  # no more watches for this user, or the process is gone
            self._is_known = False

    def _watch(self, folder: str, name: str) -> None:
        if self._fd is None:
            self._fd = syscalls.inotify_init1()
        try:
            self._watched.add((syscalls.inotify_add_watch(self._fd, folder, _EVENTS), name))
        except (FileNotFoundError, NotADirectoryError):
            return  # nor is there the file

    def end(self) -> bool:
        """Watch no more; return whether one of the files may have been opened."""
        if self._fd is None:
            return not self._is_known
        found = not self._is_known
        try:
            while True:
                for watch, mask, name in syscalls.inotify_read(self._fd):
                    found |= (watch, name) in self._watched or bool(mask & abi.IN_Q_OVERFLOW)
        except BlockingIOError:
            return found
        finally:
            os.close(self._fd)
