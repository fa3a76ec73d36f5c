"""Fields of objects written in C that can be read and not set."""

from __future__ import annotations

import ctypes
import types
from typing import Any

_MEMBER = 40  # bytes: where PyMemberDescrObject of <descrobject.h> has its PyMemberDef
_KIND, _OFFSET = 8, 16  # in PyMemberDef
_LONG, _OBJECT, _ULONG = 2, 6, 12  # T_… of <structmember.h>
_increase = ctypes.pythonapi.Py_IncRef
_increase.argtypes = (ctypes.py_object,)


def set_member(obj: Any, name: str, value: Any) -> None:
    """Set a field that its type only lets be read. LookupError when it is none of a kind that is known here."""
    descriptor = getattr(type(obj), name, None)
    if type(descriptor) is not types.MemberDescriptorType:
        raise LookupError(f"{type(obj).__qualname__}.{name} is no field")
    definition = ctypes.c_size_t.from_address(id(descriptor) + _MEMBER).value
    kind = ctypes.c_int.from_address(definition + _KIND).value
    place = id(obj) + ctypes.c_ssize_t.from_address(definition + _OFFSET).value
    if kind == _OBJECT:
        _increase(value)  # what was there stays for as long as the process does
        ctypes.c_size_t.from_address(place).value = id(value)
    elif kind in (_LONG, _ULONG):
        (ctypes.c_long if kind == _LONG else ctypes.c_ulong).from_address(place).value = value
    else:
        raise LookupError(f"{type(obj).__qualname__}.{name} is of a kind that is not known")
