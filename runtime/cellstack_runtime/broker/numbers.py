"""Inode numbers of namespaces: none that an earlier container had, so that a person sees that each cell's are new.

The kernel gives a new namespace the lowest number that is free, so those of a container that ended come back at once.
They are kept taken by what costs least, a UTS namespace (some 400 bytes) held by a descriptor.
"""

from __future__ import annotations

import contextlib
import os
import resource
from typing import TYPE_CHECKING

from cellstack_runtime import abi, syscalls
from cellstack_runtime.broker.channel import close_all

if TYPE_CHECKING:
    from collections.abc import Iterable

CLONED = ("user", "mnt", "pid", "net", "ipc", "uts", "time_for_children")
RESERVED = 64  # descriptors left for everything else


class Numbers:
    """The numbers that containers have had. For a process that may unshare, and does not mind being in a new UTS."""

    def __init__(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):  # else the limit that is there holds
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED
        self._had: set[int] = set()
        self._taken: list[int] = []

    def had(self, numbers: Iterable[int]) -> None:
        """Note the numbers of a container."""
        self._had.update(numbers)

    def make_room(self, count: int) -> None:
        """Take every free number that was had before, until the lowest `count` free ones were not.

        When descriptors or namespaces run out, all are let go, and numbers come again.
        """
        if not self._had:
            return
        fresh: list[int] = []
        try:
            while len(fresh) <= count:  # one more: this process itself stays in the last
                if len(self._taken) + len(fresh) >= self._most:
                    raise OSError("no descriptors are left")  # noqa: TRY301
                syscalls.unshare(abi.CLONE_NEWUTS)
                fd = os.open("/proc/self/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
                (self._taken if os.fstat(fd).st_ino in self._had else fresh).append(fd)
        except OSError:
            self._forget()
        finally:
            close_all(fresh)

    def _forget(self) -> None:
        close_all(self._taken)
        self._taken.clear()
        self._had.clear()

    def take_had(self, pid: int) -> bool:
        """Keep the numbers that process `pid` has in its namespaces and that were had; return whether there are any.

        The cgroup namespace, which it still shares, does not count.
        """
        paths = [f"/proc/{pid}/ns/{name}" for name in CLONED]
        again = [path for path in paths if os.stat(path).st_ino in self._had]
        try:
            self._taken += [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in again]
        except OSError:
            self._forget()
            return False
        return bool(again)

    def unshare_cgroup(self) -> None:
        """Move into a new cgroup namespace with a number that was not had: init's last one, made when it has joined."""
        passed: list[int] = []
        syscalls.unshare(abi.CLONE_NEWCGROUP)
        while os.stat("/proc/self/ns/cgroup").st_ino in self._had:
            passed.append(os.open("/proc/self/ns/cgroup", os.O_RDONLY | os.O_CLOEXEC))
            syscalls.unshare(abi.CLONE_NEWCGROUP)
        close_all(passed)
