"""The eight namespaces of a container: what each isolates, and what is to be seen in it.

Most of it is in /proc/<pid>, as the host sees it. The hostname and the interfaces are only told to who is inside: a
process of ours (`inside`) enters their namespaces and no other, so that it still runs nothing but the host's files.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellstack_runtime import bare, cgroups
from cellstack_runtime.errors import CellstackError, NotFoundError
from cellstack_runtime.processes import Process, members, processes

if TYPE_CHECKING:
    from cellstack_runtime.live import Container

ISOLATES = {
    "user": "user and group ids, capabilities",
    "mnt": "mounts, the root filesystem",
    "pid": "process ids",
    "net": "interfaces, addresses, ports",
    "ipc": "shared memory, message queues",
    "uts": "the hostname",
    "cgroup": "the cgroup that looks like the root",
    "time": "boot and monotonic clocks",
}
PATIENCE = 10.0  # seconds
MAX_MOUNTS = 500
MAX_BYTES = 1 << 20
_ESCAPED = re.compile(r"\\([0-7]{3})")  # of a space, a tab, a newline or a backslash in mountinfo
_ENTER = "from cellstack_runtime.inside import main; main(sys.argv[1])"


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace of a container. inside: what is visible in it, by kind (the keys are in `look`)."""

    kind: str
    inode: int
    host_inode: int | None
    isolates: str
    inside: dict[str, Any]


def host_inodes() -> dict[str, int]:
    """Return the inode numbers of this process' own namespaces by kind, of those that this kernel has."""
    found = {}
    for kind in ISOLATES:
        with contextlib.suppress(FileNotFoundError):
            found[kind] = os.stat(f"/proc/self/ns/{kind}").st_ino
    return found


def processes_of(container: Container) -> list[Process]:
    """Return the processes of a container, in the order of their ids."""
    return processes(pids_of(container))


def pids_of(container: Container) -> list[int]:
    """Return the ids of the processes of a container: those in its cgroup, else those in its pid namespace."""
    found = cgroups.open_group(container.cgroups).processes()
    if found is None:
        found = [int(pid) for pid in members(f"pid:[{container.namespaces['pid']}]")]
    return [pid for pid in found if pid]  # 0 is one in another pid namespace than this process'


def look(container: Container) -> list[Namespace]:
    """Return the namespaces of a container with what is inside. NotFoundError when it ends meanwhile.

    inside: uts {"hostname"}; net {"interfaces": [{"name", "addresses", "up"}]}; mnt {"mounts": [{"target", "source",
    "type", "options"}]}; pid {"processes": count}; user {"uid_map", "gid_map": [[inside, outside, count]]}; cgroup
    {"path"}; ipc {}; time {"offsets": {clock: seconds}}.
    """
    entered = _enter(container)
    try:
        inside: dict[str, dict[str, Any]] = {
            "user": {name: _id_map(container.pid, name) for name in ("uid_map", "gid_map")},
            "mnt": {"mounts": _mounts(container.pid)},
            "pid": {"processes": len(processes_of(container))},
            "net": {"interfaces": entered["interfaces"]},
            "ipc": {},
            "uts": {"hostname": entered["hostname"]},
            "cgroup": {"path": container.cgroup},
            "time": {"offsets": _time_offsets(container.pid)},
        }
        is_it = os.stat(f"/proc/{container.pid}/ns/pid").st_ino == container.namespaces["pid"]
    except OSError as error:
        # EINVAL: a process that is just ending has no mounts any more (mounts_open_common in fs/proc_namespace.c).
        if error.errno not in (errno.ENOENT, errno.ESRCH, errno.EINVAL):
            raise CellstackError(f"container {container.id} cannot be looked into: {error.strerror}") from None
        is_it = False
    if not is_it:
        raise _ended(container)
    host = host_inodes()
    return [
        Namespace(kind, inode, host.get(kind), ISOLATES[kind], inside[kind])
        for kind, inode in container.namespaces.items()
        if kind in ISOLATES
    ]


def _ended(container: Container) -> NotFoundError:
    return NotFoundError(f"container {container.id} has ended", hint="`cellstack ps` lists those that run")


def _enter(container: Container) -> dict[str, Any]:
    """Return what a process in the container's user, UTS and network namespaces sees."""
    wanted = {"pid": container.pid, "namespaces": {kind: container.namespaces[kind] for kind in ("user", "uts", "net")}}
    try:
        done = subprocess.run(
            bare.command(_ENTER, json.dumps(wanted)), capture_output=True, timeout=PATIENCE, check=False, env={}
        )
    except subprocess.TimeoutExpired:
        raise CellstackError(f"container {container.id} could not be looked into within {PATIENCE:g} s") from None
    if done.returncode:
        if not os.path.exists(f"/proc/{container.pid}"):
            raise _ended(container)
        why = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise CellstackError(f"container {container.id} cannot be looked into: {' '.join(why)}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _id_map(pid: int, name: str) -> list[list[int]]:
    with open(f"/proc/{pid}/{name}", encoding="utf-8") as file:
        return [[int(number) for number in line.split()] for line in file]


def _mounts(pid: int) -> list[dict[str, str]]:
    """Return the mounts of mountinfo, as proc(5) has it: "36 35 98:0 /root /target rw … - type source options"."""
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="replace") as file:
        lines = file.read(MAX_BYTES).splitlines()
    found = []
    for line in lines[:MAX_MOUNTS]:
        own, _, of_type = line.partition(" - ")
        fields, (kind, source, options) = own.split(), of_type.split(" ", 2)
        target = {"target": _unescaped(fields[4]), "source": _unescaped(source)}
        found.append({**target, "type": kind, "options": f"{fields[5]},{options}"})
    return found


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


def _time_offsets(pid: int) -> dict[str, float]:
    try:
        with open(f"/proc/{pid}/timens_offsets", encoding="utf-8") as file:
            lines = [line.split() for line in file]
    except FileNotFoundError:  # a kernel without time namespaces
        return {}
    return {clock: int(seconds) + int(nanoseconds) / 1e9 for clock, seconds, nanoseconds in lines}
