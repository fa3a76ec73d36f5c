"""What cells have changed in the objects that modules hold, as it is saved and put back.

`tables.py` finds it, `nodes.py` has the steps and paths by which objects are told, `exclusions.py` what does not count.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from cellstack_guest import nodes, registries
from cellstack_guest.exclusions import SHELL
from cellstack_guest.tables import address_in, mark, with_key
from cellstack_guest.twins import Twin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cellstack_guest.nodes import Step
    from cellstack_guest.tables import Marks, Place, Table

DELTA = "delta:"


class Delta(NamedTuple):
    """A change of an object of a module, as it is saved. gone: steps that are not coded."""

    path: tuple[Step, ...]
    put: list[tuple[Step, Any]]
    gone: list[Step]


class Baseline:
    """What this process held before the cell's code ran, and what of it is different now."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._later: list[Table] = []
        self._before: dict[int, Marks] = {}

    def renew(self, applied: Iterable[Delta], *, first: bool) -> None:
        """Take in the modules that were imported since, as they are now.

        applied: the changes that are not their own and are part of it already. first: no code of the cell has run but
        imports, so that what these modules have changed in others when they were imported is none of its changes.
        """
        beyond = {id(value) for delta in applied for _, value in delta.put}
        answer = Twin(
            self._table, beyond, self._later
        ).answer()  # now: the cell's code is to see no process that is not its own
        if answer is not None:
            table, before = answer
            self._later.append(table)
            if first:
                self._before |= before

    def changes(self) -> Iterator[tuple[str, Delta, bool]]:
        """Yield key and change of each object that has changed, or may have; whether that is all of its change.

        It is not when part of it had been there when the baseline was renewed.
        """
        seen: set[int] = set()
        for table in (self._table, *self._later):
            for number, place, change in table.changed(self._before if table is self._table else {}):
                if id(place.obj) not in seen:  # a later table may have it again
                    seen.add(id(place.obj))
                    known = self._before.get(number) or table.parts(number)
                    put = _of_notebook(change.put, {*known.values()}) if _is_hook(place) else change.put
                    gone = [step for code in change.gone if (step := self._found(code)) is not None]
                    whole = table is self._table and number not in self._before
                    yield key_of(place), Delta(place.path, put, gone), whole

    def is_pristine(self, key: str, delta: Delta) -> bool:
        """Tell whether a changed object is as it was before any cell ran, if `changes` does not yield it."""
        try:
            number = self._table.find(id(nodes.resolve(module_of(key), delta.path)))
        except LookupError:
            return False
        return number is not None and number not in self._before

    def is_replaced(self, key: str, delta: Delta) -> bool:
        """Tell whether a cell has taken a changed object away, or put another one there, which goes with its holder."""
        module = module_of(key)
        if not self.covers(module):
            return False
        try:
            found = nodes.resolve(module, delta.path)
        except LookupError:
            return True
        return all(table.find(id(found)) is None for table in (self._table, *self._later))

    def _found(self, step: Step) -> Step | None:
        """Return a coded step to a part that is gone with the object that is its key, if it is still there."""
        address = address_in(step)
        if address is None:
            return step
        for table in (self._table, *self._later):
            number = table.find(address)
            place = None if number is None else table.place(number)
            if place is not None:
                return with_key(step, place.obj)
        return None

    def covers(self, module: str) -> bool:
        """Tell whether changes of a module are noticed."""
        address = id(sys.modules.get(module))
        return any(table.find(address) is not None for table in (self._table, *self._later))

    def reference(self, obj: Any) -> tuple[str, tuple[Step, ...]] | None:
        """Return module and path of an object that was there before; None for any other."""
        for table in (self._table, *self._later):
            number = table.find(id(obj))
            place = None if number is None else table.place(number)
            if place is not None:
                return place.module, place.path
        return None


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
    nodes.change(nodes.resolve(module_of(key), delta.path), delta.put, delta.gone)


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
