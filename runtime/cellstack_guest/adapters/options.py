"""Libraries whose options are one dict, set by one call."""

from __future__ import annotations

from cellstack_guest.settings import Setting, module

SETTINGS = (
    Setting(
        "scikit-learn",
        "sklearn",
        lambda: dict(module("sklearn").get_config()),
        lambda changes: module("sklearn").set_config(**changes),
        delta=True,
    ),
    Setting(
        "xarray",
        "xarray",
        lambda: dict(module("xarray").get_options()),
        lambda changes: module("xarray").set_options(**changes),
        delta=True,
    ),
)
