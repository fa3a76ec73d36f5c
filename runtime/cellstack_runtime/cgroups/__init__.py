"""Control groups, version 1 (and hybrid) and version 2, behind one interface."""

from cellstack_runtime.cgroups.base import Controller, Group, Manager, Metrics, Pressure, Support, remove_stale
from cellstack_runtime.cgroups.detect import detect, open_group, open_manager, pressure_of

__all__ = [
    "Controller",
    "Group",
    "Manager",
    "Metrics",
    "Pressure",
    "Support",
    "detect",
    "open_group",
    "open_manager",
    "pressure_of",
    "remove_stale",
]
