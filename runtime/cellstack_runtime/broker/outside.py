"""What others see of a container, in its record, and what the person does to it while it runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cellstack_runtime.broker.channel import close_all
from cellstack_runtime.broker.supervisor import stop_members

if TYPE_CHECKING:
    from cellstack_runtime.broker.containers import Container

RECORDS = "containers"  # a directory of the run, with a file for each container that is not over at once


class ContainerError(Exception):
    """What cannot be done with a container; the text goes to the person."""


class ZygoteError(ContainerError):
    """What cannot be done because the zygote that it is asked of is gone."""


class Outside:
    """The outside of `container`.

    created, started: when it was begun, and given what it runs. command: what that is. limits: what holds now.
    """

    def __init__(self, container: Container) -> None:
        self._container = container
        self.created = _now()
        self.started: str | None = None
        self.command: list[str] = []
        self.parent: str | None = None
        self.limits: dict[str, Any] = container.limits
        self.paused = False
        self.recorded = False
        self._stopped: list[int] = []  # descriptors of processes that a pause has stopped one by one

    # -- its record --------------------------------------------------------------------------------------------

    def begins(self, command: list[str], parent: str | None = None) -> None:
        """Note that it has been given what it runs; parent: the layer that a cell starts from."""
        self.started = _now()
        self.command, self.parent = command, parent

    def record(self) -> None:
        """Write down for others, as `cellstack ps`, what this container is and does (`cellstack_runtime.live`)."""
        self.recorded = True
        text = json.dumps(self.facts())
        self._container.broker.chores.add(lambda: self._write(text))

    def facts(self) -> dict[str, Any]:
        """Return what this container is and does."""
        container = self._container
        assert container.group is not None
        return {
            "id": container.id,
            "image": container.request["image"],
            "session": container.broker.session,
            "created": self.created,
            "started": self.started,
            "status": "paused" if self.paused else "waiting" if self.started is None else "running",
            "command": self.command,
            "parent": self.parent,
            "limits": {**container.request["other_limits"], **self.limits},
            "enforced_by": container.enforced_by(),
            "namespaces": container.ready.value,
            "cgroup": container.group.path,
            "cgroups": dict(container.group.paths),
            "pid": container.init_pid,
        }

    def end(self) -> None:
        """Keep what it was and how it ended, if it was given anything to run."""
        container = self._container
        if self.started is None:
            return
        code = container.ended.value
        reason = container.reason or ("signal" if code > 128 else "finished")
        facts = {**self.facts(), "status": "ended", "ended": _now(), "reason": reason, "code": code}
        container.broker.chores.add(lambda: container.broker.ended.keep(facts))

    @property
    def _path(self) -> str:
        return f"{self._container.broker.run_dir}/{RECORDS}/{self._container.id}.json"

    def _write(self, text: str) -> None:
        with open(f"{self._path}.new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(f"{self._path}.new", self._path)

    def remove_record(self) -> None:
        """Remove the record, if there is one."""
        if self.recorded:
            with contextlib.suppress(FileNotFoundError):  # it could not be written: the disk is full
                os.unlink(self._path)

    # -- what the person does to it ----------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        """Send a signal to the cell's process or the program of `run`."""
        container = self._container
        if container.cell_pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(container.cell_pidfd, number)
        elif container.channel is not None:
            container.channel.send({"signal": number})

    def pause(self) -> None:
        """Stop all its processes where they are; its client's clock stops too."""
        container = self._container
        assert container.group is not None
        if not container.group.freeze():
            self._stopped = stop_members(container.ready.value["pid"], container.init_pid)
        self.paused = True
        self._changed({"event": "paused"})

    def unpause(self) -> None:
        """Let it go on, if it is paused."""
        if not self.paused:
            return
        assert self._container.group is not None
        self.paused = False
        self._container.group.thaw()
        for fd in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGCONT)
        close_all(self._stopped)
        self._stopped = []
        self._changed({"event": "resumed"})

    def change_limits(self, changes: dict[str, Any]) -> None:
        """Change "memory", "cpus" or "pids"; ContainerError where no cgroup holds the limit."""
        group = self._container.group
        assert group is not None
        for name in changes:
            if {"cpus": "cpu"}.get(name, name) not in group.enforced:
                raise ContainerError(f"no cgroup holds its limit of {name}, so it cannot change while it runs")
        limits = {**self.limits, **changes}
        used = group.metrics().memory_bytes
        if changes.get("memory") is not None and used is not None and used > changes["memory"]:
            raise ContainerError(f"it uses {used >> 20} MiB of memory now, more than {changes['memory'] >> 20} MiB")
        try:
            group.update(**limits)
        except OSError:
            group.update(**self.limits)
            raise
        self.limits = limits
        self._changed({"event": "limits", "limits": limits})

    def _changed(self, event: dict[str, Any]) -> None:
        """Tell the client, and whoever reads the record."""
        with contextlib.suppress(EOFError):  # it is gone, which the loop will be told
            self._container.broker.client.send({**event, "id": self._container.id})
        if self.recorded and not self._container.dead.done:
            self.record()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
