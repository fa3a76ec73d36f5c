"""The memory limit where no memory controller can be written: the container's sum, sampled.

Nothing notifies of a sum over processes, so this is the one place that polls: every INTERVAL seconds while a
container exists, over the processes of its pid namespace.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from cellstack_runtime import syscalls
from cellstack_runtime.processes import ROLLUP, STATUS, cpu_seconds, members, sum_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellstack_runtime.broker.loop import Loop

INTERVAL = 0.05
MEMORY_FOLDER = "/dev/shm"  # noqa: S108  the container's


class Supervisor:
    """Adds up the private memory of a container's processes and calls `over` when it passes `limit` bytes."""

    def __init__(self, loop: Loop, init_pidfd: int, limit: int | None, over: Callable[[], None]) -> None:
        self.peak = 0
        self._loop = loop
        self._limit = limit
        self._over = over
        self._stopped = False
        self._init = syscalls.pid_of(init_pidfd)
        self._namespace = os.readlink(f"/proc/{self._init}/ns/pid")
        loop.later(INTERVAL, self._sample)

    def stop(self) -> None:
        """Stop sampling."""
        self._stopped = True

    def _sample(self) -> None:
        if self._stopped:
            return
        found = members(self._namespace)
        files = _files_in_memory(self._init, found)
        total = _total(found, files, STATUS)
        if self._limit is not None and total > self._limit:
            total = _total(found, files, ROLLUP)  # dearer; counts what forks share once
        self.peak = max(self.peak, total)
        if self._limit is not None and total > self._limit:
            self._stopped = True
            self._over()
            return
        self._loop.later(INTERVAL, self._sample)


def stop_members(namespace: int, init: int) -> list[int]:
    """Stop the processes of a pid namespace, but for its init, by SIGSTOP; return descriptors of them."""
    stopped: dict[str, int] = {}
    while left := set(members(f"pid:[{namespace}]")) - {str(init)} - stopped.keys():
        for pid in left:
            with contextlib.suppress(OSError):  # it has ended
                stopped[pid] = fd = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                signal.pidfd_send_signal(fd, signal.SIGSTOP)
    return list(stopped.values())


def usage_of(pid: int) -> tuple[float, int]:
    """Return the CPU seconds of a process with those children it has waited for, and its memory; 0 when it is gone."""
    return cpu_seconds(pid), _total([str(pid)], 0, STATUS)


def _total(pids: list[str], files: int, source: tuple[str, str, str]) -> int:
    """Return the bytes of private and shared memory; `files` is what of the shared memory is in files."""
    name, anonymous, shared = source
    private = sum(sum_fields(f"/proc/{pid}/{name}", (anonymous,)) for pid in pids)
    return private + max(files, sum(sum_fields(f"/proc/{pid}/{name}", (shared,)) for pid in pids))


def _files_in_memory(init: int, pids: list[str]) -> int:
    """Return the bytes of files that need not be mapped to use memory: in the container's tmpfs, and memfds."""
    total = 0
    with contextlib.suppress(OSError):  # it is not mounted yet, or not any more
        status = os.statvfs(f"/proc/{init}/root{MEMORY_FOLDER}")
        total += (status.f_blocks - status.f_bfree) * status.f_frsize
    memfds = {}
    for pid in pids:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("/memfd:"):
                    found = os.stat(f"/proc/{pid}/fd/{fd}")
                    memfds[found.st_ino] = found.st_blocks * 512
        except OSError:
            continue
    return total + sum(memfds.values())
