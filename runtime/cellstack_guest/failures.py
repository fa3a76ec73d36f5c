"""What a cell has failed with, kept for the cells after it: `%debug`, `%tb`, `pdb.pm()`, `sys.last_value`.

The process of a failed cell is gone when the next one runs. Its traceback is taken down, with what the variables of
each frame held, as far as that can be pickled and is not much. In a later cell real frames are made of that: code with
the name, the file and the line of the one that failed is run with those variables, and fails there. `tracebacks.py`
makes frames for exceptions that variables hold: they have the columns of a line, which these have not, and neither
variables nor a line of their own, by which a debugger lists code.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import pickle
import re
import sys
import time
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cloudpickle

from cellstack_guest.pickling import is_atom

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "failure:last"  # what it is carried under
_DEBUGS = re.compile(r"run_line_magic\('debug'|\b(?:pm|post_mortem|debugger)\s*\(|\blast_traceback\b")
_ASKS = re.compile(r"run_line_magic\('tb'|\b(?:print_last|last_(?:value|type|exc))\b")
MAX_FRAMES = 64  # the outer half and the inner half of a deeper one
MAX_BYTES, MAX_VALUE = 8 * 2**20, 4 * 2**20  # of all variables, and of one
SECONDS = 0.5
_NOTEBOOK = "__main__"
# How a variable is kept.
GLOBAL, PICKLED, MISSING = "global", "pickled", "missing"


@dataclass(frozen=True)
class Frame:
    """One frame. code: file name, name, first line. line: where it failed. values: how each variable is kept, and what.

    values is None for the frame of a cell itself, whose variables are the notebook's.
    """

    code: tuple[str, str, int]
    line: int
    module: str
    values: dict[str, tuple[str, Any]] | None


@dataclass(frozen=True)
class Failure:
    """What a cell has failed with. error: pickled, None where it cannot be. shown: the error as it was sent."""

    error: bytes | None
    frames: tuple[Frame, ...]
    shown: dict[str, Any]


class Missing:
    """Stands for the value of a variable that was not kept."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class _TooMuchError(Exception):
    """It takes more time or more bytes than it may."""


class _Room(io.RawIOBase):
    """A file that takes no more than what is left of the bytes and the time."""

    def __init__(self) -> None:
        super().__init__()
        self.left = MAX_BYTES
        self.deadline = time.monotonic() + SECONDS
        self._taken: list[bytes] = []
        self._size = 0

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        self._size += size
        if self._size > min(self.left, MAX_VALUE) or time.monotonic() > self.deadline:
            raise _TooMuchError
        self._taken.append(bytes(data))
        return size

    def writable(self) -> bool:
        return True

    def dump(self, value: Any) -> bytes | None:
        """Pickle a value; None when it is too much. Raises whatever the value's own methods raise."""
        self._taken, self._size = [], 0
        buffers: list[bytes] = []
        pickler: Any = cloudpickle.CloudPickler

        def take(buffer: pickle.PickleBuffer) -> None:
            raw = buffer.raw()
            self._size += raw.nbytes
            if self._size > min(self.left, MAX_VALUE):
                raise _TooMuchError  # before anything of it is copied
            buffers.append(bytes(raw))

        try:
            pickler(self, protocol=5, buffer_callback=take).dump(value)
        except _TooMuchError:
            return None
        self.left -= self._size
        return pickle.dumps((b"".join(self._taken), buffers))


def _load(data: bytes) -> Any:
    pickled, buffers = pickle.loads(data)  # noqa: S301  of this notebook, in its container
    return pickle.loads(pickled, buffers=buffers)  # noqa: S301


def is_asked_for(code: str) -> bool:
    """Tell whether a cell, as Python, may look at what an earlier one has failed with."""
    return bool(_ASKS.search(code)) or is_debugged(code)


def is_debugged(code: str) -> bool:
    """Tell whether a cell may look at the variables of frames, and with them at all of the notebook's."""
    return bool(_DEBUGS.search(code))


def taken(error: BaseException, namespace: dict[str, Any], shown: dict[str, Any]) -> Failure | None:
    """Take down an error that was raised by a cell's code, or by a file that it has run.

    None when it was raised before any of it ran.
    """
    entries = [*_entries(error.__traceback__)]
    first = next((i for i, entry in enumerate(entries) if entry.tb_frame.f_globals is namespace), None)
    if first is None:
        first = next((i for i, entry in enumerate(entries) if not _is_of_shell(entry.tb_frame)), None)
    if first is None:
        return None
    entries = entries[max(0, first - 1) :]  # as IPython has it: with the one that has run the cell
    if len(entries) > MAX_FRAMES:
        entries = entries[: MAX_FRAMES // 2] + entries[-MAX_FRAMES // 2 :]
    room = _Room()
    shared = {name: value for name, value in namespace.items() if not name.startswith("_") and not is_atom(value)}
    names = {id(value): name for name, value in shared.items()}
    frames: list[Frame] = []
    for place, entry in reversed([*enumerate(entries)]):  # the inner ones are those that are looked at
        frame, code = entry.tb_frame, entry.tb_frame.f_code
        values: dict[str, tuple[str, Any]] | None = None
        if (variables := frame.f_locals) is not namespace:
            of_shell = place == 0 and first > 0
            values = {
                name: _kept(value, names, room)
                for name, value in variables.items()
                # A frame made anew has builtins of its own, which a stand-in would hide.
                if name != "__builtins__" and (not of_shell or name == "__tracebackhide__")
            }
        module = str(frame.f_globals.get("__name__", ""))
        if module == _NOTEBOOK and frame.f_globals is not namespace:
            module = ""  # a file that was run as one of its own
        where = code.co_filename, code.co_name, code.co_firstlineno
        frames.append(Frame(where, entry.tb_lineno or code.co_firstlineno, module, values))
    return Failure(_pickled(error, room), tuple(reversed(frames)), shown)


def without_frames(error: BaseException, shown: dict[str, Any]) -> Failure:
    """Take down an error that no code has raised, as one in the syntax of a cell."""
    return Failure(_pickled(error, _Room()), (), shown)


def _pickled(error: BaseException, room: _Room) -> bytes | None:
    with contextlib.suppress(Exception):  # the person's own class
        return room.dump(error)
    return None


def _is_of_shell(frame: types.FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("IPython", "cellstack_guest")


def _entries(traceback: types.TracebackType | None) -> Iterator[types.TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _kept(value: Any, names: dict[int, str], room: _Room) -> tuple[str, Any]:
    if (name := names.get(id(value))) is not None:
        return GLOBAL, name
    kind = type(value).__qualname__
    try:
        pickled = room.dump(value)
    except Exception as error:  # noqa: BLE001  the person's own methods
        return MISSING, f"<{kind}, not kept: {type(error).__name__}>"
    return (MISSING, f"<{kind}, not kept: too large>") if pickled is None else (PICKLED, pickled)


def restored(failure: Failure, namespace: dict[str, Any]) -> BaseException:
    """Return the error again, with a traceback of frames that hold what they held."""
    error: BaseException | None = None
    if failure.error is not None:
        with contextlib.suppress(Exception):  # a class that is there no more
            error = _load(failure.error)
    if not isinstance(error, BaseException):
        error = type(failure.shown["ename"], (Exception,), {"__module__": _NOTEBOOK})(failure.shown["evalue"])
    traceback: types.TracebackType | None = None
    for frame in reversed(failure.frames):
        made = _frame(frame, namespace)
        traceback = types.TracebackType(traceback, made, made.f_lasti, frame.line)
    return error.with_traceback(traceback)


def _frame(frame: Frame, namespace: dict[str, Any]) -> types.FrameType:
    name, called, first = frame.code
    # `raise` with nothing to raise again fails by itself, and needs no name that would be seen among the variables.
    line = max(1, frame.line - first + 1)
    statement = ast.Raise(lineno=line, end_lineno=line, col_offset=-1, end_col_offset=-1)  # in no place of the line
    code = compile(ast.Module([statement], []), name, "exec").replace(
        co_name=called, co_qualname=called, co_firstlineno=first
    )
    values: dict[str, Any] = namespace
    if frame.values is not None:
        values = {key: _value(*kept, namespace) for key, kept in frame.values.items()}
    try:
        exec(code, _globals(frame.module, namespace), values)  # noqa: S102  the line above
    except BaseException as error:  # noqa: BLE001  of whatever kind it is, it has been there
        return next(entry.tb_frame for entry in _entries(error.__traceback__) if entry.tb_frame.f_code is code)
    raise AssertionError("a bare raise has raised nothing")


def _value(how: str, what: Any, namespace: dict[str, Any]) -> Any:
    if how == GLOBAL:
        return namespace.get(what, Missing(f"<{what} of the notebook, which is there no more>"))
    if how == MISSING:
        return Missing(what)
    try:
        return _load(what)
    except Exception as error:  # noqa: BLE001  the person's own methods
        return Missing(f"<could not be loaded: {type(error).__name__}: {error}>")


def _globals(module: str, namespace: dict[str, Any]) -> dict[str, Any]:
    if module == _NOTEBOOK:
        return namespace
    with contextlib.suppress(Exception):
        return vars(sys.modules.get(module) or importlib.import_module(module))
    return {"__name__": module}


def put_back(failure: Failure, namespace: dict[str, Any]) -> BaseException:
    """Make an error the last one of this process, as `sys` tells of it, and return it."""
    error = restored(failure, namespace)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    return error
