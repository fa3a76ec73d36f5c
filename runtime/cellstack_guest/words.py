"""Words of memory, and which of them are no longer what they were: without touching the objects that they belong to.

With numpy they are gathered, 2 ns each. Without it the kernel collects them, by writev(2): 20 ns for each stretch of
memory, and one that is no longer there is an error. Where the layout of objects is not known, a word stands for the
page that its object lies on.
"""

from __future__ import annotations

import array
import ctypes
import itertools
import operator
import os
import posix  # not `os`, in which a cell may replace functions
import sys
from typing import TYPE_CHECKING, NamedTuple

from cellstack_guest import layouts
from cellstack_guest.dirty import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_PRESENT, _EXCLUSIVE, _SWAPPED = 1 << 63, 1 << 56, 1 << 62  # of an entry of the page map
_GAP = 64  # pages that are cheaper looked at than left out, a call each
_IOV_MAX = 1024
_RUN, _PIECE = 512, 8192  # words: what a pipe takes at least, and what it takes
_GATHERED = 4096  # words
_MS_ASYNC = 1  # of <sys/mman.h>: with it msync(2) does nothing but fail with ENOMEM where nothing is mapped
_libc = ctypes.CDLL(None)
_libc.writev.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
_libc.writev.restype = ctypes.c_ssize_t
_libc.msync.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Words(NamedTuple):
    """Words as they were, in memory that every later fork shares.

    gather: returns the places, among these, of words that differ, None where it cannot tell.
    """

    runs: memoryview  # address and bytes of stretches of memory, ascending: `struct iovec`
    pieces: memoryview  # of what is read at once, and of the end: the numbers of its first run and of its first word
    words: memoryview  # what they were
    owner: memoryview  # the number of the object that each of them belongs to
    gather: Callable[[], list[int] | None]

    def touched(self) -> list[int]:
        """Return the numbers of the objects whose words differ, or may."""
        differing = self.gather()
        if differing is not None:
            return sorted({self.owner[place] for place in differing})
        touched: set[int] = set()
        pipe = posix.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            for piece in range(0, len(self.pieces) - 2, 2):
                first, start, last, end = self.pieces[piece : piece + 4]
                touched.update(self._differing(pipe, first, last, start, end))
        finally:
            for fd in pipe:
                posix.close(fd)
        return sorted(touched)

    def _differing(self, pipe: tuple[int, int], first: int, last: int, start: int, end: int) -> Iterable[int]:
        """Return the owners of words, from `start` to `end`, in the runs from `first` to `last`, that have changed."""
        reader, writer = pipe
        run = ctypes.addressof(ctypes.c_char.from_buffer(self.runs)) + 16 * first
        size = _libc.writev(writer, run, last - first)
        now = posix.read(reader, size) if size > 0 else b""
        if len(now) == 8 * (end - start):
            if now == self.words[start:end].tobytes():
                return ()
            differs = map(operator.ne, memoryview(now).cast("Q"), self.words[start:end])
            return itertools.compress(self.owner[start:end], differs)
        if last - first == 1:  # it is gone
            return self.owner[start:end]
        middle = (first + last) // 2
        between = start + sum(self.runs[2 * first + 1 : 2 * middle : 2]) // 8
        return itertools.chain(
            self._differing(pipe, first, middle, start, between), self._differing(pipe, middle, last, between, end)
        )


def runs(where: Sequence[int]) -> tuple[array.array[int], array.array[int]]:
    """Return the runs and the pieces of words, by their ascending addresses in words (`Words`)."""
    found, pieces = array.array("Q"), array.array("Q")
    last = -1
    for number, place in enumerate(where):
        is_apart = place != last + 1 or found[-1] == 8 * _RUN
        is_full = not pieces or number - pieces[-1] == _PIECE or len(found) // 2 - pieces[-2] == _IOV_MAX
        if is_full and (is_apart or number - pieces[-1] == _PIECE):
            pieces.extend((len(found) // 2, number))
            is_apart = True
        if is_apart:
            found.extend((8 * place, 0))
        found[-1] += 8
        last = place
    pieces.extend((len(found) // 2, len(where)))
    return found, pieces


def order(numbers: array.array[int]) -> array.array[int]:
    """Return the places of the numbers, the smallest first."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "argsort"):
        return array.array("Q", sorted(range(len(numbers)), key=numbers.__getitem__))
    return array.array("Q", numpy.argsort(numpy.frombuffer(numbers, numpy.uint64)).astype(numpy.uint64).tobytes())


def gatherer(where: memoryview, words: memoryview) -> Callable[[], list[int] | None]:
    """Return a function that gathers words by numpy, and returns the places among them of those that differ.

    where: their ascending addresses, in words. It returns None where it cannot tell: without numpy; when memory is
    gone, which would end the process, so that it is asked for first; when other threads may take it away meanwhile.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "frombuffer") or not len(where):
        return lambda: None
    memory = numpy.frombuffer(layouts.MEMORY[1:], numpy.uint64)  # numpy takes an address of 0 for none
    places, before = numpy.frombuffer(where, numpy.int64) - 1, numpy.frombuffer(words, numpy.uint64)
    pages = (places + 1) // (PAGE // 8)
    ends = numpy.append(numpy.flatnonzero(numpy.diff(pages) > _GAP), len(pages) - 1)
    starts = numpy.append(0, ends[:-1] + 1)
    spans: list[list[int]] = (numpy.stack([pages[starts], pages[ends] - pages[starts] + 1], axis=1) * PAGE).tolist()

    now = numpy.empty(_GATHERED, numpy.uint64)  # a small piece at a time: each page that is new costs a fault

    def differing() -> list[int] | None:
        if len(sys._current_frames()) > 1 or any(_libc.msync(*span, _MS_ASYNC) for span in spans):  # noqa: SLF001
            return None
        found: list[int] = []
        for start in range(0, len(places), _GATHERED):
            piece = slice(start, start + _GATHERED)
            gathered = memory.take(places[piece], out=now[: len(places) - start], mode="clip")
            if gathered.tobytes() != before[piece].tobytes():
                found += ((gathered != before[piece]).nonzero()[0] + start).tolist()
        return found

    return differing


def on_own_pages(addresses: Sequence[int]) -> list[bool]:
    """Tell of each address whether it lies on a page that this process has made its own."""
    pages = [address // PAGE for address in addresses]
    ascending = sorted(set(pages))
    own = set(itertools.compress(ascending, _page_map(ascending)))
    return [page in own for page in pages]


def _page_map(pages: list[int]) -> Iterator[bool]:
    """Tell of ascending pages whether they are this process' own."""
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        at = 0
        while at < len(pages):
            end = at + 1
            while end < len(pages) and pages[end] - pages[end - 1] < _GAP:
                end += 1
            low = pages[at]
            entries = array.array("Q", posix.pread(file.fileno(), (pages[end - 1] - low + 1) * 8, low * 8))
            for page in pages[at:end]:
                entry = entries[page - low]
                yield bool(entry & _SWAPPED) or bool(entry & _PRESENT and entry & _EXCLUSIVE)
            at = end
