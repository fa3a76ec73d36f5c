"""pandas: its options."""

from __future__ import annotations

import sys
from typing import Any

from cellstack_guest.settings import Setting, module


def _read_pandas() -> dict[str, Any]:
    flat: dict[str, Any] = {}
    tree = getattr(sys.modules.get("pandas._config.config"), "_global_config", None)
    if isinstance(tree, dict):
        _flatten(tree, "", flat)
    return flat


def _flatten(tree: dict[str, Any], prefix: str, flat: dict[str, Any]) -> None:
    for key, value in tree.items():
        if isinstance(value, dict):
            _flatten(value, f"{prefix}{key}.", flat)
        else:
            flat[prefix + key] = value


def _write_pandas(changes: dict[str, Any]) -> None:
    pandas, config = module("pandas"), module("pandas._config.config")
    for name, value in changes.items():
        if name in config._registered_options:  # noqa: SLF001
            pandas.set_option(name, value)
        else:  # by a cell, which is put back later
            root, key = _place(config._global_config, name)  # noqa: SLF001
            root[key] = value


def _place(tree: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    *sections, key = name.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    return tree, key


SETTINGS = (Setting("pandas", "pandas", _read_pandas, _write_pandas, delta=True),)
FIXED = (("pandas", "options"),)
