"""Containers as the panel gets them. Everything here may wait, for the disk or for a broker."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from cellstack_lab.values import MAX_CODE, plain, text
from cellstack_runtime import live
from cellstack_runtime.errors import CellstackError

if TYPE_CHECKING:
    from cellstack_lab.reading import Reader
    from cellstack_runtime.live import Container

ORDER = ("running", "paused", "waiting")


class Containers:
    """Reads and changes containers for one request."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.home = reader.store.home

    def containers(self) -> dict[str, Any]:
        """Return all containers that exist, those that run first."""
        found = live.live_containers(self.home)
        return {"containers": [self.container(one) for one in sorted(found, key=lambda one: ORDER.index(one.status))]}

    def container(self, container: Container) -> dict[str, Any]:
        """Return a CONTAINER."""
        notebook = None
        with contextlib.suppress(CellstackError):  # its session has just ended
            notebook = self._reader.notebook(self._reader.store.session(container.session))
        command = container.command[1:] if container.command[:1] == ["cell"] else container.command
        limits = container.limits
        return {
            "id": container.id,
            "session": container.session,
            "notebook": notebook,
            "status": container.status,
            "image": container.image,
            "command": text(" ".join(map(str, command)), MAX_CODE),
            "created": container.created,
            "started": container.started,
            "limits": {
                **{name: limits.get(name) for name in ("memory", "cpus", "pids", "timeout", "network")},
                "enforced_by": plain(container.enforced_by),
            },
            "cgroup": container.cgroup,
            "pid": container.pid,
        }
