"""What a notebook uses, as `usage_request` is answered: the fields that jupyter-resource-usage shows."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from cellstack_kernel.executor import Executor


class Usage:
    """The usage of one notebook: all its containers, zygotes included, and not the kernel's own process.

    The limits shown are those of a cell, since what is beyond them ends it.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None  # when it was looked at, CPU seconds until then

    async def content(self, executor: Executor | None) -> dict[str, Any]:
        """Return the content of a usage_reply: bytes, percent of one processor."""
        machine = psutil.virtual_memory()
        reply: dict[str, Any] = {
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "kernel_cpu": 0.0,
            "kernel_memory": 0,
            "cpu_count": psutil.cpu_count(logical=True),
            "host_cpu_percent": psutil.cpu_percent(),
            "host_virtual_memory": dict(machine._asdict()),
        }
        if executor is None:
            return reply
        workspace = executor.workspace
        used = await workspace.usage()
        now, cpu = time.monotonic(), used["cpu"] or 0.0
        if self._last is not None and now > self._last[0]:
            reply["kernel_cpu"] = max(0.0, 100 * (cpu - self._last[1]) / (now - self._last[0]))
        self._last = now, cpu
        reply["kernel_memory"] = used["memory"] or 0
        limits = workspace.limits
        if limits.cpus is not None:
            reply["cpu_count"] = limits.cpus
        if limits.memory is not None and limits.memory < machine.total:
            busy = 0
            if executor.running is not None:
                busy = min((await workspace.look(executor.running)).get("memory") or 0, limits.memory)
            reply["host_virtual_memory"] |= {
                "total": limits.memory,
                "used": busy,
                "available": limits.memory - busy,
                "free": limits.memory - busy,
                "percent": round(100 * busy / limits.memory, 1),
            }
        return reply
