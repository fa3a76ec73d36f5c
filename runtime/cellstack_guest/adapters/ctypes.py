"""ctypes: arrays, structures of the notebook, libraries."""

from __future__ import annotations

import importlib
import operator
from typing import TYPE_CHECKING, Any

from cellstack_guest.reducers import refuse

if TYPE_CHECKING:
    import ctypes


def reduce_array_type(kind: Any) -> Any:
    """Return the reduction of the type of an array, of which there is one for each type and length."""
    element, length = kind._type_, kind._length_
    return (operator.mul, (element, length)) if element * length is kind else NotImplemented


def reduce_library(library: ctypes.CDLL) -> Any:
    """Return the reduction of a library: loaded again, with what is known of its functions."""
    known = {
        name: (function.argtypes, function.restype)
        for name, function in vars(library).items()
        if not name.startswith("_") and type(function) is library._FuncPtr  # noqa: SLF001
    }
    name: str | None = library._name  # noqa: SLF001
    others = {each for each in vars(library) if not each.startswith("_")} - known.keys()
    return refuse(library) if others else (load_library, (type(library), name, known))


def load_library(kind: Any, name: str | None, known: dict[str, tuple[Any, Any]]) -> ctypes.CDLL:
    """Return a library with the types of its functions' arguments and results."""
    importlib.import_module("ctypes")
    library: ctypes.CDLL = kind(name)
    for function, (arguments, result) in known.items():
        found = getattr(library, function)
        found.argtypes, found.restype = arguments, result
    return library


HANDLERS = {
    ("_ctypes", "PyCArrayType"): reduce_array_type,
    ("ctypes", "CDLL"): reduce_library,
}
