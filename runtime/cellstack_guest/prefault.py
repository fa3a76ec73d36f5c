"""Giving a forked process its own copies of the pages that it is going to write to, before anybody waits for it.

A page that is shared after a fork is copied when it is first written to, a fault each. Most of what a cell writes to
is what every cell writes to, reference counts and caches of the interpreter: the zygote finds out once which pages
these are, and its children have them copied in one go (MADV_POPULATE_WRITE of madvise(2), since Linux 5.14).
"""

from __future__ import annotations

import array
import ctypes
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MADV_POPULATE_WRITE = 23
PAGE = os.sysconf("SC_PAGESIZE")
# Bits of /proc/<pid>/pagemap (admin-guide/mm/pagemap of the kernel's documentation)
PRESENT, EXCLUSIVE = 1 << 63, 1 << 56
NEAR = 1

_madvise = ctypes.PyDLL(None, use_errno=True).madvise
_madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

Range = tuple[int, int]  # address and bytes


def written_by(run: Callable[[], object]) -> list[Range]:
    """Return which memory of this process, that a child would share with it, `run` writes to.

    For a process with a single thread. Empty where the kernel does not tell.
    """
    child = os.fork()  # that shares all pages: those that are not shared any more after `run` were written to
    if child == 0:
        signal.pause()
        os._exit(0)
    try:
        run()
        return list(_exclusive())
    except OSError:
        return []
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _exclusive() -> Iterator[Range]:
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        lines = [line.split() for line in file]
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for bounds, mode, *_ in lines:
            if mode != "rw-p":
                continue
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            entries = array.array("Q", os.pread(pagemap.fileno(), (end - start) // PAGE * 8, start // PAGE * 8))
            first = last = -1
            for page, entry in enumerate(entries):
                if entry & PRESENT and entry & EXCLUSIVE:
                    if first >= 0 and page - last > NEAR + 1:
                        yield start + first * PAGE, (last - first + 1) * PAGE
                        first = page
                    first = page if first < 0 else first
                    last = page
            if first >= 0:
                yield start + first * PAGE, (last - first + 1) * PAGE


def populate(ranges: list[Range]) -> None:
    """Have this process' own copies of `ranges` made now."""
    for address, size in ranges:
        if _madvise(address, size, MADV_POPULATE_WRITE) != 0:
            return  # not by this kernel, or not at this address any more: it is copied when it is written to
