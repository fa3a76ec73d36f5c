"""What a layer's state directory says: `<state_root>/<layer>/manifest`, `pickles`, `buffers`.

The manifest is complete: one manifest is enough to find every variable of its layer. What earlier cells saved and
this one did not touch is named by the file in the earlier layer's directory, as "<layer>/<file>". Its first line:

    {"version": 2,
     "layers": [<layer>, …],                     all layers whose files are referred to
     "keys": {key: line, …},                     of a component: "name", "class:<definition>" or "provide:<name>"
     "needs": {<component>: [<definition>, …]},  the classes that a pickle refers to, if any
     "borrows": {<component>: [<layer>, …]},     the layers whose buffers it refers to besides its own, if any
     "definitions": {<id>: {"component": <component>, "skeleton": EXTENT, "bases": [<definition>, …]}},
     "tombstones": {name: {"why": …, "cell": …}},
     "ambient": {name: [EXTENT, digest]}, "extra": {name: [EXTENT, digest]},
     "comms": {key: target}}                     of the keys that are comms, what they were opened for

and one line for each component, which most cells copy as they are:

    <layer>/<number> ["<digest of the pickle>", offset, bytes of the record, bytes of the pickle]

Record and pickle are one behind the other in the layer's "pickles". The record is what only loading needs:

    {"types": {name: type},
     "buffers": [{"at": EXTENT, "patch": EXTENT, "pages": [[first, count], …]}, …],
     "reach": […] | null}                        globals its functions use; null: any

EXTENT is ["<layer>/<file>", offset, bytes]. A component is a set of variables that share objects; it is written
and read as a whole.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

# Not `json.dumps` and `json.loads`, in whose place a cell may put other functions.
encode, decode = json.JSONEncoder(separators=(",", ":")).encode, json.JSONDecoder().decode

VERSION = 2
MANIFEST, PICKLES, BUFFERS = "manifest", "pickles", "buffers"
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


@dataclass(slots=True)
class Components:
    """Variables and classes that share objects, in one pickle each (a dict of key to value).

    texts: JSON of where a component is, [digest, offset, bytes of the record, bytes of the pickle]. owners: the
    component of every key. needs, borrows: as in the file.
    """

    texts: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    needs: dict[str, list[str]] = field(default_factory=dict)
    borrows: dict[str, list[str]] = field(default_factory=dict)

    def copy(self) -> Components:
        """Return a copy that can be changed."""
        return Components(dict(self.texts), dict(self.owners), dict(self.needs), dict(self.borrows))

    def put(self, name: str, keys: Iterable[str], text: str, needs: list[str], borrows: list[str]) -> None:
        """Add a component."""
        self.texts[name] = text
        self.owners.update(dict.fromkeys(keys, name))
        if needs:
            self.needs[name] = needs
        if borrows:
            self.borrows[name] = borrows

    def drop(self, names: AbstractSet[str]) -> None:
        """Take components away."""
        self._forget(names)
        if names:
            self.owners = {key: owner for key, owner in self.owners.items() if owner not in names}

    def drop_keys(self, keys: AbstractSet[str]) -> None:
        """Take keys away, and with its last one each component."""
        names = {self.owners.pop(key) for key in keys & self.owners.keys()}
        if names:
            self._forget(names - set(self.owners.values()))

    def _forget(self, names: AbstractSet[str]) -> None:
        for parts in (self.texts, self.needs, self.borrows):
            for name in names & parts.keys():
                del parts[name]

    def keys(self, names: AbstractSet[str]) -> dict[str, list[str]]:
        """Return the keys of components."""
        found: dict[str, list[str]] = {name: [] for name in names}
        for key, owner in self.owners.items():
            if owner in found:
                found[owner].append(key)
        return found

    def digest(self, name: str) -> str:
        """Return the digest of a component's pickle."""
        return str(decode(self.texts[name])[0])

    def spans(self, name: str) -> list[tuple[int, int]]:
        """Return offset and bytes of a component's record and of its pickle."""
        _, offset, record, pickle = decode(self.texts[name])
        return [(offset, record), (offset + record, pickle)]

    def with_digest(self, name: str, digest: str) -> str:
        """Return the text of a component with the digest of another pickle that gives the same values."""
        return encode([digest, *decode(self.texts[name])[1:]])


class Record(TypedDict):
    """What the loading of a component needs besides its pickle. flat: whether it is a list of atoms."""

    types: dict[str, str]
    buffers: list[Buffer]
    reach: list[str] | None
    flat: NotRequired[bool]


class Definition(TypedDict):
    """Where a class is: its empty form, and the component that has its attributes."""

    component: str
    skeleton: Extent
    bases: list[str]


class Manifest(TypedDict):
    """The state of one layer, as it is in the file: what most cells do not look at is not taken apart."""

    components: Components
    definitions: dict[str, Definition]
    tombstones: dict[str, dict[str, str]]
    ambient: Saved
    extra: Saved
    comms: dict[str, str]


def empty() -> Manifest:
    """Return the manifest of a notebook in which nothing ran."""
    return {
        "components": Components(),
        "definitions": {},
        "tombstones": {},
        "ambient": {},
        "extra": {},
        "comms": {},
    }


def read(state_root: str, layer: str) -> Manifest:
    """Return the manifest of a layer. StateError when it cannot be read or is from a newer version."""
    path = os.path.join(state_root, layer, MANIFEST)
    try:
        with open(path, "rb", buffering=0) as file:
            head, *lines = file.read().decode().split("\n")
        read: dict[str, Any] = decode(head)
        version = read.pop("version")
        if version == VERSION:
            texts = dict(line.split(" ", 1) for line in lines)
            names = list(texts)
            owners = {key: names[line] for key, line in read.pop("keys").items()}
            read["components"] = Components(texts, owners, read.pop("needs"), read.pop("borrows"))
            return cast("Manifest", empty() | read)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        text = f"the variables of layer {layer} cannot be read: {type(error).__name__}: {error}. %undo leaves it"
        raise StateError(text) from error
    raise StateError(f"variables of layer {layer} were saved in format {version}; this version reads {VERSION}")


def write(manifest: Manifest, directory: str) -> None:
    """Write the manifest into a layer's state directory."""
    components = manifest["components"]
    layers = {extent[0].partition("/")[0] for extent in _extents(manifest)}
    layers.update(name.partition("/")[0] for name in components.texts)
    layers.update(*components.borrows.values())
    lines = dict(zip(components.texts, range(len(components.texts)), strict=True))
    head = {
        "version": VERSION,
        "layers": sorted(layers),
        "keys": {key: lines[name] for key, name in components.owners.items()},
        "needs": components.needs,
        "borrows": components.borrows,
        **{name: value for name, value in manifest.items() if name != "components"},
    }
    text = "\n".join([encode(head), *map(" ".join, components.texts.items())])
    with open(os.path.join(directory, MANIFEST), "wb", buffering=0) as file:
        file.write(text.encode())


def _extents(manifest: Manifest) -> list[Extent]:
    extents = [definition["skeleton"] for definition in manifest["definitions"].values()]
    return extents + [extent for extent, _ in (*manifest["ambient"].values(), *manifest["extra"].values())]


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

    @property
    def free(self) -> int:
        """The bytes that are free on the disk that this writes to."""
        folder = self._directory
        while not os.path.exists(folder):
            folder = os.path.dirname(folder) or "."
        disk = os.statvfs(folder)
        return disk.f_bavail * disk.f_frsize

    def pickle(self, data: bytes | memoryview) -> Extent:
        """Append a pickle."""
        file = self._file(PICKLES)
        offset = file.tell()
        file.write(data)
        return [f"{self._layer}/{PICKLES}", offset, len(data)]

    def component(self, record: Record, data: bytes | memoryview, digest: str) -> str:
        """Append the record of a component and its pickle; return the text of the component."""
        text = encode(record).encode()
        _, offset, _ = self.pickle(text)
        self.pickle(data)
        return encode([digest, offset, len(text), len(data)])

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
