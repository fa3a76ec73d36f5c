"""Going on with what an earlier kernel of the notebook has left: where it was, if it died; clean, if it was ended.

A kernel that a person restarts starts without variables, as in Jupyter. What was there before is not lost: the session
is the same one, so `%checkout` brings it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellstack_runtime.errors import CellstackError

if TYPE_CHECKING:
    from cellstack_kernel.notebook import News
    from cellstack_runtime.store import Layer, Session, Store


@dataclass(frozen=True, slots=True)
class Left:
    """What is gone on with. count: number of the last cell, inputs: (number, code) of each one up to it."""

    session: Session
    count: int
    inputs: list[tuple[int, str]]
    news: News | None


def take(store: Store, notebook: str | None, kernel: str) -> Left | None:
    """Return what an earlier kernel with this connection file or notebook has left, None when there is nothing."""
    session = store.left_session(notebook, kernel)
    if session is None:
        return None
    session.kernel = kernel
    ended, head = session.ended, session.head
    again = head is None and ended == "restart"
    if again:  # once more, before a cell was run: the way back is that of the first time
        head = next(reversed(session.previous_heads), None)
    try:
        chain = [] if head is None else store.chain(head)
    except CellstackError:
        if not again:
            raise
        chain = []  # nothing reaches what was there before, and it has been removed
    if head is None or not chain:
        return Left(session, 0, [], None)
    name, number = head[:12], next(filter(None, map(_number, reversed(chain))), 0)
    gone = not _has_image(store, session.image)
    if ended is None and not gone:
        text = (
            f"The kernel had died. It is back at the result of cell [{number}] (layer {name}): variables and files are "
            "as they were after it.\n"
        )
        inputs = [(_number(layer), str(layer.cell.get("code", ""))) for layer in chain if _number(layer)]
        return Left(session, number, inputs, ("stream", {"name": "stderr", "text": text}))
    if not again:
        session.previous_heads.append(head)
        session.head = None
    if gone:
        text = f"The image that this notebook's cells ran on is gone, and with it what was there before (layer {name})."
        return Left(session, 0, [], ("stream", {"name": "stderr", "text": f"{text}\n"}))
    if ended != "restart":
        return Left(session, 0, [], None)
    text = f"Restarted without variables. %checkout {name} brings back what was there before, after cell [{number}]."
    return Left(session, 0, [], ("display_data", {"data": {"text/plain": text}, "metadata": {}, "transient": {}}))


def _number(layer: Layer) -> int:
    number = layer.cell.get("number")
    return number if isinstance(number, int) else 0


def _has_image(store: Store, image: str) -> bool:
    try:
        store.image(image)
    except CellstackError:
        return False
    return True
