"""What the host reads of saved variables: what the guest writes, and nothing that would follow from anything else."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstack_guest import manifest
from cellstack_guest.manifest import Components, LayerWriter
from cellstack_kernel import views
from cellstack_runtime.errors import StoreError
from cellstack_runtime.store.variables import MAX_HEAD, Variables, read_variables

if TYPE_CHECKING:
    from pathlib import Path

    from cellstack_guest.manifest import Buffer, Record

LAYER, OTHER = "a" * 32, "b" * 32
DIGEST = "0123456789abcdef" * 2
RECORD = b'{"types":{"x":"int"},"buffers":[],"reach":null}'
HEAD: dict[str, Any] = {"version": 2, "layers": [LAYER], "keys": {"x": 0}, "needs": {}, "borrows": {}, "tombstones": {}}


def save(
    root: Path, layer: str, values: dict[tuple[str, ...], bytes], *, earlier: Components | None = None, digest: str = ""
) -> Components:
    """Save components as the guest does: (keys) -> the bytes of a buffer; their pickle is always of 3 bytes."""
    writer = LayerWriter(layer, str(root / layer))
    components = earlier or Components()
    for number, (keys, data) in enumerate(values.items()):
        buffers: list[Buffer] = [{"at": writer.buffer(memoryview(data))}] if data else []
        record: Record = {"types": {key: "list" for key in keys if ":" not in key}, "buffers": buffers, "reach": None}
        components.put(f"{layer}/{number}", keys, writer.component(record, b"abc", digest or DIGEST), [], [])
    state = manifest.empty()
    state["components"] = components
    keys = ("patch:json:tool.x", "delta:json:['a:b'].x", "module:own")
    state["tombstones"] = {
        "g": {"why": "generator", "cell": "[2]"},
        **{key: {"why": "lock", "cell": ""} for key in keys},
    }
    writer.finish(state)
    return components


def raw(root: Path, head: Any, *lines: str, pickles: bytes = RECORD) -> str:
    """Write a manifest as it may come; return the directory of the variables."""
    (root / LAYER).mkdir(exist_ok=True)
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    (root / LAYER / "manifest").write_bytes(b"\n".join([text, *(line.encode() for line in lines)]))
    (root / LAYER / "pickles").write_bytes(pickles)
    return str(root)


def line(*, layer: str = LAYER, offset: int = 0, record: int = len(RECORD)) -> str:
    return f'{layer}/0 ["{DIGEST}",{offset},{record},3]'


def test_what_the_guest_writes_is_read(tmp_path: Path) -> None:
    first = save(tmp_path, LAYER, {("x", "y"): b"", ("class:C1", "C"): b"", ("provide:p",): b""})
    save(tmp_path, OTHER, {("big",): bytes(5000)}, earlier=first)
    found = read_variables(str(tmp_path), OTHER)
    assert {name: (one.type, one.component.size, one.component.layer) for name, one in found.saved.items()} == {
        "x": ("list", 3, LAYER),
        "y": ("list", 3, LAYER),
        "C": ("list", 3, LAYER),
        "p": ("cellstack.provide", 3, LAYER),
        "big": ("list", 5003, OTHER),
    }
    assert found.saved["x"].component.variables == ("x", "y")
    assert found.saved["C"].component.variables == ("C",)
    assert {name: (one.why, one.cell) for name, one in found.not_carried.items()} == {
        "g": ("generator", "[2]"),
        "json.tool.x": ("lock", ""),
        "json['a:b'].x": ("lock", ""),
        "own": ("lock", ""),
    }


def test_differences_are_those_of_the_bytes(tmp_path: Path) -> None:
    data = b"1234" * 500_000
    save(tmp_path, "1" * 32, {("x",): data})
    save(tmp_path, "2" * 32, {("x",): data})
    save(tmp_path, "3" * 32, {("x",): data[:-1] + b"5"})
    save(tmp_path, "4" * 32, {("x",): data}, digest="f" * 32)
    save(tmp_path, "5" * 32, {("x",): data[:-1]})
    first, *rest = (read_variables(str(tmp_path), str(number) * 32).saved["x"] for number in range(1, 6))
    assert [first.is_same(other) for other in (first, *rest)] == [True, True, False, False, False]
    os.truncate(tmp_path / ("2" * 32) / "buffers", 1000)
    assert not first.is_same(rest[0])


@pytest.mark.parametrize(
    ("head", "lines"),
    [
        (b"", ()),
        (b"\xff", ()),
        (b"[" * 100_000, ()),
        (b"[]", ()),
        (b'{"version": 2}', ()),
        (b"9" * 5000, ()),
        (b'{"version": 2, "keys": {}, "tombstones": {}, "more": "' + b"x" * MAX_HEAD + b'"}', ()),
        ({**HEAD, "version": 3}, (line(),)),
        ({**HEAD, "version": "2"}, (line(),)),
        ({**HEAD, "keys": ["x"]}, (line(),)),
        ({**HEAD, "keys": {"x": 1}}, (line(),)),
        ({**HEAD, "keys": {"x": -1}}, (line(),)),
        ({**HEAD, "keys": {"x": True}}, (line(), line())),
        ({**HEAD, "keys": {"x": [0]}}, (line(),)),
        ({**HEAD, "keys": {"x" * 5000: 0}}, (line(),)),
        ({**HEAD, "keys": {"y": 0}}, (line(),)),
        ({**HEAD, "tombstones": {"x": "why"}}, (line(),)),
        ({**HEAD, "tombstones": {"x": {"why": 1, "cell": ""}}}, (line(),)),
        ({**HEAD, "tombstones": {"x": {"why": "y" * 5000, "cell": ""}}}, (line(),)),
        (HEAD, ()),
        (HEAD, (line(layer="../" + "a" * 29),)),
        (HEAD, (line(layer=OTHER),)),
        (HEAD, (line(offset=-1),)),
        (HEAD, (line(offset=10**17),)),
        (HEAD, (line(offset=10**30),)),
        (HEAD, (line(record=0),)),
        (HEAD, (line(record=10**8 - 1),)),
        (HEAD, (line().replace("0,", "\N{ARABIC-INDIC DIGIT ZERO},"),)),
        (HEAD, (line() + " ",)),
        (HEAD, (line(), "")),
    ],
)
def test_manifest_that_no_guest_writes_is_an_error_of_ours(tmp_path: Path, head: Any, lines: tuple[str, ...]) -> None:
    with pytest.raises(StoreError, match=r"^the variables of layer aaaaaaaaaaaa cannot be read"):
        read_variables(raw(tmp_path, head, *lines), LAYER)


BUFFERS: list[Any] = [
    1,
    {},
    {"at": []},
    {"at": ["../../secret", 0, 1]},
    {"at": [f"{LAYER}/../../secret", 0, 1]},
    {"at": [f"{LAYER}/buffers", -1, 1]},
    {"at": [f"{LAYER}/buffers", 0, 2**63]},
    {"at": [f"{LAYER}/buffers", 0, 1.5]},
    {"at": [f"{LAYER}/buffers", 0, 1], "patch": None},
]


@pytest.mark.parametrize(
    "record",
    [
        {"types": {"x": 1}, "buffers": []},
        {"types": ["x"], "buffers": []},
        {"types": {}, "buffers": []},
        {"types": {"x": "int"}, "buffers": {}},
        {"types": {"x": "int"}},
        *({"types": {"x": "int"}, "buffers": [buffer]} for buffer in BUFFERS),
    ],
)
def test_record_that_no_guest_writes_is_an_error_of_ours(tmp_path: Path, record: Any) -> None:
    text = json.dumps(record).encode()
    with pytest.raises(StoreError):
        read_variables(raw(tmp_path, HEAD, line(record=len(text)), pickles=text), LAYER)


def test_many_large_records_are_refused_before_they_are_read(tmp_path: Path) -> None:
    types = {f"x{number}": "int" for number in range(10)}
    record = json.dumps({"types": types, "buffers": []}).encode() + b" " * (8 << 20)
    lines = [line(record=len(record)) for _ in types]
    head = {**HEAD, "keys": {name: number for number, name in enumerate(types)}}
    assert read_variables(raw(tmp_path, {**HEAD, "keys": {"x1": 0}}, *lines, pickles=record), LAYER).saved
    with pytest.raises(StoreError, match="too large"):
        read_variables(raw(tmp_path, head, *lines, pickles=record), LAYER)


@pytest.mark.parametrize("name", ["manifest", "pickles"])
def test_what_is_no_file_is_not_waited_for_nor_followed(tmp_path: Path, name: str) -> None:
    root = raw(tmp_path, HEAD, line())
    assert read_variables(root, LAYER).saved["x"].type == "int"
    path = tmp_path / LAYER / name
    path.rename(tmp_path / "secret")
    with pytest.raises(StoreError):
        read_variables(root, LAYER)
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError):
        read_variables(root, LAYER)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError):
        read_variables(root, LAYER)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError):
        read_variables(root, LAYER)


def test_buffers_that_are_no_file_are_different(tmp_path: Path) -> None:
    for layer in (LAYER, OTHER):
        save(tmp_path, layer, {("x",): bytes(100)})
    one, other = (read_variables(str(tmp_path), layer).saved["x"] for layer in (LAYER, OTHER))
    assert one.is_same(other)
    (tmp_path / OTHER / "buffers").rename(tmp_path / "secret")
    os.mkfifo(tmp_path / OTHER / "buffers")
    assert not one.is_same(other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(f"{LAYER}/buffers"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "at", "why", "cell"]), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries({"version": st.just(2), "keys": JSON | st.just({"x": 0}), "tombstones": JSON | st.just({})}),
    st.fixed_dictionaries({"types": JSON | st.just({"x": "int"}), "buffers": JSON | st.just([])}),
)
@settings(max_examples=300, deadline=None)
def test_any_json_gives_variables_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, head: Any, record: Any
) -> None:
    text = json.dumps(record).encode()
    root = raw(tmp_path_factory.mktemp("state"), head, line(record=len(text)), pickles=text)
    try:
        found = read_variables(root, LAYER)
    except StoreError:
        return
    for shown in views.variables(found, {}, only=[]):
        shown.encode()


def test_views_show_what_came_out_of_a_container_as_text(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(2000)]
    record = {"types": {**dict.fromkeys(names, "list"), "\ud800": "\x1b[31m<b>"}, "buffers": []}
    text = json.dumps(record).encode()
    head = {**HEAD, "keys": dict.fromkeys([*names, "\ud800"], 0), "tombstones": {"t": {"why": "<i>\n", "cell": "x"}}}
    found = read_variables(raw(tmp_path, head, line(record=len(text)), pickles=text), LAYER)
    plain, html = views.variables(found, {LAYER: "[1]"}, only=[])
    plain.encode()
    assert "\x1b" not in plain
    assert "<b>" not in html
    assert "<i>" not in html
    assert "n1, n2, n3, n4, n5, n6, n7, n8 and 1992 more" in plain


def test_results_of_ipython_are_shown_when_they_are_asked_for_only(tmp_path: Path) -> None:
    save(tmp_path, LAYER, {("_1",): b"", ("_own",): b""})
    found = read_variables(str(tmp_path), LAYER)
    assert [word in views.variables(found, {}, only=[])[0] for word in ("_1 ", "_own")] == [False, True]
    assert [word in views.variables(found, {}, only=["_1"])[0] for word in ("_1 ", "_own", "NOT")] == [
        True,
        False,
        False,
    ]
    assert [word in views.changed_variables(Variables(), found)[0] for word in ("_1 ", "_own")] == [False, True]
