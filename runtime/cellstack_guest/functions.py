"""Functions of the notebook, their code and cells, and modules that code has made, taken apart and rebuilt.

A function of the notebook is rebuilt on the globals of the process it is loaded into, so that it sees what later
cells bind.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from cellstack_guest.definitions import is_made, namespace

if TYPE_CHECKING:
    from cellstack_guest.definitions import Registry

_MAIN = "__main__"
Scope = str | types.ModuleType  # whose globals a function has


def globals_of(function: types.FunctionType, registry: Registry) -> Scope | None:
    """Return "" for a function on the notebook's globals, a module's name for one on that module's, else None.

    For one on those of a module that code has made, the module itself.
    """
    scope = function.__globals__
    if scope is registry.namespace:
        return ""
    name = scope.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) and name != _MAIN else None
    if module is not None and getattr(module, "__dict__", None) is scope:
        return module if is_made(module) else module.__name__
    if id(scope) not in registry.made:
        referring = (each for each in gc.get_referrers(scope) if is_made(each) and vars(each) is scope)
        registry.made[id(scope)] = next(referring, None)
    return registry.made[id(scope)]


def reduce_function(function: types.FunctionType, scope: Scope) -> tuple[Any, ...]:
    """Return the pickle reduction of a function; `scope` as `globals_of` gives it."""
    state = {
        "__defaults__": function.__defaults__,
        "__kwdefaults__": function.__kwdefaults__,
        "__qualname__": function.__qualname__,
        "__module__": function.__module__,
        "__doc__": function.__doc__,
        "__annotations__": function.__annotations__,
    }
    if sys.version_info >= (3, 12):
        state["__type_params__"] = function.__type_params__
    contents = tuple(map(_contents, function.__closure__ or ()))
    arguments = (function.__code__, scope, function.__name__, function.__closure__)
    return (make_function, arguments, (state, function.__dict__ or None, contents), None, None, set_function_state)


def make_function(
    code: types.CodeType, scope: Scope, name: str, closure: tuple[types.CellType, ...] | None
) -> types.FunctionType:
    """Build a function without defaults and attributes; those come with `set_function_state`."""
    module = importlib.import_module(scope) if isinstance(scope, str) and scope else scope
    scope_dict = vars(module) if isinstance(module, types.ModuleType) else namespace()
    scope_dict.setdefault("__builtins__", builtins)  # else the function would have those of this module
    return types.FunctionType(code, scope_dict, name, None, closure)


def set_function_state(function: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any] | None, Any]) -> None:
    """Give a function what its code does not hold: defaults, names, attributes, the contents of its cells."""
    attributes, dictionary, contents = state
    for name, value in attributes.items():
        setattr(function, name, value)
    if dictionary:
        function.__dict__.update(dictionary)
    for cell, content in zip(function.__closure__ or (), contents, strict=True):
        _fill(cell, content)


def reduce_code(code: types.CodeType) -> Any:
    """Return the reduction of a code object: cloudpickle's (since 3.1.3) loses the file name, so the source."""
    return (
        types.CodeType,
        (
            code.co_argcount,
            code.co_posonlyargcount,
            code.co_kwonlyargcount,
            code.co_nlocals,
            code.co_stacksize,
            code.co_flags,
            code.co_code,
            code.co_consts,
            # Copies: which equal strings are one object differs between processes, and pickles show it.
            tuple(map(_copy, code.co_names)),
            tuple(map(_copy, code.co_varnames)),
            _copy(code.co_filename),
            _copy(code.co_name),
            _copy(code.co_qualname),
            code.co_firstlineno,
            code.co_linetable,
            code.co_exceptiontable,
            tuple(map(_copy, code.co_freevars)),
            tuple(map(_copy, code.co_cellvars)),
        ),
    )


def _copy(text: str) -> str:
    return "".join(list(text))


def reduce_cell(cell: types.CellType) -> tuple[Any, ...]:
    """Return the reduction of a closure's cell: functions that share it share it again."""
    return (types.CellType, (), _contents(cell), None, None, _fill)


def _contents(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _fill(cell: types.CellType, contents: tuple[Any, ...]) -> None:
    if contents:
        cell.cell_contents = contents[0]


# Modules


def reduce_module(module: types.ModuleType) -> Any:
    """Return the reduction of a module that code has made: by what it holds."""
    attributes = {name: value for name, value in vars(module).items() if name != "__builtins__"}
    return (types.ModuleType, (module.__name__,), attributes, None, None, set_module)


def set_module(module: types.ModuleType, attributes: dict[str, Any]) -> None:
    """Give a module what it held."""
    vars(module).update(attributes)
