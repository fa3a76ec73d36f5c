"""Writing what a cell changed, component by component."""

from __future__ import annotations

import array
import pickle
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellstack_guest import dirty, nodes, pickling
from cellstack_guest.baseline import Delta
from cellstack_guest.budget import OverBudgetError
from cellstack_guest.definitions import ClassState, Registry, skeleton_of
from cellstack_guest.loader import Loader, LoadError, patch_spans
from cellstack_guest.manifest import CLASS, PROVIDE
from cellstack_guest.reducers import type_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellstack_guest.budget import Budget
    from cellstack_guest.manifest import Buffer, Components, Definition, LayerWriter, Record
    from cellstack_guest.pickling import Pickled

# Pickles of up to so many bytes and objects are loaded and written once more before they count as changed: the first
# round trip of a value can change its pickle (which equal strings are one object) without the value having changed.
_SECOND_LOOK = 4 * 2**20
_OBJECTS = 200_000  # or fewer, in a pickle that has their marks in its texts, too
_LOADED = 40  # bytes of memory that one of a pickle becomes, at the most: an empty list takes two
_CHUNK = 2**20
# Loading this a second time would be seen: it opens a figure, sets a logger, writes to a file, starts processes.
_TO_THE_PROCESS = (b"_restore_to_pylab", b"set_logger", b"make_gzip", b"make_pool")


@dataclass(frozen=True)
class Values:
    """fresh: values by key that are in no loaded component. old: values now, by loaded component. before: as loaded."""

    fresh: dict[str, Any]
    old: dict[str, dict[str, Any]]
    before: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What the new manifest says, and what is loaded from it in this process (`live`).

    largest: bytes of the largest component that was written, and a variable of it.
    """

    components: Components
    definitions: dict[str, Definition]
    saved: list[str]
    refused: dict[str, str]
    live: dict[str, dict[str, Any]]
    changed: bool
    largest: tuple[int, str] = (0, "")


@dataclass(eq=False)
class _Unit:
    values: dict[str, Any]
    name: str = ""
    digest: str = ""
    record: Record | None = None
    pickled: Pickled | None = None
    same: bool = False
    is_part: bool = False  # of a unit with several values: all that is known is with which others it shares objects

    @property
    def done(self) -> Pickled:
        assert self.pickled is not None
        return self.pickled


@dataclass
class _Work:
    units: list[_Unit] = field(default_factory=list)
    skeletons: dict[str, Pickled] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Saver:
    """Decides what is written at the end of a cell, and writes it."""

    def __init__(self, loader: Loader, registry: Registry, writer: LayerWriter, layer: str, budget: Budget) -> None:
        self._loader = loader
        self._registry = registry
        self._writer = writer
        self._layer = layer
        self._budget = budget

    def save(self, values: Values, gone: set[str]) -> Outcome:
        """Write what changed; `gone` are keys whose saved value is no longer anyone's."""
        manifest = self._loader.manifest
        if not values.fresh and not gone and all(map(_untouched, values.old.values(), values.before.values())):
            return Outcome(manifest["components"], manifest["definitions"], [], {}, values.before, changed=False)
        work = _Work()
        untouched, candidates = self._sort(values)
        self._pickle(candidates, work, values)
        self._refuse_dependents(work)
        groups = self._group(work)
        kept = manifest["components"].copy()
        kept.drop(values.old.keys() - untouched)
        kept.drop_keys(gone)
        return self._write(groups, kept, work, values)

    def _sort(self, values: Values) -> tuple[set[str], list[_Unit]]:
        """Return the loaded components that cannot have changed, and what has to be pickled to find out."""
        untouched: set[str] = set()
        units = []
        for name, now in values.old.items():
            if _untouched(now, values.before[name]):
                untouched.add(name)
            elif self._loader.is_intact(name, now):
                units.append(self._intact(name, now))
            elif now:
                units.append(_Unit(now, name, self._loader.components.digest(name), self._loader.record(name)))
        units += [_Unit({key: value}) for key, value in values.fresh.items()]
        return untouched, units

    def _intact(self, name: str, now: dict[str, Any]) -> _Unit:
        """Return a loaded list of atoms that has not changed; others may share it now."""
        (value,) = now.values()
        pickled = pickling.Pickled(b"", [], frozenset(), frozenset(), array.array("Q", [id(value)]))
        digest = self._loader.components.digest(name)
        return _Unit(now, name, digest, self._loader.record(name), pickled, same=True)

    def _pickle(self, candidates: list[_Unit], work: _Work, values: Values) -> None:
        alone = len(candidates) == 1
        work.units += [unit for unit in candidates if unit.same]
        pending = [unit for unit in reversed(candidates) if not unit.same]
        while pending:
            unit = pending.pop()
            try:
                budget = None if any(map(_is_class, unit.values)) else self._budget
                unit.pickled = self._dump(unit.values, with_shared=not alone or len(unit.values) > 1, budget=budget)
                if self._registry_additions(pending, work) and alone:
                    # What looked like the only thing to save turned out to have company.
                    alone = False
                    unit.pickled = self._dump(unit.values, budget=budget)
            except (pickling.RefusedError, KeyboardInterrupt) as refusal:
                self._registry.lacked |= isinstance(refusal, KeyboardInterrupt)
                self._registry_additions(pending, work)
                self._leave_out(unit, str(refusal) or "saving it was interrupted", pending, work)
                continue
            unit.same = unit.record is not None and self._is_same(unit, unit.record, values.before[unit.name])
            try:
                if budget is not None and not unit.same:
                    budget.take_disk(self._disk_of(unit))
            except OverBudgetError as refusal:
                self._registry.lacked = True
                self._leave_out(unit, str(refusal), pending, work)
                continue
            work.units.append(unit)

    def _leave_out(self, unit: _Unit, why: str, pending: list[_Unit], work: _Work) -> None:
        """Take down that this cannot be carried; of several values, each is tried alone."""
        if len(unit.values) == 1:
            self._refuse(*next(iter(unit.values.items())), why, pending, work)
        else:
            pending += [_Unit({key: value}) for key, value in unit.values.items()]

    def _disk_of(self, unit: _Unit) -> int:
        """Return the bytes that are going to be written, or a few more."""
        size = len(unit.done.data)
        for buffer in unit.done.buffers:
            raw = buffer.raw()
            entry = self._mapping(raw)
            pages = None if entry is None else dirty.dirty_pages(entry[0])
            size += raw.nbytes if pages is None else min(raw.nbytes, len(pages) * dirty.PAGE)
        return size

    def _refuse(self, key: str, value: Any, why: str, pending: list[_Unit], work: _Work) -> None:
        """Take down what cannot be carried; of a change of a module, the part of it."""
        if type(value) is Delta:
            put = [each for each in value.put if self._passes(key, value._replace(put=[each], gone=[]), work)]
            gone = [each for each in value.gone if self._passes(key, value._replace(put=[], gone=[each]), work)]
            if len(put) + len(gone) < len(value.put) + len(value.gone):
                if put or gone:
                    pending.append(_Unit({key: value._replace(put=put, gone=gone)}))
                return
        work.refused[key] = why

    def _passes(self, key: str, part: Delta, work: _Work) -> bool:
        """Tell whether a change of one part of an object can be carried; take down why not."""
        try:
            self._dump({key: part}, with_shared=False)
        except pickling.RefusedError as refusal:
            steps = [step for step, _ in part.put] + part.gone
            work.refused[f"{key}{nodes.title(steps)}"] = str(refusal)
            return False
        return True

    def _registry_additions(self, pending: list[_Unit], work: _Work) -> bool:
        """Take up the classes met for the first time, with their bases."""
        found = False
        while fresh := self._registry.take_fresh():
            found = True
            for definition in fresh:
                cls = self._registry.classes[definition]
                try:
                    work.skeletons[definition] = self._dump({"": skeleton_of(cls)}, with_shared=False)
                except pickling.RefusedError as refusal:
                    work.refused[CLASS + definition] = f"class {cls.__qualname__}: {refusal}"
                else:
                    pending.append(_Unit({CLASS + definition: ClassState(cls)}))
        return found

    def _refuse_dependents(self, work: _Work) -> None:
        """Refuse what needs a class that was refused."""
        lost = {key[len(CLASS) :]: why for key, why in work.refused.items() if key.startswith(CLASS)}
        while lost:
            definition, why = lost.popitem()
            for unit in list(work.units):
                needs = set(unit.done.needs)
                for key in unit.values:
                    if key.startswith(CLASS) and key[len(CLASS) :] in work.skeletons:
                        needs |= work.skeletons[key[len(CLASS) :]].needs
                if definition in needs:
                    work.units.remove(unit)
                    for key in unit.values:
                        work.refused[key] = why
                        if key.startswith(CLASS):
                            lost[key[len(CLASS) :]] = why

    def _group(self, work: _Work) -> list[_Unit]:
        """Put together what shares objects; what no longer shares any with its component is parted from it."""
        whole = {frozenset(unit.values): unit for unit in work.units if len(unit.values) > 1}
        units: list[_Unit] = []
        for unit in work.units:
            if unit.same or len(unit.values) == 1:
                units.append(unit)
            else:
                try:
                    shares = pickling.shares(unit.values, self._registry, self._budget)
                except pickling.RefusedError:  # there is no memory to find out
                    units.append(unit)
                    continue
                units += [_Unit({key: unit.values[key]}, pickled=part, is_part=True) for key, part in shares.items()]
        groups = []
        for group in _connected(units, self._registry):
            values = {key: value for unit in group for key, value in unit.values.items()}
            if len(group) == 1 and not group[0].is_part:
                groups.append(group[0])
            elif frozenset(values) in whole:
                groups.append(whole[frozenset(values)])
            else:
                budget = None if any(map(_is_class, values)) else self._budget
                try:
                    groups.append(_Unit(values, pickled=self._dump(values, budget=budget)))
                except pickling.RefusedError as refusal:  # there is no memory for all of it
                    work.refused |= dict.fromkeys(values, str(refusal))
        return groups

    def _write(self, groups: list[_Unit], kept: Components, work: _Work, values: Values) -> Outcome:
        manifest = self._loader.manifest
        before = manifest["components"]
        homes = {key: unit for unit in groups for key in unit.values if key.startswith(CLASS)}
        needed = self._needed(groups, kept, homes, work)
        definitions = {
            key: value
            for key, value in manifest["definitions"].items()
            if value["component"] in kept.texts and key in needed
        }
        classes = kept.keys({owner for key, owner in kept.owners.items() if key.startswith(CLASS)})
        kept.drop({name for name, keys in classes.items() if not _is_needed(keys, needed)})
        live = {name: now for name, now in values.old.items() if name in kept.texts}
        saved: list[str] = []
        largest = 0, ""
        for number, unit in enumerate(groups):
            if not _is_needed(unit.values, needed):
                continue
            if unit.same:
                name = unit.name
                text, borrows = before.with_digest(name, unit.digest), before.borrows.get(name, [])
            else:
                name = f"{self._layer}/{number}"
                text, borrows = self._write_unit(unit)
                written = [key for key in unit.values if ":" not in key]
                saved += written
                if written:
                    largest = max(largest, (unit.done.size, written[0]))
            kept.put(name, unit.values, text, sorted(unit.done.needs), borrows)
            live[name] = unit.values
            for key in unit.values:
                if key.startswith(CLASS):
                    definition = key[len(CLASS) :]
                    definitions[definition] = self._definition(definition, name, work)
        changed = kept.texts.keys() != before.texts.keys() or kept.owners != before.owners
        refused = {key: why for key, why in work.refused.items() if not key.startswith((CLASS, PROVIDE))}
        return Outcome(kept, definitions, sorted(saved), refused, live, changed, largest)

    def _needed(self, groups: list[_Unit], kept: Components, homes: dict[str, _Unit], work: _Work) -> set[str]:
        """Return the classes that variables lead to."""
        manifest = self._loader.manifest
        pending: list[str] = []
        for unit in groups:
            if any(not key.startswith(CLASS) for key in unit.values):
                pending += unit.done.needs
        if kept.needs:
            of_variables = {owner for key, owner in kept.owners.items() if not key.startswith(CLASS)}
            for name, needs in kept.needs.items():
                if name in of_variables:
                    pending += needs
        needed: set[str] = set()
        while pending:
            definition = pending.pop()
            if definition in needed:
                continue
            needed.add(definition)
            if (home := homes.get(CLASS + definition)) is not None:
                pending += home.done.needs
            if definition in work.skeletons:
                pending += work.skeletons[definition].needs
            elif (record := manifest["definitions"].get(definition)) is not None:
                pending += record["bases"]
                pending += kept.needs.get(record["component"], ())
        return needed

    def _definition(self, definition: str, component: str, work: _Work) -> Definition:
        skeleton = work.skeletons.get(definition)
        if skeleton is None:
            return {**self._loader.manifest["definitions"][definition], "component": component}
        return {
            "component": component,
            "skeleton": self._writer.pickle(skeleton.data),
            "bases": sorted(skeleton.needs),
        }

    def _write_unit(self, unit: _Unit) -> tuple[str, list[str]]:
        """Write a component; return its text and the layers that it borrows from."""
        pickled = unit.done
        old = unit.record["buffers"] if unit.record is not None else []
        buffers = [
            self._write_buffer(buffer, old[index] if index < len(old) else None)
            for index, buffer in enumerate(pickled.buffers)
        ]
        record: Record = {
            "types": {key: type_name(type(value)) for key, value in unit.values.items() if ":" not in key},
            "buffers": buffers,
            "reach": None if pickled.reach is None else sorted(pickled.reach),
        }
        if pickled.flat:
            record["flat"] = True
        text = self._writer.component(record, pickled.data, pickled.digest)
        files = {extent[0] for buffer in buffers for extent in (buffer["at"], buffer.get("patch", buffer["at"]))}
        layers = {file.partition("/")[0] for file in files} - {self._layer}
        return text, sorted(layers)

    def _dump(self, values: dict[str, Any], *, with_shared: bool = True, budget: Budget | None = None) -> Pickled:
        return pickling.dump(_ordered(values), self._registry, with_shared=with_shared, budget=budget)

    # Has it changed?

    def _is_same(self, unit: _Unit, record: Record, before: dict[str, Any]) -> bool:
        pickled = unit.done
        if unit.values.keys() != before.keys() or len(pickled.buffers) != len(record["buffers"]):
            return False
        if pickled.digest != unit.digest:
            is_large = len(pickled.data) > _SECOND_LOOK or pickled.data.count(pickle.MEMOIZE) > _OBJECTS
            if is_large or not self._same_after_reload(pickled, unit.name):
                return False
            unit.digest = pickled.digest
        return all(
            self._saved_as(raw, saved) == saved for raw, saved in zip(pickled.buffers, record["buffers"], strict=True)
        )

    def _same_after_reload(self, pickled: Pickled, name: str) -> bool:
        if any(name in pickled.data for name in _TO_THE_PROCESS):
            return False
        scratch = Registry({"__name__": "__main__"})
        scratch.provide, scratch.provided = self._registry.provide, self._registry.provided
        loaded: dict[str, dict[str, Any]] = {}
        self._registry.twice.append(loaded)

        def bind(component: str, values: dict[str, Any]) -> None:
            loaded[component] = values
            scratch.namespace |= {key: value for key, value in values.items() if ":" not in key}

        try:
            self._budget.room(_LOADED * len(pickled.data))
            self._loader.elsewhere(scratch, bind).load(name)
            again = pickling.dump(_ordered(loaded[name]), scratch, with_shared=False, budget=self._budget)
        except (LoadError, OverBudgetError, pickling.RefusedError):
            return False
        return again.digest == pickled.digest

    def _saved_as(self, buffer: pickle.PickleBuffer, old: Buffer | None) -> Buffer | None:
        """Return where the buffer's present content is saved already, if it is."""
        raw = buffer.raw()
        entry = self._mapping(raw)
        if entry is not None:
            mapping, saved = entry
            pages = dirty.dirty_pages(mapping)
            if pages is not None:
                patched = [page for first, count in saved.get("pages", ()) for page in range(first, first + count)]
                return saved if set(pages) <= set(patched) and self._patch_holds(raw, saved) else None
            return saved if self._equal(raw, saved) else None
        return old if old is not None and old["at"][2] == raw.nbytes and self._equal(raw, old) else None

    def _write_buffer(self, buffer: pickle.PickleBuffer, old: Buffer | None) -> Buffer:
        saved = self._saved_as(buffer, old)
        if saved is not None:
            return saved
        raw = buffer.raw()
        entry = self._mapping(raw)
        pages = None if entry is None else dirty.dirty_pages(entry[0])
        if entry is None or pages is None or len(pages) * dirty.PAGE * 2 > raw.nbytes:
            return {"at": self._writer.buffer(raw)}
        ranges = dirty.page_ranges(pages)
        patch = self._writer.buffer(*(raw[start:end] for (start, end), _ in patch_spans(ranges, raw.nbytes)))
        patched: Buffer = {"at": entry[1]["at"], "patch": patch, "pages": [list(pages) for pages in ranges]}
        self._loader.mapped.add(entry[0], patched)
        return patched

    def _mapping(self, raw: memoryview) -> tuple[dirty.Mapping, Buffer] | None:
        numpy = sys.modules.get("numpy")
        if numpy is None:
            return None
        address = numpy.frombuffer(raw, numpy.uint8).__array_interface__["data"][0]
        return self._loader.mapped.find(address, raw.nbytes)

    def _patch_holds(self, raw: memoryview, saved: Buffer) -> bool:
        if "patch" not in saved:
            return True
        data = memoryview(self._loader.read(saved["patch"]))
        return all(
            bytes(raw[start:end]) == data[position:stop]
            for (start, end), (position, stop) in patch_spans(saved["pages"], raw.nbytes)
        )

    def _equal(self, raw: memoryview, saved: Buffer) -> bool:
        try:
            view = self._loader.map(saved, remember=False)
        except LoadError:
            return False
        spans = range(0, raw.nbytes, _CHUNK)
        return all(bytes(raw[start : start + _CHUNK]) == bytes(view[start : start + _CHUNK]) for start in spans)


def _is_class(key: str) -> bool:
    return key.startswith(CLASS)


def _untouched(now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether these are the very objects that were loaded, and such as cannot change."""
    return len(now) == len(before) and all(
        pickling.is_atom(value) and before.get(key, _untouched) is value for key, value in now.items()
    )


def _ordered(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with classes first: instances must not be loaded before their class is complete."""
    return {key: values[key] for key in sorted(values, key=lambda key: (":" not in key, key))}


def _is_needed(keys: Iterable[str], needed: set[str]) -> bool:
    """Whether a component holds anything but classes that nothing needs."""
    return any(not key.startswith(CLASS) or key[len(CLASS) :] in needed for key in keys)


def _connected(units: list[_Unit], registry: Registry) -> Iterable[list[_Unit]]:
    """Part the units into groups that share objects; a name that is bound to a class goes with the class."""
    parent = list(range(len(units)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[object, int] = {}
    largest = max(range(len(units)), key=lambda index: len(units[index].done.shared), default=0)
    for index in sorted(range(len(units)), key=lambda index: (index == largest, index)):
        unit = units[index]
        marks: list[object] = [key for key in unit.values if key.startswith(CLASS)]
        marks += [
            CLASS + definition for value in unit.values.values() if (definition := registry.known(value)) is not None
        ]
        if index == largest:  # which comes last: what no other has needs no place of its own, and may be millions
            marks += filter(first.__contains__, unit.done.shared)
        else:
            marks += unit.done.shared
        for mark in marks:
            parent[root(index)] = root(first.setdefault(mark, index))
    groups: dict[int, list[_Unit]] = {}
    for index, unit in enumerate(units):
        groups.setdefault(root(index), []).append(unit)
    return groups.values()
