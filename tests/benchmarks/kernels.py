"""Kernels as a front end sees them: round trips from the request to reply and idle."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TIMEOUT = 120.0


@dataclass(frozen=True)
class Installed:
    """A kernel of another environment: its interpreter, the module that is run, and variables added for it."""

    python: Path
    module: str
    environ: Mapping[str, str] = field(default_factory=dict)

    def manager(self, name: str, folder: Path) -> KernelManager:
        """Return a manager of this kernel; its specification and connection file are made in `folder`."""
        place = folder / "kernels" / name
        place.mkdir(parents=True, exist_ok=True)
        arguments = [str(self.python), "-m", self.module, "-f", "{connection_file}"]
        spec = {"argv": arguments, "display_name": name, "language": "python", "env": dict(self.environ)}
        if self.module == "cellstack_kernel":
            spec["interrupt_mode"] = "message"
        (place / "kernel.json").write_text(json.dumps(spec))
        known = KernelSpecManager(kernel_dirs=[str(folder / "kernels")], ensure_native_kernel=False)
        # Kishu takes what is behind the dash for the kernel's id, and does not start without one.
        connection = str(folder / f"kernel-{name}.json")
        return KernelManager(kernel_name=name, kernel_spec_manager=known, connection_file=connection)


class Kernel:
    """A running kernel and a client of it. reply, errors: of the last cell, its reply and what it wrote to stderr."""

    def __init__(self, name: str, folder: Path, installed: Installed | None = None) -> None:
        self.manager = installed.manager(name, folder) if installed else KernelManager(kernel_name=name)
        self.reply: Any = None
        self.errors = ""
        with open(folder / f"{name}.log", "ab") as log:
            self.manager.start_kernel(cwd=str(folder), stdout=log, stderr=log)
        self.client: Any = self.manager.client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=TIMEOUT)
        except RuntimeError:
            self.close()
            raise

    def run(self, code: str) -> float:
        """Run a cell; return the milliseconds until both its reply and the kernel's idle have come.

        Raises RuntimeError when the cell fails.
        """
        self.errors = ""
        start = time.perf_counter()
        request = self.client.execute(code)
        self.reply = self.client.get_shell_msg(timeout=TIMEOUT)
        while True:
            message = self.client.get_iopub_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["content"].get("execution_state") == "idle":
                break
            if message["content"].get("name") == "stderr":
                self.errors += message["content"]["text"]
        milliseconds = (time.perf_counter() - start) * 1000
        content = self.reply["content"]
        if content["status"] != "ok":
            raise RuntimeError(f"{code!r} failed: {content.get('evalue')}")
        return milliseconds

    def close(self) -> None:
        """Shut the kernel down."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()
        self.manager.cleanup_resources()


@contextlib.contextmanager
def kernel(name: str, folder: Path, installed: Installed | None = None) -> Iterator[Kernel]:
    """Run a kernel for the length of the block: the one registered as `name`, or that of another environment."""
    running = Kernel(name, folder, installed)
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
