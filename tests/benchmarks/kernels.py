"""Kernels as a front end sees them: round trips from the request to reply and idle."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT = 120.0


class Kernel:
    """A running kernel and a client of it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.manager = KernelManager(kernel_name=name)
        with open(folder / f"{name}.log", "ab") as log:
            self.manager.start_kernel(cwd=str(folder), stdout=log, stderr=log)
        self.client: Any = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=TIMEOUT)

    def run(self, code: str) -> float:
        """Run a cell; return the milliseconds until both its reply and the kernel's idle have come.

        Raises RuntimeError when the cell fails.
        """
        start = time.perf_counter()
        request = self.client.execute(code)
        reply = self.client.get_shell_msg(timeout=TIMEOUT)
        while True:
            message = self.client.get_iopub_msg(timeout=TIMEOUT)
            mine = message["parent_header"].get("msg_id") == request
            if mine and message["content"].get("execution_state") == "idle":
                break
        milliseconds = (time.perf_counter() - start) * 1000
        if reply["content"]["status"] != "ok":
            raise RuntimeError(f"{code!r} failed: {reply['content'].get('evalue')}")
        return milliseconds

    def close(self) -> None:
        """Shut the kernel down."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()
        self.manager.cleanup_resources()


@contextlib.contextmanager
def kernel(name: str, folder: Path) -> Iterator[Kernel]:
    """Run a kernel for the length of the block."""
    running = Kernel(name, folder)
    try:
        yield running
    finally:
        running.close()


def start_time(name: str, folder: Path) -> float:
    """Return the milliseconds from the start of a kernel to the reply of its first cell."""
    start = time.perf_counter()
    with kernel(name, folder) as running:
        running.run("1+1")
        return (time.perf_counter() - start) * 1000
