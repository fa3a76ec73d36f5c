"""What `collect` keeps and removes, and what is left when it ends before its time."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstack_runtime.errors import CellstackError, StoreError
from cellstack_runtime.store import Changes, Layer, Session, Store, files
from cellstack_runtime.store.collect import MIN_AGE, Garbage, collect, plan
from cellstack_runtime.store.usage import usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEVER_SAVED = "no manifest"


@pytest.fixture(name="own")
def _own(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def add_layer(
    store: Store,
    parent: str | None = None,
    *,
    image: str | None = None,
    session: Session | None = None,
    owner: str | None = None,
) -> str:
    """Commit a layer of 10,000 bytes, of a session if there is one, with variables of its own there."""
    name = secrets.token_hex(16)
    prepared = f"{store.home}/runs/{name}"
    os.makedirs(f"{prepared}/root")
    os.mkdir(f"{prepared}/work")
    with open(f"{prepared}/root/file", "wb") as file:
        file.write(bytes(10_000))
    state = None
    if session is not None:
        save(session, name, [name])
        session.head = state = name
        session.cells.append({"layer": name, "number": 1})
        session.save()
    layer = Layer(
        name, parent, image, "2026-01-01T00:00:00.000000Z", root=True, work=False,
        changes=Changes(added=1, bytes=10_000), state=state, cell={"session": owner} if owner else {}, digest=None,
    )  # fmt: skip
    store.commit(prepared, layer)
    return name


def save(session: Session, layer: str, refers_to: list[str] | str | bytes) -> None:
    """Make the directory of variables of a layer. refers_to: the layers of its manifest, or the manifest itself."""
    os.makedirs(session.state_dir(layer), exist_ok=True)
    if refers_to == NEVER_SAVED:
        return
    text = json.dumps({"version": 2, "layers": refers_to}).encode() if isinstance(refers_to, list) else refers_to
    with open(f"{session.state_dir(layer)}/manifest", "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())


def add_image(store: Store, *layers: str, tag: str | None = None) -> str:
    image = store.put_image(layers or [add_layer(store)], {"n": secrets.token_hex(4)}, "2026-01-01T00:00:00.000000Z")
    if tag:
        store.tag(image.id, tag)
    return image.id


def add_session(store: Store, image: str, notebook: str | None = "/", *, live: bool = False) -> Session:
    session = store.create_session(notebook, image)
    if not live:
        session.release()
    return session


def fresh(store: Store) -> Store:
    """Return the store as another process sees it."""
    return Store(store.home)


def listing(store: Store, folder: str) -> set[str]:
    return {name.removesuffix(".json") for name in os.listdir(f"{store.home}/{folder}")}


def run(store: Store, *, everything: bool = False, min_age: float = 0) -> Garbage:
    return collect(fresh(store), everything=everything, min_age=min_age)


def damage(path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("{")


# -- what is reached ---------------------------------------------------------------------------------------------------


def test_session_keeps_branches_what_was_undone_its_image_and_its_variables(own: Store) -> None:
    session = add_session(own, add_image(own))
    first = add_layer(own, image=session.image, session=session)
    branch = add_layer(own, first, image=session.image, session=session)
    head = add_layer(own, first, image=session.image, session=session)
    undone = add_layer(own, head, image=session.image)
    session.previous_heads = [None, undone]
    session.save()
    stray = add_layer(own, head, image=session.image)
    before = listing(own, "layers")
    garbage = run(own)
    assert (garbage.layers, garbage.images, garbage.states, garbage.sessions) == ([stray], [], [], [])
    assert listing(own, "layers") == before - {stray}
    assert {branch, head, undone} < listing(own, "layers")
    assert set(os.listdir(session.state_root)) == {first, branch, head}
    assert garbage.bytes >= 10_000


def test_layer_that_a_kernel_committed_and_did_not_write_down_before_it_died_is_kept(own: Store) -> None:
    session = add_session(own, add_image(own))
    first = add_layer(own, image=session.image, session=session)
    second = add_layer(own, first, image=session.image, owner=session.id)
    assert run(own).layers == []
    assert second in listing(own, "layers")


def test_image_with_a_tag_keeps_its_layers_and_an_old_default_image_goes(own: Store) -> None:
    old, new = (add_image(own, tag="cellstack/default") for _ in range(2))
    cells = [add_layer(own, image=old)]
    cells.append(add_layer(own, cells[0], image=old))
    made = add_image(own, *own.image(old).layers, *cells, tag="team/made")
    assert run(own).images == []  # layers of `made` stand on `old`
    own.untag("team/made")
    own_layers = own.image(old).layers
    garbage = run(own)
    assert set(garbage.images) == {old, made}
    order = [made, *reversed(cells), old, *own_layers]
    assert [name for name in garbage.objects if name in order] == order
    assert listing(own, "images") == {new}
    assert listing(own, "layers") == set(own.image(new).layers)


def test_image_that_another_environment_made_goes_only_with_all(own: Store) -> None:
    image, layer = add_image(own), add_layer(own)
    record = {"image": image, "layers": {"base": layer}}
    for name, text in (("default-1.json", json.dumps(record)), ("default-2.json", "["), ("default-3.json", "[]")):
        with open(f"{own.home}/cache/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    assert (run(own).images, run(own).layers) == ([], [])
    garbage = run(own, everything=True)
    assert garbage.images == [image]
    assert layer in garbage.layers


def test_variables_go_when_no_layer_needs_them_and_stay_when_a_manifest_names_them(own: Store) -> None:
    session = add_session(own, add_image(own))
    head = add_layer(own, image=session.image, session=session)
    named, lost = secrets.token_hex(16), secrets.token_hex(16)
    for name in (named, lost):
        save(session, name, [])
    save(session, head, [head, named])
    assert run(own).states == [f"{session.id}/{lost}"]
    assert set(os.listdir(session.state_root)) == {head, named}


def test_variables_of_a_layer_that_is_gone_go_when_they_are_old(own: Store) -> None:
    session = add_session(own, add_image(own))
    first = add_layer(own, image=session.image, session=session)
    gone = add_layer(own, first, image=session.image, session=session)
    own.remove_layer(gone)
    save(session, "f" * 32, [])  # its layer was never committed
    assert run(own, min_age=MIN_AGE).states == []
    assert run(own).states == sorted(f"{session.id}/{name}" for name in (gone, "f" * 32))
    assert os.listdir(session.state_root) == [first]


def test_manifest_reaches_nothing_outside_of_its_session(own: Store) -> None:
    session = add_session(own, add_image(own))
    head = add_layer(own, image=session.image, session=session)
    stray = add_layer(own)
    save(session, head, [head, stray])
    save(session, "f" * 32, [])  # something to look at manifests for
    assert run(own).layers == [stray]


@pytest.mark.parametrize(
    "text",
    [
        NEVER_SAVED, "", "\n{}", "{", "[]", "7", "null", "{}", '{"layers": {}}', '{"layers": "x"}', '{"layers": [1]}',
        '{"layers": ["../../../etc"]}', '{"layers": ["' + "A" * 32 + '"]}', "[" * 100_000, "9" * 100_000,
        b"\xff\xfe\x00", b'{"layers": ["\xff"]}', '{"layers": [' + '"x",' * 2_000_000,
    ],
)  # fmt: skip
def test_damaged_manifest_keeps_all_variables_of_its_session_only(own: Store, text: str | bytes) -> None:
    image = add_image(own, tag="x")
    sessions = [add_session(own, image) for _ in range(2)]
    for session in sessions:
        add_layer(own, image=image, session=session)
        save(session, "f" * 32, [])
    bad, good = sessions
    assert bad.head is not None
    os.unlink(f"{bad.state_dir(bad.head)}/manifest")
    save(bad, bad.head, text)
    garbage = run(own)
    assert garbage.states == [f"{good.id}/{'f' * 32}"]
    assert garbage.unreadable == []


def test_manifest_that_is_no_file_is_not_waited_for_nor_followed(own: Store, tmp_path: Path) -> None:
    session = add_session(own, add_image(own))
    head = add_layer(own, image=session.image, session=session)
    save(session, "f" * 32, [])
    path = f"{session.state_dir(head)}/manifest"
    (tmp_path / "other").write_text('{"layers": []}')
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink(tmp_path / "other", path)):
        os.unlink(path)
        make(path)
        assert run(own).states == []
        if not os.path.islink(path) and os.path.isdir(path):
            os.rmdir(path)
            open(path, "w").close()


def test_damaged_record_keeps_all_layers_and_images_and_is_named(own: Store) -> None:
    image, session = add_image(own), add_session(own, add_image(own, tag="x"))
    lower = add_layer(own, image=session.image)
    head = add_layer(own, lower, image=session.image, session=session)
    damage(f"{own.home}/layers/{head}/layer.json")
    garbage = run(own)
    assert (garbage.layers, garbage.images) == ([], [])
    assert [head[:12] in text for text in garbage.unreadable] == [True]
    damage(f"{session.path}/session.json")
    garbage = run(own, everything=True)
    assert (garbage.sessions, garbage.layers) == ([], [])
    assert any(session.id in text for text in garbage.unreadable)
    assert image in listing(own, "images")
    damage(f"{own.home}/images/{own.tags()['x:latest']}.json")
    assert run(own).images == []


def test_what_was_never_complete_goes(own: Store) -> None:
    os.mkdir(f"{own.home}/layers/{'a' * 32}")
    os.mkdir(f"{own.home}/layers/{'b' * 32}")
    damage(f"{own.home}/layers/{'b' * 32}/layer.json")
    os.mkdir(f"{own.home}/sessions/{'c' * 12}")
    os.mkdir(f"{own.home}/squashed/{'d' * 32}.root")
    kept = add_image(own, tag="x")
    os.mkdir(f"{own.home}/squashed/{own.image(kept).layers[0]}.root")
    garbage = run(own)
    assert (garbage.layers, garbage.sessions) == (["a" * 32, "b" * 32], ["c" * 12])
    assert listing(own, "squashed") == {f"{own.image(kept).layers[0]}.root"}
    assert listing(own, "layers") == set(own.image(kept).layers)
    assert listing(own, "sessions") == set()


def test_layer_that_is_its_own_ancestor_is_no_endless_loop(own: Store) -> None:
    first = add_layer(own)
    second = add_layer(own, first)
    path = f"{own.home}/layers/{first}/layer.json"
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**data, "parent": second}, file)
    assert set(run(own).layers) == {first, second}


def test_results_of_cells_whose_layer_goes_are_forgotten(own: Store) -> None:
    session = add_session(own, add_image(own))
    kept, stray = add_layer(own, image=session.image, session=session), add_layer(own)
    os.mkdir(f"{own.home}/cache/cells")
    for name, text in (("1", f'{{"layer": "{kept}", "outputs"'), ("2", f'{{"layer": "{stray}"'), ("3", '{"other"')):
        with open(f"{own.home}/cache/cells/{name}.json", "w", encoding="utf-8") as file:
            file.write(text)
    garbage = run(own)
    assert (garbage.cached, garbage.layers) == (["2.json"], [stray])
    assert listing(own, "cache/cells") == {"1", "3"}


def test_layer_that_a_kernel_takes_from_the_cache_stays_or_is_gone_before(own: Store) -> None:
    image = add_image(own, tag="x")
    gone = add_session(own, image, "/nowhere/a.ipynb")
    hit, other = (add_layer(own, image=image, session=gone, owner=gone.id) for _ in range(2))
    session = add_session(own, image, live=True)
    assert own.adopt(session, hit, 1)
    garbage = run(own, everything=True)
    assert (garbage.layers, garbage.sessions) == ([other], [gone.id])
    later = add_session(own, image, live=True)
    assert not own.adopt(later, other, 1)
    assert (later.head, later.cells) == (None, [])


def test_taking_a_layer_waits_for_a_collection(own: Store) -> None:
    session = add_session(own, add_image(own), live=True)
    layer = add_layer(own)
    taking = threading.Thread(target=own.adopt, args=(session, layer, 1))
    with own.locked("collect"):
        taking.start()
        taking.join(0.1)
        assert session.head is None
    taking.join()
    assert session.head == layer


# -- all, age, use -----------------------------------------------------------------------------------------------------


def test_all_removes_sessions_whose_notebook_is_gone_and_their_layers_however_young(own: Store, tmp_path: Path) -> None:
    image = add_image(own, tag="x")
    there, gone = str(tmp_path / "there.ipynb"), str(tmp_path / "gone.ipynb")
    (tmp_path / "there.ipynb").touch()
    sessions = {
        name: add_session(own, image, notebook, live=live)
        for name, notebook, live in (
            ("there", there, False), ("gone", gone, False), ("live", gone, True), ("none", None, False),
        )
    }  # fmt: skip
    heads = {name: add_layer(own, image=image, session=session) for name, session in sessions.items()}
    assert run(own, min_age=MIN_AGE).bytes == 0
    garbage = run(own, everything=True, min_age=MIN_AGE)
    assert (garbage.sessions, garbage.layers) == ([sessions["gone"].id], [heads["gone"]])
    assert garbage.bytes > 10_000
    garbage = run(own, everything=True)
    assert (garbage.sessions, garbage.layers) == ([sessions["none"].id], [heads["none"]])
    assert listing(own, "sessions") == {sessions["there"].id, sessions["live"].id}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_notebook_that_cannot_be_looked_for_is_not_gone(own: Store, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    session = add_session(own, add_image(own), str(closed / "a.ipynb"))
    assert run(own, everything=True).sessions == []
    assert os.path.isdir(session.path)


def test_nothing_younger_than_the_age_goes_nor_what_it_stands_on(own: Store) -> None:
    image = add_image(own)
    lower = add_layer(own, image=image)
    upper = add_layer(own, lower, image=image)
    other = add_layer(own)
    for folder in ("layers", "images"):
        for name in os.listdir(f"{own.home}/{folder}"):
            os.utime(f"{own.home}/{folder}/{name}", (0, time.time() - MIN_AGE - 60))
    os.utime(f"{own.home}/layers/{upper}")
    garbage = run(own, min_age=MIN_AGE)
    assert (garbage.layers, garbage.images) == ([other], [])
    assert {lower, upper} < listing(own, "layers")


def test_everything_of_a_session_in_use_stays(own: Store) -> None:
    session = add_session(own, add_image(own), "/nowhere/a.ipynb", live=True)
    head = add_layer(own, image=session.image, session=session)
    save(session, "f" * 32, "{")  # a commit has moved the variables, and not yet the layer
    untold = add_layer(own, head)
    save(session, untold, [])
    assert run(own, everything=True) == Garbage()
    assert untold in listing(own, "layers")
    session.release()
    assert run(own, everything=True).sessions == [session.id]


def test_session_of_a_live_broker_is_in_use_and_its_guest_files_are(own: Store) -> None:
    session, other = (add_session(own, add_image(own, tag="x"), "/nowhere/a.ipynb") for _ in range(2))
    for age, name in ((4, "used"), (3, "old"), (2, "new")):
        os.mkdir(f"{own.home}/guest/{name}")
        os.utime(f"{own.home}/guest/{name}", (0, time.time() - age))
    os.mkdir(f"{own.home}/runs/broker")
    lock = files.try_lock(f"{own.home}/runs/broker/lock")
    assert lock is not None
    assert run(own, everything=True) == Garbage()  # it has not said yet what it uses
    with open(f"{own.home}/runs/broker/owner.json", "w", encoding="utf-8") as file:
        json.dump({"cgroups": [], "session": session.id, "guest": f"{own.home}/guest/used"}, file)
    garbage = run(own, everything=True)
    assert (garbage.sessions, garbage.guests) == ([other.id], ["old"])
    os.close(lock)
    garbage = run(own, everything=True)
    assert (garbage.sessions, garbage.guests) == ([session.id], ["used"])
    assert listing(own, "guest") == {"new"}


def test_kernel_that_is_starting_keeps_all_images_and_guest_files(own: Store) -> None:
    image = add_image(own)
    for age, name in ((3, "old"), (2, "new")):
        os.mkdir(f"{own.home}/guest/{name}")
        os.utime(f"{own.home}/guest/{name}", (0, time.time() - age))
    session = add_session(own, "", live=True)
    assert run(own) == Garbage()
    session.release()
    garbage = run(own)
    assert (garbage.images, garbage.guests) == ([image], ["old"])


@pytest.mark.parametrize("use", ["tag", "session", "owner"])
def test_what_comes_into_use_between_plan_and_removal_stays(
    own: Store, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    image = add_image(own)
    session = add_session(own, add_image(own, tag="x"), "/nowhere/a.ipynb")
    head = add_layer(own, image=image, session=session)
    make: dict[str, Callable[[], Any]] = {
        "tag": lambda: own.tag(image, "new"),
        "session": lambda: own.create_session(None, ""),
        "owner": session.acquire,
    }
    held = []
    whole = plan

    def and_then(store: Store, **options: Any) -> Garbage:
        garbage = whole(store, **options)
        held.append(make[use]())
        return garbage

    monkeypatch.setattr("cellstack_runtime.store.collect.plan", and_then)
    with pytest.raises(StoreError, match="come into use"):
        run(own, everything=True)
    assert image in listing(own, "images")
    check_sound(own)
    assert (head in listing(own, "layers")) is (use == "owner")
    assert (session.id in listing(own, "sessions")) is (use == "owner")


# -- ends before its time, sizes ---------------------------------------------------------------------------------------


class _PowerCutError(Exception):
    pass


def check_sound(store: Store) -> None:
    """Fail when something in the store refers to what is not there."""
    store = fresh(store)
    for image_id in store.tags().values():
        store.image(image_id)
    for _, image in store.images():
        for name in image.layers:
            store.layer(name)
    for layer in store.layers():
        store.chain(layer.id)
        if layer.image is not None:
            store.image(layer.image)
    for session in store.sessions():
        if session.image:
            store.image(session.image)
        for cell in session.cells:
            found = store.layer(cell["layer"])
            assert found.state is not None
            assert os.path.exists(f"{session.state_dir(found.state)}/manifest")


def test_end_at_any_moment_leaves_a_sound_store_and_the_next_run_removes_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_remove, true_unlink = files.remove_tree, os.unlink
    for moment in range(100):
        own = Store.open(str(tmp_path / f"store{moment}"))
        kept, gone = (add_session(own, add_image(own), path) for path in ("/", "/nowhere/a.ipynb"))
        for session in (kept, gone):
            lower = add_layer(own, image=session.image, session=session)
            for _ in range(2):
                add_layer(own, lower, image=session.image, session=session)
        save(kept, "f" * 32, [])
        add_layer(own, add_layer(own, lower, image=gone.image), image=gone.image)
        left = moment

        def countdown() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise _PowerCutError

        def remove_tree(*arguments: str) -> None:
            countdown()
            true_remove(*arguments)

        def unlink(*arguments: Any, **options: Any) -> None:
            if str(arguments[0]).endswith(".json"):
                countdown()
            true_unlink(*arguments, **options)

        try:
            with monkeypatch.context() as patch:
                patch.setattr("cellstack_runtime.store.files.remove_tree", remove_tree)
                patch.setattr("os.unlink", unlink)
                run(own, everything=True)
        except _PowerCutError:
            check_sound(own)
        else:
            assert moment > 10
            break
        run(own, everything=True)
        check_sound(own)
        assert listing(own, "sessions") == {kept.id}
        assert listing(own, "images") == {kept.image}
        assert len(listing(own, "layers")) == 4
        assert listing(own, "squashed") == set()
        assert "f" * 32 not in os.listdir(kept.state_root)
    else:
        pytest.fail("it never came to an end")


def test_bytes_are_those_that_the_disk_gets_back(own: Store, tmp_path: Path) -> None:
    layer = add_layer(own)
    os.link(f"{own.home}/layers/{layer}/root/file", tmp_path / "elsewhere")
    first = plan(own, min_age=0).bytes
    os.unlink(tmp_path / "elsewhere")
    os.link(f"{own.home}/layers/{layer}/root/file", f"{own.home}/layers/{layer}/root/same")
    assert 10_000 <= plan(own, min_age=0).bytes - first < 20_000
    with open(f"{own.home}/layers/{layer}/root/sparse", "wb") as file:
        file.truncate(1 << 30)
    assert plan(own, min_age=0).bytes < 1 << 20


def test_usage_counts_every_kind(own: Store) -> None:
    image = add_image(own, tag="x")
    add_image(own)
    for notebook in ("/", "/nowhere/a.ipynb"):
        add_layer(own, image=image, session=add_session(own, image, notebook))
    os.mkdir(f"{own.home}/guest/new")
    rows = {row.kind: row for row in usage(own, min_age=0)}
    assert {kind: (row.total, row.active) for kind, row in rows.items()} == {
        "Images": (2, 1), "Layers": (2, 1), "Sessions": (2, 1), "Guest files": (1, 1), "Cache": (0, 0),
    }  # fmt: skip
    assert rows["Layers"].size == 2 * rows["Layers"].reclaimable > 20_000
    expected = sum(row.reclaimable for row in rows.values())
    assert plan(own, everything=True, min_age=0).bytes == expected
    run(own, everything=True)
    assert [row.reclaimable for row in usage(own, min_age=0)] == [0] * 5


# -- any store ---------------------------------------------------------------------------------------------------------


@dataclass
class Model:
    """A store in numbers. plain: images with a layer of their own. images: those of cell layers; behind the plain ones.

    parents, on: of each cell layer the one below, and its image. tagged: of each image.
    """

    plain: int
    parents: list[int | None]
    on: list[int]
    images: list[list[int]]
    tagged: list[bool]
    sessions: list[dict[str, Any]]


@st.composite
def models(draw: st.DrawFn) -> Model:
    plain = draw(st.integers(1, 3))
    parents: list[int | None] = []
    on: list[int] = []
    for number in range(draw(st.integers(0, 12))):
        parent = draw(st.none() | st.integers(0, number - 1)) if number else None
        parents.append(parent)
        on.append(draw(st.integers(0, plain - 1)) if parent is None else on[parent])
    one = st.integers(0, len(parents) - 1)
    some = st.lists(one, max_size=3) if parents else st.just([])
    images = draw(st.lists(st.lists(one, min_size=1, max_size=3, unique=True), max_size=2)) if parents else []
    tagged = draw(st.lists(st.booleans(), min_size=plain + len(images), max_size=plain + len(images)))
    session = {
        "image": st.integers(0, plain - 1),
        "cells": some,
        "heads": some,
        "live": st.booleans(),
        "notebook": st.sampled_from(["/", "/nowhere/a.ipynb", None]),
        "variables": some,
        "named": some,
    }
    return Model(plain, parents, on, images, tagged, draw(st.lists(st.fixed_dictionaries(session), max_size=3)))


@settings(max_examples=150, deadline=None)
@given(model=models(), everything=st.booleans())
def test_everything_reached_is_kept_and_nothing_else(model: Model, everything: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        own = Store.open(f"{folder}/store")
        contents = [[add_layer(own)] for _ in range(model.plain)]
        images = [add_image(own, *content) for content in contents]
        layers: list[str] = []
        for parent, on in zip(model.parents, model.on, strict=True):
            layers.append(add_layer(own, None if parent is None else layers[parent], image=images[on]))
        for cells in model.images:
            contents.append([layers[number] for number in cells])
            images.append(add_image(own, *contents[-1]))
        for number, image in enumerate(images):
            if model.tagged[number]:
                own.tag(image, f"tag{number}")
        sessions = []
        for wanted in model.sessions:
            session = add_session(own, images[wanted["image"]], wanted["notebook"], live=wanted["live"])
            session.cells = [{"layer": layers[number], "number": number} for number in wanted["cells"]]
            session.previous_heads = [layers[number] for number in wanted["heads"]]
            session.head = next(iter(session.previous_heads), None)
            session.save()
            for number in wanted["variables"]:
                save(session, layers[number], [layers[other] for other in wanted["named"]])
            sessions.append(session)

        # The same rules, in the plainest way.
        kept = [
            session for session, wanted in zip(sessions, model.sessions, strict=True)
            if not everything or wanted["live"] or wanted["notebook"] == "/"
        ]  # fmt: skip
        below = {
            layer: {layers[parent] for parent in (model.parents[number],) if parent is not None}
            | {images[model.on[number]]}
            for number, layer in enumerate(layers)
        } | {image: set(content) for image, content in zip(images, contents, strict=True)}

        def closure(names: set[str]) -> set[str]:
            while (more := names.union(*(below.get(name, set()) for name in names))) != names:
                names = more
            return names

        own_names = {
            session.id: {session.image, *filter(None, session.previous_heads), *(c["layer"] for c in session.cells)}
            | (set(os.listdir(session.state_root)) if wanted["live"] else set())
            for session, wanted in zip(sessions, model.sessions, strict=True)
        }
        expected = closure(set(own.tags().values()).union(*(own_names[session.id] for session in kept)))
        variables = {}
        for session, wanted in zip(sessions, model.sessions, strict=True):
            found, reached = set(os.listdir(session.state_root)), closure(own_names[session.id])
            named = {layers[number] for number in wanted["named"]} if found & reached else set()
            variables[session.id] = found if wanted["live"] else found & (reached | named)

        run(own, everything=everything)

        assert listing(own, "layers") == {name for name in expected if len(name) == 32}
        assert listing(own, "images") == {name for name in expected if len(name) == 64}
        assert listing(own, "sessions") == {session.id for session in kept}
        for session in kept:
            assert set(os.listdir(session.state_root)) == variables[session.id]
        after = fresh(own)
        for name in listing(own, "layers"):
            for layer in after.chain(name):
                assert os.path.getsize(f"{after.layer_path(layer.id, 'root')}/file") == 10_000
        for name in listing(own, "images"):
            after.lowers(after.image(name), None, "root")
        assert plan(after, everything=everything, min_age=0) == Garbage()
        for session in sessions:
            session.release()


def test_another_collection_waits(own: Store) -> None:
    with own.locked("collect"):
        assert files.try_lock(f"{own.home}/locks/collect") is None
    assert run(own) == Garbage()


def test_what_cannot_be_removed_is_an_error_with_its_path(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = add_layer(own)

    def fail(path: str, _trash: str) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr("cellstack_runtime.store.files.remove_tree", fail)
    with pytest.raises(CellstackError, match=f"{layer} cannot be removed: Operation not permitted"):
        run(own)
