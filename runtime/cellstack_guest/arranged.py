"""Sets keep their order, and NaN stays what it is: neither of which a pickle keeps.

The order of a set is that of its hash table. Where an item lies depends on its hash, on the size of the table and on
what was there before it, so that a set which is made of the items in their order has another one, often. The table is
read here, and written down is by which steps one like it is made (CPython's `Objects/setobject.c`).
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import operator
import struct
import sys
from math import isnan  # in whose place a cell may put another function
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_SLOTS = 2**20  # of a table that is looked at: 16 MiB
LINEAR_PROBES, PERTURB_SHIFT = 9, 5  # of CPython's sets, 3.7 to 3.14
HASH_BITS = 2**64 - 1
# fill, used, mask and table, behind the head of an object; with other heads, as without a GIL, nothing is looked at.
HEAD, FIELDS = 16, struct.Struct("nnnP")
IS_KNOWN = object.__basicsize__ == HEAD and struct.calcsize("P") == 8
ENTRY = 16  # bytes: key and hash
UNUSED, DUMMY = 0, -1  # the key of an entry that was never used, the hash of one that no longer is

# What is in a pickle with a set, a frozen one, or NaN in it; it may be by chance.
SIGNS = b"\x8f", b"\x91", b"G\x7f\xf8", b"G\xff\xf8"
NAN_PLACES = ("numpy", "nan"), ("math", "nan"), ("cmath", "nan")


class _Place:
    """Takes a slot of a table, in which there is no item any more."""

    def __init__(self, slot: int) -> None:
        self.slot = slot

    def __hash__(self) -> int:
        return self.slot


class Arranged:
    """A set with the table that it had. It stands for it in a pickle and refers to it as `value`."""

    def __init__(self, cls: type) -> None:
        self.value: Any = cls()
        self._steps: Steps | None = None

    @classmethod
    def of(cls, value: Any) -> Arranged | None:
        """Return what stands for a set; None where the items in their order make one like it, or nothing does."""
        steps = _steps(value) if IS_KNOWN else None
        if steps is None:
            return None
        arranged = cls(type(value))
        arranged._steps = steps
        return arranged

    def __reduce__(self) -> tuple[Any, ...]:
        return Arranged, (type(self.value),), self._steps

    def __setstate__(self, steps: tuple[Any, ...]) -> None:
        self.value = Steps(*steps).make(self.value)


class Steps(NamedTuple):
    """How to make a set: `first` is added, then a dict of `rest`, for which the table grows at once, then `last`.

    left: slots without an item any more, which are taken from the start and left in the end. spare: slots that are
    taken for the table to grow, and are left as well.
    """

    left: list[int]
    first: list[Any]
    rest: list[Any]
    spare: list[int]
    last: list[Any]

    def make(self, empty: Any) -> Any:
        """Fill `empty`, or return a frozen set."""
        if isinstance(empty, frozenset):
            return frozenset(dict.fromkeys([*self.rest, *self.last]) if self.rest else self.first)
        left, spare = [*map(_Place, self.left)], [*map(_Place, self.spare)]
        empty.update([*left, *self.first])
        empty.update(dict.fromkeys([*self.rest, *spare]))
        empty.update(self.last)
        for place in (*left, *spare):
            empty.discard(place)
        return empty


def _steps(value: Any) -> Steps | None:
    cls, table, items = type(value), _table(value), [*value]
    if table is None or any(map(_is_found_by_address, items)) or _table(cls(items)) == table:
        return None
    for steps in _ways(items, memoryview(table).cast("q")):
        made = steps.make(cls())
        if _table(made) == table or (steps.spare and [*map(id, made)] == [*map(id, items)]):
            return steps
    return None


def _ways(items: list[Any], slots: memoryview) -> Iterator[Steps]:
    """Yield by which steps a table like `slots` may be made of its items, first by those that leave nothing else."""
    size = len(slots) // 2
    home, away, left, unused = [], {}, [], []
    taken = iter(items)
    for slot, (key, number) in enumerate(zip(slots[0::2], slots[1::2], strict=True)):
        if key == UNUSED:
            unused.append(slot)
        elif number == DUMMY:
            left.append(slot)
        elif number & (size - 1) == slot:
            home.append(next(taken))
        else:
            away[slot] = next(taken), number
    order = [*home, *_ordered(away, slots, size - 1)]
    yield Steps(left, order, [], [], [])
    # For a dict it grows to twice what both have, and the next power of two; what both have counts twice.
    for total in size // 4, size * 3 // 8, size // 2 - 1:
        missing = max(0, total - len(items) - len(left))
        spare = unused[: max(0, missing - len(home))]
        yield Steps(left, home[:missing], order[:total], spare, order[total:])


def _is_found_by_address(item: object) -> bool:
    """Tell whether the hash of `item` is another one in each process."""
    return type(item).__hash__ is object.__hash__ and item is not None


def _table(value: Any) -> bytes | None:
    """Return the hash table of a set; None where it is too large or not as it should be."""
    _, used, mask, address = FIELDS.unpack(ctypes.string_at(id(value) + HEAD, FIELDS.size))
    if used != len(value) or not 0 < mask < MAX_SLOTS or mask & (mask + 1):
        return None
    return ctypes.string_at(address, (mask + 1) * ENTRY)


def _ordered(away: dict[int, tuple[Any, int]], slots: memoryview, mask: int) -> Iterable[Any]:
    """Return the items that are not in the first slot of their hash so that each finds those before its own taken."""
    waits: dict[int, set[int]] = {}
    for slot, (_, number) in away.items():
        passed = set(itertools.takewhile(slot.__ne__, _probes(number, mask)))
        if any(slots[2 * each] == UNUSED for each in passed):
            return []  # no table that CPython makes
        waits[slot] = passed & away.keys()
    ordered: dict[int, Any] = {}
    while len(ordered) < len(away):
        ready = [slot for slot in away if slot not in ordered and waits[slot] <= ordered.keys()]
        if not ready:
            return []
        ordered.update((slot, away[slot][0]) for slot in ready)
    return ordered.values()


def _probes(number: int, mask: int) -> Iterable[int]:
    perturb = number & HASH_BITS
    first = perturb & mask
    while True:
        yield from range(first, first + 1 + (LINEAR_PROBES if first + LINEAR_PROBES <= mask else 0))
        perturb >>= PERTURB_SHIFT
        first = (first * 5 + 1 + perturb) & mask


class NotANumber:
    """A NaN, which equals nothing but is found by what it is. It stands for it in a pickle; that one is its `value`.

    place: module and name of one that a library has; else the bits of one of the notebook's own.
    """

    def __init__(self, place: tuple[str, str] | None, bits: bytes) -> None:
        self._arguments = place, bits
        own: float
        (own,) = struct.unpack("d", bits)
        self.value = own if place is None else getattr(importlib.import_module(place[0]), place[1], own)

    @classmethod
    def of(cls, value: float) -> NotANumber:
        """Return what stands for a NaN."""
        places = (place for place in NAN_PLACES if getattr(sys.modules.get(place[0]), place[1], None) is value)
        return cls(next(places, None), struct.pack("d", value))

    def __reduce__(self) -> tuple[Any, ...]:
        return NotANumber, self._arguments


def may_hold(data: bytes) -> bool:
    """Tell whether there may be sets or NaN in a pickle."""
    return any(sign in data for sign in SIGNS)


def stand_ins(met: list[Any], does_hold: Callable[[Any], bool]) -> dict[int, Arranged | NotANumber]:
    """Return what is to stand for which of the objects `met`, by their ids.

    does_hold: tells of a frozen set whether it holds what can change, and so perhaps itself. Such one is left alone.
    """
    found: dict[int, Arranged | NotANumber] = {}
    sets = itertools.chain(_of_type(met, set), itertools.filterfalse(does_hold, _of_type(met, frozenset)))
    for value in sets:
        if id(value) not in found and (arranged := Arranged.of(value)) is not None:
            found[id(value)] = arranged
    for number in filter(isnan, _of_type(met, float)):
        found.setdefault(id(number), NotANumber.of(number))
    return found


def _of_type(met: list[Any], cls: type) -> Iterable[Any]:
    """Without a step of Python for each: there may be millions."""
    return itertools.compress(met, map(operator.is_, map(type, met), itertools.repeat(cls)))
