"""Every message from a container is hostile until parsed."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellstack_kernel.frames import FrameError, checked

KINDS = ["stream", "display_data", "update_display_data", "execute_result", "clear_output", "error", "comm"]
KINDS += ["input_request", "notice", "reply"]
FIELDS = ["name", "text", "data", "metadata", "transient", "execution_count", "wait", "ename", "evalue", "traceback"]
FIELDS += ["msg_type", "content", "prompt", "password", "state", "carried", "modules"]
text = st.text(st.characters(exclude_categories=[]))  # lone surrogates too
atoms = st.none() | st.booleans() | st.integers() | st.floats() | text
values = st.recursive(atoms, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=8)
messages = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from(KINDS) | st.text(),
    st.dictionaries(st.sampled_from(FIELDS) | st.text(), values),
)


@given(messages)
def test_whatever_comes_is_refused_or_has_its_shape_and_can_be_sent_on(message: dict[str, Any]) -> None:
    with contextlib.suppress(FrameError):
        result = checked(message)
        assert result["type"] == message["type"]
        json.dumps(result, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "message",
    [
        {"type": "exec", "code": "1"},
        {"type": "stream", "name": "stdin", "text": ""},
        {"type": "stream", "name": "stdout", "text": b""},
        {"type": "display_data", "data": {"no mime type": ""}},
        {"type": "execute_result", "data": {}, "execution_count": True},
        {"type": "error", "ename": "E", "evalue": "", "traceback": "text"},
        {"type": "comm", "msg_type": "kernel_info", "content": {"comm_id": "a"}},
        {"type": "comm", "msg_type": "comm_open", "content": {}},
        {"type": "reply", "content": {"status": "great"}},
        {"type": "reply", "content": {}, "state": "../../etc"},
        {"type": "reply", "content": {}, "state": "A" * 32},
        {"type": "reply", "content": {}, "modules": 3},
        {"type": "reply", "content": {}, "carried": {"saved": ["x" * 5000]}},
    ],
)
def test_a_frame_that_no_guest_sends_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(FrameError):
        checked(message)


def test_a_lone_surrogate_is_replaced() -> None:
    assert checked({"type": "notice", "text": "a\ud800b"})["text"] == "a?b"
