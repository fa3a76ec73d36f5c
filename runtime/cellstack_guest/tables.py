"""What modules hold at one moment, and which of it has changed since.

A table of everything that modules, their classes and the containers in them consist of is made in a throw-away fork,
so that it costs the process itself neither memory nor reference counts. Every later fork has its objects at the same
addresses. Which of them have changed is found out without touching them: the page map tells which pages this process
has made its own, and on those the words that any change writes to are compared: the version of a dict (PEP 509), the
size and items of a list, the fields of an instance. What is left, a handful, is looked at part by part.
"""

from __future__ import annotations

import abc
import array
import bisect
import contextlib
import ctypes
import fcntl
import gc
import itertools
import marshal
import mmap
import os
import signal
import struct
import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from cellstack_guest import exclusions, nodes
from cellstack_guest.dirty import PAGE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from cellstack_guest.nodes import Step

    Marks = dict[Step, int]

_MASK = 2**64 - 1
_NONE = _MASK
_ARRAYS = (
    *("pages", "first", "where", "words", "owner", "address", "rank", "parent", "edge", "start", "steps", "marks"),
    "texts",
)
_HEAD = struct.Struct(f"<{len(_ARRAYS) + 1}Q")
_PRESENT, _SWAPPED, _EXCLUSIVE = 1 << 63, 1 << 62, 1 << 56
_GAP = 64  # pages that are cheaper read than left out, a call each
_IMMUTABLE_TYPE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE of <object.h>
_MANAGED_DICT = 1 << 4
_OPAQUE = "@"  # a step whose key is no atom: by the key's address
# Of later versions a change is not looked for in the words of an object, but all that is on a page of our own is
# looked at: slower, and nothing is missed.
_LAYOUT_IS_KNOWN = sys.version_info < (3, 13)
_MAX_WORDS = 64  # of an object itself
_pinned: list[object] = []


def pin() -> None:
    """Keep all objects that there are, so that no fork makes another one at the address of one of them."""
    _pinned[:] = gc.get_objects()


def _memory() -> memoryview:
    """Return the memory of this process as words: that at address `a` is number `a >> 3`."""
    return memoryview((ctypes.c_ubyte * (1 << 47)).from_address(0)).cast("B").cast("Q")


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
    """What was there, in memory that every later fork shares."""

    def __init__(self, data: memoryview) -> None:
        counts = _HEAD.unpack_from(data)
        position = _HEAD.size
        for name, count in zip(_ARRAYS, counts, strict=False):
            setattr(self, name, data[position : position + 8 * count].cast("Q"))
            position += 8 * count
        self._blob = data[position : position + counts[-1]]

    shares = False  # whether another process has changed some of the pages before this one had them, so that all count
    pages: memoryview  # numbers of the pages with words to compare, ascending
    first: memoryview  # for each of them, the first of its words
    where: memoryview  # the words' places
    words: memoryview  # what they were
    owner: memoryview  # the number of the node that each belongs to
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
        numpy = sys.modules.get("numpy")
        return self._touched_plain() if numpy is None or not hasattr(numpy, "frombuffer") else self._touched(numpy)

    def _touched(self, numpy: Any) -> list[int]:
        pages = numpy.frombuffer(self.pages, numpy.uint64)
        entries = numpy.frombuffer(self._page_map(), numpy.uint64)
        own = ((entries & (_PRESENT | _EXCLUSIVE)) == (_PRESENT | _EXCLUSIVE)) | ((entries & _SWAPPED) != 0)
        first = numpy.frombuffer(self.first, numpy.uint64).astype(numpy.int64)
        counts = (first[1:] - first[:-1])[own]
        if len(pages) == 0 or not len(counts):
            return []
        ends = numpy.cumsum(counts)
        index = numpy.arange(ends[-1]) + numpy.repeat(first[:-1][own] - (ends - counts), counts)
        memory = numpy.frombuffer(_memory()[PAGE // 8 :], numpy.uint64)  # nothing is at address 0
        where = numpy.frombuffer(self.where, numpy.uint64)[index] - numpy.uint64(PAGE // 8)
        differs = memory[where] != numpy.frombuffer(self.words, numpy.uint64)[index]
        # Not numpy.unique, which imports numpy.ma: a module that the cell did not ask for.
        return sorted(set(numpy.frombuffer(self.owner, numpy.uint64)[index[differs]].tolist()))

    def _touched_plain(self) -> list[int]:
        memory, where, words, owner, first = _memory(), self.where, self.words, self.owner, self.first
        touched: set[int] = set()
        for page, entry in enumerate(self._page_map()):
            if entry & _SWAPPED or (entry & _PRESENT and entry & _EXCLUSIVE):
                for place in range(first[page], first[page + 1]):
                    if memory[where[place]] != words[place]:
                        touched.add(owner[place])
        return sorted(touched)

    def _page_map(self) -> array.array[int]:
        """Return the entries of the page map for `pages`, in their order."""
        if self.shares:
            return array.array("Q", [_PRESENT | _EXCLUSIVE]) * len(self.pages)
        found = array.array("Q")
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            fd, pages, at = file.fileno(), self.pages, 0
            while at < len(pages):
                end = at + 1
                while end < len(pages) and pages[end] - pages[end - 1] < _GAP:
                    end += 1
                low = pages[at]
                entries = array.array("Q", os.pread(fd, (pages[end - 1] - low + 1) * 8, low * 8))
                found.extend([entries[page - low] for page in pages[at:end]])
                at = end
        return found


class _Builder:
    """Collects the table of this process, which is of no use after that."""

    def __init__(self, known: Collection[int]) -> None:
        self._known = known
        self._memory = _memory()
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
        pages, first = array.array("Q"), array.array("Q")
        for index, place in enumerate(where):
            page = place * 8 // PAGE
            if not pages or pages[-1] != page:
                pages.append(page)
                first.append(index)
        first.append(len(where))
        texts = array.array("Q", itertools.accumulate(map(len, self._texts), initial=0))
        arrays = {
            "pages": pages,
            "first": first,
            "where": where,
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
        memory, (places, contents, owners) = self._memory, self._words
        for place in self._places(obj):
            places.append(place)
            # Now: what is looked at next gets a dict of its own here, and has none in the process itself.
            contents.append(memory[place] if _LAYOUT_IS_KNOWN else _NONE)
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

    def _places(self, obj: Any) -> Iterator[int]:
        """Yield the places of the words that change with the object."""
        cls, address = type(obj), id(obj)
        memory = self._memory
        if not _LAYOUT_IS_KNOWN:
            yield address >> 3
            return
        if issubclass(type(obj), type):
            yield from self._dict_places(id(gc.get_referents(nodes.namespace(obj))[0]))
            if issubclass(type(obj), abc.ABCMeta):
                yield from self._registry_places(id(nodes.namespace(obj)["_abc_impl"]))
            return
        if cls is types.ModuleType:
            yield from self._dict_places(id(vars(obj)))
            return
        if issubclass(type(obj), dict):
            yield from self._dict_places(address)
            if cls is dict:
                return
        elif issubclass(type(obj), list):
            yield (address + 16) >> 3
            yield (address + 24) >> 3
            items = memory[(address + 24) >> 3] >> 3
            yield from range(items, items + min(len(obj), nodes.MAX_PARTS))
            if cls is list:
                return
        elif issubclass(type(obj), set):
            yield from range((address + 16) >> 3, (address + 16 + 32) >> 3)
            size, table = memory[(address + 32) >> 3] + 1, memory[(address + 40) >> 3] >> 3
            yield from range(table, table + 2 * min(size, nodes.MAX_PARTS), 2)
            if cls is set:
                return
        yield from itertools.islice(range((address + 16) >> 3, (address + cls.__basicsize__) >> 3), _MAX_WORDS)
        if cls.__flags__ & _MANAGED_DICT:
            yield from self._managed_places(address)
        elif cls.__dictoffset__ > 0 and memory[(address + cls.__dictoffset__) >> 3]:
            yield from self._dict_places(memory[(address + cls.__dictoffset__) >> 3])

    def _registry_places(self, address: int) -> Iterator[int]:
        """Yield the places of what changes when a class is registered with an abstract one (Modules/_abc.c)."""
        yield (address + 16) >> 3
        registry = self._memory[(address + 16) >> 3]
        if registry:
            yield from range((registry + 16) >> 3, (registry + 32) >> 3)

    def _dict_places(self, address: int) -> Iterator[int]:
        yield (address + 24) >> 3  # ma_version_tag

    def _managed_places(self, address: int) -> Iterator[int]:
        """Yield the places of what an instance has in place of a dict (Include/internal/pycore_object.h)."""
        memory = self._memory
        if sys.version_info < (3, 12):
            yield (address - 32) >> 3
            yield (address - 24) >> 3
            values, namespace = memory[(address - 32) >> 3], memory[(address - 24) >> 3]
        else:
            yield (address - 24) >> 3
            word = memory[(address - 24) >> 3]
            values, namespace = (word - 1, 0) if word & 1 else (0, word)
        if values:
            # One byte for each that there is room for, and two more, rounded up to words, stand before them.
            room = memory[(values - 8) >> 3] >> 56
            yield from range(values >> 3, (values >> 3) + room)
        if namespace:
            yield from self._dict_places(namespace)


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
        data = memoryview(mmap.mmap(self._memfd, size, prot=mmap.PROT_READ))
        os.close(self._memfd)
        length = int.from_bytes(data[:8], "little")
        changed = marshal.loads(data[8 : 8 + length])  # noqa: S302  from our own fork, which has run no code
        return Table(data[8 + length + -length % 8 :]), changed


def _differing(table: Table) -> Iterator[tuple[int, Marks]]:
    for number, place, change in table.changed():
        if change.put or change.gone:
            yield number, marks(place.obj)
