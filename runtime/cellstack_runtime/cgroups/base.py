"""What both versions of control groups have in common."""

from __future__ import annotations

import contextlib
import errno
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from cellstack_runtime.kernelfs import read, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FREEZER_STATE, FROZEN, THAWED = "freezer.state", "FROZEN", "THAWED"  # a file of version 1 and what is written to it
CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "freezer", "io")


@dataclass(frozen=True, slots=True)
class Controller:
    """One controller: `path` is the directory to create groups in; `reason` says why it is writable or not."""

    name: str
    path: str | None
    writable: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Support:
    """What this process can do with control groups. version: 1 (hybrid too) or 2."""

    version: int
    controllers: Mapping[str, Controller]

    def writable(self, name: str) -> bool:
        """Return whether groups with this controller can be made."""
        found = self.controllers.get(name)
        return found is not None and found.writable


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a group has used: bytes, bytes, seconds, processes; None where no controller tells."""

    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    cpu_seconds: float | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True)
class Pressure:
    """Percent of the last ten seconds in which some process waited (PSI, "some avg10"); None where nothing tells."""

    memory: float | None = None
    cpu: float | None = None
    io: float | None = None


class Group(ABC):
    """The control group of one container. `path` is what a person is shown; `enforced` what it really limits.

    paths: its directories by controller, as `open_group` takes them; "" is version 2's.
    """

    path: str | None = None
    paths: Mapping[str, str] = MappingProxyType({})
    enforced: frozenset[str] = frozenset()

    @abstractmethod
    def join_fds(self) -> list[int]:
        """Return descriptors; a process that writes b"0" to each joins the group."""

    @abstractmethod
    def metrics(self) -> Metrics:
        """Return what the group has used so far."""

    @abstractmethod
    def oom_kills(self) -> int:
        """Return how many processes the memory limit has killed."""

    @abstractmethod
    def pids_refused(self) -> int:
        """Return how often the pids limit has refused a process."""

    def ran_out_of_memory(self) -> bool:
        """Return whether the event of `oom_event_fd` was an out-of-memory kill."""
        return self.oom_kills() > 0

    @abstractmethod
    def oom_event_fd(self) -> int | None:
        """Return a descriptor that becomes readable at an out-of-memory kill; the caller closes it."""

    @abstractmethod
    def update(self, *, memory: int | None = None, cpus: float | None = None, pids: int | None = None) -> None:
        """Change limits; None is unlimited."""

    @abstractmethod
    def processes(self) -> list[int] | None:
        """Return the ids of the processes in it, as this process numbers them; None where no group holds any."""

    def io_bytes(self) -> tuple[int, int] | None:
        """Return the bytes read from and written to disks; None when no controller counts them."""
        return None

    def pressure(self) -> Pressure:
        """Return how much its processes wait for what they need."""
        return Pressure()

    @abstractmethod
    def freeze(self) -> bool:
        """Stop all processes in it where they are, until `thaw`; False when no controller can."""

    @abstractmethod
    def thaw(self) -> None:
        """Let the processes that `freeze` has stopped go on."""

    @abstractmethod
    def remove(self) -> bool:
        """Remove the group; False when a process is still in it."""


class Manager(ABC):
    """Makes the groups of one broker, all below directories named by its scope."""

    @abstractmethod
    def directories(self) -> list[str]:
        """Return the directories it may make, for the record that is written before they are."""

    @abstractmethod
    def create(self, name: str, *, memory: int | None, cpus: float | None, pids: int | None) -> Group:
        """Make a group with limits; None is unlimited."""

    @abstractmethod
    def usage(self) -> Metrics:
        """Return what all groups have used together, those that are removed included."""

    def close(self) -> None:
        """Remove what was made."""
        remove_stale(self.directories())


def read_number(path: str) -> int | None:
    """Return the number in a control file; None when the file is not there or says "max"."""
    try:
        return int(read(path))
    except (OSError, ValueError):
        return None


def read_fields(path: str) -> dict[str, int]:
    """Return the "name number" lines of a control file; empty when it is not there."""
    try:
        return {name: int(value) for name, _, value in (line.partition(" ") for line in read(path).splitlines())}
    except OSError:
        return {}


def read_words(path: str) -> list[str]:
    """Return the words in a control file, as ids of processes are; none when the group is gone."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().split()
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        return []
    except OSError as error:
        if error.errno != errno.ENODEV:  # it went while it was being read
            raise
        return []


def read_pressure(path: str) -> float | None:
    """Return "some avg10" of a pressure file; None when the kernel does not count it."""
    try:
        first = read(path).split(maxsplit=2)
    except OSError:  # not there, or switched off when the machine was started
        return None
    return float(first[1].removeprefix("avg10=")) if first[:1] == ["some"] else None


def remove(path: str) -> bool:
    """Remove one group; False when it is busy."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def remove_stale(directories: Iterable[str]) -> list[str]:
    """Remove these groups and the groups in them; return those that could not be removed."""
    left = []
    for directory in directories:
        if os.path.exists(frozen := f"{directory}/{FREEZER_STATE}"):
            write(frozen, THAWED)  # in version 1, what is frozen cannot even be killed
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(directory):
                if entry.is_dir(follow_symlinks=False):
                    left += remove_stale([entry.path])
        if not remove(directory):
            left.append(directory)
    return left
