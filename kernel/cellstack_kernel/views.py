"""What host magics show, as text and as HTML. All of it may come from a container, so all of it is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellstack_runtime.diff import Change
    from cellstack_runtime.limits import Limits
    from cellstack_runtime.store import Layer
    from cellstack_runtime.store.variables import Variable, Variables

from cellstack_runtime.cli.output import printable
from cellstack_runtime.limits import format_size
from cellstack_runtime.namespaces import ISOLATES
from cellstack_runtime.store.variables import RESULT

STYLE = (
    "border-collapse:collapse;font-size:var(--jp-code-font-size,13px);"
    "font-family:var(--jp-code-font-family,monospace);text-align:left"
)
CELL = "padding:2px 12px 2px 0;text-align:left;white-space:pre"
OTHERS = 8  # names of variables in one field; a component may have thousands
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


def lines(*texts: str) -> Shown:
    """Return lines as they are."""
    text = "\n".join(texts)
    return text, f"<pre>{escape(text)}</pre>"


def stacked(*parts: Shown) -> Shown:
    """Return several views below each other."""
    return "\n\n".join(text for text, _ in parts), "".join(html for _, html in parts)


def tree(found: Sequence[Layer]) -> list[tuple[Layer, int]]:
    """Return layers, which come oldest first, with the column of each, so that what each stands on is to be seen.

    That is the nearest one above that is no further right, else the image. The first child goes on in the column of its
    parent, below all that branches off there.
    """
    known = {layer.id for layer in found}
    children: dict[str | None, list[Layer]] = {}
    for layer in found:
        children.setdefault(layer.parent if layer.parent in known else None, []).append(layer)
    rows: list[tuple[Layer, int]] = []
    pending = [(layer, depth) for depth, layer in enumerate(children.get(None, []))]
    while pending:
        layer, depth = pending.pop()
        rows.append((layer, depth))
        pending += [(child, depth + beside) for beside, child in enumerate(children.get(layer.id, []))]
    return rows


def layers(found: Sequence[Layer], head: str | None, image: str) -> Shown:
    """Return the layers of a session as a tree that grows downwards, from the image."""
    rows = [("image", image[:12], "", "", "", "", "", "* head" if head is None else "")]
    for layer, depth in tree(found):
        changes = layer.changes
        code = str(layer.cell.get("code", "")).strip().splitlines()
        rows.append(
            (
                f"{'│ ' * depth}[{layer.cell.get('number') or ''}]",
                layer.id[:12],
                f"+{changes.added} ~{changes.changed} -{changes.deleted}",
                format_size(changes.bytes),
                "" if layer.memory_peak_bytes is None else format_size(layer.memory_peak_bytes),
                str(layer.cell.get("status", "")),
                code[0][:48] if code else "",
                "* head" if layer.id == head else "",
            )
        )
    return table(("CELL", "LAYER", "CHANGES", "SIZE", "PEAK", "STATUS", "CODE", ""), rows)


def namespaces(cell: dict[str, int], host: dict[str, int]) -> Shown:
    """Return the eight namespaces of a cell beside the host's."""
    rows = [(name, str(cell.get(name, "")), str(host.get(name, "")), ISOLATES[name]) for name in ISOLATES]
    return table(("NAMESPACE", "CELL", "HOST", "ISOLATES"), rows)


def limits(of: Limits) -> Shown:
    """Return the limits of a cell."""
    rows = [
        ("memory", "unlimited" if of.memory is None else format_size(of.memory)),
        ("cpus", "unlimited" if of.cpus is None else f"{of.cpus:g}"),
        ("pids", "unlimited" if of.pids is None else str(of.pids)),
        ("timeout", "none" if of.timeout is None else f"{of.timeout:g} s"),
        ("network", of.network),
    ]
    return table(("LIMIT", "OF A CELL"), rows)


def variables(found: Variables, cells: Mapping[str, str], *, only: Sequence[str]) -> Shown:
    """Return the variables of a layer, and below them those that were not carried.

    cells: how each layer's cell is called. only: names, to which the view is restricted; when there are none, all but
    the results that IPython numbers.
    """
    wanted = set(only) or {name for name in (*found.saved, *found.not_carried) if not RESULT.fullmatch(name)}
    saved = [found.saved[name] for name in sorted(wanted & found.saved.keys())]
    lost = [found.not_carried[name] for name in sorted(wanted & found.not_carried.keys())]
    rows = [
        (one.name, one.type, format_size(one.component.size), cells.get(one.component.layer, ""), _others(one))
        for one in saved
    ]
    parts = [table(("VARIABLE", "TYPE", "SIZE", "CELL", "SHARED WITH"), rows)] if rows else []
    if lost:
        parts.append(table(("NOT CARRIED", "CELL", "WHY"), [(one.name, one.cell, one.why) for one in lost]))
    return stacked(*parts) if parts else sentence("There is no variable.")


def _others(variable: Variable) -> str:
    names = variable.component.variables
    others = [name for name in names[: OTHERS + 1] if name != variable.name][:OTHERS]
    more = len(names) - 1 - len(others)
    return ", ".join(others) + (f" and {more} more" if more > 0 else "")


def changed_files(changes: Sequence[Change]) -> Shown:
    """Return what was added, changed and deleted among files."""
    rows = [(change.kind, change.path, format_size(change.size)) for change in changes]
    return table(("", "PATH", "SIZE"), rows) if rows else sentence("No file was changed.")


def changed_variables(before: Variables, after: Variables) -> Shown:
    """Return what was added, changed and deleted among variables; of what was changed, both types and sizes."""
    rows = []
    for name in sorted(name for name in {*before.saved, *after.saved} if not RESULT.fullmatch(name)):
        old, new = before.saved.get(name), after.saved.get(name)
        if old is None or new is None or not old.is_same(new):
            kind = "A" if old is None else "D" if new is None else "C"
            there = [one for one in (old, new) if one is not None]
            types = dict.fromkeys(one.type for one in there)
            sizes = dict.fromkeys(format_size(one.component.size) for one in there)
            rows.append((kind, name, " → ".join(types), " → ".join(sizes)))
    return table(("", "VARIABLE", "TYPE", "SIZE"), rows) if rows else sentence("No variable was changed.")
