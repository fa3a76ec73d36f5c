"""The memory limit where no memory controller can be written: the container's sum, sampled.

Nothing notifies of a sum over processes, so this is the one place that polls: every INTERVAL seconds while a
container exists, over the processes of its pid namespace.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cellstack_runtime import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellstack_runtime.broker.loop import Loop

INTERVAL = 0.05


class Supervisor:
    """Adds up the private memory of a container's processes and calls `over` when it passes `limit` bytes."""

    def __init__(self, loop: Loop, init_pidfd: int, limit: int | None, over: Callable[[], None]) -> None:
        self.peak = 0
        self._loop = loop
        self._limit = limit
        self._over = over
        self._stopped = False
        self._namespace = os.readlink(f"/proc/{syscalls.pid_of(init_pidfd)}/ns/pid")
        loop.later(INTERVAL, self._sample)

    def stop(self) -> None:
        """Stop sampling."""
        self._stopped = True

    def _sample(self) -> None:
        if self._stopped:
            return
        members = _members(self._namespace)
        total = sum(map(_anonymous_bytes, members))
        if self._limit is not None and total > self._limit:
            total = sum(map(_proportional_bytes, members))  # dearer; counts what forks share once
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
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK"), _anonymous_bytes(str(pid))


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


def _anonymous_bytes(pid: str) -> int:
    """Return the anonymous and shared memory of a process in bytes; 0 when it is gone."""
    return _sum_fields(f"/proc/{pid}/status", ("RssAnon", "RssShmem"))


def _proportional_bytes(pid: str) -> int:
    """Return the same, each page divided by the number of processes that map it."""
    return _sum_fields(f"/proc/{pid}/smaps_rollup", ("Pss_Anon", "Pss_Shmem"))


def _sum_fields(path: str, names: tuple[str, ...]) -> int:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(names))
    except OSError:
        return 0
