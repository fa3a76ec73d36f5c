"""What of libraries cannot be found by looking at objects: it lives in C or in the process, or is made by a call.

Each module has what its library needs. SETTINGS: values with a reader and a writer, read before and after every cell.
HANDLERS: functions that reduce instances of a type, by the type's module and qualified name. FIXED: module and name of
objects of which there is one in every process: a variable that holds one is bound to that one again. AFTER_FORK: module
and a function that is called in the process of a cell when its zygote has imported that module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellstack_guest.adapters import (
    charts,
    matplotlib,
    numpy,
    options,
    pandas,
    param,
    process,
    standard,
    torch,
    traitlets,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellstack_guest.settings import Setting

_ALL: tuple[Any, ...] = (process, standard, numpy, pandas, matplotlib, torch, options, charts, traitlets, param)
SETTINGS: tuple[Setting, ...] = tuple(each for module in _ALL for each in getattr(module, "SETTINGS", ()))
BY_NAME = {setting.name: setting for setting in SETTINGS}
HANDLERS: dict[tuple[str, str], Callable[[Any], Any]] = {
    name: handler for module in _ALL for name, handler in getattr(module, "HANDLERS", {}).items()
}
AFTER_FORK: tuple[tuple[str, Callable[[], None]], ...] = tuple(
    each for module in _ALL for each in getattr(module, "AFTER_FORK", ())
)
FIXED: tuple[tuple[str, str], ...] = tuple(each for module in _ALL for each in getattr(module, "FIXED", ()))
