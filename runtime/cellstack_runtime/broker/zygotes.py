"""The broker's side of a zygote: a warm guest process of one image, asked to fork cells."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from typing import TYPE_CHECKING, Any

from cellstack_runtime import syscalls
from cellstack_runtime.broker import channel as channels

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from cellstack_runtime.broker.containers import Container
    from cellstack_runtime.broker.loop import Event
    from cellstack_runtime.broker.server import Broker
    from cellstack_runtime.cgroups import Group

# Our own package from the guest folder whatever the image has; everything else from the image where it has it.
BOOTSTRAP = (
    "import sys; sys.path.insert(0, '/run/cellstack/guest'); import cellstack_guest; "
    "sys.path.append(sys.path.pop(0)); from cellstack_guest.zygote import main; main(3)"
)

OUTPUT_BYTES = 8192
WORK = "/work"  # where cells begin
PIDS = 4096  # every cell's process begins in the zygote's group
START_SECONDS = 120
MAX_NAME, MAX_NAMES = 100, 5000
MAX_NUMBER = 2**62  # of what a zygote says; more than any number that it may say is
MAX_STATUS = 0xFFFF  # of a wait status


class Zygote:
    """One zygote. What it says is not trusted: messages are matched with what was asked."""

    def __init__(self, broker: Broker, key: str) -> None:
        self.broker = broker
        self.key = key
        self.ready = broker.loop.event()
        self.pidfd = -1
        self.program: dict[str, Any] = {}  # what a program that joins one of its cells is given
        self.channel: channels.Channel | None = None
        self._asked: deque[Event] = deque()
        self._cells: dict[int, Container] = {}
        self._unclaimed: deque[Container | None] = deque()  # None: for a successor
        self._retired = False
        self._root: _Root | None = None
        self._output = -1
        self._said = b""
        self._group: Group | None = None

    def start(self, request: dict[str, Any], reply: Callable[..., None]) -> Generator[Event, Any, None]:
        """Have a process that forks cells; reply with the modules that it has imported once it is ready.

        It is forked from the zygote `request["after"]`, and so has what that one has imported, where there is one.
        """
        self.program = {
            "env": request["env"],
            "cwd": WORK,
            "capabilities": [],
            "seccomp": request["joined_seccomp"],
        }
        ours, theirs = channels.pair()
        self.channel = ours
        self._output, output = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._output, False)
        name = f"zygote-{os.urandom(4).hex()}"
        self._group = self.broker.manager.create(name, memory=request["memory"], cpus=None, pids=PIDS)
        given = [theirs.fileno(), output, *self._group.join_fds()]
        before = self.broker.zygotes.get(request["after"])
        if before is not None:
            yield from self._succeed(before, given)
        if self.pidfd < 0:
            yield from self._spawn(f"{self.broker.run_dir}/{name}", request, given)
        theirs.close()
        channels.close_all(given[1:])
        self.broker.loop.readable(self._output, self._on_output)
        self.broker.loop.readable(self.pidfd, self._on_death)
        self.broker.loop.readable(ours.fileno(), self._on_message)
        with contextlib.suppress(EOFError):  # told by its pidfd
            ours.send({"seccomp": request["seccomp"], "preload": request["preload"]})
        self.broker.loop.later(START_SECONDS, self._give_up)
        modules = yield self.ready
        if modules is None:
            last = self._said.decode(errors="replace").strip().splitlines()[-1:]
            why = f": {last[0][:300]}" if last else ""
            reply({"error": f"the image's Python ({request['python']}) could not start the guest{why}", "errno": None})
        else:
            reply({"modules": modules})

    def _spawn(self, directory: str, request: dict[str, Any], given: Sequence[int]) -> Generator[Event, Any, None]:
        """Root a process in the image and execute the guest."""
        self._root = _Root(self.broker, directory)
        root = self._root.mount(request["root"])
        argv = [request["python"], "-P", "-X", "utf8", "-c", BOOTSTRAP]
        spawned = self.broker.ask_spawner(
            {"op": "zygote", "argv": argv, "env": request["env"], "seccomp": request["zygote_seccomp"]},
            [root, *given],
        )
        os.close(root)
        _, (self.pidfd,) = yield spawned

    def _succeed(self, before: Zygote, given: Sequence[int]) -> Generator[Event, Any, None]:
        """Have another zygote fork this one, if it lives, and have /proc show it in place of that one."""
        if before._root is None:
            return
        self._root = before._root
        self._root.users += 1
        asked = before._ask(None, {"succeed": True}, given)
        self.broker.loop.later(START_SECONDS, lambda: None if asked.done else before._end())
        _, fds = yield asked
        if fds and _is_child(fds[0], before.pidfd):
            answer, _ = yield self.broker.ask_spawner({"op": "show"}, fds)
            if answer["shown"]:
                (self.pidfd,) = fds
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fds[0], signal.SIGKILL)
        channels.close_all(fds)
        self._root.leave()

    def fork(self, container: Container, message: dict[str, Any], fds: Sequence[int]) -> Event:
        """Ask for a cell's process in `container`; the event's value is ({"pid"}, [pidfd]) or (None, [])."""
        return self._ask(container, {"fork": container.id, **message}, fds)

    def _ask(self, container: Container | None, message: dict[str, Any], fds: Sequence[int]) -> Event:
        event = self.broker.loop.event()
        if self.channel is None:
            event.set((None, []))
            return event
        self._asked.append(event)
        self._unclaimed.append(container)
        try:
            self.channel.send(message, fds)
        except EOFError:
            self._fail()
        return event

    def _on_message(self) -> None:
        assert self.channel is not None
        try:
            message, fds = self.channel.receive()
        except (EOFError, ValueError):
            self._fail()
            return
        if "ready" in message:
            self.ready.set(_names(message["ready"]))
        elif _is_number(pid := message.get("pid", -1)) and self._asked and len(fds) == 1:
            if (container := self._unclaimed.popleft()) is not None:
                self._cells[pid] = container
            self._asked.popleft().set((message, fds))
            return  # the descriptor is now whose it was asked for
        elif _is_number(gone := message.get("gone")) and gone in self._cells and (end := _end(message)) is not None:
            self._cells.pop(gone).on_exit(end)
            self._end_if_idle()
        channels.close_all(fds)

    def _give_up(self) -> None:
        if not self.ready.done:
            self._said += f"\nit has not started in {START_SECONDS} s".encode()
            self._end()

    def _end(self) -> None:
        """End it, and with it what it can no longer bury."""
        if self.pidfd >= 0:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def _on_output(self) -> None:
        """Keep the end of what it writes, to say why it did not start; nobody else wants to read it."""
        data = os.read(self._output, OUTPUT_BYTES)
        self._said = (self._said + data)[-OUTPUT_BYTES:]
        if not data:
            self._close_output()

    def _close_output(self) -> None:
        if self._output >= 0:
            self.broker.loop.forget(self._output)
            os.close(self._output)
            self._output = -1

    def _fail(self) -> None:
        """Its channel is closed: whoever waits for it learns that nothing will come."""
        if self.channel is not None:
            self.broker.loop.forget(self.channel.fileno())
            self.channel.close()
            self.channel = None
        self.ready.set(None)
        while self._asked:
            self._asked.popleft().set((None, []))
        self._unclaimed.clear()
        for cell in self._cells.values():
            cell.kill("zygote")
            cell.on_exit({"exited": 9, "cpu": 0.0, "peak": 0})
        self._cells.clear()
        self._forget()

    def _forget(self) -> None:
        if self.broker.zygotes.get(self.key) is self:
            del self.broker.zygotes[self.key]

    def _on_death(self) -> None:
        self.broker.loop.forget(self.pidfd)
        os.close(self.pidfd)
        self.pidfd = -1
        if self._output >= 0:
            with contextlib.suppress(BlockingIOError):
                self._on_output()
        self._close_output()
        self._fail()
        if self._group is not None:
            self.broker.chores.add(self._group.remove)
        if self._root is not None:
            self._root.leave()

    def retire(self) -> None:
        """Fork no further cell, and end once those that there are have ended: it is their parent and reaps them."""
        self._forget()
        self._retired = True
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._retired and not self._cells and not self._asked:
            self._fail()  # it leaves when its channel closes


class _Root:
    """The root of a zygote and of its successors, which goes with the last of them."""

    def __init__(self, broker: Broker, directory: str) -> None:
        self.users = 1
        self._broker = broker
        self._directory = directory

    def mount(self, layers: Sequence[tuple[str, bool]]) -> int:
        """Return the detached tree of the image's layers, (path, whether its ids are the host's), top first."""
        roots = self._broker.roots
        target, upper, work = (f"{self._directory}/{name}" for name in ("mnt", "upper", "work"))
        os.makedirs(target)
        os.mkdir(work)
        roots.owned_directory(upper)  # libraries want to keep caches when they are imported; no cell sees them
        lowers = [roots.mapped(path) if host_ids else path for path, host_ids in layers]
        roots.overlay([*lowers, roots.skeleton], target, upper=upper, work=work)
        roots.attach(roots.dev, f"{target}/dev")
        roots.attach(self._broker.guest, f"{target}/run/cellstack")
        return roots.detach(target)

    def leave(self) -> None:
        """Take note that a zygote is gone."""
        self.users -= 1
        if not self.users:
            self._broker.chores.add(lambda: self._broker.remove_tree(self._directory))


def _is_child(pidfd: int, parent: int) -> bool:
    """Tell whether a descriptor is that of a process, and this one a child of the other."""
    try:
        with open(f"/proc/{syscalls.pid_of(pidfd)}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1]) == syscalls.pid_of(parent)
    except (OSError, StopIteration):
        return False


def _names(found: Any) -> list[str]:
    """Return the names in what is said to be a list of names, as many as fit into a message."""
    names = found if isinstance(found, list) else []
    return [name for name in names if isinstance(name, str) and len(name) <= MAX_NAME and name.isascii()][:MAX_NAMES]


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_NUMBER


def _end(message: dict[str, Any]) -> dict[str, Any] | None:
    """Return how a process has ended, {"exited": wait status, "cpu": seconds, "peak": bytes}; None if it is no end."""
    status, cpu, peak = message.get("exited", -1), message.get("cpu"), message.get("peak")
    if not _is_number(status) or status > MAX_STATUS or not (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
        return None
    if type(cpu) is not float or not 0 <= cpu < MAX_NUMBER or not _is_number(peak):
        return None
    return {"exited": status, "cpu": cpu, "peak": peak}
