"""What a person has set in the shell itself: `%config`, `%xmode`, `%precision`, `%load_ext`, `%logstart`, `%autoawait`.

It travels in `Carrier.extra` and is there only once something differs from a fresh shell.
"""

# mypy: disable-error-code="no-untyped-call"
# (most of IPython's functions have no annotations)

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from IPython.utils.importstring import import_item
from IPython.utils.ipstruct import Struct
from traitlets import TraitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cellstack_guest.shell import ZMQInteractiveShell

KEY = "shell"
# Would cost every cell an import, and there is nothing to reload where every cell imports anew.
_ON_DEMAND = frozenset({"autoreload", "IPython.extensions.autoreload"})
_NOTEBOOK = "__main__."
_PLAIN = (str, int, float, bool, type(None))

Preferences = dict[str, Any]


class Observer:
    """Notices what cells set in a shell; made once, when the shell is fresh."""

    def __init__(self, shell: ZMQInteractiveShell) -> None:
        self._shell = shell
        self._changed: set[tuple[str, str]] = set()
        self._watched: set[int] = set()
        self.learn()

    def learn(self) -> None:
        """Take the shell as it is now for a fresh one."""
        shell = self._shell
        self._fresh = self._attributes()
        self._config = _plain_config(shell.config)
        self._extensions = frozenset(shell.extension_manager.loaded)
        self._hooks = self._count_hooks()
        self._known = len(shell.configurables)
        for configurable in self._configurables():
            names = configurable.trait_names(config=True)
            if names and id(configurable) not in self._watched:
                configurable.observe(self._note, names)
                self._watched.add(id(configurable))
        self._changed.clear()

    def needs(self, extra: dict[str, Any]) -> str:
        """Return the name of the variable that `restore` needs, "" for none."""
        name: str = extra.get(KEY, {}).get("attributes", {}).get("runner", "")
        return name.removeprefix(_NOTEBOOK) if name.startswith(_NOTEBOOK) else ""

    def restore(self, extra: dict[str, Any], code: str) -> None:
        """Set in the shell, about to run `code`, what earlier cells have set; what cannot be is told."""
        saved: Preferences | None = extra.get(KEY)
        if saved is None:
            return
        shell = self._shell
        for section, values in saved["config"].items():  # of what is made later, as matplotlib's backend
            shell.config[section].update(values)
        for key, value in saved["traits"].items():
            self._set_trait(key, value)
        attributes = saved["attributes"]
        if attributes["mode"] != self._fresh["mode"]:
            shell.InteractiveTB.set_mode(attributes["mode"])
        if attributes.get("runner", self._fresh["runner"]) != self._fresh["runner"]:
            self._set_runner(attributes["runner"])
        shell.call_pdb = attributes["pdb"]
        shell.compile.flags |= attributes["flags"]
        shell.history_manager.dir_hist[:] = attributes["visited"] or shell.history_manager.dir_hist
        shell.dir_stack[:] = attributes["stack"]
        shell.meta.update({name: Struct(values) for name, values in attributes.get("meta", {}).items()})
        if attributes.get("log") is not None:
            self._go_on_logging(attributes["log"])
        for name, always in saved["extensions"].items():
            if always or "%" in code:
                self._load_extension(name)
        self._hooks = self._count_hooks()

    def save(self, extra: dict[str, Any]) -> None:
        """Put what differs from a fresh shell into `extra`."""
        saved: Preferences = extra.get(KEY) or {"traits": {}, "extensions": {}}
        config = _plain_config(self._shell.config)
        config = {section: values for section, values in config.items() if values != self._config.get(section)}
        shell = self._shell
        traits = {**dict(self._configured(saved["traits"])), **dict(self._changed_traits(saved["traits"]))}
        extensions = dict(saved["extensions"])
        for name in shell.extension_manager.loaded - self._extensions - extensions.keys():
            extensions[name] = name not in _ON_DEMAND and self._count_hooks() != self._hooks
        attributes = self._attributes()
        if traits or extensions or config or attributes != self._fresh:
            extra[KEY] = {"traits": traits, "config": config, "extensions": extensions, "attributes": attributes}
        else:
            extra.pop(KEY, None)

    def _attributes(self) -> Preferences:
        shell = self._shell
        visited = shell.history_manager.dir_hist
        return {
            "mode": shell.InteractiveTB.mode,
            "runner": _name_of_runner(shell),
            "pdb": bool(shell.call_pdb),
            "flags": shell.compile.flags,  # `from __future__ import …` holds for all later cells
            "visited": [os.fspath(path) for path in visited] if len(visited) > 1 else [],
            "stack": list(shell.dir_stack),
            "meta": {  # by which `%doctest_mode` is switched off again
                name: dict(values)
                for name, values in shell.meta.items()
                if isinstance(values, dict) and _is_plain(dict(values))
            },
            "log": _of_log(shell.logger),
        }

    def _set_runner(self, name: str) -> None:
        """Have what runs code that awaits; not by its name, which would also switch `%autoawait` on."""
        known = {each: runner for each, (runner, _) in self._shell.loop_runner_map.items()}
        known |= {f"{_NOTEBOOK}{each}": value for each, value in self._shell.user_ns.items()}
        try:
            self._shell.loop_runner = known[name] if name in known else import_item(name)
        except Exception as error:  # noqa: BLE001  of the module that it is in
            self._shell.notices.append(f"%autoawait {name} does not hold any more: {type(error).__name__}: {error}")

    def _go_on_logging(self, attributes: Preferences) -> None:
        """Open the file of `%logstart` again, unless it was stopped; that it cannot be is told."""
        logger, name = self._shell.logger, attributes["opened"]
        vars(logger).update(attributes["logger"])
        if name is None:
            return
        try:
            logger.logfile = open(name, "a", encoding="utf-8")  # noqa: SIM115  closed by `%logstop`
        except OSError as error:
            logger.log_active = False
            self._shell.notices.append(f"logging to {name} has ended: {error}")

    def _configurables(self) -> Iterator[Any]:
        yield from self._shell.configurables
        yield from self._shell.display_formatter.formatters.values()

    def _note(self, change: Any) -> None:
        self._changed.add((type(change.owner).__name__, change.name))

    def _configured(self, traits: Preferences) -> Iterator[tuple[str, Any]]:
        """Yield traits of earlier cells; of what this one has not made it may have changed the value by `%config`."""
        made = {type(configurable).__name__ for configurable in self._configurables()}
        for key, value in traits.items():
            owner, name = key.split(".")
            yield key, value if owner in made else self._shell.config[owner].get(name, value)

    def _changed_traits(self, saved: Preferences) -> Iterator[tuple[str, Any]]:
        """Yield what was set by this cell, and of what was made in it also what is its default again."""
        late = self._shell.configurables[self._known :]
        if not self._changed and not late:
            return
        owners = {type(configurable).__name__: configurable for configurable in self._configurables()}
        found = [(owners[owner], name) for owner, name in self._changed if owner in owners]
        for owner in late:
            names = owner.trait_names(config=True)
            found += [
                (owner, name)
                for name in names
                if getattr(owner, name) != owner.trait_defaults(name) or f"{type(owner).__name__}.{name}" in saved
            ]
        for owner, name in found:
            value = getattr(owner, name)
            if _is_plain(value):
                yield f"{type(owner).__name__}.{name}", value

    def _set_trait(self, key: str, value: Any) -> None:
        owner, name = key.split(".")
        for configurable in self._configurables():
            if type(configurable).__name__ == owner:
                try:
                    setattr(configurable, name, value)
                except TraitError as error:
                    self._shell.notices.append(f"{key} could not be set again: {error}")
                return
        self._shell.config[owner][name] = value  # for the one that is made later

    def _load_extension(self, name: str) -> None:
        if name in self._shell.extension_manager.loaded:
            return
        try:
            self._shell.extension_manager.load_extension(name)
        except Exception as error:  # noqa: BLE001  the extension's own
            self._shell.notices.append(f"extension {name} could not be loaded: {type(error).__name__}: {error}")

    def _count_hooks(self) -> tuple[int, ...]:
        shell = self._shell
        manager = shell.input_transformer_manager
        return (
            sum(map(len, shell.events.callbacks.values())),
            len(shell.ast_transformers),
            len(shell.input_transformers_post),
            len(manager.cleanup_transforms) + len(manager.line_transforms) + len(manager.token_transformers),
        )


def _name_of_runner(shell: ZMQInteractiveShell) -> str:
    """Return how what runs code that awaits is found: by IPython's name, the notebook's, or that in its module."""
    runner = shell.loop_runner
    known = [name for name, (each, _) in shell.loop_runner_map.items() if each is runner]
    known += [f"{_NOTEBOOK}{name}" for name, value in shell.user_ns.items() if value is runner]
    return known[0] if known else f"{runner.__module__}.{getattr(runner, '__qualname__', '')}"


def _of_log(logger: Any) -> Preferences:
    """Return what a logger is set to, which the next `%logstart` goes on with, and the file that it writes to."""
    opened = None
    if logger.logfile is not None:
        # By its descriptor: its name is relative to where the cell was then.
        opened = os.readlink(f"/proc/self/fd/{logger.logfile.fileno()}").removesuffix(" (deleted)")
    return {"opened": opened, "logger": {name: value for name, value in vars(logger).items() if name != "logfile"}}


def _plain_config(config: Any) -> dict[str, dict[str, Any]]:
    return {
        section: {name: value for name, value in values.items() if _is_plain(value)}
        for section, values in config.items()
        if isinstance(values, dict)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    return type(value) in _PLAIN
