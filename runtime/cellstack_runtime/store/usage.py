"""How much disk space the store takes, and how much of it `collect` would give back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellstack_runtime.store import files
from cellstack_runtime.store.collect import MIN_AGE, garbage_paths, layer_paths, plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellstack_runtime.store.store import Store


@dataclass(frozen=True, slots=True)
class Usage:
    """One kind of things in the store.

    total: how many there are. active: how many of them something reaches. size: bytes on disk; files that two kinds
    share count in both. reclaimable: bytes that `collect(everything=True)` frees.
    """

    kind: str
    total: int
    active: int
    size: int
    reclaimable: int


def usage(store: Store, *, min_age: float = MIN_AGE) -> list[Usage]:
    """Return what images, cell layers, sessions, guest files and caches take. min_age: see `plan`."""
    home = store.home
    garbage = plan(store, everything=True, min_age=min_age)
    gone = garbage_paths(home, garbage)
    of_images = {layer.id for layer in store.layers() if layer.image is None}
    of_cells = set(os.listdir(f"{home}/layers")) - of_images
    cache = [name for _, _, names in os.walk(f"{home}/cache") for name in names]

    def row(kind: str, total: int, unreached: int, where: Iterable[str], freed: Iterable[str]) -> Usage:
        return Usage(kind, total, total - unreached, files.disk_bytes(where), files.disk_bytes(freed, freed=True))

    def folder(kind: str, name: str, unreached: int, freed: Iterable[str]) -> Usage:
        return row(kind, len(os.listdir(f"{home}/{name}")), unreached, [f"{home}/{name}"], freed)

    def trees(layers: Iterable[str]) -> list[str]:
        return [path for layer in layers for path in layer_paths(home, layer)]

    images, cells = ([name for name in garbage.layers if name in kind] for kind in (of_images, of_cells))
    return [
        row(
            "Images",
            len(os.listdir(f"{home}/images")),
            len(garbage.images),
            [f"{home}/images", *trees(of_images)],
            [*gone["images"], *trees(images)],
        ),
        row(
            "Layers",
            len(of_cells),
            len(cells),
            [*trees(of_cells), *(f"{home}/squashed/{name}" for name in garbage.squashed)],
            [*trees(cells), *gone["squashed"]],
        ),
        folder("Sessions", "sessions", len(garbage.sessions), [*gone["sessions"], *gone["states"]]),
        folder("Guest files", "guest", len(garbage.guests), gone["guests"]),
        row("Cache", len(cache), len(garbage.cached), [f"{home}/cache"], gone["cached"]),
    ]
