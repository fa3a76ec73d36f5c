"""What modules hold at one moment, and which of it has changed since.

A table of everything that modules, their classes and the containers in them consist of is made in a throw-away fork,
so that it costs the process itself neither memory nor reference counts. Every later fork has its objects at the same
addresses. Which of them have changed is found out without touching them: the words that any change writes to
(`layouts.py`) are compared with what they were (`words.py`). What is left, a handful, is looked at part by part.
Written by `twins.py`.
"""

from __future__ import annotations

import bisect
import itertools
import marshal
import struct
import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from cellstack_guest import exclusions, layouts, nodes
from cellstack_guest.words import Words, gatherer, on_own_pages

if TYPE_CHECKING:
    import mmap
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from cellstack_guest.nodes import Step

    Marks = dict[Step, int]

_MASK = 2**64 - 1
NONE = _MASK
ARRAYS = (
    *("runs", "pieces", "where", "words", "owner", "address", "rank", "parent", "edge", "start", "steps", "marks"),
    "texts",
)
HEAD = struct.Struct(f"<{len(ARRAYS) + 1}Q")
_OPAQUE = "@"  # a step whose key is no atom: by the key's address
MANY = 20  # lookups of one in so many addresses, after which having all in a dict is quicker than searching for each


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
    return step if is_atom(key) else (kind + _OPAQUE, id(key))


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


def is_atom(key: Any) -> bool:
    """Tell whether a key is compared by value."""
    return type(key) in nodes.ATOMS or (type(key) is tuple and all(map(is_atom, key)))


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

    def __init__(self, data: mmap.mmap | bytearray, position: int) -> None:
        view = memoryview(data)
        counts = HEAD.unpack_from(data, position)
        position += HEAD.size
        for name, count in zip(ARRAYS, counts, strict=False):
            setattr(self, name, view[position : position + 8 * count].cast("Q"))
            position += 8 * count
        self._blob = view[position : position + counts[-1]]
        gather = gatherer(self.where, self.words) if layouts.IS_KNOWN else lambda: None
        self._numbers: dict[int, int] | None = None  # by address, where it pays to have them in this process
        self._found = 0
        self._words = Words(self.runs, self.pieces, self.words, self.owner, gather)

    shares = False  # whether another process has changed some of the pages before this one had them, so that all count
    runs: memoryview  # of the words that a change writes to, as `pieces` and `words`: `Words`
    pieces: memoryview
    where: memoryview  # of each word: its address, in words
    words: memoryview
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
        if self._numbers is not None:
            return self._numbers.get(address)
        self._found += 1
        if self._found * MANY >= len(self.address):
            self._numbers = dict(zip(self.address, itertools.count()))
        at = bisect.bisect_left(self.rank, address, key=self.address.__getitem__)
        found = at < len(self.rank) and self.address[self.rank[at]] == address
        return self.rank[at] if found else None

    def place(self, number: int) -> Place | None:
        """Return where a node is; None when it is there no longer, or another object is."""
        coded_path: list[Step] = []
        root = number
        while self.parent[root] != NONE:
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
                    if parent == NONE
                    else nodes.walk(objects[parent], _decoded(objects[parent], step))
                )
            except LookupError:
                found = None
            objects.append(found)
            if id(found) == self.address[number]:
                yield self.address[number]

    def changed(
        self, before: Mapping[int, Marks] = types.MappingProxyType({}), too: Iterable[int] = ()
    ) -> Iterator[tuple[int, Place, Change]]:
        """Yield what may have changed, with its number. before: what some of them were later than this table.

        too: numbers of nodes that are looked at, though they were not changed.
        """
        for number in dict.fromkeys((*self.touched(), *too)):
            place = self.place(number)
            if place is not None:
                then = before[number] if number in before else self.parts(number)
                yield number, place, difference(place.obj, then)

    def touched(self) -> list[int]:
        """Return the numbers of the nodes that may have changed; a few that have not are among them."""
        if layouts.IS_KNOWN:
            return self._words.touched()
        if self.shares:
            return list(self.owner)
        return list(itertools.compress(self.owner, on_own_pages([self.address[number] for number in self.owner])))

    def step(self, number: int) -> Step:
        """Return a step by its number."""
        step: Step = marshal.loads(self._blob[self.texts[number] : self.texts[number + 1]])  # noqa: S302  written below
        return step

    def without(self, values: Mapping[int, Collection[Step] | None]) -> dict[int, Marks]:
        """Return what the nodes consisted of that had one of the values, with NONE in place of these; by number.

        values: by mark, the (coded) steps by which each is meant, None for all. Those in sets are not: what was
        there in place of them is not known.
        """
        found: dict[int, Marks] = {}
        for at, value in enumerate(self.marks):
            if value in values:
                step, steps = self.step(self.steps[at]), values[value]
                if (steps is None or step in steps) and step[0] != nodes.ELEMENT:
                    number = bisect.bisect_right(self.start, at) - 1
                    found.setdefault(number, self.parts(number))[step] = NONE
        return found

    def parts(self, number: int) -> dict[Step, int]:
        """Return what a node consisted of: marks by coded step."""
        span = range(self.start[number], self.start[number + 1])
        return {self.step(self.steps[place]): self.marks[place] for place in span}
