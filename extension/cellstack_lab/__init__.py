"""The Jupyter Server extension: what the panel in JupyterLab shows and asks for."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

__version__ = version("cellstack")  # as `jupyter server extension list` shows it


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "../labextension", "dest": "cellstack"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from cellstack_lab.app import CellstackExtension  # noqa: PLC0415  Jupyter asks for the paths without a server

    return [{"module": "cellstack_lab", "app": CellstackExtension}]
