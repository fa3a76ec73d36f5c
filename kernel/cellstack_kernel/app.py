"""Start the kernel: `python -m cellstack_kernel -f CONNECTION_FILE`."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import zmq
from ipykernel.kernelapp import IPKernelApp

from cellstack_kernel.kernel import CellstackKernel
from cellstack_kernel.publisher import Publisher


class _NoDisplayHook:
    """The base class hands its display hook a way to get the execution count; ours displays nothing."""


class CellstackApp(IPKernelApp):
    """ipykernel's application without what belongs to cells: no shell, no captured output in this process."""

    name = "cellstack-kernel"
    kernel_class = CellstackKernel

    def init_control(self, context: Any) -> None:
        """Read the shell socket on the main loop, which answers on it; a thread that read it meanwhile may not."""
        super().init_control(context)  # type: ignore[no-untyped-call]
        self.shell_channel_thread = None

    def init_iopub(self, context: Any) -> None:
        """Publish from the main loop, which nothing blocks."""
        socket = context.socket(zmq.XPUB)
        socket.linger = 1000  # milliseconds
        self._apply_curve_server_options(socket)
        self.iopub_port = self._bind_socket(socket, self.iopub_port)  # type: ignore[no-untyped-call]
        self.configure_tornado_logger()  # type: ignore[no-untyped-call]
        self.iopub_thread = self.iopub_socket = Publisher(socket, self.session)

    def init_io(self) -> None:
        """Leave stdout and stderr of this process alone: cells do not write to them."""
        self.displayhook = _NoDisplayHook()

    def init_signal(self) -> None:
        """Interrupts arrive as messages; a SIGINT from a terminal interrupts the cell, SIGTERM ends cleanly."""
        signal.signal(signal.SIGINT, lambda *_: self._on_loop(self.kernel.interrupt_cell))
        signal.signal(signal.SIGTERM, lambda *_: self._on_loop(self._terminate))

    def _on_loop(self, callback: Any) -> None:
        kernel = getattr(self, "kernel", None)
        if kernel is None or kernel._loop is None:  # noqa: SLF001
            sys.exit(128 + signal.SIGTERM)
        kernel._loop.call_soon_threadsafe(callback)  # noqa: SLF001

    def _terminate(self) -> None:
        async def close() -> None:
            await self.kernel.close_notebook()
            self.io_loop.stop()

        self._closing = asyncio.ensure_future(close())

    def init_path(self) -> None:
        """Nothing is imported from the notebook's folder here."""

    def init_pdb(self) -> None:
        """Debuggers run in cells."""


def main() -> None:
    """Run the kernel until it is shut down."""
    CellstackApp.launch_instance()
