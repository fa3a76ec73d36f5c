"""Frames between host and cell: whole, in pieces, and hostile."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellstack_guest import protocol
from cellstack_guest.protocol import Decoder, ProtocolError, encode

atoms = st.none() | st.booleans() | st.integers() | st.text()
values = st.recursive(atoms, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
messages = st.dictionaries(st.text(), values).map(lambda fields: {**fields, "type": "stream"})


@given(st.lists(st.tuples(messages, st.lists(st.binary(max_size=50), max_size=3)), max_size=4), st.integers(1, 64))
def test_frames_survive_any_split(frames: list[tuple[dict[str, Any], list[bytes]]], size: int) -> None:
    data = b"".join(bytes(piece) for message, buffers in frames for piece in encode(message, buffers))
    decoder = Decoder()
    received = [f for start in range(0, len(data), size) for f in decoder.feed(data[start : start + size])]
    assert received == frames


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_waits_for_more(data: bytes) -> None:
    try:
        for message, _ in Decoder().feed(data):
            assert isinstance(message["type"], str)
    except ProtocolError:
        pass


@pytest.mark.parametrize(
    "header",
    [(2**32 - 1, 0, 0), (10, 2**32 - 1, 0), (10, 1, 2**63)],
    ids=["a huge text", "too many buffers", "huge buffers"],
)
def test_announced_sizes_are_bounded_before_anything_is_read(header: tuple[int, int, int]) -> None:
    with pytest.raises(ProtocolError, match="over the limit"):
        list(Decoder().feed(struct.pack("!IIQ", *header)))


@pytest.mark.parametrize("text", [b"[]", b"{}", b'{"type": 3}', b"nonsense", b"[" * 100_000])
def test_only_objects_with_a_type_are_messages(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Decoder().feed(struct.pack("!IIQ", len(text), 0, 0) + text))


json_values = st.recursive(
    st.one_of(st.integers(0, 9), st.text('a",[{\\', max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text('"[', max_size=3), inner, max_size=3)),
)


def values_of(value: Any) -> int:
    parts = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(0, len(parts) - 1) + sum(map(values_of, parts)) if isinstance(parts, list) else 0


@given(json_values, st.integers(1, 5))
def test_values_are_counted_outside_of_strings(value: Any, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "MAX_VALUES", 0)
        patch.setattr(protocol, "_CHUNK", chunk)
        assert protocol.values_in(json.dumps(value).encode()) == values_of(value)


def test_a_frame_of_too_many_values_is_not_parsed() -> None:
    text = b'{"type": "comm", "a": [' + b"[]," * (protocol.MAX_VALUES // 2) + b"[]]}"
    with pytest.raises(ProtocolError, match=r"10,000,0\d\d values is over the limit"):
        list(Decoder().feed(struct.pack("!IIQ", len(text), 0, 0) + text))


def test_lengths_that_do_not_add_up_are_refused() -> None:
    text = json.dumps({"type": "comm"}).encode()
    frame = struct.pack("!IIQ", len(text), 1, 5) + struct.pack("!Q", 6) + text + b"12345"
    with pytest.raises(ProtocolError, match="announced"):
        list(Decoder().feed(frame))
