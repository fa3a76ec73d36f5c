"""Whatever a front end sends, it is answered, with an error if it makes no sense, and the kernel lives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.kernels import PATIENCE, Running, control

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = {
    "execute_request": ("code", "silent", "store_history", "user_expressions", "allow_stdin", "stop_on_error"),
    "complete_request": ("code", "cursor_pos"),
    "inspect_request": ("code", "cursor_pos", "detail_level", "omit_sections"),
    "is_complete_request": ("code",),
    "history_request": ("hist_access_type", "output", "raw", "session", "start", "stop", "n", "pattern", "unique"),
    "comm_info_request": ("target_name",),
    "kernel_info_request": (),
    "connect_request": (),
    "delete_subshell_request": ("subshell_id",),
    "list_subshell_request": (),
    "usage_request": (),
    "comm_open": ("comm_id", "target_name", "data"),
    "comm_msg": ("comm_id", "data"),
    "comm_close": ("comm_id", "data"),
    "no_such_request": ("x",),
    "interrupt_request": (),
    "debug_request": ("seq", "type", "command", "arguments"),
}
CONTROL = ("delete_subshell_request", "list_subshell_request", "usage_request", "interrupt_request", "debug_request")


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, Any]:
    kind = draw(st.sampled_from(sorted(FIELDS)))
    content = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS[kind], ANYTHING)))
    if isinstance(content.get("code"), str) and kind == "execute_request":
        content["code"] = f"# {content['code']!a}"  # what cells may do is tested elsewhere
    return kind, draw(st.just(content) | ANYTHING) if draw(st.integers(0, 9)) == 0 else content


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("fuzz") / "n.ipynb")
    running.run("1")
    yield running
    running.close()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=requests(), metadata=ANYTHING | st.just({}), subshell=st.none() | st.text(max_size=5))
def test_every_request_is_answered(
    living: Running, request: tuple[str, Any], metadata: Any, subshell: str | None
) -> None:
    kind, content = request
    message = living.client.session.msg(kind, content)
    message["metadata"] = metadata
    message["header"]["subshell_id"] = subshell
    on_control = kind in CONTROL
    channel = living.client.control_channel if on_control else living.client.shell_channel
    receive = living.client.get_control_msg if on_control else living.client.get_shell_msg
    try:
        channel.send(message)
    except (TypeError, ValueError, UnicodeError):
        return  # it cannot even be sent
    wanted = message["header"]["msg_id"]
    whole = isinstance(content, dict) and isinstance(metadata, dict)
    if kind.endswith("_request") and whole and kind != "no_such_request":
        while receive(timeout=PATIENCE)["parent_header"].get("msg_id") != wanted:
            pass
    assert living.client.kernel_info(reply=True, timeout=PATIENCE)["content"]["status"] == "ok"


def send(living: Running, channel: str, parts: list[Any], signature: bytes | None = None) -> None:
    """Send a message's parts as JSON that may have lone surrogates and NaN in it, and is signed well unless told."""
    session = living.client.session
    texts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts]
    signed = session.sign(texts) if signature is None else signature
    getattr(living.client, f"{channel}_channel").socket.send_multipart([b"<IDS|MSG>", signed, *texts])


def lives(living: Running) -> bool:
    """Tell whether both channels answer."""
    reply = living.client.kernel_info(reply=True, timeout=PATIENCE)
    return bool(reply["content"]["status"] == control(living, "usage_request").get("status", "ok") == "ok")


DEEP = "[" * 5000 + "]" * 5000
ODD_HEADERS: dict[str, Any] = {
    "a lone surrogate as its id": {"msg_id": "\ud800"},
    "a lone surrogate as its type": {"msg_type": "\ud800_request"},
    "a lone surrogate in what nobody reads": {"x": ["\ud800"]},
    "NaN": {"x": float("nan")},
    "a date that is none": {"date": "2026-99-99T00:00:00Z"},
    "a number as its id": {"msg_id": 3},
    "a list as its type": {"msg_type": []},
    "an object as its subshell": {"subshell_id": {}},
    "a long subshell": {"subshell_id": "x" * 100_000},
    "no such subshell": {"subshell_id": "\ud800"},
}


@pytest.mark.parametrize("channel", ["shell", "control", "stdin"])
@pytest.mark.parametrize("what", ODD_HEADERS)
def test_odd_headers(living: Running, channel: str, what: str) -> None:
    header = {"msg_id": "1", "msg_type": "kernel_info_request", "session": "s", "username": "u", **ODD_HEADERS[what]}
    send(living, channel, [header, {}, {}, {}])
    assert lives(living)


@pytest.mark.parametrize("channel", ["shell", "control", "stdin"])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"3", b"null", b"\xff", DEEP.encode(), b'{"x":' + b"9" * 5000 + b"}"]
)
def test_parts_that_are_no_objects(living: Running, channel: str, place: int, text: bytes) -> None:
    parts: list[Any] = [{"msg_id": "1", "msg_type": "execute_request"}, {}, {}, {"code": "1"}]
    send(living, channel, [*parts[:place], text, *parts[place + 1 :]])
    assert lives(living)


def test_a_wrong_signature_is_not_answered(living: Running) -> None:
    for signature in (b"", b"0" * 64, b"\xff"):
        send(
            living, "shell", [{"msg_id": "1", "msg_type": "execute_request"}, {}, {}, {"code": "forged = 1"}], signature
        )
    assert living.run("'forged' in globals()")[1] == ["False"]


def test_an_answer_that_is_none_does_not_end_a_question(living: Running) -> None:
    request = living.client.execute("print(input('?'))", allow_stdin=True)
    living.client.get_stdin_msg(timeout=PATIENCE)
    send(living, "stdin", [{"msg_id": "1", "msg_type": "input_reply"}, {}, {}, []])
    send(living, "stdin", [{"msg_id": "1", "msg_type": "execute_request"}, {}, {}, {"value": "wrong type"}])
    send(living, "stdin", [{"msg_id": "1", "msg_type": "input_reply"}, {}, {}, {"value": "\ud800 answer"}])
    while (reply := living.client.get_shell_msg(timeout=PATIENCE))["parent_header"]["msg_id"] != request:
        pass
    assert reply["content"]["status"] == "ok"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    frames=st.lists(st.just(b"<IDS|MSG>") | st.binary(max_size=60), min_size=1, max_size=8),
    channel=st.sampled_from(["shell", "control", "stdin"]),
)
@example(frames=[b"<IDS|MSG>"], channel="shell")
@example(frames=[b"<IDS|MSG>"], channel="control")
def test_frames_that_are_no_message_are_dropped(living: Running, frames: list[bytes], channel: str) -> None:
    getattr(living.client, f"{channel}_channel").socket.send_multipart(frames)
    assert lives(living)
