"""REF, the way a person names a layer: an id, a cell number, a tag, head~2."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from cellstack_runtime.errors import NotFoundError, UsageError
from cellstack_runtime.store.tags import split_reference

if TYPE_CHECKING:
    from cellstack_runtime.workspace import Workspace

IMAGE = "image"


_HEAD = re.compile(r"head(?:~(\d+)|(~*))")
_CELL = re.compile(r"\[(\d{1,6})\]|(\d{1,6})")


def is_taken(name: str) -> bool:
    """Tell whether `resolve` takes a name for something else than a tag."""
    return name == IMAGE or _HEAD.fullmatch(name) is not None or _CELL.fullmatch(name) is not None


def resolve(workspace: Workspace, ref: str) -> str | None:
    """Return the layer that `ref` names, None for the image itself.

    `ref` is a cell number (`3` or `[3]`: the newest layer of that cell, on the way to head before elsewhere), `head`,
    `head~2`, `image`, a tag (of an image that %tag has made of a layer) or a layer id prefix. NotFoundError or
    UsageError when it names none or several.
    """
    if ref == IMAGE:
        return None
    if match := _HEAD.fullmatch(ref):
        return back(workspace, int(match[1]) if match[1] else len(match[2] or ""))
    if match := _CELL.fullmatch(ref):
        return _of_cell(workspace, int(match[1] or match[2]))
    if (image := _tagged(workspace, ref)) is not None:
        if image == workspace.image.id:
            return None
        top = workspace.store.image(image).layers[-1:]
        if not top or workspace.store.layer(top[0]).image is None:
            raise UsageError(f"{ref} is an image on which no cell has run", hint=f"%image {ref} goes on from it")
        return top[0]
    return workspace.store.find_layer(ref).id


def _tagged(workspace: Workspace, ref: str) -> str | None:
    """Return the id of the image with the tag `ref`, None when there is none."""
    with contextlib.suppress(UsageError):  # not what a tag looks like
        return workspace.store.tags().get(":".join(split_reference(ref)))
    return None


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
