"""plotly and altair: what charts are drawn with."""

from __future__ import annotations

from typing import Any

from cellstack_guest.hooks import held
from cellstack_guest.settings import Setting, module

_RENDERERS = "plotly.io._renderers"
_ALTAIR = ("data_transformers", "renderers")  # themes are enabled in ways that differ between versions


def _read_templates() -> str:
    return str(module("plotly.io").templates.default)


def _write_templates(name: str) -> None:
    module("plotly.io").templates.default = name


def _read_renderer() -> str:
    name: str = module(_RENDERERS).renderers._default_name  # noqa: SLF001
    return name


def _write_renderer(name: str) -> None:
    renderers = module(_RENDERERS).renderers
    try:
        renderers.default = name
    except ValueError:  # one of the notebook's, which is put back later
        renderers._default_name = name  # noqa: SLF001


def _read_own_renderers() -> dict[str, Any] | None:
    renderers = module(_RENDERERS).renderers._renderers  # noqa: SLF001
    return {name: each for name, each in renderers.items() if type(each).__module__ == "__main__"} or None


def _write_own_renderers(own: dict[str, Any]) -> None:
    renderers = module(_RENDERERS).renderers
    for name, renderer in own.items():
        renderers[name] = renderer
    renderers.default = renderers.default


def reduce_figure(figure: Any) -> Any:
    """Return the reduction of a figure with its arrays as they are; plotly's own has them coded as text."""
    frames = [frame._props for frame in figure._frame_objs]  # noqa: SLF001
    properties = {"data": figure._data, "layout": figure._layout, **({"frames": frames} if frames else {})}  # noqa: SLF001
    grid = {"_grid_str": figure._grid_str, "_grid_ref": figure._grid_ref}  # noqa: SLF001
    return (type(figure), ({**properties, **grid},))


def reduce_part(part: Any) -> Any:
    """Return the reduction of a trace or a layout that a figure has: that of the figure."""
    figure = part.parent
    if figure is None:
        return NotImplemented
    if part is figure.layout:
        return (getattr, (figure, "layout"))
    return (trace_of, (figure, next(place for place, trace in enumerate(figure.data) if trace is part)))


def trace_of(figure: Any, place: int) -> Any:
    """Return a trace of a figure."""
    return figure.data[place]


def _read_altair() -> dict[str, tuple[str, dict[str, Any]]]:
    registries = {name: getattr(module("altair"), name, None) for name in _ALTAIR}
    return {name: (found.active, dict(found.options)) for name, found in registries.items() if found is not None}


def _write_altair(changes: dict[str, tuple[str, dict[str, Any]]]) -> None:
    for name, (active, options) in changes.items():
        getattr(module("altair"), name).enable(active, **options)


SETTINGS = (
    Setting("plotly", "plotly.io", _read_templates, _write_templates),
    Setting("plotly renderer", _RENDERERS, _read_renderer, _write_renderer),
    Setting("altair", "altair", _read_altair, _write_altair),
)
HOOKS = (held("renderers", _RENDERERS, _read_own_renderers, _write_own_renderers),)
HANDLERS = {
    ("plotly.basedatatypes", "BaseFigure"): reduce_figure,
    ("plotly.basedatatypes", "BaseTraceType"): reduce_part,
    ("plotly.basedatatypes", "BaseLayoutType"): reduce_part,
}
