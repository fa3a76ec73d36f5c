"""Processes of containers, as /proc tells of them. Their command lines and names may be anything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_COMMAND = 500  # characters
_CHUNK = 1 << 16
# A file of /proc/<pid>, with its fields of private and of shared memory.
STATUS = ("status", "RssAnon", "RssShmem")
ROLLUP = ("smaps_rollup", "Pss_Anon", "Pss_Shmem")  # each page divided by the number of processes that map it


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its number here, its parent's, and its own in its container. Memory in bytes, private and shared."""

    pid: int
    ppid: int
    pid_inside: int
    command: str
    memory: int
    cpu_seconds: float


def members(namespace: str) -> list[str]:
    """Return the ids of the processes in a pid namespace, "pid:[4026531836]"."""
    found = []
    for pid in os.listdir("/proc"):
        if pid.isdecimal():
            try:
                if os.readlink(f"/proc/{pid}/ns/pid") == namespace:
                    found.append(pid)
            except OSError:  # gone, or not ours to look at
                continue
    return found


def processes(pids: Iterable[int]) -> list[Process]:
    """Return those of the processes `pids` that are still there, in the order of their ids."""
    found = []
    for pid in sorted(pids):
        try:
            found.append(_process(pid))
        except OSError:
            continue
    return found


def _process(pid: int) -> Process:
    name, fields = _stat(pid)
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read(4 * MAX_COMMAND).rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        inside = next((line.split()[-1] for line in file if line.startswith("NSpid:")), str(pid))
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        pid_inside=int(inside),
        command=(words or f"[{name}]")[:MAX_COMMAND],
        memory=sum_fields(f"/proc/{pid}/status", STATUS[1:]),
        cpu_seconds=sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK"),
    )


def _stat(pid: int | str) -> tuple[str, list[str]]:
    """Return the name in /proc/<pid>/stat of proc(5) and the fields behind it, the first of which is the state."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        name, _, rest = file.read().partition("(")[2].rpartition(")")
    return name, rest.split()


def cpu_seconds(pid: int | str) -> float:
    """Return the CPU seconds of a process with those children it has waited for; 0 when it is gone."""
    try:
        _, fields = _stat(pid)
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # utime, stime, cutime, cstime


def state(pid: int | str) -> str:
    """Return a process' state as in proc(5): "R", "S", "T" (stopped), …; "X" when it is gone."""
    try:
        return _stat(pid)[1][0]
    except OSError:
        return "X"


def io_bytes(pids: Iterable[int]) -> tuple[int, int]:
    """Return the bytes that processes have read from and written to disks; those that ended do not count."""
    read = written = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/io", encoding="ascii") as file:
                fields = dict(line.split(": ") for line in file)
        except OSError:  # gone, or not ours to look at
            continue
        read += int(fields["read_bytes"])
        written += int(fields["write_bytes"])
    return read, written


def sum_fields(path: str, names: tuple[str, ...]) -> int:
    """Return the bytes of the fields `names`, in kB, of a file with a line for each; 0 when the process is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(names))
    except OSError:
        return 0
