"""Squashed directories show in an overlay what their layers show."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstack_runtime.store import Changes, Layer, Store
from cellstack_runtime.store.marks import is_opaque, is_whiteout, make_opaque, make_whiteout
from cellstack_runtime.store.squash import squash

if TYPE_CHECKING:
    from pathlib import Path

    from cellstack_runtime.store import Image

WHITEOUT = None
Tree = dict[str, Any]  # name -> text, WHITEOUT or Tree; the key "" says that the directory is opaque


def write(tree: Tree, path: str) -> None:
    """Make directory `path` hold `tree`."""
    os.mkdir(path)
    for name, content in tree.items():
        if name == "":
            make_opaque(path)
        elif content is WHITEOUT:
            make_whiteout(f"{path}/{name}")
        elif isinstance(content, str):
            with open(f"{path}/{name}", "w", encoding="utf-8") as file:
                file.write(content)
        else:
            write(content, f"{path}/{name}")


def read(path: str) -> Tree:
    """Return the tree in directory `path`."""
    tree: Tree = {"": True} if is_opaque(path) else {}
    for name in os.listdir(path):
        here = f"{path}/{name}"
        status = os.lstat(here)
        if is_whiteout(here, status):
            tree[name] = WHITEOUT
        elif stat.S_ISDIR(status.st_mode):
            tree[name] = read(here)
        else:
            with open(here, encoding="utf-8") as file:
                tree[name] = file.read()
    return tree


def view(below: Tree, layer: Tree) -> Tree:
    """Return what an overlay of `layer` on the plain tree `below` shows: the rules of overlayfs, once more."""
    merged = {} if "" in layer else dict(below)
    for name, content in layer.items():
        if name == "":
            continue
        if content is WHITEOUT:
            merged.pop(name, None)
        elif isinstance(content, str):
            merged[name] = content
        else:
            old = merged.get(name)
            merged[name] = view(old if isinstance(old, dict) else {}, content)
    return merged


def trees(depth: int) -> st.SearchStrategy[Tree]:
    leaf: st.SearchStrategy[Any] = st.one_of(st.just(WHITEOUT), st.sampled_from(["one", "two"]))
    content = leaf if depth == 0 else st.one_of(leaf, trees(depth - 1))
    names = st.sampled_from(["a", "b", "c"])
    plain = st.dictionaries(names, content, max_size=3)
    return plain if depth == 2 else st.one_of(plain, plain.map(lambda tree: {"": True, **tree}))


def plain(tree: Tree) -> Tree:
    return view({}, tree)


@pytest.fixture(scope="module", autouse=True)
def _marks_work(tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        make_opaque(str(tmp_path_factory.mktemp("marks")))
    except OSError as error:
        pytest.skip(f"the temporary directory has no extended attributes: {error.strerror}")


@settings(max_examples=200, deadline=None)
@given(trees(2).map(plain), st.lists(trees(2), min_size=1, max_size=4))
def test_squashed_directory_shows_what_its_layers_show(base: Tree, layers: list[Tree]) -> None:
    expected = base
    for layer in layers:
        expected = view(expected, layer)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, layer in enumerate(layers):
            paths.append(f"{folder}/{number}")
            write(layer, paths[-1])
        squash(paths, f"{folder}/squashed")
        assert view(base, read(f"{folder}/squashed")) == expected


def test_whiteouts_under_nothing_are_left_out(tmp_path: Path) -> None:
    # In a directory that is not merged, overlayfs lists a whiteout as a device.
    write({"new": {"": True, "file": "one", "other": "two"}}, str(tmp_path / "0"))
    write({"new": {"file": WHITEOUT}}, str(tmp_path / "1"))
    squash([str(tmp_path / "0"), str(tmp_path / "1")], str(tmp_path / "squashed"))
    assert read(str(tmp_path / "squashed")) == {"new": {"": True, "other": "two"}}


def test_files_are_links_and_directories_keep_mode_and_time(tmp_path: Path) -> None:
    write({"d": {"f": "one"}}, str(tmp_path / "0"))
    os.chmod(tmp_path / "0/d", 0o500)
    os.utime(tmp_path / "0/d", (5, 6))
    squash([str(tmp_path / "0")], str(tmp_path / "squashed"))
    assert os.path.samefile(tmp_path / "0/d/f", tmp_path / "squashed/d/f")
    status = os.stat(tmp_path / "squashed/d")
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o500, 6)


def test_directory_that_a_cell_closed_is_squashed_and_stays_closed(tmp_path: Path) -> None:
    write({"d": {"f": "one"}}, str(tmp_path / "0"))
    os.chmod(tmp_path / "0/d", 0)
    squash([str(tmp_path / "0")], str(tmp_path / "squashed"))
    for folder in ("0", "squashed"):
        assert stat.S_IMODE(os.stat(tmp_path / folder / "d").st_mode) == 0
        os.chmod(tmp_path / folder / "d", 0o700)
        assert os.listdir(tmp_path / folder / "d") == ["f"]


def grow(store: Store, image: Image, parent: str | None, number: int) -> str:
    """Commit a layer with one file, named by `number`, and return its id."""
    prepared = f"{store.home}/runs/{secrets.token_hex(4)}"
    os.mkdir(prepared)
    os.mkdir(f"{prepared}/work")
    write({f"file{number}": str(number), "last": str(number)}, f"{prepared}/root")
    layer = Layer(
        secrets.token_hex(16), parent, image.id, "", root=True, work=False,
        changes=Changes(), state=None, cell={}, digest=None,
    )  # fmt: skip
    store.commit(prepared, layer)
    return layer.id


def test_five_hundred_layers_never_stack_higher_than_a_hundred(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"))
    image = store.put_image([], {}, "")
    head, highest, squashed = None, 0, 0
    for number in range(500):
        head = grow(store, image, head, number)
        squashed += store.squash(image, head, "root")
        highest = max(highest, len(store.lowers(image, head, "root")))
    assert highest <= 66
    assert squashed == 7
    merged: Tree = {}
    for path in reversed(store.lowers(image, head, "root")):
        merged = view(merged, read(path))
    assert merged == {**{f"file{n}": str(n) for n in range(500)}, "last": "499"}
    assert os.listdir(f"{store.home}/build") == []
