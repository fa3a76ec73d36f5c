"""The saved variables of a layer as far as the host looks at them: names, types, sizes, and whether they differ.

`cellstack_guest/manifest.py` has the format. The files have come out of a container and may be anything: they are read
as JSON of bounded size and checked; pickles and buffers are bytes, compared and never loaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from cellstack_runtime.errors import NotFoundError, StoreError
from cellstack_runtime.store.effort import Effort
from cellstack_runtime.store.files import MAX_COMPARED, have_same_bytes, open_regular
from cellstack_runtime.store.session import STATE_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cellstack_runtime.store.session import Session
    from cellstack_runtime.store.store import Store

VERSION = 2
MAX_HEAD = 4 << 20  # bytes; more than this in its first line is not a manifest
_MAX_MANIFEST = 16 << 20
_MAX_RECORDS = 64 << 20  # bytes of all records of a manifest
_MAX_TEXT = 4096
_MAX_OFFSET = 2**63 - 1
PROVIDE = "provide:"
COMM = "comm:"
PROVIDED = "cellstack.provide"
_SESSION = re.compile(r"[0-9a-f]{1,64}")
_LINE = re.compile(
    r'(?P<name>[0-9a-f]{32}/[0-9]{1,9}) \["(?P<digest>[0-9a-f]{32})",'
    r"(?P<offset>[0-9]{1,18}),(?P<record>[0-9]{1,8}),(?P<data>[0-9]{1,18})\]"
)
RESULT = re.compile(r"_[0-9]+")  # what IPython binds results to; left out of listings, as in its %who
_BUFFERS = re.compile(r"[0-9a-f]{32}/buffers")


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes of a file: "<layer>/buffers", below the directory of a session's variables."""

    file: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory kept outside of a pickle. patch: bytes that are put over those of `at`, if any."""

    at: Extent
    patch: Extent | None


@dataclass(frozen=True, slots=True)
class Component:
    """Variables that share objects and are saved as one. root: the directory of the session's variables.

    name: "<layer>/<number>". digest: that of the pickle, without buffers. size: bytes of the pickle and all buffers.
    variables: their names.
    """

    root: str
    name: str
    digest: str
    size: int
    buffers: tuple[Buffer, ...]
    variables: tuple[str, ...]

    @property
    def layer(self) -> str:
        """The layer in which it was written last."""
        return self.name.partition("/")[0]

    def has_same_content(self, other: Component, effort: Effort) -> bool:
        """Return whether the values are the same, as far as bytes can tell.

        Buffers count as different when only one of them is a patch to another, or they are larger than 256 MiB or
        beyond `effort`.
        """
        if self.name == other.name or (self.digest, self.buffers) == (other.digest, other.buffers):
            return True  # a component is never written to again
        if self.digest != other.digest or len(self.buffers) != len(other.buffers):
            return False
        pairs = list(zip(self.buffers, other.buffers, strict=True))
        differing = [(a, b) for a, b in pairs if a != b]
        if sum(a.at.size for a, _ in differing) > MAX_COMPARED or any(a.patch or b.patch for a, b in differing):
            return False
        return all(have_same_bytes(self._place(a.at), other._place(b.at), effort) for a, b in differing)

    def _place(self, extent: Extent) -> tuple[str, int, int]:
        return f"{self.root}/{extent.file}", extent.offset, extent.size


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable. type: as in "pandas.DataFrame", or "cellstack.provide" for one that every cell makes anew."""

    name: str
    type: str
    component: Component

    def is_same(self, other: Variable, effort: Effort | None = None) -> bool:
        """Return whether type and content are the same, as far as bytes can tell with this effort."""
        return self.type == other.type and self.component.has_same_content(other.component, effort or Effort())


@dataclass(frozen=True, slots=True)
class NotCarried:
    """A variable that was not saved. why: the type to blame. cell: the one that made it, as in "[3]", or empty."""

    name: str
    why: str
    cell: str


@dataclass(frozen=True, slots=True)
class Variables:
    """All variables of a layer, by name."""

    saved: dict[str, Variable] = field(default_factory=dict)
    not_carried: dict[str, NotCarried] = field(default_factory=dict)


def variables_of(store: Store, session: Session, layer_id: str | None) -> Variables:
    """Return the variables of a layer, of `session` or of the one that made it; an image (None) has none.

    NotFoundError when they are not there, StoreError when they cannot be read.
    """
    place = _place_of(store, session, layer_id)
    return Variables() if place is None else read_variables(*place)


def comms_of(store: Store, session: Session, layer_id: str | None) -> dict[str, str]:
    """Return what the comms were opened for that a layer has kept, by their id; errors as of `variables_of`."""
    place = _place_of(store, session, layer_id)
    if place is None:
        return {}
    root, layer = place
    with _as_store_error(layer):
        head, _ = _manifest(root, layer)
        return {_text(key).removeprefix(COMM): _text(target) for key, target in _mapping(head.get("comms", {})).items()}


def _place_of(store: Store, session: Session, layer_id: str | None) -> tuple[str, str] | None:
    """Return the directory of a session's variables, and the layer in it that has those of `layer_id`, if any has."""
    layer = store.layer(layer_id) if layer_id is not None else None
    if layer is None or layer.state is None:
        return None
    root = session.state_root
    owner = layer.cell.get("session")
    if not os.path.isdir(session.state_dir(layer.state)) and isinstance(owner, str) and _SESSION.fullmatch(owner):
        root = f"{store.home}/sessions/{owner}/state"
    if not os.path.isdir(f"{root}/{layer.state}"):
        raise NotFoundError(f"the variables of layer {layer.id[:12]} are not in this store any more")
    return root, layer.state


def read_variables(root: str, layer: str) -> Variables:
    """Return what the manifest of `layer` in directory `root` names; StoreError when it is not in good order."""
    with _as_store_error(layer):
        return _read(root, layer)


@contextlib.contextmanager
def _as_store_error(layer: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise StoreError(f"the variables of layer {layer[:12]} cannot be read ({why})") from None


def _manifest(root: str, layer: str) -> tuple[dict[str, Any], list[str]]:
    """Return the first line of a manifest, and the others."""
    with open_regular(f"{root}/{layer}/{STATE_FILE}") as file:
        data = file.read(_MAX_MANIFEST + 1)
    first, *rest = data.decode().split("\n")
    if len(data) > _MAX_MANIFEST or len(first) > MAX_HEAD:
        _refuse("it is too large")
    head = _mapping(json.loads(first))
    if head["version"] != VERSION:
        _refuse(f"it was saved in a format other than {VERSION}")
    return head, rest


def _read(root: str, layer: str) -> Variables:
    head, rest = _manifest(root, layer)
    places = [_LINE.fullmatch(line) or _refuse("a component has no good order") for line in rest]
    keys: dict[int, list[str]] = {}
    for key, line in _mapping(head["keys"]).items():
        name = key.removeprefix(PROVIDE)
        if ":" not in name:  # else a class, or something set in a module
            keys.setdefault(_number(line, len(rest) - 1), []).append(key)
    saved: dict[str, Variable] = {}
    left = _MAX_RECORDS
    for line, members in sorted(keys.items()):
        place = places[line]
        left -= int(place["record"])
        if left < 0:
            _refuse("it is too large")
        names = tuple(_text(key.removeprefix(PROVIDE)) for key in members)
        component, types = _component(root, place, names)
        for key, name in zip(members, names, strict=True):
            saved[name] = Variable(name, PROVIDED if key.startswith(PROVIDE) else types[key], component)
    lost = [
        NotCarried(_title(key), _text(tombstone["why"]), _text(tombstone["cell"]))
        for key, tombstone in _mapping(head["tombstones"]).items()
    ]
    return Variables(saved, {entry.name: entry for entry in lost})


def _component(root: str, place: re.Match[str], names: tuple[str, ...]) -> tuple[Component, dict[str, str]]:
    """Return a component and the types of its variables, from the record before its pickle."""
    size = int(place["record"])
    with open_regular(f"{root}/{place['name'].partition('/')[0]}/pickles") as file:
        text = os.pread(file.fileno(), size, int(place["offset"]))
    record = json.loads(text)
    types = {name: _text(type_name) for name, type_name in _mapping(record["types"]).items()}
    buffers = tuple(
        Buffer(_extent(entry["at"]), _extent(entry["patch"]) if "patch" in _mapping(entry) else None)
        for entry in _sequence(record["buffers"])
    )
    total = int(place["data"]) + sum(buffer.at.size for buffer in buffers)
    return Component(root, place["name"], place["digest"], total, buffers, names), types


def _extent(value: Any) -> Extent:
    file, offset, size = _sequence(value)
    if not isinstance(file, str) or not _BUFFERS.fullmatch(file):
        raise ValueError("a buffer is in no layer")
    return Extent(file, _number(offset, _MAX_OFFSET), _number(size, _MAX_OFFSET))


def _refuse(why: str) -> NoReturn:
    raise ValueError(why)


def _number(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("a number is out of range")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError("a name or type is no text of at most 4096 characters")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("what must be an object is none")
    return value


def _sequence(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("what must be a list is none")
    return value


def _title(key: str) -> str:
    """Return what a person calls a key: a variable's name, or "module.attribute" for what was set in a module."""
    _, colon, rest = _text(key).partition(":")
    module, _, path = rest.partition(":")
    if not colon:
        return _text(key)
    return _text(f"{module}{path}" if path.startswith((".", "[")) or not path else f"{module}.{path}")
