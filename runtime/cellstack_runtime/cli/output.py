"""How listings look: docker's columns for people, one JSON document for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

format_option = click.option(
    "--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to print."
)


def as_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as docker does: capital headers, three spaces between."""
    lines = [list(headers), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def printable(text: str) -> str:
    """Return text out of a container, which may hold anything, without what could control a terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)


def ago(created: str) -> str:
    """Return "3 minutes ago" for an ISO 8601 time."""
    seconds = max(0, int((datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return f"{seconds} second{'' if seconds == 1 else 's'} ago"
