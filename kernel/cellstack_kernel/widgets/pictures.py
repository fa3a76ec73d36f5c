"""What views show, drawn once: HTML for those who have no widgets, as nbviewer, a mail or a notebook on paper.

Every text is escaped. Colours are the theme's, where there is one, and else go with any.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from cellstack_kernel.views import CELL, STYLE
from cellstack_runtime.limits import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Facts = Mapping[str, Any]

LINE = "1px solid var(--jp-border-color1,rgba(128,128,128,.5))"
FILL = "var(--jp-layout-color2,rgba(128,128,128,.12))"
ACCENT = "var(--jp-brand-color1,#1976d2)"
BOX = f"border:{LINE};background:{FILL};border-radius:3px;padding:2px 8px;margin:2px 0"
MUTED = "opacity:.75"


def layers(facts: Facts) -> str:
    """Return the layers as a stack: the newest on top, the image at the bottom, branches beside."""
    boxes = [_layer(row, row["id"] == facts["head"]) for row in reversed(facts["rows"])]
    if facts["left_out"]:
        boxes.append(f'<li style="{MUTED}">and {facts["left_out"]} older layers</li>')
    head = " · <strong>head</strong>" if facts["head"] is None else ""
    image = f"image {escape(facts['image'])}, {facts['image_layers']} layers{head}"
    boxes.append(f'<li style="{BOX};border-bottom-width:4px">{image}</li>')
    return f'<ol style="list-style:none;margin:0;padding:0;max-width:48em">{"".join(boxes)}</ol>'


def _layer(row: Facts, is_head: bool) -> str:
    number = f"[{row['number']}]" if row["number"] else "[ ]"
    edge = ACCENT if row["on_path"] else "transparent"
    style = f"{BOX};margin-left:{row['depth'] * 2}em;border-left:4px solid {edge}"
    changes = f"+{row['added']} ~{row['changed']} -{row['deleted']} files · {row['size']} · {row['id']}"
    failed = " · error" if row["status"] == "error" else ""
    head = " · <strong>head</strong>" if is_head else ""
    code = f'<code style="background:none">{escape(row["code"])}</code>'
    return (
        f'<li style="{style}">{number} {code}{head}'
        f'<div style="{MUTED};font-size:85%">{escape(changes)}{failed}</div></li>'
    )


def namespaces(facts: Facts) -> str:
    """Return the eight namespaces of a cell as boxes beside those of the host and of the cell before."""
    before = f"CELL [{facts['before']}]" if facts["before"] else "CELL BEFORE"
    heads = ("NAMESPACE", "HOST", before, f"CELL [{facts['number']}]" if facts["number"] else "CELL", "ISOLATES")
    head = "".join(f'<th scope="col" style="{CELL};{MUTED}">{escape(name)}</th>' for name in (*heads, "INSIDE"))
    rows = "".join(_namespace(row) for row in facts["rows"])
    said = isolation(facts)
    if facts["inside_of"]:
        said += f" What is visible inside is that of container {facts['inside_of']}."
    return (
        f'<table style="{STYLE}"><caption style="text-align:left;caption-side:top">{escape(said)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def isolation(facts: Facts) -> str:
    """Return in one sentence how much of its own a cell has."""
    known = [row for row in facts["rows"] if row["inode"] is not None]
    if not known:
        return "No cell has run yet."
    own = sum(row["inode"] not in (row["host"], row["before"]) for row in known)
    return f"{own} of {len(known)} namespaces are this cell's own."


def _namespace(row: Facts) -> str:
    cells = []
    for who, others in (("host", ()), ("before", ("host",)), ("inode", ("host", "before"))):
        shared = [other for other in others if row[who] is not None and row[who] == row[other]]
        colour = ACCENT if who == "inode" and row["inode"] is not None and not shared else "currentColor"
        number = "—" if row[who] is None else str(row[who])
        note = " shared" if shared else ""
        box = f"border:1px solid {colour};border-radius:3px;padding:0 6px;display:inline-block"
        cells.append(f'<td style="{CELL}"><span style="{box}">{number}{note}</span></td>')
    inside = "\n".join([*row["inside"][:4], *(["…"] if len(row["inside"]) > 4 else [])])
    kind = f'<th scope="row" style="{CELL}">{row["kind"]}</th>'
    texts = "".join(f'<td style="{CELL}">{escape(text)}</td>' for text in (row["isolates"], inside))
    return f"<tr>{kind}{''.join(cells)}{texts}</tr>"


def cgroup(facts: Facts, title: str) -> str:
    """Return what a cell has used as bars, each as long as its part of the limit."""
    limits, held = facts["limits"], facts["held_by"]
    seconds = facts["seconds"]
    processors = facts["cpu_seconds"] / seconds if seconds else 0.0
    rows = "".join(
        (
            _bar("memory", facts["memory"], limits["memory"], held.get("memory"), format_size),
            _bar("cpu", processors, limits["cpus"], held.get("cpu"), lambda value: f"{value:.2f} processors"),
            _bar("pids", facts["pids"], limits["pids"], held.get("pids"), str),
            _bar("wall time", seconds, limits["timeout"], "kernel", lambda value: f"{value:.3g} s"),
        )
    )
    caption = f'<caption style="text-align:left;caption-side:top">{escape(title)}</caption>'
    return f'<table style="{STYLE}">{caption}<tbody>{rows}</tbody></table>'


def _bar(name: str, value: float | None, limit: float | None, held: str | None, show: Callable[[Any], str]) -> str:
    part = 0.0 if not limit or value is None else min(1.0, value / limit)
    outer = f"display:inline-block;width:16em;height:.7em;border:{LINE};background:{FILL};vertical-align:middle"
    inner = f"display:block;height:100%;width:{part:.1%};background:{ACCENT}"
    most = "no limit" if limit is None else f"of {show(limit)}"
    by = f"held by {held}" if held else ""
    used = "not measured" if value is None else show(value)
    shown = "".join(f'<td style="{CELL}">{escape(text)}</td>' for text in (used, most, by))
    bar = f'<td style="{CELL}"><span style="{outer}"><span style="{inner}"></span></span></td>'
    return f'<tr><th scope="row" style="{CELL}">{name}</th>{bar}{shown}</tr>'
