"""Tracebacks: where an exception passed, as it is shown; the variables of the frames are not carried."""

from __future__ import annotations

import opcode
import sys
import types
from typing import Any, NamedTuple

from cellstack_guest import definitions

_STUB = compile("here = take()", "", "exec")
_SHOWN = ("co_filename", "co_name", "co_qualname", "co_firstlineno", "co_linetable")
_NOP = bytes([opcode.opmap["NOP"], 0])


class Entry(NamedTuple):
    """One line of a traceback. scope: name of the module. size: bytes of the code."""

    scope: str | None
    size: int
    code: dict[str, Any]
    last: int
    line: int


class Variables(dict[str, Any]):
    """Stands for the variables of a frame, and says why there are none."""

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"{name}: the variables of a traceback's frames are not carried from cell to cell")


def reduce_traceback(traceback: types.TracebackType) -> Any:
    """Return the reduction of a traceback."""
    entries = []
    following: types.TracebackType | None = traceback
    while following is not None:
        frame = following.tb_frame
        scope, code = frame.f_globals.get("__name__"), frame.f_code
        known = {name: getattr(code, name) for name in _SHOWN if hasattr(code, name)}
        size = len(code.co_code)
        entries.append(Entry(scope, size, known, following.tb_lasti, following.tb_lineno))
        following = following.tb_next
    return (make_traceback, (entries,))


def make_traceback(entries: list[Entry]) -> types.TracebackType | None:
    """Return a traceback with frames that have names, files and lines, but no variables."""
    traceback: types.TracebackType | None = None
    for entry in reversed(entries):
        traceback = types.TracebackType(traceback, _frame(entry), entry.last, entry.line)
    return traceback


def _frame(entry: Entry) -> types.FrameType:
    """Return the frame of a code that does nothing, with the names and the places of another one."""
    instructions = _STUB.co_code
    instructions += _NOP * ((entry.size - len(instructions)) // len(_NOP))
    code = _STUB.replace(co_code=instructions, **entry.code)
    variables = Variables(take=sys._getframe)  # noqa: SLF001 - the way to have a frame
    exec(code, _scope(entry.scope), variables)  # noqa: S102 - the stub
    frame: types.FrameType = variables["here"]
    variables.clear()
    return frame


def _scope(name: str | None) -> dict[str, Any]:
    """Return the globals of a frame; those of a module that is not imported here are as good as empty."""
    if name == "__main__":
        return definitions.namespace()
    module = sys.modules.get(name) if name is not None else None
    return vars(module) if isinstance(module, types.ModuleType) else {"__name__": name}
