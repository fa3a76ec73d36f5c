"""What of libraries cannot be found by looking at objects: it lives in C or in the process, or is made by a call.

Each module has what its library needs. SETTINGS: values with a reader and a writer, read before and after every cell.
HELD: objects of the notebook that a library keeps in C, read after every cell. CALLS: functions whose calls are noted,
as what they do cannot be read. MAKERS: functions whose arguments are noted. HANDLERS: functions that reduce instances
of a type, by the type's module and qualified name. FIXED: module and name of objects of which there is one in every
process: a variable that holds one is bound to that one again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellstack_guest.adapters import (
    arrow,
    charts,
    databases,
    documents,
    matplotlib,
    numpy,
    options,
    pandas,
    pictures,
    process,
    scipy,
    standard,
    sympy,
    torch,
    widgets,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellstack_guest.calls import Calls, Maker
    from cellstack_guest.settings import Held, Setting

_ALL: tuple[Any, ...] = (
    *(process, standard, numpy, scipy, sympy, pandas, arrow, matplotlib, pictures, charts, torch, options),
    *(documents, databases, widgets),
)
SETTINGS: tuple[Setting, ...] = tuple(each for module in _ALL for each in getattr(module, "SETTINGS", ()))
BY_NAME = {setting.name: setting for setting in SETTINGS}
CALLS: tuple[Calls, ...] = tuple(each for module in _ALL for each in getattr(module, "CALLS", ()))
MAKERS: tuple[Maker, ...] = tuple(each for module in _ALL for each in getattr(module, "MAKERS", ()))
HELD: dict[str, Held] = {
    held.key: held
    for held in (*(each for module in _ALL for each in getattr(module, "HELD", ())), *(each.held for each in CALLS))
}
HANDLERS: dict[tuple[str, str], Callable[[Any], Any]] = {
    name: handler for module in _ALL for name, handler in getattr(module, "HANDLERS", {}).items()
}
FIXED: tuple[tuple[str, str], ...] = tuple(each for module in _ALL for each in getattr(module, "FIXED", ()))
