"""Modules and what they hold, as a graph: what each object consists of, and the way to it from its module.

A step leads from an object to one of its parts: a kind and a key. Steps from a module to an object are its path,
which is the same in every process that has imported the module.
"""

from __future__ import annotations

import abc
import collections
import contextlib
import functools
import importlib
import types
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Step = tuple[str, Any]
# Kinds of steps. What an object is called in the namespace of a module, a class or an instance; what getattr gives;
# item of a dict; element of a set; place in a list, a tuple or a deque; cell of a function's closure; content of a
# cell; class that was registered with an abstract one
ATTRIBUTE, GOTTEN, ITEM, ELEMENT, PLACE, CLOSURE, CONTENT, REGISTERED = "a", "g", "i", "e", "p", "f", "c", "r"

ATOMS = frozenset({str, bytes, int, float, complex, bool, type(None), type(...), type(NotImplemented)})
SEQUENCES = (list, collections.deque)
# Nothing that a cell could change hangs below these, or it goes with what it refers to.
LEAVES = frozenset(
    {
        *ATOMS,
        *(types.BuiltinFunctionType, types.CodeType, types.GetSetDescriptorType, types.MemberDescriptorType),
        *(types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType, types.FrameType),
        *(types.ClassMethodDescriptorType, types.MappingProxyType, types.TracebackType, weakref.ref, range, slice),
        *(weakref.WeakSet, weakref.WeakKeyDictionary, weakref.WeakValueDictionary, frozenset, bytearray),
    }
)
_GOTTEN: dict[type, tuple[str, ...]] = {
    types.MethodType: ("__self__", "__func__"),
    property: ("fget", "fset", "fdel"),
    classmethod: ("__func__",),
    staticmethod: ("__func__",),
    functools.partial: ("func", "args", "keywords"),
    functools.cached_property: ("func",),
    types.FunctionType: ("__defaults__", "__kwdefaults__"),
}
_class_dict = type.__dict__["__dict__"].__get__
HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE of <object.h>: made by Python code, as a rule
MAX_PARTS = 20_000  # of one object; longer ones are tables of data
_MISSING = object()


def is_node(obj: object) -> bool:
    """Tell whether a cell can change what `obj` consists of, in a way that can be seen here."""
    return has_parts(type(obj))


def has_parts(cls: Any) -> bool:
    """Tell whether a cell can change what instances of a type consist of."""
    if cls in LEAVES or cls in _GOTTEN or cls is tuple:
        return False
    if cls is types.CellType or issubclass(cls, (dict, set, *SEQUENCES, type, types.ModuleType)):
        return True
    return cls.__dictoffset__ != 0 or bool(slots_of(cls))


def is_open(obj: Any) -> bool:
    """Tell whether anything that a cell can change may be reached through `obj`."""
    cls = type(obj)
    if cls is types.FunctionType:
        return bool(obj.__closure__ or obj.__defaults__ or obj.__kwdefaults__ or obj.__dict__)
    if cls is tuple:
        return bool(obj)
    return cls in _GOTTEN or is_node(obj)


def parts(obj: Any) -> Iterator[tuple[Step, Any]]:
    """Yield the parts of an object with the step to each; nothing of it is called."""
    cls: Any = type(obj)
    if cls in LEAVES:
        return
    names = _GOTTEN.get(cls)
    if names is not None:
        for name in names:
            yield (GOTTEN, name), getattr(obj, name)
        if cls is not types.FunctionType:
            return
        for place, cell in enumerate(obj.__closure__ or ()):
            yield (CLOSURE, place), cell
    elif cls is types.CellType:
        with contextlib.suppress(ValueError):  # it is empty
            yield (CONTENT, None), obj.cell_contents
        return
    elif issubclass(cls, tuple):
        for place, value in enumerate(tuple.__iter__(obj)):
            yield (PLACE, place), value
    elif issubclass(cls, dict):
        for key in list(dict.keys(obj)):
            yield (ITEM, key), dict.get(obj, key)
    elif issubclass(cls, list):
        for place, value in enumerate(list.__iter__(obj)):
            yield (PLACE, place), value
    elif issubclass(cls, collections.deque):
        for place, value in enumerate(list(obj)):
            yield (PLACE, place), value
    elif issubclass(cls, set):
        for value in list(set.__iter__(obj)):
            yield (ELEMENT, value), value
    elif issubclass(cls, abc.ABCMeta) and "_abc_impl" in _class_dict(obj):  # mypyc makes some that have none
        for reference in abc._get_dump(obj)[0]:  # type: ignore[attr-defined]  # noqa: SLF001
            if (registered := reference()) is not None:
                yield (REGISTERED, registered), None
    for name, value in list(namespace(obj).items()):
        yield (ATTRIBUTE, name), value
    for name, slot in slots_of(cls):
        try:
            value = slot.__get__(obj)
        except AttributeError:  # it is empty
            continue
        yield (GOTTEN, name), value


def namespace(obj: Any) -> Any:
    """Return the namespace of an object, as it is: an empty one where there is none."""
    if issubclass(type(obj), type):
        return _class_dict(obj)
    if type(obj).__dictoffset__ == 0:
        return {}
    try:
        found = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


@functools.cache
def slots_of(cls: Any) -> tuple[tuple[str, Any], ...]:
    """Return the slots that Python classes among the bases have, by name."""
    return tuple(
        (name, value)
        for base in cls.__mro__
        if "__slots__" in _class_dict(base)
        for name, value in _class_dict(base).items()
        if type(value) is types.MemberDescriptorType
    )


def walk(obj: Any, step: Step) -> Any:
    """Return the part of `obj` that a step leads to; LookupError when it has none."""
    kind, key = step
    try:
        if kind == ATTRIBUTE:
            found = namespace(obj)
            # A module may make what it holds when it is asked for it (PEP 562), and hold it from then on.
            is_made = key not in found and "__getattr__" in found and issubclass(type(obj), types.ModuleType)
            return getattr(obj, key) if is_made else found[key]
        if kind == ITEM:
            return dict.__getitem__(obj, key)
        if kind == CLOSURE:
            return obj.__closure__[key]
        if kind == CONTENT:
            return obj.cell_contents
        return getattr(obj, key) if kind == GOTTEN else obj[key]
    except (KeyError, IndexError, AttributeError, TypeError, ValueError, ImportError) as error:
        raise LookupError(f"{type(obj).__qualname__} has no {title([step])}") from error


def resolve(module: str, path: Iterable[Step]) -> Any:
    """Return the object that a path leads to, from a module that is imported where needed; LookupError if none."""
    found: Any = importlib.import_module(module)
    for step in path:
        found = walk(found, step)
    return found


def change(obj: Any, put: Iterable[tuple[Step, Any]], gone: Iterable[Step]) -> None:
    """Give an object other parts, in place, without calling anything of it. A sequence is changed as a whole."""
    put, gone = list(put), list(gone)
    if issubclass(type(obj), SEQUENCES) and any(kind == PLACE for kind, _ in (*gone, *(step for step, _ in put))):
        obj.clear()
        obj.extend(value for (kind, _), value in put if kind == PLACE)
    for step in gone:
        _remove(obj, step)
    for step, value in put:
        _put(obj, step, value)


def _put(obj: Any, step: Step, value: Any) -> None:
    kind, key = step
    if kind == REGISTERED:
        abc.ABCMeta.register(obj, key)
    elif kind == ITEM:
        if dict.get(obj, key, _MISSING) is not value:
            (collections.OrderedDict if issubclass(type(obj), collections.OrderedDict) else dict).__setitem__(
                obj, key, value
            )
    elif kind == ELEMENT:
        set.add(obj, value)
    elif kind == CONTENT:
        obj.cell_contents = value
    elif kind == GOTTEN or (kind == ATTRIBUTE and issubclass(type(obj), type)):
        if namespace(obj).get(key, _MISSING) is not value:
            (type if issubclass(type(obj), type) else object).__setattr__(obj, key, value)
    elif kind == ATTRIBUTE:
        namespace(obj)[key] = value


def _remove(obj: Any, step: Step) -> None:
    kind, key = step
    if kind == ITEM and dict.__contains__(obj, key):
        (collections.OrderedDict if issubclass(type(obj), collections.OrderedDict) else dict).__delitem__(obj, key)
    elif kind == ELEMENT:
        set.discard(obj, key)
    elif kind == ATTRIBUTE and key in namespace(obj):
        (type if issubclass(type(obj), type) else object).__delattr__(obj, key)


def title(path: Iterable[Step]) -> str:
    """Return a path as a person would write it, each another one."""
    text = ""
    for kind, key in path:
        if kind in (ATTRIBUTE, GOTTEN):
            text += f".{key}"
        elif kind == CLOSURE:
            text += f".__closure__[{key}]"
        elif kind == CONTENT:
            text += ".cell_contents"
        else:
            text += f"[{f'{key.__module__}.{key.__qualname__}' if issubclass(type(key), type) else repr(key)}]"
    return text
