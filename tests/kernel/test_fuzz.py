"""Whatever a front end sends, it is answered, with an error if it makes no sense, and the kernel lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kernels import PATIENCE, Running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
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
}
CONTROL = ("delete_subshell_request", "list_subshell_request", "usage_request")


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
    session = living.client.session
    message = session.msg(kind, content)
    message["metadata"] = metadata
    message["header"]["subshell_id"] = subshell
    control = kind in CONTROL
    channel = living.client.control_channel if control else living.client.shell_channel
    receive = living.client.get_control_msg if control else living.client.get_shell_msg
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


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames=st.lists(st.binary(max_size=60), max_size=8), channel=st.sampled_from(["shell", "control", "stdin"]))
def test_frames_that_are_no_message_are_dropped(living: Running, frames: list[bytes], channel: str) -> None:
    getattr(living.client, f"{channel}_channel").socket.send_multipart([*frames, b""])
    assert living.client.kernel_info(reply=True, timeout=PATIENCE)["content"]["status"] == "ok"
