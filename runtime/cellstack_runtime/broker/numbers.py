"""Inode numbers of namespaces: none that an earlier container had, so that a person sees that each cell's are new.

The kernel gives a new namespace the lowest number that is free, so those of a container that ended come back at once.
They are kept taken by what costs least, a UTS namespace (some 400 bytes) held by a descriptor. The descriptors are
in a process of their own: those of the spawner would be copied into, and closed in, every init.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
from typing import TYPE_CHECKING, NoReturn

from cellstack_guest import confine
from cellstack_runtime import abi, syscalls
from cellstack_runtime.broker.channel import MAX_DESCRIPTORS, close_all

if TYPE_CHECKING:
    from collections.abc import Iterable

CLONED = ("user", "pid")  # what no process can leave for another
RESERVED = 64  # descriptors left for everything else
BATCH = 32  # descriptors sent to the keeper at once


class Numbers:
    """The numbers that containers have had. For a process that may unshare, and does not mind being in a new UTS."""

    def __init__(self) -> None:
        self._most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - RESERVED
        self._had: set[int] = set()
        self._taken: list[int] = []
        self._kept = 0
        self._keeper: socket.socket | None = None

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
                syscalls.unshare(abi.CLONE_NEWUTS)
                fd = os.open("/proc/self/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
                (self._taken if os.fstat(fd).st_ino in self._had else fresh).append(fd)
                if len(self._taken) >= BATCH:
                    self._keep()
        except OSError:
            self._forget()
        finally:
            close_all(fresh)

    def _keep(self) -> None:
        """Hand the descriptors to the keeper; OSError when it can take no more."""
        if self._kept + len(self._taken) > self._most:
            raise OSError("no descriptors are left")
        if self._keeper is None:
            self._keeper, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            if os.fork() == 0:
                _keeper(theirs)
            theirs.close()
        socket.send_fds(self._keeper, [b"x"], self._taken)
        self._kept += len(self._taken)
        close_all(self._taken)
        self._taken.clear()

    def _forget(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        self._kept = 0
        close_all(self._taken)
        self._taken.clear()
        self._had.clear()

    def take_had(self, pid: int) -> bool:
        """Keep the numbers of `pid` that were had, of the namespaces that only its clone could give it.

        Return whether there are any. `settle` sees to the others.
        """
        paths = [f"/proc/{pid}/ns/{name}" for name in CLONED]
        again = [path for path in paths if os.stat(path).st_ino in self._had]
        try:
            self._taken += [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in again]
        except OSError:
            self._forget()
            return False
        return bool(again)

    def settle(self) -> dict[str, int]:
        """Return the numbers of this process' namespaces, having left those whose number was had for new ones.

        For init. One that went in the moment of the clone had left its number.
        """
        passed: list[int] = []
        settled = {}
        for name, flag in confine.NAMESPACE_FLAGS.items():
            path = f"/proc/self/ns/{name}"
            while (number := os.stat(path).st_ino) in self._had:
                passed.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
                syscalls.unshare(flag)
                if name == "time":  # unshare(2) moves only the children to come
                    passed.append(os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC))
                    confine.setns(passed[-1], flag)
            settled[name] = number
        close_all(passed)
        return settled


def _keeper(sock: socket.socket) -> NoReturn:
    """Hold every descriptor that comes until the other end is closed."""
    try:
        signal.set_wakeup_fd(-1)
        confine.set_name("cellstack-keep")
        confine.close_fds([0, 1, 2, sock.fileno()])
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        while socket.recv_fds(sock, 1, MAX_DESCRIPTORS)[0]:
            pass  # open descriptors of this process, and known to nobody
    finally:
        os._exit(0)
