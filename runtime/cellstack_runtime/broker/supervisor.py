"""The memory limit where no memory controller can be written: the container's sum, sampled.

Nothing notifies of a sum over processes, so this is the one place that polls: every INTERVAL seconds while a
container exists, over the processes of its pid namespace.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from cellstack_runtime import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellstack_runtime.broker.loop import Loop

INTERVAL = 0.05
MEMORY_FOLDER = "/dev/shm"  # noqa: S108  the container's
# A file of /proc/<pid>, with its fields of private and of shared memory.
_STATUS = ("status", "RssAnon", "RssShmem")
_ROLLUP = ("smaps_rollup", "Pss_Anon", "Pss_Shmem")  # each page divided by the number of processes that map it


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
        members = _members(self._namespace)
        files = _files_in_memory(self._init, members)
        total = _total(members, files, _STATUS)
        if self._limit is not None and total > self._limit:
            total = _total(members, files, _ROLLUP)  # dearer; counts what forks share once
        self.peak = max(self.peak, total)
        if self._limit is not None and total > self._limit:
            self._stopped = True
            self._over()
            return
        self._loop.later(INTERVAL, self._sample)


def usage_of(pid: int) -> tuple[float, int]:
    """Return the CPU seconds of a process with those children it has waited for, and its memory; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            times = file.read().rpartition(")")[2].split()[11:15]  # utime, stime, cutime, cstime of proc(5)
    except OSError:
        return 0.0, 0
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK"), _total([str(pid)], 0, _STATUS)


def _members(namespace: str) -> list[str]:
    members = []
    for pid in os.listdir("/proc"):
        if pid.isdecimal():
            try:
                if os.readlink(f"/proc/{pid}/ns/pid") == namespace:
                    members.append(pid)
            except OSError:  # gone, or not ours to look at
                continue
    return members


def _total(members: list[str], files: int, source: tuple[str, str, str]) -> int:
    """Return the bytes of private and shared memory; `files` is what of the shared memory is in files."""
    name, anonymous, shared = source
    private = sum(_sum_fields(f"/proc/{pid}/{name}", (anonymous,)) for pid in members)
    return private + max(files, sum(_sum_fields(f"/proc/{pid}/{name}", (shared,)) for pid in members))


def _files_in_memory(init: int, members: list[str]) -> int:
    """Return the bytes of files that need not be mapped to use memory: in the container's tmpfs, and memfds."""
    total = 0
    with contextlib.suppress(OSError):  # it is not mounted yet, or not any more
        status = os.statvfs(f"/proc/{init}/root{MEMORY_FOLDER}")
        total += (status.f_blocks - status.f_bfree) * status.f_frsize
    memfds = {}
    for pid in members:
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("/memfd:"):
                    found = os.stat(f"/proc/{pid}/fd/{fd}")
                    memfds[found.st_ino] = found.st_blocks * 512
        except OSError:
            continue
    return total + sum(memfds.values())


def _sum_fields(path: str, names: tuple[str, ...]) -> int:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(names))
    except OSError:
        return 0
