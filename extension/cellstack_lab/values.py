"""Values of records as the panel gets them: what comes out of containers is cut to a length and may not be a text."""

from __future__ import annotations

import math
from typing import Any

MAX_NAME = 500  # characters
MAX_CODE = 2_000
MAX_PATH = 4096


def text(value: object, most: int = MAX_NAME) -> str:
    """Return at most `most` characters of a text that can be sent; nothing for what is none."""
    if not isinstance(value, str):
        return ""
    cut = value if len(value) <= most else f"{value[: most - 1]}…"
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent


def path(value: str) -> str:
    r"""Return a path that can be sent: of a name that is not UTF-8, the bytes are as in \xff."""
    return text(value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), MAX_PATH)


def whole(value: object) -> int | None:
    """Return a number that counts something; None for what is none."""
    return value if type(value) is int and value >= 0 else None


def number(value: object) -> float | None:
    """Return a number; None for what is none."""
    return value if type(value) in (int, float) and math.isfinite(value) else None  # type: ignore[arg-type, return-value]


def choice(value: object, *known: str) -> str | None:
    """Return a text that is one of `known`; None for all else."""
    return value if isinstance(value, str) and value in known else None


def plain(value: Any, depth: int = 8) -> Any:
    """Return JSON with its texts cut, to a depth; beyond it there is nothing."""
    if isinstance(value, dict):
        return {text(name): plain(entry, depth - 1) for name, entry in value.items()} if depth else {}
    if isinstance(value, list | tuple):
        return [plain(entry, depth - 1) for entry in value] if depth else []
    return text(value, MAX_CODE) if isinstance(value, str) else value
