"""Modules of ipykernel that libraries look for or import from, made of what takes their place in a cell.

tqdm looks for `ipykernel.zmqshell` among the imported modules, others ask whether what is printed goes to one of its
streams; bokeh and pyviz_comms make a `Comm` of `ipykernel.comm`, which would send on a socket that no cell has. All
others are those of ipykernel, where it is installed.
"""

from __future__ import annotations

import sys
import types
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
        vars(module).update(content)
        sys.modules[module.__name__] = module
