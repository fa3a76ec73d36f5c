"""What `functools.lru_cache` has kept, with its counts.

It cannot be asked for, nor given back, but the garbage collector is told, and while the function's place is taken by
one that knows the results, calls fill the cache as they did.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from cellstack_guest.reducers import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

CACHED: type = type(functools.lru_cache(len))
_WORD = ctypes.sizeof(ctypes.c_ssize_t)


class Content(NamedTuple):
    """entries: positional and keyword arguments with their result, the least recently used first."""

    entries: list[tuple[tuple[Any, ...], dict[str, Any], Any]]
    hits: int
    misses: int


class Kept:
    """Stands for the content of a cache where the function itself comes from a module."""

    def __init__(self, function: Any) -> None:
        self.function = function


def reduce_kept(kept: Kept, *, empty: bool) -> Any:
    """Return the reduction to the content. empty: as if the function had not been called."""
    return (Content, tuple(Content([], 0, 0) if empty else content(kept.function)))


def content(function: Any) -> Content:
    """Return what the cache of a function holds."""
    info, typed = function.cache_info(), function.cache_parameters()["typed"]
    # Keys, results and their kind, in the order of their use; then what the function itself consists of.
    *links, kept, _, mark, kind, _, _ = gc.get_referents(function)
    pairs: Any = ()
    if info.maxsize is None:
        pairs = list(kept.items())
    elif info.currsize:
        links = [each for each in links if each is not kind and each is not CACHED]
        pairs = zip(links[::2], links[1::2], strict=True)
    entries = [(*_arguments(key, mark, typed=typed), result) for key, result in pairs]
    return Content(entries, info.hits, info.misses)


def _arguments(key: Any, mark: object, *, typed: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments that a key was made of, as `lru_cache_make_key` in Modules/_functoolsmodule.c does."""
    if type(key) is not tuple:
        return (key,), {}
    parts = tuple(key)
    place = next((place for place, each in enumerate(parts) if each is mark), None)
    if place is None:
        return parts[: len(parts) // 2] if typed else parts, {}
    named = parts[place + 1 :]
    if typed:  # then the types of all of them follow
        named = named[: 2 * (len(named) - place) // 3]
    return parts[:place], dict(zip(named[::2], named[1::2], strict=True))


def fill(function: Any, kept: Content) -> None:
    """Give the cache of a function this content."""
    function.cache_clear()
    places = _places()
    results = iter(kept.entries)

    def recall(*_: Any, **__: Any) -> Any:
        return next(results)[2]

    own = _word(function, places["function"])
    own.value, before = id(recall), own.value
    try:
        for arguments, options, _ in kept.entries:
            function(*arguments, **options)
    finally:
        own.value = before
    _word(function, places["hits"]).value = kept.hits
    _word(function, places["misses"]).value = kept.misses


def _word(obj: object, place: int) -> ctypes.c_ssize_t:
    return ctypes.c_ssize_t.from_address(id(obj) + place * _WORD)


@functools.cache
def _places() -> dict[str, int]:
    """Return which words of such a function are what, found out by looking at one; LookupError if none are."""

    def doubled(number: int) -> int:
        return 2 * number

    probe: Any = functools.lru_cache(maxsize=1009)(doubled)
    for number in (*range(107), *range(53)):
        probe(number)
    words = [_word(probe, place).value for place in range(CACHED.__basicsize__ // _WORD)]
    sought = {"function": id(doubled), "hits": 53, "misses": 107}
    if any(words.count(value) != 1 for value in sought.values()):
        raise LookupError(f"the cache of Python {sys.version.split()[0]} is not known")
    return {name: words.index(value) for name, value in sought.items()}


def reduce_cached(function: Any, *, empty: bool) -> Any:
    """Return the reduction of a function with an `lru_cache`. empty: as if it had not been called."""
    found: Any = sys.modules.get(function.__module__) if function.__module__ != "__main__" else None
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is function:
        return NotImplemented
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is None:
        return refuse(function)
    options = function.cache_parameters()
    kept = None if empty else content(function)
    arguments = (wrapped, options["maxsize"], options["typed"])
    return (make_cached, arguments, (function.__dict__, kept), None, None, set_cached)


def make_cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """Return a function with an empty `lru_cache`."""
    return functools.lru_cache(maxsize, typed)(function)


def set_cached(function: Any, state: tuple[dict[str, Any], Content | None]) -> None:
    """Give a function its attributes, and its cache what it had kept."""
    attributes, kept = state
    function.__dict__.update(attributes)
    if kept is not None:
        fill(function, kept)
