"""Functions and classes of the notebook, taken apart and rebuilt.

A function of the notebook is rebuilt on the globals of the process it is loaded into, so that it sees what later
cells bind. A class is written once, under an id of its own, and referred to by that id: all its instances, in all
variables and cells, have the one class. It is rebuilt in two steps, an empty class first and its attributes then,
because classes refer to each other in circles.
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import pickle
import sys
import types
from typing import TYPE_CHECKING, Any, Self

from cloudpickle import cloudpickle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cellstack_guest.baseline import Baseline

_MAIN = "__main__"
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement or type()
_NAMELESS = (type(None), type(NotImplemented), type(...))
_current: list[Registry] = []

# What cloudpickle knows how to do and has no public name for.
by_reference: Callable[[Any], bool] = cloudpickle._should_pickle_by_reference  # noqa: SLF001
_reduce_builtin_class: Callable[[type], Any] = cloudpickle._class_reduce  # noqa: SLF001
_class_state: Callable[[type], tuple[dict[str, Any], Any]] = cloudpickle._class_getstate  # noqa: SLF001
_BUILTIN_TYPES: dict[type, str] = cloudpickle._BUILTIN_TYPE_NAMES  # noqa: SLF001


class Registry:
    """The classes known in this process by id, and the globals that functions are rebuilt on."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.classes: dict[str, type] = {}
        self.provided: dict[str, Any] = {}
        self.provide: Callable[[str], Any] = _nothing_provided
        self.baseline: Baseline | None = None  # what there is in every process, and is referred to
        self.load_class: Callable[[str], type] = self.classes.__getitem__
        self._ids: dict[int, str] = {}
        self._fresh: list[str] = []
        self._prefix = ""

    def __enter__(self) -> Self:
        _current.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _current.pop()

    def register(self, definition: str, cls: type) -> None:
        """Make `cls` known as the class with the id `definition`."""
        self.classes[definition] = cls
        self._ids[id(cls)] = definition

    def id_of(self, cls: type) -> str:
        """Return the id of a class; one seen for the first time gets a new one and is listed by `take_fresh`."""
        definition = self._ids.get(id(cls))
        if definition is None:
            definition = f"{self._prefix}/{len(self._ids)}"
            self.register(definition, cls)
            self._fresh.append(definition)
        return definition

    def known(self, value: object) -> str | None:
        """Return the id of `value` if it is a class that has one."""
        return self._ids.get(id(value)) if issubclass(type(value), type) else None

    def start_layer(self, layer: str) -> None:
        """Ids given from now on are unique to `layer`."""
        self._prefix = layer

    def take_fresh(self) -> list[str]:
        """Return the ids given since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh


def _nothing_provided(name: str) -> Any:
    raise LookupError(f"nothing is provided for {name}")


def class_of(definition: str) -> type:
    """Return the class with this id, loading it first where needed (called while unpickling)."""
    registry = _current[-1]
    return registry.classes.get(definition) or registry.load_class(definition)


def namespace() -> dict[str, Any]:
    """Return the globals of the notebook (called while unpickling)."""
    return _current[-1].namespace


def provided(name: str) -> Any:
    """Return what `cellstack.provide` makes for `name` (called while unpickling)."""
    return _current[-1].provide(name)


def reduce_class(cls: type, registry: Registry) -> Any:
    """Return the reduction of a class: by module and name where that finds it, else by its id."""
    if cls in _NAMELESS or cls in _BUILTIN_TYPES:
        return _reduce_builtin_class(cls)
    if registry.known(cls) is None and by_reference(cls):
        return NotImplemented
    if not cls.__flags__ & _HEAP_TYPE:
        raise pickle.PicklingError(f"{cls.__module__}.{cls.__qualname__} cannot be found by its name")
    return (class_of, (registry.id_of(cls),))


# Functions


def globals_of(function: types.FunctionType, registry: Registry) -> str | None:
    """Return "" for a function on the notebook's globals, a module's name for one on that module's, else None."""
    scope = function.__globals__
    if scope is registry.namespace:
        return ""
    name = scope.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) and name != _MAIN else None
    return module.__name__ if module is not None and getattr(module, "__dict__", None) is scope else None


def reduce_function(function: types.FunctionType, scope: str) -> tuple[Any, ...]:
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
    code: types.CodeType, scope: str, name: str, closure: tuple[types.CellType, ...] | None
) -> types.FunctionType:
    """Build a function without defaults and attributes; those come with `set_function_state`."""
    scope_dict = importlib.import_module(scope).__dict__ if scope else namespace()
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


# Classes


class ClassState:
    """The attributes of a class as a thing that can be pickled; loading it sets them on the class."""

    def __init__(self, cls: type) -> None:
        self.cls = cls

    def __reduce__(self) -> tuple[Any, ...]:
        attributes = _class_attributes(self.cls)
        behaviour = {name: value for name, value in attributes.items() if _is_behaviour(value)}
        data = {name: value for name, value in attributes.items() if name not in behaviour}
        # Methods first: the data may hold instances, whose __hash__ or __setstate__ is called on loading.
        return (load_class_state, (Behaviour(self.cls, behaviour), data, _members(self.cls)))


class Behaviour:
    """The methods and descriptors of a class as a thing that can be pickled."""

    def __init__(self, cls: type, attributes: dict[str, Any]) -> None:
        self.cls, self.attributes = cls, attributes

    def __reduce__(self) -> tuple[Any, ...]:
        return (load_behaviour, (self.cls, self.attributes))


def load_behaviour(cls: type, attributes: dict[str, Any]) -> type:
    """Set the methods and descriptors of a class."""
    for name, value in attributes.items():
        type.__setattr__(cls, name, value)
    return cls


def load_class_state(cls: type, data: dict[str, Any], members: dict[str, Any]) -> ClassState:
    """Set the rest of a class's attributes and of an enum's members."""
    subclasses = data.pop("_abc_impl", ())
    for name, value in data.items():
        type.__setattr__(cls, name, value)
    for subclass in subclasses:
        cls.register(subclass)  # type: ignore[attr-defined]
    for name, attributes in members.items():
        cls.__members__[name].__dict__.update(attributes)  # type: ignore[attr-defined]
    return ClassState(cls)


def skeleton_of(cls: type) -> tuple[Any, ...]:
    """Return what `make_skeleton` needs to build the class without its attributes."""
    if isinstance(cls, enum.EnumMeta):
        every: Any = cls.__members__
        members = {name: (_data(cls, member), member.value) for name, member in every.items()}
        return (type(cls), cls.__name__, cls.__bases__, {"__qualname__": cls.__qualname__}, members)
    body = {name: cls.__dict__[name] for name in _IN_BODY if name in cls.__dict__}
    if isinstance(cls.__dict__.get("__dict__"), property):
        body["__dict__"] = cls.__dict__["__dict__"]
    return (type(cls), cls.__name__, cls.__bases__, body, None)


def make_skeleton(metaclass: Any, name: str, bases: tuple[Any, ...], body: dict[str, Any], members: Any) -> type:
    """Build a class that has its bases, slots and (for an enum) members, and nothing else yet."""
    if members is not None:
        return _make_enum(metaclass, name, bases, body["__qualname__"], members)
    if metaclass.__name__ == "_TypedDictMeta":  # takes no dict as a base, though that is what it makes
        typed: type = type.__new__(metaclass, name, bases, body)
        return typed
    known = {id(cls) for cls in _current[-1].classes.values()}
    with _silent_hooks(bases):
        if id(metaclass) in known:  # its __init__ and __new__ have run, too
            ready: Any = next(base for base in metaclass.__mro__ if id(base) not in known)
            made: type = ready.__new__(metaclass, name, bases, body)
            return made
        return types.new_class(name, bases, {"metaclass": metaclass}, lambda scope: scope.update(body))


def _make_enum(
    metaclass: Any, name: str, bases: tuple[Any, ...], qualname: str, members: dict[str, tuple[Any, Any]]
) -> type:
    body = metaclass.__prepare__(name, bases)
    for member, (data, _) in members.items():
        body[member] = data
    cls: Any = metaclass.__new__(metaclass, name, bases, body)
    cls.__qualname__ = qualname
    for member, (data, value) in members.items():
        if data is not value:
            _set_value(cls, cls.__members__[member], value)
    made: type = cls
    return made


def _set_value(cls: Any, member: Any, value: Any) -> None:
    cls._value2member_map_.pop(member._value_, None)
    member._value_ = value
    with contextlib.suppress(TypeError):  # a value without a hash is found by comparing
        cls._value2member_map_[value] = member


def _data(cls: Any, member: Any) -> Any:
    """Return what an enum's member is made of: for one that is a str or an int too, that may not be its value."""
    value = member.value
    if cls._member_type_ is object or not hasattr(member, "__getnewargs__"):
        return value
    data = member.__getnewargs__()
    return data[0] if len(data) == 1 and (type(data[0]), data[0]) != (type(value), value) else value


class _silent_hooks:  # noqa: N801 - used as a function
    """Keeps `__init_subclass__` of the notebook's classes from running again: it ran when the class was made."""

    def __init__(self, bases: tuple[Any, ...]) -> None:
        known = {base for cls in bases for base in getattr(cls, "__mro__", ())} & set(_current[-1].classes.values())
        self._hooks = [
            (base, base.__dict__["__init_subclass__"]) for base in known if "__init_subclass__" in vars(base)
        ]

    def __enter__(self) -> None:
        for base, _ in self._hooks:
            type.__delattr__(base, "__init_subclass__")

    def __exit__(self, *_: object) -> None:
        for base, hook in self._hooks:
            type.__setattr__(base, "__init_subclass__", hook)


_IN_BODY = ("__module__", "__slots__", "__orig_bases__")
_OF_ENUM = ("_generate_next_value_", "_member_names_", "_member_map_", "_member_type_", "_value2member_map_")
_OF_MEMBERS = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})


def _class_attributes(cls: type) -> dict[str, Any]:
    attributes: dict[str, Any] = dict(_class_state(cls)[0])
    slots = cls.__dict__.get("__slots__", ())
    for slot in _mangled(cls, (slots,) if isinstance(slots, str) else slots):
        attributes.pop(slot, None)
    if isinstance(cls, enum.EnumMeta):
        for name in (*_OF_ENUM, *cls.__members__):
            attributes.pop(name, None)
    attributes.pop("__slots__", None)
    return attributes


def _mangled(cls: type, slots: Any) -> Iterator[str]:
    for slot in slots:
        private = slot.startswith("__") and not slot.endswith("__")
        yield f"_{cls.__name__.lstrip('_')}{slot}" if private else slot


def _members(cls: type) -> dict[str, dict[str, Any]]:
    """Return what the members of an enum got in `__init__` or `__new__`, by name."""
    if not isinstance(cls, enum.EnumMeta):
        return {}
    found = {}
    every: Any = cls.__members__
    for name, member in every.items():
        attributes = {key: value for key, value in vars(member).items() if key not in _OF_MEMBERS}
        if attributes:
            found[name] = attributes
    return found


def _is_behaviour(value: object) -> bool:
    return not isinstance(value, type) and hasattr(type(value), "__get__")
