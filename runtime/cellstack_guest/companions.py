"""Modules that register something with others when they are imported, as accessors of pandas and colormaps are.

Which ones these are is told by looking, while an import statement runs, at what other packages' modules, their classes
and the instances in them hold, two levels deep. A later cell that has such a package but does not import the
module itself imports it all the same.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.abc
import itertools
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from cellstack_guest import exclusions, nodes
from cellstack_guest.ambient import TellingLoader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from importlib.machinery import ModuleSpec

_CONTAINERS = frozenset({dict, list, set})
_NONE_OF_THESE = frozenset({*nodes.ATOMS, FunctionType, BuiltinFunctionType, ModuleType})

Holdings = dict[int, int]  # by address: a hash of what is held


def modules_of(statement: ast.stmt) -> list[str]:
    """Return the modules that an import statement names, as far as its text tells."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        below = [f"{statement.module}.{alias.name}" for alias in statement.names]
        return [statement.module, *(name for name in below if name in sys.modules)]
    return []


def is_there(module: str) -> bool:
    """Tell whether importing a module does nothing that is looked at."""
    return module in sys.modules or exclusions.is_standard(module)


class Registrations(importlib.abc.MetaPathFinder):
    """Tells of which packages an import statement changes what they hold.

    A package is looked at when its import begins and when that is over: what it does itself is not counted.
    """

    def __init__(self) -> None:
        self._statement: ast.stmt | None = None
        self._held: dict[str, Holdings] = {}
        self._changed: set[str] = set()
        self._under_way: set[str] = set()  # packages of which a module is being imported

    def begin(self, statement: ast.stmt) -> None:
        """Look at an import statement, where it is going to import a module that was installed."""
        if all(map(is_there, modules_of(statement))):
            return
        self._statement, self._changed = statement, set()
        self._under_way = {name.partition(".")[0] for name in modules_of(statement)}
        for package, modules in _packages().items():
            if package not in self._held:
                self._held[package] = _holdings(modules)
        sys.meta_path.insert(0, self)

    def end(self) -> list[tuple[str, str]]:
        """Return pairs of a package that was changed and a module that the statement has imported."""
        if self._statement is None:
            return []
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for package, modules in _packages().items():
            self._look_at(package, _holdings(modules))
        imported = [name for name in modules_of(self._statement) if name in sys.modules]
        self._statement = None
        return list(itertools.product(sorted(self._changed), imported))

    def forget(self) -> None:
        """Look at everything anew at the next import statement, since code runs between."""
        self._held = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the other finders give for a module of another package, with a loader that tells us."""
        package = name.partition(".")[0]
        if package in self._under_way or exclusions.is_standard(name):
            return None
        self._under_way.add(package)  # other finders ask all finders, too
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        self._under_way.discard(package)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _WitnessedLoader(self, package, spec.loader)
        return spec

    @contextlib.contextmanager
    def importing(self, package: str) -> Iterator[None]:
        """Take what the package holds afterwards for what it holds of itself."""
        self._look_at(package, _holdings(_packages().get(package, ())))
        self._under_way.add(package)
        try:
            yield
        finally:
            self._held[package] = _holdings(_packages().get(package, ()))
            self._under_way.discard(package)

    def _look_at(self, package: str, now: Holdings) -> None:
        before = self._held.get(package, {})
        if package not in self._under_way and any(now.get(address, held) != held for address, held in before.items()):
            self._changed.add(package)
        self._held[package] = now


class _WitnessedLoader(TellingLoader):
    def __init__(self, registrations: Registrations, package: str, loader: Any) -> None:
        super().__init__(loader, lambda: None)
        self._registrations, self._package = registrations, package

    def exec_module(self, module: ModuleType) -> None:
        with self._registrations.importing(self._package):
            super().exec_module(module)


def _packages() -> dict[str, list[tuple[str, ModuleType]]]:
    """Return the public modules of the packages that are imported and were installed."""
    found: dict[str, list[tuple[str, ModuleType]]] = {}
    for name, module in list(sys.modules.items()):
        if type(module) is ModuleType and "._" not in name and not exclusions.is_standard(name):
            found.setdefault(name.partition(".")[0], []).append((name, module))
    return found


def _holdings(modules: Iterable[tuple[str, ModuleType]]) -> Holdings:
    found: Holdings = {}
    for name, module in modules:
        for obj in _objects(name, module):
            if id(obj) not in found:
                found[id(obj)] = _content(obj)
    return found


def _objects(name: str, module: ModuleType) -> Iterator[Any]:
    """Yield what of a module something may be registered with."""
    for key, value in list(vars(module).items()):
        cls = type(value)
        if cls in _NONE_OF_THESE or key.startswith("__") or exclusions.is_cache(key):
            continue
        if cls in _CONTAINERS:
            yield value
        elif (
            value.__module__ == name
            if issubclass(cls, type)
            else cls.__flags__ & nodes.HEAP_TYPE and nodes.is_node(value)
        ):
            yield value
            for part_key, part in list(nodes.namespace(value).items()):
                if type(part) in _CONTAINERS and not exclusions.is_cache(part_key):
                    yield part


def _content(obj: Any) -> int:
    """Return a hash that tells which parts an object has; what libraries know of their own functions is not told."""
    cls = type(obj)
    if cls is dict and not isinstance(next(iter(obj), None), (type, FunctionType)):
        return hash(tuple(map(id, obj.values())))
    if cls in _CONTAINERS:
        return 0 if cls is dict else hash(tuple(map(id, obj)))
    return hash(tuple(map(id, nodes.namespace(obj).values())))
