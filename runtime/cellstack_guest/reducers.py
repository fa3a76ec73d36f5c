"""Standard types whose pickling needs a hand: exceptions, files, weak references, views of other objects."""

from __future__ import annotations

import contextvars
import functools
import gc
import importlib
import inspect
import io
import os
import pickle
import sys
import threading
import types
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import re

LOCKS = frozenset({type(threading.Lock()), type(threading.RLock())})


def type_name(cls: type) -> str:
    """Return a type's name as a reader knows it: "generator", "sqlite3.Connection", "_thread.lock"."""
    module = cls.__module__
    if module in ("builtins", "__main__"):
        return cls.__qualname__
    return f"{'io' if module == '_io' else module}.{cls.__qualname__}"


class Refusal(pickle.PicklingError):
    """An object that cannot be carried; the message is what it is."""


def refuse(obj: object, why: str = "") -> Any:
    """Raise the error that says that an object cannot be carried, and why if that can be helped."""
    raise Refusal(f"{type_name(type(obj))} {why}".rstrip())


def module_attribute(module: str, name: str) -> Any:
    """Return an attribute of a module, which is imported first where needed."""
    return getattr(importlib.import_module(module), name)


def reduce_lock(lock: Any) -> Any:
    """Return the reduction of a lock: a new one, which is the same when nobody holds it."""
    if "unlocked" not in repr(lock):
        return refuse(lock)
    return (threading.RLock if type(lock) is type(threading.RLock()) else threading.Lock, ())


def reduce_cached(function: Any) -> Any:
    """Return the reduction of a function with an `lru_cache`, which starts empty again."""
    found: Any = sys.modules.get(function.__module__) if function.__module__ != "__main__" else None
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is function:
        return NotImplemented
    options = function.cache_parameters()
    arguments = (function.__wrapped__, options["maxsize"], options["typed"])
    return (cached, arguments, function.__dict__, None, None, set_attributes)


def cached(function: Any, maxsize: int | None, typed: bool) -> Any:
    """Return a function with an `lru_cache`."""
    return functools.lru_cache(maxsize, typed)(function)


def set_attributes(obj: Any, attributes: dict[str, Any]) -> None:
    """Give an object its attributes."""
    obj.__dict__.update(attributes)


def reduce_shell(_shell: object) -> Any:
    """Return the reduction of IPython's shell: that of the process."""
    return (the_shell, ())


def the_shell() -> Any:
    """Return IPython's shell in this process, None where there is none."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def reduce_process(process: Any) -> Any:
    """Return the reduction of a process that has ended; one that runs ends with its container."""
    return refuse(process) if process.returncode is None else NotImplemented


def reduce_plain(obj: Any) -> Any:
    """Return the reduction of an object whose class is not to be asked anything before it has its attributes.

    The class has a `__new__` that wants arguments which nobody has kept, or answers for any attribute.
    """
    make, arguments, *rest = obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    state, items, pairs = (*rest, None, None, None)[:3]
    cls: Any = type(obj)
    if wants_arguments(cls):
        make, arguments = make_empty, (cls,)
    set_state = fill if state is not None and not hasattr(cls, "__setstate__") else None
    return (make, arguments, state, items, pairs, set_state)


@functools.cache
def wants_arguments(cls: Any) -> bool:
    """Tell whether a class has a `__new__` in Python that fails without arguments."""
    make: Any = cls.__new__
    if type(make) is not types.FunctionType or hasattr(cls, "__getnewargs__") or hasattr(cls, "__getnewargs_ex__"):
        return False
    wanted = list(inspect.signature(make).parameters.values())[1:]
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(each.default is each.empty and each.kind not in optional for each in wanted)


def make_empty(cls: Any) -> Any:
    """Return an instance of a class as the built-in type makes it that it stands on."""
    base = next(base for base in cls.__mro__ if type(base.__new__) is not types.FunctionType)
    return base.__new__(cls)


def fill(obj: Any, state: Any) -> None:
    """Give an object its attributes, as unpickling does, without asking it."""
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    for name, value in (attributes or {}).items():
        object.__getattribute__(obj, "__dict__")[sys.intern(name)] = value
    for name, value in (slots or {}).items():
        object.__setattr__(obj, name, value)


def reduce_container(obj: Any) -> Any:
    """Return the reduction of an instance of a subclass of list or dict that is filled by none of its own methods."""
    make, arguments, *rest = obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    content = list(dict.items(obj)) if isinstance(obj, dict) else list(list.__iter__(obj))
    return (make, arguments, (rest[0], content), None, None, fill_container)


def fill_container(obj: Any, content: tuple[Any, list[Any]]) -> None:
    """Give a list or a dict its items and its attributes, without asking it."""
    state, items = content
    if isinstance(obj, dict):
        dict.update(obj, items)
    else:
        list.extend(obj, items)
    if state is not None:
        fill(obj, state)


def reduce_logger(logger: Any) -> Any:
    """Return the reduction of a logger: the one of that name, made to be as this one is."""
    state = {name: vars(logger)[name] for name in ("level", "propagate", "disabled", "filters", "handlers")}
    return (sys.modules["logging"].getLogger, (logger.name,), state, None, None, set_logger)


def set_logger(logger: Any, state: dict[str, Any]) -> None:
    """Make a logger as it was."""
    vars(logger).update(state)
    logger.manager._clear_cache()  # noqa: SLF001  of which levels are enabled


def is_fresh_logger(value: Any) -> bool:
    """Tell whether this is a logger as getLogger makes it."""
    logging = sys.modules.get("logging")
    if logging is None or not issubclass(type(value), logging.Logger):
        return logging is not None and type(value) is logging.PlaceHolder
    return bool(value.level == 0 and value.propagate and not (value.handlers or value.filters or value.disabled))


def reduce_memoryview(view: memoryview) -> Any:
    """Return the reduction of a view on the whole of its object; others are refused."""
    base: Any = view.obj
    if view.format == "B" and view.ndim == 1 and view.contiguous and memoryview(base).nbytes == view.nbytes:
        return (memoryview, (base,))
    return refuse(view)


def reduce_proxy(proxy: types.MappingProxyType[Any, Any]) -> Any:
    """Return the reduction of a read-only view: on the same dict, or on the same class."""
    (mapping,) = gc.get_referents(proxy)
    for name in ("__dict__", "__weakref__"):
        owner = getattr(mapping.get(name), "__objclass__", None)
        if owner is not None:
            return (getattr, (owner, "__dict__"))
    return (types.MappingProxyType, (mapping,))


def reduce_weak_reference(reference: weakref.ref[Any]) -> Any:
    """Return the reduction of a weak reference; it dies on loading when nothing else holds what it refers to."""
    if type(reference) is not weakref.ref or reference.__callback__ is not None:
        return refuse(reference)
    referent = reference()
    return (_dead_reference, ()) if referent is None else (weakref.ref, (referent,))


def reduce_weak_proxy(proxy: Any) -> Any:
    """Return the reduction of a weak proxy, which would be pickled as a copy of what it stands for."""
    try:
        referent = proxy.__repr__.__self__  # the proxy hands on what it is asked for
    except ReferenceError:
        return (_dead_proxy, ())
    return (weakref.proxy, (referent,))


def _dead_proxy() -> Any:
    return weakref.proxy(type("Gone", (), {})())


def _dead_reference() -> weakref.ref[Any]:
    return weakref.ref(type("Gone", (), {})())


def reduce_weak_dictionary(dictionary: Any) -> Any:
    """Return the reduction of a dictionary with weak keys or values."""
    return (type(dictionary), (dict(dictionary.items()),))


def reduce_exception(error: BaseException) -> Any:
    """Return the reduction of an exception that does not rely on its `__init__` taking `args`."""
    cls = type(error)
    if cls.__reduce__ is not BaseException.__reduce__ or cls.__reduce_ex__ is not object.__reduce_ex__:
        return NotImplemented
    chain = (error.__cause__, error.__context__, error.__suppress_context__)
    return (make_exception, (cls, error.args), (error.__dict__, chain), None, None, set_exception)


def make_exception(cls: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    """Build an exception without calling its `__init__`."""
    return cls.__new__(cls, *arguments)


def set_exception(error: BaseException, state: tuple[dict[str, Any], tuple[Any, Any, bool]]) -> None:
    """Give an exception its attributes and what it was raised from."""
    error.__dict__.update(state[0])
    error.__cause__, error.__context__, error.__suppress_context__ = state[1]


def reduce_file(file: Any) -> Any:
    """Return the reduction of a file: a closed one stays closed, an open one is opened again where it was."""
    name, mode = getattr(file, "name", None), getattr(file, "mode", "r")
    text = isinstance(file, io.TextIOWrapper)
    if not isinstance(name, str) or not isinstance(mode, str):
        return refuse(file)
    options = {"encoding": file.encoding, "errors": file.errors} if text else {}
    mode = mode.replace("b", "") if text else mode
    if file.closed:
        return (closed_file, (name, mode, options))
    if not os.path.isfile(name) or not os.path.samestat(os.stat(name), os.fstat(file.fileno())):
        return refuse(file)
    try:
        if mode not in ("r", "rb"):
            file.flush()
        position = file.tell()
    except OSError:  # a text file in the middle of an iteration does not know where it is
        return refuse(file)
    return (open_file, (os.path.abspath(name), name, mode, options, position))


def closed_file(name: str, mode: str, options: dict[str, Any]) -> Any:
    """Return a closed file with this name and mode; the file itself is not touched."""
    file = _open_named(name, mode.replace("x", "w"), options, os.devnull)
    file.close()
    return file


def open_file(path: str, name: str, mode: str, options: dict[str, Any], position: int) -> Any:
    """Open a file at a position; nothing is cut off from one that was opened for writing."""
    file = _open_named(name, mode, options, path)
    file.seek(position)
    return file


def reduce_match(match: re.Match[Any]) -> Any:
    """Return the reduction of what a regular expression has found, if searching again finds the same."""
    arguments = (match.re, match.string, match.pos, match.endpos, match.start())
    found = find_again(*arguments)
    same = found is not None and (found.regs, found.lastindex) == (match.regs, match.lastindex)
    return (find_again, arguments) if same else refuse(match)


def find_again(pattern: re.Pattern[Any], string: Any, pos: int, endpos: int, start: int) -> re.Match[Any] | None:
    """Search as the match that starts at `start` was searched for."""
    found = pattern.search(string, pos, endpos)
    return found if found is not None and found.start() == start else pattern.match(string, start, endpos)


def reduce_context_variable(variable: contextvars.ContextVar[Any]) -> Any:
    """Return the reduction of a context variable with its value, which is its default where none was set."""
    try:
        return (make_context_variable, (variable.name, variable.get()))
    except LookupError:
        return (make_context_variable, (variable.name,))


def make_context_variable(name: str, *value: Any) -> contextvars.ContextVar[Any]:
    """Return a new context variable, set if there is a value."""
    variable: contextvars.ContextVar[Any] = contextvars.ContextVar(name)
    for each in value:
        variable.set(each)
    return variable


def _open_named(name: str, mode: str, options: dict[str, Any], path: str) -> Any:
    def opener(_name: str, flags: int) -> int:
        return os.open(path, flags & ~(os.O_TRUNC | os.O_CREAT | os.O_EXCL))

    return open(name, mode, opener=opener, **options)
