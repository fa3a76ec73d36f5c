"""Telling of imports that the code of a cell makes, and of the environment variables that they find."""

from __future__ import annotations

import bisect
import contextlib
import importlib.abc
import os
import sys

# By names of this module: a cell may put other functions in the place of those of `os` and the like while it runs.
from os import getpid
from threading import get_ident
from typing import TYPE_CHECKING, Any

from cellstack_guest.ambient import TellingLoader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType


class OuterImports(importlib.abc.MetaPathFinder):
    """Calls `begins` before, and `done` after, an import that is no part of another one, while `is_wanted`.

    Not in a thread or a child of the cell's own, in which nothing could be noted for the cell.
    """

    def __init__(self, begins: Callable[[str], None], done: Callable[[], None]) -> None:
        self.is_wanted = self.is_under_way = False
        self._begins, self._done = begins, done
        self._home = getpid(), get_ident()

    def watch(self) -> None:
        """Be wanted, and see every import before any other finder does."""
        self.is_wanted = True
        if sys.meta_path[0] is not self:
            sys.meta_path[:] = [self, *(finder for finder in sys.meta_path if finder is not self)]

    def end(self) -> None:
        """Be wanted no more, and out of the way."""
        self.is_wanted = False
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the other finders give, with a loader that tells us."""
        if not self.is_wanted or self.is_under_way or self._home != (getpid(), get_ident()):
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            self._begins(name)
            spec.loader = _OuterLoader(self, spec.loader, self._done)
        return spec


class Environs(importlib.abc.MetaPathFinder):
    """Notes in which order modules are imported, and with which environment variables: some are made by them."""

    def __init__(self) -> None:
        self._noted = [(0, _environment())]  # each with how many modules there were before
        self._outer: dict[str, int] = {}  # what was not imported by another one, and its place among these

    def watch(self) -> None:
        """Take note from now on."""
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, *_: Any) -> None:
        """Find nothing, and note what there is now."""
        # What a module sets for those that it imports it sets wherever it is imported.
        if not is_in_import():
            self._note(len(sys.modules))
            self._outer.setdefault(name, len(self._outer))

    def _note(self, count: int) -> None:
        if self._noted[-1][1] != _variables():
            self._noted.append((count, _environment()))

    def grouped(self, places: Mapping[str, int]) -> list[dict[str, Any]]:
        """Return modules, {"names", "environ": what differs from the process that this one was forked from, by name}.

        places: how many modules there were before each was complete. Those that others have imported come after them.
        The last of what is returned is for the environment as it is.
        """
        self._note(len(sys.modules))
        starts = [start for start, _ in self._noted]
        names: list[list[str]] = [[] for _ in starts]
        for name in sorted(places, key=lambda name: self._outer.get(name, len(self._outer))):
            names[bisect.bisect_right(starts, places[name]) - 1].append(name)
        found = [
            {"names": each, "environ": _difference(self._noted[0][1], environment)}
            for each, (_, environment) in zip(names, self._noted, strict=True)
        ]
        return [each for each in found[:-1] if each["names"]] + [each for each in found[-1:] if any(each.values())]


def is_in_import(*, besides: str = "") -> bool:
    """Tell whether the code of a module, other than the one named `besides`, is under way."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None and not (
        frame.f_code.co_name == "exec_module" and getattr(frame.f_locals.get("module"), "__name__", None) != besides
    ):
        frame = frame.f_back
    return frame is not None


def _variables() -> dict[bytes, bytes]:
    data: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001  a thousand times a cell
    return data


def _environment() -> dict[bytes, bytes]:
    return dict(_variables())


def _difference(before: dict[bytes, bytes], after: dict[bytes, bytes]) -> dict[str, str | None]:
    changed = {name: after.get(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return {os.fsdecode(name): None if value is None else os.fsdecode(value) for name, value in sorted(changed.items())}


@contextlib.contextmanager
def environment(difference: Mapping[str, str | None]) -> Iterator[None]:
    """Have other environment variables for a while; None in place of a value stands for one that is not there."""
    before = {name: os.environ.get(name) for name in difference}
    _set(difference)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


class _OuterLoader(TellingLoader):
    def __init__(self, finder: OuterImports, loader: Any, done: Callable[[], None]) -> None:
        super().__init__(loader, done)
        self._finder = finder

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module; what it imports, and what is imported to tell of it, is part of this import."""
        self._finder.is_under_way = True
        try:
            super().exec_module(module)
        finally:
            self._finder.is_under_way = False
