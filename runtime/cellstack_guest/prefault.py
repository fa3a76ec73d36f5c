"""Giving a forked process its own copies of the pages that it is going to write to, before anybody waits for it.

A page that is shared after a fork is copied when it is first written to, a fault each. Most of what a cell writes to
is what every cell writes to, reference counts and caches of the interpreter: the zygote finds out once which pages
these are, and its children have them copied in one go: MADV_POPULATE_WRITE, since Linux 5.14 (madvise(2)), for many
ranges at once since 6.13 (process_madvise(2), of a process for itself).
"""

from __future__ import annotations

import array
import ctypes
import os
from typing import TYPE_CHECKING, Any

from cellstack_guest.dirty import PAGE, page_ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MADV_POPULATE_WRITE = 23
# Bits of /proc/<pid>/pagemap (admin-guide/mm/pagemap of the kernel's documentation)
PRESENT, EXCLUSIVE = 1 << 63, 1 << 56
IOV_MAX = 1024
NR_PROCESS_MADVISE = 440  # on all architectures

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.syscall.restype = ctypes.c_long


class Range(ctypes.Structure):
    """`struct iovec` of <sys/uio.h>."""

    _fields_ = [("address", ctypes.c_void_p), ("size", ctypes.c_size_t)]


Ranges = list[Any]  # arrays of at most IOV_MAX Range


def written_by(run: Callable[[], object]) -> Ranges:
    """Return which memory of this process `run` writes to, in a throw-away fork that shares all of it at first.

    Empty where the kernel does not tell.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            run()
            with open(writer, "wb") as file:
                file.writelines(bytes(Range(address, size)) for address, size in _exclusive())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        found = file.read()
    os.waitpid(child, 0)
    step = IOV_MAX * ctypes.sizeof(Range)
    batches = (found[at : at + step] for at in range(0, len(found), step))
    return [(Range * (len(batch) // ctypes.sizeof(Range))).from_buffer_copy(batch) for batch in batches]


def _exclusive() -> Iterator[tuple[int, int]]:
    """Yield address and bytes of the memory that is this process' alone."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        lines = [line.split() for line in file]
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for bounds, mode, *_ in lines:
            if mode != "rw-p":
                continue
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            entries = array.array("Q", os.pread(pagemap.fileno(), (end - start) // PAGE * 8, start // PAGE * 8))
            own = [page for page, entry in enumerate(entries) if entry & PRESENT and entry & EXCLUSIVE]
            for first, count in page_ranges(own):
                yield start + first * PAGE, count * PAGE


def populate(ranges: Ranges) -> None:
    """Have this process' own copies of `ranges` made now, as far as this kernel does that."""
    pidfd = os.pidfd_open(os.getpid())
    try:
        for batch in ranges:
            count = ctypes.c_ulong(len(batch))
            if _libc.syscall(NR_PROCESS_MADVISE, pidfd, batch, count, MADV_POPULATE_WRITE, 0) < 0:
                for each in batch:
                    if _libc.madvise(each.address, each.size, MADV_POPULATE_WRITE) < 0:
                        return
    finally:
        os.close(pidfd)
