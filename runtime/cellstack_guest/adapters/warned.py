"""Which warnings were told: Python tells most of them once for each place, and a later cell is another process.

A module has its own in `__warningregistry__`, with the version of the filters at that time: a registry of another
version counts as empty. What earlier cells told is entered, with the version of this process, once its module is there
and nothing of ours is going to change the filters any more: before the first statement, and those that follow imports.
"""

from __future__ import annotations

import contextlib
import sys
import types
import warnings
from typing import Any

from cellstack_guest import definitions
from cellstack_guest.settings import Setting

Keys = tuple[tuple[Any, ...], ...]  # text and category, and the line unless it is told once in the module

_REGISTRY, _VERSION = "__warningregistry__", "version"


class _Probe(Warning):
    pass


class _Told:
    """What this process knows of warnings that were told: by name of the module."""

    def __init__(self) -> None:
        self._known: dict[str, Keys] = {}
        self._waiting: dict[str, Keys] = {}
        self._of: object = None  # the version of the filters at which they were known
        self._watch()
        self._is_new = False

    def _watch(self) -> None:
        """Be told of warnings that are shown: by what C calls, which is another one when a cell reloads the module."""
        if warnings._showwarnmsg != self._note:  # type: ignore[attr-defined]  # noqa: SLF001
            self._show = warnings._showwarnmsg  # type: ignore[attr-defined]  # noqa: SLF001
            self._is_new = True
            warnings._showwarnmsg = self._note  # type: ignore[attr-defined]  # noqa: SLF001

    def _note(self, message: warnings.WarningMessage) -> None:
        self._is_new = True
        self._show(message)

    def _version(self) -> object:
        """Return the version of the filters, which is written into a registry that is asked, and nowhere else."""
        self._watch()
        registry: dict[Any, Any] = {}
        shown, self._show = self._show, lambda _: None
        known = self._is_new
        try:
            with contextlib.suppress(_Probe):  # an error, where filters say so
                warnings.warn_explicit(_Probe(), _Probe, "", 0, registry=registry)
        finally:
            self._show, self._is_new = shown, known
        return registry.get(_VERSION)

    def read(self) -> dict[str, Keys]:
        version = self._version()
        if self._is_new:
            self._known = _registered(version)
        elif version != self._of:
            self._known = {}
        self._is_new, self._of = False, version
        return self._known | self._waiting

    def write(self, told: dict[str, Keys]) -> None:
        self._waiting = dict(told)

    def enter(self) -> None:
        """Enter what waits for modules that are there by now."""
        ready = [name for name in self._waiting if type(sys.modules.get(name)) is types.ModuleType]
        if not ready:
            return
        version = self._version()
        if version != self._of and not self._is_new:
            self._known, self._of = {}, version
        for name in ready:
            keys = self._known[name] = self._waiting.pop(name)
            registry = vars(sys.modules[name]).setdefault(_REGISTRY, {})
            if registry.get(_VERSION) != version:
                registry.clear()
                registry[_VERSION] = version
            registry.update(dict.fromkeys(keys, True))


def _registered(version: object) -> dict[str, Keys]:
    """Return what the registries of this version hold; IPython empties that of the cells before each of them."""
    registries = {}
    for name, module in list(sys.modules.items()):
        registry = vars(module).get(_REGISTRY) if type(module) is types.ModuleType else None
        if type(registry) is dict and registry.get(_VERSION) == version and name != "__main__":
            registries[name] = registry
    found = {name: tuple(sorted(filter(_is_key, registry), key=repr)) for name, registry in registries.items()}
    return {name: keys for name, keys in found.items() if keys}


def _is_key(key: Any) -> bool:
    """Tell whether this is a warning, and one whose class a later process has."""
    return type(key) is tuple and len(key) > 1 and type(key[0]) is str and definitions.by_reference(key[1])


_told = _Told()
SETTINGS = (Setting("warnings that were told", "", _told.read, _told.write),)
enter = _told.enter
