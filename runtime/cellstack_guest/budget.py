"""What saving may use: time, the cell's memory and the disk. What takes more is left out, and it is said."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import time
from typing import TYPE_CHECKING, Any

from cellstack_guest.hints import Limits, format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 120.0  # for all variables of a cell
PATIENCE = 3.0  # seconds after which it is said, and an interrupt is not one that was meant for the cell's code
SLACK = 16 * 2**20  # bytes of memory for all that is not counted
DISK_SHARE = 2  # the part of the free disk that one cell's variables may take: a half
# Pages of files, as those of arrays that are mapped, are given back when memory is short. Linux 5.4 and newer.
_HELD = re.compile(rb"^(?:Pss_Anon|Pss_Shmem|Swap): +(\d+) kB", re.MULTILINE)


class OverBudgetError(Exception):
    """Saving this takes more than it may; the message says of what, and what to do."""


class Budget:
    """What there is for saving, from now on.

    limits: what the cell may use. free: bytes that are free on the disk that is written to.
    """

    def __init__(self, limits: Limits, *, free: float = math.inf) -> None:
        self._began = time.monotonic()
        self._deadline = self._began + SECONDS
        self._limits = limits
        self._disk = free // DISK_SHARE

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def announcement(self, largest: int, name: str) -> list[str]:
        """Return what there is to say at the end. largest: the bytes of variable `name`."""
        if self.spent < PATIENCE:
            return []
        which = f"; the largest is {name} ({format_size(largest)})" if name else ""
        return [f"saving the variables took {self.spent:.0f} s of at most {SECONDS:.0f} s{which}"]

    def check_time(self) -> None:
        """Raise OverBudgetError when the time is over."""
        if time.monotonic() > self._deadline:
            raise OverBudgetError("the time for saving is over")

    def room(self, more: int) -> float:
        """Return the bytes that are left when the cell's processes use `more` bytes of memory beyond what they do.

        Raises OverBudgetError when none are.
        """
        memory = self._limits.memory
        if memory is None:
            return math.inf
        more += SLACK
        # No less than what counts: pages shared with the zygote are among them. Other processes are rare, and small.
        used = resident()
        if used + more > memory:
            used = held()
        if used + more > memory:
            raise OverBudgetError(self.no_memory())
        return memory - used - more

    def no_memory(self) -> str:
        """Return what to say of a value that there was not enough memory for."""
        what = "saving it takes more memory than is left"
        return what if self._limits.memory is None else f"{what}; {self._limits.memory_hint()}"

    def take_disk(self, size: int) -> None:
        """Take down that so many bytes are going to be written. OverBudgetError when there is no room for them."""
        if size > self._disk:
            raise OverBudgetError(
                f"it takes {format_size(size)} on disk; a cell's variables may take half of what is free, of which "
                f"{format_size(int(self._disk))} are left. cellstack prune makes room"
            )
        self._disk -= size

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise KeyboardInterrupt when the person interrupts what has taken long."""

        def interrupt(_number: int, _frame: Any) -> None:
            if self.spent > PATIENCE:
                raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def resident() -> int:
    """Return the bytes of memory that this process can see."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def held() -> int:
    """Return the bytes of memory of this process and all that it has started which can be had from no file again."""
    total = 0
    for name in filter(str.isdecimal, os.listdir("/proc")):
        # Another may end meanwhile, or be another's.
        with contextlib.suppress(OSError), open(f"/proc/{name}/smaps_rollup", "rb") as file:
            total += sum(map(int, _HELD.findall(file.read()))) * 1024
    return total
