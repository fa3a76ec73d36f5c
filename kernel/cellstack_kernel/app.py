"""Start the kernel: `python -m cellstack_kernel -f CONNECTION_FILE`."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import zmq
from ipykernel.kernelapp import IPKernelApp
from zmq.eventloop.zmqstream import ZMQStream

from cellstack_kernel.kernel import CellstackKernel
from cellstack_kernel.publisher import Publisher


class CellstackApp(IPKernelApp):
    """ipykernel's application without what belongs to cells: no shell, no captured output in this process.

    All channels are served by the main loop, which nothing blocks: there is no thread but that of the heartbeat.
    """

    name = "cellstack-kernel"
    kernel_class = CellstackKernel

    def init_control(self, context: Any) -> None:
        """Make the control socket."""
        self.control_socket = context.socket(zmq.ROUTER)
        self.control_socket.linger = 1000  # milliseconds
        self._apply_curve_server_options(self.control_socket)
        self.control_port = self._bind_socket(self.control_socket, self.control_port)  # type: ignore[no-untyped-call]
        self.control_socket.router_handover = 1  # a client that comes back takes its place again

    def init_iopub(self, context: Any) -> None:
        """Publish from the main loop."""
        socket = context.socket(zmq.XPUB)
        socket.linger = 1000  # milliseconds
        self._apply_curve_server_options(socket)
        publisher = Publisher(socket, self.session)
        self.iopub_port = self._bind_socket(socket, self.iopub_port)  # type: ignore[no-untyped-call]
        self.configure_tornado_logger()  # type: ignore[no-untyped-call]
        self.iopub_thread = self.iopub_socket = publisher

    def init_kernel(self) -> None:
        """Make the kernel."""
        self.kernel = self.kernel_class.instance(
            parent=self,
            session=self.session,
            control_stream=ZMQStream(self.control_socket),
            shell_stream=ZMQStream(self.shell_socket),
            iopub_thread=self.iopub_thread,
            iopub_socket=self.iopub_socket,
            stdin_socket=self.stdin_socket,
            log=self.log,
        )
        ports = {f"{name}_port": port for name, port in self._ports.items()}
        self.kernel.record_ports(ports)  # type: ignore[no-untyped-call]

    def init_io(self) -> None:
        """Leave stdout and stderr of this process alone: cells do not write to them."""

    def init_signal(self) -> None:
        """Interrupts arrive as messages; a SIGINT from a terminal interrupts the cell, SIGTERM ends cleanly."""
        signal.signal(signal.SIGINT, lambda *_: self._on_loop(self.kernel.interrupt_cell))
        signal.signal(signal.SIGTERM, lambda *_: self._on_loop(self._terminate))

    def _on_loop(self, callback: Any) -> None:
        kernel = getattr(self, "kernel", None)
        if kernel is None or kernel.loop is None:
            sys.exit(128 + signal.SIGTERM)
        kernel.loop.call_soon_threadsafe(callback)

    def _terminate(self) -> None:
        async def close() -> None:
            # Not what a person does: the host goes down, or its service. A later kernel goes on where this one was.
            await self.kernel.close_notebook(None)
            self.io_loop.stop()

        self._closing = asyncio.ensure_future(close())

    def init_path(self) -> None:
        """Nothing is imported from the notebook's folder here."""

    def init_pdb(self) -> None:
        """Debuggers run in cells."""


def main() -> None:
    """Run the kernel until it is shut down."""
    CellstackApp.launch_instance()
