"""What uses an image, and removing one that nothing uses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cellstack_runtime.errors import CellstackError, NotFoundError, StoreError
from cellstack_runtime.live import live_containers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellstack_runtime.store.store import Store


def sessions_on(store: Store, image_id: str) -> list[str]:
    """Return the sessions whose next cell runs on an image, or which have a layer that stands on it."""
    return [
        session.id
        for session in store.sessions()
        if session.image == image_id or _stands_on(store, (str(cell.get("layer")) for cell in session.cells), image_id)
    ]


def remove_unused_image(store: Store, image_id: str) -> None:
    """Remove an image with its tags; its layers go with the next `collect`. NotFoundError when there is none.

    CellstackError says what uses it: a session, another image, a container.
    """
    with store.locked("collect"):
        short = store.image(image_id).id[:12]
        sessions = sessions_on(store, image_id)
        images = [other.id for _, other in store.images() if _stands_on(store, other.layers, image_id)]
        containers = [one.id for one in live_containers(store.home) if one.image == image_id]
        for what, users in (("container", containers), ("session", sessions), ("image", images)):
            if users:
                count = f"{len(users)} {what}{'' if len(users) == 1 else 's'}"
                raise CellstackError(
                    f"image {short} is in use by {count}: {', '.join(name[:12] for name in users[:3])}",
                    hint="`cellstack prune --all` removes sessions without a notebook, and what only they use",
                )
        store.remove_image(image_id)


def _stands_on(store: Store, layers: Iterable[str], image_id: str) -> bool:
    for layer in layers:
        with contextlib.suppress(NotFoundError, StoreError):  # pruned, or damaged
            if store.layer(layer).image == image_id:
                return True
    return False
