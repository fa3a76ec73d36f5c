"""Standard types whose pickling needs a hand: exceptions, files, weak references, views of other objects."""

from __future__ import annotations

import copyreg
import ctypes
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

_CHARACTERS = 1 << 20  # read at a time
_FULL_RO = 0x11C  # PyBUF_FULL_RO of <pybuffer.h>
_NEWLINES = ("", "\n", "\r", "\r\n")
_FILES = (io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.RawIOBase)
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

    Its own `__new__` made it when it was new, and its `__getattr__` is not to be asked while it is empty.
    """
    make, arguments, *rest = obj.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    state, items, pairs = (*rest, None, None, None)[:3]
    cls: Any = type(obj)
    if make is copyreg.__newobj__ and is_made_by_python(cls):  # type: ignore[attr-defined]
        make = make_bare
    set_state = fill if state is not None and not hasattr(cls, "__setstate__") else None
    return (make, arguments, state, items, pairs, set_state)


@functools.cache
def is_made_by_python(cls: Any) -> bool:
    """Tell whether a class has a `__new__` in Python that is not to be called on loading: nobody knows what with."""
    make: Any = cls.__new__
    if type(make) is not types.FunctionType:
        return False
    if any(type(getattr(cls, name, None)) is types.FunctionType for name in ("__getnewargs__", "__getnewargs_ex__")):
        return False
    if any(base.__module__ == "__main__" and "__new__" in vars(base) for base in cls.__mro__):
        return True
    wanted = list(inspect.signature(make).parameters.values())[1:]
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(each.default is each.empty and each.kind not in optional for each in wanted)


def make_bare(cls: type, *arguments: Any) -> Any:
    """Return a new instance of a class, made by the first of its bases whose `__new__` is not written in Python."""
    makes = (vars(base).get("__new__") for base in cls.__mro__)
    make: Any = next(make for make in makes if make is not None and not isinstance(make, staticmethod))
    return make(cls, *arguments)


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
    """Return the reduction of a view on an object's memory, or on a part of it that is in one piece."""
    if not view.contiguous:
        return refuse(view)
    base: Any = view.obj
    start = _address(view) - _address(memoryview(base))
    return (make_memoryview, (base, start, view.nbytes, view.format, view.shape, view.readonly))


def make_memoryview(
    base: Any,
    start: int,
    size: int,
    kind: str,
    shape: tuple[int, ...],
    readonly: bool,
) -> memoryview:
    """Return a view on `size` bytes of an object's memory."""
    view = memoryview(base)
    if (start, size, kind, shape) != (0, view.nbytes, view.format, view.shape):
        view = view.cast("B")[start : start + size]
        if (kind, shape) != ("B", (size,)):
            view = view.cast(kind, shape)  # type: ignore[call-overload]
    return view.toreadonly() if readonly else view


def _address(view: memoryview) -> int:
    """Return where a view's memory begins."""
    buffer = (ctypes.c_ssize_t * 16)()  # room for a Py_buffer, whose first word it is
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), buffer, _FULL_RO)
    address: int = buffer[0]
    ctypes.pythonapi.PyBuffer_Release(buffer)
    return address


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
    if type(reference) is not weakref.ref:
        return refuse(reference)
    referent, callback = reference(), reference.__callback__
    if referent is None:
        return (dead_reference, ())
    return (weakref.ref, (referent,) if callback is None else (referent, callback))


def dead_reference() -> weakref.ref[Any]:
    """Return a weak reference to what is gone."""
    return weakref.ref(type("Gone", (), {})())


def reduce_weak_dictionary(dictionary: Any) -> Any:
    """Return the reduction of a dictionary with weak keys or values."""
    return (type(dictionary), (dict(dictionary.items()),))


def reduce_exception(error: BaseException) -> Any:
    """Return the reduction of an exception, with what it was raised from and where.

    It does not rely on `__init__` taking `args`, unless the class has a reduction of its own.
    """
    cls = type(error)
    beyond = (error.__cause__, error.__context__, error.__suppress_context__, error.__traceback__)
    if cls.__reduce__ is BaseException.__reduce__ and cls.__reduce_ex__ is object.__reduce_ex__:
        return (make_exception, (cls, error.args), (error.__dict__, beyond), None, None, set_exception)
    reduction = error.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    if isinstance(reduction, str) or any(part is not None for part in reduction[3:]):
        return reduction
    make, arguments, *state = reduction
    return (make, arguments, (*(state or [None]), beyond), None, None, restore_exception)


def make_exception(cls: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    """Build an exception without calling its `__init__`."""
    return cls.__new__(cls, *arguments)


def set_exception(error: BaseException, state: tuple[dict[str, Any], tuple[Any, ...]]) -> None:
    """Give an exception its attributes, what it was raised from, and where."""
    error.__dict__.update(state[0])
    error.__cause__, error.__context__, error.__suppress_context__, error.__traceback__ = state[1]


def restore_exception(error: BaseException, state: tuple[Any, tuple[Any, ...]]) -> None:
    """Do the same for an exception whose class knows what to do with its state."""
    if state[0] is not None:
        error.__setstate__(state[0])
    set_exception(error, ({}, state[1]))


def reduce_file(file: Any) -> Any:
    """Return the reduction of a file: a closed one stays closed, an open one is opened again where it was."""
    name, mode = getattr(file, "name", None), getattr(file, "mode", "r")
    text = isinstance(file, io.TextIOWrapper)
    if text and not isinstance(name, str) and not file.closed and not isinstance(file.buffer, _FILES):
        return _reduce_text(file)
    if not isinstance(name, str) or not isinstance(mode, str):
        return refuse(file)
    options: dict[str, Any] = {"encoding": file.encoding, "errors": file.errors} if text else {}
    if isinstance(file, io.RawIOBase):
        options["buffering"] = 0
    mode = mode.replace("b", "") if text else mode
    if file.closed:
        return (closed_file, (name, mode, options))
    if not os.path.isfile(name) or not os.path.samestat(os.stat(name), os.fstat(file.fileno())):
        return refuse(file)
    try:
        position = position_in(file)
        if mode not in ("r", "rb"):
            file.flush()
    except OSError:
        return refuse(file)
    if text:
        options |= {"newline": newline_of(file), "buffering": 1 if file.line_buffering else -1}
    return (open_file, (os.path.abspath(name), name, mode, options, position))


def _reduce_text(file: io.TextIOWrapper) -> Any:
    """Return the reduction of text in what is no file."""
    try:
        position = position_in(file)
    except OSError:
        return refuse(file)
    file.flush()
    options = (file.encoding, file.errors, newline_of(file), file.line_buffering, file.write_through)
    return (io.TextIOWrapper, (file.buffer, *options), position, None, None, io.TextIOWrapper.seek)


def position_in(file: Any) -> int:
    """Return where a file is, as `seek` takes it. OSError when it has no positions."""
    if is_iterating(file):
        # It knows what is left, and where it is after a seek.
        left = _pass(file)
        file.seek(0)
        before = _pass(file) - left
        file.seek(0)
        _pass(file, before)
    position: int = file.tell()
    return position


def is_iterating(file: Any) -> bool:
    """Tell whether a file is a text in the middle of an iteration, which does not know where it is.

    A `flush` would have it believe that it is where it has read ahead to.
    """
    if not isinstance(file, io.TextIOWrapper) or not (file.readable() and file.seekable()):
        return False
    try:
        file.tell()
    except OSError:
        return True
    return False


def _pass(file: io.TextIOWrapper, limit: int = sys.maxsize) -> int:
    """Read so many characters, or all; return how many there were."""
    count = 0
    while count < limit and (read := len(file.read(min(limit - count, _CHARACTERS)))):
        count += read
    return count


def newline_of(file: io.TextIOWrapper) -> str | None:
    """Return the `newline` that a text file was opened with; it is where its position says that it is, then.

    The file does not tell, but refers to it; the only other string of these, characters that were read ahead, it drops.
    """
    file.seek(file.tell())
    return next((each for each in gc.get_referents(file) if type(each) is str and each in _NEWLINES), None)


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


def _open_named(name: str, mode: str, options: dict[str, Any], path: str) -> Any:
    def opener(_name: str, flags: int) -> int:
        return os.open(path, flags & ~(os.O_TRUNC | os.O_CREAT | os.O_EXCL))

    return open(name, mode, opener=opener, **options)
