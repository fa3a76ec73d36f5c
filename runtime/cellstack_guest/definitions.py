"""Classes of the notebook, taken apart and rebuilt; `functions.py` does it for functions.

A class is written once, under an id of its own, and referred to by that id: all its instances, in all variables and
cells, have the one class. It is rebuilt in two steps, an empty class first and its attributes then,
because classes refer to each other in circles.
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import pickle
import re
import sys
import types
from typing import TYPE_CHECKING, Any, Self

from cloudpickle import cloudpickle

from cellstack_guest import names, originals
from cellstack_guest.caches import CACHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cellstack_guest.baseline import Baseline

_MAIN = "__main__"
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement or type()
_NAMELESS = (type(None), type(NotImplemented), type(...))
_current: list[Registry] = []

# What cloudpickle knows how to do and has no public name for.
_is_found_by_name: Callable[[Any], bool] = cloudpickle._should_pickle_by_reference  # noqa: SLF001
_reduce_builtin_class: Callable[[type], Any] = cloudpickle._class_reduce  # noqa: SLF001
_class_state: Callable[[type], tuple[dict[str, Any], Any]] = cloudpickle._class_getstate  # noqa: SLF001
_BUILTIN_TYPES: dict[type, str] = cloudpickle._BUILTIN_TYPE_NAMES  # noqa: SLF001


class Registry:
    """The classes known in this process by id, and the globals that functions are rebuilt on."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace
        self.classes: dict[str, type] = {}
        self.provided: dict[str, Any] = {}
        self.notices: list[str] = []
        self.made: dict[int, types.ModuleType | None] = {}  # by the addresses of their globals
        self.provide: Callable[[str], Any] = _nothing_provided
        self.baseline: Baseline | None = None  # what there is in every process, and is referred to
        self.load_class: Callable[[str], type] = self.classes.__getitem__
        # What was loaded once more to compare it: were it to go before the process does, the person's code (`__del__`,
        # callbacks of weak references) would be told.
        self.twice: list[Any] = []
        self.lacked = False  # whether there was no time, memory or disk for what could be carried
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

    def note(self, notice: str) -> None:
        """Tell the person, once."""
        if notice not in self.notices:
            self.notices.append(notice)

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


def is_made(module: Any) -> bool:
    """Tell whether this is a module that code has made, which no import finds."""
    if type(module) is not types.ModuleType:
        return False
    attributes = vars(module)
    if attributes.get("__spec__") is not None or attributes.get("__loader__") is not None or "__file__" in attributes:
        return False
    name = attributes.get("__name__")
    if name == "__main__" or not isinstance(name, str):
        return False
    root = name.partition(".")[0]
    return (
        root not in sys.modules or sys.modules[root] is module or getattr(sys.modules[root], "__spec__", None) is None
    )


def by_reference(obj: Any) -> bool:
    """Tell whether a class, a function or a module is found by its name in a process that is new."""
    return _is_found_by_name(obj) and not is_made(sys.modules.get(getattr(obj, "__module__", "")))


def reduce_class(cls: type, registry: Registry) -> Any:
    """Return the reduction of a class: by module and name where that finds it, else by its id."""
    if cls in _NAMELESS or cls in _BUILTIN_TYPES:
        return _reduce_builtin_class(cls)
    if registry.known(cls) is None:
        if by_reference(cls) or _is_in_module_to_be_imported(cls):
            return NotImplemented
        if (place := originals.place_of(cls, registry.baseline)) is not None:
            return (originals.find, place)
        if is_behind_instance(cls):
            return (type_at, (cls.__module__, cls.__qualname__))
    if not cls.__flags__ & _HEAP_TYPE or _is_made_by_c(cls):
        raise pickle.PicklingError(f"{cls.__module__}.{cls.__qualname__} cannot be found by its name")
    return (class_of, (registry.id_of(cls),))


def _is_in_module_to_be_imported(cls: type) -> bool:
    """Tell whether a class is found in a part of a library that nobody has imported, as `numpy.rec.recarray` is."""
    package, dot, _ = (cls.__module__ or "").partition(".")  # sympy's functions have none
    if not dot or package not in sys.modules or cls.__module__ in sys.modules:
        return False
    try:
        module = importlib.import_module(cls.__module__)
    except ImportError:
        return False
    return getattr(module, cls.__qualname__, None) is cls


def is_behind_instance(cls: type) -> bool:
    """Tell whether a module has an instance of the class by its name, as `sys.flags` and `curses.ncurses_version`."""
    module, name = sys.modules.get(cls.__module__), cls.__qualname__
    if not isinstance(module, types.ModuleType) or type(vars(module).get(name)) is not cls:
        return False
    return module.__name__ != "__main__" and by_reference(module)


def type_at(module: str, name: str) -> type:
    """Return the type of an attribute of a module, which is imported first where needed."""
    return type(getattr(importlib.import_module(module), name))


def _is_made_by_c(cls: type) -> bool:
    methods = (types.MethodDescriptorType, types.ClassMethodDescriptorType, types.WrapperDescriptorType)
    return any(type(value) in methods and value.__objclass__ is cls for value in vars(cls).values())


# Classes


_FORWARD = re.compile(r"ForwardRef\('([^']*)'")
_IDENTITY: tuple[Any, ...] = tuple(vars(type)[name] for name in ("__name__", "__qualname__", "__bases__"))
_OF_EVERY_CLASS = frozenset(vars(type("", (), {})))


class ClassState:
    """The attributes of a class as a thing that can be pickled; loading it sets them on the class."""

    def __init__(self, cls: type) -> None:
        self.cls = cls

    def __reduce__(self) -> tuple[Any, ...]:
        attributes = _class_attributes(self.cls)
        behaviour = {name: value for name, value in attributes.items() if _is_behaviour(value)}
        data = {name: value for name, value in attributes.items() if name not in behaviour}
        # Methods first: the data may hold instances, whose __hash__ or __setstate__ is called on loading.
        identity = tuple(field.__get__(self.cls) for field in _IDENTITY)
        state = Behaviour(self.cls, behaviour), data, _members(self.cls), tuple(attributes), identity
        return (load_class_state, state)


class Behaviour:
    """The methods and descriptors of a class as a thing that can be pickled."""

    def __init__(self, cls: type, attributes: dict[str, Any]) -> None:
        self.cls, self.attributes = cls, attributes

    def __reduce__(self) -> tuple[Any, ...]:
        return (load_behaviour, (self.cls, self.attributes))


def load_behaviour(cls: type, attributes: dict[str, Any]) -> type:
    """Set the methods and descriptors of a class."""
    put = _setter(cls)
    for name, value in attributes.items():
        put(cls, name, value)
    return cls


def load_class_state(
    cls: type,
    data: dict[str, Any],
    members: dict[str, Any],
    every: tuple[str, ...] | None = None,
    identity: tuple[Any, ...] = (),
) -> ClassState:
    """Set the rest of a class's attributes and of an enum's members.

    every: the names of all, where they are known. identity: its name, qualified name and bases, which a cell may have
    changed since it was made.
    """
    for field, value in zip(_IDENTITY, identity, strict=False):
        if field.__get__(cls) != value:
            field.__set__(cls, value)
    if every is not None and not _has_layout(cls):
        # What its metaclass has given it when it was built anew, and had not, or no longer.
        for name in _class_attributes(cls).keys() - {*every, *_OF_EVERY_CLASS}:
            with contextlib.suppress(TypeError):  # one that cannot be changed
                type.__delattr__(cls, name)
    subclasses, put = data.pop("_abc_impl", ()), _setter(cls)
    for name, value in data.items():
        put(cls, name, value)
    for subclass in subclasses:
        cls.register(subclass)  # type: ignore[attr-defined]
    for name, attributes in members.items():
        cls.__members__[name].__dict__.update(attributes)  # type: ignore[attr-defined]
    return ClassState(cls)


def names_in_annotations(cls: type) -> Iterator[str]:
    """Yield the words of annotations that are texts: they are looked up when somebody asks, as pydantic does."""
    annotations = cls.__dict__.get("__annotations__")  # noqa: RUF063  nothing is to be evaluated
    for value in annotations.values() if isinstance(annotations, dict) else ():
        if isinstance(value, str):
            yield from names.words(value)
        elif type(value).__module__ in ("typing", "types"):
            for text in _FORWARD.findall(repr(value)):
                yield from names.words(text)


def skeleton_of(cls: type) -> tuple[Any, ...]:
    """Return what `make_skeleton` needs to build the class without its attributes."""
    if isinstance(cls, enum.EnumMeta):
        every: Any = cls.__members__
        members = {name: (_data(cls, member), member.value) for name, member in every.items()}
        return (type(cls), cls.__name__, cls.__bases__, {"__qualname__": cls.__qualname__}, members)
    body = {name: cls.__dict__[name] for name in _IN_BODY if name in cls.__dict__}
    body["__qualname__"] = cls.__qualname__
    metaclass = type(cls)
    if _has_layout(cls):
        metaclass = type  # that of its bases, which cannot be found by its name
        # Where its fields are is computed when it is made.
        body |= {name: cls.__dict__[name] for name in _LAYOUT if name in cls.__dict__}
    if isinstance(cls.__dict__.get("__dict__"), property):
        body["__dict__"] = cls.__dict__["__dict__"]
    return (metaclass, cls.__name__, cls.__bases__, body, None)


def _setter(cls: type) -> Callable[[type, str, Any], None]:
    """Return what sets attributes of a class, without asking the person's own metaclass."""
    return type(cls).__setattr__ if _has_layout(cls) else type.__setattr__


def _has_layout(cls: type) -> bool:
    """Tell whether this is a structure of C."""
    ctypes = sys.modules.get("ctypes")
    return ctypes is not None and issubclass(cls, (ctypes.Structure, ctypes.Union))


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
        try:
            return types.new_class(name, bases, {"metaclass": metaclass}, lambda scope: scope.update(body))
        except TypeError:  # it is called in another way than a class statement does, as that of deap's creator
            plain: type = type.__new__(metaclass, name, bases, body)
            return plain


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


_LAYOUT = ("_pack_", "_align_", "_layout_", "_anonymous_", "_fields_")
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
    for name, *_ in attributes.pop("_fields_", ()) if _has_layout(cls) else ():
        attributes.pop(name, None)
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
    # A cache may hold instances, too.
    return not isinstance(value, (type, CACHED)) and hasattr(type(value), "__get__")
