"""What the interpreter and the standard library call: finders, codecs, handlers of signals, traces."""

from __future__ import annotations

import codecs
import encodings
import gc
import signal
import sys
import types
from typing import TYPE_CHECKING, Any

from cellstack_guest import hooks
from cellstack_guest.definitions import is_made
from cellstack_guest.hooks import Hook, is_of_notebook
from cellstack_guest.settings import module

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    Read = Callable[[Container[str], Any], Any]

# Of SIGINT the cell itself changes the handler.
_SIGNALS = tuple(int(number) for number in signal.Signals if number != signal.SIGINT)


def _interpreters(kind: Any, inside: object, is_it: Callable[[Any], bool]) -> Any:
    """Return the interpreter's own list or dict that refers to an object; an empty one where it is not to be found."""
    return next((each for each in gc.get_referrers(inside) if type(each) is kind and is_it(each)), kind())


_searches: list[Any] = _interpreters(list, encodings.search_function, lambda each: each[0] is encodings.search_function)
_errors: dict[str, Any] = _interpreters(
    dict, codecs.lookup_error("strict"), lambda each: each.get("strict") is codecs.lookup_error("strict")
)


def _among(path: Callable[[], list[Any]]) -> Read:
    """Return what reads the notebook's own objects in a list: those before all others, those behind them."""

    def read(*_: Any) -> tuple[list[Any], list[Any]] | None:
        values = path()
        own = [is_of_notebook(value) for value in values]
        if True not in own:
            return None
        others = own.index(False) if False in own else len(own)
        behind = [value for value, is_own in zip(values[others:], own[others:], strict=True) if is_own]
        return values[:others], behind

    return read


def _put_among(path: Callable[[], list[Any]]) -> Callable[[tuple[list[Any], list[Any]]], None]:
    def write(value: tuple[list[Any], list[Any]]) -> None:
        before, behind = value
        values = path()
        values[:] = [*before, *(each for each in values if each not in before and each not in behind), *behind]

    return write


_CYTHON = ("cython_runtime", "_cython_")  # what modules that Cython has compiled share, made by the first of them


def _read_modules(words: Container[str], before: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what stands for modules that no import finds. It is looked for when the cell speaks of modules."""
    names = set(before or ())
    if "modules" in words:
        names.update(hooks.new_modules(), (name for name, value in sys.modules.items() if _is_other(value)))
    found = {name: sys.modules[name] for name in names if name in sys.modules and name != "__main__"}
    made = {name: value for name, value in found.items() if _is_other(value) or is_made(value)}
    return {name: value for name, value in made.items() if not name.startswith(_CYTHON)} or None


def _is_other(value: Any) -> bool:
    """Tell whether this is no module, but the notebook's own or what keeps a module from being imported."""
    return value is None or (type(value) is not types.ModuleType and is_of_notebook(value))


def _read_searches(*_: Any) -> list[Any] | None:
    return [search for search in _searches if is_of_notebook(search)] or None


def _write_searches(searches: list[Any]) -> None:
    for search in searches:
        codecs.register(search)


def _read_errors(*_: Any) -> dict[str, Any] | None:
    return {name: handler for name, handler in _errors.items() if is_of_notebook(handler)} or None


def _write_errors(handlers: dict[str, Any]) -> None:
    for name, handler in handlers.items():
        codecs.register_error(name, handler)


def _read_signals(*_: Any) -> dict[int, Any] | None:
    get = module("_signal").getsignal  # that of `signal` makes an enum's member of each
    return {number: handler for number in _SIGNALS if callable(handler := get(number))} or None


def _write_signals(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _read_traces(*_: Any) -> tuple[Any, Any] | None:
    threading = module("threading")
    traces = (threading._trace_hook, threading._profile_hook)  # noqa: SLF001 - `gettrace` is younger than this
    return None if traces == (None, None) else traces


def _write_traces(traces: tuple[Any, Any]) -> None:
    threading = module("threading")
    threading.settrace(traces[0])
    threading.setprofile(traces[1])


def _read_policy(*_: Any) -> Any:
    policy = module("asyncio.events")._event_loop_policy  # noqa: SLF001 - asking for it would make one
    return None if type(policy).__module__.partition(".")[0] in ("builtins", "asyncio") else policy


def _write_policy(policy: Any) -> None:
    module("asyncio.events")._event_loop_policy = policy  # noqa: SLF001 - the call is deprecated


def _read_overloads(*_: Any) -> dict[str, Any] | None:
    registry = getattr(module("typing"), "_overload_registry", {})  # since Python 3.11
    own = registry.get("__main__")
    return {name: dict(lines) for name, lines in own.items()} if own else None


def _write_overloads(overloads: dict[str, Any]) -> None:
    for name, lines in overloads.items():
        module("typing")._overload_registry["__main__"][name].update(lines)  # noqa: SLF001 - there is no call for it


HOOKS = (
    Hook("sys", "meta_path", _among(lambda: sys.meta_path), _put_among(lambda: sys.meta_path)),
    Hook("sys", "path_hooks", _among(lambda: sys.path_hooks), _put_among(lambda: sys.path_hooks)),
    Hook("sys", "modules", _read_modules, sys.modules.update),
    Hook("codecs", "register", _read_searches, _write_searches),
    Hook("codecs", "register_error", _read_errors, _write_errors),
    Hook("signal", "signal", _read_signals, _write_signals),
    Hook("threading", "settrace", _read_traces, _write_traces),
    Hook("asyncio", "set_event_loop_policy", _read_policy, _write_policy),
    Hook("typing", "overload", _read_overloads, _write_overloads),
)
