"""REF, the way a person names a layer: an id, a cell number, head~2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cellstack_runtime.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from cellstack_runtime.workspace import Workspace

IMAGE = "image"


def resolve(workspace: Workspace, ref: str) -> str | None:
    """Return the layer that `ref` names, None for the image itself.

    `ref` is a layer id prefix, a cell number (`3` or `[3]`: the newest layer of that cell, on the way to head
    before elsewhere), `head`, `head~2` or `image`. NotFoundError or UsageError when it names none or several.
    """
    if ref == IMAGE:
        return None
    if match := re.fullmatch(r"head(?:~(\d+)|(~*))", ref):
        return back(workspace, int(match[1]) if match[1] else len(match[2] or ""))
    if match := re.fullmatch(r"\[?(\d{1,6})\]?", ref):
        return _of_cell(workspace, int(match[1]))
    return workspace.store.find_layer(ref).id


def back(workspace: Workspace, count: int) -> str | None:
    """Return the layer `count` cells below head, None when that is the image."""
    chain = workspace.store.chain(workspace.head) if workspace.head else []
    if count > len(chain):
        raise UsageError(
            f"head has {len(chain)} layer{'' if len(chain) == 1 else 's'} below it, not {count}",
            hint="%layers shows them; `image` names what is below all",
        )
    return chain[-1 - count].id if count < len(chain) else None


def _of_cell(workspace: Workspace, number: int) -> str:
    chain = workspace.store.chain(workspace.head) if workspace.head else []
    on_the_way = [layer.id for layer in chain if layer.cell.get("number") == number]
    elsewhere = [entry["layer"] for entry in workspace.session.cells if entry.get("number") == number]
    found = on_the_way or elsewhere
    if not found:
        raise NotFoundError(f"no layer of cell [{number}]", hint="%layers shows what there is")
    return str(found[-1])
