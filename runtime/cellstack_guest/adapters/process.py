"""What is of the process and of the interpreter."""

from __future__ import annotations

import functools
import gc
import locale
import os
import random
import signal
import sys
import time
import warnings
from typing import Any

from cellstack_guest.reducers import module_attribute
from cellstack_guest.settings import Setting, module, write_filters

# Of SIGINT the cell itself changes the handler; the other two have none.
_SIGNALS = tuple(
    int(number) for number in signal.Signals if number not in (signal.SIGINT, signal.SIGKILL, signal.SIGSTOP)
)


def _read_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # the cell deleted it
        return ""


def _write_directory(path: str) -> None:
    if path:
        os.chdir(path)


def _read_environment() -> dict[bytes, bytes]:
    # Decoding it takes longer than the rest of all readers.
    data: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001
    return dict(data)


def _write_environment(changes: dict[bytes, bytes | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environb.pop(name, None)
        else:
            os.environb[name] = value


def _write_path(path: list[str]) -> None:
    sys.path[:] = path


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_umask(mask: int) -> None:
    os.umask(mask)


def _write_locale(name: str) -> None:
    locale.setlocale(locale.LC_ALL, name)


def _read_collecting() -> bool:
    return gc.isenabled()


def _write_collecting(on: bool) -> None:
    (gc.enable if on else gc.disable)()


def _read_signals() -> dict[int, Any]:
    get = module("_signal").getsignal  # that of `signal` makes an enum's member of each
    return {number: handler for number in _SIGNALS if not callable(handler := get(number))}


def _write_signals(changes: dict[int, Any]) -> None:
    for number, handler in changes.items():
        if handler is not None:  # one that is called is a hook
            signal.signal(number, handler)


def _read_zone() -> Any:
    return time.tzname, time.timezone, time.altzone


def _write_zone(_: Any) -> None:
    time.tzset()  # it is that of the environment


def _read_limits() -> dict[int, tuple[int, int]]:
    resource = module("resource")
    return {limit: resource.getrlimit(limit) for limit in _limits()}


def _write_limits(changes: dict[int, tuple[int, int]]) -> None:
    for limit, value in changes.items():
        module("resource").setrlimit(limit, value)


@functools.cache
def _limits() -> tuple[int, ...]:
    # Those that cells set; each is a system call.
    return tuple(getattr(module("resource"), f"RLIMIT_{name}") for name in ("AS", "CORE", "DATA", "NOFILE", "STACK"))


def _read_stack() -> int:
    size: int = module("threading").stack_size()
    if size:
        module("threading").stack_size(size)  # asking has set it to none
    return size


def _write_stack(size: int) -> None:
    module("threading").stack_size(size)


def _read_faults() -> bool:
    enabled: bool = module("faulthandler").is_enabled()
    return enabled


def _write_faults(on: bool) -> None:
    # In a file that it was told to write to it would write about the death of a process that is gone.
    faulthandler = module("faulthandler")
    if on:
        faulthandler.enable(sys.__stderr__)
    else:
        faulthandler.disable()


def _read_method() -> str | None:
    context = module("multiprocessing.context")._default_context._actual_context  # noqa: SLF001 - asking would set it
    name: str | None = None if context is None else context._name  # noqa: SLF001
    return name


def _write_method(name: str | None) -> None:
    module("multiprocessing.context")._default_context.set_start_method(name, force=True)  # noqa: SLF001


SETTINGS = (
    Setting("working directory", "", _read_directory, _write_directory),
    Setting("environment", "", _read_environment, _write_environment, delta=True),
    Setting("sys.path", "", lambda: list(sys.path), _write_path),
    Setting("random", "", random.getstate, random.setstate),
    Setting("warnings", "", lambda: list(warnings.filters), write_filters),
    Setting("umask", "", _read_umask, _write_umask),
    Setting("locale", "", lambda: locale.setlocale(locale.LC_ALL), _write_locale),
    Setting("recursion limit", "", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting("digits of int", "", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    Setting("switch interval", "", sys.getswitchinterval, sys.setswitchinterval),
    Setting("garbage collection", "", _read_collecting, _write_collecting),
    Setting("time zone", "", _read_zone, _write_zone),
    Setting("resource limits", "resource", _read_limits, _write_limits, delta=True),
    Setting("faulthandler", "faulthandler", _read_faults, _write_faults),
    Setting("stack size of threads", "threading", _read_stack, _write_stack),
    Setting("start method", "multiprocessing.context", _read_method, _write_method),
    Setting("signal handlers", "", _read_signals, _write_signals, delta=True),
)
FIXED = (
    ("os", "environ"),
    ("sys", "stdin"),
    ("random", "_inst"),
)


def reduce_of_sys(value: Any) -> Any:
    """Return the reduction of what `sys` knows of the interpreter: that of the process."""
    return (module_attribute, ("sys", type(value).__qualname__))


_OF_SYS = ("version_info", "flags", "float_info", "int_info", "hash_info", "thread_info")
HANDLERS = {("sys", name): reduce_of_sys for name in _OF_SYS}
