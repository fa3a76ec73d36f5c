"""The store's directory: layers, images, tags, sessions. Safe to share between processes.

Guarantees: - A layer, an image or a session exists when its record does; records appear and change by rename
only. - A layer never changes, but for its digest, which is added to its record when it is computed. - What a
killed process has left half-made lies in `build/` and `trash/`, and the next `Store.open` removes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import re
import secrets
from typing import TYPE_CHECKING, Any

from cellstack_runtime.errors import NotFoundError, StoreError, UsageError
from cellstack_runtime.store import files
from cellstack_runtime.store.records import Image, Layer, Part
from cellstack_runtime.store.session import FILE as SESSION_FILE
from cellstack_runtime.store.session import STATE_FILE, Session, load_session
from cellstack_runtime.store.squash import squash as squash_layers
from cellstack_runtime.store.tags import Tags, split_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERSION = 1
RECORD = "store.json"  # of what the store itself is
FOLDERS = (
    "layers",
    "images",
    "tags",
    "sessions",
    "squashed",
    "guest",
    "runs",
    "cache",
    "build",
    "trash",
    "locks",
)
END_SECONDS = 10.0  # in which everything that a dead kernel has started is over
CLOCK_SECONDS = 2.0  # by which times of files may differ
SQUASH_AFTER = 64  # overlayfs takes 500 lowers, but opening through 128 costs twice what it does through 10
_ID = re.compile(r"[0-9a-f]{1,64}")


class Store:
    """The store at directory `home`; any number of these, in any number of processes, may share one."""

    def __init__(self, home: str) -> None:
        """Take `home` as it is; use `Store.open`, which makes and checks it."""
        self.home = home
        self._layers: dict[str, Layer] = {}
        self._tags = Tags(f"{home}/tags")

    @staticmethod
    def is_there() -> bool:
        """Return whether this person has a store."""
        return os.path.exists(f"{_default_home()}/{RECORD}")

    @classmethod
    def open(cls, home: str | None = None) -> Store:
        """Open the store, making it when it is not there.

        home: default $CELLSTACK_HOME, else $XDG_DATA_HOME/cellstack, else ~/.local/share/cellstack.
        StoreError when it cannot be written or was made by a newer Cellstack.
        """
        path = os.path.abspath(home or _default_home())
        if "\\" in path:
            raise StoreError(f"the store {path} has a backslash in its path", hint="overlayfs takes none: move it")
        _check_version(f"{path}/{RECORD}")
        files.make_home(path, FOLDERS)
        _note_version(f"{path}/{RECORD}")
        store = cls(path)
        store._sweep()
        return store

    # -- layers ----------------------------------------------------------------------------------------------

    def layer(self, layer_id: str) -> Layer:
        """Return the layer; NotFoundError when there is none, StoreError when its record is damaged."""
        if layer_id not in self._layers:
            if not _ID.fullmatch(layer_id):
                raise NotFoundError(f"no layer {layer_id!r}", hint="`cellstack layers` lists them")
            try:
                with open(f"{self.home}/layers/{layer_id}/layer.json", "rb") as file:
                    text = file.read()
            except FileNotFoundError:
                raise NotFoundError(f"no layer {layer_id[:12]!r}", hint="`cellstack layers` lists them") from None
            except OSError as error:
                raise StoreError(f"layer {layer_id[:12]} cannot be read: {error.strerror}") from error
            self._layers[layer_id] = Layer.from_json(layer_id, text)
        return self._layers[layer_id]

    def layers(self) -> list[Layer]:
        """Return all layers with a readable record, oldest first."""
        found = []
        for layer_id in os.listdir(f"{self.home}/layers"):
            # Without a readable record it is not a layer; `layer` says why to whoever asks for this one.
            with contextlib.suppress(NotFoundError, StoreError):
                found.append(self.layer(layer_id))
        return sorted(found, key=lambda layer: (layer.created, layer.id))

    def find_layer(self, prefix: str) -> Layer:
        """Return the layer whose id starts with `prefix`; NotFoundError, or UsageError when several do."""
        if _ID.fullmatch(prefix) and len(prefix) == 32:
            return self.layer(prefix)
        matches = [name for name in os.listdir(f"{self.home}/layers") if prefix and name.startswith(prefix)]
        return self.layer(_only("layer", prefix, matches, "`cellstack layers` lists them"))

    def chain(self, layer_id: str) -> list[Layer]:
        """Return the cell layers from the lowest to `layer_id`, without those of the image."""
        chain: list[Layer] = []
        seen: set[str] = set()
        step: str | None = layer_id
        while step is not None:
            if step in seen:
                raise StoreError(f"layer {step[:12]} is corrupt: it is its own ancestor")
            seen.add(step)
            layer = self.layer(step)
            chain.append(layer)
            step = layer.parent
        chain.reverse()
        return chain

    def layer_path(self, layer_id: str, part: Part) -> str:
        """Return the directory of the changes that a layer makes to `part`."""
        return f"{self.home}/layers/{layer_id}/{part}"

    def lowers(self, image: Image, head: str | None, part: Part) -> list[str]:
        """Return the directories to stack for `part` at `head`, top first and without empty ones.

        The list ends with the image's layers; the default image has nothing in "work". Where layers have
        been squashed, one directory stands for all of them.
        """
        paths = []
        for layer in reversed(self.chain(head) if head else []):
            squashed = self._squashed(layer.id, part)
            if layer.has(part) and os.path.isdir(squashed):
                paths.append(squashed)
                break
            if layer.has(part):
                paths.append(self.layer_path(layer.id, part))
        paths += [self.layer_path(layer, part) for layer in reversed(image.layers) if self.layer(layer).has(part)]
        return paths

    def squash(self, image: Image, head: str, part: Part) -> bool:
        """Squash the cell layers up to `head` when more than 64 of them are stacked; return whether it did.

        Layers and what is mounted stay as they are; `lowers` gives the shorter stack from now on.
        """
        below = self.lowers(image, None, part)
        stack = self.lowers(image, head, part)
        cells = stack[: len(stack) - len(below)]
        top = next((layer.id for layer in reversed(self.chain(head)) if layer.has(part)), None)
        if top is None or len(cells) <= SQUASH_AFTER:
            return False
        with self.building() as folder:
            squash_layers(list(reversed(cells)), f"{folder}/{part}")
            with contextlib.suppress(FileExistsError):  # another process was quicker
                os.rename(f"{folder}/{part}", self._squashed(top, part))
        return True

    def _squashed(self, layer_id: str, part: Part) -> str:
        return f"{self.home}/squashed/{layer_id}.{part}"

    def commit(self, prepared: str, layer: Layer) -> None:
        """Make directory `prepared`, which holds `root/` and `work/`, the layer; it is gone then.

        Atomic for processes; `sync` makes it outlast a crash of the machine.
        """
        if layer.id in self._layers or not re.fullmatch(r"[0-9a-f]{32}", layer.id):
            raise StoreError(f"layer {layer.id!r} cannot be committed: its id is taken or not 32 hex digits")
        try:
            with open(f"{prepared}/layer.json", "w", encoding="utf-8") as file:
                file.write(layer.to_json())
            os.rename(prepared, f"{self.home}/layers/{layer.id}")
        except OSError as error:
            raise StoreError(
                f"layer {layer.id[:12]} cannot be committed: {error.strerror}", hint=files.SPACE_HINT
            ) from error
        self._layers[layer.id] = layer

    def set_digest(self, layer_id: str, digest: str) -> Layer:
        """Record the layer's digest and return the layer."""
        layer = dataclasses.replace(self.layer(layer_id), digest=digest)
        files.write_atomic(f"{self.home}/layers/{layer_id}/layer.json", layer.to_json())
        self._layers[layer_id] = layer
        return layer

    def remove_layer(self, layer_id: str) -> None:
        """Remove a layer and what was squashed up to it; the caller knows that nothing stands on it."""
        self._layers.pop(layer_id, None)
        for path in (
            f"{self.home}/layers/{layer_id}",
            *(self._squashed(layer_id, part) for part in ("root", "work")),
        ):
            self.remove_tree(path)

    def sync(self) -> None:
        """Bring everything that was committed and saved to disk."""
        os.sync()

    # -- images ----------------------------------------------------------------------------------------------

    def images(self) -> list[tuple[tuple[str, ...], Image]]:
        """Return (tags, image) of all images with a readable record, newest first."""
        tags: dict[str, list[str]] = {}
        for reference, image_id in self._tags.items():
            tags.setdefault(image_id, []).append(reference)
        found = []
        for name in os.listdir(f"{self.home}/images"):
            with contextlib.suppress(NotFoundError, StoreError):
                image = self._image(name.removesuffix(".json"))
                found.append((tuple(sorted(tags.get(image.id, ()))), image))
        return sorted(found, key=lambda item: (item[1].created, item[1].id), reverse=True)

    def image(self, reference: str) -> Image:
        """Return the image tagged `reference` ("name" or "name:tag"), or whose id starts with it.

        "default" is short for "cellstack/default:latest". NotFoundError when there is none, UsageError when
        the beginning of an id fits several or the reference is not one.
        """
        hint = "`cellstack images` lists them"
        hexadecimal = reference.removeprefix("sha256:")
        if _ID.fullmatch(hexadecimal) and len(hexadecimal) == 64:
            return self._image(hexadecimal)
        if not reference.startswith("sha256:"):
            tagged = self._tags.get("cellstack/default" if reference == "default" else reference)
            if tagged is not None:
                return self._image(tagged)
        names = [name.removesuffix(".json") for name in os.listdir(f"{self.home}/images") if name.endswith(".json")]
        is_prefix = len(hexadecimal) >= 4 and _ID.fullmatch(hexadecimal) is not None
        matches = [name for name in names if is_prefix and name.startswith(hexadecimal)]
        return self._image(_only("image", reference, matches, hint))

    def _image(self, image_id: str) -> Image:
        try:
            with open(f"{self.home}/images/{image_id}.json", "rb") as file:
                text = file.read()
        except FileNotFoundError:
            raise NotFoundError(f"no image {image_id[:12]!r}", hint="`cellstack images` lists them") from None
        except OSError as error:
            raise StoreError(f"image {image_id[:12]} cannot be read: {error.strerror}") from error
        return Image.from_json(image_id, text)

    def put_image(self, layers: Sequence[str], config: dict[str, Any], created: str) -> Image:
        """Record the image that stacks `layers` (ids, bottom first) and return it."""
        size = sum(self.layer(layer).changes.bytes for layer in layers)
        image = Image.make(tuple(layers), config, created, size)
        files.write_atomic(f"{self.home}/images/{image.id}.json", image.to_json())
        return image

    def remove_image(self, image_id: str) -> None:
        """Forget the image and its tags; its layers stay."""
        for reference, tagged in list(self._tags.items()):
            if tagged == image_id:
                self._tags.remove(reference)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.home}/images/{image_id}.json")

    def tag(self, image_id: str, reference: str) -> None:
        """Let `reference` ("name" or "name:tag") name the image from now on."""
        self._tags.set(reference, self._image(image_id).id)

    def tags(self) -> dict[str, str]:
        """Return the image id of every tag ("name:tag"), whether or not that image can be read."""
        return dict(self._tags.items())

    def untag(self, reference: str) -> None:
        """Remove a tag; NotFoundError when there is none of this name."""
        if not self._tags.remove(reference):
            raise NotFoundError(
                f"no image {':'.join(split_reference(reference))!r}", hint="`cellstack images` lists them"
            )

    # -- sessions --------------------------------------------------------------------------------------------

    def create_session(self, notebook: str | None, image: str, kernel: str | None = None) -> Session:
        """Make a session of which this process is the owner. image: id. kernel: its connection file."""
        session_id = secrets.token_hex(6)
        path = f"{self.home}/sessions/{session_id}"
        try:
            os.mkdir(path, 0o700)
            os.mkdir(f"{path}/state", 0o755)
        except OSError as error:
            raise StoreError(f"{path} cannot be made: {error.strerror}", hint=files.SPACE_HINT) from error
        session = Session(session_id, path, now(), os.path.abspath(notebook) if notebook else None, image)
        session.kernel = kernel
        session.acquire()
        session.save(durable=True)
        return session

    def session(self, reference: str) -> Session:
        """Return the session with this id, or beginning of one, or the newest of a notebook's path."""
        names = os.listdir(f"{self.home}/sessions")
        matches = [name for name in names if _ID.fullmatch(reference) and name.startswith(reference)]
        if not matches:
            notebook = os.path.abspath(reference)
            matches = [session.id for session in self.sessions() if session.notebook == notebook][:1]
        hint = "`cellstack layers` lists the sessions"
        return load_session(f"{self.home}/sessions/{_only('session', reference, matches, hint)}")

    def sessions(self) -> list[Session]:
        """Return all sessions with a readable record, newest first."""
        found = []
        for name in os.listdir(f"{self.home}/sessions"):
            path = f"{self.home}/sessions/{name}"
            if os.path.exists(f"{path}/{SESSION_FILE}"):
                with contextlib.suppress(StoreError):
                    found.append(load_session(path))
        return sorted(found, key=lambda session: (session.created, session.id), reverse=True)

    def move_notebooks(self, before: str, after: str) -> list[str]:
        """Have the sessions of a notebook, or of all in a folder, follow it to the path `after`; return their ids."""
        moved = []
        before = os.path.realpath(before)
        for session in self.sessions():
            path = os.path.realpath(session.notebook) if session.notebook else ""
            if path == before or path.startswith(f"{before}/"):
                session.move(os.path.abspath(after) + path[len(before) :])
                moved.append(session.id)
        return moved

    def left_session(self, notebook: str | None, kernel: str) -> Session | None:
        """Return the newest session of a kernel with this connection file or notebook, owned by this process now.

        None when there is none that nobody owns. What that kernel has committed last and not written down is added.
        """
        path = os.path.abspath(notebook) if notebook else None
        for session in self.sessions():
            if session.kernel == kernel or (session.kernel and path and session.notebook == path):
                same = session.kernel == kernel  # it is dead, and what it had started soon is
                try:
                    session.acquire(patience=END_SECONDS if same else 0.0)
                except (StoreError, OSError):  # of a kernel that lives, or removed in this moment
                    continue
                self._catch_up(session)
                return session
        return None

    def _catch_up(self, session: Session) -> None:
        """Add the layers that were committed after the session was written, and leave out what is not whole."""
        written = os.stat(f"{session.path}/{SESSION_FILE}").st_mtime
        known = {cell["layer"] for cell in session.cells}
        found = []
        with os.scandir(f"{self.home}/layers") as entries:
            for entry in entries:
                if entry.name not in known and entry.stat().st_mtime >= written - CLOCK_SECONDS:
                    with contextlib.suppress(NotFoundError, StoreError):
                        found.append(self.layer(entry.name))
        mine = [layer for layer in found if layer.cell.get("session") == session.id]
        ours = [layer for layer in mine if not layer.cell.get("beside")]
        on = {layer.parent: layer for layer in sorted(ours, key=lambda layer: layer.created)}
        while session.head in on:
            layer = on[session.head]
            session.head = layer.id
            session.cells.append({"layer": layer.id, "number": layer.cell.get("number")})
        while session.head is not None and not self._is_whole(session, session.head):
            with contextlib.suppress(NotFoundError, StoreError):
                session.head = self.layer(session.head).parent
                continue
            session.head = None

    def _is_whole(self, session: Session, head: str) -> bool:
        """Return whether all layers below `head` and its variables can be read."""
        try:
            state = self.chain(head)[-1].state
        except (NotFoundError, StoreError):
            return False
        return state is None or os.path.exists(f"{session.state_dir(state)}/{STATE_FILE}")

    def adopt(self, session: Session, layer: str, number: Any) -> bool:
        """Make `layer`, which may be another session's, head of `session` as cell `number`; False when it cannot be.

        While nothing is collected, and written down before anything is.
        """
        with self.locked("collect"):
            try:
                if not os.path.isdir(f"{self.home}/layers/{layer}") or self.layer(layer).parent != session.head:
                    return False
                self._share_state(session, layer)
            except (NotFoundError, StoreError, OSError):
                return False
            before = session.head
            session.head = layer
            session.cells.append({"layer": layer, "number": number, "cache": "hit"})
            try:
                session.save()
            except StoreError:
                session.head = before
                session.cells.pop()
                return False
        return True

    def _share_state(self, session: Session, head: str) -> None:
        """Let `session` have the variables of `head`, which another session may have made. OSError when it cannot.

        Its files are linked, and nobody writes to them any more; only files are: the rest of what a container may have
        put there is nothing of ours.
        """
        for layer in self.chain(head):
            target = session.state_dir(layer.id)
            if layer.state != layer.id or os.path.isdir(target):
                continue
            owner = str(layer.cell.get("session"))
            if not _ID.fullmatch(owner):
                raise NotFoundError(f"layer {layer.id[:12]} does not say whose variables it has")
            source = f"{self.home}/sessions/{owner}/state/{layer.id}"
            with self.building() as folder:
                os.mkdir(f"{folder}/state", 0o755)
                with os.scandir(source) as entries:
                    for entry in entries:
                        if entry.is_file(follow_symlinks=False):
                            os.link(entry.path, f"{folder}/state/{entry.name}", follow_symlinks=False)
                os.rename(f"{folder}/state", target)

    def drop_session(self, session: Session, ended: str | None = "shutdown") -> None:
        """Let go of a session of this process and note how it `ended`; one in which no cell has left a layer goes."""
        empty = session.is_empty()
        if not empty:
            session.ended = ended
            session.save(durable=True)
        session.release()
        if empty:
            self.remove_tree(session.path)

    # -- files -----------------------------------------------------------------------------------------------

    def remove_tree(self, path: str) -> None:
        """Remove a tree of the store, whatever containers have made of it; StoreError for any other path."""
        if not files.is_below(path, self.home):
            raise StoreError(f"{path} is not below the store {self.home}: it will not be removed")
        files.remove_tree(path, f"{self.home}/trash")

    @contextlib.contextmanager
    def building(self) -> Iterator[str]:
        """Give an empty directory to make something in; whatever is left there is removed."""
        name = secrets.token_hex(8)
        path = f"{self.home}/build/{name}"
        fd = files.try_lock(f"{path}.lock")
        if fd is None:
            raise StoreError(f"{path} is in use")
        try:
            os.mkdir(path, 0o700)
            yield path
        finally:
            self.remove_tree(path)
            os.unlink(f"{path}.lock")
            os.close(fd)

    def locked(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Hold the store's lock `name`, waiting for the process that has it."""
        return files.lock(f"{self.home}/locks/{name}")

    def _sweep(self) -> None:
        """Remove what killed processes have left half-made."""
        for entry in os.listdir(f"{self.home}/build"):
            path = f"{self.home}/build/{entry.removesuffix('.lock')}"
            with contextlib.suppress(FileNotFoundError):
                fd = files.try_lock(f"{path}.lock")
                if fd is not None:
                    try:
                        self.remove_tree(path)
                        os.unlink(f"{path}.lock")
                    finally:
                        os.close(fd)
        files.empty_trash(f"{self.home}/trash")


def now() -> str:
    """Return the time as records have it: "2026-01-31T12:00:00.000000Z"."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _default_home() -> str:
    environ = os.environ
    if environ.get("CELLSTACK_HOME"):
        return environ["CELLSTACK_HOME"]
    data = environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return f"{data}/cellstack"


def _check_version(path: str) -> None:
    try:
        with open(path, encoding="utf-8") as file:
            version = json.load(file)["version"]
        if type(version) is not int:
            raise TypeError(f"its version is {version!r}")  # noqa: TRY301  one place tells what is corrupt
    except (FileNotFoundError, NotADirectoryError):  # a new store, or a path that `make_home` says is none
        return
    except PermissionError as error:
        raise StoreError(
            f"the store {os.path.dirname(path)} cannot be read: {error.strerror}",
            hint="Set CELLSTACK_HOME to a directory of your own",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{path} is corrupt: {error}", hint="Set CELLSTACK_HOME to use another store") from error
    if version > VERSION:
        raise StoreError(
            f"the store {os.path.dirname(path)} has version {version}, this Cellstack knows {VERSION}",
            hint="Install a newer Cellstack, or set CELLSTACK_HOME to use another store",
        )


def _note_version(path: str) -> None:
    if not os.path.exists(path):
        files.write_atomic(path, json.dumps({"version": VERSION}))


def _only(what: str, wanted: str, matches: Sequence[str], hint: str) -> str:
    """Return the single match; NotFoundError for none, UsageError for several."""
    if not matches:
        raise NotFoundError(f"no {what} {wanted!r}", hint=hint)
    if len(matches) > 1:
        raise UsageError(f"{what} {wanted!r} could be any of {len(matches)}", hint="Give more of its id")
    return matches[0]
