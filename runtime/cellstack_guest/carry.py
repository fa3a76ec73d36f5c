"""Carrying variables from cell to cell: what a cell can reach is loaded, what it changed is saved.

Variables that share objects form a component, which is read and written as a whole; a class of the notebook is
part of a component like a variable. What was not loaded cannot have changed: the next manifest names it where it is.
"""

from __future__ import annotations

import collections
import sys
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellstack_guest import comms, failures, manifest, names, patches, pickling, pristine, settings
from cellstack_guest.ambient import Ambient
from cellstack_guest.baseline import is_delta
from cellstack_guest.budget import Budget
from cellstack_guest.definitions import ClassState, Registry
from cellstack_guest.hints import Limits
from cellstack_guest.loader import Loader, LoadError
from cellstack_guest.manifest import CLASS, PROVIDE, LayerWriter
from cellstack_guest.modules import COMPANIONS, Modules
from cellstack_guest.saver import Saver, Values

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from cellstack_guest.baseline import Baseline
    from cellstack_guest.manifest import Manifest, Saved

__all__ = ["Carried", "Carrier"]

# What a cell needs all of that speaks of one of these: of the manager of comms, of ipywidgets.
_ALL_OF = (
    (comms.TARGET, ("targets", "unregister_target")),
    (comms.KEY, ("close_all", "get_manager_state", "embed_data", "embed_snippet", "embed_minimal_html")),
)
_NOT_THE_USERS = ("__builtins__", "__loader__", "__spec__", "__warningregistry__")


@dataclass(frozen=True)
class Carried:
    """What a cell's end gave. state: the layer whose state the next cell starts from, None for no state at all.

    not_carried: what became a tombstone in this cell, with the type that is to blame. complete: whether nothing was
    left out for want of time, memory or disk.
    """

    state: str | None
    saved: list[str]
    loaded: list[str]
    not_carried: dict[str, str]
    complete: bool = True


class Carrier:
    """The variables of one process: begin, run the cell, end.

    namespace: the globals of the notebook, a plain dict. state_root: the directory with one state directory per
    layer. hidden: names that are not the user's. `extra` is saved and given back with the
    variables (no instances of the notebook's classes; a tuple that is the one given back counts as unchanged);
    baseline: what modules held before any cell ran, None where changes of it are not looked for;
    `cell` names the running cell in notes ("[3]"); `notices` collects what went wrong in restoring settings.

    Guarantees: a name that was not loaded is carried by reference, untouched. A pickle that cannot be loaded
    stays in the state until its name is bound anew or deleted.
    """

    def __init__(
        self,
        namespace: dict[str, Any],
        state_root: str,
        *,
        hidden: Collection[str] = frozenset(),
        baseline: Baseline | None = None,
    ) -> None:
        self.extra: dict[str, Any] = {}
        self.cell = ""
        self.limits = Limits()
        self.notices: list[str] = []
        self._namespace = namespace
        self._root = state_root
        self._hidden = frozenset({*hidden, *_NOT_THE_USERS})
        self._initial = dict(namespace)
        pristine.learn()
        self._ambient = Ambient()
        self._baseline = baseline
        self.modules = Modules(
            self.extra,
            self.notices,
            baseline,
            self._ambient,
            self._put_back_key,
            self._applied,
            self._drop,
        )
        self._state: str | None = None
        # What a second cell in this process goes on from, seldom as there is one.
        self._continued: tuple[Manifest, dict[str, dict[str, Any]]] | None = None
        self._adopt(manifest.empty(), Registry(namespace))

    def open(self, state: str | None) -> None:
        """Read the manifest of `state`; `begin` does it too, but a process that waits can do it ahead.

        Raises StateError when it cannot be read.
        """
        if state == self._state:
            if self._continued is not None:
                self._replace(*self._continued)
                self._continued = None
            return
        saved = manifest.empty() if state is None else manifest.read(self._root, state)
        for name in self._loaded_names():
            self._namespace.pop(name, None)
        self._state = state
        self._continued = None
        self._adopt(saved, Registry(self._namespace))

    def begin(self, state: str | None, code: str) -> list[str]:
        """Load what `code` can reach from the state of a layer, None for none; return the names bound."""
        self.open(state)
        self._bound.clear()
        self._ambient.begin(self._manifest["ambient"], self._loader, self.notices)
        for key, (extent, digest) in self._manifest["extra"].items():
            if self._extra_digests.get(key) != digest:
                self._extra_digests[key] = digest
                try:
                    self._extra_loaded |= pickling.load(self._loader.read(extent), self._registry)
                except Exception as error:  # noqa: BLE001 - what goes along with the variables must not cost the cell
                    self.notices.append(f"{key} could not be loaded: {type(error).__name__}: {error}")
                else:
                    self.extra[key] = self._extra_loaded[key]
        self.modules.begin()
        return self.go_on(code)

    def go_on(self, code: str) -> list[str]:
        """Load what more `code` can reach, which runs after what began, in the same process; return the names bound."""
        reach = names.reach_of_source(code)
        self.modules.go_on(code, reach)
        if not self._owners and COMPANIONS not in self.extra:
            return []
        with self.modules.loading():
            self.modules.wait_for(self._owners)
            loaded = self._load(self.names() if reach.everything else reach.names)
            for prefix, spoken_of in _ALL_OF:
                if not self.modules.words.isdisjoint(spoken_of):
                    self._load([key for key in self._owners if key.startswith(prefix)])
            self.modules.put_back_deferred()
            return loaded

    def react(self, comm_ids: Iterable[str] | None, target: str | None) -> None:
        """Load the objects at this end of comms, None for all, and what their callbacks can reach, which will run.

        target: what a comm is opened for, if one is.
        """
        if comm_ids is None:
            keys = [key for key in self._owners if key.startswith(comms.KEY)]
        else:
            keys = [f"{comms.KEY}{comm_id}" for comm_id in comm_ids]
        if target is not None:
            keys.append(f"{comms.TARGET}{target}")
        with self.modules.loading():
            self._load(keys)
            self.modules.put_back_deferred()
        self.modules.before_callbacks()

    def recall(self) -> failures.Failure | None:
        """Return what the last cell that failed has failed with, None when none has."""
        self._load([failures.KEY])
        return self.failure

    def _put_back_key(self, key: str) -> None:
        owner = self._owners[key]
        if key in self._held:
            self._apply(key, self._held.pop(key))
        elif owner not in self._live:
            self._load_component(owner, key)
            if owner in self._live:
                self._load(self._reach_of(owner))
            elif key in self._failed:
                self._give_up(key, self._failed[key])

    def _apply(self, key: str, value: Any) -> None:
        try:
            patches.apply(key, value)
        except Exception as error:  # noqa: BLE001 - a class may refuse it, and that must not cost the cell
            self._give_up(key, f"could not be set again: {type(error).__name__}: {error}")

    def _drop(self, key: str) -> None:
        self._held.pop(key, None)
        self._lost.add(key)

    def _give_up(self, key: str, why: str) -> None:
        """Tell once of a change that cannot be made again, and carry it no further."""
        self._lost.add(key)
        self.notices.append(f"{patches.title(key)} {why}")

    def load_all(self) -> list[str]:
        """Load everything that is carried and return the names bound by this."""
        with self.modules.loading():
            return self._load(self.names())

    def names(self) -> list[str]:
        """Return all names that are carried or provided, loaded or not."""
        plain = [key for key in self._owners if ":" not in key]
        return plain + [key[len(PROVIDE) :] for key in self._owners if key.startswith(PROVIDE)]

    def note_for(self, name: str) -> str | None:
        """Return why a name is not there, for a NameError: what it was, who made it, how to have it again."""
        if name in self._failed:
            return f"{name} {self._failed[name]}"
        tombstone = self._manifest["tombstones"].get(name)
        if tombstone is None:
            return None
        made = f" made by cell {tombstone['cell']}" if tombstone["cell"] else ""
        return (
            f"{name}{made} was not carried to this cell: {tombstone['why']}. Make it again here, or for every cell "
            f'that uses it: cellstack.provide("{name}", lambda: ...). %container scope=notebook runs the following '
            "cells in one process, where nothing has to be carried"
        )

    def provide(self, name: str, factory: Callable[[], Any]) -> Any:
        """Bind `name` to `factory()` now and in every later cell that reaches it; return the value."""
        value = factory()
        self._factories[name] = factory
        self._provided[name] = value
        self._namespace[name] = value
        return value

    def end(self, layer: str, out_dir: str) -> Carried:
        """Save what changed into `out_dir`, which becomes the state directory of `layer`.

        Raises OSError when it cannot be written; the earlier state is as it was.
        """
        self._registry.start_layer(layer)
        self._registry.provided = {
            name: value for name, value in self._provided.items() if self._namespace.get(name, self) is value
        }
        writer = LayerWriter(layer, out_dir)
        try:
            return self._end(layer, writer)
        finally:
            writer.close()

    def _end(self, layer: str, writer: LayerWriter) -> Carried:
        self.modules.end()
        values, gone = self._values()
        with pristine.undone():
            return self._write(layer, writer, values, gone)

    def _write(self, layer: str, writer: LayerWriter, values: Values, gone: set[str]) -> Carried:
        budget = Budget(self.limits, free=writer.free)
        saver = Saver(self._loader, self._registry, writer, layer, budget)
        with settings.undisturbed(), budget.interruptible():
            outcome = saver.save(values, gone)
        self.notices += budget.announcement(*outcome.largest)
        ambient = self._ambient.end(self._manifest["ambient"], self._registry, writer, self.notices)
        extra = self._save_extra(writer)
        tombstones = self._tombstones(outcome.refused)
        for key in [key for key in outcome.refused if patches.is_patch(key)]:
            why = outcome.refused.pop(key)
            # What a library keeps for itself, and the cell does not speak of, is made again when it is needed.
            if not is_delta(key) or not self.modules.words.isdisjoint(
                names.words(patches.title(key).rpartition(".")[2])
            ):
                self.notices.append(f"{patches.title(key)} will not be carried: {why}")
        self._tell_of_comms(outcome.refused)
        loaded = list(self._bound)
        self._bound.clear()
        changed = writer.used or outcome.changed or (ambient, extra, tombstones) != self._kept()
        if changed:
            saved: Manifest = {
                "components": outcome.components,
                "definitions": outcome.definitions,
                "tombstones": tombstones,
                "ambient": ambient,
                "extra": extra,
                "comms": {key: target for key, target in self._targets().items() if key in outcome.components.owners},
            }
            writer.finish(saved)
            self._state = layer
            self._continued = saved, {name: _as_loaded(values) for name, values in outcome.live.items()}
        return Carried(self._state, outcome.saved, loaded, outcome.refused, complete=not self._registry.lacked)

    def _targets(self) -> dict[str, str]:
        """Return what comms were opened for, by key: those that this process has, and those that it has not loaded."""
        return self._manifest["comms"] | {key: str(each.target_name) for key, each in comms.opened().items()}

    def _tell_of_comms(self, refused: dict[str, str]) -> None:
        """Say which widgets are lost that no variable has; takes them out of what was refused."""
        reasons = [_what_is_held(refused.pop(key)) for key in list(refused) if key.startswith(comms.KEY)]
        for what in dict.fromkeys(reasons):
            if what not in map(_what_is_held, refused.values()):
                count = f"{reasons.count(what)} widgets" if reasons.count(what) > 1 else "a widget"
                self.notices.append(f"{count} of this cell will not react after it: {what} cannot be carried")
        for key in [key for key in refused if key.startswith(comms.TARGET)]:
            name, why = key[len(comms.TARGET) :], refused.pop(key)
            self.notices.append(f"the comm target {name!r} will not be there after this cell: {why}")

    def _kept(self) -> tuple[Any, Any, Any]:
        return self._manifest["ambient"], self._manifest["extra"], self._manifest["tombstones"]

    def _adopt(self, saved: Manifest, registry: Registry) -> None:
        self.failure: failures.Failure | None = None
        self._manifest = saved
        self._registry = registry
        self._loader = Loader(saved, self._root, registry, self._bind)
        self._owners = self._loader.owners
        self._live: dict[str, dict[str, Any]] = {}
        self._factories: dict[str, Callable[[], Any]] = {}
        self._provided: dict[str, Any] = {}
        self._failed: dict[str, str] = {}
        self._bound: list[str] = []
        self._extra_digests: dict[str, str] = {}
        self._extra_loaded: dict[str, Any] = {}
        self._held: dict[str, Any] = {}
        self._lost: set[str] = set()
        registry.provide = self._provide
        registry.notices = self.notices
        registry.baseline = self._baseline

    def _replace(self, saved: Manifest, live: dict[str, dict[str, Any]]) -> None:
        """Go on from what was just saved, with what is loaded."""
        self._manifest = saved
        self._loader = self._loader.continued(saved, live)
        self._owners = self._loader.owners
        self._live = live

    # Loading

    def _load(self, wanted: Iterable[str]) -> list[str]:
        """Bind names and what the functions among them reach; return all names bound by this."""
        bound = self._bound
        before = len(bound)
        pending = collections.deque(wanted)  # in their order: subclasses are listed in the order in which they are made
        seen: set[str] = set()
        while pending:
            name = pending.popleft()
            if name in seen:
                continue
            seen.add(name)
            owner = self._owners.get(name)
            if owner is not None:
                if owner not in self._live:
                    known = len(self._live)
                    self._load_component(owner, name)
                    for component in list(self._live)[known:]:
                        pending.extend(self._reach_of(component))
            elif PROVIDE + name in self._owners and name not in self._namespace:
                self._bind_provided(name)
        return bound[before:]

    def _load_component(self, component: str, name: str) -> None:
        try:
            with settings.undisturbed():
                self._loader.load(component)
        except LoadError as error:
            keys = [key for key in self._loader.components.keys({component})[component] if ":" not in key]
            self._failed |= dict.fromkeys({name, *keys}, f"is saved but could not be loaded: {error}")

    def _bind(self, component: str, values: dict[str, Any]) -> None:
        """Take up what the loader has loaded."""
        self._live[component] = _as_loaded(values)
        for key, value in values.items():
            if patches.is_patch(key):
                if key in self._lost:
                    continue
                if patches.module_of(key) in sys.modules:
                    self._apply(key, value)
                else:  # a variable that shares objects with it was loaded
                    self._held[key] = value
            elif key == failures.KEY:
                self.failure = value
            elif key.startswith(comms.TARGET):
                comms.register(key, value)
            elif key.startswith(PROVIDE):
                self._factories.setdefault(key[len(PROVIDE) :], value)
            elif ":" not in key and (key not in self._namespace or self._is_initial(key)):
                self._namespace[key] = value
                self._bound.append(key)
                if type(value) is types.ModuleType:
                    self.modules.import_below(value.__name__)

    def _bind_provided(self, name: str) -> None:
        try:
            self._namespace[name] = self._provide(name)
        except Exception as error:  # noqa: BLE001 - the user's function; told when the name is used
            self._failed[name] = f"could not be provided: {type(error).__name__}: {error}"
        else:
            self._bound.append(name)

    def _provide(self, name: str) -> Any:
        """Return what `name`'s factory makes, made once per process, with all it uses loaded before."""
        if name not in self._provided:
            owner = self._owners.get(PROVIDE + name)
            if owner is not None and owner not in self._live:
                self._load_component(owner, name)
            if owner is not None:
                self._load(self._reach_of(owner))
            self._provided[name] = self._factories[name]()
        return self._provided[name]

    def _reach_of(self, component: str) -> Iterable[str]:
        reach = self._loader.record(component)["reach"]
        return self.names() if reach is None else reach

    # Saving

    def _is_initial(self, name: str) -> bool:
        return name in self._initial and self._namespace.get(name) is self._initial[name]

    def _loaded_names(self) -> list[str]:
        return [key for values in self._live.values() for key in values if ":" not in key]

    def _values(self) -> tuple[Values, set[str]]:
        """Return what has to be looked at, by key, and the keys that are no longer there."""
        registry, hidden, namespace = self._registry, self._hidden, self._namespace
        current: dict[str, Any] = {PROVIDE + name: factory for name, factory in self._factories.items()}
        live = {key: value for values in self._live.values() for key, value in values.items() if patches.is_patch(key)}
        current |= self._held | self.modules.values(namespace, live) | comms.opened() | comms.targets()
        if self.failure is not None:
            current[failures.KEY] = self.failure
        for name, value in list(namespace.items()):
            if name in hidden or name in registry.provided or not isinstance(name, str) or self._is_initial(name):
                continue
            current[name] = value
        if len(current) == 0 and not self._live:
            return Values({}, {}, {}), {name for name in registry.provided if name in self._owners}
        old: dict[str, dict[str, Any]] = {}
        gone: set[str] = set()
        for component, before in self._live.items():
            old[component] = {}
            for key in before:
                if key.startswith(CLASS):
                    current[key] = ClassState(registry.classes[key[len(CLASS) :]])
                if key in current:
                    old[component][key] = current[key]
                else:
                    gone.add(key)
        gone |= self._lost & self._owners.keys()
        new = {*current, *registry.provided}
        gone |= {key for key in new if self._owners.get(key, "") not in {*self._live, ""}}
        fresh = {key: value for key, value in current.items() if self._owners.get(key) not in self._live}
        return Values(fresh, old, self._live), gone

    def _applied(self) -> dict[str, Any]:
        live = {key: value for values in self._live.values() for key, value in values.items() if is_delta(key)}
        return {key: delta for key, delta in live.items() if key not in self._lost}

    def _save_extra(self, writer: LayerWriter) -> Saved:
        saved: Saved = {}
        for key, value in self.extra.items():
            if type(value) is tuple and self._extra_loaded.get(key) is value:
                saved[key] = self._manifest["extra"][key]
                continue
            try:
                pickled = pickling.dump({key: value}, self._registry, with_shared=False)
            except pickling.RefusedError as refusal:
                self.notices.append(f"{key} will not be carried: {refusal}")
                continue
            if pickled.needs:
                self.notices.append(f"{key} will not be carried: it holds an instance of a class of the notebook")
                continue
            before = self._manifest["extra"].get(key)
            if before is not None and before[1] == pickled.digest:
                saved[key] = before
            else:
                saved[key] = (writer.pickle(pickled.data), pickled.digest)
            self._extra_digests[key] = pickled.digest
        return saved

    def _tombstones(self, refused: dict[str, str]) -> dict[str, dict[str, str]]:
        kept = {
            name: tombstone
            for name, tombstone in self._manifest["tombstones"].items()
            if name not in self._namespace or name in self._registry.provided
        }
        return kept | {name: {"why": why, "cell": self.cell} for name, why in refused.items()}


def _what_is_held(why: str) -> str:
    return why.rpartition(" holding ")[2]


class _Changeable:
    """Stands for a value that may have changed; the value itself may go when its last name does."""


def _as_loaded(values: dict[str, Any]) -> dict[str, Any]:
    """Return what has to be known later of values that were loaded, by key."""
    return {key: value if ":" in key or pickling.is_atom(value) else _Changeable for key, value in values.items()}
