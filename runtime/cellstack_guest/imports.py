"""Telling of imports that the code of a cell makes below its statements."""

from __future__ import annotations

import importlib.abc
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from cellstack_guest.ambient import TellingLoader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class OuterImports(importlib.abc.MetaPathFinder):
    """Calls `done` after an import that is no part of another one, while `is_wanted`.

    Not in a thread or a child of the cell's own, in which nothing could be noted for the cell.
    """

    def __init__(self, done: Callable[[], None]) -> None:
        self.is_wanted = self.is_under_way = False
        self._done = done
        self._home = os.getpid(), threading.get_ident()

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
        if not self.is_wanted or self.is_under_way or self._home != (os.getpid(), threading.get_ident()):
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _OuterLoader(self, spec.loader, self._done)
        return spec


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
