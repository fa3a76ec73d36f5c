"""The store: layers, images, tags and sessions on disk, shared by any number of processes."""

from __future__ import annotations

from cellstack_runtime.store.records import PARTS, Changes, Image, Layer, Part
from cellstack_runtime.store.session import Session
from cellstack_runtime.store.store import Store

__all__ = ["PARTS", "Changes", "Image", "Layer", "Part", "Session", "Store"]
