"""One container, from its directories to its layer: the steps of its life as tasks of the broker's loop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from cellstack_runtime import syscalls
from cellstack_runtime.broker import channel as channels
from cellstack_runtime.broker.execs import Execs
from cellstack_runtime.broker.outside import ContainerError, Outside
from cellstack_runtime.broker.supervisor import Supervisor, usage_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from cellstack_runtime.broker.loop import Event
    from cellstack_runtime.broker.server import Broker
    from cellstack_runtime.cgroups import Group

    Reply = Callable[..., None]
    Steps = Generator[Event, Any, None]

AFTER_REPLY = 0.003  # seconds
REAP_SECONDS = 5.0  # in which a zygote says how a cell's process has ended that is dead
NOTHING_USED = {"cpu": 0.0, "peak": 0}
SHORT_CELL = 0.02  # seconds; a container that is over before is not written down
# The directories of a container, in the order in which they can be removed: overlayfs makes those in its own.
OVERLAY = ("work/incompat/volatile", "work/incompat", "work", "")
LEFT = (
    *(f"overlay-{part}/{name}" for part in ("root", "work") for name in OVERLAY),
    "layer/root",
    "layer/work",
    "layer",
    "state",
)


class Container:
    """A container of this broker."""

    def __init__(self, broker: Broker, zygote: str | None, limits: dict[str, Any]) -> None:
        self.broker = broker
        self.zygote = zygote
        self.limits = limits  # what it was made for; `outside` has what holds now
        self.id = os.urandom(6).hex()
        self.directory = f"{broker.run_dir}/{self.id}"
        self.request: dict[str, Any] = {}
        self.reason: str | None = None
        self.touched = False  # by a request of the person's, not the client's
        self.born = time.monotonic()
        self.died = 0.0
        loop = broker.loop
        self.begun, self.ready, self.rooted, self.dead, self.exited, self.started = (loop.event() for _ in range(6))
        self.ended = loop.event()  # with the exit code that docker would show
        self.outside = Outside(self)
        self.program: dict[str, Any] = {}  # env, cwd, capabilities, seccomp and rlimits of what runs in it
        self.execs = Execs(self)
        self.cell_pidfd = -1
        self.init_pid = -1
        self.init_pidfd = -1
        self.channel: channels.Channel | None = None
        self.group: Group | None = None
        self.supervisor: Supervisor | None = None
        self.cell_pid: int | None = None
        self.commit: dict[str, Any] | None = None  # the record of the layer that it is going to be
        self.used: dict[str, Any] = {}  # what its cell had used when it answered
        self._oom_fd: int | None = None
        self._gate = -1
        self._fds: list[int] = []  # for the client: the cell's socket, its output pipes, its pidfd

    # -- making it ---------------------------------------------------------------------------------------------

    def begin(self) -> Steps:
        """Make what does not depend on head: cgroup, namespaces, init, the cell's process. Sets `begun`.

        The event's value is None, or what went wrong.
        """
        try:
            yield from self._begin()
        except Exception as error:  # noqa: BLE001  whoever waits for it must learn of it
            self.begun.set(str(error) or type(error).__name__)
        else:
            self.begun.set(None)

    def _begin(self) -> Steps:
        broker, limits = self.broker, self.limits
        self._make_directories()
        self.group = broker.manager.create(self.id, memory=limits["memory"], cpus=limits["cpus"], pids=limits["pids"])
        joins = self.group.join_fds()
        gate, theirs_gate = socket.socketpair()
        self._gate, cells_gate = gate.detach(), theirs_gate.detach()
        try:
            self.channel, theirs = channels.pair()
            broker.loop.readable(self.channel.fileno(), self._on_init)
            request = {"op": "init", "had": broker.numbers_had}
            spawned = broker.ask_spawner(request, [theirs.fileno(), *joins])
            broker.numbers_had = []
            theirs.close()
            _, (self.init_pidfd,) = yield spawned
            broker.loop.readable(self.init_pidfd, self._on_death)
            if (yield self.ready) is None:
                raise ContainerError("the container's init died while it was starting")
            self.init_pid = syscalls.pid_of(self.init_pidfd)
            broker.numbers_had += self.ready.value.values()
            if self.zygote is not None:
                forked = self._fork_cell(cells_gate, joins)
                message, received = yield forked
                if message is None:
                    raise ContainerError("the zygote died; its image could not be imported")
                self.cell_pid = syscalls.pid_of(received[0])
                self.cell_pidfd = os.dup(received[0])
                self._fds.extend(received)
        finally:
            channels.close_all([cells_gate, *joins])

    def complete(self, request: dict[str, Any], reply: Reply) -> Steps:
        """Give it its root; reply when it waits for code (a cell) or for its program (`cellstack run`)."""
        self.request = request
        root = self._build_root()  # while the spawner clones, if the container is just being begun
        try:
            failure = yield self.begun
            if failure is not None:
                raise ContainerError(failure)
            assert self.channel is not None
            assert self.group is not None
            self.channel.send(
                {
                    "hostname": self.id[:12],
                    "shm_bytes": self.limits["memory"],
                    "masked": request["masked"],
                    "readonly": request["readonly"],
                },
                [root] if self.zygote is None else [root, self._gate],
            )
        finally:
            os.close(root)
        if (yield self.rooted) is None:
            raise ContainerError("the container's init died while it was mounting")
        self._watch_memory()
        self.broker.loop.later(SHORT_CELL, self._record_waiting)
        answer = {
            "id": self.id,
            "namespaces": self.ready.value,
            "cgroup": self.group.path,
            "enforced_by": self.enforced_by(),
        }
        reply(answer, [*self._fds, self.init_pidfd])
        channels.close_all([*self._fds, self._gate])
        self._fds, self._gate = [], -1

    def _record_waiting(self) -> None:
        if self.broker.containers.get(self.id) is self and not self.outside.recorded:
            self.outside.record()

    def enforced_by(self) -> dict[str, str]:
        """Return who holds each limit: "cgroup", "rlimit" or "none"."""
        assert self.group is not None
        otherwise = {"memory": "rlimit", "cpu": "none", "pids": "rlimit"}
        return {name: "cgroup" if name in self.group.enforced else other for name, other in otherwise.items()}

    def _make_directories(self) -> None:
        own = self.broker.roots.owned_directory
        os.mkdir(self.directory, 0o755)
        for name in ("layer", "overlay-root", "overlay-work"):
            os.mkdir(f"{self.directory}/{name}", 0o755)
        for name in ("layer/root", "layer/work", "state"):
            own(f"{self.directory}/{name}")

    def _build_root(self) -> int:
        """Return the root as a detached tree; a failure leaves nothing mounted."""
        mnt = self.broker.roots.scratch
        try:
            self._mount_root(mnt)
            return self.broker.roots.detach(mnt)
        except BaseException:
            while os.path.ismount(mnt):
                syscalls.umount2(mnt)
            raise

    def _mount_root(self, mnt: str) -> None:
        roots, request, at = self.broker.roots, self.request, self.directory
        lowers = [*self._lowers(request["root"]), roots.skeleton]
        roots.overlay(lowers, mnt, upper=f"{at}/layer/root", work=f"{at}/overlay-root")
        roots.attach(roots.dev, f"{mnt}/dev")
        roots.attach(self.broker.guest, f"{mnt}/run/cellstack")
        roots.attach(f"{at}/state", f"{mnt}/run/cellstack/out")
        context = request["context"]
        if context["mode"] == "rw":
            roots.attach(roots.mapped(context["folder"]), f"{mnt}/work")
        else:
            below = [roots.mapped(context[name]) for name in ("mask", "folder") if context[name] is not None]
            lowers = [*self._lowers(request["work"]), *below]
            roots.overlay(lowers, f"{mnt}/work", upper=f"{at}/layer/work", work=f"{at}/overlay-work")
        for source, target, read_only in request["mounts"]:
            self._bind(source, mnt, target, read_only=read_only)

    def _bind(self, source: str, mnt: str, target: str, *, read_only: bool) -> None:
        """Bind a granted host path. The mount point is made through the overlay, so it must not be a link."""
        path = mnt
        for part in filter(None, target.split("/")):
            if part == "..":
                raise ContainerError(f"mount target {target!r} leaves the container")
            path = f"{path}/{part}"
            if os.path.islink(path):
                raise ContainerError(f"mount target {target!r} passes a symbolic link in the image")
            if not os.path.lexists(path):
                if path == mnt + "/" + target.strip("/") and not os.path.isdir(source):
                    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
                else:
                    os.mkdir(path)
        self.broker.roots.attach(self.broker.roots.mapped(source), path, read_only=read_only)

    def _lowers(self, entries: list[list[Any]]) -> list[str]:
        """Paths of `entries`, [path, whether its ids are the host's]: an image's own layers are mapped."""
        return [self.broker.roots.mapped(path) if host_ids else path for path, host_ids in entries]

    def _fork_cell(self, gate: int, joins: list[int]) -> Event:
        """Ask the zygote for the cell's process; return the event of its answer."""
        zygote = self.broker.zygotes.get(self.zygote or "")
        if zygote is None:  # replaced since this container was begun
            raise ContainerError("its zygote has been let go")
        ours, theirs = socket.socketpair()
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        for fd in (out_write, err_write):
            os.fchmod(fd, 0o666)  # so that the container's root may open /dev/stdout anew
        guest = [self.init_pidfd, theirs.fileno(), out_write, err_write, gate, *joins]
        limits = self.limits
        rlimits: dict[str, int] = {}
        assert self.group is not None
        if "memory" not in self.group.enforced and limits["memory"]:
            rlimits["DATA"] = limits["memory"]
        if "pids" not in self.group.enforced and limits["pids"]:
            rlimits["NPROC"] = limits["pids"]
        self.program = {**zygote.program, "rlimits": rlimits}
        event = zygote.fork(
            self,
            {"rlimits": rlimits, "in_a_row": self.broker.in_a_row(), "stay": "memory" not in self.group.enforced},
            guest,
        )
        theirs.close()
        os.close(out_write)
        os.close(err_write)
        self._fds = [ours.detach(), out_read, err_read]
        return event

    def _watch_memory(self) -> None:
        assert self.group is not None
        if "memory" in self.group.enforced:
            self._oom_fd = self.group.oom_event_fd()
            if self._oom_fd is not None:
                self.broker.loop.readable(self._oom_fd, self._on_oom)
        else:
            self.supervisor = Supervisor(
                self.broker.loop, self.init_pidfd, self.limits["memory"], lambda: self.kill("oom")
            )

    # -- what happens to it ------------------------------------------------------------------------------------

    def _on_init(self) -> None:
        assert self.channel is not None
        try:
            message, fds = self.channel.receive()
        except (EOFError, ValueError):
            self.broker.loop.forget(self.channel.fileno())
            self.channel.close()
            self.channel = None
            self.ready.set(None)
            self.rooted.set(None)
            self.started.set(None)
            self.execs.lost()
            if self.cell_pid is None:
                self.exited.set({"exited": signal.SIGKILL, **NOTHING_USED})
            return
        if "exec" in message:
            self.execs.on_message(message, fds)
            return
        channels.close_all(fds)
        if "ready" in message:
            self.ready.set(message["ready"])
        elif "rooted" in message:
            self.rooted.set(True)
        elif "started" in message:
            self.started.set(message["started"])
        elif "exited" in message:
            self.on_exit(message)

    def on_exit(self, message: dict[str, Any]) -> None:
        """Note how the cell's process, or the program of `run`, ended: {"exited": wait status, "cpu", "peak"}."""
        self.died = time.monotonic()
        self.exited.set(message)

    def _on_oom(self) -> None:
        assert self.group is not None
        assert self._oom_fd is not None
        os.read(self._oom_fd, 4096)
        if self.group.ran_out_of_memory():
            self.kill("oom")

    def _on_death(self) -> None:
        self.broker.loop.forget(self.init_pidfd)
        self.dead.set()

    def kill(self, reason: str | None = None) -> None:
        """Kill every process of the container; the first reason given is the one that is reported."""
        self.blame(reason)
        if self.init_pidfd >= 0 and not self.dead.done:
            with contextlib.suppress(ProcessLookupError):  # dead, and about to be told so
                signal.pidfd_send_signal(self.init_pidfd, signal.SIGKILL)
        self.outside.unpause()  # what is frozen does not die in version 1 of cgroups

    def blame(self, reason: str | None) -> None:
        """Have `reason` reported when it ends, unless there is one already."""
        if self.reason is None:
            self.reason = reason

    # -- its end -----------------------------------------------------------------------------------------------

    def finish(self, commit: dict[str, Any] | None, reply: Reply, *, keep_unchanged: bool = True) -> Steps:
        """End the container and, if `commit` holds a layer's record, make its changes that layer.

        Without `keep_unchanged` there is no layer if no file has changed, and the reply says that it was dropped.

        A cell that has answered (its process is only in the way then) gets a reply with what is known at once. If it
        has changed no file, its layer is committed by then; if it has, there is a second reply when nothing of it
        runs and the layer is committed. A container that is thrown away, or whose cell has not answered, gets one
        reply, after its death.
        """
        committed = dropped = False
        if commit is not None:
            try:
                changes = self.broker.count(self)
                self.used = self.report()  # while its process can be asked
                answer = {**self.used, "changes": changes}
                if not any(changes) and not keep_unchanged:
                    dropped = True
                elif not any(changes):
                    # What a process that it has left behind may still write, until it is killed, goes nowhere.
                    self.broker.commit(self, commit, changes)
                    committed = True
                else:
                    self.commit = commit
                reply({**answer, "committed": committed, "dropped": dropped})
            except Exception:
                yield from self.finish(None, lambda *_: None)
                raise
            self.broker.cell_ended()
            # Once the client, which may have been woken on this processor, has done its part.
            self.broker.loop.later(AFTER_REPLY, lambda: self.broker.begin_next(self))
        self.kill()
        if self.init_pidfd >= 0 and not self.dead.done:
            yield self.dead
        end = None
        if self.cell_pid is not None:
            self.broker.loop.later(REAP_SECONDS, lambda: self.exited.set({"exited": signal.SIGKILL, **NOTHING_USED}))
            end = yield self.exited  # the zygote reaps it, and is not to be relied on
        elif self.exited.done:
            end = self.exited.value
        if commit is None:
            reply(self.report(end))
            self.ended.set(self._code(end))
        elif not (committed or dropped):
            self.broker.commit(self, commit, self.broker.count(self))
            self.commit = None
            reply({})
        self.ended.set(0)
        self.broker.forget(self)

    def _code(self, end: dict[str, Any] | None) -> int:
        if end is None:
            return 128 + signal.SIGKILL
        code = os.waitstatus_to_exitcode(end["exited"])
        return code if code >= 0 else 128 - code

    def report(self, end: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what it has used, and how it ended if it has."""
        assert self.group is not None
        metrics = self.group.metrics()
        report: dict[str, Any] = {
            "reason": self.reason,
            "status": None if end is None else end["exited"],
            "wall": (self.died or time.monotonic()) - self.born,
            "cpu": metrics.cpu_seconds,
            "memory": metrics.memory_bytes,
            "peak": metrics.memory_peak_bytes,
            "pids_refused": self.group.pids_refused(),
            "touched": self.touched,
        }
        if self.reason is None and self.group.oom_kills():
            report["reason"] = "oom"
        if end is not None:
            report["cpu"] = end["cpu"] if report["cpu"] is None else report["cpu"]
            report["peak"] = end["peak"] if report["peak"] is None else report["peak"]
        if self.supervisor is not None:
            report["peak"] = max(report["peak"] or 0, self.supervisor.peak)
        counted = metrics.cpu_seconds, metrics.memory_bytes, metrics.memory_peak_bytes
        if end is None and self.cell_pid is not None and None in counted:
            cpu, memory = usage_of(self.cell_pid)  # no controller counts: the process itself, while it is there
            report["cpu"] = cpu if metrics.cpu_seconds is None else report["cpu"]
            report["memory"] = memory if metrics.memory_bytes is None else report["memory"]
            report["peak"] = max(report["peak"] or 0, memory)
        return report

    def release(self) -> list[Callable[[], object]]:
        """Return what is left to clean up, in order; none of it is in anybody's way."""
        if self.supervisor is not None:
            self.supervisor.stop()
        if self._oom_fd is not None:
            self.broker.loop.forget(self._oom_fd)
            os.close(self._oom_fd)
        if self.channel is not None:
            self.broker.loop.forget(self.channel.fileno())
            self.channel.close()
            self.channel = None
        self.execs.lost()
        if self.init_pidfd >= 0:
            if not self.dead.done:
                self.broker.loop.forget(self.init_pidfd)
            os.close(self.init_pidfd)
            self.init_pidfd = -1
        channels.close_all([fd for fd in (*self._fds, self._gate, self.cell_pidfd) if fd >= 0])
        self.cell_pidfd = -1
        self.ended.set(128 + signal.SIGKILL)
        self.outside.end()
        group = self.group
        return [*([group.remove] if group is not None else []), self._remove_directory]

    def _remove_directory(self) -> None:
        """Remove what there always is in the simplest way, most often all; then the rest."""
        self.outside.remove_record()
        with contextlib.suppress(OSError):
            for name in LEFT:
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(f"{self.directory}/{name}")
            os.rmdir(self.directory)
            return
        self.broker.remove_tree(self.directory)
