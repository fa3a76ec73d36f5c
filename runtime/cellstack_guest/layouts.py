"""Where CPython keeps the words that change with an object: its own fields, and what it points to.

Of Include/cpython and Include/internal up to 3.12: a dict has a version (PEP 509), an instance a dict or an array in
place of it. Nothing is called and nothing is made by looking.
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

IS_KNOWN = sys.version_info < (3, 13)
_MANAGED_DICT = 1 << 4  # Py_TPFLAGS_ of <object.h>


# The memory of this process as words: that at address `a` is number `a >> 3`.
MEMORY = memoryview((ctypes.c_ubyte * (1 << 47)).from_address(0)).cast("B").cast("Q")


def places(obj: Any) -> Iterator[int]:
    """Yield the places of the words that change with the object."""
    cls: Any = type(obj)
    address = id(obj)
    if issubclass(type(obj), type):
        yield from _dict_places(id(gc.get_referents(nodes.namespace(obj))[0]))
        if issubclass(type(obj), abc.ABCMeta):
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
        yield from range(items, items + min(len(obj), nodes.MAX_PARTS))
    elif issubclass(type(obj), set):
        yield from range((address + 16) >> 3, (address + 16 + 32) >> 3)
        size, table = MEMORY[(address + 32) >> 3] + 1, MEMORY[(address + 40) >> 3] >> 3
        yield from range(table, table + 2 * min(size, nodes.MAX_PARTS))
    elif issubclass(type(obj), collections.deque):
        yield from range((address + 16) >> 3, (address + collections.deque.__basicsize__) >> 3)
    for _, slot in nodes.slots_of(cls):
        yield (address + MEMORY[(MEMORY[(id(slot) + 40) >> 3] + 16) >> 3]) >> 3  # d_member->offset
    if cls.__flags__ & _MANAGED_DICT:
        yield from _managed_places(address)
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
    yield (address + 24) >> 3  # ma_version_tag


def _managed_places(address: int) -> Iterator[int]:
    """Yield the places of what an instance has in place of a dict (Include/internal/pycore_object.h)."""
    if sys.version_info < (3, 12):
        yield (address - 32) >> 3
        yield (address - 24) >> 3
        values, namespace = MEMORY[(address - 32) >> 3], MEMORY[(address - 24) >> 3]
    else:
        yield (address - 24) >> 3
        word = MEMORY[(address - 24) >> 3]
        values, namespace = (word - 1, 0) if word & 1 else (0, word)
    if values:
        # Before them stand, from the last byte on: the size of what stands there, how many there are, which.
        yield (values - 8) >> 3
        for place in range(values - 3, values - 3 - (MEMORY[(values - 8) >> 3] >> 48 & 0xFF), -1):
            yield (values >> 3) + (MEMORY[place >> 3] >> (place & 7) * 8 & 0xFF)
    if namespace:
        yield from _dict_places(namespace)
