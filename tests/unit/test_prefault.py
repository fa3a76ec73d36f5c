"""Pages that a process writes to are found out, and copied ahead in its forks."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
from typing import TYPE_CHECKING

import pytest

from cellstack_guest import prefault
from cellstack_guest.dirty import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGES = 64


@pytest.fixture
def memory() -> Iterator[ctypes.Array[ctypes.c_char]]:
    """Private memory of `PAGES` pages that are all there."""
    area = mmap.mmap(-1, PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    array = (ctypes.c_char * len(area)).from_buffer(area)
    ctypes.memset(array, 1, len(area))
    yield array
    del array


def touch(memory: ctypes.Array[ctypes.c_char], pages: range) -> Callable[[], None]:
    def run() -> None:
        for page in pages:
            memory[page * PAGE] = b"x"

    return run


def pages_of(ranges: prefault.Ranges, memory: ctypes.Array[ctypes.c_char]) -> set[int]:
    start = ctypes.addressof(memory)
    found = {
        (each.address + offset - start) // PAGE
        for batch in ranges
        for each in batch
        for offset in range(0, each.size, PAGE)
    }
    return found & set(range(PAGES))


def faults_of_touching(
    memory: ctypes.Array[ctypes.c_char], pages: range, ranges: prefault.Ranges, *, one_by_one: bool = False
) -> int:
    """Return how many faults a fork has that writes to `pages` after `ranges` were populated."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if one_by_one:
                prefault.NR_PROCESS_MADVISE = -1  # as on a kernel that does not have it
            prefault.populate(ranges)
            touching = touch(memory, pages)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            touching()
            os.write(write, str(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    os.waitpid(pid, 0)
    return int(text)


def test_the_pages_that_are_written_to_are_found(memory: ctypes.Array[ctypes.c_char]) -> None:
    found = pages_of(prefault.written_by(touch(memory, range(0, PAGES, 4))), memory)
    assert found == set(range(0, PAGES, 4))


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_fork_has_them_copied_before_it_writes(memory: ctypes.Array[ctypes.c_char], one_by_one: bool) -> None:
    pages = range(0, PAGES, 2)
    ranges = prefault.written_by(touch(memory, pages))
    assert faults_of_touching(memory, pages, []) >= len(pages)
    assert faults_of_touching(memory, pages, ranges, one_by_one=one_by_one) < len(pages) // 2


def test_memory_that_is_gone_does_no_harm() -> None:
    prefault.populate([(prefault.Range * 1)(prefault.Range(PAGE, PAGE))])
