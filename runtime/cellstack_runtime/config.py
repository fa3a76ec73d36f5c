"""`config.toml` beside the store: what the person has set and granted. A notebook's content never changes it.

[defaults]                      # limits of cells where a notebook says nothing
memory = "4g"
[ceiling]                       # what a notebook may raise its limits to without asking
memory = "8g"
[rest]
seconds = 900                   # without a request, after which a notebook gives back what waits for its next cell
[notebooks."/home/me/a.ipynb"]
granted = ["context:rw", "mount:/data:/data:ro"]
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from cellstack_runtime.errors import UsageError
from cellstack_runtime.limits import Limits, parse_number
from cellstack_runtime.store.files import lock, write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "config.toml"
REST_SECONDS = 900.0
CEILINGS = ("memory", "cpus", "pids", "timeout")


class Config:
    """The settings of the store at `home`. UsageError for a file that is not what the module's page shows."""

    def __init__(self, home: str) -> None:
        self.path = f"{home}/{FILE}"
        self._lock = f"{home}/locks/config"
        self._read()

    def _read(self) -> None:
        self._settings = _parse(self.path)

    def limits(self, section: str) -> dict[str, str]:
        """Return the limits in a section ("defaults", "ceiling") as text, as `Limits.updated` takes them."""
        return {name: str(value) for name, value in self._table(self._settings, section).items()}

    def beyond(self, wanted: Limits) -> list[str]:
        """Return which of `wanted` are above the ceiling, which is none by default."""
        ceiling = Limits().updated(self.limits("ceiling"))
        found = []
        for name in CEILINGS:
            top, value = getattr(ceiling, name), getattr(wanted, name)
            if top is not None and (value is None or value > top):
                found.append(name)
        return found

    def rest(self) -> float | None:
        """Return after how many seconds without a request a notebook gives back what waits; None for never."""
        text = str(self._table(self._settings, "rest").get("seconds", REST_SECONDS))
        return parse_number("seconds of [rest]", text, "seconds = 900")

    def granted(self) -> Mapping[str, list[str]]:
        """Return what was granted to each notebook, by its path."""
        notebooks = self._table(self._settings, "notebooks")
        return {path: [str(what) for what in self._list(notebooks, path)] for path in notebooks}

    def grant(self, notebook: str, what: str) -> None:
        """Remember that the person has granted `what` to the notebook at this path."""
        import tomli_w  # noqa: PLC0415  only when something is remembered

        with lock(self._lock):
            self._read()  # another kernel may have written meanwhile
            entry = self._settings.setdefault("notebooks", {}).setdefault(notebook, {})
            entry["granted"] = sorted({*entry.get("granted", []), what})
            write_atomic(self.path, tomli_w.dumps(self._settings))

    def _table(self, where: dict[str, Any], name: str) -> dict[str, Any]:
        found = where.get(name, {})
        if not isinstance(found, dict):
            raise UsageError(f"{self.path}: {name} is not a table", hint="README.md shows one that is")
        return found

    def _list(self, where: dict[str, Any], name: str) -> list[Any]:
        found = self._table(where, name).get("granted", [])
        if not isinstance(found, list):
            raise UsageError(f"{self.path}: granted of {name} is not a list", hint="README.md shows one that is")
        return found


def _parse(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}", hint="Repair it or move it away") from None
