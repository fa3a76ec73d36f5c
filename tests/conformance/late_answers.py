"""A plugin for the suites: a client that is ready has no answers of its kernel waiting that nobody expects any more.

jupyter_client asks a kernel every second until it answers, and leaves what the other questions are answered to the
first test that reads the channel. How many these are depends on the machine and not on the kernel.
"""

from __future__ import annotations

from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

SECONDS = 60
_wait_for_ready = BlockingKernelClient.wait_for_ready


def wait_for_ready(client: Any, timeout: float | None = None) -> None:
    """Wait until a kernel answers, and take all of its answers."""
    _wait_for_ready(client, timeout)
    last = client.kernel_info()
    while client.get_shell_msg(timeout=SECONDS)["parent_header"].get("msg_id") != last:
        pass
    while True:
        message = client.get_iopub_msg(timeout=SECONDS)
        if message["parent_header"].get("msg_id") == last and message["content"].get("execution_state") == "idle":
            return


BlockingKernelClient.wait_for_ready = wait_for_ready
