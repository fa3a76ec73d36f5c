"""Settings that are carried: what one is, and how the libraries' own are kept out of the way of saving and loading."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Setting:
    """One setting. module: where it lives, "" for the interpreter. read: its value, comparable with ==.

    delta: the value is a dict, of which only what differs from the pristine one is saved and written; None in
    place of a value stands for a key that is gone.
    """

    name: str
    module: str
    read: Callable[[], Any]
    write: Callable[[Any], None]
    delta: bool = False

    @property
    def loaded(self) -> bool:
        """Whether the library has been imported completely."""
        return not self.module or is_imported(self.module)

    def difference(self, pristine: Any, now: Any) -> Any:
        """Return what is saved."""
        if not self.delta or pristine is None:
            return now
        gone = dict.fromkeys(pristine.keys() - now.keys())
        return gone | {key: value for key, value in now.items() if key not in pristine or pristine[key] != value}


def by_calls(name: str, where: str, read: str, write: str) -> Setting:
    """Return the setting that two functions of a module read and write."""

    def get() -> Any:
        return getattr(module(where), read)()

    def put(value: Any) -> None:
        getattr(module(where), write)(value)

    return Setting(name, where, get, put)


def is_imported(name: str) -> bool:
    """Tell whether a module has been imported completely."""
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)


def module(name: str) -> Any:
    """Return a module, which is imported only where an object is loaded that needs it."""
    return sys.modules.get(name) or importlib.import_module(name)


def write_filters(filters: list[Any]) -> None:
    """Make these the filters of `warnings`."""
    _replace_filters(filters)
    warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001 - the list is public, the cache is not


def _replace_filters(filters: list[Any]) -> None:
    # Without telling: what was told is forgotten then (`adapters/warned.py`).
    warnings.filters[:] = filters  # type: ignore[index]


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Save or load without warnings, which would not be the cell's, and without garbage collections.

    A million objects made in one go are a million that the collector would look at again and again.
    """
    filters, collecting = list(warnings.filters), gc.isenabled()
    _replace_filters([("ignore", None, Warning, None, 0)])
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
        _replace_filters(filters)
