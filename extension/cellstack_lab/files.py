"""What is in a layer: its files and variables, as changes and as content. Everything here may wait for the disk."""

from __future__ import annotations

import codecs
import itertools
import os
import stat
from typing import TYPE_CHECKING, Any, BinaryIO

from cellstack_lab.values import MAX_PATH, text
from cellstack_lab.values import path as shown
from cellstack_runtime.diff import changes_between, changes_of_layer
from cellstack_runtime.errors import CellstackError, NotFoundError, StoreError, UsageError
from cellstack_runtime.extract import find
from cellstack_runtime.store.effort import Effort
from cellstack_runtime.store.files import open_regular
from cellstack_runtime.store.variables import RESULT, NotCarried, Variable, Variables, variables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cellstack_lab.reading import Reader
    from cellstack_runtime.diff import Change
    from cellstack_runtime.store import Image, Layer, Session

MAX_FILES = 2_000
MAX_VARIABLES = 2_000
MAX_SHARED = 20  # names beside a variable's own
MAX_TEXT = 1 << 20  # bytes
MAX_COMPARED, MAX_SECONDS = 1 << 30, 5.0  # bytes, of one answer
IMAGE = "image"
KINDS = {"A": "added", "C": "changed", "D": "deleted"}
TYPES = {"file": "file", "directory": "directory", "symlink": "link"}


class Files:
    """Looks into layers for one request. is_stopped: asked often whether anybody still waits for the answer."""

    def __init__(self, reader: Reader, is_stopped: Callable[[], bool] = lambda: False) -> None:
        self._reader = reader
        self._is_stopped = is_stopped
        self._store = reader.store

    def _effort(self) -> Effort:
        return Effort(self._is_stopped, most=MAX_COMPARED, seconds=MAX_SECONDS)

    def _session(self, layer: Layer, session_id: str | None) -> Session | None:
        """Return the session that is asked for, else the one that made the layer, if it is still there."""
        if session_id is not None:
            return self._store.session(session_id)
        owner = layer.cell.get("session")
        try:
            return self._store.session(owner) if isinstance(owner, str) and owner else None
        except CellstackError:
            return None

    def layer(self, layer_id: str, session: str | None = None) -> dict[str, Any]:
        """Return a LAYER with its files and variables."""
        layer = self._store.layer(layer_id)
        owner = self._session(layer, session)
        variables, error = self._variables(owner, layer_id)
        return {
            **self._reader.layer(layer, owner),
            **_files(changes_of_layer(self._store, layer, self._effort())),
            "variables": self._list(variables, self._numbers(layer)),
            "variables_error": error,
        }

    def diff(self, layer_id: str, first: str, session: str | None = None) -> dict[str, Any]:
        """Return what is different in a layer from `first`, a layer's id or "image"."""
        effort = self._effort()
        layer = self._store.layer(layer_id)
        owner = self._session(layer, session)
        before = None if first == IMAGE else first
        old, old_error = self._variables(owner, before)
        new, new_error = self._variables(owner, layer_id)
        return {
            "from": first,
            "to": layer_id,
            **_files(changes_between(self._store, self._image(layer), before, layer_id, effort)),
            "variables": self._changed(old, new, self._numbers(layer), effort),
            "variables_error": new_error or old_error,
        }

    def _image(self, layer: Layer) -> Image:
        if layer.image is None:
            raise UsageError(f"layer {layer.id[:12]} is one of an image, and no cell's")
        return self._store.image(layer.image)

    # -- variables ---------------------------------------------------------------------------------------------

    def _variables(self, session: Session | None, layer_id: str | None) -> tuple[Variables, str | None]:
        """Return the variables of a layer, or none and why they cannot be read: they came out of a container."""
        if session is None:
            return Variables(), None
        try:
            return variables_of(self._store, session, layer_id), None
        except (NotFoundError, StoreError) as error:
            return Variables(), text(error.message)

    def _numbers(self, layer: Layer) -> dict[str, int]:
        """Return the numbers of the cells that made a layer and those below it."""
        if layer.image is None:
            return {}
        numbers = {one.id: one.cell.get("number") for one in self._store.chain(layer.id)}
        return {name: number for name, number in numbers.items() if isinstance(number, int)}

    def _list(self, found: Variables, numbers: dict[str, int]) -> list[dict[str, Any]]:
        names = sorted(name for name in {*found.saved, *found.not_carried} if not RESULT.fullmatch(name))
        return [_variable(found, name, numbers) for name in names[:MAX_VARIABLES]]

    def _changed(self, old: Variables, new: Variables, numbers: dict[str, int], effort: Effort) -> list[dict[str, Any]]:
        changed = []
        for name in sorted(name for name in {*old.saved, *new.saved} if not RESULT.fullmatch(name)):
            before, after = old.saved.get(name), new.saved.get(name)
            if before is None or after is None or not before.is_same(after, effort):
                kind = "A" if before is None else "D" if after is None else "C"
                changed.append({**_variable(old if after is None else new, name, numbers), "kind": KINDS[kind]})
        return changed[:MAX_VARIABLES]

    # -- content -----------------------------------------------------------------------------------------------

    def content(self, layer_id: str, path: str, first: str | None = None) -> dict[str, Any]:
        """Return a file's text at a layer and before it: at `first`, by default the layer below."""
        layer = self._store.layer(layer_id)
        image = self._image(layer)
        before = layer.parent if first is None else None if first == IMAGE else first
        new, old = self._opened(image, layer_id, path), self._opened(image, before, path)
        if new is None and old is None:
            raise _missing(path)
        with new or _nothing() as after_file, old or _nothing() as before_file:
            after, is_cut = _text(after_file)
            earlier, was_cut = _text(before_file)
            size = None if new is None else os.fstat(new.fileno()).st_size
        return {
            "path": text(path, MAX_PATH),
            "size": size,
            "text": after if new is not None else None,
            "before": earlier if old is not None else None,
            "binary": (new is not None and after is None) or (old is not None and earlier is None),
            "truncated": is_cut or was_cut,
        }

    def open(self, layer_id: str, path: str) -> tuple[BinaryIO, str]:
        """Open a file of a layer for reading; return it with its name."""
        layer = self._store.layer(layer_id)
        file = self._opened(self._image(layer), layer_id, path)
        if file is None:
            raise _missing(path)
        return file, os.path.basename(path.rstrip("/"))

    def _opened(self, image: Image, layer_id: str | None, path: str) -> BinaryIO | None:
        """Open a regular file at `path` of the stack up to a layer; None when there is nothing there.

        Links on the way are followed within the stack, and a link itself is not followed at all.
        """
        try:
            found, _ = find(self._store, image, layer_id, path, self._effort())
        except NotFoundError:
            return None
        mode = found.status.st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
            raise UsageError(f"{path!r} is {what}", hint="`cellstack cp` copies folders")
        try:
            return open_regular(found.path)
        except OSError as error:
            raise CellstackError(f"{path!r} cannot be read: {error.strerror}") from None


def _missing(path: str) -> NotFoundError:
    hint = "Files of the notebook's folder that no cell changed are on the host"
    if "\\x" in path:
        hint = "A name that is not UTF-8, shown with \\x, is brought out with its folder by `cellstack cp` or `%cp`"
    return NotFoundError(f"no {path!r} in this layer", hint=hint)


def _nothing() -> BinaryIO:
    return open(os.devnull, "rb")


def _files(changes: Iterable[Change]) -> dict[str, Any]:
    remaining = iter(changes)
    first = [_file(change) for change in itertools.islice(remaining, MAX_FILES)]
    return {"files": first, "files_total": len(first) + sum(1 for _ in remaining)}


def _file(change: Change) -> dict[str, Any]:
    return {
        "path": shown(change.path),
        "kind": KINDS[change.kind],
        "size": change.size if change.type == "file" and change.kind != "D" else None,
        "type": TYPES.get(change.type, "other"),
    }


def _variable(found: Variables, name: str, numbers: dict[str, int]) -> dict[str, Any]:
    variable = found.saved.get(name)
    if variable is None:
        return _not_carried(found.not_carried[name])
    return _saved(variable, numbers)


def _saved(variable: Variable, numbers: dict[str, int]) -> dict[str, Any]:
    component = variable.component
    others = [name for name in component.variables[: MAX_SHARED + 1] if name != variable.name]
    return {
        "name": text(variable.name),
        "type": text(variable.type),
        "size": component.size,
        "cell": numbers.get(component.layer),
        "shared_with": [text(name) for name in others[:MAX_SHARED]],
        "not_carried": None,
    }


def _not_carried(lost: NotCarried) -> dict[str, Any]:
    number = lost.cell.strip("[]")
    return {
        "name": text(lost.name),
        "type": text(lost.why),
        "size": None,
        "cell": int(number) if number.isdecimal() and len(number) < 10 else None,
        "shared_with": [],
        "not_carried": text(lost.why),
    }


def _text(file: BinaryIO) -> tuple[str | None, bool]:
    """Return the first MAX_TEXT bytes as text, None when they are none; and whether there are more."""
    data = file.read(MAX_TEXT + 1)
    is_cut = len(data) > MAX_TEXT
    data = data[:MAX_TEXT]
    if b"\0" in data:
        return None, is_cut
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=not is_cut), is_cut
    except UnicodeDecodeError:
        return None, is_cut
