"""Functions and classes of modules in whose place cells have put something else.

`_sqrt = math.sqrt; math.sqrt = f` leaves in `_sqrt` what a pickle refers to by the name "math.sqrt", where something
else is now. Such a name always stands for what the module itself has there. A process that is new has all of it;
what cells have put there is put there again, and what it takes the place of is kept here.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from cellstack_guest import nodes

if TYPE_CHECKING:
    from cellstack_guest.baseline import Baseline

_MISSING = object()
_kept: dict[
    tuple[int, str], tuple[Any, Any]
] = {}  # by the address of a module or class, which is kept with it, and name


def are_kept() -> bool:
    """Tell whether there are any."""
    return bool(_kept)


def keep(owner: Any, name: str) -> None:
    """Keep what a module or a class has as an attribute, before another value takes its place for the first time."""
    if issubclass(type(owner), (type, types.ModuleType)) and name in nodes.namespace(owner):
        _kept.setdefault((id(owner), name), (owner, nodes.namespace(owner)[name]))


def find(module: str, name: str) -> Any:
    """Return what a module itself has by a dotted name."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = _kept[id(found), part][1] if (id(found), part) in _kept else getattr(found, part)
    return found


def place_of(obj: Any, baseline: Baseline | None) -> tuple[str, str] | None:
    """Return module and name of a function or class that is not found by them, None when it never was."""
    module, name = obj.__module__, obj.__qualname__
    if not isinstance(module, str) or "<" in name:
        return None
    *outer, last = name.split(".")
    owner: Any = sys.modules.get(module)
    if getattr(owner, "__spec__", None) is None:  # code has made it, and no import finds it
        return None
    for part in outer:
        owner = nodes.namespace(owner).get(part)
    _, known = _kept.get((id(owner), last), (owner, _MISSING))
    is_one = known is obj or (baseline is not None and baseline.had(owner, last, obj))
    return (module, name) if is_one else None


def place_of_builtin(function: types.BuiltinFunctionType) -> tuple[str, str] | None:
    """Return it of a function of a module written in C, which has no other name; None where it is found by it."""
    module: Any = function.__self__
    if type(module) is not types.ModuleType or vars(module).get(function.__name__, function) is function:
        return None
    return module.__name__, function.__name__
