"""Arrays of texts, as frames have them: saved as one long text, and known to be unchanged without looking at it.

A million strings are a million objects: pickled one by one they take longer to load and to save than anything else in
a frame. Here they are joined, each distinct one once where many are the same, and split again. What was loaded is
remembered, so that an array which still holds the very same objects is saved as where it came from.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import sys
import weakref
from dataclasses import dataclass
from functools import partial
from pickle import PickleBuffer
from typing import Any

from cellstack_guest import layouts

MIN_SIZE = 1000
_SEPARATORS = ("\0", "\x1f", "\ufffd")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What an array was made of. texts: the distinct strings, an array of objects if there are codes, else a list."""

    array: weakref.ref[Any]
    texts: Any
    codes: Any
    arguments: tuple[Any, ...]


_loaded: dict[int, _Loaded] = {}


def reduce_texts(array: Any) -> Any:
    """Return the reduction of an array of objects that owns its memory; NotImplemented if they are not all texts.

    None, NaN and pandas.NA may be among them.
    """
    numpy = sys.modules["numpy"]
    if type(array) is not numpy.ndarray or array.size < MIN_SIZE or not (flags := array.flags).forc:
        return NotImplemented
    known = _loaded.get(id(array))
    is_known = known is not None and known.array() is array and _is_as_loaded(array, known, numpy)
    made = known.arguments if known is not None and is_known else _joined(array.ravel("K").tolist(), numpy)
    return NotImplemented if made is None else (load_texts, (*made, array.shape, _order(array), flags.writeable))


def load_texts(
    text: Any,
    separator: str,
    others: dict[int, Any],
    codes: Any,
    shape: tuple[int, ...],
    order: str,
    writeable: bool,
) -> Any:
    """Build an array of texts. others: what stands among the distinct ones in place of a text, by place."""
    numpy = sys.modules["numpy"]
    found: Any = str(text, "utf-8", "surrogatepass").split(separator)
    array = numpy.empty(shape, object, order)
    flat = array.ravel("K")
    if codes is None:
        flat[:] = found
    else:
        distinct = numpy.empty(len(found), object)
        distinct[:] = found
        for place, value in others.items():
            distinct[place] = value
        found = distinct
        codes = numpy.frombuffer(codes, numpy.uint32)
        flat[:] = distinct[codes]
    array.setflags(write=writeable)
    made_of = (PickleBuffer(text), separator, others, None if codes is None else PickleBuffer(codes))
    _loaded[id(array)] = _Loaded(weakref.ref(array, partial(_forget, id(array))), found, codes, made_of)
    return array


def _forget(address: int, _: object) -> None:
    _loaded.pop(address, None)


def _joined(objects: list[Any], numpy: Any) -> tuple[Any, ...] | None:
    """Return text, separator, others and codes of `load_texts`; None where they cannot be."""
    kinds = set(map(type, objects))
    if str not in kinds:
        return None
    others: dict[int, Any] = {}
    codes = None
    distinct: list[Any] = list(dict.fromkeys(objects)) if all(map(_is_known, kinds)) else []
    if not distinct or not all(type(each) is str or _is_missing(each) for each in distinct):
        return None
    if len(kinds) > 1 or len(distinct) <= len(objects) // 2:
        places = dict(zip(distinct, itertools.count()))
        codes = numpy.fromiter(map(places.__getitem__, objects), numpy.uint32, len(objects))
        others = {place: each for place, each in enumerate(distinct) if type(each) is not str}
        objects = [each if type(each) is str else "" for each in distinct]
    for separator in _SEPARATORS:
        text = separator.join(objects)
        if text.count(separator) == len(objects) - 1:
            data = PickleBuffer(text.encode("utf-8", "surrogatepass"))
            return data, separator, others, None if codes is None else PickleBuffer(codes)
    return None


def _is_known(kind: type) -> bool:
    return kind in (str, type(None), float) or kind.__name__ == "NAType"


def _is_missing(value: Any) -> bool:
    return value is None or (math.isnan(value) if type(value) is float else type(value).__name__ == "NAType")


def _is_as_loaded(array: Any, known: _Loaded, numpy: Any) -> bool:
    """Whether an array still holds the objects that it was loaded with, which cannot change."""
    if not layouts.IS_KNOWN:
        return False
    now = _words(array.ctypes.data, array.size, numpy)
    if known.codes is None:
        before = _words(_items_of(known.texts), len(known.texts), numpy)
    else:
        before = _words(known.texts.ctypes.data, known.texts.size, numpy)[known.codes]
    return bool(numpy.array_equal(now, before))


def holds_the_same(now: list[Any], before: list[Any]) -> bool:
    """Whether two lists hold the very same objects in the same order; False where their layout is not known."""
    if not layouts.IS_KNOWN or len(now) != len(before):
        return False
    return ctypes.string_at(_items_of(now), 8 * len(now)) == ctypes.string_at(_items_of(before), 8 * len(now))


def _items_of(objects: list[Any]) -> int:
    """Return the address of a list's array of pointers: `ob_item` of <listobject.h>."""
    return layouts.MEMORY[(id(objects) + 24) >> 3]


def _words(address: int, count: int, numpy: Any) -> Any:
    return numpy.frombuffer(layouts.MEMORY[address >> 3 : (address >> 3) + count], numpy.uint64)


def _order(array: Any) -> str:
    return "C" if array.flags.c_contiguous else "F"
