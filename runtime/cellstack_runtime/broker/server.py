"""The broker: makes containers for one kernel or one command, and cleans up after them.

Guarantees:
- It is PID 1 of its pid namespace and has a mount namespace of its own: with it end all its processes and mounts.
- What outlives a process (directories, cgroups) is named in `owner.json` before it is made, in a directory whose
  lock the broker holds; whoever finds the lock free may remove it all (`cellstack_runtime.sweep`).
- It reads only JSON, from its client and from its own init and zygote processes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from cellstack_runtime import abi, cgroups, syscalls
from cellstack_runtime.broker.channel import Channel, close_all
from cellstack_runtime.broker.chores import Chores
from cellstack_runtime.broker.containers import SHORT_CELL, Container
from cellstack_runtime.broker.control import Control
from cellstack_runtime.broker.ended import FOLDER, Ended
from cellstack_runtime.broker.loop import Event, Loop
from cellstack_runtime.broker.outside import ContainerError, ZygoteError
from cellstack_runtime.broker.rootfs import Roots
from cellstack_runtime.broker.supervisor import usage_of
from cellstack_runtime.broker.zygotes import Zygote
from cellstack_runtime.diff import count
from cellstack_runtime.errors import StoreError
from cellstack_runtime.store import Changes, Layer, Store
from cellstack_runtime.store.files import try_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

IN_A_ROW = 0.05  # seconds between one cell and the next
SPARES = 2  # containers begun ahead in a row of cells
REST_SECONDS = 3.0  # after which none is: they are worth some milliseconds to the second of two cells


class Broker:
    """State of one broker."""

    def __init__(self, client: Channel, settings: dict[str, Any], spawner: Channel, spawner_pidfd: int) -> None:
        self.client = client
        self._spawner = spawner
        os.umask(0o022)  # what it makes is for containers, whoever the person wants to read their own files
        self.loop = Loop()
        self.chores = Chores()
        self.run_dir: str = settings["run_dir"]
        self.store = Store.open(settings["home"])
        self.session_state: str = settings["state"]
        self.session: str = settings["session"]
        base = settings["base_id"]
        self.manager = cgroups.open_manager(cgroups.detect(), settings["scope"])
        self._lock = self._record(settings["guest"])
        self.ended = Ended(f"{self.store.home}/{FOLDER}", os.path.basename(self.run_dir))
        self._wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self.loop.readable(self._wake, self._on_child)
        self.roots = Roots(self.run_dir, base)
        root = self.roots.pod()
        spawner.send({}, [root])
        os.close(root)
        if base is not None:
            self.roots.use_namespace(
                os.open(f"/proc/{syscalls.pid_of(spawner_pidfd)}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            )
        self.guest = self.roots.guest_files(settings["guest"], self.session_state)
        self._spawning: deque[Event] = deque()
        self.loop.readable(self._spawner.fileno(), self._on_spawner)
        self.loop.readable(client.fileno(), self._on_client)
        self.containers: dict[str, Container] = {}
        self.zygotes: dict[str, Zygote] = {}
        self._spares: deque[Container] = deque()
        self.control = Control(self)
        self.last_begin = self.last_end = 0.0
        self.numbers_had: list[int] = []  # inodes of containers' namespaces that the spawner has not been told of

    def _record(self, guest: str) -> int:
        """Write down what this broker is about to make and what it uses, and lock the record."""
        lock = try_lock(f"{self.run_dir}/lock")
        if lock is None:
            raise OSError(errno.EBUSY, "another broker has it", self.run_dir)
        owner = {"cgroups": self.manager.directories(), "session": self.session, "guest": guest}
        with open(f"{self.run_dir}/owner.json.new", "w", encoding="utf-8") as file:
            json.dump(owner, file)
        os.rename(f"{self.run_dir}/owner.json.new", f"{self.run_dir}/owner.json")
        return lock

    # -- the spawner -------------------------------------------------------------------------------------------

    def ask_spawner(self, message: dict[str, Any], fds: Sequence[int]) -> Event:
        """Send a request; the event's value is (message, descriptors). It answers in order."""
        event = self.loop.event()
        self._spawning.append(event)
        self._spawner.send(message, fds)
        return event

    def _on_spawner(self) -> None:
        message, fds = self._spawner.receive()
        self._spawning.popleft().set((message, fds))

    # -- the client --------------------------------------------------------------------------------------------

    def _on_client(self) -> None:
        try:
            message, fds = self.client.receive()
        except EOFError:
            self.close()
            return
        number = message.pop("request", None)

        def reply(answer: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
            with contextlib.suppress(EOFError):  # it is gone, which the loop will be told
                self.client.send({"reply": number, **answer}, descriptors)

        self.loop.start(self._serve(message, fds, reply))

    def _serve(
        self, message: dict[str, Any], fds: list[int], reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """Answer one request; whatever fails is an answer too."""
        operation = getattr(self, f"do_{message['op']}")
        try:
            yield from operation(message, fds, reply)
        except ContainerError as error:
            reply({"error": str(error), "errno": None, "without_zygote": isinstance(error, ZygoteError)})
        except Exception as error:  # noqa: BLE001  one request that fails must not end the others' containers
            reply({"error": f"{type(error).__name__}: {error}", "errno": getattr(error, "errno", None)})
        finally:
            close_all(fds)

    def do_zygote(
        self, message: dict[str, Any], _fds: list[int], reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """Start a zygote under a key, in place of another one that is of no use any more."""
        if (before := self.zygotes.get(message["key"])) is not None:
            before.retire()
        zygote = self.zygotes[message["key"]] = Zygote(self, message["key"])
        yield from zygote.start(message, reply)

    def do_drop_zygote(
        self, message: dict[str, Any], _fds: list[int], reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """Let a zygote go that no further cell needs."""
        zygote = self.zygotes.get(message["key"])
        if zygote is not None:
            zygote.retire()
        reply({})
        yield from ()

    def do_container(
        self, message: dict[str, Any], _fds: list[int], reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """Make a container; a failure leaves nothing of it."""
        container = self._take_spare(message["zygote"], message["limits"])
        if container is None:
            container = self._new(message["zygote"], message["limits"])
        try:
            yield from container.complete(message, reply)
        except BaseException as error:
            yield from self._abandon(container)
            if message["zygote"] not in (None, *self.zygotes):
                raise ZygoteError(str(error)) from error
            raise

    def _new(self, zygote: str | None, limits: dict[str, Any]) -> Container:
        container = Container(self, zygote, limits)
        self.containers[container.id] = container
        self.loop.start(container.begin())
        return container

    def _take_spare(self, zygote: str | None, limits: dict[str, Any]) -> Container | None:
        """Return a container that was begun ahead, if there is one of the right kind; those of another kind go."""
        while self._spares:
            spare = self._spares.popleft()
            if spare.zygote == zygote and spare.limits == limits and not (spare.begun.done and spare.begun.value):
                return spare
            self.loop.start(self._abandon(spare))
        return None

    def _abandon(self, container: Container) -> Generator[Event, Any, None]:
        """End a container that nobody was given."""
        if not container.begun.done:
            yield container.begun
        container.kill()
        if container.init_pidfd >= 0 and not container.dead.done:
            yield container.dead
        self.forget(container)

    def do_start(
        self, message: dict[str, Any], fds: list[int], reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """Execute a program in a container that has no cell: `cellstack run`."""
        container = self.containers[message["id"]]
        if container.channel is None:
            raise ContainerError("the container is gone")
        container.program = message["program"]
        container.channel.send(container.program, fds)
        pid = yield container.started
        if pid is not None:
            container.outside.begins(container.program["args"])
            container.outside.record()
        elif container.reason is None:
            raise ContainerError("the container's init died")
        reply({"pid": pid})
        yield container.exited
        reply({"exited": container.exited.value["exited"]})

    def do_began(
        self, message: dict[str, Any], _fds: list[int], _reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """Note that a cell has been sent to a container, and begin the next one. Not answered.

        In a row of cells the next one is soon wanted. A person who runs a single cell waits for this one, and most are
        over before anything is worth to be done besides.
        """
        container = self.containers.get(message["id"])
        self.last_begin = time.monotonic()
        if container is not None:
            container.outside.begins(message["command"], message["parent"])
            if self.in_a_row():
                self.begin_next(container)

        def still_runs() -> None:
            container = self.containers.get(message["id"])
            if container is not None:
                container.outside.record()
                self.begin_next(container)

        self.loop.later(SHORT_CELL, still_runs)
        yield from ()

    def cell_ended(self) -> None:
        """Note that a cell has ended; a notebook at rest keeps no memory for containers that were begun ahead."""
        self.last_end = ended = time.monotonic()

        def rest() -> None:
            if self.last_end == ended > self.last_begin:
                while self._spares:
                    self.loop.start(self._abandon(self._spares.popleft()))

        self.loop.later(REST_SECONDS, rest)

    def in_a_row(self) -> bool:
        """Whether cells follow each other without a pause."""
        return time.monotonic() - self.last_end < IN_A_ROW

    def begin_next(self, container: Container) -> None:
        """Begin the container that will most likely be asked for after `container`."""
        if container.zygote in self.zygotes and len(self._spares) < (SPARES if self.in_a_row() else 1):
            self._spares.append(self._new(container.zygote, container.limits))

    def do_kill(
        self, message: dict[str, Any], _fds: list[int], reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """Kill a container; its client then finishes it."""
        container = self.containers.get(message["id"])
        if container is not None:
            container.kill(message["reason"])
        reply({})
        yield from ()

    def do_unpause(
        self, message: dict[str, Any], _fds: list[int], reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """Let a container go on, if it is paused: it is interrupted or killed."""
        container = self.containers.get(message["id"])
        if container is not None:
            container.outside.unpause()
        reply({})
        yield from ()

    def do_look(
        self, message: dict[str, Any], _fds: list[int], reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """Say what a container has used so far."""
        container = self.containers.get(message["id"])
        reply({} if container is None else container.report())
        yield from ()

    def do_describe(
        self, message: dict[str, Any], _fds: list[int], reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """Say what a container is, as its record has it; nothing of one that has ended."""
        container = self.containers.get(message["id"])
        reply({"container": None if container is None else container.outside.facts()})
        yield from ()

    def do_usage(
        self, _message: dict[str, Any], _fds: list[int], reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """Say what all containers and zygotes use together: {"memory", "cpu", "pids"}."""
        used = self.manager.usage()
        cpu, memory = used.cpu_seconds, used.memory_bytes
        if cpu is None or memory is None:  # no controller counts
            cells = [usage_of(container.cell_pid) for container in self.containers.values() if container.cell_pid]
            cpu = sum(seconds for seconds, _ in cells) if cpu is None else cpu
            memory = sum(size for _, size in cells) if memory is None else memory
        reply({"memory": memory, "cpu": cpu, "pids": used.pids})
        yield from ()

    def do_finish(
        self, message: dict[str, Any], _fds: list[int], reply: Callable[..., None]
    ) -> Generator[Event, Any, None]:
        """End a container, with or without a layer."""
        keep_unchanged = message.get("keep_unchanged", True)
        yield from self.containers[message["id"]].finish(message["commit"], reply, keep_unchanged=keep_unchanged)

    # -- layers and cleaning up --------------------------------------------------------------------------------

    def count(self, container: Container) -> list[int]:
        """Return what a container has changed: added, changed, deleted, bytes."""
        prepared, request = f"{container.directory}/layer", container.request
        root = count(f"{prepared}/root", [path for path, _ in request["root"]])
        context = request["context"]
        folder = [context["folder"]] if context["mode"] == "ro" else []
        work = count(f"{prepared}/work", [*(path for path, _ in request["work"]), *folder])
        return [
            root.added + work.added,
            root.changed + work.changed,
            root.deleted + work.deleted,
            root.bytes + work.bytes,
        ]

    def commit(self, container: Container, record: dict[str, Any], changes: Sequence[int]) -> None:
        """Make the upper directories of a container that changes nothing any more a layer."""
        prepared = f"{container.directory}/layer"
        parts = {part: bool(os.listdir(f"{prepared}/{part}")) for part in ("root", "work")}
        cell = {
            **record["cell"],
            "cpu_seconds": container.used["cpu"],
            "memory_peak_bytes": container.used["peak"],
            "memory_limit": container.outside.limits["memory"],
            "namespaces": container.ready.value,
        }
        layer = Layer(**{**record, "cell": cell, "changes": Changes(*changes), **parts})
        if layer.state == layer.id:
            os.rename(f"{container.directory}/state", f"{self.session_state}/{layer.id}")
        self.store.commit(prepared, layer)

    def _on_child(self) -> None:
        """Reap whoever has died: processes of ours, whose pidfds tell what follows, and orphans of a dead zygote."""
        os.read(self._wake, 4096)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG | abi.WALL)[0]:
                pass

    def forget(self, container: Container) -> None:
        """Release what the container had, when there is time for it."""
        self.containers.pop(container.id, None)
        self.chores.add(*container.release())

    def remove_tree(self, path: str) -> None:
        """Remove a directory of ours, whatever modes a cell has given to what is in it."""
        self.store.remove_tree(path)

    def close(self) -> None:
        """Kill what runs, commit what has been answered, remove what was made, and stop."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # all of this pid namespace but its first process, which this is
        for container in self.containers.values():
            container.outside.unpause()  # or it does not die
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, abi.WALL)
        for container in self.containers.values():
            if container.commit is not None:
                try:
                    self.commit(container, container.commit, self.count(container))
                except (OSError, StoreError) as error:
                    sys.stderr.write(f"cellstack: the last cell's result could not be kept: {error}\n")
        while self.containers:
            self.chores.add(*self.containers.popitem()[1].release())
        self.chores.finish()
        self.manager.close()
        self.loop.stop()


def serve(client: Channel, settings: dict[str, Any], spawner: Channel, spawner_pidfd: int) -> None:
    """Run a broker for `client` and with a spawner; returns when the client has gone and all is cleaned up."""
    try:
        broker = Broker(client, settings, spawner, spawner_pidfd)
    except OSError as error:
        client.send({"error": str(error), "errno": error.errno})
        return
    with contextlib.suppress(EOFError):  # it is gone, which the loop will be told
        client.send({"started": True})
    broker.loop.run()
    run_dir = broker.run_dir
    for name in os.listdir(run_dir):
        if os.path.ismount(f"{run_dir}/{name}"):
            syscalls.umount2(f"{run_dir}/{name}")
    for name in os.listdir(f"{run_dir}/idmapped") if os.path.isdir(f"{run_dir}/idmapped") else ():
        syscalls.umount2(f"{run_dir}/idmapped/{name}")
    shutil.rmtree(run_dir)
