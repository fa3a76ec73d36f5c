"""Sessions, layers and images of the store as the panel gets them. Everything here may wait for the disk."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from cellstack_lab.values import MAX_CODE, choice, number, plain, text, whole
from cellstack_runtime.errors import NotFoundError, StoreError
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellstack_runtime.store import Image, Layer, Session

ENDINGS = ("ok", "error")
CACHE = ("hit", "miss", "off")


class Reader:
    """Reads the store at `home` for one request.

    root: the server's folder. kernels: the ids of its kernels by their connection files.
    """

    def __init__(self, home: str, root: str, kernels: Mapping[str, str]) -> None:
        self.store = Store(home)  # a new one sees what others have removed meanwhile
        self._named, self._root = (path.rstrip("/") for path in (os.path.abspath(root), os.path.realpath(root)))
        self._kernels = kernels

    # -- sessions ----------------------------------------------------------------------------------------------

    def sessions(self) -> dict[str, Any]:
        """Return all sessions, newest first."""
        return {"sessions": [self.session(one) for one in self.store.sessions()]}

    def session(self, session: Session) -> dict[str, Any]:
        """Return a SESSION."""
        return {
            "id": session.id,
            "notebook": self.notebook(session),
            "image": session.image,
            "head": session.head,
            "live": session.is_live(),
            "created": session.created,
            "cells": len(session.cells),
            "kernel_id": self._kernels.get(os.path.realpath(session.kernel)) if session.kernel else None,
        }

    def notebook(self, session: Session) -> str | None:
        """Return where a session's notebook is in the server's folder; None when it is not there."""
        if session.notebook is None:
            return None
        for path, root in ((session.notebook, self._named), (os.path.realpath(session.notebook), self._root)):
            if path.startswith(f"{root}/"):  # as it is named: a link in the server's folder may lead out of it
                return text(path[len(root) + 1 :], 4096)
        return None

    def layers(self, session_id: str) -> dict[str, Any]:
        """Return the layers of a session, oldest first, and what they stand on."""
        session = self.store.session(session_id)
        chain = self._chain(session.head)
        found = {layer.id: layer for layer in chain}
        for entry in session.cells:
            with contextlib.suppress(NotFoundError, StoreError):  # pruned, or damaged
                layer = self.store.layer(str(entry.get("layer")))
                found[layer.id] = layer
        tags, others = self._tags(), self._others(session.id)
        hits = {entry.get("layer") for entry in session.cells if entry.get("cache") == "hit"}
        path = {layer.id for layer in chain}
        return {
            "session": self.session(session),
            "head": session.head,
            "layers": [
                self._layer(layer, tags, others, hit=layer.id in hits, on_path=layer.id in path)
                for layer in sorted(found.values(), key=lambda layer: (layer.created, layer.id))
            ],
            "image": self.image(session.image),
        }

    def _chain(self, head: str | None) -> list[Layer]:
        with contextlib.suppress(NotFoundError, StoreError):  # what is damaged has no path
            return self.store.chain(head) if head is not None else []
        return []

    def layer(self, layer: Layer, session: Session | None) -> dict[str, Any]:
        """Return a LAYER as `session` has it."""
        hits = [entry for entry in session.cells if entry.get("layer") == layer.id] if session is not None else []
        path = {one.id for one in self._chain(session.head)} if session is not None else set()
        return self._layer(
            layer,
            self._tags(),
            self._others(session.id if session is not None else None),
            hit=any(entry.get("cache") == "hit" for entry in hits),
            on_path=layer.id in path,
        )

    def new_layer(self, layer: Layer) -> dict[str, Any]:
        """Return the LAYER that was just made, and that nothing but its session's head names."""
        return self._layer(layer, {}, {}, hit=False, on_path=True)

    def _layer(
        self, layer: Layer, tags: Mapping[str, list[str]], others: Mapping[str, list[str]], *, hit: bool, on_path: bool
    ) -> dict[str, Any]:
        cell, changes = layer.cell, layer.changes
        return {
            "id": layer.id,
            "parent": layer.parent,
            "image": layer.image,
            "number": whole(cell.get("number")),
            "code": text(cell.get("code"), MAX_CODE),
            "created": layer.created,
            "changes": {"added": changes.added, "changed": changes.changed, "deleted": changes.deleted},
            "bytes": changes.bytes,
            "wall_seconds": number(cell.get("wall_seconds")),
            "cpu_seconds": number(cell.get("cpu_seconds")),
            "memory_peak_bytes": whole(cell.get("memory_peak_bytes")),
            "memory_limit": whole(cell.get("memory_limit")),
            "status": choice(cell.get("status"), *ENDINGS),
            "cache": "hit" if hit else choice(cell.get("cache"), *CACHE),
            "tags": tags.get(layer.id, []),
            "sessions": others.get(layer.id, []),
            "on_path": on_path,
        }

    def _tags(self) -> dict[str, list[str]]:
        """Return the tags of images by the layer on top of each."""
        found: dict[str, list[str]] = {}
        for reference, image in sorted(self.store.tags().items()):
            with contextlib.suppress(NotFoundError, StoreError):
                for layer in self.store.image(image).layers[-1:]:
                    found.setdefault(layer, []).append(text(reference))
        return found

    def _others(self, session_id: str | None) -> dict[str, list[str]]:
        """Return the sessions that have each layer, without `session_id`."""
        found: dict[str, list[str]] = {}
        for session in self.store.sessions():
            if session.id != session_id:
                for layer in {str(entry.get("layer")) for entry in session.cells}:
                    found.setdefault(layer, []).append(session.id)
        return found

    # -- images ------------------------------------------------------------------------------------------------

    def images(self) -> dict[str, Any]:
        """Return all images, newest first."""
        found = self.store.images()
        users = self._users()
        return {"images": [self._image(image, tags, users, found) for tags, image in found]}

    def image(self, image_id: str) -> dict[str, Any] | None:
        """Return an IMAGE; None when there is none with this id."""
        found = self.store.images()
        users = self._users()
        return next((self._image(image, tags, users, found) for tags, image in found if image.id == image_id), None)

    def image_history(self, image_id: str) -> dict[str, Any]:
        """Return an IMAGE with its layers, newest first, and its config."""
        image = self.store.image(image_id)
        return {
            **(self.image(image_id) or {}),
            "history": [self._step(layer_id) for layer_id in reversed(image.layers)],
            "config": plain(image.config),
        }

    def _step(self, layer_id: str) -> dict[str, Any]:
        layer = self.store.layer(layer_id)
        made_by = layer.cell.get("code") or layer.cell.get("created_by")
        return {
            "layer": layer.id,
            "created": layer.created,
            "bytes": layer.changes.bytes,
            "created_by": text(made_by, MAX_CODE),
        }

    def _users(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for session in self.store.sessions():
            found.setdefault(session.image, []).append(session.id)
        return found

    def _image(
        self,
        image: Image,
        tags: tuple[str, ...],
        users: Mapping[str, list[str]],
        everything: list[tuple[tuple[str, ...], Image]],
    ) -> dict[str, Any]:
        own = set(image.layers)
        shared = {other.id: len(own & set(other.layers)) for _, other in everything if other.id != image.id}
        return {
            "id": image.id,
            "tags": [text(tag) for tag in tags],
            "created": image.created,
            "size": image.size,
            "layers": list(image.layers),
            "in_use_by": users.get(image.id, []),
            "shared_layers": {other: count for other, count in shared.items() if count},
        }
