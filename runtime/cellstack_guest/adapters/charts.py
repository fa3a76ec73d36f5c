"""plotly and altair: what charts are drawn with."""

from __future__ import annotations

from typing import Any

from cellstack_guest.settings import Setting, module

_ALTAIR = ("data_transformers", "renderers")  # themes are enabled in ways that differ between versions


def _read_templates() -> str:
    return str(module("plotly.io").templates.default)


def _write_templates(name: str) -> None:
    module("plotly.io").templates.default = name


def _read_altair() -> dict[str, tuple[str, dict[str, Any]]]:
    registries = {name: getattr(module("altair"), name, None) for name in _ALTAIR}
    return {name: (found.active, dict(found.options)) for name, found in registries.items() if found is not None}


def _write_altair(changes: dict[str, tuple[str, dict[str, Any]]]) -> None:
    for name, (active, options) in changes.items():
        getattr(module("altair"), name).enable(active, **options)


SETTINGS = (
    Setting("plotly", "plotly.io", _read_templates, _write_templates),
    Setting("altair", "altair", _read_altair, _write_altair),
)
