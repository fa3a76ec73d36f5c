"""Kernels that run as a front end starts them."""

from __future__ import annotations

import itertools
import os
import signal
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 120
_NUMBERS = itertools.count(1)


class Running:
    """A kernel of a notebook file, as Jupyter Server starts it."""

    def __init__(self, notebook: Path) -> None:
        notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
        self.notebook = notebook
        self.manager = KernelManager(kernel_name="cellstack")
        self.start()

    def start(self) -> None:
        env = {**os.environ, "JPY_SESSION_NAME": str(self.notebook)}
        self.manager.start_kernel(cwd=str(self.notebook.parent), env=env)
        self.connect()

    def connect(self) -> None:
        self.client: Any = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def run(self, code: str) -> tuple[int, list[str]]:
        """Return the cell's number and its texts: streams, results and displays, error values."""
        texts: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] in ("stream", "error", "execute_result", "display_data"):
                shown = content.get("data", {}).get("text/plain", "")
                texts.append(content.get("text", content.get("evalue", shown)))

        reply = self.client.execute_interactive(code, timeout=PATIENCE, output_hook=keep)
        return reply["content"]["execution_count"], texts

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        provisioner: Any = self.manager.provisioner
        os.kill(provisioner.pid, number)

    def again(self, *, now: bool) -> None:
        self.client.stop_channels()
        self.manager.restart_kernel(now=now)
        self.connect()

    def close(self) -> None:
        if self.manager.has_kernel:
            self.client.stop_channels()
            self.manager.shutdown_kernel()
            self.manager.cleanup_resources()


def control(kernel: Running, msg_type: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the content of the answer to a request on the control channel."""
    message = kernel.client.session.msg(msg_type, content or {})
    kernel.client.control_channel.send(message)
    while True:
        reply = kernel.client.get_control_msg(timeout=PATIENCE)
        if reply["parent_header"]["msg_id"] == message["header"]["msg_id"]:
            answer: dict[str, Any] = reply["content"]
            return answer


def debug(kernel: Running, command: str, **arguments: Any) -> dict[str, Any]:
    """Return the response to one request of the Debug Adapter Protocol."""
    content = {"type": "request", "seq": next(_NUMBERS), "command": command, "arguments": arguments}
    return control(kernel, "debug_request", content)
