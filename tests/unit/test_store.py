"""The store: records, atomicity, references, sessions, removal."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_runtime.errors import NotFoundError, StoreError, UsageError
from cellstack_runtime.store import Changes, Layer, Store

if TYPE_CHECKING:
    from pathlib import Path

    from cellstack_runtime.store import Session


@pytest.fixture(name="own")
def _own(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def add_layer(
    store: Store,
    parent: str | None = None,
    *,
    image: str | None = None,
    root: dict[str, str] | None = None,
    cell: dict[str, Any] | None = None,
    state: bool = False,
) -> Layer:
    """Commit a layer with the files `root`; state: with variables of its own."""
    layer_id = secrets.token_hex(16)
    prepared = f"{store.home}/runs/{secrets.token_hex(4)}"
    os.makedirs(f"{prepared}/root")
    os.mkdir(f"{prepared}/work")
    for name, text in (root or {}).items():
        with open(f"{prepared}/root/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    layer = Layer(
        id=layer_id,
        parent=parent,
        image=image,
        created="2026-01-01T00:00:00.000000Z",
        root=bool(root),
        work=False,
        changes=Changes(added=len(root or {}), bytes=10),
        state=layer_id if state else None,
        cell=cell or {"number": 1},
        digest=None,
    )
    store.commit(prepared, layer)
    return layer


def test_committed_layer_is_read_back_by_another_process_object(own: Store) -> None:
    layer = add_layer(own, root={"a": "x"})
    assert Store.open(own.home).layer(layer.id) == layer
    assert os.listdir(own.layer_path(layer.id, "root")) == ["a"]
    assert os.listdir(f"{own.home}/runs") == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "'id' is missing"),
        ('{"id": 5}', "'id' is a int"),
    ],
)
def test_corrupt_layer_is_named_with_its_reason(own: Store, text: str, why: str) -> None:
    layer = add_layer(own)
    path = f"{own.home}/layers/{layer.id}/layer.json"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    fresh = Store.open(own.home)
    with pytest.raises(StoreError, match=f"layer {layer.id[:12]} is corrupt: .*{why}"):
        fresh.layer(layer.id)
    assert fresh.layers() == []


def test_record_of_another_layer_is_refused(own: Store) -> None:
    first, second = add_layer(own), add_layer(own)
    os.replace(f"{own.home}/layers/{first.id}/layer.json", f"{own.home}/layers/{second.id}/layer.json")
    with pytest.raises(StoreError, match="its record names layer"):
        Store.open(own.home).layer(second.id)


def test_chain_runs_from_the_lowest_layer_to_the_given_one(own: Store) -> None:
    first = add_layer(own, image="i")
    second = add_layer(own, first.id, image="i")
    add_layer(own, first.id, image="i")
    assert own.chain(second.id) == [first, second]


def test_chain_that_bites_its_tail_is_an_error(own: Store) -> None:
    layer = add_layer(own)
    path = f"{own.home}/layers/{layer.id}/layer.json"
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**data, "parent": layer.id}, file)
    with pytest.raises(StoreError, match="its own ancestor"):
        Store.open(own.home).chain(layer.id)


def test_lowers_are_top_first_without_empty_layers_and_end_with_the_image(own: Store) -> None:
    base, env = add_layer(own, root={"b": ""}), add_layer(own, root={"e": ""})
    image = own.put_image([base.id, env.id], {"Env": []}, "2026-01-01T00:00:00.000000Z")
    one = add_layer(own, image=image.id, root={"x": ""})
    empty = add_layer(own, one.id, image=image.id)
    two = add_layer(own, empty.id, image=image.id, root={"y": ""})
    expected = [own.layer_path(layer.id, "root") for layer in (two, one, env, base)]
    assert own.lowers(image, two.id, "root") == expected
    assert own.lowers(image, None, "root") == expected[2:]
    assert own.lowers(image, two.id, "work") == []


def test_layer_is_found_by_prefix(own: Store) -> None:
    layer, other = add_layer(own), add_layer(own)
    length = next(n for n in range(1, 33) if layer.id[:n] != other.id[:n])
    assert own.find_layer(layer.id[:length]) == layer
    if length > 1:
        with pytest.raises(UsageError, match="any of 2"):
            own.find_layer(layer.id[: length - 1])
    for wrong in ("", "zz", "../x"):
        with pytest.raises(NotFoundError):
            own.find_layer(wrong)


def test_image_is_found_by_name_tag_and_id(own: Store) -> None:
    layer = add_layer(own, root={"b": ""})
    image = own.put_image([layer.id], {"Env": ["A=1"]}, "2026-01-01T00:00:00.000000Z")
    own.tag(image.id, "cellstack/default")
    own.tag(image.id, "cellstack/default/more:v1")
    for reference in ("default", "cellstack/default", "cellstack/default:latest", image.id, image.id[:8]):
        assert own.image(reference) == image
    assert own.images() == [(("cellstack/default/more:v1", "cellstack/default:latest"), image)]
    assert image.size == 10
    own.untag("cellstack/default")
    with pytest.raises(NotFoundError, match=r"no image 'default'.*cellstack images"):
        own.image("default")


@pytest.mark.parametrize("reference", ["../x", "a:b:c", "/etc/passwd", "A", "a//b", "", "x:../y", "a/.."])
def test_names_that_are_none_are_refused(own: Store, reference: str) -> None:
    with pytest.raises((UsageError, NotFoundError)):
        own.image(reference)
    with pytest.raises((UsageError, NotFoundError)):
        own.tag("0" * 64, reference)


def test_changed_image_record_is_corrupt(own: Store) -> None:
    image = own.put_image([], {}, "2026-01-01T00:00:00.000000Z")
    with open(f"{own.home}/images/{image.id}.json", "a", encoding="utf-8") as file:
        file.write(" ")
    with pytest.raises(StoreError, match="corrupt"):
        own.image(image.id)


def test_store_of_a_newer_version_is_refused_with_both_numbers(own: Store) -> None:
    with open(f"{own.home}/store.json", "w", encoding="utf-8") as file:
        file.write('{"version": 7}')
    with pytest.raises(StoreError, match=r"version 7, this Cellstack knows 1"):
        Store.open(own.home)


def test_unwritable_store_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"not writable.*CELLSTACK_HOME"):
        Store.open(str(tmp_path / "file" / "store"))


def test_home_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELLSTACK_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert Store.open().home == str(tmp_path / "data/cellstack")
    monkeypatch.setenv("CELLSTACK_HOME", str(tmp_path / "mine"))
    assert Store.open().home == str(tmp_path / "mine")


def test_session_is_read_back_and_found_by_notebook(own: Store, tmp_path: Path) -> None:
    notebook = str(tmp_path / "a.ipynb")
    session = own.create_session(notebook, "0" * 64)
    session.head = "1" * 32
    session.previous_heads.append(None)
    session.cells.append({"layer": "1" * 32, "number": 1})
    session.save()
    assert own.session(session.id[:6]) == session
    assert own.session(notebook) == session
    assert own.sessions() == [session]
    assert session.state_dir("1" * 32) == f"{own.home}/sessions/{session.id}/state/{'1' * 32}"
    assert os.path.isdir(session.state_root)


def test_sessions_follow_notebooks_that_are_moved_also_while_their_kernel_writes(own: Store) -> None:
    live, beside = own.create_session("/a/n.ipynb", "0" * 64), own.create_session("/ab/n.ipynb", "0" * 64)
    assert own.move_notebooks("/a", "/b") == [live.id]
    live.head = "1" * 32
    live.save()
    found = own.session("/b/n.ipynb")
    assert (found.id, found.head, found.notebook) == (live.id, live.head, "/b/n.ipynb")
    assert own.session(beside.id).notebook == "/ab/n.ipynb"
    assert own.move_notebooks("/b/n.ipynb", "/c.ipynb") == [live.id]
    assert own.session(live.id).notebook == "/c.ipynb"


def test_session_has_one_live_owner(own: Store) -> None:
    session = own.create_session(None, "0" * 64)
    other = own.session(session.id)
    assert other.is_live()
    with pytest.raises(StoreError, match="in use by another kernel"):
        other.acquire()
    session.release()
    assert not other.is_live()
    other.acquire()


def test_corrupt_session_is_an_error_for_itself_only(own: Store) -> None:
    good, bad = own.create_session(None, "0" * 64), own.create_session(None, "0" * 64)
    with open(f"{bad.path}/session.json", "w", encoding="utf-8") as file:
        file.write('{"created": 1, "cells": []}')
    with pytest.raises(StoreError, match=f"session {bad.id} is corrupt"):
        own.session(bad.id)
    assert own.sessions() == [good]


def test_removal_takes_closed_and_very_deep_directories_and_follows_no_link(own: Store, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    tree = f"{own.home}/runs/x"
    os.makedirs(f"{tree}/closed/inner")
    os.symlink(precious, f"{tree}/closed/link")
    os.chmod(f"{tree}/closed/inner", 0)
    os.chmod(f"{tree}/closed", 0)
    fd = os.open(tree, os.O_RDONLY)
    for _ in range(3000):  # longer than a path may be
        os.mkdir("deeper", dir_fd=fd)
        below = os.open("deeper", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    own.remove_tree(tree)
    assert not os.path.lexists(tree)
    assert os.listdir(f"{own.home}/trash") == []
    assert (precious / "file").read_text() == "keep"
    own.remove_tree(tree)


def test_removal_stays_in_the_store(own: Store, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    os.symlink(tmp_path, f"{own.home}/runs/link")
    for path in (str(outside), f"{own.home}/runs/link/outside", own.home, f"{own.home}/../outside"):
        with pytest.raises(StoreError, match="not below the store"):
            own.remove_tree(path)
    assert outside.is_dir()


def test_opening_sweeps_what_a_killed_process_left_and_only_that(own: Store) -> None:
    code = (
        "import os, sys\n"
        "from cellstack_runtime.store import Store\n"
        "with Store.open(sys.argv[1]).building() as path:\n"
        "    open(path + '/half', 'w').close()\n"
        "    os._exit(0)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, own.home], check=True, env=env)
    os.makedirs(f"{own.home}/trash/abc/d")
    assert len(os.listdir(f"{own.home}/build")) == 2
    with own.building() as mine:
        Store.open(own.home)
        name = os.path.basename(mine)
        assert sorted(os.listdir(f"{own.home}/build")) == [name, f"{name}.lock"]
        assert os.path.isdir(mine)
    assert os.listdir(f"{own.home}/build") == []
    assert os.listdir(f"{own.home}/trash") == []


def test_digest_is_added_to_a_layer(own: Store) -> None:
    layer = add_layer(own)
    assert own.set_digest(layer.id, "sha256:ab").digest == "sha256:ab"
    assert Store.open(own.home).layer(layer.id).digest == "sha256:ab"


def killed_session(store: Store, notebook: str = "/n.ipynb") -> Session:
    """Return a session that a kernel had in another process, which is dead."""
    session = store.create_session(notebook, "", kernel="connection")
    session.release()
    return session


def test_what_a_dead_kernel_committed_last_is_found(own: Store) -> None:
    session = killed_session(own)
    first = add_layer(own, cell={"number": 1, "session": session.id})
    second = add_layer(own, first.id, cell={"number": 2, "session": session.id})
    add_layer(own, first.id, cell={"number": 2, "session": "another"})
    left = own.left_session("/n.ipynb", "another connection")
    assert left is not None
    assert (left.id, left.head, left.ended) == (session.id, second.id, None)
    assert [cell["layer"] for cell in left.cells] == [first.id, second.id]
    assert left.is_live()


def test_layer_whose_variables_are_incomplete_is_left_out(own: Store) -> None:
    session = killed_session(own)
    first = add_layer(own, cell={"number": 1, "session": session.id})
    second = add_layer(own, first.id, cell={"number": 2, "session": session.id}, state=True)
    os.makedirs(session.state_dir(second.id))
    left = own.left_session(None, "connection")
    assert left is not None
    assert left.head == first.id
    with open(f"{session.state_dir(second.id)}/manifest", "w", encoding="utf-8") as file:
        file.write("{}")
    left.release()
    again = own.left_session(None, "connection")
    assert again is not None
    assert again.head == second.id


def test_sessions_of_commands_and_of_live_kernels_are_not_gone_on_with(own: Store) -> None:
    own.create_session("/n.ipynb", "").release()
    live = own.create_session("/n.ipynb", "", kernel="other connection")
    assert own.left_session("/n.ipynb", "connection") is None
    live.release()
    assert own.left_session("/n.ipynb", "connection") == live
