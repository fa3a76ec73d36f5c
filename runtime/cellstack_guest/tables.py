"""What modules hold at one moment, and which of it has changed since.

A table of everything that modules, their classes and the containers in them consist of is made in a throw-away fork,
so that it costs the process itself neither memory nor reference counts. Every later fork has its objects at the same
addresses. Which of them have changed is found out without touching them: the words that any change writes to are
compared with what they were, wherever they lie (`layouts.py`). The kernel collects them, by writev(2): that takes 20 ns
for each stretch of memory, and one that is no longer there is an error. What is left, a handful, is looked at part by
part.
"""

from __future__ import annotations

import array
import bisect
import contextlib
import ctypes
import fcntl
import gc
import itertools
import marshal
import mmap
import operator
import os
import signal
import struct
import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from cellstack_guest import exclusions, layouts, nodes
from cellstack_guest.dirty import PAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from cellstack_guest.nodes import Step

    Marks = dict[Step, int]

_MASK = 2**64 - 1
_NONE = _MASK
_ARRAYS = (
    *("runs", "pieces", "words", "owner", "address", "rank", "parent", "edge", "start", "steps", "marks", "texts"),
)
_HEAD = struct.Struct(f"<{len(_ARRAYS) + 1}Q")
_PRESENT, _EXCLUSIVE, _SWAPPED = 1 << 63, 1 << 56, 1 << 62  # of an entry of the page map
_GAP = 64  # pages that are cheaper read than left out, a call each
_IOV_MAX = 1024
_RUN, _PIECE = 512, 8192  # words: what a pipe takes at least, and what it takes
_IMMUTABLE_TYPE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE of <object.h>
_OPAQUE = "@"  # a step whose key is no atom: by the key's address
_libc = ctypes.CDLL(None)
_libc.writev.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
_libc.writev.restype = ctypes.c_ssize_t
_pinned: list[object] = []


def pin() -> None:
    """Keep all objects that there are, so that no fork makes another one at the address of one of them."""
    _pinned[:] = gc.get_objects()


def mark(value: Any) -> int:
    """Return 64 bits that tell a value from others: an atom's by value, an object's by address."""
    cls = type(value)
    if cls is str or cls is bytes:
        return (hash(value) ^ id(cls)) & _MASK
    if cls is int or cls is float or cls is complex:
        return (hash(repr(value)) ^ id(cls)) & _MASK
    if cls is tuple:
        return hash(tuple(map(mark, value))) & _MASK
    return id(value)


def coded(step: Step) -> Step:
    """Return a step with a key that can be compared in another process of the line."""
    kind, key = step
    return step if _is_atom(key) else (kind + _OPAQUE, id(key))


def address_in(step: Step) -> int | None:
    """Return the address that stands in a coded step in place of its key, None where the key itself does."""
    kind, key = step
    return key if kind.endswith(_OPAQUE) else None


def with_key(step: Step, key: Any) -> Step:
    """Return a coded step with the object that is its key."""
    return step[0].removesuffix(_OPAQUE), key


def _decoded(obj: Any, step: Step) -> Step:
    address = address_in(step)
    if address is None:
        return step
    for found, _ in nodes.parts(obj):
        if id(found[1]) == address and found == with_key(step, found[1]):
            return found
    raise LookupError(f"{type(obj).__qualname__} no longer has an object as a key")


def marks(obj: Any) -> Marks:
    """Return what an object consists of."""
    return {coded(step): mark(value) for step, value in itertools.islice(nodes.parts(obj), nodes.MAX_PARTS)}


def difference(obj: Any, before: Marks) -> Change:
    """Return what an object consists of that is not as before. A sequence that differs is given as a whole."""
    put, known = [], set()
    everything = list(itertools.islice(nodes.parts(obj), nodes.MAX_PARTS))
    for step, value in everything:
        code = coded(step)
        known.add(code)
        if before.get(code) != mark(value) and not exclusions.is_left_out(step, value):
            put.append((step, value))
    gone = [step for step in before if step not in known]
    if issubclass(type(obj), nodes.SEQUENCES) and any(
        step[0] == nodes.PLACE for step in (*gone, *(step for step, _ in put))
    ):
        put = [(step, value) for step, value in everything if step[0] == nodes.PLACE or (step, value) in put]
    return Change(put, gone)


def _is_atom(key: Any) -> bool:
    return type(key) in nodes.ATOMS or (type(key) is tuple and all(map(_is_atom, key)))


class Place(NamedTuple):
    """An object that a module holds, and the path to it."""

    module: str
    path: tuple[Step, ...]
    obj: Any


class Change(NamedTuple):
    """What an object consists of now and did not, by step, and the (coded) steps to what it has no longer."""

    put: list[tuple[Step, Any]]
    gone: list[Step]


class Table:
    """What was there, in memory that every later fork shares.

    data: what a twin has written, from `position` on.
    """

    def __init__(self, data: mmap.mmap, position: int) -> None:
        view = memoryview(data)
        counts = _HEAD.unpack_from(data, position)
        position += _HEAD.size
        self._runs = ctypes.addressof(ctypes.c_char.from_buffer(data)) + position  # `runs` is the first
        for name, count in zip(_ARRAYS, counts, strict=False):
            setattr(self, name, view[position : position + 8 * count].cast("Q"))
            position += 8 * count
        self._blob = view[position : position + counts[-1]]

    shares = False  # whether another process has changed some of the pages before this one had them, so that all count
    runs: memoryview  # address and bytes of stretches of memory with words to compare, ascending: `struct iovec`
    pieces: memoryview  # of what is read at once, and of the end: the numbers of its first run and of its first word
    words: memoryview  # what the words were
    owner: memoryview  # the number of the node that each of them belongs to
    address: memoryview  # of each node
    rank: memoryview  # the numbers of the nodes in the order of their addresses
    parent: memoryview  # of each node: the number of the one before it on its path
    edge: memoryview  # of each node: the last step of its path
    start: memoryview  # of each node: the first of its parts
    steps: memoryview  # of each part: the number of the step
    marks: memoryview  # of each part: what it was
    texts: memoryview  # of each step: where it is written

    def find(self, address: int) -> int | None:
        """Return the number of the node at an address."""
        at = bisect.bisect_left(self.rank, address, key=self.address.__getitem__)
        found = at < len(self.rank) and self.address[self.rank[at]] == address
        return self.rank[at] if found else None

    def place(self, number: int) -> Place | None:
        """Return where a node is; None when it is there no longer, or another object is."""
        coded_path: list[Step] = []
        root = number
        while self.parent[root] != _NONE:
            coded_path.append(self.step(self.edge[root]))
            root = self.parent[root]
        _, module = self.step(self.edge[root])
        found: Any = sys.modules.get(module)
        path = []
        try:
            for each in reversed(coded_path):
                step = _decoded(found, each)
                found = nodes.walk(found, step)
                path.append(step)
        except LookupError:
            return None
        return Place(module, tuple(path), found) if id(found) == self.address[number] else None

    def present(self) -> Iterator[int]:
        """Yield the addresses of the nodes that are where they were: another object may be at that of one that is gone.

        Takes references to all of them.
        """
        objects: list[Any] = []
        for number, parent in enumerate(self.parent):  # which has a smaller number
            step = self.step(self.edge[number])
            try:
                found = (
                    sys.modules.get(step[1])
                    if parent == _NONE
                    else nodes.walk(objects[parent], _decoded(objects[parent], step))
                )
            except LookupError:
                found = None
            objects.append(found)
            if id(found) == self.address[number]:
                yield self.address[number]

    def changed(self, before: Mapping[int, Marks] = types.MappingProxyType({})) -> Iterator[tuple[int, Place, Change]]:
        """Yield what may have changed, with its number. before: what some of them were later than this table."""
        for number in self.touched():
            place = self.place(number)
            if place is not None:
                yield number, place, difference(place.obj, before.get(number) or self.parts(number))

    def step(self, number: int) -> Step:
        """Return a step by its number."""
        step: Step = marshal.loads(self._blob[self.texts[number] : self.texts[number + 1]])  # noqa: S302  written below
        return step

    def parts(self, number: int) -> dict[Step, int]:
        """Return what a node consisted of: marks by coded step."""
        span = range(self.start[number], self.start[number + 1])
        return {self.step(self.steps[place]): self.marks[place] for place in span}

    def touched(self) -> list[int]:
        """Return the numbers of the nodes that may have changed; a few that have not are among them."""
        if not layouts.IS_KNOWN:
            return self._on_own_pages()
        touched: set[int] = set()
        pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            for piece in range(0, len(self.pieces) - 2, 2):
                first, start, last, end = self.pieces[piece : piece + 4]
                touched.update(self._differing(pipe, first, last, start, end))
        finally:
            for fd in pipe:
                os.close(fd)
        return sorted(touched)

    def _differing(self, pipe: tuple[int, int], first: int, last: int, start: int, end: int) -> Iterable[int]:
        """Return the nodes whose words, from `start` to `end`, in the runs from `first` to `last`, have changed."""
        reader, writer = pipe
        size = _libc.writev(writer, self._runs + 16 * first, last - first)
        now = os.read(reader, size) if size > 0 else b""
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

    def _on_own_pages(self) -> list[int]:
        """Return the numbers of the nodes that lie on pages which this process has made its own."""
        pages = {number: self.address[number] // PAGE for number in self.owner}
        ascending = sorted(set(pages.values()))
        own = set(itertools.compress(ascending, self._page_map(ascending)))
        return [number for number, page in pages.items() if page in own]

    def _page_map(self, pages: list[int]) -> Iterator[bool]:
        """Tell of ascending pages whether they are this process' own."""
        if self.shares:
            yield from itertools.repeat(True, len(pages))
            return
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            at = 0
            while at < len(pages):
                end = at + 1
                while end < len(pages) and pages[end] - pages[end - 1] < _GAP:
                    end += 1
                low = pages[at]
                entries = array.array("Q", os.pread(file.fileno(), (pages[end - 1] - low + 1) * 8, low * 8))
                for page in pages[at:end]:
                    entry = entries[page - low]
                    yield bool(entry & _SWAPPED) or bool(entry & _PRESENT and entry & _EXCLUSIVE)
                at = end


class _Builder:
    """Collects the table of this process, which is of no use after that."""

    def __init__(self, known: Collection[int]) -> None:
        self._known = known
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._parent = array.array("Q")
        self._edge = array.array("Q")
        self._start = array.array("Q")
        self._parts = array.array("Q"), array.array("Q")  # steps, marks
        self._words = array.array("Q"), array.array("Q"), array.array("Q")  # places, contents, numbers of the nodes
        self._texts: list[bytes] = []
        self._steps: dict[Any, int] = {}

    def table(self, roots: Iterable[tuple[str, Any]]) -> list[bytes]:
        """Return the pieces of the table of what can be reached from modules."""
        for name, module in roots:
            self._add(module, _NONE, self._step(("m", name)))
        for number, obj in enumerate(self._objects):  # which grows
            self._start.append(len(self._parts[0]))
            if self._is_tracked(obj):
                self._look(number, obj)
            else:
                self._pass(number, obj)
        self._start.append(len(self._parts[0]))
        address = array.array("Q", map(id, self._objects))
        rank = _order(address)
        where, words, owner = (array.array("Q", map(each.__getitem__, _order(self._words[0]))) for each in self._words)
        runs, pieces = _runs(where)
        texts = array.array("Q", itertools.accumulate(map(len, self._texts), initial=0))
        arrays = {
            "runs": runs,
            "pieces": pieces,
            "words": words,
            "owner": owner,
            "address": address,
            "rank": rank,
            "parent": self._parent,
            "edge": self._edge,
            "start": self._start,
            "texts": texts,
            "steps": self._parts[0],
            "marks": self._parts[1],
        }
        head = _HEAD.pack(*(len(arrays[name]) for name in _ARRAYS), texts[-1])
        return [head, *(arrays[name].tobytes() for name in _ARRAYS), *self._texts]

    def _is_tracked(self, obj: Any) -> bool:
        if not nodes.is_node(obj):
            return False
        if issubclass(type(obj), type):
            return bool(obj.__flags__ & nodes.HEAP_TYPE) and not obj.__flags__ & _IMMUTABLE_TYPE
        return True

    def _look(self, number: int, obj: Any) -> None:
        if issubclass(type(obj), type) and exclusions.is_skipped(obj.__module__):
            return
        places, contents, owners = self._words
        for place in layouts.places(obj) if layouts.IS_KNOWN else (id(obj) >> 3,):
            places.append(place)
            # Now: what is looked at next gets a dict of its own here, and has none in the process itself.
            contents.append(layouts.MEMORY[place])
            owners.append(number)
        steps, marks = self._parts
        # There are hundreds of thousands of parts, most of them of a kind that leads no further.
        for step, value in itertools.islice(nodes.parts(obj), nodes.MAX_PARTS):
            at = self._steps.get(step) if type(step[1]) is str else None
            if at is None:
                at = self._step(coded(step))
            steps.append(at)
            marks.append(mark(value))
            if type(value) not in nodes.LEAVES and id(value) not in self._numbers:
                self._follow(number, at, step, value)

    def _pass(self, number: int, obj: Any) -> None:
        for step, value in nodes.parts(obj):
            if type(value) not in nodes.LEAVES and id(value) not in self._numbers:
                self._follow(number, self._step(coded(step)), step, value)

    def _follow(self, number: int, at: int, step: Step, value: Any) -> None:
        if not nodes.is_open(value) or id(value) in self._known or type(value) is types.ModuleType:
            return
        kind, key = step
        if (
            kind == nodes.ELEMENT
            or (kind == nodes.ATTRIBUTE and exclusions.is_cache(key))
            or (kind == nodes.CLOSURE and exclusions.is_cache(self._objects[number].__code__.co_freevars[key]))
            or exclusions.is_beyond(value, step)
        ):
            return
        if _is_atom(key) or issubclass(type(key), type):  # else a path that goes by this key could not be written down
            self._add(value, number, at)

    def _add(self, obj: Any, parent: int, edge: int) -> None:
        self._numbers[id(obj)] = len(self._objects)
        self._objects.append(obj)
        self._parent.append(parent)
        self._edge.append(edge)

    def _step(self, step: Step) -> int:
        number = self._steps.setdefault(step, len(self._texts))
        if number == len(self._texts):
            self._texts.append(marshal.dumps(step))
        return number


def _runs(where: Sequence[int]) -> tuple[array.array[int], array.array[int]]:
    """Return address and bytes of each stretch of memory, and which of them are read at once (`Table.pieces`)."""
    runs, pieces = array.array("Q"), array.array("Q")
    last = -1
    for number, place in enumerate(where):
        is_apart = place != last + 1 or runs[-1] == 8 * _RUN
        is_full = not pieces or number - pieces[-1] == _PIECE or len(runs) // 2 - pieces[-2] == _IOV_MAX
        if is_full and (is_apart or number - pieces[-1] == _PIECE):
            pieces.extend((len(runs) // 2, number))
            is_apart = True
        if is_apart:
            runs.extend((8 * place, 0))
        runs[-1] += 8
        last = place
    pieces.extend((len(runs) // 2, len(where)))
    return runs, pieces


def _order(numbers: array.array[int]) -> array.array[int]:
    """Return the places of the numbers, the smallest first."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "argsort"):
        return array.array("Q", sorted(range(len(numbers)), key=numbers.__getitem__))
    return array.array("Q", numpy.argsort(numpy.frombuffer(numbers, numpy.uint64)).astype(numpy.uint64).tobytes())


class Twin:
    """A fork of this process, as it is at this moment, that writes down what it holds, and ends.

    base: a table of what it need not look at again; later: those that came after it. beyond: addresses of objects that
    are none of the modules' own.
    """

    def __init__(self, base: Table | None = None, beyond: Collection[int] = (), later: Sequence[Table] = ()) -> None:
        self._memfd = os.memfd_create("baseline", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # An interrupt must not reach a process that is on its way to become the twin.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self.pid = os.fork()
            if self.pid == 0:
                self._write(base, beyond, later)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _write(self, base: Table | None, beyond: Collection[int], later: Sequence[Table]) -> NoReturn:
        """Write all that there is into the memory that is shared with the one who asks."""
        try:
            gc.disable()
            if base is not None:
                base.shares = True
            known = {*beyond, *exclusions.carried_otherwise(), *(() if base is None else base.address)}
            for each in later:
                known.update(each.present())
            table = _Builder(known).table(
                (name, module) for name, module in exclusions.modules() if id(module) not in known
            )
            text = marshal.dumps({} if base is None else dict(_differing(base)))
            with open(self._memfd, "wb", closefd=False) as file:
                file.writelines([len(text).to_bytes(8, "little"), text, bytes(-len(text) % 8), *table])
        finally:
            os._exit(0)

    def answer(self) -> tuple[Table, dict[int, dict[Step, int]]] | None:
        """Return the table, and what of the table it stands on was different already; None when it has died."""
        with contextlib.suppress(ChildProcessError):  # the cell's code has told the kernel to bury its children
            os.waitpid(self.pid, 0)
        size = os.fstat(self._memfd).st_size
        if not size:
            os.close(self._memfd)
            return None
        fcntl.fcntl(self._memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        data = mmap.mmap(self._memfd, size, flags=mmap.MAP_PRIVATE)
        os.close(self._memfd)
        length = int.from_bytes(data[:8], "little")
        changed = marshal.loads(data[8 : 8 + length])  # noqa: S302  from our own fork, which has run no code
        return Table(data, 8 + length + -length % 8), changed


def _differing(table: Table) -> Iterator[tuple[int, Marks]]:
    for number, place, change in table.changed():
        if change.put or change.gone:
            yield number, marks(place.obj)
