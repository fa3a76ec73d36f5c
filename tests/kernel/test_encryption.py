"""CurveZMQ: a kernel whose connection file has keys talks to those who have them, and to nobody else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from jupyter_client.manager import KernelManager
from tests.kernels import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not zmq.has("curve"), reason="this libzmq has no CurveZMQ"),
    pytest.mark.skipif(not hasattr(KernelManager, "transport_encryption"), reason="jupyter_client 8.9 or newer has it"),
]
DEAF_SECONDS = 3


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Any]:
    manager = KernelManager(kernel_name="cellstack", transport_encryption="required")
    manager.start_kernel(cwd=str(tmp_path))
    yield manager
    manager.shutdown_kernel()
    manager.cleanup_resources()


def test_a_cell_a_question_and_an_interrupt_go_through_encrypted_channels(encrypted: Any) -> None:
    assert encrypted.curve_publickey
    client: Any = encrypted.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        request = client.execute("print('said', input('?'))", allow_stdin=True)
        assert client.get_stdin_msg(timeout=PATIENCE)["content"]["prompt"] == "?"
        client.input("yes")
        text = ""
        while client.get_shell_msg(timeout=PATIENCE)["parent_header"].get("msg_id") != request:
            pass
        while (message := client.get_iopub_msg(timeout=PATIENCE))["content"].get("execution_state") != "idle" or (
            message["parent_header"]["msg_id"] != request
        ):
            text += message["content"].get("text", "")
        assert text == "said yes\n"
        request = client.execute("while True: pass")
        while client.get_iopub_msg(timeout=PATIENCE)["parent_header"].get("msg_id") != request:
            pass
        encrypted.interrupt_kernel()
        while (reply := client.get_shell_msg(timeout=PATIENCE))["parent_header"].get("msg_id") != request:
            pass
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        until = time.monotonic() + PATIENCE
        while not client.hb_channel.is_beating():  # it looks once a second, and is told nothing
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        client.stop_channels()


def test_who_has_no_key_gets_no_answer(encrypted: Any) -> None:
    known: Any = encrypted.client()
    known.start_channels()
    known.wait_for_ready(timeout=PATIENCE)
    info = {name: value for name, value in encrypted.get_connection_info().items() if not name.startswith("curve_")}
    stranger: Any = encrypted.client_factory()
    stranger.load_connection_info(info)
    stranger.start_channels(hb=False)
    try:
        stranger.kernel_info()
        assert not stranger.shell_channel.socket.poll(DEAF_SECONDS * 1000)
        assert not stranger.iopub_channel.socket.poll(0)
        assert known.kernel_info(reply=True, timeout=PATIENCE)["content"]["status"] == "ok"
    finally:
        stranger.stop_channels()
        known.stop_channels()
