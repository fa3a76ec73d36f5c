"""What the store's JSON files say: frozen values, checked when they are read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any, Literal

from cellstack_runtime.errors import StoreError

Part = Literal["root", "work"]
PARTS: tuple[Part, Part] = ("root", "work")
_LAYER_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "parent": (str, type(None)),
    "image": (str, type(None)),
    "created": (str,),
    "root": (bool,),
    "work": (bool,),
    "changes": (dict,),
    "state": (str, type(None)),
    "cell": (dict,),
    "digest": (str, type(None)),
}
_IMAGE_TYPES: dict[str, tuple[type, ...]] = {
    "layers": (list,),
    "config": (dict,),
    "created": (str,),
    "size": (int,),
}
_CHANGES = ("added", "changed", "deleted", "bytes")


@dataclass(frozen=True, slots=True)
class Changes:
    """How many entries a layer adds, changes and deletes, and the bytes of its files."""

    added: int = 0
    changed: int = 0
    deleted: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """An immutable set of file changes with a parent; `layers/<id>/layer.json`.

    id: 32 lowercase hex digits. parent: the cell layer below, None directly on the image. image: id of the
    image the stack stands on, None for an image's own layers. created: ISO 8601, UTC. root, work: whether
    that part has any entry. state: the layer whose saved variables belong to this one. cell: the cell run's
    record, free JSON. digest: "sha256:…" of the layer as a deterministic tar, None until it is computed.
    """

    id: str
    parent: str | None
    image: str | None
    created: str
    root: bool
    work: bool
    changes: Changes
    state: str | None
    cell: dict[str, Any]
    digest: str | None

    @property
    def memory_peak_bytes(self) -> int | None:
        """The most memory that the cell had, None where nobody counted it."""
        peak = self.cell.get("memory_peak_bytes")
        return peak if type(peak) is int and peak > 0 else None

    def has(self, part: Part) -> bool:
        """Return whether `part` has any entry."""
        return self.root if part == "root" else self.work

    def to_json(self) -> str:
        """Return the text of `layer.json`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # asdict copies, and is slow
        values["changes"] = {name: getattr(self.changes, name) for name in _CHANGES}
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def from_json(cls, layer_id: str, text: str | bytes) -> Layer:
        """Return the layer that `text` describes; StoreError when it is not the record of `layer_id`."""
        what = f"layer {layer_id[:12]}"
        data = _parse(what, text, _LAYER_TYPES)
        if data["id"] != layer_id:
            raise _corrupt(what, f"its record names layer {data['id'][:12]!r}")
        changes = data["changes"]
        if any(type(changes.get(name)) is not int for name in _CHANGES):
            raise _corrupt(what, "its changes are not four numbers")
        return cls(**{**data, "changes": Changes(**{name: changes[name] for name in _CHANGES})})


@dataclass(frozen=True, slots=True)
class Image:
    """A stack of layers and how to run them; `images/<id>.json`.

    id: hex sha256 of the record. layers: ids, bottom first. config: as in the OCI image spec ("Env", "Cmd",
    "WorkingDir"), with "cellstack": {"python": …, "key": …} for images that run cells. size: bytes.
    """

    id: str
    layers: tuple[str, ...]
    config: dict[str, Any]
    created: str
    size: int

    @classmethod
    def make(cls, layers: tuple[str, ...], config: dict[str, Any], created: str, size: int) -> Image:
        """Return the image with the id that its record has."""
        image = cls("", layers, config, created, size)
        return cls(hashlib.sha256(image.to_json().encode()).hexdigest(), layers, config, created, size)

    def to_json(self) -> str:
        """Return the text of the image's record: canonical, so that its hash is the id."""
        data = {name: getattr(self, name) for name in _IMAGE_TYPES}
        return json.dumps(data, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, image_id: str, text: str | bytes) -> Image:
        """Return the image that `text` describes; StoreError when it is not the record of `image_id`."""
        what = f"image {image_id[:12]}"
        raw = text.encode() if isinstance(text, str) else text
        if hashlib.sha256(raw).hexdigest() != image_id:
            raise _corrupt(what, "its record does not have the hash that names it")
        data = _parse(what, text, _IMAGE_TYPES)
        if not all(isinstance(layer, str) for layer in data["layers"]):
            raise _corrupt(what, "its layers are not a list of ids")
        return cls(id=image_id, **{**data, "layers": tuple(data["layers"])})


def _corrupt(what: str, why: str) -> StoreError:
    return StoreError(f"{what} is corrupt: {why}")


def _parse(what: str, text: str | bytes, types: dict[str, tuple[type, ...]]) -> dict[str, Any]:
    """Return the known members of the JSON object `text`, each of the type it must have."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _corrupt(what, f"its record is not JSON ({error})") from None
    if not isinstance(data, dict):
        raise _corrupt(what, "its record is not a JSON object")
    for name, accepted in types.items():
        if name not in data:
            raise _corrupt(what, f"{name!r} is missing from its record")
        if type(data[name]) not in accepted:
            raise _corrupt(what, f"{name!r} is a {type(data[name]).__name__}")
    return {name: data[name] for name in types}
