"""Settings of the process that are not variables: working directory, environment, generators, options.

Each setting is read before a cell and after it; what differs is saved, and what differs from a process of the
image in which nothing ran yet is restored in the next. Settings of a library are looked at only where it has been
imported, and restored when it is.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import random
import sys
from typing import TYPE_CHECKING, Any

from cellstack_guest import adapters, nodes, settings
from cellstack_guest.adapters.matplotlib import BY_MAGIC
from cellstack_guest.pickling import RefusedError, dump, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from cellstack_guest.definitions import Registry
    from cellstack_guest.loader import Loader
    from cellstack_guest.manifest import LayerWriter, Saved
    from cellstack_guest.nodes import Step

_NOTED: tuple[Any, ...] = (*adapters.CALLS, *adapters.MAKERS)
_WATCHED = {each.module for each in (*adapters.SETTINGS, *_NOTED) if each.module}


class Ambient:
    """The settings of one process. Made right after the fork, before any code of a cell."""

    def __init__(self) -> None:
        _reseed()
        for module, adapt in adapters.AFTER_FORK:
            if module in sys.modules:
                with settings.undisturbed():
                    adapt()
        self._pristine: dict[str, Any] = {}
        self._seen: dict[str, Any] = {}
        self._late: dict[str, Any] = {}
        self._applied: dict[str, str] = {}
        for setting in adapters.SETTINGS:
            if setting.loaded:
                self._pristine[setting.name] = setting.read()
        self._finder = LateFinder(self._imported)

    def begin(self, saved: Saved, loader: Loader, notices: list[str]) -> None:
        """Restore what was saved, then remember how everything is before the cell."""
        self._late = {name: value for name, value in self._late.items() if name in saved}
        for setting in adapters.SETTINGS:  # in their order: the time zone is that of the environment
            name = setting.name
            if name not in saved or self._applied.get(name) == saved[name][1]:
                continue
            extent, digest = saved[name]
            self._applied[name] = digest
            try:
                value = load(loader.read(extent), loader.registry)[name]
            except Exception as error:  # noqa: BLE001 - one setting less must not cost the cell
                notices.append(f"{name} could not be restored: {type(error).__name__}: {error}")
                continue
            if setting.loaded:
                _restore(setting, value, notices)
            else:
                self._late[name] = value
        # In the first cell of a process, what was not restored is as it was read just before.
        known = {} if self._seen else self._pristine
        for setting in adapters.SETTINGS:
            if setting.loaded:
                fresh = setting.name in known and setting.name not in saved
                self._seen[setting.name] = known[setting.name] if fresh else setting.read()
        self._finder.watch({module for module in _WATCHED if not settings.is_imported(module)}, notices)

    def end(self, saved: Saved, registry: Registry, writer: LayerWriter, notices: list[str]) -> Saved:
        """Save what changed since `begin`; return where every setting is that is not as it was after the fork."""
        result = dict(saved)
        for setting in adapters.SETTINGS:
            name = setting.name
            if not setting.loaded:
                continue
            now = setting.read()
            if name in self._seen and now == self._seen[name]:
                continue
            self._seen[name] = now
            result.pop(name, None)
            self._applied.pop(name, None)
            pristine = self._pristine.get(name)
            if now == pristine:
                continue
            try:
                pickled = dump({name: setting.difference(pristine, now)}, registry, with_shared=False)
            except RefusedError as refusal:
                notices.append(f"{name} will not be carried: {refusal}")
                continue
            if pickled.needs:
                notices.append(f"{name} will not be carried: it holds an instance of a class of the notebook")
                continue
            self._applied[name] = pickled.digest
            before = saved.get(name)
            same = before is not None and before[1] == pickled.digest
            result[name] = before if same and before else (writer.pickle(pickled.data), pickled.digest)
        return result

    def changes(self) -> list[tuple[Step, Any]]:
        """Return what options and texts cells have set, which a module may take over when it is imported.

        What `%matplotlib` sets is not among them: most notebooks have it before anything else.
        """
        found: list[tuple[Step, Any]] = []
        for setting in adapters.SETTINGS:
            if not setting.loaded or setting.name not in self._pristine:
                continue
            pristine = self._pristine[setting.name]
            if setting.delta or isinstance(pristine, str):
                now = setting.read()
                if now != pristine:
                    values = setting.difference(pristine, now) if setting.delta else {setting.name: now}
                    found += (((nodes.ITEM, key), value) for key, value in values.items() if key not in BY_MAGIC)
        return found

    def _imported(self, module: str, notices: list[str]) -> None:
        """Bring the settings of a library that was imported just now to where earlier cells left them."""
        for each in _NOTED:
            if each.module == module:
                each.watch()
        for setting in adapters.SETTINGS:
            if setting.module == module:
                self._pristine[setting.name] = setting.read()
                if setting.name in self._late:
                    _restore(setting, self._late.pop(setting.name), notices)
                self._seen[setting.name] = setting.read()


def _restore(setting: settings.Setting, value: Any, notices: list[str]) -> None:
    itself = setting.name in ("warnings", "garbage collection")  # what is undisturbed is put back to as it was
    quiet = contextlib.nullcontext() if itself else settings.undisturbed()
    try:
        with quiet:
            setting.write(value)
    except Exception as error:  # noqa: BLE001 - one setting less must not cost the cell
        notices.append(f"{setting.name} could not be restored: {type(error).__name__}: {error}")


def _reseed() -> None:
    """Give this process random numbers of its own: a fork has its parent's generators."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


class LateFinder(importlib.abc.MetaPathFinder):
    """Calls `imported` after a watched module has been imported."""

    def __init__(self, imported: Callable[[str, list[str]], None]) -> None:
        self._imported = imported
        self._watched: set[str] = set()
        self._notices: list[str] = []

    def watch(self, modules: set[str], notices: list[str]) -> None:
        """Watch for these modules, and for no others."""
        self._watched, self._notices = modules, notices
        if modules and self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the other finders give for a watched module, with a loader that tells us."""
        if name not in self._watched:
            return None
        self._watched.discard(name)
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = TellingLoader(spec.loader, lambda: self._imported(name, self._notices))
                return spec
        return None


class TellingLoader(importlib.abc.Loader):
    """The loader it was given, and a call when that is done."""

    def __init__(self, loader: Any, done: Callable[[], None]) -> None:
        self._loader = loader
        self._done = done

    def __getattr__(self, name: str) -> Any:
        """Answer as the loader for those who look for a module without importing it."""
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the loader."""
        spec.loader = self._loader
        module: ModuleType | None = self._loader.create_module(spec)
        spec.loader = self
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, with its own loader in sight, and tell."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._done()
