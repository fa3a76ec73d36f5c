"""The pickler: what the standard one and cloudpickle's do, with the notebook's own rules."""

from __future__ import annotations

import array
import collections
import datetime as dt
import decimal
import enum
import fractions
import functools
import hashlib
import io
import itertools
import pathlib
import pickle
import re
import sys
import threading
import types
import uuid
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import cloudpickle

from cellstack_guest import (
    adapters,
    arranged,
    arrays,
    caches,
    definitions,
    functions,
    interrupts,
    names,
    nodes,
    originals,
    reducers,
    tracebacks,
)
from cellstack_guest.baseline import Delta
from cellstack_guest.budget import OverBudgetError
from cellstack_guest.reducers import type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cellstack_guest.budget import Budget
    from cellstack_guest.definitions import Registry

T = TypeVar("T")

OUT_OF_BAND = 64 * 1024  # bytes from which memory is kept beside the pickle, to be mapped
_STACK = 512 * 2**20
_DEEP = 150_000
_ATTEMPTS = 5
_STEP = 256 * 1024  # bytes of a pickle after which it is looked at what it takes, and the most where there is room
_STRIDE = 16 * 2**20
_LEAST = 2  # bytes of a pickle that an object takes which is met for the first time: an empty list
_ENTRY = 16  # bytes of such an object's entry in the pickler's table
_DENSE = 16  # bytes of memory that one of a pickle may stand for, beside the table and the object itself

# Puts the notebook's globals and two more dicts and lists into the first places of the memo: a variable that refers
# to them finds them there (the pickler asks nobody how to pickle a plain dict).
PROLOGUE = b"\x80\x05ccellstack_guest.definitions\nnamespace\n)R\x94csys\npath\n\x94csys\nmodules\n\x94."


class RefusedError(Exception):
    """A value that cannot be carried; the message is the type that is to blame, "list holding generator"."""


@dataclass(frozen=True)
class Pickled:
    """A pickle and what was learned while it was written.

    shared: ids of the mutable objects in it, kept from being given to others by `alive`. needs: ids of the classes
    it refers to. reach: globals that its functions use, None for any. flat: whether it is a list of atoms.
    """

    data: bytes
    buffers: list[pickle.PickleBuffer]
    needs: frozenset[str]
    reach: frozenset[str] | None
    shared: array.array[int]
    alive: list[object] = field(default_factory=list, repr=False)
    flat: bool = False

    @property
    def size(self) -> int:
        """Bytes of the pickle and its buffers."""
        return len(self.data) + sum(buffer.raw().nbytes for buffer in self.buffers)

    @functools.cached_property
    def digest(self) -> str:
        """Digest of the pickle, without its buffers."""
        return digest(self.data)


def digest(data: bytes | memoryview) -> str:
    """Return the digest that tells whether a pickle has changed."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Pickler(cloudpickle.Pickler):
    """Pickles values of the notebook; see the package's modules for functions, classes and arrays."""

    def __init__(
        self,
        file: _File,
        registry: Registry,
        buffer_callback: Callable[[Any], bool],
        met: list[Any] | None,
        stand_ins: dict[int, Any] | None = None,
    ) -> None:
        self.registry = registry
        self.stand_ins = stand_ins or {}
        self.note(met)
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)  # type: ignore[no-untyped-call]
        known = (registry.namespace, sys.path, sys.modules)
        self.memo = {id(obj): (place, obj) for place, obj in enumerate(known)}
        self.fixed = {**_fixed_objects(), **{id(obj): ("sys", "modules") for obj in known}}
        self.without_caches = False
        self.caches: list[str] = []
        self.needs: set[str] = set()
        self.reach: set[str] | None = set()
        self.apart: set[int] = set()  # what is shared though most of its type cannot change
        self.known: set[int] = set()
        self.last: object = None
        self.budget = file.budget
        file.pickler = weakref.ref(self)
        self.provided = {id(value): name for name, value in registry.provided.items()}

    def note(self, met: list[Any] | None) -> None:
        """Have all objects added to `met`, by the call that asks for their persistent ids, and some stood for."""
        if self.stand_ins:
            append: Callable[[Any], object] = met.append if met is not None else id  # which does nothing
            stand_ins = self.stand_ins

            def persistent_id(obj: Any) -> Any:
                append(obj)
                return stand_ins.get(id(obj))

            self.persistent_id = persistent_id  # type: ignore[method-assign]
        elif met is not None:
            self.persistent_id = met.append  # type: ignore[method-assign]

    def reducer_override(self, obj: Any) -> Any:
        """Return how to pickle `obj`; called for everything but the basic built-in types."""
        self.last = obj
        if self.budget is not None:
            self.budget.check_time()
        cls = type(obj)
        known = self._known(obj)
        if known is not None:
            return known
        if issubclass(cls, type):
            return self._class(obj)
        own = _OWN.get(cls)
        if own is not None:
            return own(self, obj)
        handler = _HANDLERS[cls]
        return NotImplemented if handler is None else handler(obj)

    def _known(self, obj: Any) -> Any:
        """Return how to find an object that is there when this is loaded, None for any other."""
        if self.provided and id(obj) in self.provided:
            self.reach_name(self.provided[id(obj)])
            return (definitions.provided, (self.provided[id(obj)],))
        if id(obj) in self.fixed:
            return (reducers.module_attribute, self.fixed[id(obj)])
        if self.registry.baseline is None or not _COPIED[type(obj)]:
            return None
        place = self.registry.baseline.reference(obj)
        if place is None:
            return None
        self.known.add(id(obj))
        return (nodes.resolve, place)

    def _class(self, cls: type) -> Any:
        handler = _HANDLERS[type(cls)] if type(cls) is not type else None
        if handler is not None and (found := handler(cls)) is not NotImplemented:
            return found
        reduction = definitions.reduce_class(cls, self.registry)
        if reduction is not NotImplemented and reduction[0] is definitions.class_of:
            self.needs.add(reduction[1][0])
        return reduction

    def _module(self, module: types.ModuleType) -> Any:
        if not definitions.is_made(module):
            return NotImplemented
        self.apart.add(id(module))
        return functions.reduce_module(module)

    def _cached(self, function: Any) -> Any:
        self.caches.append(function.__qualname__)
        return caches.reduce_cached(function, empty=self.without_caches)

    def _kept(self, kept: caches.Kept) -> Any:
        self.caches.append(kept.function.__qualname__)
        return caches.reduce_kept(kept, empty=self.without_caches)

    def _function(self, function: types.FunctionType) -> Any:
        if function.__globals__ is not self.registry.namespace and definitions.by_reference(function):
            return NotImplemented
        if function.__globals__ is not self.registry.namespace:
            place = originals.place_of(function, self.registry.baseline)
            if place is not None:
                return (originals.find, place)
        scope = functions.globals_of(function, self.registry)
        self.apart.add(id(function))
        if scope is None:
            return self._dynamic_function_reduce(function)  # type: ignore[no-untyped-call]
        if scope == "":
            self._reaches(reach_of(function.__code__))
        return functions.reduce_function(function, scope)

    def _builtin(self, function: types.BuiltinFunctionType) -> Any:
        place = originals.place_of_builtin(function)
        return NotImplemented if place is None else (originals.find, place)

    def _state_of_class(self, state: definitions.ClassState) -> Any:
        self._reaches(names.Reach(frozenset(definitions.names_in_annotations(state.cls))))
        return NotImplemented

    def reach_name(self, name: str) -> None:
        """Take down that loading this needs the variable `name`."""
        self._reaches(names.Reach(frozenset({name})))

    def _reaches(self, reach: names.Reach) -> None:
        if reach.everything or self.reach is None:
            self.reach = None
        else:
            self.reach |= reach.names


# What takes part in pickling it that a handler does not know of.
_OWN: dict[type, Callable[[Pickler, Any], Any]] = {
    types.FunctionType: Pickler._function,  # noqa: SLF001 - this module's
    types.BuiltinFunctionType: Pickler._builtin,  # noqa: SLF001
    types.ModuleType: Pickler._module,  # noqa: SLF001
    caches.CACHED: Pickler._cached,  # noqa: SLF001
    caches.Kept: Pickler._kept,  # noqa: SLF001
    definitions.ClassState: Pickler._state_of_class,  # noqa: SLF001
}


class _DeltaPickler(Pickler):
    """Pickles what refers to containers that modules hold, as what cells have changed in them does."""

    def note(self, met: list[Any] | None) -> None:
        """Have all objects added to `met`, and the place of those that a module had before as their persistent ids."""
        append: Callable[[Any], object] = met.append if met is not None else id  # which does nothing
        baseline, stand_ins = self.registry.baseline, self.stand_ins

        def persistent_id(obj: Any) -> Any:  # called for every object, of which there may be a million
            append(obj)
            cls = type(obj)
            place = None
            if baseline is not None and cls in _REFERABLE:
                place = None if cls is types.FunctionType and "<" not in obj.__qualname__ else baseline.reference(obj)
            return stand_ins.get(id(obj)) if place is None else place

        self.persistent_id = persistent_id  # type: ignore[method-assign]


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, place: Any) -> Any:
        return nodes.resolve(*place) if type(place) is tuple else place.value


class _AfterPatches(_Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return originals.find(module, name)


@functools.lru_cache(maxsize=4096)
def reach_of(code: types.CodeType) -> names.Reach:
    """Return what a function's code can reach."""
    return names.reach_of_function(code)


def dump(
    values: dict[str, Any], registry: Registry, *, with_shared: bool = True, budget: Budget | None = None
) -> Pickled:
    """Pickle values by key. RefusedError with the type to blame when that is not possible.

    with_shared: whether `shared` is wanted, which takes a list of all objects. budget: what it may use. Objects that
    refer to each other ten thousand deep are pickled on a stack of their own.
    """
    return _persistently(functools.partial(_dump, values, registry, with_shared=with_shared, budget=budget))


def shares(values: dict[str, Any], registry: Registry, budget: Budget | None = None) -> dict[str, Pickled]:
    """Tell which of `values` share objects, in one go: by key, what has their `shared`, and no pickle.

    Of values that share an object, each but the first has an id in common with one before it, if not that object's:
    what holds it may have been met before, and was not entered again.
    """
    return _persistently(functools.partial(_shares, values, registry, budget))


def _persistently(pickle_now: Callable[[], T]) -> T:
    try:
        for _ in range(_ATTEMPTS):
            try:
                return pickle_now()
            except RefusedError as error:
                # A thread of the cell is at work on it.
                if "changed size during iteration" not in str(error.__cause__):
                    raise
        return pickle_now()
    except RecursionError:
        made: T = on_deep_stack(pickle_now)
        return made


def _shares(
    values: dict[str, Any], registry: Registry, budget: Budget | None, *, without_caches: bool = False
) -> dict[str, Pickled]:
    met: list[Any] = []
    pickler = _DeltaPickler(_Nowhere(budget), registry, lambda buffer: buffer.raw().nbytes < OUT_OF_BAND, met)
    pickler.without_caches = without_caches
    ends = []
    for value in values.values():
        if _is_flat(value):
            met.append(value)
        else:
            note = _DeltaPickler.note if _refers(value, registry) else Pickler.note  # as when it is pickled alone
            note(pickler, met)
            try:
                pickle.Pickler.dump(pickler, value)
            except RecursionError:
                raise
            except Exception as error:
                if not pickler.caches or without_caches:
                    raise RefusedError(_blame({"": value}, pickler, error)) from error
                return _shares(values, registry, budget, without_caches=True)
        ends.append(len(met))
    passed = {*pickler.fixed, *pickler.provided, *pickler.known}
    found, begin = {}, 0
    for key, end in zip(values, ends, strict=True):
        part = met[begin:end]
        # Without a step of Python for each: there may be millions.
        asked = itertools.compress(part, map(_HOLDS.__getitem__, map(type, part)))
        holding = set(map(id, filter(_does_hold, asked)))
        holding |= pickler.apart.intersection(map(id, part))
        found[key] = Pickled(b"", [], frozenset(), frozenset(), array.array("Q", holding - passed), met)
        begin = end
    return found


class _File(io.BytesIO):
    """Takes a pickle. OverBudgetError when there is no memory for more of it, or for what the pickler keeps.

    A pickler knows what it has met from a table (CPython's `PyMemoTable`), which is made anew, twice as large, when two
    thirds of it are taken.
    """

    AFTERWARDS = 8  # bytes that it takes for each object, once all are met, to take down which they were

    def __init__(self, budget: Budget | None) -> None:
        super().__init__()
        self.budget = budget
        self.pickler: Callable[[], Pickler | None] = lambda: None
        self._written = self._met = 0
        self._next: float = _STEP

    def write(self, data: Any) -> int:
        self._written += len(data)
        if self.budget is not None:
            if isinstance(data, bytes):
                self._met += data.count(pickle.MEMOIZE)  # or fewer: texts may have that byte, too
            if self._written > self._next:
                self._next = self._written + self._look(self.budget, len(data))
        return super().write(data)

    def _look(self, budget: Budget, more: int) -> float:
        """Return after how many bytes of the pickle to look again."""
        budget.check_time()
        table = sys.getsizeof(self.pickler())
        # Objects until it is made anew, less those that come before the next look, at the earliest.
        left = table // _ENTRY * 2 // 3 - self._met - 2 * _STEP // _LEAST
        room = budget.room(more + max(self.AFTERWARDS * self._met, 2 * table if left < 0 else 0))
        return max(_STEP, min(room / _DENSE, left * _LEAST, _STRIDE))


class _Nowhere(_File):
    """A file of which nothing is kept."""

    AFTERWARDS = 80

    def write(self, data: Any) -> int:
        written = super().write(data)
        self.seek(0)
        return written


def _dump(
    values: dict[str, Any],
    registry: Registry,
    *,
    with_shared: bool,
    budget: Budget | None,
    without_caches: bool = False,
    stand_ins: dict[int, Any] | None = None,
) -> Pickled:
    buffers: list[pickle.PickleBuffer] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < OUT_OF_BAND:
            return True
        buffers.append(buffer)
        return False

    make = _DeltaPickler if any(_refers(value, registry) for value in values.values()) else Pickler
    flat = all(map(_is_flat, values.values()))
    met: list[Any] | None = [] if with_shared and not flat else None
    file = _File(budget)
    file.write(PROLOGUE)
    pickler = make(file, registry, keep_inside, met, stand_ins)
    pickler.without_caches = without_caches
    try:
        if budget is not None:
            whole = sum(len(value) for value in values.values() if type(value) in (str, bytes, bytearray))
            if whole > _STEP:
                budget.room(2 * whole)  # which are copied as they are
        # Not cloudpickle's dump, which turns a RecursionError into something else.
        pickle.Pickler.dump(pickler, values)
    except RecursionError:
        raise
    except Exception as error:
        blame = _blame(values, pickler, error)
        if not pickler.caches or without_caches:
            raise RefusedError(blame) from error
        # The function itself can be called again, if it was not what is wrong.
        pickled = _dump(values, registry, with_shared=with_shared, budget=budget, without_caches=True)
        registry.note(f"the cache of {' or '.join(pickler.caches)} will not be carried: {blame}")
        return pickled
    if stand_ins is None and arranged.may_hold(file.getvalue()):
        if met is None and not flat:
            return _dump(values, registry, with_shared=True, budget=budget, without_caches=without_caches)
        found = arranged.stand_ins(_in_flat(values) if met is None else met, _does_hold)
        if found:
            again = functools.partial(_dump, values, registry, with_shared=with_shared, budget=budget)
            return again(without_caches=without_caches, stand_ins=found)
    reach = None if pickler.reach is None else frozenset(pickler.reach)
    shared = array.array("Q", map(id, values.values()) if met is None else ())
    if met is not None:
        # Without a step of Python for each: there may be millions.
        mutable = itertools.compress(met, map(_MUTABLE.__getitem__, map(type, met)))
        passed = {*pickler.fixed, *pickler.provided, *pickler.known, id(values)}
        shared.extend(itertools.filterfalse(passed.__contains__, map(id, mutable)))
        shared.extend(pickler.apart - passed)
    is_list = flat and len(values) == 1 and type(next(iter(values.values()))) is list
    return Pickled(file.getvalue(), buffers, frozenset(pickler.needs), reach, shared, met or [], is_list)


def _refers(value: object, registry: Registry) -> bool:
    """Whether a value is a change of a module, or a container that a module holds."""
    if type(value) is Delta:
        return True
    baseline = registry.baseline
    return type(value) in _CONTAINERS and baseline is not None and baseline.reference(value) is not None


def _is_flat(value: object) -> bool:
    """Whether a container, perhaps of millions, holds nothing that could be shared but itself."""
    if type(value) is dict:
        return set(map(type, value)) | set(map(type, value.values())) <= ATOMS
    return type(value) in (list, set) and set(map(type, value)) <= ATOMS  # type: ignore[call-overload]


def _in_flat(values: dict[str, Any]) -> list[Any]:
    parts = ((value, *value, *(value.values() if type(value) is dict else ())) for value in values.values())
    return [*itertools.chain.from_iterable(parts)]


def load(data: bytes | memoryview, registry: Registry, buffers: Sequence[Any] = ()) -> Any:
    """Return the value of a pickle written by `dump`; whatever loading raises is raised."""
    make = _AfterPatches if originals.are_kept() else _Unpickler  # the notebook's own, in its container
    unpickler = make(io.BytesIO(data), buffers=buffers)
    with registry:
        unpickler.load()
        return unpickler.load()


def on_deep_stack(call: Callable[[], Any]) -> Any:
    """Return `call()`, made in a thread with room for very deep recursion."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.extend((True, call()))
        except BaseException as error:  # noqa: BLE001 - raised again below
            outcome.extend((False, error))

    limit, size = sys.getrecursionlimit(), threading.stack_size(_STACK)
    sys.setrecursionlimit(max(limit, _DEEP))
    try:
        thread = threading.Thread(target=run)
        with interrupts.left_to_main():
            thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(limit)
    done, result = outcome
    if done:
        return result
    if isinstance(result, RecursionError):
        raise RefusedError("too deeply nested") from result
    raise result


def _blame(values: dict[str, Any], pickler: Pickler, error: Exception) -> str:
    last = pickler.last
    if isinstance(error, (MemoryError, OverBudgetError)):
        pickler.registry.lacked = True
    if isinstance(error, MemoryError) and pickler.budget is not None:
        error = OverBudgetError(pickler.budget.no_memory())
    if isinstance(error, OverBudgetError):
        return str(error)
    value = next(iter(values.values())) if len(values) == 1 else values
    outer = type_name(type(value))
    if last is None or last is value:
        return str(error) if isinstance(error, reducers.Refusal) else outer
    inner = str(error) if isinstance(error, reducers.Refusal) else type_name(type(last))
    if isinstance(last, (definitions.ClassState, definitions.Behaviour)):
        return f"class {last.cls.__qualname__}"
    if type(value) is Delta:
        return inner
    if type(value) is definitions.ClassState:
        return f"class {value.cls.__qualname__} holding {inner}"
    return f"{outer} holding {inner}"


_BY_NAME: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("numpy", "ndarray"): arrays.reduce_array,
    ("numpy", "void"): arrays.reduce_record,
    ("numpy.ma", "MaskedArray"): arrays.reduce_masked,
    ("numpy.ma.core", "MaskedArray"): arrays.reduce_masked,
    ("pandas._libs.internals", "Block"): arrays.reduce_block,
    ("pandas._libs.internals", "BlockValuesRefs"): arrays.reduce_refs,
    ("pandas.core.internals.managers", "SingleBlockManager"): arrays.reduce_single_manager,
    ("pandas", "Index"): arrays.reduce_index,
    ("pandas.core.indexes.base", "Index"): arrays.reduce_index,
    ("builtins", "BaseException"): reducers.reduce_exception,
    ("IPython.core.interactiveshell", "InteractiveShell"): reducers.reduce_shell,
    ("logging", "Logger"): reducers.reduce_logger,
    ("subprocess", "Popen"): reducers.reduce_process,
    ("builtins", "memoryview"): reducers.reduce_memoryview,
    ("builtins", "mappingproxy"): reducers.reduce_proxy,
    ("weakref", "ReferenceType"): reducers.reduce_weak_reference,
    ("weakref", "WeakKeyDictionary"): reducers.reduce_weak_dictionary,
    ("weakref", "WeakValueDictionary"): reducers.reduce_weak_dictionary,
    ("_io", "TextIOWrapper"): reducers.reduce_file,
    ("_io", "BufferedReader"): reducers.reduce_file,
    ("_io", "BufferedWriter"): reducers.reduce_file,
    ("_io", "BufferedRandom"): reducers.reduce_file,
    ("_io", "FileIO"): reducers.reduce_file,
    ("builtins", "traceback"): tracebacks.reduce_traceback,
    ("re", "Match"): reducers.reduce_match,
    **adapters.HANDLERS,
}


def _fixed_objects() -> dict[int, tuple[str, str]]:
    return {
        id(obj): (module, name)
        for module, name in adapters.FIXED
        if module in sys.modules and (obj := vars(sys.modules[module]).get(name)) is not None
    }


def is_atom(value: object) -> bool:
    """Tell whether a value cannot change and holds no others. Modules count, which are found by their name."""
    return type(value) in ATOMS or (type(value) is types.ModuleType and not definitions.is_made(value))


class _Handlers(dict[type, Any]):
    def __missing__(self, cls: type) -> Any:
        if definitions.is_behind_instance(cls):
            self[cls] = _reduce_in_place_of_type
            return _reduce_in_place_of_type
        found = (_BY_NAME.get((base.__module__, base.__qualname__)) for base in cls.__mro__)
        handler = self[cls] = next((handler for handler in found if handler is not None), _handler_of_plain(cls))
        return handler


def _reduce_in_place_of_type(obj: Any) -> Any:
    """Return the reduction of what may be the one instance that a module has by the name of its type."""
    module, name = type(obj).__module__, type(obj).__qualname__
    return (reducers.module_attribute, (module, name)) if vars(sys.modules[module])[name] is obj else NotImplemented


def _is_plain(cls: type) -> bool:
    return all(getattr(cls, name) is getattr(object, name) for name in ("__reduce__", "__reduce_ex__"))


class _Copied(dict[type, bool]):
    """Types whose instances are pickled by value, for want of anything that says otherwise."""

    def __missing__(self, cls: type) -> bool:
        self[cls] = _is_plain(cls) and cls.__module__ not in ("builtins", "__main__") and nodes.has_parts(cls)
        return self[cls]


def _handler_of_plain(cls: Any) -> Callable[[Any], Any] | None:
    """Return how to reduce what says nothing of pickling, but has methods that unpickling would call too early."""
    if issubclass(cls, type) or not _is_plain(cls):
        return None
    is_asked = getattr(cls, "__getstate__", None) is not getattr(object, "__getstate__", None)
    if not is_asked and not hasattr(cls, "__setstate__"):
        for base, fillers in _FILLERS.items():
            if issubclass(cls, base) and any(getattr(cls, name) is not getattr(base, name) for name in fillers):
                return reducers.reduce_container
    answers = hasattr(cls, "__getattr__") and not hasattr(cls, "__setstate__")
    return reducers.reduce_plain if answers or reducers.is_made_by_python(cls) else None


class _Holds(dict[type, bool]):
    """Types, and whether it can be noticed that an instance is shared, or something in it."""

    def __missing__(self, cls: type) -> bool:
        self[cls] = _MUTABLE[cls] or cls in _CAN_HOLD or type_name(cls) == "pandas.core.dtypes.dtypes.CategoricalDtype"
        return self[cls]


def _does_hold(obj: object) -> bool:
    """Tell it of an instance of a type that `_HOLDS`."""
    look = _CAN_HOLD.get(type(obj))
    return look is None or look(obj)


def _any_holds(items: Iterable[object]) -> bool:
    return any(_HOLDS[type(item)] and _does_hold(item) for item in items)


class _Mutable(dict[type, bool]):
    """Types, and whether it can be noticed that two variables share an instance."""

    def __missing__(self, cls: type) -> bool:
        numpy = sys.modules.get("numpy")
        kinds = _IMMUTABLE_KINDS if numpy is None else (*_IMMUTABLE_KINDS, numpy.dtype, numpy.generic)
        looks_into_array = numpy is not None and issubclass(cls, numpy.void)
        is_fixed = issubclass(cls, kinds) and not looks_into_array
        self[cls] = not is_fixed and type_name(cls) not in _IMMUTABLE_NAMES
        return self[cls]


_HANDLERS = _Handlers(
    {types.CellType: functions.reduce_cell, types.CodeType: functions.reduce_code}
    | dict.fromkeys(reducers.LOCKS, reducers.reduce_lock)
)
_EXACT = (
    *(str, bytes, tuple, frozenset, int, float, complex, bool, range, slice, type(None), types.CodeType),
    *(dt.date, dt.datetime, dt.timedelta, dt.time, dt.timezone),
    *(decimal.Decimal, fractions.Fraction, uuid.UUID, re.Pattern, types.BuiltinFunctionType, types.FunctionType),
)
_COPIED = _Copied()
_FILLERS: dict[type, tuple[str, ...]] = {list: ("append", "extend"), dict: ("__setitem__",)}
_CONTAINERS = frozenset({dict, list, set, collections.deque, collections.OrderedDict, collections.defaultdict})
_REFERABLE = _CONTAINERS | {types.MethodType, types.CellType, types.FunctionType}
_MUTABLE = _Mutable(dict.fromkeys(_EXACT, False))
_IMMUTABLE_KINDS = (type, types.ModuleType, enum.Enum, pathlib.PurePath)
_IMMUTABLE_NAMES = frozenset({"numpy.ufunc", "zoneinfo.ZoneInfo", "pandas.core.dtypes.dtypes.CategoricalDtype"})
_HOLDS = _Holds()
# What cannot change, but may hold what can.
_CAN_HOLD: dict[type, Callable[[Any], bool]] = {
    tuple: _any_holds,
    frozenset: _any_holds,
    slice: lambda value: _any_holds((value.start, value.stop, value.step)),
    types.BuiltinFunctionType: lambda method: not isinstance(method.__self__, types.ModuleType | type),
}
ATOMS = frozenset({str, bytes, int, float, complex, bool, type(None), range})
