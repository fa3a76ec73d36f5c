"""What a layer's state directory says: `<state_root>/<layer>/manifest.json`, `pickles`, `buffers`.

The manifest is complete: one manifest is enough to find every variable of its layer. What earlier cells saved and
this one did not touch is named by the file in the earlier layer's directory, as "<layer>/<file>".

    {"version": 1,
     "layers": [<layer>, …],                     all layers whose files are referred to
     "components": {<id>: {"keys": […],          "name", "class:<definition>" or "provide:<name>"
                           "types": {name: type},
                           "pickle": EXTENT, "digest": hex,
                           "buffers": [{"at": EXTENT, "patch": EXTENT, "pages": [[first, count], …]}, …],
                           "needs": [<definition>, …],    classes the pickle refers to
                           "reach": […] | null}},         globals its functions use; null: any
     "definitions": {<id>: {"component": <id>, "skeleton": EXTENT, "bases": [<definition>, …]}},
     "tombstones": {name: {"why": …, "cell": …}},
     "ambient": {name: [EXTENT, digest]}, "extra": {name: [EXTENT, digest]}}

EXTENT is ["<layer>/<file>", offset, bytes]. A component is a set of variables that share objects; it is written
and read as a whole.
"""

from __future__ import annotations

import json
import os
from typing import Any, NotRequired, TypedDict

VERSION = 1
MANIFEST, PICKLES, BUFFERS = "manifest.json", "pickles", "buffers"
CLASS, PROVIDE = "class:", "provide:"
ALIGNMENT = 4096

Extent = list[Any]
Saved = dict[str, tuple[Extent, str]]


class StateError(Exception):
    """A saved state that cannot be read at all."""


class Buffer(TypedDict):
    """Memory kept outside of a pickle: bytes of a file, and pages that differ from them."""

    at: Extent
    patch: NotRequired[Extent]
    pages: NotRequired[list[list[int]]]


class Component(TypedDict):
    """Variables and classes that share objects, in one pickle (a dict of key to value)."""

    keys: list[str]
    types: dict[str, str]
    pickle: Extent
    digest: str
    buffers: list[Buffer]
    needs: list[str]
    reach: list[str] | None


class Definition(TypedDict):
    """Where a class is: its empty form, and the component that has its attributes."""

    component: str
    skeleton: Extent
    bases: list[str]


class Manifest(TypedDict):
    """The state of one layer, as it is in the file: what most cells do not look at is not taken apart."""

    version: int
    layers: list[str]
    components: dict[str, Component]
    definitions: dict[str, Definition]
    tombstones: dict[str, dict[str, str]]
    ambient: Saved
    extra: Saved


def empty() -> Manifest:
    """Return the manifest of a notebook in which nothing ran."""
    return {
        "version": VERSION,
        "layers": [],
        "components": {},
        "definitions": {},
        "tombstones": {},
        "ambient": {},
        "extra": {},
    }


def owners(manifest: Manifest) -> dict[str, str]:
    """Return the component of every key."""
    return {key: name for name, component in manifest["components"].items() for key in component["keys"]}


def read(state_root: str, layer: str) -> Manifest:
    """Return the manifest of a layer. StateError when it cannot be read or is from a newer version."""
    path = os.path.join(state_root, layer, MANIFEST)
    try:
        with open(path, "rb", buffering=0) as file:
            manifest: Manifest = json.loads(file.read())
        version = manifest["version"]
        if version == VERSION and empty().keys() == manifest.keys():
            return manifest
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"the variables of layer {layer} cannot be read: {type(error).__name__}: {error}") from error
    raise StateError(f"variables of layer {layer} were saved in format {version}; this version reads {VERSION}")


def write(manifest: Manifest, directory: str) -> None:
    """Write the manifest into a layer's state directory."""
    files = {extent[0] for extent in _extents(manifest)}
    manifest["layers"] = sorted({file.partition("/")[0] for file in files})
    text = json.dumps(manifest, separators=(",", ":")).encode()
    with open(os.path.join(directory, MANIFEST), "wb", buffering=0) as file:
        file.write(text)


def _extents(manifest: Manifest) -> list[Extent]:
    extents = [definition["skeleton"] for definition in manifest["definitions"].values()]
    extents += [extent for extent, _ in (*manifest["ambient"].values(), *manifest["extra"].values())]
    for component in manifest["components"].values():
        extents.append(component["pickle"])
        for buffer in component["buffers"]:
            extents += [buffer["at"], buffer.get("patch", buffer["at"])]
    return extents


class LayerWriter:
    """Writes one layer's state directory, which comes into being with the first thing written."""

    def __init__(self, layer: str, directory: str) -> None:
        self._layer = layer
        self._directory = directory
        self._files: dict[str, Any] = {}

    @property
    def used(self) -> bool:
        """Whether anything was written."""
        return bool(self._files)

    def pickle(self, data: bytes | memoryview) -> Extent:
        """Append a pickle."""
        file = self._file(PICKLES)
        offset = file.tell()
        file.write(data)
        return [f"{self._layer}/{PICKLES}", offset, len(data)]

    def buffer(self, *parts: memoryview) -> Extent:
        """Append bytes that start on a page, so that they can be mapped."""
        file = self._file(BUFFERS)
        offset = -(-file.tell() // ALIGNMENT) * ALIGNMENT
        file.seek(offset)
        for part in parts:
            file.write(part)
        return [f"{self._layer}/{BUFFERS}", offset, sum(map(len, parts))]

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest and close the files."""
        os.makedirs(self._directory, exist_ok=True)
        self.close()
        write(manifest, self._directory)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def _file(self, name: str) -> Any:
        file = self._files.get(name)
        if file is None:
            os.makedirs(self._directory, exist_ok=True)
            file = self._files[name] = open(os.path.join(self._directory, name), "wb")  # noqa: SIM115
        return file
