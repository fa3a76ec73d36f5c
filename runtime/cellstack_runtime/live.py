"""Containers of all kernels and commands of a store: their records, and what can be done to those that exist now.

A broker writes `runs/<broker>/containers/<id>.json` when a container begins, runs and is paused, and removes it when it
has ended; `ended/<broker>.jsonl` has a line of it then. Records of a broker that has died count for nothing. What is
asked of a container is asked of its broker.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from cellstack_runtime.broker.channel import Channel, close_all
from cellstack_runtime.broker.control import NAME as CONTROL
from cellstack_runtime.broker.ended import FOLDER as ENDED
from cellstack_runtime.broker.outside import RECORDS
from cellstack_runtime.config import Config
from cellstack_runtime.errors import CellstackError, NotFoundError, UsageError
from cellstack_runtime.limits import Limits
from cellstack_runtime.store.files import is_locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cellstack_runtime.store import Store

STOP_SECONDS = 10.0  # as docker
MAX_ENDED = 50  # containers that are listed
PATIENCE = 10.0  # seconds; a broker answers at once, unless it is stopped
RUN = re.compile(r"[0-9a-f]{8}")
FILE = re.compile(r"([0-9a-f]{12})\.json")
_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "image": (str,),
    "session": (str,),
    "created": (str,),
    "started": (str, type(None)),
    "status": (str,),
    "command": (list,),
    "parent": (str, type(None)),
    "limits": (dict,),
    "enforced_by": (dict,),
    "namespaces": (dict,),
    "cgroup": (str, type(None)),
    "cgroups": (dict,),
    "pid": (int,),
}

STATUSES = ("waiting", "running", "paused", "ended")
_ENDED_TYPES: dict[str, tuple[type, ...]] = {"ended": (str,), "reason": (str,), "code": (int,)}


@dataclass(frozen=True, slots=True)
class Container:
    """A container that exists, as its broker has written it down.

    status: "waiting" (for a cell), "running", "paused" or "ended". command: ["cell", first line of its code] or the
    arguments of a program. parent: the layer that a cell starts from. limits: as in a cell's record, with `enforced_by`
    beside it. namespaces: inode numbers by kind. cgroup: the one a person is shown; cgroups: as `cgroups.open_group`
    takes them. pid: of its init, as the host numbers it. run: the directory of its broker, nothing once it has ended.
    """

    id: str
    image: str
    session: str
    created: str
    started: str | None
    status: str
    command: list[str]
    parent: str | None
    limits: dict[str, Any]
    enforced_by: dict[str, str]
    namespaces: dict[str, int]
    cgroup: str | None
    cgroups: dict[str, str]
    pid: int
    run: str

    def as_json(self) -> dict[str, Any]:
        """Return what programs are shown."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("cgroups", "run")}


@dataclass(frozen=True, slots=True)
class Ended:
    """A container that has ended, as it was last. reason: as in an ExitReport. code: what docker would show."""

    container: Container
    ended: str
    reason: str
    code: int

    def as_json(self) -> dict[str, Any]:
        """Return what programs are shown."""
        return {**self.container.as_json(), "ended": self.ended, "exit": {"reason": self.reason, "code": self.code}}


def make_run(store: Store, path: str) -> None:
    """Make the directory of a broker, all at once: who watches for it finds it whole."""
    with store.building() as folder:
        os.mkdir(f"{folder}/run", 0o755)
        os.mkdir(f"{folder}/run/{RECORDS}", 0o755)
        os.rename(f"{folder}/run", path)


def is_alive(run: str) -> bool:
    """Return whether the broker of the directory `run` lives."""
    return is_locked(f"{run}/lock")


def read_container(run: str, container_id: str) -> Container | None:
    """Return a container of the broker of the directory `run`, which is known to live; None when it has ended.

    CellstackError when its record is damaged.
    """
    try:
        with open(f"{run}/{RECORDS}/{container_id}.json", encoding="utf-8") as file:
            data = json.load(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise CellstackError(f"the record of container {container_id} cannot be read: {error}") from None
    if not _is_record(data, _TYPES) or data["id"] != container_id:
        raise CellstackError(f"the record of container {container_id} is corrupt")
    return Container(run=run, **{name: data[name] for name in _TYPES})


def _is_record(data: Any, types: Mapping[str, tuple[type, ...]]) -> bool:
    """Return whether `data` has what a container has, each of its type."""
    return (
        isinstance(data, dict)
        and all(type(data.get(name)) in accepted for name, accepted in types.items())
        and data["status"] in STATUSES
        and all(type(inode) is int for inode in data["namespaces"].values())
        and "pid" in data["namespaces"]
        and all(isinstance(path, str) for path in data["cgroups"].values())
    )


def live_containers(home: str) -> list[Container]:
    """Return the containers of the store at `home`, oldest first, without those whose record is damaged."""
    found = [one for run in live_runs(home) for one in containers_of(run)]
    return sorted(found, key=lambda one: (one.created, one.id))


def containers_of(run: str) -> list[Container]:
    """Return the containers of the broker of the directory `run`, which is known to live.

    One whose record is damaged is left out: it keeps nobody from the others.
    """
    try:
        names = os.listdir(f"{run}/{RECORDS}")
    except FileNotFoundError:  # it has just ended
        return []
    found = []
    for name in names:
        if match := FILE.fullmatch(name):
            with suppress(CellstackError):
                found.append(read_container(run, match[1]))
    return [one for one in found if one is not None]


def live_runs(home: str) -> Iterator[str]:
    """Yield the directories of the brokers that live."""
    for name in os.listdir(f"{home}/runs"):
        run = f"{home}/runs/{name}"
        if RUN.fullmatch(name) and is_alive(run):
            yield run


def ended_containers(home: str, most: int = MAX_ENDED) -> list[Ended]:
    """Return the containers that ended last, the last one first; of each broker only some are known."""
    found = []
    with suppress(FileNotFoundError), os.scandir(f"{home}/{ENDED}") as entries:
        for path in [entry.path for entry in entries if entry.name.endswith(".jsonl")]:
            with suppress(FileNotFoundError), open(path, encoding="utf-8", errors="replace") as file:
                found += [one for one in map(_ended, file.read().splitlines()) if one is not None]
    return sorted(found, key=lambda one: (one.ended, one.container.id), reverse=True)[:most]


def _ended(line: str) -> Ended | None:
    """Return what a line tells; None for one that was cut off or is damaged."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not _is_record(data, {**_TYPES, **_ENDED_TYPES}):
        return None
    container = Container(run="", **{name: data[name] for name in _TYPES})
    return Ended(container, **{name: data[name] for name in _ENDED_TYPES})


def find_container(home: str, prefix: str) -> Container:
    """Return the container whose id starts with `prefix`; NotFoundError, or UsageError when several do."""
    found = [one for one in live_containers(home) if prefix and one.id.startswith(prefix)]
    if not found:
        raise NotFoundError(f"no running container {prefix!r}", hint="`cellstack ps --all` lists them")
    if len(found) > 1:
        raise UsageError(f"container {prefix!r} could be any of {len(found)}", hint="Give more of its id")
    return found[0]


# -- what can be done to them ----------------------------------------------------------------------------------


def stop(container: Container, seconds: float = STOP_SECONDS) -> None:
    """Ask the main process to end by SIGTERM, and kill the container after `seconds`; returns when it has ended."""
    _ask(container, "stop", patience=seconds + PATIENCE, seconds=seconds)


def kill(container: Container, number: int = signal.SIGKILL) -> None:
    """Kill all processes of the container, or send its main process another signal."""
    _ask(container, "kill", signal=int(number))


def pause(container: Container) -> None:
    """Stop the container's processes where they are; the time of its limit is not counted meanwhile."""
    _ask(container, "pause")


def unpause(container: Container) -> None:
    """Let a paused container go on."""
    _ask(container, "unpause")


def wait(container: Container) -> int:
    """Wait until the container has ended; return its exit code, 128 and the signal's number when one has ended it."""
    try:
        code: int = _ask(container, "wait", patience=None)["code"]
    except EOFError:
        return 128 + signal.SIGKILL  # its broker has died, and so has it
    return code


def change_limits(container: Container, home: str, changes: Mapping[str, Any]) -> Container:
    """Change "memory" (bytes), "cpus" or "pids" of a container now; return it as it is then.

    UsageError when that is above the person's ceiling.
    """
    held = {name: container.limits.get(name) for name in ("memory", "cpus", "pids")}
    wanted = Limits(**{**held, **changes})
    for name in Config(home).beyond(wanted):
        if name in changes:
            raise UsageError(
                f"{name} above the ceiling of {home}/config.toml", hint="Raise it there, under [ceiling], first"
            )
    _ask(container, "limits", **changes)
    return replace(container, limits={**container.limits, **changes})


class Joined:
    """A program that has joined a container. terminal: the master of its terminal, if it has one, to be closed."""

    def __init__(self, channel: Channel, terminal: int | None) -> None:
        self._channel = channel
        self.terminal = terminal

    def fileno(self) -> int:
        """Return a descriptor that can be read once the program has ended."""
        return self._channel.fileno()

    def code(self) -> int:
        """Wait for its end; return its exit code, 128 and the signal's number when one has ended it."""
        try:
            answer, fds = self._channel.receive()
        except EOFError:
            return 128 + signal.SIGKILL  # the broker has died, and so has it
        close_all(fds)
        code = os.waitstatus_to_exitcode(answer["exited"])
        return code if code >= 0 else 128 - code


@contextmanager
def join(
    container: Container,
    args: Sequence[str],
    *,
    streams: Sequence[int] = (),
    size: tuple[int, int] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> Iterator[Joined]:
    """Run a program in a container beside what runs there, with no more rights than that has.

    streams: pipes that become its 0, 1 and 2; anything of this host would be open to the container's processes. size:
    rows and columns of a terminal in the container, which it gets instead. env is added to the container's own, cwd
    None is the container's. CellstackError says why nothing could be started.
    """
    with _connected(container, "exec", PATIENCE) as channel:
        request = {"args": list(args), "env": dict(env or {}), "cwd": cwd, "size": size}
        try:
            _, fds = _answer(container, channel, {"op": "exec", **request}, streams)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            raise UsageError("the command and its environment are too long") from None
        except EOFError:
            raise _gone(container) from None
        channel.sock.settimeout(None)
        try:
            yield Joined(channel, fds[0] if fds else None)
        finally:
            close_all(fds)


def _ask(container: Container, op: str, *, patience: float | None = PATIENCE, **fields: Any) -> dict[str, Any]:
    """Ask a container's broker. CellstackError says why it could not be done."""
    with _connected(container, op, patience) as channel:
        try:
            answer, fds = _answer(container, channel, {"op": op, **fields})
        except EOFError:
            if op == "wait":
                raise
            raise _gone(container) from None
    close_all(fds)
    return answer


@contextmanager
def _connected(container: Container, op: str, patience: float | None) -> Iterator[Channel]:
    """Connect to a container's broker, which has `patience` seconds for each answer."""
    try:
        folder = os.open(container.run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _gone(container) from None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(patience)
        try:
            sock.connect(f"/proc/self/fd/{folder}/{CONTROL}")
        except (FileNotFoundError, ConnectionRefusedError):
            raise _gone(container) from None
        finally:
            os.close(folder)
        try:
            yield Channel(sock)
        except TimeoutError:
            raise CellstackError(f"container {container.id} did not {op} within {patience:g} s") from None


def _answer(
    container: Container, channel: Channel, message: dict[str, Any], streams: Sequence[int] = ()
) -> tuple[dict[str, Any], list[int]]:
    """Return the answer to a message. EOFError when the broker dies, and all its containers with it."""
    channel.send({"id": container.id, **message}, streams)
    answer, fds = channel.receive()
    if "error" in answer:
        close_all(fds)
        raise CellstackError(f"container {container.id}: {answer['error']}")
    return answer, fds


def _gone(container: Container) -> NotFoundError:
    return NotFoundError(f"container {container.id} has ended", hint="`cellstack ps` lists those that run")
