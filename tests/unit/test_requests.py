"""What front ends send is refused, or has its shape and can be sent back: every answer has the request's header."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import DELIM, Session
from tests.hostile import text, values

from cellstack_guest.protocol import MAX_DEPTH, encode
from cellstack_kernel.requests import _FIELDS, NoMessageError, checked, is_message, parsed
from cellstack_runtime.errors import UsageError

headers = st.fixed_dictionaries(
    {"msg_id": text | st.none() | st.integers(), "msg_type": st.sampled_from(sorted(_FIELDS))},
    optional={"subshell_id": text | st.none(), "date": text, "session": values, "x": values},
)


@st.composite
def messages(draw: st.DrawFn) -> Any:
    header = draw(headers | values)
    kind = header.get("msg_type") if isinstance(header, dict) else None
    fields = _FIELDS.get(kind, {}) if isinstance(kind, str) else {}
    content = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(fields, values)) | values)
    return {
        "header": header,
        "content": content,
        "metadata": draw(st.fixed_dictionaries({}, optional={"cellId": values}) | values),
        "parent_header": draw(st.just({}) | values),
    }


@given(messages() | values)
def test_what_is_a_message_is_answered_and_can_be_given_to_a_cell(message: Any) -> None:
    if not is_message(message):
        return
    session = Session(key=b"key")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.serialize(session.msg("status", {"execution_state": "busy"}, parent=message))
    try:
        content = checked(message)["content"]
    except UsageError:  # which is the answer
        return
    for name, (_, default) in _FIELDS[message["header"]["msg_type"]].items():
        assert name in content or default is None
    encode({"type": "execute", **content, "cell_id": message["metadata"].get("cellId")})


@given(st.lists(st.just(DELIM) | st.binary(max_size=60), max_size=8), st.booleans())
def test_frames_are_a_message_or_refused(frames: list[bytes], signed: bool) -> None:
    session = Session(key=b"key")
    if signed:
        frames = [DELIM, session.sign(frames[:4]), *frames]
    with contextlib.suppress(NoMessageError):
        assert is_message(parsed(session, frames)[1])


def test_a_message_is_told_from_who_sent_it() -> None:
    sender, receiver = Session(key=b"key"), Session(key=b"key")
    message = sender.msg("execute_request", {"code": "1"})
    idents, read = parsed(receiver, sender.serialize(message, ident=[b"client"]))
    assert (idents, read["content"]) == ([b"client"], {"code": "1"})


@pytest.mark.parametrize("place", ["content", "metadata"])
def test_a_message_that_is_nested_too_deep_is_refused(place: str) -> None:
    deep: Any = None
    for _ in range(MAX_DEPTH + 2):
        deep = [deep]
    header = {"msg_type": "comm_msg", "msg_id": "1"}
    message: dict[str, Any] = {"header": header, "content": {"comm_id": "c"}, "metadata": {}, "parent_header": {}}
    checked(message)
    message[place] = {**message[place], "data": {"x": deep}}
    with pytest.raises(UsageError, match="deep"):
        checked(message)
    assert not is_message({**message, "header": {**header, "x": deep}})


@pytest.mark.parametrize("header", [{"x": "\ud800"}, {"x": float("nan")}, {"subshell_id": 3}, {"msg_id": []}])
def test_a_header_that_cannot_come_back_with_an_answer_is_that_of_no_message(header: dict[str, Any]) -> None:
    parts: dict[str, Any] = {"content": {}, "metadata": {}, "parent_header": {}}
    assert is_message({**parts, "header": {"msg_type": "x", "msg_id": "1"}})
    assert not is_message({**parts, "header": {"msg_type": "x", "msg_id": "1", **header}})


def test_what_a_request_has_beside_its_cell_does_not_refuse_the_cell() -> None:
    sender = Session(key=b"key")
    message = sender.msg("execute_request", {"code": "1", "user_expressions": {"a": 5, "b": "x"}})
    message |= {"metadata": {"cellId": ["x"], "y": 1}, "parent_header": "text"}
    message["header"]["msg_id"] = None
    request = checked(parsed(Session(key=b"key"), sender.serialize(message))[1])
    assert (request["metadata"], request["parent_header"]) == ({"y": 1}, {})
    assert request["content"]["user_expressions"] == {"a": None, "b": "x"}
    none = checked({**message, "content": {"code": "1", "user_expressions": []}})
    assert none["content"]["user_expressions"] == {}
