"""Containers, images and layers; knows nothing of Jupyter.

`from cellstack_runtime import Engine, Spec, Limits` is the Python API; see README.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellstack_runtime.containers import ExitReport
    from cellstack_runtime.engine import Engine, RunReport, Spec
    from cellstack_runtime.errors import CellstackError
    from cellstack_runtime.limits import Limits
    from cellstack_runtime.workspace import BindMount

__all__ = ["BindMount", "CellstackError", "Engine", "ExitReport", "Limits", "RunReport", "Spec"]

_HOMES = {
    "BindMount": "workspace",
    "CellstackError": "errors",
    "Engine": "engine",
    "ExitReport": "containers",
    "Limits": "limits",
    "RunReport": "engine",
    "Spec": "engine",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: the broker, forked for every container, imports this package and needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
