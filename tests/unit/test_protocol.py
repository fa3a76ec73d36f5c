"""Frames between host and cell: whole, in pieces, and hostile."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_lengths_that_do_not_add_up_are_refused() -> None:
    text = json.dumps({"type": "comm"}).encode()
    frame = struct.pack("!IIQ", len(text), 1, 5) + struct.pack("!Q", 6) + text + b"12345"
    with pytest.raises(ProtocolError, match="announced"):
        list(Decoder().feed(frame))
