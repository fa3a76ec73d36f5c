"""What views show, as JSON: values of records and of running containers, cut to a length.

Texts come out of containers. They are made printable here, and shown as text and never as markup by whoever draws them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellstack_kernel import views
from cellstack_runtime.cli.output import printable
from cellstack_runtime.errors import CellstackError, NotFoundError
from cellstack_runtime.limits import format_size
from cellstack_runtime.namespaces import ISOLATES, host_inodes, look

if TYPE_CHECKING:
    from cellstack_kernel.notebook import Notebook
    from cellstack_runtime.limits import Limits
    from cellstack_runtime.metrics import Sample
    from cellstack_runtime.namespaces import Namespace
    from cellstack_runtime.store import Layer
    from cellstack_runtime.workspace import Workspace

Facts = dict[str, Any]
MAX_LAYERS = 200  # the newest; `%layers` as text has them all
MAX_LINES = 40  # of what is inside of one namespace
MAX_TEXT = 120  # characters
MAX_POINTS = 120  # of a chart
Inside = tuple[str, Mapping[str, Sequence[str]]]  # the container that was looked into, and what is visible, by kind
NOTHING_SEEN: Inside = ("", {})
_LIMITS = ("memory", "cpus", "pids", "timeout")


def text(value: object, most: int = MAX_TEXT) -> str:
    """Return at most `most` characters that can be shown in one line."""
    shown = printable(str(value))
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def found(workspace: Workspace) -> list[Layer]:
    """Return the layers of a notebook, oldest first."""
    return _layers(workspace, _layer_ids(workspace))


def _layer_ids(workspace: Workspace) -> list[str]:
    """Return each layer once: one that the cache gave again is among the cells again."""
    return list(dict.fromkeys(entry["layer"] for entry in workspace.session.cells))


def _layers(workspace: Workspace, ids: Iterable[str]) -> list[Layer]:
    layers = []
    for layer_id in ids:
        with contextlib.suppress(NotFoundError):  # removed by another process
            layers.append(workspace.store.layer(layer_id))
    return layers


def layers(workspace: Workspace) -> Facts:
    """Return the newest layers of a notebook as a tree (`views.tree`), and its image; `left_out`: how many are older.

    {"image", "image_layers", "head", "left_out", "rows": [{"id", "number", "depth", "code", "added", "changed",
    "deleted", "size", "status", "on_path"}]}; on_path: whether head stands on it or is it.
    """
    ids = _layer_ids(workspace)
    newest = _layers(workspace, ids[-MAX_LAYERS:])
    path = {layer.id for layer in workspace.store.chain(workspace.head)} if workspace.head else set()
    rows = []
    for layer, depth in views.tree(newest):
        number, code = layer.cell.get("number"), str(layer.cell.get("code", "")).strip().splitlines()
        changes = layer.changes
        row = {"id": layer.id[:12], "number": number or None, "depth": depth}
        row |= {"code": text(code[0]) if code else "", "status": text(layer.cell.get("status", ""))}
        row |= {"added": changes.added, "changed": changes.changed, "deleted": changes.deleted}
        row |= {"size": format_size(changes.bytes), "on_path": layer.id in path}
        rows.append(row)
    return {
        "image": workspace.image.id[:12],
        "image_layers": len(workspace.image.layers),
        "head": workspace.head[:12] if workspace.head else None,
        "left_out": max(0, len(ids) - MAX_LAYERS),
        "rows": rows,
    }


def namespaces(cell: Mapping[str, Any] | None, before: Mapping[str, Any] | None, inside: Inside) -> Facts:
    """Return the eight namespaces of a cell beside the host's and those of the cell before it.

    cell, before: `number`, `container` and `namespaces` as in a cell's record. inside: the container that was looked
    into, and what was seen (`lines`). {"number", "container", "before", "inside_of", "rows": [{"kind", "isolates",
    "inode", "host", "before", "inside": [line]}]}; a number that is not known is None.
    """
    host, own = host_inodes(), cell["namespaces"] if cell else {}
    previous = before["namespaces"] if before else {}
    rows = [
        {
            "kind": kind,
            "isolates": isolates,
            "inode": own.get(kind),
            "host": host.get(kind),
            "before": previous.get(kind),
            "inside": list(inside[1].get(kind, ())),
        }
        for kind, isolates in ISOLATES.items()
    ]
    return {
        "number": cell["number"] if cell else None,
        "container": cell["container"] if cell else None,
        "before": before["number"] if before else None,
        "inside_of": inside[0],
        "rows": rows,
    }


def lines(namespace: Namespace) -> list[str]:
    """Return what is visible inside of a namespace, a line for each thing."""
    inside = namespace.inside
    found = {
        "user": lambda: [
            f"{kind} {first}" + (f" to {first + count - 1}" if count > 1 else "")
            for kind in ("uid", "gid")
            for first, _, count in inside[f"{kind}_map"]
        ],
        "mnt": lambda: [f"{mount['target']} ({mount['type']})" for mount in inside["mounts"]],
        "pid": lambda: [f"{inside['processes']} process{'' if inside['processes'] == 1 else 'es'}"],
        "net": lambda: [
            f"{one['name']} {', '.join(one['addresses']) if one['up'] else 'down'}".strip()
            for one in inside["interfaces"]
        ],
        "uts": lambda: [f"hostname {inside['hostname']}"],
        "time": lambda: [f"{clock} clock {offset:+g} s" for clock, offset in inside["offsets"].items()],
    }.get(namespace.kind, list)()
    more = len(found) - MAX_LINES
    return [text(line) for line in found[:MAX_LINES]] + ([f"and {more} more"] if more > 0 else [])


def used(record: Mapping[str, Any]) -> Facts:
    """Return what a cell that is over has used: bytes, seconds, its limits and who held them."""
    limits = record["limits"]
    return {
        "number": record["execution_count"],
        "container": record["container"],
        "running": False,
        "seconds": record["wall_seconds"],
        "status": record["status"],
        "memory": record["memory_peak_bytes"],
        "cpu_seconds": record["cpu_seconds"],
        "pids": None,
        "limits": {name: limits[name] for name in _LIMITS},
        "held_by": limits["enforced_by"],
    }


def now(number: int, taken: Sample, limits: Mapping[str, Any], held_by: Mapping[str, str], seconds: float) -> Facts:
    """Return what a cell that runs uses, in the form of `used`.

    limits, held_by: of its container, which may change meanwhile. seconds: of wall time.
    """
    return {
        "number": number,
        "container": taken.id,
        "running": True,
        "seconds": round(seconds, 1),
        "status": "running",
        "memory": taken.memory,
        "cpu_seconds": round(taken.cpu_seconds, 3),
        "pids": taken.pids,
        "limits": {name: limits.get(name) for name in _LIMITS},
        "held_by": dict(held_by),
    }


def wanted(limits: Limits) -> dict[str, str]:
    """Return the limits of the following cells as a person writes them; nothing for what is unlimited."""
    return {
        "memory": "" if limits.memory is None else _size(limits.memory),
        "cpus": "" if limits.cpus is None else f"{limits.cpus:g}",
        "pids": "" if limits.pids is None else str(limits.pids),
        "timeout": "" if limits.timeout is None else f"{limits.timeout:g}",
    }


def _size(size: int) -> str:
    """Return bytes as a person writes them, to a MiB."""
    return f"{size >> 30}g" if size % 2**30 == 0 else f"{size >> 20}m"


def seen(found: Sequence[Namespace]) -> dict[str, list[str]]:
    """Return what is visible inside of each namespace of a container, by kind.

    Views are saved with notebooks: of the ids only those inside are in them, not whose they are on this host.
    """
    return {namespace.kind: lines(namespace) for namespace in found}


async def inside_the_next(workspace: Workspace) -> Inside:
    """Look into the container that waits for the next cell, since all of a notebook are made alike; it takes 30 ms."""
    tried = ""
    while (container := await workspace.next_container()) is not None and container.id != tried:
        tried = container.id
        with contextlib.suppress(CellstackError):  # it was used or thrown away just now
            return tried, seen(await asyncio.to_thread(look, container))
    return NOTHING_SEEN


def of_record(record: Mapping[str, Any] | None) -> Facts | None:
    """Return what `namespaces` takes of a cell's record; None for a cell that had no container."""
    if record is None or not record["namespaces"]:
        return None
    return {
        "number": record["execution_count"],
        "container": record["container"],
        "namespaces": record["namespaces"],
    }


def of_notebook(notebook: Notebook, inside: Inside) -> Facts:
    """Return what `namespaces` returns for the cell that runs, else for the last one."""
    run = notebook.executor.current
    if run is None or run.container is None:
        return namespaces(of_record(notebook.last), of_record(notebook.before), inside)
    cell = {
        "number": run.request.number,
        "container": run.container.id,
        "namespaces": run.container.namespaces,
    }
    return namespaces(cell, of_record(notebook.last), inside)
