"""matplotlib: its parameters, and with them the backend."""

from __future__ import annotations

import os
import sys
from typing import Any

from cellstack_guest.settings import Setting, module

_BACKEND = "backend"
_FILE = "matplotlibrc"


def _read_rc_params() -> dict[str, Any]:
    # Not through the mapping's own methods: they resolve the backend and thereby import it.
    params: dict[str, Any] = dict(list(dict.items(module("matplotlib").rcParams)))
    if not isinstance(params.get(_BACKEND), str):
        params.pop(_BACKEND, None)
    return params


def _write_rc_params(changes: dict[str, Any]) -> None:
    matplotlib = module("matplotlib")
    backend = changes.pop(_BACKEND, None)
    matplotlib.rcParams.update(changes)
    if backend is None or dict.get(matplotlib.rcParams, _BACKEND) == backend:
        return
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        matplotlib.rcParams[_BACKEND] = backend
    else:
        pyplot.switch_backend(backend)


def _read_file_beside_notebook() -> None:
    """Take the parameters of the notebook's folder, which an import in a cell would have read."""
    matplotlib = module("matplotlib")
    if os.path.isfile(_FILE):
        params = matplotlib.rc_params_from_file(_FILE, use_default_template=False)
        params.pop(_BACKEND, None)
        matplotlib.rcParams.update(params)
        matplotlib.rcParamsOrig.update(params)


AFTER_FORK = (("matplotlib", _read_file_beside_notebook),)
SETTINGS = (Setting("matplotlib", "matplotlib", _read_rc_params, _write_rc_params, delta=True),)
FIXED = (
    ("matplotlib", "rcParams"),
    ("matplotlib", "rcParamsDefault"),
    ("matplotlib", "colormaps"),
    ("matplotlib", "color_sequences"),
)
