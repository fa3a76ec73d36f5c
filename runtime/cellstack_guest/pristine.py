"""The functions of the standard library that saving needs, whatever the cell has put in their place.

`os.path.exists = lambda path: False`, `unittest.mock.patch("os.getcwd")` and the like hold for the cell's code; what
it calls is not what a variable is to be written with.
"""

from __future__ import annotations

import builtins
import genericpath
import io
import json
import operator
import os
import pickle
import posixpath
import select
import signal
import stat
import struct
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

from cellstack_guest import layouts

if TYPE_CHECKING:
    from types import ModuleType

_MODULES = (
    *(builtins, os, posixpath, genericpath, stat, io, json, json.encoder, json.decoder, pickle, struct, time),
    *(select, signal, tempfile, threading),
)
_MISSING = object()
_Patch = tuple[dict[str, Any], str, Any, Any]  # of a namespace a name, what was there, and what is


class _Names:
    """The functions and classes that a module had."""

    def __init__(self, module: ModuleType) -> None:
        self.namespace = vars(module)
        self._had = {name: value for name, value in self.namespace.items() if callable(value)}
        self._words: list[tuple[slice, bytes]] = []
        self._look(module)

    def patched(self) -> list[_Patch]:
        """Return which are others now."""
        # Looking at hundreds of names takes longer than all the rest of saving a number.
        if self._words and all(layouts.MEMORY[place].tobytes() == words for place, words in self._words):
            return []
        if all(map(operator.is_, map(self.namespace.get, self._had), self._had.values())):
            return []
        now = ((name, value, self.namespace.get(name, _MISSING)) for name, value in self._had.items())
        return [(self.namespace, name, value, found) for name, value, found in now if found is not value]

    def _look(self, module: ModuleType) -> None:
        """Take down the words that change with the module, in their order: the first say where the others are."""
        places = [*layouts.places(module)] if layouts.IS_KNOWN else []
        starts = [at for at, place in enumerate(places) if at == 0 or place != places[at - 1] + 1]
        for start, end in zip(starts, [*starts[1:], len(places)], strict=True):
            place = slice(places[start], places[end - 1] + 1)
            self._words.append((place, layouts.MEMORY[place].tobytes()))


_known: list[_Names] = []


def learn() -> None:
    """Take down what is there, before any code of a cell has run in this process or those that it was forked from."""
    if not _known or any(names.patched() for names in _known):
        _known[:] = map(_Names, _MODULES)


class undone:  # noqa: N801  made for each use, and used as a function
    """Has everything as it was meanwhile; what a cell has put in its place is there again afterwards."""

    def __enter__(self) -> None:
        self._patches = [patch for names in _known for patch in names.patched()]
        for namespace, name, before, _ in self._patches:
            namespace[name] = before

    def __exit__(self, *_: object) -> None:
        for namespace, name, before, patched in self._patches:
            if namespace.get(name) is before:  # else a thread of the cell has set it since
                if patched is _MISSING:
                    del namespace[name]
                else:
                    namespace[name] = patched
