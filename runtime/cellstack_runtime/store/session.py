"""A session: the cell runs of one notebook, and where its head is."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

from cellstack_runtime.errors import StoreError
from cellstack_runtime.store.files import is_locked, lock_within, try_lock, write_atomic

FILE = "session.json"
MOVED_FILE = "notebook"  # its path since it was renamed: the record is written by the session's owner only
STATE_FILE = "manifest"  # without which the variables of a layer are not complete


@dataclass(slots=True)
class Session:
    """A notebook's cell runs; `sessions/<id>/session.json`.

    One live process owns it (`acquire`) and changes it; others read it. id: 12 hex digits. notebook: absolute
    path, None for a session without a file. image: id of the image of the following cells. head: the layer
    the next cell starts from, None for the image itself. previous_heads: where head was before each checkout
    or undo, oldest first. cells: one {"layer", "number", …} for each cell run that left a layer. kernel: the
    connection file of the kernel that it belongs to, None for a session of a command. ended: how that kernel
    left it, "restart" or "shutdown"; None while it runs, and when it died.
    """

    id: str
    path: str
    created: str
    notebook: str | None
    image: str
    head: str | None = None
    previous_heads: list[str | None] = field(default_factory=list)
    cells: list[dict[str, Any]] = field(default_factory=list)
    kernel: str | None = None
    ended: str | None = None
    _lock: int | None = field(default=None, repr=False, compare=False)

    @property
    def state_root(self) -> str:
        """The directory of all saved variables of this session."""
        return f"{self.path}/state"

    def state_dir(self, layer: str) -> str:
        """Return the directory of the variables that belong to `layer`; it may not exist."""
        return f"{self.path}/state/{layer}"

    def save(self, *, durable: bool = False) -> None:
        """Write the session; readers see the old or the new one, also after a crash of this process.

        durable: after a crash of the machine too, at the price of an fsync; else `Store.sync` sees to that.
        """
        names = ("created", "notebook", "image", "head", "previous_heads", "cells", "kernel", "ended")
        text = json.dumps({name: getattr(self, name) for name in names}, separators=(",", ":"))
        write_atomic(f"{self.path}/{FILE}", text, durable=durable)

    def move(self, notebook: str) -> None:
        """Note that the notebook has been renamed; who owns the session need not know."""
        write_atomic(f"{self.path}/{MOVED_FILE}", notebook, durable=True)
        self.notebook = notebook

    def acquire(self, *, patience: float = 0.0) -> None:
        """Make this process the session's owner, until it ends or calls `release`.

        StoreError when another live process owns it, after `patience` seconds still.
        """
        if self._lock is not None:
            return
        self._lock = try_lock(f"{self.path}/lock")
        if self._lock is None and patience:
            self._lock = lock_within(f"{self.path}/lock", patience)
        if self._lock is None:
            what = f"session {self.id}" + (f" of {self.notebook}" if self.notebook else "")
            raise StoreError(
                f"{what} is in use by another kernel", hint="Shut that kernel down, or start a new session"
            )

    @property
    def lock_fds(self) -> list[int]:
        """The descriptor by which this process owns the session; who has a copy owns it too."""
        return [] if self._lock is None else [self._lock]

    def release(self) -> None:
        """Let another process own the session."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_empty(self) -> bool:
        """Return whether no cell has left a layer, nor variables whose layer is not written down yet."""
        return not self.cells and not (os.path.isdir(self.state_root) and os.listdir(self.state_root))

    def is_live(self) -> bool:
        """Return whether a process owns the session now."""
        return self._lock is not None or is_locked(f"{self.path}/lock")


def load_session(path: str) -> Session:
    """Return the session in directory `path`; StoreError when its record cannot be read."""
    session_id = os.path.basename(path)
    try:
        with open(f"{path}/{FILE}", encoding="utf-8") as file:
            data = json.load(file)
        cells = data["cells"]
        if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
            raise TypeError("its cells are not a list of records")  # noqa: TRY301  one place tells what is corrupt
        return Session(
            id=session_id,
            path=path,
            created=_text(data["created"]),
            notebook=_moved(path) or _optional(data["notebook"]),
            image=_text(data["image"]),
            head=_optional(data["head"]),
            previous_heads=[_optional(head) for head in data["previous_heads"]],
            cells=cells,
            kernel=_optional(data.get("kernel")),
            ended=_optional(data.get("ended")),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"session {session_id} is corrupt: {error}") from error


def _moved(path: str) -> str | None:
    try:
        with open(f"{path}/{MOVED_FILE}", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)
