"""Where CPython keeps the words that change with an object: its own fields, and what it points to.

Of Include/cpython and Include/internal of CPython 3.11 to 3.14. Nothing is called and nothing is made by looking.
"""

from __future__ import annotations

import abc
import collections
import ctypes
import gc
import sys
import types
from typing import TYPE_CHECKING, Any

from cellstack_guest import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

IS_KNOWN = sys.version_info < (3, 15) and "t" not in sys.abiflags  # free-threaded
_HAS_VERSIONS = sys.version_info < (3, 13)  # each change of a dict is another number in it (PEP 509)
_MANAGED_DICT, _INLINE_VALUES = 1 << 4, 1 << 2  # Py_TPFLAGS_ of <object.h>


# The memory of this process as words: that at address `a` is number `a >> 3`.
MEMORY = memoryview((ctypes.c_ubyte * (1 << 47)).from_address(0)).cast("B").cast("Q")


def places(obj: Any) -> Iterator[int]:
    """Yield the places of the words that change with the object."""
    cls: Any = type(obj)
    address = id(obj)
    if issubclass(type(obj), type):
        yield from _dict_places(id(gc.get_referents(nodes.namespace(obj))[0]))
        if issubclass(type(obj), abc.ABCMeta) and "_abc_impl" in nodes.namespace(obj):  # see `nodes.parts`
            yield from _registry_places(id(nodes.namespace(obj)["_abc_impl"]))
        return
    if cls is types.ModuleType:
        yield from _dict_places(id(vars(obj)))
        return
    if cls is types.CellType:
        yield (address + 16) >> 3
        return
    if issubclass(type(obj), dict):
        yield from _dict_places(address)
    elif issubclass(type(obj), list):
        yield (address + 16) >> 3
        yield (address + 24) >> 3
        items = MEMORY[(address + 24) >> 3] >> 3
        yield from range(items, items + min(list.__len__(obj), nodes.MAX_PARTS))
    elif issubclass(type(obj), set):
        yield from range((address + 16) >> 3, (address + 16 + 32) >> 3)
        size, table = MEMORY[(address + 32) >> 3] + 1, MEMORY[(address + 40) >> 3] >> 3
        yield from range(table, table + 2 * min(size, nodes.MAX_PARTS))
    elif issubclass(type(obj), collections.deque):
        yield from range((address + 16) >> 3, (address + collections.deque.__basicsize__) >> 3)
    for _, slot in nodes.slots_of(cls):
        yield (address + MEMORY[(MEMORY[(id(slot) + 40) >> 3] + 16) >> 3]) >> 3  # d_member->offset
    if cls.__flags__ & _MANAGED_DICT:
        yield from _managed_places(cls, address)
    elif cls.__dictoffset__ > 0:
        yield (address + cls.__dictoffset__) >> 3
        if MEMORY[(address + cls.__dictoffset__) >> 3]:
            yield from _dict_places(MEMORY[(address + cls.__dictoffset__) >> 3])


def _registry_places(address: int) -> Iterator[int]:
    """Yield the places of what changes when a class is registered with an abstract one (Modules/_abc.c)."""
    yield (address + 16) >> 3
    registry = MEMORY[(address + 16) >> 3]
    if registry:
        yield from range((registry + 16) >> 3, (registry + 32) >> 3)


def _dict_places(address: int) -> Iterator[int]:
    if _HAS_VERSIONS:
        yield (address + 24) >> 3  # ma_version_tag
        return
    yield from range((address + 16) >> 3, (address + 48) >> 3)  # ma_used to ma_values
    keys, values = MEMORY[(address + 32) >> 3], MEMORY[(address + 40) >> 3]
    if values:
        yield from _values_places(values)
        return
    kind = MEMORY[(keys + 8) >> 3]  # dk_log2_size, dk_log2_index_bytes, dk_kind, a byte each
    entries = keys + 32 + (1 << (kind >> 8 & 0xFF))  # after dk_nentries and dk_indices
    words = 2 if kind >> 16 & 0xFF else 3  # of an entry: hash, where the keys are not all texts, key, value
    count = min(MEMORY[(keys + 24) >> 3], nodes.MAX_PARTS)
    yield from range((keys + 24) >> 3, (entries >> 3) + words * count)


def _managed_places(cls: type, address: int) -> Iterator[int]:
    """Yield the places of what an instance has in place of a dict (Include/internal/pycore_object.h)."""
    yield (address - 24) >> 3
    word = MEMORY[(address - 24) >> 3]
    if sys.version_info < (3, 12):
        yield (address - 32) >> 3
        values, namespace = MEMORY[(address - 32) >> 3], word
    elif sys.version_info < (3, 13):
        values, namespace = (word + 1, 0) if word & 1 else (0, word)
    else:
        values, namespace = address + cls.__basicsize__ if cls.__flags__ & _INLINE_VALUES else 0, word
    if values:
        yield from _values_places(values)
    if namespace:
        yield from _dict_places(namespace)


def _values_places(values: int) -> Iterator[int]:
    if sys.version_info >= (3, 13):  # capacity, size, two flags, a byte each, and the values
        yield from range(values >> 3, (values >> 3) + 1 + (MEMORY[values >> 3] & 0xFF))
        return
    # Before them stand, from the last byte on: the size of what stands there, how many there are, which.
    yield (values - 8) >> 3
    for place in range(values - 3, values - 3 - (MEMORY[(values - 8) >> 3] >> 48 & 0xFF), -1):
        yield (values >> 3) + (MEMORY[place >> 3] >> (place & 7) * 8 & 0xFF)
