"""Containers as the panel gets them. Everything here may wait, for the disk or for a broker."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cellstack_lab.values import MAX_CODE, plain, text, whole
from cellstack_runtime import live
from cellstack_runtime.errors import CellstackError, NotFoundError
from cellstack_runtime.metrics import sample
from cellstack_runtime.namespaces import look, processes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellstack_lab.reading import Reader
    from cellstack_runtime.live import Container, Ended

ORDER = ("running", "paused", "waiting")
MAX_PROCESSES = 1_000
WHOLE = ("memory", "pids")
EXEC = ("-P", "-m", "cellstack_runtime.cli.joining")
SHELL = ("sh", "-c", "command -v bash >/dev/null && exec bash || exec sh")
ACTIONS: dict[str, Callable[[Container], None]] = {
    "stop": live.stop,
    "kill": live.kill,
    "pause": live.pause,
    "unpause": live.unpause,
}


class Containers:
    """Reads and changes containers for one request."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.home = reader.store.home

    def containers(self) -> dict[str, Any]:
        """Return all containers that exist, those that run first, and after them those that ended last."""
        found = sorted(live.live_containers(self.home), key=lambda one: ORDER.index(one.status))
        known = {one.id for one in found}  # one may end between the two looks
        ended = [one for one in live.ended_containers(self.home) if one.container.id not in known]
        return {"containers": [*map(self.container, found), *map(self.ended, ended)]}

    def find(self, container_id: str) -> Container:
        """Return a container that exists; NotFoundError."""
        return live.find_container(self.home, container_id)

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

    def ended(self, ended: Ended) -> dict[str, Any]:
        """Return a CONTAINER that has ended."""
        exit_ = {"reason": ended.reason, "code": ended.code}
        return {**self.container(ended.container), "ended": ended.ended, "exit": exit_}

    def details(self, container_id: str) -> dict[str, Any]:
        """Return a CONTAINER with its processes and namespaces."""
        container = self.find(container_id)
        previous = self._previous(container)
        return {
            **self.container(container),
            "processes": [plain(asdict(one)) for one in processes_of(container)[:MAX_PROCESSES]],
            "namespaces": [
                {**plain(asdict(one)), "previous_inode": whole(previous.get(one.kind))} for one in look(container)
            ],
        }

    def _previous(self, container: Container) -> dict[str, Any]:
        """Return the inode numbers of the cell before: the one that left the layer which this one starts from."""
        with contextlib.suppress(CellstackError):  # pruned meanwhile, or its session has just ended
            parent = container.parent
            if container.status == "waiting":  # it has none until a cell comes, which starts from head
                parent = self._reader.store.session(container.session).head
            if parent is not None:
                namespaces = self._reader.store.layer(parent).cell.get("namespaces")
                if isinstance(namespaces, dict):
                    return namespaces
        return {}

    def metrics(self, container_id: str) -> dict[str, Any]:
        """Return METRICS of a container."""
        taken = sample(self.find(container_id))
        if taken is None:
            raise NotFoundError(f"container {container_id} has ended")
        return taken.as_json()

    def act(self, container_id: str, action: str) -> None:
        """Stop, kill, pause or unpause a container."""
        ACTIONS[action](self.find(container_id))

    def shell(self, container_id: str) -> list[str]:
        """Return the command that opens a shell in a container; CellstackError when nothing runs in it."""
        container = self.find(container_id)
        if container.status != "running":
            what = "is paused" if container.status == "paused" else "waits for the next cell and runs nothing"
            raise CellstackError(f"container {container.id} {what}")
        return [sys.executable, *EXEC, "-it", container.id, *SHELL]

    def change_limits(self, container_id: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Change limits of a container; return the CONTAINER."""
        # JSON has one kind of numbers: 1e9 bytes are as whole as 1000000000.
        wanted = {name: int(limit) if name in WHOLE and limit is not None else limit for name, limit in changes.items()}
        return self.container(live.change_limits(self.find(container_id), self.home, wanted))
