"""Calls by which cells register something with a library that keeps it in C and does not say what it has.

They are noted when cells make them, and made again in the process of the next cell (`adapters`, CALLS). For objects
that do not say what they were made with, that is noted (MAKERS). The functions are replaced by ones that note, right
after the import of their module, before anything looks at what it holds.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellstack_guest.hooks import Hook, held
from cellstack_guest.reducers import Refusal
from cellstack_guest.settings import is_imported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Call = tuple[str, tuple[Any, ...], dict[str, Any], Any]

_made: dict[Calls, list[Call]] = {}
_arguments: weakref.WeakKeyDictionary[Any, tuple[tuple[Any, ...], dict[str, Any]]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Calls:
    """Functions of a module that register something. what: what they register.

    hint: what to do when a call cannot be made again, as it has done more than can be repeated. also: another module
    that has these functions.
    """

    what: str
    module: str
    functions: tuple[str, ...]
    hint: str = ""
    also: str = ""

    @property
    def hook(self) -> Hook:
        """The calls that cells have made, as what a library holds."""
        return held(self.what, self.module, self._read, self._write)

    def watch(self) -> None:
        """Have calls by cells noted from now on."""
        for name in self.functions:
            function = vars(sys.modules[self.module])[name]
            noting = _noting(self, name, function)
            for module in (self.module, self.also):
                if module in sys.modules and vars(sys.modules[module]).get(name) is function:
                    setattr(sys.modules[module], name, noting)

    def _read(self) -> Any:
        calls = _made.get(self)
        return _Unrepeatable(self.hint) if calls and self.hint else calls

    def _write(self, calls: list[Call]) -> None:
        _made[self] = calls
        for name, arguments, options, _ in calls:
            function = getattr(sys.modules[self.module], name)
            getattr(function, "__wrapped__", function)(*arguments, **options)


@dataclass(frozen=True)
class Maker:
    """A function that makes objects which do not say what they were made with.

    note: takes one, and what it was made with; without it `arguments_of` tells.
    """

    module: str
    name: str
    note: Callable[..., None] | None = None

    def watch(self) -> None:
        """Have the arguments of what is made from now on noted."""
        scope = vars(sys.modules[self.module])
        function = scope[self.name]
        if hasattr(function, "__cellstack__"):
            return

        @functools.wraps(function)
        def make(*arguments: Any, **options: Any) -> Any:
            made = function(*arguments, **options)
            if self.note is None:
                _arguments[made] = arguments, options
            else:
                self.note(made, *arguments, **options)
            return made

        make.__cellstack__ = True  # type: ignore[attr-defined]
        scope[self.name] = make


def arguments_of(made: Any) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Return what an object was made with, None where nobody has noted it."""
    return _arguments.get(made)


class _Unrepeatable:
    def __init__(self, hint: str) -> None:
        self.hint = hint

    def __reduce__(self) -> Any:
        raise Refusal(self.hint)


def watch(every: Iterable[Calls | Maker]) -> None:
    """Watch the functions of the modules that are imported."""
    for calls in every:
        if is_imported(calls.module):
            calls.watch()


def _noting(calls: Calls, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if hasattr(function, "__cellstack__"):
        return function

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        caller = sys._getframe(1).f_globals.get("__name__")  # noqa: SLF001
        if caller == "__main__" or any(map(_is_of_notebook, arguments)):
            _made.setdefault(calls, []).append((name, arguments, options, result))
        return result

    call.__cellstack__ = True  # type: ignore[attr-defined]
    return call


def _is_of_notebook(value: object) -> bool:
    return type(value) is types.FunctionType and value.__module__ == "__main__"
