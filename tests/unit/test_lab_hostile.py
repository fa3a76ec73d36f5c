"""What browsers and containers may send to the server extension: nothing of it leads out of a layer."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jupyter_events.schema import EventSchema
from tests.hostile import values

from cellstack_lab import validation
from cellstack_lab.clients import Subscription
from cellstack_lab.files import MAX_FILES, MAX_TEXT, Files
from cellstack_lab.reading import Reader
from cellstack_lab.values import plain, text
from cellstack_runtime.errors import CellstackError, UsageError
from cellstack_runtime.store import Changes, Layer, Store

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "the host's own"
NAMES = st.sampled_from(
    ["..", ".", "", "up", "absolute", "deep", "file", "folder", "root", "work", "etc", "host", "a\n", "é"]
)
ONE, TWO = "1" * 32, "2" * 32


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Return what looks into a store with two layers that are full of links out of them."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "host").mkdir()
    (folder / "host" / "secret").write_text(SECRET)
    store = Store.open(str(folder / "store"))
    image = store.put_image([], {}, "2026-01-01T00:00:00.000000Z")
    for name, parent in ((ONE, None), (TWO, ONE)):
        prepared = folder / name
        root = prepared / "root"
        (root / "folder" / "deep").mkdir(parents=True)
        (prepared / "work").mkdir()
        (root / "file").write_text(name)
        (root / "folder" / "file").write_bytes(b"\xff\0")
        for place in (root, root / "folder", prepared / "work"):
            (place / "up").symlink_to("../../../../../..")
            (place / "absolute").symlink_to(folder / "host")
            (place / "host").symlink_to(folder / "host" / "secret")
            (place / "loop").symlink_to("loop")
            (place / "deep-link").symlink_to("../" * 40 + str(folder / "host" / "secret").lstrip("/"))
        os.mkfifo(root / "fifo")
        layer = Layer(
            id=name,
            parent=parent,
            image=image.id,
            created="2026-01-01T00:00:00.000000Z",
            root=True,
            work=True,
            changes=Changes(),
            state=None,
            cell={
                "number": "1",
                "code": {"not": "text"},
                "session": "../../x",
                "cpu_seconds": float("1e300"),
                "status": [],
            },
            digest=None,
        )
        store.commit(str(prepared), layer)
    return Files(Reader(store.home, str(folder), {}))


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(NAMES | st.sampled_from(["secret", "deep-link", "loop", "fifo", "layers", "layer.json"]), max_size=8)
)
def test_no_path_leads_to_a_file_of_the_host(layers: Files, parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    try:
        found = layers.content(TWO, path)
    except CellstackError:
        return
    assert found["text"] in (TWO, ONE, None)
    validation.validator("answers.json", "GET layers/<id>/file").validate(found)


@settings(max_examples=200, deadline=None)
@given(path=st.text(min_size=1, max_size=300))
def test_no_text_as_a_path_is_more_than_a_refusal(layers: Files, path: str) -> None:
    try:
        query = validation.request("file_query", {"path": path})
        found = layers.content(TWO, query["path"])
    except CellstackError:
        return
    assert SECRET not in json.dumps(found)


def test_a_link_to_a_host_file_is_said_to_be_one(layers: Files) -> None:
    for path in ("/host", "/folder/host", "/absolute", "/work/host"):
        with pytest.raises(UsageError, match="is a symbolic link"):
            layers.content(TWO, path)
    with pytest.raises(UsageError, match="is no regular file"):
        layers.content(TWO, "/fifo")


def test_a_layer_whose_record_says_anything_is_shown(layers: Files) -> None:
    shown = layers.layer(TWO)
    validation.validator("answers.json", "GET layers/<id>").validate(shown)
    assert (shown["number"], shown["code"], shown["status"]) == (None, "", None)
    assert {one["type"] for one in shown["files"]} >= {"file", "link", "directory", "other"}


def test_a_large_file_is_cut_and_many_files_are_counted(layers: Files, tmp_path: Path) -> None:
    store = layers._store
    prepared = tmp_path / "many"
    (prepared / "root" / "d").mkdir(parents=True)
    (prepared / "work").mkdir()
    for number in range(MAX_FILES + 10):
        (prepared / "root" / "d" / f"{number}\udc80<b>").touch()
    (prepared / "root" / "large").write_text("é" * MAX_TEXT)
    base = store.layer(ONE)
    store.commit(str(prepared), Layer("3" * 32, None, base.image, base.created, True, False, Changes(), None, {}, None))
    shown = layers.layer("3" * 32)
    validation.validator("answers.json", "GET layers/<id>").validate(json.loads(json.dumps(shown)))
    assert (len(shown["files"]), shown["files_total"]) == (MAX_FILES, MAX_FILES + 12)
    large = layers.content("3" * 32, "/large")
    assert (len(large["text"]), large["truncated"], large["size"]) == (MAX_TEXT // 2, True, 2 * MAX_TEXT)


@settings(max_examples=200, deadline=None)
@given(value=values, name=st.sampled_from(["subscribe", "limits", "layer_query", "diff_query", "file_query"]))
def test_what_a_browser_sends_is_taken_or_refused_in_a_sentence(value: Any, name: str) -> None:
    if validation.validator("requests.json", name).is_valid(value):
        assert validation.request(name, value) is value
        return
    with pytest.raises(UsageError) as caught:
        validation.request(name, value)
    assert len(caught.value.message) < 1000


def test_metrics_are_read_twice_a_second_at_most() -> None:
    wanted = {"type": "subscribe", "sessions": [], "containers": "all", "interval": float("nan")}
    assert Subscription.parse(wanted).interval == 0.5


@given(kind=st.sampled_from(["session", "layer", "image", "container"]), value=st.text(max_size=70))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_an_id_is_hexadecimal_and_of_one_length(kind: str, value: str) -> None:
    digits = {"session": 12, "layer": 32, "image": 64, "container": 12}[kind]
    is_id = len(value) == digits and set(value) <= set("0123456789abcdef")
    assert validation.validator("requests.json", f"{kind}_id").is_valid(value) == is_id
    assert not validation.validator("requests.json", f"{kind}_id").is_valid("0" * digits + "\n")


@given(value=values | st.text(max_size=5000))
def test_texts_are_cut_and_can_be_sent(value: Any) -> None:
    sent = json.dumps(plain(value)).encode()
    assert isinstance(sent, bytes)
    shown = text(value)
    assert len(shown) <= 500
    assert shown.encode().decode() == shown


@pytest.mark.parametrize("name", ["session", "layer", "container", "metrics"])
def test_events_are_described_as_jupyter_describes_events(name: str) -> None:
    schema = validation.schema(f"events/{name}.json")
    described = EventSchema(schema)
    assert described.id.endswith(f"/{name}")
    with pytest.raises(Exception, match="required property"):
        described.validate({"type": name})
