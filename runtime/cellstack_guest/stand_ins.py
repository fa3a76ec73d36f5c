"""Modules of ipykernel that libraries look for or import from, made of what takes their place in a cell.

tqdm looks for `ipykernel.zmqshell` among the imported modules, others ask whether what is printed goes to one of its
streams; bokeh and pyviz_comms make a `Comm` of `ipykernel.comm`, which would send on a socket that no cell has. All
others are those of ipykernel, where it is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import types
from importlib.machinery import PathFinder
from typing import Any

from cellstack_guest import comms
from cellstack_guest.outputs import Stream


def install(shell: type, display_publisher: type) -> None:
    """Put the modules where an import finds them."""
    contents: dict[str, dict[str, Any]] = {
        "zmqshell": {"ZMQInteractiveShell": shell, "ZMQDisplayPublisher": display_publisher},
        "iostream": {"OutStream": Stream},
    }
    manager = comms.manager_class()
    if manager is not None:
        contents |= {
            "comm": {"Comm": comms.Comm, "CommManager": manager, "__path__": []},
            "comm.comm": {"Comm": comms.Comm, "BaseComm": comms.Comm},
            "comm.manager": {"CommManager": manager},
        }
    for name, content in contents.items():
        module = types.ModuleType(f"ipykernel.{name}", "Stands in for the one of ipykernel.")
        vars(module).update(content, __getattr__=_Rest(module.__name__))
        sys.modules[module.__name__] = module


class _Rest:
    """What a module of ipykernel has besides: of the one that is stood in for, which is made when it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._module: types.ModuleType | None = None

    def __call__(self, attribute: str) -> Any:
        if self._module is None and not attribute.startswith("__"):
            package = importlib.import_module("ipykernel")
            inner = self._name.split(".")[1:-1]
            folders = [os.path.join(folder, *inner) for folder in package.__path__]
            spec = PathFinder.find_spec(self._name, folders)
            if spec is not None and spec.loader is not None:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                self._module = module
        try:
            return getattr(self._module, attribute)
        except AttributeError:
            raise AttributeError(f"module {self._name!r} has no attribute {attribute!r}") from None
