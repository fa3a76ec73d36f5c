"""Garbage collection: what in the store nothing reaches any more, and its removal.

Reached, and so kept, are
- every image that has a tag, or that an environment's record in `cache/` names, with its layers;
- of every session the layers that it names (head, previous heads, cells) or that name it, with all below them, their
  image, and the saved variables that these layers have and refer to;
- everything of a session that a process or a broker is using;
- what is younger than an hour, with all that it stands on: another process may be about to refer to it.

What cannot be read reaches everything: a damaged record never leads to a removal.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cellstack_runtime.errors import NotFoundError, StoreError
from cellstack_runtime.store import files, variables
from cellstack_runtime.store.records import PARTS
from cellstack_runtime.store.session import FILE, STATE_FILE, Session, load_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cellstack_runtime.store.records import Layer
    from cellstack_runtime.store.store import Store

MIN_AGE = 3600.0  # seconds
_LAYER = re.compile(r"[0-9a-f]{32}")
_CACHED = re.compile(rb'\{"layer": ?"([0-9a-f]{32})"')
_IMAGE = re.compile(r"[0-9a-f]{64}")
_IMAGE_FILE = re.compile(r"[0-9a-f]{64}\.json")


@dataclass(frozen=True, slots=True)
class Garbage:
    """What nothing reaches, in an order in which it can be removed: nothing before what refers to it.

    sessions: ids. states: saved variables of kept sessions, "<session>/<layer>". objects: ids of images and layers,
    each before what it stands on. squashed: names in `squashed/` whose layer is gone already. cached: names in
    `cache/cells/`, results of cells whose layer is gone or goes. guests: names in `guest/`. bytes: disk space that the
    removal frees; files with links from elsewhere (an image's, from its environment) free none. unreadable: one
    sentence for each damaged record; with any of them, there are no `objects`.
    """

    sessions: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    squashed: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    guests: list[str] = field(default_factory=list)
    bytes: int = 0
    unreadable: list[str] = field(default_factory=list)

    @property
    def images(self) -> list[str]:
        """The ids of images in `objects`."""
        return [name for name in self.objects if _IMAGE.fullmatch(name)]

    @property
    def layers(self) -> list[str]:
        """The ids of layers in `objects`, upper before lower."""
        return [name for name in self.objects if _LAYER.fullmatch(name)]


def collect(store: Store, *, everything: bool = False, min_age: float = MIN_AGE) -> Garbage:
    """Remove what nothing reaches and return it; see `plan` for the arguments.

    Kernels may run and commit meanwhile. When it ends before its time, however it does, what is left is a sound store,
    and the next call removes the rest. StoreError when something cannot be removed.
    """
    with store.locked("collect"), store.locked("default-image"):  # who builds goes on from what was built earlier
        garbage = plan(store, everything=everything, min_age=min_age)
        remove(store, garbage)
    return garbage


def plan(store: Store, *, everything: bool = False, min_age: float = MIN_AGE) -> Garbage:
    """Return what nothing reaches; changes nothing.

    everything: count as gone also the sessions that nobody uses and whose notebook does not exist any more, or that
    never had one, and the untagged images of environments. min_age: seconds that a thing must be old; the layers of a
    session that is gone may be younger.
    """
    home = store.home
    limit = time.time() - min_age

    def is_young(path: str) -> bool:
        try:
            return os.lstat(path).st_mtime > limit
        except FileNotFoundError:
            return True  # somebody else is at it

    runs = _live_runs(home)
    sessions = _look_at_sessions(store, runs, is_young, everything=everything)
    unreadable = sessions.unreadable
    layers = {name for name in os.listdir(f"{home}/layers") if _LAYER.fullmatch(name)}
    images = {name.removesuffix(".json") for name in os.listdir(f"{home}/images") if _IMAGE_FILE.fullmatch(name)}
    owners = _owners(store.layers())
    orphans = _reach(store, [name for session in sessions.gone for name in _names(session, owners)], [])
    is_starting = any(session.id in sessions.live and not session.image for session in sessions.kept)
    roots = [
        *store.tags().values(),
        *([] if everything else _cached_images(home)),
        *(name for session in sessions.kept for name in _names(session, owners)),
        *(name for session in sessions.kept if session.id in sessions.live for name in _states(session)),
        *(name for name in layers - orphans if is_young(f"{home}/layers/{name}")),
        *(name for name in images if is_starting or is_young(f"{home}/images/{name}.json")),  # a kernel looks for one
    ]
    reached = _reach(store, roots, unreadable)
    unreached = set() if unreadable else (images | layers) - reached
    garbage = Garbage(
        sessions=sorted([*(session.id for session in sessions.gone), *sessions.unfinished]),
        states=sorted(
            f"{session.id}/{name}"
            for session in sessions.kept
            if session.id not in sessions.live
            for name in _unreached_states(store, session, owners)
            if not is_young(session.state_dir(name))
        ),
        objects=_upper_first(store, unreached),
        squashed=sorted(name for name in os.listdir(f"{home}/squashed") if name.partition(".")[0] not in layers),
        cached=sorted(name for name, layer in _cached_cells(home) if layer not in layers - unreached),
        guests=_old_guests(home, runs, sessions.live, is_young),
        unreadable=sorted(unreadable),
    )
    paths = [path for paths in garbage_paths(home, garbage).values() for path in paths]
    return replace(garbage, bytes=files.disk_bytes(paths, freed=True))


def garbage_paths(home: str, garbage: Garbage) -> dict[str, list[str]]:
    """Return the directories and files that go with each list of `garbage`, by its name."""
    return {
        "sessions": [f"{home}/sessions/{name}" for name in garbage.sessions],
        "states": [f"{home}/sessions/{name.replace('/', '/state/')}" for name in garbage.states],
        "images": [f"{home}/images/{name}.json" for name in garbage.images],
        "layers": [path for name in garbage.layers for path in layer_paths(home, name)],
        "squashed": [f"{home}/squashed/{name}" for name in garbage.squashed],
        "cached": [f"{home}/cache/cells/{name}" for name in garbage.cached],
        "guests": [f"{home}/guest/{name}" for name in garbage.guests],
    }


def layer_paths(home: str, layer: str) -> list[str]:
    """Return the directories of a layer; those that were squashed may not exist."""
    return [f"{home}/layers/{layer}", *(f"{home}/squashed/{layer}.{part}" for part in PARTS)]


def remove(store: Store, garbage: Garbage) -> None:
    """Remove `garbage`, of a plan made a moment ago under the store's lock "collect".

    StoreError when something cannot be removed or has come into use since; what is left then is sound.
    """
    paths = garbage_paths(store.home, garbage)
    try:
        for path in paths["sessions"]:
            _remove_session(store, path)
        for path in (*paths["states"], *paths["cached"]):
            store.remove_tree(path)
        for name in garbage.objects:
            if _LAYER.fullmatch(name):
                store.remove_layer(name)
            else:
                _check_unused(store, name)
                store.remove_image(name)
        for path in (*paths["squashed"], *paths["guests"]):
            store.remove_tree(path)
    except OSError as error:
        raise StoreError(
            f"{error.filename or 'something'} cannot be removed: {error.strerror}",
            hint="Run it as the user whose containers have made it",
        ) from error


def _remove_session(store: Store, path: str) -> None:
    """Remove a session, as its owner: no kernel goes on with it meanwhile."""
    try:
        lock = files.try_lock(f"{path}/lock")
    except FileNotFoundError:
        return
    if lock is None:
        raise _came_into_use(f"session {os.path.basename(path)}")
    try:
        store.remove_tree(path)
    finally:
        os.close(lock)


def _check_unused(store: Store, image: str) -> None:
    """Look once more: a kernel that has started since the plan was made may be about to take `image`."""
    used = {*store.tags().values(), *(session.image for session in store.sessions() if session.is_live())}
    if image in used or "" in used:
        raise _came_into_use(f"image {image[:12]}")


def _came_into_use(what: str) -> StoreError:
    return StoreError(f"{what} has come into use just now", hint="Run it again")


# -- who uses what -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sessions:
    """live: ids of those in `kept` that are in use. unfinished: names of directories that never became a session."""

    kept: list[Session] = field(default_factory=list)
    live: set[str] = field(default_factory=set)
    gone: list[Session] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def _look_at_sessions(
    store: Store, runs: list[dict[str, Any]], is_young: Callable[[str], bool], *, everything: bool
) -> _Sessions:
    found = _Sessions()
    for name in os.listdir(f"{store.home}/sessions"):
        path = f"{store.home}/sessions/{name}"
        try:
            session = load_session(path)
            is_live = session.is_live() or any(run.get("session", name) == name for run in runs)
        except (StoreError, OSError) as error:
            if os.path.exists(f"{path}/{FILE}"):
                found.unreadable.append(str(error))
            elif not is_young(path):
                found.unfinished.append(name)
            continue
        if is_live:
            found.live.add(name)
        if everything and not is_live and _has_no_notebook(session, is_young):
            found.gone.append(session)
        else:
            found.kept.append(session)
    return found


def _live_runs(home: str) -> list[dict[str, Any]]:
    """Return the record of each broker that lives, {} where it has not been written yet."""
    records = []
    for name in os.listdir(f"{home}/runs"):
        if files.is_locked(f"{home}/runs/{name}/lock"):
            record = _read_json(f"{home}/runs/{name}/owner.json")
            records.append(record if isinstance(record, dict) else {})
    return records


def _read_json(path: str) -> Any:
    """Return what a file of ours says, None when it is not there or not JSON."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError):
        return None


def _has_no_notebook(session: Session, is_young: Callable[[str], bool]) -> bool:
    """Return whether nobody can come back to a session that is not live: it is known that its notebook is gone."""
    if session.notebook is None:
        return not is_young(f"{session.path}/{FILE}")  # else Jupyter may be restarting its kernel
    try:
        os.stat(session.notebook)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        pass
    return False


def _cached_images(home: str) -> Iterator[str]:
    """Yield the image of each environment, and the layers from which one is being built."""
    for name in os.listdir(f"{home}/cache"):
        record = _read_json(f"{home}/cache/{name}") if name.startswith("default-") else None
        if isinstance(record, dict):
            layers = record.get("layers")
            found = [record.get("image"), *(layers.values() if isinstance(layers, dict) else ())]
            yield from (entry for entry in found if isinstance(entry, str))


def _cached_cells(home: str) -> Iterator[tuple[str, str]]:
    """Yield (name, layer) of the results of cells that are kept; a record begins with its layer, and may be large."""
    folder = f"{home}/cache/cells"
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            with open(f"{folder}/{name}", "rb") as file:
                match = _CACHED.match(file.read(100))
        except OSError:
            continue
        if match:
            yield name, match[1].decode()


def _old_guests(home: str, runs: list[dict[str, Any]], live: set[str], is_young: Callable[[str], bool]) -> list[str]:
    """Return the directories of the guest's files that neither the newest kernel nor a live broker uses."""
    if any("guest" not in run for run in runs) or live - {run.get("session") for run in runs}:
        return []  # a kernel is starting
    used = {os.path.basename(run["guest"]) for run in runs}
    names = sorted(os.listdir(f"{home}/guest"), key=lambda name: os.lstat(f"{home}/guest/{name}").st_mtime_ns)
    return sorted(name for name in names[:-1] if name not in used and not is_young(f"{home}/guest/{name}"))


# -- what leads where --------------------------------------------------------------------------------------------------


def _owners(layers: Iterable[Layer]) -> dict[str, list[str]]:
    """Return the layers of each session by their own records: what it committed last, it may not have written down."""
    owners: dict[str, list[str]] = {}
    for layer in layers:
        owner = layer.cell.get("session")
        if isinstance(owner, str):
            owners.setdefault(owner, []).append(layer.id)
    return owners


def _names(session: Session, owners: dict[str, list[str]]) -> list[str]:
    """Return the image and the layers of a session. All its cells: each is the tip of a branch, or below one."""
    named = [session.image, session.head, *session.previous_heads, *(cell.get("layer") for cell in session.cells)]
    return [*(name for name in named if isinstance(name, str)), *owners.get(session.id, ())]


def _reach(store: Store, names: Iterable[str], unreadable: list[str]) -> set[str]:
    """Return the images and layers `names` and all that they stand on; add what is damaged to `unreadable`."""
    reached: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in reached or not (_IMAGE.fullmatch(name) or _LAYER.fullmatch(name)):
            continue
        reached.add(name)
        try:
            pending += _below(store, name)
        except NotFoundError:  # gone already, and nothing is known to be behind it
            reached.discard(name)
        except StoreError as error:
            unreadable.append(str(error))
    return reached


def _below(store: Store, name: str) -> Iterable[str]:
    """Return what the image or layer `name` stands on; NotFoundError or StoreError when that cannot be told."""
    if _IMAGE.fullmatch(name):
        return store.image(name).layers
    layer = store.layer(name)
    return [below for below in (layer.parent, layer.image) if below is not None]


def _states(session: Session) -> set[str]:
    """Return the layers for which a session has a directory of variables."""
    try:
        return {name for name in os.listdir(session.state_root) if _LAYER.fullmatch(name)}
    except FileNotFoundError:
        return set()


def _unreached_states(store: Store, session: Session, owners: dict[str, list[str]]) -> set[str]:
    """Return the layers whose variables are in the session and which none of its layers needs; none in doubt."""
    unreadable: list[str] = []
    layers = {name for name in _reach(store, _names(session, owners), unreadable) if _LAYER.fullmatch(name)}
    if unreadable:
        return set()
    needed = layers | {store.layer(name).state or name for name in layers}
    found = _states(session)
    unreached = found - needed
    for name in found & needed if unreached else ():
        named = named_layers(f"{session.state_dir(name)}/{STATE_FILE}")
        if named is None:
            return set()
        unreached -= named
    return unreached


def named_layers(path: str) -> set[str] | None:
    """Return the layers that a manifest says its variables are in; None when it does not say so in good order.

    The file has come out of a container, and may be anything: its first 4 MiB are read, as JSON.
    """
    try:
        with files.open_regular(path) as file:
            head = file.readline(variables.MAX_HEAD + 1)
    except OSError:
        return None
    if len(head) > variables.MAX_HEAD:
        return None
    try:
        layers = json.loads(head)["layers"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(layers, list) or not all(isinstance(name, str) and _LAYER.fullmatch(name) for name in layers):
        return None
    return set(layers)


def _upper_first(store: Store, names: set[str]) -> list[str]:
    """Return the images and layers `names`, each before what it stands on, as far as that can be told."""
    order: list[str] = []
    seen: set[str] = set()
    pending = [(name, False) for name in sorted(names)]
    while pending:
        name, is_above_order = pending.pop()
        if is_above_order:
            order.append(name)
        elif name in names and name not in seen:
            seen.add(name)
            pending.append((name, True))
            with contextlib.suppress(NotFoundError, StoreError):
                pending += [(below, False) for below in _below(store, name)]
    return order[::-1]
