"""What a notebook runs with, as its metadata asks for it or as the person says on the command line."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cellstack_runtime.cli.containers import parse_mount
from cellstack_runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellstack_runtime.workspace import BindMount

NAMES = ("image", "limits", "context", "mounts")


@dataclass(frozen=True, slots=True)
class Settings:
    """Unset ones are None or empty. limits: by name, as text ("memory": "512m"). mounts: as HOST:CONTAINER[:ro]."""

    image: str | None = None
    limits: Mapping[str, str] = field(default_factory=dict)
    context: str | None = None
    mounts: tuple[str, ...] = ()

    @classmethod
    def from_metadata(cls, metadata: Any) -> Settings:
        """Return what the "cellstack" entry of a notebook's metadata asks for; UsageError for anything odd in it."""
        entry = metadata.get("cellstack", {}) if isinstance(metadata, dict) else {}
        if not isinstance(entry, dict):
            raise UsageError("the notebook's metadata.cellstack is not an object")
        unknown = [name for name in entry if name not in NAMES]
        if unknown:
            raise UsageError(
                f"the notebook's metadata.cellstack has an unknown entry {unknown[0]!r}",
                hint=f"Entries are: {', '.join(NAMES)}",
            )
        limits = entry.get("limits", {})
        mounts = entry.get("mounts", [])
        if not isinstance(limits, dict) or not isinstance(mounts, list):
            raise UsageError("the notebook's metadata.cellstack: limits is an object and mounts is a list")
        return cls(
            image=_text("image", entry.get("image")),
            limits={str(name): "none" if value is None else str(value) for name, value in limits.items()},
            context=_text("context", entry.get("context")),
            mounts=tuple(str(mount) for mount in mounts),
        )

    def bind_mounts(self) -> list[BindMount]:
        """Return the mounts; UsageError when one is none, or its host path does not exist."""
        return [parse_mount(text) for text in self.mounts]

    def grants(self) -> list[tuple[str, str]]:
        """Return (what, flag) of each thing in here, but for limits, that takes a grant when a notebook asks for it."""
        wanted = [(f"mount:{mount}", f"--mount {mount}") for mount in self.mounts]
        if self.context == "rw":
            wanted.append(("context:rw", "--context rw"))
        return wanted


def _text(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise UsageError(f"the notebook's metadata.cellstack.{name} is not a text")
    return value


def notebook_path(environ: Mapping[str, str]) -> str | None:
    """Return the file of the notebook whose kernel this is, as Jupyter Server tells it; None when it does not."""
    name = environ.get("JPY_SESSION_NAME", "")
    return os.path.abspath(name) if name.endswith(".ipynb") and os.path.isfile(name) else None


def metadata_of(path: str) -> Any:
    """Return the metadata of the notebook at `path`; empty when it cannot be read as one."""
    try:
        with open(path, encoding="utf-8") as file:
            notebook = json.load(file)
    except (OSError, ValueError, RecursionError):  # a new notebook is an empty file, and Jupyter says what is wrong
        return {}
    return notebook.get("metadata", {}) if isinstance(notebook, dict) else {}
