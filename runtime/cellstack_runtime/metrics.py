"""What a container uses at this moment, read by another process than its broker."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellstack_runtime import cgroups
from cellstack_runtime.namespaces import pids_of, processes_of
from cellstack_runtime.processes import io_bytes

if TYPE_CHECKING:
    from cellstack_runtime.cgroups import Pressure
    from cellstack_runtime.live import Container


@dataclass(frozen=True, slots=True)
class Sample:
    """What a container has used at `time` (seconds since 1970). Memory in bytes, CPU in seconds.

    memory_peak: None where no cgroup counts. io: bytes read from and written to disks; without a cgroup that counts
    them, by the processes that exist now. pressure: where the kernel counts it (cgroup version 2).
    """

    id: str
    time: float
    memory: int
    memory_peak: int | None
    memory_limit: int | None
    cpu_seconds: float
    cpu_limit: float | None
    pids: int
    pids_limit: int | None
    io: tuple[int, int] | None
    pressure: Pressure

    def as_json(self) -> dict[str, Any]:
        """Return the sample as the server and `cellstack stats` send it."""
        pressure = self.pressure
        parts = {"memory": pressure.memory, "cpu": pressure.cpu, "io": pressure.io}
        return {
            "id": self.id,
            "time": self.time,
            "memory": {"bytes": self.memory, "limit": self.memory_limit, "peak": self.memory_peak},
            "cpu": {"seconds": self.cpu_seconds, "limit": self.cpu_limit},
            "pids": {"count": self.pids, "limit": self.pids_limit},
            "io": None if self.io is None else {"read_bytes": self.io[0], "written_bytes": self.io[1]},
            "pressure": parts if any(value is not None for value in parts.values()) else None,
        }


def sample(container: Container) -> Sample | None:
    """Return what a container uses now; None when it has ended."""
    group = cgroups.open_group(container.cgroups)
    counted = group.metrics()
    memory, cpu, count = counted.memory_bytes, counted.cpu_seconds, counted.pids
    io = group.io_bytes()
    if io is None:
        io = io_bytes(pids_of(container))
    if memory is None or cpu is None or count is None:
        found = processes_of(container)
        if not found:
            return None
        memory = sum(process.memory for process in found) if memory is None else memory
        cpu = sum(process.cpu_seconds for process in found) if cpu is None else cpu
        count = len(found) if count is None else count
    limits = container.limits
    return Sample(
        id=container.id,
        time=time.time(),
        memory=memory,
        memory_peak=counted.memory_peak_bytes,
        memory_limit=limits.get("memory"),
        cpu_seconds=cpu,
        cpu_limit=limits.get("cpus"),
        pids=count,
        pids_limit=limits.get("pids"),
        io=io,
        pressure=group.pressure(),
    )
