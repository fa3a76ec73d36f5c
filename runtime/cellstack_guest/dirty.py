"""Files mapped copy-on-write, and which of their pages were written to.

A mapping is private: the file never changes, the process pays only for the pages it writes. The kernel knows
which pages those are (/proc/self/pagemap, Documentation/admin-guide/mm/pagemap.rst): bit 63 present, bit 62
swapped, bit 61 still a page of the file.
"""

from __future__ import annotations

import array
import ctypes
import functools
import mmap
import os
import posix  # not `os`, in which a cell may replace functions
import sys
import weakref
from dataclasses import dataclass, field

PAGE = mmap.PAGESIZE
_PRESENT, _SWAPPED, _FILE = 1 << 63, 1 << 62, 1 << 61
_MAP_NORESERVE = 0x4000  # a mapping of 1 GiB that is only read must not count as memory to come
_MAPS = "cellstack_maps"
_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
# A callback of a weak reference is given that: an argument too many, which munmap does not see.
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.py_object)
_releases: list[weakref.ref[ctypes.Array[ctypes.c_char]]] = []  # each is of a mapping that is there, or was


@dataclass(frozen=True, eq=False)
class Mapping:
    """`size` bytes of a file at `address`, writable, copy-on-write."""

    address: int
    size: int
    _memory: weakref.ref[ctypes.Array[ctypes.c_char]] = field(repr=False)

    @property
    def alive(self) -> bool:
        """Whether anything still uses the memory; it is unmapped, and its address free for others, when not."""
        return self._memory() is not None

    @property
    def pages(self) -> int:
        """Number of pages, the last one perhaps partly used."""
        return (self.size + PAGE - 1) // PAGE


def maps_file(memory: object) -> bool:
    """Tell whether this is memory that `map_file` has returned."""
    return hasattr(memory, _MAPS)


def map_file(path: str, offset: int, size: int) -> tuple[Mapping, memoryview]:
    """Map `size` (> 0) bytes of `path` from `offset`, a multiple of the page size. Keeps no descriptor open.

    The memory is released when the returned view and everything that was made on it are gone.

    Raises OSError, also when the file is shorter than that (reading beyond it would be SIGBUS).
    """
    descriptor = posix.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if posix.fstat(descriptor).st_size < offset + size:
            raise OSError(f"{path} is shorter than the {offset + size} bytes that were written")
        protection, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_NORESERVE
        address = _libc.mmap(None, size, protection, flags, descriptor, offset)
        if address == _FAILED:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        posix.close(descriptor)
    memory = (ctypes.c_char * size).from_address(address)
    setattr(memory, _MAPS, path)
    # From C to C: an interrupt that has come raises in the first Python that runs, and from a callback it goes nowhere.
    _releases.append(weakref.ref(memory, functools.partial(_libc.munmap, address, size)))
    return Mapping(address, size, weakref.ref(memory)), memoryview(memory).cast("B")


def dirty_pages(mapping: Mapping) -> list[int] | None:
    """Return the numbers of the pages this process has made its own; None when the page map cannot be read."""
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            raw = posix.pread(pagemap.fileno(), mapping.pages * 8, mapping.address // PAGE * 8)
    except OSError:
        return None
    if len(raw) != mapping.pages * 8:
        return None
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        entries = numpy.frombuffer(raw, dtype=numpy.uint64)
        own = (entries & (_PRESENT | _FILE)) == _PRESENT
        return [int(page) for page in numpy.flatnonzero(own | ((entries & _SWAPPED) != 0))]
    return [
        page
        for page, entry in enumerate(array.array("Q", raw))
        if entry & (_PRESENT | _FILE) == _PRESENT or entry & _SWAPPED
    ]


def page_ranges(pages: list[int]) -> list[tuple[int, int]]:
    """Return ascending page numbers as (first, count)."""
    ranges: list[tuple[int, int]] = []
    for page in pages:
        if ranges and sum(ranges[-1]) == page:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + 1)
        else:
            ranges.append((page, 1))
    return ranges
