"""Pillow and openpyxl: what draws on pictures, fonts, workbooks."""

from __future__ import annotations

import io
from typing import Any

_DRAWING = ("ink", "fill", "fontmode", "font")


def reduce_draw(draw: Any) -> Any:
    """Return the reduction of what draws on a picture."""
    state = {name: vars(draw)[name] for name in _DRAWING if name in vars(draw)}
    return (type(draw), (draw._image, draw.mode), state)  # noqa: SLF001


def reduce_font(font: Any) -> Any:
    """Return the reduction of a font that did not come from a file with a name: of its bytes."""
    if not hasattr(font, "font_bytes"):
        return NotImplemented
    arguments = (font.font_bytes, font.size, font.index, font.encoding, font.layout_engine)
    return (make_font, (type(font), *arguments))


def make_font(cls: Any, data: bytes, size: float, index: int, encoding: str, engine: Any) -> Any:
    """Return a font of these bytes."""
    return cls(io.BytesIO(data), size, index, encoding, engine)


def reduce_bound(dictionary: Any) -> Any:
    """Return the reduction of the rows or columns of a worksheet, which make what they do not have."""
    state = (dictionary.default_factory, dict(vars(dictionary)), dict(dictionary))
    return (make_bound, (type(dictionary),), state, None, None, set_bound)


def make_bound(cls: Any) -> Any:
    """Return an empty one."""
    return cls.__new__(cls)


def set_bound(dictionary: Any, state: tuple[Any, dict[str, Any], dict[Any, Any]]) -> None:
    """Fill it."""
    factory, attributes, items = state
    vars(dictionary).update(attributes)
    dictionary.default_factory = factory
    dictionary.update(items)


HANDLERS = {
    ("PIL.ImageDraw", "ImageDraw"): reduce_draw,
    ("PIL.ImageFont", "FreeTypeFont"): reduce_font,
    ("openpyxl.utils.bound_dictionary", "BoundDictionary"): reduce_bound,
}
