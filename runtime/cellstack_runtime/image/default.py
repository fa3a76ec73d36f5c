"""The default image: the environment that runs this code, as layers of the store.

Three layers, each made anew only when what it comes from has changed: the base interpreter with a small userland,
the installed packages, and copies of editable sources. Which changed is told by a stat pass, 0.1 s for 30,000 files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cellstack_runtime import archive
from cellstack_runtime.errors import NotFoundError, StoreError
from cellstack_runtime.image import environment as environments
from cellstack_runtime.image.layers import base_filter, build_base, build_packages, build_sources, source_filter
from cellstack_runtime.store import Changes, Layer
from cellstack_runtime.store.files import SPACE_HINT, write_atomic
from cellstack_runtime.store.store import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellstack_runtime.image.environment import Environment
    from cellstack_runtime.image.layers import Built
    from cellstack_runtime.store import Image, Store

REFERENCE = "cellstack/default:latest"
FORMAT = 2  # counted up when the same environment would give another image
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PARTS = ("base", "packages", "sources")


@dataclass(frozen=True, slots=True)
class _Record:
    """What this environment's image was last made of; `cache/default-….json`.

    image: its id, "" while it is being built. keys: a fingerprint for each part. layers: the layer of each part.
    watch: for each part the single files of the host behind it (tools, shared libraries), with [bytes, modification
    time in ns].
    """

    image: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)
    watch: dict[str, dict[str, list[int]]] = field(default_factory=dict)


def ensure_default(store: Store, progress: Callable[[str], None] = lambda _line: None, *, check: bool = True) -> Image:
    """Return the image of the environment that runs this code, building it when it is not there or has changed.

    progress: is given one line when there is something to build. check: compare with the environment; without it
    an image that is there is taken as it is. Processes that need it at once build it once. StoreError when it
    cannot be built.
    """
    environment = environments.current()
    path = _record_path(store, environment)
    found = _current(store, environment, path, check=check)
    if found is None:
        with store.locked("default-image"):
            found = _current(store, environment, path, check=check)
            if found is None:
                progress(_announcement(store, path, environment))
                try:
                    found = _build(store, environment, path)
                except OSError as error:
                    raise StoreError(f"{REFERENCE} cannot be built: {error}", hint=SPACE_HINT) from error
    with contextlib.suppress(NotFoundError, StoreError):
        if store.image(REFERENCE).id == found.id:
            return found
    store.tag(found.id, REFERENCE)
    return found


def _announcement(store: Store, path: str, environment: Environment) -> str:
    record = _read(path)
    if record is not None and _image(store, record) is not None:
        return "the environment has changed: building the image cellstack/default anew"
    return f"building the image cellstack/default from {environment.prefix}"


def _record_path(store: Store, environment: Environment) -> str:
    name = hashlib.sha256(environment.prefix.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{store.home}/cache/default-{name}.json"


def _read(path: str) -> _Record | None:
    try:
        with open(path, encoding="utf-8") as file:
            return _Record(**json.load(file))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return None  # only a cache: the image is made anew, and the record with it


def _image(store: Store, record: _Record) -> Image | None:
    """Return the recorded image if it and its layers are there and sound."""
    if not record.image:
        return None
    try:
        image = store.image(record.image)
        for layer in image.layers:
            store.layer(layer)
    except (NotFoundError, StoreError):
        return None
    return image


def _current(store: Store, environment: Environment, path: str, *, check: bool) -> Image | None:
    record = _read(path)
    if record is None:
        return None
    if check:
        keys = _keys(store, environment)
        if any(not _is_fresh(record, part, keys) for part in keys):
            return None
    return _image(store, record)


def _is_fresh(record: _Record, part: str, keys: dict[str, str]) -> bool:
    watched = record.watch.get(part, {})
    return record.keys.get(part) == keys[part] and all(_status(path) == was for path, was in watched.items())


def _status(path: str) -> list[int]:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _keys(store: Store, environment: Environment) -> dict[str, str]:
    """Return the fingerprint of each part. Cheap, and the same as long as the part would come out the same."""
    store_path = os.path.realpath(store.home)
    base = [FORMAT, sys.version, environment.base, environment.executable]
    keys = {"base": base, "packages": [base, asdict(environment)], "sources": [base, asdict(environment)["sources"]]}
    digests = {part: hashlib.sha256(json.dumps([part, key]).encode()) for part, key in keys.items()}
    stdlib = environment.stdlib
    environments.stat_pass(
        digests["base"], stdlib, lambda folder, name: folder == stdlib and name in environments.LEFT_OUT
    )
    if environment.base != "/usr":
        environments.stat_pass(digests["base"], f"{environment.base}/lib", base_filter(environment))
    folders = [environment.prefix] if environment.in_venv else []
    folders += [path for path in environment.site if not path.startswith(f"{environment.prefix}/") or not folders]
    for folder in folders:
        environments.stat_pass(digests["packages"], folder, lambda at, name: f"{at}/{name}" == store_path)
    for source in environment.sources:
        environments.stat_pass(digests["sources"], source.host, source_filter(environment, store_path))
        digests["sources"].update(json.dumps(_status(source.host) if os.path.isfile(source.host) else []).encode())
    return {part: digest.hexdigest() for part, digest in digests.items()}


def _build(store: Store, environment: Environment, path: str) -> Image:
    """Build the parts that changed, record the image; nothing counts before its record is written."""
    old = _read(path) or _Record()
    keys = _keys(store, environment)  # before anything is read: what changes meanwhile is noticed next time
    layers: dict[str, str] = {}
    watch: dict[str, dict[str, list[int]]] = {}
    store_path = os.path.realpath(store.home)

    def make(part: str, build: Callable[[str], Built], *, anew: bool = False) -> None:
        known = old.layers.get(part)
        if known is not None and not anew and _is_fresh(old, part, keys) and _exists(store, known):
            layers[part], watch[part] = known, old.watch.get(part, {})
            return
        with store.building() as folder:
            os.mkdir(f"{folder}/layer")
            os.mkdir(f"{folder}/layer/work")
            built = build(f"{folder}/layer/root")
            layers[part] = _commit(store, f"{folder}/layer", built, _created_by(environment, part))
        watch[part] = {file: _status(file) for file in built.watch}
        # If this process is killed now, the next one goes on from here.
        done = {name: keys[name] for name in layers}
        write_atomic(path, json.dumps(asdict(_Record("", done, layers, watch))))

    make("base", lambda root: build_base(environment, root))
    base = store.layer_path(layers["base"], "root")
    # Which libraries the packages have to bring depends on the base.
    new_base = layers["base"] != old.layers.get("base")
    make("packages", lambda root: build_packages(environment, root, base, store_path), anew=new_base)
    if environment.sources:
        make("sources", lambda root: build_sources(environment, root, store_path))
    image = store.put_image([layers[part] for part in PARTS if part in layers], _config(environment, keys), now())
    write_atomic(path, json.dumps(asdict(_Record(image.id, keys, layers, watch))))
    return image


def _exists(store: Store, layer: str) -> bool:
    try:
        store.layer(layer)
    except (NotFoundError, StoreError):
        return False
    return True


def _commit(store: Store, prepared: str, built: Built, created_by: str) -> str:
    digest, _ = archive.digest(built.root)
    layer = Layer(
        id=secrets.token_hex(16),
        parent=None,
        image=None,
        created=now(),
        root=True,
        work=False,
        changes=Changes(added=built.files, bytes=built.bytes),
        state=None,
        cell={"created_by": created_by},
        digest=digest,
    )
    store.commit(prepared, layer)
    return layer.id


def _created_by(environment: Environment, part: str) -> str:
    """Return what `docker history` calls CREATED BY: what a layer was made from."""
    match part:
        case "base":
            return f"Python {sys.version.split()[0]} of {environment.base}, and programs of this host"
        case "packages":
            return f"packages of {environment.prefix}"
        case _:
            return f"packages that are in folders of their own: {', '.join(at.host for at in environment.sources)}"


def _config(environment: Environment, keys: dict[str, str]) -> dict[str, Any]:
    env = [f"PATH={SYSTEM_PATH}", "LANG=C.UTF-8"]
    if environment.in_venv:
        env = [f"PATH={environments.VENV}/bin:{SYSTEM_PATH}", "LANG=C.UTF-8", f"VIRTUAL_ENV={environments.VENV}"]
    translate = environment.translator()
    extra = [translate(path) for path in environment.extra_path]
    if any(extra):
        env.append(f"PYTHONPATH={':'.join(path for path in extra if path)}")
    key = hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()
    return {
        "Env": env,
        "Cmd": ["python3"],
        "WorkingDir": "/work",
        "cellstack": {"python": environment.python, "key": key, "sys_path": environment.sys_path()},
    }
