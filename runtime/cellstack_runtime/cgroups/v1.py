"""Control groups, version 1: a hierarchy for each controller."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from cellstack_runtime.cgroups.base import (
    FREEZER_STATE,
    FROZEN,
    THAWED,
    Group,
    Manager,
    Metrics,
    Support,
    read_fields,
    read_number,
    read_words,
    remove,
)
from cellstack_runtime.kernelfs import write

if TYPE_CHECKING:
    from collections.abc import Mapping

USED = ("memory", "cpu", "cpuacct", "pids")
PERIOD_US = 100_000
UNLIMITED = "-1"


class GroupV1(Group):
    """A group in each hierarchy that can be written.

    freezer: where a group in the freezer's hierarchy is made when there is something to freeze.
    """

    def __init__(self, paths: Mapping[str, str], freezer: str | None = None) -> None:
        self._paths = self.paths = paths
        self._freezer = freezer
        self._is_frozen = False
        self.path = paths.get("memory") or next(iter(paths.values()), None)
        self.enforced = frozenset(name for name in ("memory", "cpu", "pids") if name in paths)

    def join_fds(self) -> list[int]:
        # "tasks" moves one thread, all that those who join have: then there is no grace period to wait for.
        return [os.open(f"{path}/tasks", os.O_WRONLY | os.O_CLOEXEC) for path in set(self._paths.values())]

    def update(self, *, memory: int | None = None, cpus: float | None = None, pids: int | None = None) -> None:
        if "memory" in self._paths:
            path = self._paths["memory"]
            limit, swap = f"{path}/memory.limit_in_bytes", f"{path}/memory.memsw.limit_in_bytes"
            value = UNLIMITED if memory is None else str(memory)
            files = [limit, swap] if os.path.exists(swap) else [limit]
            # The limit must never be above the one with swap: when raising, the latter goes first.
            now = read_number(limit) or 0
            for file in files if memory is not None and memory <= now else reversed(files):
                write(file, value)
        if "cpu" in self._paths:
            quota = UNLIMITED if cpus is None else str(max(1000, int(cpus * PERIOD_US)))
            write(f"{self._paths['cpu']}/cpu.cfs_quota_us", quota)
        if "pids" in self._paths:
            write(f"{self._paths['pids']}/pids.max", "max" if pids is None else str(pids))

    def metrics(self) -> Metrics:
        memory, cpu = self._paths.get("memory"), self._paths.get("cpuacct")
        used = read_number(f"{cpu}/cpuacct.usage") if cpu else None
        return Metrics(
            memory_bytes=read_number(f"{memory}/memory.usage_in_bytes") if memory else None,
            memory_peak_bytes=read_number(f"{memory}/memory.max_usage_in_bytes") if memory else None,
            cpu_seconds=None if used is None else used / 1e9,
            pids=read_number(f"{self._paths['pids']}/pids.current") if "pids" in self._paths else None,
        )

    def oom_kills(self) -> int:
        memory = self._paths.get("memory")
        return read_fields(f"{memory}/memory.oom_control").get("oom_kill", 0) if memory else 0

    def pids_refused(self) -> int:
        pids = self._paths.get("pids")
        return read_fields(f"{pids}/pids.events").get("max", 0) if pids else 0

    def ran_out_of_memory(self) -> bool:
        return True  # the event comes before the kill is counted, and only for one

    def oom_event_fd(self) -> int | None:
        memory = self._paths.get("memory")
        if memory is None:
            return None
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        control = os.open(f"{memory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            write(f"{memory}/cgroup.event_control", f"{event} {control}")
        except OSError:
            os.close(event)
            raise
        finally:
            os.close(control)
        return event

    def processes(self) -> list[int] | None:
        for path in self._paths.values():
            return [int(pid) for pid in read_words(f"{path}/cgroup.procs")]
        return None

    def freeze(self) -> bool:
        tasks = next(iter(self._paths.values()), None)
        if self._freezer is None or tasks is None:
            return False
        os.makedirs(self._freezer, exist_ok=True)
        self._is_frozen = True
        write(f"{self._freezer}/{FREEZER_STATE}", FROZEN)
        # A thread is frozen when it is moved and forks no more, so this ends.
        while left := set(read_words(f"{tasks}/tasks")) - set(read_words(f"{self._freezer}/tasks")):
            for task in left:
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    write(f"{self._freezer}/tasks", task)
        return True

    def thaw(self) -> None:
        if self._is_frozen:
            write(f"{self._freezer}/{FREEZER_STATE}", THAWED)

    def remove(self) -> bool:
        if self._is_frozen and self._freezer is not None and not remove(self._freezer):
            return False
        left = [path for path in set(self._paths.values()) if not remove(path)]
        return not left


class ManagerV1(Manager):
    """Makes groups below the process' own group of each hierarchy."""

    def __init__(self, support: Support, scope: str) -> None:
        self._tops = {name: f"{support.controllers[name].path}/{scope}" for name in USED if support.writable(name)}
        freezer = support.controllers["freezer"]
        self._freezer = f"{freezer.path}/{scope}" if freezer.writable else None  # not made before it is used
        self._made = False

    def directories(self) -> list[str]:
        return sorted({*self._tops.values(), *([self._freezer] if self._freezer else [])})

    def usage(self) -> Metrics:
        return GroupV1(self._tops).metrics()

    def create(self, name: str, *, memory: int | None, cpus: float | None, pids: int | None) -> Group:
        if not self._made:
            for top in set(self._tops.values()):
                os.makedirs(top, exist_ok=True)
            self._made = True
        paths = {controller: f"{top}/{name}" for controller, top in self._tops.items()}
        for path in set(paths.values()):
            os.mkdir(path)
        group = GroupV1(paths, f"{self._freezer}/{name}" if self._freezer else None)
        group.update(memory=memory, cpus=cpus, pids=pids)
        return group
