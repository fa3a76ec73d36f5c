"""Every message from a container is hostile until parsed."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hostile import text, values

from cellstack_kernel.frames import FrameError, checked

KINDS = ["stream", "display_data", "update_display_data", "execute_result", "clear_output", "error", "comm"]
KINDS += ["input_request", "notice", "reply"]
FIELDS = ["name", "text", "data", "metadata", "transient", "execution_count", "wait", "ename", "evalue", "traceback"]
FIELDS += ["msg_type", "content", "prompt", "password", "state", "carried", "modules"]
messages = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from(KINDS) | text,
    st.dictionaries(st.sampled_from(FIELDS) | text, values),
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
        {"type": "display_data", "data": ["text/plain"]},
        {"type": "display_data", "data": {}, "transient": {"display_id": "x" * 5000}},
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


def test_what_no_notebook_can_have_is_sent_on_as_it_is() -> None:
    """As ipykernel does: a cell is not ended for an odd display."""
    data = {"text/plain": 5, "a/b": {"c": [1]}, "no mime type": None}
    frame = checked({"type": "display_data", "data": data, "transient": {"display_id": 5}})
    assert (frame["data"], frame["transient"]) == (data, {"display_id": "5"})
    content = {"comm_id": "c", "data": [1]}
    assert checked({"type": "comm", "msg_type": "comm_msg", "content": content})["content"] == content


def test_a_lone_surrogate_is_replaced() -> None:
    assert checked({"type": "notice", "text": "a\ud800b"})["text"] == "a?b"
