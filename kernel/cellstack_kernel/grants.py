"""What the person has granted. A notebook's content only asks; see "Who may grant" in ARCHITECTURE.md.

`config.toml` beside the store:

    [defaults]                      # limits of cells where a notebook says nothing
    memory = "4g"
    [ceiling]                       # what a notebook may raise its limits to without asking
    memory = "8g"
    [notebooks."/home/me/a.ipynb"]
    granted = ["context:rw", "mount:/data:/data:ro"]
"""

from __future__ import annotations

import os
import secrets
import tomllib
from typing import TYPE_CHECKING, Any

from cellstack_runtime.errors import GrantError, UsageError
from cellstack_runtime.limits import Limits, format_size

if TYPE_CHECKING:
    from cellstack_kernel.executor import FrontEnd

FILE = "config.toml"
LIMITS = ("memory", "cpus", "pids", "timeout")


class Grants:
    """The settings and grants that hold for one notebook file (`notebook` None: for a session without one)."""

    def __init__(self, home: str, notebook: str | None, *, flags: frozenset[str] = frozenset()) -> None:
        """Read the settings below `home`. `flags` is what the command line grants. UsageError for a broken file."""
        self.path = f"{home}/{FILE}"
        self.notebook = os.path.abspath(notebook) if notebook else None
        self._flags = flags
        self._settings = _read(self.path)

    @property
    def granted(self) -> list[str]:
        """What is granted now, as "context:rw" or "mount:/data:/data:ro"."""
        return sorted({*self._flags, *self._remembered()})

    def default_limits(self, otherwise: Limits) -> Limits:
        """Return `otherwise` with what the person's settings say of limits."""
        return otherwise.updated(self._texts("defaults"))

    def ceiling(self) -> Limits:
        """Return what a notebook may raise its limits to without asking; None is no ceiling."""
        return Limits().updated(self._texts("ceiling"))

    def _texts(self, section: str) -> dict[str, str]:
        found = self._settings.get(section, {})
        return {name: str(found[name]) for name in LIMITS if name in found}

    def _remembered(self) -> list[str]:
        notebooks = self._settings.get("notebooks", {})
        entry = notebooks.get(self.notebook, {}) if self.notebook else {}
        return [str(what) for what in entry.get("granted", [])]

    async def require(self, what: str, flag: str, front: FrontEnd) -> None:
        """Pass when `what` ("context:rw") is granted; else ask the person. GrantError names `flag` when it is not."""
        if what in self.granted:
            return
        answer = await front.ask(f"This notebook asks for {what}. Grant it? [y]es once, [a]lways, [N]o: ", password=False)
        choice = (answer or "").strip().lower()[:1]
        if choice == "a":
            self._remember(what)
        elif choice != "y":
            raise GrantError(
                f"{what} is not granted to this notebook",
                hint=f"Grant it with `cellstack execute {flag}`, or in {self.path} under [notebooks]",
            )
        self._flags |= {what}

    async def require_limits(self, wanted: Limits, front: FrontEnd) -> None:
        """Pass when no limit of `wanted` is above the ceiling, or the person agrees."""
        ceiling = self.ceiling()
        for name in LIMITS:
            top, value = getattr(ceiling, name), getattr(wanted, name)
            if top is not None and (value is None or value > top):
                shown = "unlimited" if value is None else format_size(value) if name == "memory" else f"{value:g}"
                await self.require(f"limit:{name}={shown}", f"--{name}", front)

    def _remember(self, what: str) -> None:
        if self.notebook is None:
            return
        import tomli_w  # noqa: PLC0415  only when something is remembered

        notebooks = self._settings.setdefault("notebooks", {})
        notebooks.setdefault(self.notebook, {}).setdefault("granted", []).append(what)
        partial = f"{self.path}.{secrets.token_hex(4)}"
        with open(partial, "w", encoding="utf-8") as file:
            file.write(tomli_w.dumps(self._settings))
            file.flush()
            os.fsync(file.fileno())
        os.rename(partial, self.path)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}", hint="Repair it or move it away") from None
