"""The Jupyter kernel: messages in, cell runs, messages out."""

# mypy: disable-error-code="no-untyped-call, union-attr"
# (much of ipykernel has no annotations, and its session may be None before it starts)

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import zmq
import zmq.asyncio
from ipykernel._version import kernel_protocol_version
from ipykernel.kernelbase import Kernel

from cellstack_kernel import resume
from cellstack_kernel.executor import Request
from cellstack_kernel.notebook import Notebook, failed
from cellstack_kernel.settings import Settings, metadata_of, notebook_path
from cellstack_runtime.errors import CellstackError
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence


class ShellFront:
    """The front end of one request: iopub under its header, stdin to its client."""

    def __init__(self, kernel: CellstackKernel, parent: dict[str, Any], ident: Any) -> None:
        self._kernel = kernel
        self._parent = parent
        self._ident = ident

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        """Send one message on iopub."""
        kernel = self._kernel
        kernel.session.send(
            kernel.iopub_socket,
            msg_type,
            content,
            parent=self._parent,
            ident=kernel.topic(msg_type),
            metadata=parts.get("metadata"),
            buffers=list(parts.get("buffers") or ()) or None,
        )

    async def ask(self, prompt: str, *, password: bool) -> str | None:
        """Ask the client that sent the request; None when it cannot be asked."""
        if not self._parent["content"].get("allow_stdin", False):
            return None
        return await self._kernel.ask_client(prompt, self._ident, self._parent, password=password)


class CellstackKernel(Kernel):
    """A kernel whose cells run in containers. Nothing of a cell runs in this process."""

    implementation = "cellstack"
    implementation_version = version("cellstack")
    language_info = {  # noqa: RUF012  the base class declares it so
        "name": "python",
        "version": sys.version.split()[0],
        "mimetype": "text/x-python",
        "codemirror_mode": {"name": "ipython", "version": sys.version_info[0]},
        "pygments_lexer": "ipython3",
        "nbconvert_exporter": "python",
        "file_extension": ".py",
    }
    banner = f"Cellstack {version('cellstack')}: every cell in a fresh container, every result a layer"
    help_links: list[dict[str, str]] = []  # noqa: RUF012  as above
    _execute_sleep = 0  # the base class sleeps for stdout of its own process, which no cell writes to
    _supports_kernel_subshells = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for comm_type in ("comm_open", "comm_msg", "comm_close"):
            self.shell_handlers[comm_type] = self._comm_request
        self._opening: asyncio.Task[Notebook] | None = None
        self._stdin: zmq.asyncio.Socket | None = None
        self._record: dict[str, Any] = {}
        self._history: list[tuple[int, int, str]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._left: resume.Left | None = None

    @property
    def kernel_info(self) -> dict[str, Any]:
        """What front ends are told; the base class would load debugpy and offer it."""
        return {
            "protocol_version": kernel_protocol_version,
            "implementation": self.implementation,
            "implementation_version": self.implementation_version,
            "language_info": self.language_info,
            "banner": self.banner,
            "help_links": self.help_links,
            "supported_features": [],
        }

    def start(self) -> None:
        """Start serving, and opening the notebook in the background."""
        super().start()
        with contextlib.suppress(CellstackError):  # told when the notebook is opened
            self._left = resume.take(Store.open(), notebook_path(os.environ), self._connection_file)
        if self._left is not None:
            self.execution_count = self._left.count
            self._history = [(0, number, code) for number, code in self._left.inputs]
        self.io_loop.add_callback(self._begin)

    @property
    def _connection_file(self) -> str:
        """The file that a kernel which is started again, by a person or after its death, shares with the one before."""
        return str(self.parent.abs_connection_file)

    async def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._opening = asyncio.create_task(self._open())
        self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _open(self) -> Notebook:
        store = await asyncio.to_thread(Store.open)
        path = notebook_path(os.environ)
        asked = Settings.from_metadata(await asyncio.to_thread(metadata_of, path)) if path else Settings()
        left, self._left = self._left, None
        session = left.session if left is not None else store.create_session(path, "", self._connection_file)
        notebook = await Notebook.open(
            store, path=path, folder=os.getcwd(), asked=asked, session=session, progress=self._tell
        )
        notebook.news = left.news if left is not None else None
        return notebook

    def _tell(self, text: str) -> None:
        """Show a line of progress under the request that waits for it."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(
                lambda: self.send_response(self.iopub_socket, "stream", {"name": "stderr", "text": f"{text}\n"})
            )

    async def _notebook(self) -> Notebook:
        """Return the notebook once it is open; what failed is tried again for the next request."""
        if self._opening is None or (self._opening.done() and self._opening.exception() is not None):
            await self._begin()
        assert self._opening is not None
        return await asyncio.shield(self._opening)

    def topic(self, name: str) -> bytes:
        """Return the iopub topic of a message type."""
        topic: bytes = self._topic(name)
        return topic

    # -- cells -------------------------------------------------------------------------------------------------

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: dict[str, Any] | None = None,
        allow_stdin: bool = False,
        *,
        cell_meta: dict[str, Any] | None = None,  # noqa: ARG002
        cell_id: str | None = None,
    ) -> dict[str, Any]:
        """Run a cell and return the content of its reply."""
        self._record = {}
        parent, ident = self.get_parent("shell"), self._parent_ident["shell"]
        front = ShellFront(self, parent, ident)
        if silent:
            store_history = False
        # The base class has counted every request that is not silent; those that leave no history do not count.
        number = self.execution_count + silent
        counts = store_history and bool(code.strip())
        if not silent and not counts:
            self.execution_count -= 1
        count = self.execution_count
        empty = {"status": "ok", "execution_count": count, "payload": [], "user_expressions": {}}
        if not code.strip():
            return empty
        request = Request(
            code=code,
            number=number,
            silent=silent,
            store_history=store_history,
            user_expressions=user_expressions or {},
            allow_stdin=allow_stdin,
            cell_id=cell_id,
            parent={name: parent["header"].get(name) for name in ("msg_id", "msg_type", "session", "username")},
        )
        if store_history:
            self._history.append((0, number, code))
        try:
            notebook = await self._notebook()
        except CellstackError as error:
            return failed(error, request, front).content
        try:
            outcome = await notebook.execute(request, front)
        except Exception as error:
            # A mistake of ours. Without a reply the front end would wait for ever.
            self.log.exception("a cell could not be run")
            what = f"something in the kernel is wrong ({type(error).__name__}: {error}); its log says more"
            return failed(CellstackError(what, hint="Restart it, and please report this"), request, front).content
        self._record = outcome.record
        return {**empty, **outcome.content, "execution_count": count}

    def finish_metadata(
        self,
        parent: dict[str, Any],  # noqa: ARG002
        metadata: dict[str, Any],
        reply_content: dict[str, Any],
    ) -> dict[str, Any]:
        """Put the cell's record into the reply; a request that is dropped after an error has none."""
        if self._record and reply_content["status"] != "aborted":
            metadata["cellstack"] = self._record
        return metadata

    # -- questions about code ----------------------------------------------------------------------------------

    async def _query(self, message: dict[str, Any]) -> dict[str, Any] | None:
        try:
            notebook = await self._notebook()
            return await notebook.executor.query(message)
        except CellstackError as error:
            self.log.warning("%s", error)
            return None

    async def do_complete(self, code: str, cursor_pos: int) -> dict[str, Any]:
        """Complete, with the notebook's variables, in a container of its own."""
        content = await self._query({"type": "complete", "code": code, "cursor_pos": cursor_pos})
        nothing = {"matches": [], "cursor_start": cursor_pos, "cursor_end": cursor_pos, "metadata": {}, "status": "ok"}
        return content or nothing

    async def do_inspect(
        self,
        code: str,
        cursor_pos: int,
        detail_level: int = 0,
        omit_sections: Sequence[str] = (),  # noqa: ARG002
    ) -> dict[str, Any]:
        """Inspect, with the notebook's variables, in a container of its own."""
        message = {"type": "inspect", "code": code, "cursor_pos": cursor_pos, "detail_level": detail_level}
        content = await self._query(message)
        return content or {"status": "ok", "found": False, "data": {}, "metadata": {}}

    async def do_is_complete(self, code: str) -> dict[str, Any]:
        """Tell whether code is complete; even a parser is not run on a cell's text in this process."""
        return await self._query({"type": "is_complete", "code": code}) or {"status": "unknown"}

    async def do_history(
        self,
        hist_access_type: str,
        output: bool,
        raw: bool,  # noqa: ARG002  the host keeps what was typed
        session: int | None = None,  # noqa: ARG002  a kernel has one
        start: int | None = None,
        stop: int | None = None,
        n: int | None = None,
        pattern: str | None = None,
        unique: bool = False,
    ) -> dict[str, Any]:
        """Return what was typed in this session."""
        entries = self._history
        if hist_access_type == "range":
            first = start or 0
            entries = [entry for entry in entries if entry[1] >= first and (stop is None or entry[1] < stop)]
        elif hist_access_type == "search":
            entries = [entry for entry in entries if fnmatch.fnmatchcase(entry[2], pattern or "*")]
            if unique:
                entries = list({entry[2]: entry for entry in entries}.values())
        if hist_access_type in ("tail", "search") and n:
            entries = entries[-n:]
        shown = [(line[0], line[1], (line[2], None) if output else line[2]) for line in entries]
        return {"status": "ok", "history": shown}

    # -- stdin, comms, control ---------------------------------------------------------------------------------

    async def ask_client(self, prompt: str, ident: Any, parent: dict[str, Any], *, password: bool) -> str:
        """Send an input_request and return the answer, without blocking the loop."""
        if self._stdin is None:
            self._stdin = zmq.asyncio.Socket.shadow(self.stdin_socket)
        with contextlib.suppress(zmq.Again):
            while True:  # answers to questions that were given up
                self.stdin_socket.recv_multipart(zmq.NOBLOCK)
        self.session.send(
            self.stdin_socket, "input_request", {"prompt": prompt, "password": password}, parent, ident=ident
        )
        while True:
            frames = await self._stdin.recv_multipart()
            _, parts = self.session.feed_identities(frames)
            message = self.session.deserialize(parts)
            if message["msg_type"] == "input_reply":
                return str(message["content"]["value"])

    async def _comm_request(self, _stream: Any, _ident: Any, message: dict[str, Any]) -> None:
        """Hand a comm message to the cell that runs; a comm whose cell is over has nobody to hear it."""
        notebook = self._ready()
        if notebook is not None and notebook.executor.running is not None:
            notebook.executor.running.send(
                {"type": "comm", "msg_type": message["header"]["msg_type"], "content": message["content"]},
                [bytes(buffer) for buffer in message.get("buffers", ())],
            )

    async def comm_info_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Answer with the comms that cells have opened."""
        target = parent["content"].get("target_name")
        notebook = self._ready()
        known = notebook.executor.comms if notebook is not None else {}
        comms = {name: {"target_name": of} for name, of in known.items() if target in (None, of)}
        self.session.send(stream, "comm_info_reply", {"comms": comms, "status": "ok"}, parent, ident)

    def _ready(self) -> Notebook | None:
        if self._opening is None or not self._opening.done() or self._opening.exception() is not None:
            return None
        return self._opening.result()

    async def interrupt_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Interrupt the running cell; a second time kills its container. Runs on the control thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.interrupt_cell)
        self.session.send(stream, "interrupt_reply", {"status": "ok"}, parent, ident=ident)

    def interrupt_cell(self) -> None:
        """Interrupt the running cell, if one runs."""
        notebook = self._ready()
        if notebook is not None:
            notebook.executor.interrupt()

    async def do_shutdown(self, restart: bool) -> dict[str, Any]:
        """End the containers, then the kernel. Runs on the control thread."""
        if self._loop is not None and self._opening is not None:
            ended = "restart" if restart else "shutdown"
            closing = asyncio.run_coroutine_threadsafe(self.close_notebook(ended), self._loop)
            await asyncio.wrap_future(closing)
        return {"status": "ok", "restart": restart}

    async def close_notebook(self, ended: str = "shutdown") -> None:
        """End the notebook's containers and broker."""
        opening, self._opening = self._opening, None
        if opening is None:
            return
        with contextlib.suppress(CellstackError):
            notebook = await opening
            if notebook.executor.running is not None:
                notebook.executor.running.kill("interrupt")
            await notebook.close(ended)
