"""What every container finds read-only at /run/cellstack/guest: our guest code, and IPython with what it needs.

So an image needs Python, and nothing of Jupyter. Only pure Python is given: the image's interpreter may be another.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import sys
from typing import TYPE_CHECKING

import cellstack_guest
from cellstack_runtime.errors import StoreError
from cellstack_runtime.image.bytecode import compile_missing
from cellstack_runtime.image.environment import stat_pass
from cellstack_runtime.image.tree import Tree
from cellstack_runtime.store.files import SPACE_HINT, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellstack_runtime.store import Store

ROOTS = ("ipython", "cloudpickle", "comm", "matplotlib-inline")
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)[^;]*(?:;(.*))?")
_COMPILED = (".so", ".pyd", ".dylib")


def guest_directory(store: Store) -> str:
    """Return the directory of the guest's files in the store, made anew when what it comes from has changed."""
    listing = f"{store.home}/cache/guest-{_short(sys.prefix)}.json"
    ours = os.path.dirname(os.path.abspath(cellstack_guest.__file__))
    closure = _cached_closure(listing)
    key = _key(ours, closure)
    path = f"{store.home}/guest/{key}"
    if os.path.isdir(path):
        return path
    with store.locked("guest"):
        closure = _closure()
        key = _key(ours, closure)
        path = f"{store.home}/guest/{key}"
        if not os.path.isdir(path):
            try:
                with store.building() as folder:
                    _fill(f"{folder}/guest", ours, closure)
                    os.rename(f"{folder}/guest", path)
            except OSError as error:
                raise StoreError(f"the guest's files cannot be written: {error}", hint=SPACE_HINT) from error
        write_atomic(listing, json.dumps(closure))
    return path


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _cached_closure(listing: str) -> list[str]:
    try:
        with open(listing, encoding="utf-8") as file:
            closure = json.load(file)
    except (FileNotFoundError, ValueError):
        return []
    return closure if isinstance(closure, list) and all(isinstance(path, str) for path in closure) else []


def _key(ours: str, closure: list[str]) -> str:
    """Return the fingerprint of our own files and of the installed distributions, each told by its RECORD."""
    digest = hashlib.sha256(sys.version.encode())
    stat_pass(digest, ours)
    for path in closure:
        status = next((os.stat(file) for file in (f"{path}/RECORD", path) if os.path.exists(file)), None)
        digest.update(f"{path}\0{status and (status.st_size, status.st_mtime_ns)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _closure() -> list[str]:
    """Return the metadata directories of the distributions in `ROOTS` and all they require, without extras."""
    found: dict[str, str] = {}
    pending = list(ROOTS)
    while pending:
        name = _normalised(pending.pop())
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if name in ROOTS:
                raise StoreError(
                    f"{name} is not installed in {sys.prefix}", hint="Install cellstack again in this environment"
                ) from None
            continue  # for another system or Python version
        found[name] = _metadata_directory(distribution, name)
        for requirement in distribution.requires or ():
            match = _REQUIREMENT.match(requirement)
            if match and "extra" not in (match[2] or ""):
                pending.append(match[1])
    return sorted(found.values())


def _metadata_directory(distribution: importlib.metadata.Distribution, name: str) -> str:
    """Return the `.dist-info` or `.egg-info` directory of the distribution with the normalised `name`."""
    site = os.path.abspath(str(distribution.locate_file("")))
    for entry in os.listdir(site):
        if (
            entry.endswith((".dist-info", ".egg-info"))
            and _normalised(re.split(r"-\d|\.(?=\w+-info)", entry)[0]) == name
        ):
            return f"{site}/{entry}"
    raise StoreError(f"the package {name} in {site} has no metadata", hint="Install it again with pip")


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _files(path: str) -> list[str]:
    """Return the files of the distribution with its metadata in `path`, relative to its site directory.

    Linux distributions leave the record of files out: then these are its modules and packages.
    """
    distribution = importlib.metadata.Distribution.at(path)
    site = os.path.dirname(path)
    names = [str(file) for file in distribution.files or ()]
    if any(name.endswith(".py") for name in names):
        return [name for name in names if not name.startswith(("..", "/"))]
    default = _normalised(distribution.metadata["Name"]).replace("-", "_")
    names = [os.path.relpath(entry.path, site) for entry in os.scandir(path) if entry.is_file()]
    for module in (distribution.read_text("top_level.txt") or default).split():
        if os.path.isfile(f"{site}/{module}.py"):
            names.append(f"{module}.py")
        for folder, _, found in os.walk(f"{site}/{module}"):
            names += [os.path.relpath(f"{folder}/{name}", site) for name in found if not name.endswith(".pyc")]
    return names


def _fill(root: str, ours: str, closure: Iterable[str]) -> None:
    """Fill directory `root` with the package in `ours` (a copy) and the pure distributions (links where allowed)."""
    tree = Tree(root, lambda _path: None)
    tree.mirror(ours, f"/{os.path.basename(ours)}", copy=True, skip=lambda _folder, name: name == "__pycache__")
    for path in closure:
        names = _files(path)
        if any(name.endswith(_COMPILED) for name in names):
            continue  # for the host's interpreter only
        for name in names:
            source = os.path.join(os.path.dirname(path), name)
            if os.path.isfile(source):
                tree.file(source, f"/{name}")
    compile_missing(tree.root)
