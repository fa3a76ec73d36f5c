"""What `%layers`, `%namespaces`, `%cgroup` and `%dashboard` show where nothing is live: a text and a picture."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cellstack_kernel import views
from cellstack_kernel.widgets import facts, pictures
from cellstack_runtime.errors import CellstackError
from cellstack_runtime.limits import format_size
from cellstack_runtime.namespaces import host_inodes

if TYPE_CHECKING:
    from cellstack_kernel.notebook import Notebook


async def layers(notebook: Notebook) -> views.Shown:
    """Return the layers of a notebook."""
    workspace = notebook.workspace
    text, _ = views.layers(facts.found(workspace), workspace.head, workspace.image.id)
    return text, pictures.layers(await asyncio.to_thread(facts.layers, workspace))


async def namespaces(notebook: Notebook) -> views.Shown:
    """Return the namespaces of the last cell. CellstackError when none has run."""
    text, _ = views.namespaces(_last(notebook)["namespaces"], host_inodes())
    inside = await facts.inside_the_next(notebook.workspace)
    return text, pictures.namespaces(facts.of_notebook(notebook, inside))


async def cgroup(notebook: Notebook) -> views.Shown:
    """Return what the last cell has used. CellstackError when none has run."""
    last = _last(notebook)
    limits = last["limits"]
    held = limits["enforced_by"]
    memory = "unlimited" if limits["memory"] is None else format_size(limits["memory"])
    rows = [
        ("memory", format_size(last["memory_peak_bytes"]) + " at its peak", memory, held["memory"]),
        ("cpu", f"{last['cpu_seconds']:.3f} s", _or_unlimited(limits["cpus"]), held.get("cpu", "")),
        ("pids", "", _or_unlimited(limits["pids"]), held.get("pids", "")),
        ("wall time", f"{last['wall_seconds']:.3f} s", _or_unlimited(limits["timeout"]), "kernel"),
    ]
    title = _own_part(last["host"]["cgroup"])
    text, _ = views.table(("RESOURCE", "USED", "LIMIT", "HELD BY"), rows, title=title)
    return text, pictures.cgroup(facts.used(last), title)


async def dashboard(notebook: Notebook) -> views.Shown:
    """Return all of these, and the limits of the following cells."""
    parts = [await layers(notebook), views.limits(notebook.workspace.limits)]
    if notebook.last is not None and notebook.last["namespaces"]:
        parts += [await namespaces(notebook), await cgroup(notebook)]
    return views.stacked(*parts)


def _last(notebook: Notebook) -> dict[str, Any]:
    if not notebook.last:
        raise CellstackError("no cell has run yet", hint="Run one, then ask again")
    return notebook.last


def _own_part(group: str | None) -> str:
    """Return what of a cgroup's path is ours; where it hangs is the machine's business and not the notebook's."""
    return "no cgroup" if group is None else f"cgroup …{group[group.rfind('/cellstack-') :]}"


def _or_unlimited(value: float | None) -> str:
    return "unlimited" if value is None else f"{value:g}"
