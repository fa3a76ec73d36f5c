"""Modules that register something with others when they are imported, as accessors of pandas and colormaps are.

Which ones these are is told by looking, before and after an import statement, at what other packages' modules, their
classes and the instances in them hold, two levels deep. A later cell that has such a package but does not import the
module itself imports it all the same.
"""

from __future__ import annotations

import ast
import sys
import types
from typing import TYPE_CHECKING, Any

from cellstack_guest import exclusions, nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTAINERS = frozenset({dict, list, set})
_NONE_OF_THESE = frozenset({*nodes.ATOMS, types.FunctionType, types.BuiltinFunctionType, types.ModuleType})

Holdings = dict[int, tuple[str, int]]  # by address: the package, and a hash of what is held


def modules_of(statement: ast.stmt) -> list[str]:
    """Return the modules that an import statement names, as far as its text tells."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        below = [f"{statement.module}.{alias.name}" for alias in statement.names]
        return [statement.module, *(name for name in below if name in sys.modules)]
    return []


def is_of_interest(statement: ast.stmt) -> bool:
    """Tell whether a statement is going to import a module that was installed."""
    return any(name not in sys.modules and not exclusions.is_standard(name) for name in modules_of(statement))


def holdings() -> Holdings:
    """Return what the public modules of the packages that are imported hold."""
    found: Holdings = {}
    for name, module in list(sys.modules.items()):
        if type(module) is types.ModuleType and "._" not in name and not exclusions.is_standard(name):
            package = name.partition(".")[0]
            for obj in _objects(name, module):
                if id(obj) not in found:
                    found[id(obj)] = package, _content(obj)
    return found


def changed(before: Holdings, after: Holdings) -> set[str]:
    """Return the packages of which something holds other things than before."""
    return {
        package for address, (package, content) in before.items() if after.get(address, ("", content))[1] != content
    }


def _objects(name: str, module: types.ModuleType) -> Iterator[Any]:
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
    if cls is dict and not isinstance(next(iter(obj), None), (type, types.FunctionType)):
        return hash(tuple(map(id, obj.values())))
    if cls in _CONTAINERS:
        return 0 if cls is dict else hash(tuple(map(id, obj)))
    return hash(tuple(map(id, nodes.namespace(obj).values())))
