"""Control groups, version 1: a hierarchy for each controller."""

from __future__ import annotations

import os

from cellstack_runtime.cgroups.base import Group, Manager, Metrics, Support, read_fields, read_number, remove
from cellstack_runtime.kernelfs import write

USED = ("memory", "cpu", "cpuacct", "pids")
PERIOD_US = 100_000
UNLIMITED = "-1"


class GroupV1(Group):
    """A group in each hierarchy that can be written."""

    def __init__(self, paths: dict[str, str]) -> None:
        self._paths = paths
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

    def remove(self) -> bool:
        left = [path for path in set(self._paths.values()) if not remove(path)]
        return not left


class ManagerV1(Manager):
    """Makes groups below the process' own group of each hierarchy."""

    def __init__(self, support: Support, scope: str) -> None:
        self._tops = {name: f"{support.controllers[name].path}/{scope}" for name in USED if support.writable(name)}
        self._made = False

    def directories(self) -> list[str]:
        return sorted(set(self._tops.values()))

    def usage(self) -> Metrics:
        return GroupV1(self._tops).metrics()

    def create(self, name: str, *, memory: int | None, cpus: float | None, pids: int | None) -> Group:
        if not self._made:
            for top in self.directories():
                os.makedirs(top, exist_ok=True)
            self._made = True
        paths = {controller: f"{top}/{name}" for controller, top in self._tops.items()}
        for path in set(paths.values()):
            os.mkdir(path)
        group = GroupV1(paths)
        group.update(memory=memory, cpus=cpus, pids=pids)
        return group
