"""What cells have changed in the objects that modules hold, as it is saved and put back.

`tables.py` finds it, `nodes.py` has the steps and paths by which objects are told, `exclusions.py` what does not count.
"""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from cellstack_guest import nodes, originals, registries
from cellstack_guest.exclusions import SHELL, is_cache
from cellstack_guest.tables import address_in, coded, is_atom, mark, marks, with_key
from cellstack_guest.twins import Twin, table_here

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cellstack_guest.nodes import Step
    from cellstack_guest.tables import Marks, Place, Table

    Put = tuple[Step, Any]

DELTA = "delta:"
MANY = 32  # parts of a baseline
FEW_CHARACTERS, SMALL = 4, 1000  # of texts and numbers that are the same by chance
_SHARED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


class Delta(NamedTuple):
    """A change of an object of a module, as it is saved. gone: steps that are not coded."""

    path: tuple[Step, ...]
    put: list[tuple[Step, Any]]
    gone: list[Step]


@dataclass(eq=False)
class _Part:
    """What was there at one moment in the process that this one was forked from.

    marks: what of it was something else when that happened. before: what imports of this process have changed since.
    taken: where modules have what they took over, when they were imported, from others that cells had changed: what is
    there but for that. The process that later cells are forked from imports them where nothing is changed.
    """

    table: Table
    marks: dict[int, Marks] = field(default_factory=dict)
    before: dict[int, Marks] = field(default_factory=dict)
    taken: dict[int, Marks] = field(default_factory=dict)


class Baseline:
    """What this process held before the cell's code ran, and what of it is different now."""

    def __init__(self, table: Table) -> None:
        self._parts = [_Part(table)]
        self._later: list[_Part] = []  # what came since

    @property
    def is_long(self) -> bool:
        """Whether it is better made anew than grown: each object is looked for in all that it has grown by."""
        return len(self._parts) >= MANY

    def grow(self) -> None:
        """Take in the modules that were imported since, in the process that cells are forked from."""
        answer = Twin(self._known).answer()
        if answer is not None:
            table, changed = answer
            for part, marks in zip(self._parts, changed, strict=True):
                part.marks |= marks
            self._parts.append(_Part(table))

    def renew(self, applied: Mapping[str, Delta], others: Sequence[Put], *, first: bool) -> None:
        """Take in the modules that were imported since, as they are now.

        applied: the changes that are not their own and are part of it already, by key. others: what else was changed
        before they were imported. first: no code of the cell has run but imports, so that what these modules have
        changed in others when they were imported is none of its changes; but what cells had changed there is one.
        """
        put = _all_put(applied, others)
        # Answered now: the cell's code is to see no process that is not its own.
        answer = Twin(self._known, _addresses(put), [part.table for part in self._later]).answer()
        if answer is None:
            return
        table, changed = answer
        self._later.append(_Part(table, taken=_taken(table, put, applied)))
        if first:
            for part, marks in zip(self._parts, changed, strict=True):
                for number, each in marks.items():
                    place = part.table.place(number)
                    if place is None or _is_as_put(place.obj, applied.get(key_of(place))):
                        part.before[number] = each

    def renew_by(self, modules: Sequence[str], applied: Mapping[str, Delta], others: Sequence[Put]) -> None:
        """Take in a few modules, by name, that code of the cell has imported, as they are now."""
        put = _all_put(applied, others)
        known = [part.table for part in self._parts]
        table = table_here(modules, known, _addresses(put), [part.table for part in self._later])
        self._later.append(_Part(table, taken=_taken(table, put, applied)))

    def put(self) -> list[Put]:
        """Return what is somewhere now, and was not."""
        return [each for _, delta, _ in self.changes() for each in delta.put]

    @property
    def _known(self) -> list[tuple[Table, dict[int, Marks]]]:
        return [(part.table, part.marks) for part in self._parts]

    @property
    def _all(self) -> list[Table]:
        return [part.table for part in (*self._parts, *self._later)]

    def changes(self) -> Iterator[tuple[str, Delta, bool]]:
        """Yield key and change of each object that has changed, or may have; whether that is all of its change.

        It is not when part of it had been there when the baseline was renewed.
        """
        seen: set[int] = set()
        for part in (*self._parts, *self._later):
            then = part.marks | part.before | part.taken
            # Those that were something else, too: one that is as it was at first looks untouched.
            for number, place, change in part.table.changed(then, then):
                if id(place.obj) not in seen:  # a later table may have it again
                    seen.add(id(place.obj))
                    known = then[number] if number in then else part.table.parts(number)
                    put = _of_notebook(change.put, {*known.values()}) if _is_hook(place) else change.put
                    gone = [step for code in change.gone if (step := self._found(code)) is not None]
                    whole = part in self._parts and number not in part.before
                    yield key_of(place), Delta(place.path, put, gone), whole

    def is_pristine(self, key: str, delta: Delta) -> bool:
        """Tell whether a changed object is as it was before any cell ran, if `changes` does not yield it."""
        try:
            address = id(nodes.resolve(module_of(key), delta.path))
        except LookupError:
            return False
        found = ((part.table.find(address), part.before) for part in self._parts)
        return any(number is not None and number not in before for number, before in found)

    def is_replaced(self, key: str, delta: Delta) -> bool:
        """Tell whether a cell has taken a changed object away, or put another one there, which goes with its holder."""
        module = module_of(key)
        if not self.covers(module):
            return False
        try:
            found = nodes.resolve(module, delta.path)
        except LookupError:
            return True
        return all(table.find(id(found)) is None for table in self._all)

    def _found(self, step: Step) -> Step | None:
        """Return a coded step to a part that is gone with the object that is its key, if it is still there."""
        address = address_in(step)
        if address is None:
            return step
        for table in self._all:
            number = table.find(address)
            place = None if number is None else table.place(number)
            if place is not None:
                return with_key(step, place.obj)
        return None

    def covers(self, module: str) -> bool:
        """Tell whether changes of a module are noticed."""
        address = id(sys.modules.get(module))
        return any(table.find(address) is not None for table in self._all)

    def had(self, owner: Any, name: str, obj: Any) -> bool:
        """Tell whether a module or class had an object as an attribute."""
        found = ((table, table.find(id(owner))) for table in self._all)
        step = nodes.ATTRIBUTE, name
        return any(number is not None and table.parts(number).get(step) == mark(obj) for table, number in found)

    def reference(self, obj: Any) -> tuple[str, tuple[Step, ...]] | None:
        """Return module and path of an object that was there before; None for any other."""
        for table in self._all:
            number = table.find(id(obj))
            place = None if number is None else table.place(number)
            if place is not None:
                return place.module, place.path
        return None


def _all_put(applied: Mapping[str, Delta], others: Iterable[Put]) -> list[Put]:
    return [*others, *(each for delta in applied.values() for each in delta.put)]


def _taken(table: Table, put: Sequence[Put], applied: Mapping[str, Delta]) -> dict[int, Marks]:
    """Return what new modules have of what cells have put elsewhere, as `_Part.taken` is."""
    found, values = table.without(_sought((coded(step), mark(value), value) for step, value in put)), _addresses(put)
    for number in list(found):
        place = table.place(number)
        if place is not None and not _may_be_whole(place.obj, values):
            del found[number]
            continue
        delta = None if place is None else applied.get(key_of(place))
        if delta is not None:  # which is put here by cells
            there, steps = table.parts(number), {coded(step) for step, _ in delta.put}
            found[number] |= {step: value for step, value in there.items() if step in steps}
            if found[number] == there:
                del found[number]
    return found


def is_taken_over(applied: Mapping[str, Delta], others: Iterable[Put], modules: Iterable[str]) -> bool:
    """Tell whether modules seem to have what was put elsewhere: they themselves, or what they have names for.

    applied, others: as for `Baseline.renew`.
    """
    # A name is an attribute of a module, and an item of its namespace.
    keys = _sought((key, id(value), value) for (_, key), value in _all_put(applied, others))

    def has_some(namespace: Mapping[Any, Any]) -> bool:
        # A list: many are looked at, few have any.
        found = [key for key, value in list(namespace.items()) if id(value) in keys]
        return any((wanted := keys[id(namespace[key])]) is None or key in wanted for key in found)

    for name in modules:
        names = vars(sys.modules[name]) if type(sys.modules.get(name)) is types.ModuleType else {}
        if has_some(names):
            return True
        for value in list(names.values()):
            if type(value) not in nodes.LEAVES and type(value) is not types.ModuleType:
                if has_some(nodes.namespace(value)):
                    return True
                if issubclass(type(value), dict) and has_some(dict(dict.items(value))):
                    return True
    return False


def _may_be_whole(obj: Any, values: set[int]) -> bool:
    """Tell whether an object is carried in parts, or is a sequence of which all can be carried: atoms, and `values`."""
    if not issubclass(type(obj), nodes.SEQUENCES):
        return True
    return all(is_atom(value) or id(value) in values for _, value in nodes.parts(obj))


def is_as_applied(key: str, delta: Delta) -> bool:
    """Tell whether an object is as `apply` has left it."""
    try:
        return _is_as_put(nodes.resolve(module_of(key), delta.path), delta)
    except LookupError:
        return True


def _is_as_put(obj: Any, delta: Delta | None) -> bool:
    """Tell whether all of a change, if there is one, is still there."""
    if delta is None:
        return True
    now = marks(obj)
    places = [step for step, _ in delta.put if step[0] == nodes.PLACE]
    return (
        all(now.get(coded(step)) == mark(value) for step, value in delta.put)
        and not any(step in now for step in delta.gone)
        and (not places or len(places) == sum(step[0] == nodes.PLACE for step in now))
    )


def _addresses(put: Iterable[Put]) -> set[int]:
    return {id(value) for _, value in put}


def _sought(values: Iterable[tuple[Any, int, Any]]) -> dict[int, set[Any] | None]:
    """Return what tells values that were put somewhere, with the places where it is no chance that one is there too.

    values: of each its place, what tells it, and the value itself. None is for all places.
    """
    found: dict[int, set[Any] | None] = {}
    for place, told_by, value in values:
        places = found.setdefault(told_by, set() if _is_common(value) else None)
        if places is not None:
            places.add(place)
    return found


def _is_common(value: Any) -> bool:
    """Tell whether many have a value who have nothing to do with each other."""
    if isinstance(value, str | bytes):
        return len(value) < FEW_CHARACTERS
    if isinstance(value, int | float):
        return abs(value) < SMALL and float(value).is_integer()
    if isinstance(value, tuple):
        return not value
    return value is None or value is ... or isinstance(value, _SHARED)


def of(twin: Twin) -> Baseline | None:
    """Return what a twin holds as a baseline; None when there is no answer from it."""
    answer = twin.answer()
    return None if answer is None else Baseline(answer[0])


def _is_hook(place: Place) -> bool:
    """Tell whether what is registered here is called by the shell; formatters take the place of each other."""
    return place.module == SHELL and place.path[:1] != ((nodes.ATTRIBUTE, "formatters"),)


def _of_notebook(put: list[tuple[Step, Any]], known: set[int]) -> list[tuple[Step, Any]]:
    """Leave out what extensions have registered with the shell: they do it again when they are loaded."""
    own = {id(value) for _, value in put if registries.is_of_notebook(value)}
    return [each for each in put if id(each[1]) in own or mark(each[1]) in known] if own else []


def key_of(place: Place) -> str:
    """Return the key under which a change is saved."""
    return f"{DELTA}{place.module}:{nodes.title(place.path)}"


def is_delta(key: str) -> bool:
    """Tell whether a key of a component is that of a change."""
    return key.startswith(DELTA)


def apply(key: str, delta: Delta) -> None:
    """Change an object of a module that is imported as an earlier cell has. LookupError when it is not there."""
    obj = nodes.resolve(module_of(key), delta.path)
    for kind, name in (*(step for step, _ in delta.put), *delta.gone):
        if kind == nodes.ATTRIBUTE:
            originals.keep(obj, name)
    nodes.change(obj, delta.put, delta.gone)
    if not issubclass(type(obj), (type, types.ModuleType)):
        # What an object has in a cache of its own is made from what it was.
        for name, value in nodes.namespace(obj).items():
            if is_cache(name) and type(value) in (dict, list, set):
                value.clear()


def module_of(key: str) -> str:
    """Return the module that a key of a change belongs to."""
    return key.split(":")[1]


def merged(before: Delta, after: Delta) -> Delta:
    """Return two changes of an object, one after the other, as one."""
    if any(step[0] == nodes.PLACE for step, _ in after.put):
        return after
    put = [(step, value) for step, value in before.put if step not in after.gone]
    later = [step for step, _ in after.put]
    put = [(step, value) for step, value in put if step not in later]
    gone = [step for step in before.gone if step not in later]
    return Delta(after.path, [*put, *after.put], [*gone, *after.gone])
