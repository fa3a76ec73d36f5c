"""What host magics show, as text and as HTML. All of it may come from a container, so all of it is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellstack_runtime.store import Layer

from cellstack_runtime.cli.output import printable
from cellstack_runtime.limits import format_size

STYLE = (
    "border-collapse:collapse;font-size:var(--jp-code-font-size,13px);"
    "font-family:var(--jp-code-font-family,monospace);text-align:left"
)
CELL = "padding:2px 12px 2px 0;text-align:left;white-space:pre"
ISOLATES = {
    "user": "user and group ids, capabilities",
    "mnt": "mounts, the root filesystem",
    "pid": "process ids",
    "net": "interfaces, addresses, ports",
    "ipc": "shared memory, message queues",
    "uts": "the hostname",
    "cgroup": "the cgroup that looks like the root",
    "time": "boot and monotonic clocks",
}
Shown = tuple[str, str]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> Shown:
    """Return a table as (plain text, HTML)."""
    clean = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(headers, *clean, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [list(headers), *clean]
    ]
    head = "".join(f'<th style="{CELL};opacity:.7">{escape(cell)}</th>' for cell in headers)
    body = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{escape(cell)}</td>' for cell in row) + "</tr>" for row in clean
    )
    caption = f"<div>{escape(title)}</div>" if title else ""
    html = f'{caption}<table style="{STYLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return "\n".join([*([title] if title else []), *lines]), html


def sentence(text: str) -> Shown:
    """Return one sentence as (plain text, HTML)."""
    return text, f"<div>{escape(text)}</div>"


def layers(found: Sequence[Layer], head: str | None, image: str) -> Shown:
    """Return the layers of a session, oldest first, with the image below them."""
    depth: dict[str | None, int] = {None: 0}
    children: dict[str | None, int] = {}
    rows = [("image", image[:12], "", "", "", "", "* head" if head is None else "")]
    for layer in found:
        # The first child goes on in its parent's column, each further one is a branch beside it.
        depth[layer.id] = depth.get(layer.parent, 0) + children.get(layer.parent, 0)
        children[layer.parent] = children.get(layer.parent, 0) + 1
        changes = layer.changes
        code = str(layer.cell.get("code", "")).strip().splitlines()
        rows.append(
            (
                f"{'│ ' * depth[layer.id]}[{layer.cell.get('number', '')}]",
                layer.id[:12],
                f"+{changes.added} ~{changes.changed} -{changes.deleted}",
                format_size(changes.bytes),
                str(layer.cell.get("status", "")),
                code[0][:48] if code else "",
                "* head" if layer.id == head else "",
            )
        )
    return table(("CELL", "LAYER", "CHANGES", "SIZE", "STATUS", "CODE", ""), rows)


def namespaces(cell: dict[str, int], host: dict[str, int]) -> Shown:
    """Return the eight namespaces of a cell beside the host's."""
    rows = [(name, str(cell.get(name, "")), str(host.get(name, "")), ISOLATES[name]) for name in ISOLATES]
    return table(("NAMESPACE", "CELL", "HOST", "ISOLATES"), rows)
