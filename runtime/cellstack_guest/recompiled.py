"""Modules whose source is broken or gone, as they were last: what variables refer to must not be lost by that.

A process that had imported such a module would go on with what it has. Here each cell imports it anew, and Python has
kept what it compiled of the last version that could be imported.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import PathFinder, SourceFileLoader, SourcelessFileLoader
from os.path import exists  # in whose place a cell may put another function
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType


class LastVersions:
    """While it is entered, imports fall back to what is compiled of a module. notify: told of each, in a sentence."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._depth = 0

    def __enter__(self) -> Self:
        if not self._depth:
            # Behind those that watch imports, and ask the others.
            place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
            sys.meta_path.insert(place, self)
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Sequence[str] | None, _: Any = None) -> ModuleSpec | None:
        """Return the spec of a module that is a file with source, or has been one."""
        if name in sys.builtin_module_names:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return self._gone(name, sys.path if path is None else path)
        if type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(name, spec.loader.path, self._notify)
            return spec
        return None

    def _gone(self, name: str, folders: Sequence[str]) -> ModuleSpec | None:
        for folder in folders:
            source = f"{folder or '.'}/{name.rpartition('.')[2]}.py"
            cached = importlib.util.cache_from_source(source)
            if exists(cached):
                self._notify(f"{source} is gone: what earlier cells have of it is of its last version")
                loader = SourcelessFileLoader(name, cached)
                return importlib.util.spec_from_file_location(name, source, loader=loader)
        return None


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, notify: Callable[[str], None]) -> None:
        super().__init__(name, path)
        self._notify = notify

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code of the source; where that has an error in its syntax, of the last that had none."""
        try:
            return super().get_code(fullname)
        except SyntaxError as error:
            cached = importlib.util.cache_from_source(self.path)
            if not exists(cached):
                raise
            where = f"{self.path}, line {error.lineno}"
            self._notify(f"{where}: {error.msg}: what earlier cells have of it is of its last version without an error")
            return SourcelessFileLoader(fullname, cached).get_code(fullname)
