"""Control groups, version 2: one hierarchy."""

from __future__ import annotations

import contextlib
import os

from cellstack_runtime import syscalls
from cellstack_runtime.cgroups.base import (
    Group,
    Manager,
    Metrics,
    Pressure,
    Support,
    read_fields,
    read_number,
    read_pressure,
    read_words,
    remove,
)
from cellstack_runtime.kernelfs import read, write

PERIOD_US = 100_000
WANTED = ("memory", "cpu", "pids", "io")


def enable_controllers(path: str, available: set[str]) -> set[str]:
    """Give the groups below `path` the controllers we use; return those they have."""
    for name in WANTED:
        if name in available:
            with contextlib.suppress(OSError):  # told by what is in subtree_control afterwards
                write(f"{path}/cgroup.subtree_control", f"+{name}")
    with open(f"{path}/cgroup.subtree_control", encoding="utf-8") as file:
        return set(file.read().split())


class GroupV2(Group):
    """One directory."""

    def __init__(self, path: str, controllers: frozenset[str]) -> None:
        self.path: str = path
        self.paths = {"": path}
        self._controllers = controllers
        self.enforced = frozenset(name for name in ("memory", "cpu", "pids") if name in controllers)

    def join_fds(self) -> list[int]:
        return [os.open(f"{self.path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)]

    def update(self, *, memory: int | None = None, cpus: float | None = None, pids: int | None = None) -> None:
        if "memory" in self._controllers:
            write(f"{self.path}/memory.max", "max" if memory is None else str(memory))
            if os.path.exists(f"{self.path}/memory.swap.max"):
                write(f"{self.path}/memory.swap.max", "max" if memory is None else "0")
            write(f"{self.path}/memory.oom.group", "1")
        if "cpu" in self._controllers:
            quota = "max" if cpus is None else str(max(1000, int(cpus * PERIOD_US)))
            write(f"{self.path}/cpu.max", f"{quota} {PERIOD_US}")
        if "pids" in self._controllers:
            write(f"{self.path}/pids.max", "max" if pids is None else str(pids))

    def metrics(self) -> Metrics:
        used = read_fields(f"{self.path}/cpu.stat").get("usage_usec")
        return Metrics(
            memory_bytes=read_number(f"{self.path}/memory.current"),
            memory_peak_bytes=read_number(f"{self.path}/memory.peak"),  # since Linux 5.19
            cpu_seconds=None if used is None else used / 1e6,
            pids=read_number(f"{self.path}/pids.current"),
        )

    def oom_kills(self) -> int:
        return read_fields(f"{self.path}/memory.events").get("oom_kill", 0)

    def pids_refused(self) -> int:
        return read_fields(f"{self.path}/pids.events").get("max", 0)

    def oom_event_fd(self) -> int | None:
        """memory.events is modified at each event, which inotify tells."""
        if "memory" not in self._controllers:
            return None
        return syscalls.inotify_modified(f"{self.path}/memory.events")

    def processes(self) -> list[int] | None:
        return [int(pid) for pid in read_words(f"{self.path}/cgroup.procs")]

    def io_bytes(self) -> tuple[int, int] | None:
        try:
            text = read(f"{self.path}/io.stat")
        except OSError:  # without the controller, or the group is gone
            return None
        # "8:0 rbytes=1 wbytes=2 rios=3 …" for each disk
        fields = [entry.partition("=") for line in text.splitlines() for entry in line.split()[1:]]
        found = [sum(int(value) for name, _, value in fields if name == wanted) for wanted in ("rbytes", "wbytes")]
        return found[0], found[1]

    def pressure(self) -> Pressure:
        return Pressure(*(read_pressure(f"{self.path}/{name}.pressure") for name in ("memory", "cpu", "io")))

    def freeze(self) -> bool:
        write(f"{self.path}/cgroup.freeze", "1")
        return True

    def thaw(self) -> None:
        write(f"{self.path}/cgroup.freeze", "0")

    def remove(self) -> bool:
        return remove(self.path)


class ManagerV2(Manager):
    """Makes groups below one directory in the delegated (or, for root, the topmost) group."""

    def __init__(self, support: Support, scope: str) -> None:
        writable = {name: found for name, found in support.controllers.items() if found.writable and name in WANTED}
        self._top = f"{next(iter(writable.values())).path}/{scope}" if writable else None
        self._wanted = frozenset(writable)
        self._made = False

    def directories(self) -> list[str]:
        return [self._top] if self._top else []

    def usage(self) -> Metrics:
        return Metrics() if self._top is None else GroupV2(self._top, self._wanted).metrics()

    def create(self, name: str, *, memory: int | None, cpus: float | None, pids: int | None) -> Group:
        if self._top is None:
            return NoGroup()
        if not self._made:
            os.makedirs(self._top, exist_ok=True)
            self._wanted = frozenset(enable_controllers(self._top, set(self._wanted)))
            self._made = True
        path = f"{self._top}/{name}"
        os.mkdir(path)
        group = GroupV2(path, self._wanted)
        group.update(memory=memory, cpus=cpus, pids=pids)
        return group


class NoGroup(Group):
    """Where nothing can be written: limits are held by rlimits and the supervisor."""

    def join_fds(self) -> list[int]:
        return []

    def metrics(self) -> Metrics:
        return Metrics()

    def oom_kills(self) -> int:
        return 0

    def pids_refused(self) -> int:
        return 0

    def oom_event_fd(self) -> int | None:
        return None

    def update(self, *, memory: int | None = None, cpus: float | None = None, pids: int | None = None) -> None:
        pass

    def processes(self) -> list[int] | None:
        return None

    def freeze(self) -> bool:
        return False

    def thaw(self) -> None:
        pass

    def remove(self) -> bool:
        return True
