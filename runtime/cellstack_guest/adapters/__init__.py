"""What of libraries cannot be found by looking at objects: it lives in C or in the process, or is made by a call.

Each module has what its library needs. SETTINGS: values with a reader and a writer, read before and after every cell.
HOOKS: what cells register or give to a library, read after every cell (`hooks.py`). CALLS: functions whose calls are
noted, as what they do cannot be read. MAKERS: functions whose arguments are noted. HANDLERS: functions that reduce
instances of a type, by the type's module and qualified name. FIXED: module and name of objects of which there is one in
every process: a variable that holds one is bound to that one again. AFTER_FORK: module and a function that is called in
the process of a cell when its zygote has imported that module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellstack_guest.adapters import (
    arrow,
    callbacks,
    charts,
    concurrency,
    ctypes,
    databases,
    documents,
    hdf5,
    ipython,
    jax,
    language,
    matplotlib,
    numpy,
    options,
    pandas,
    param,
    pictures,
    pint,
    process,
    scipy,
    spacy,
    sqlite,
    standard,
    sympy,
    torch,
    traitlets,
    warned,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellstack_guest.calls import Calls, Maker
    from cellstack_guest.hooks import Hook
    from cellstack_guest.settings import Setting

_ALL: tuple[Any, ...] = (
    *(process, callbacks, language, standard, sqlite, concurrency, ctypes, ipython),
    *(numpy, scipy, sympy, pandas, arrow, matplotlib, pictures, charts, torch, options),
    *(documents, databases, hdf5, traitlets, param, jax, pint, spacy, warned),
)
SETTINGS: tuple[Setting, ...] = tuple(each for module in _ALL for each in getattr(module, "SETTINGS", ()))
CALLS: tuple[Calls, ...] = tuple(each for module in _ALL for each in getattr(module, "CALLS", ()))
MAKERS: tuple[Maker, ...] = tuple(each for module in _ALL for each in getattr(module, "MAKERS", ()))
HANDLERS: dict[tuple[str, str], Callable[[Any], Any]] = {
    name: handler for module in _ALL for name, handler in getattr(module, "HANDLERS", {}).items()
}
AFTER_FORK: tuple[tuple[str, Callable[[], None]], ...] = tuple(
    each for module in _ALL for each in getattr(module, "AFTER_FORK", ())
)
FIXED: tuple[tuple[str, str], ...] = tuple(each for module in _ALL for each in getattr(module, "FIXED", ()))
HOOKS: dict[str, Hook] = {
    each.key: each
    for each in (*(each for module in _ALL for each in getattr(module, "HOOKS", ())), *(each.hook for each in CALLS))
}
