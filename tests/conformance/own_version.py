"""A pytest plugin for ipykernel's suite, which wants an implementation whose version is that of ipykernel."""

from __future__ import annotations

import sys


def pytest_collection_finish() -> None:
    for name, module in list(sys.modules.items()):
        if name.endswith("test_message_spec") and hasattr(module, "KernelInfo"):
            module.KernelInfo.implementation_version.min = "0.1"
