"""The Jupyter kernel: messages in, cell runs, messages out."""

# mypy: disable-error-code="no-untyped-call, union-attr"
# (much of ipykernel has no annotations, and its session may be None before it starts)

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from contextvars import ContextVar
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from ipykernel._version import kernel_protocol_version
from ipykernel.kernelbase import Kernel
from tornado.ioloop import IOLoop

from cellstack_kernel import resume
from cellstack_kernel.channels import CONTROL, SHELL, Channels
from cellstack_kernel.deaths import UNCHANGED
from cellstack_kernel.debugger import Debugger
from cellstack_kernel.journal import Journal
from cellstack_kernel.kept import outputs_content
from cellstack_kernel.letters import Letter
from cellstack_kernel.notebook import Notebook, failed
from cellstack_kernel.questions import Questions
from cellstack_kernel.runs import InterruptError, Request
from cellstack_kernel.settings import Settings, metadata_of, notebook_path
from cellstack_kernel.typed import Typed
from cellstack_kernel.usage import Usage
from cellstack_kernel.widgets.feed import Feed
from cellstack_kernel.widgets.models import Models, kinds_in
from cellstack_runtime.errors import CellstackError
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from cellstack_kernel.runs import FrontEnd

T = TypeVar("T")
REFERENCES = (  # what JupyterLab's menu of help has
    ("Python", f"https://docs.python.org/{sys.version_info[0]}.{sys.version_info[1]}"),
    ("IPython", "https://ipython.readthedocs.io/en/stable/"),
    ("NumPy", "https://numpy.org/doc/stable/reference/"),
    ("SciPy", "https://docs.scipy.org/doc/scipy/reference/"),
    ("Matplotlib", "https://matplotlib.org/stable/api/"),
    ("SymPy", "https://docs.sympy.org/latest/"),
    ("pandas", "https://pandas.pydata.org/docs/reference/"),
)
TAIL = 10  # cells, where a client does not say how many


class ShellFront:
    """The front end of one request: iopub under its header, stdin to its client; of none: iopub, and nobody to ask.

    number: of the cell whose result goes into the history, if one does.
    """

    def __init__(
        self, kernel: CellstackKernel, parent: dict[str, Any] | None, ident: Any, number: int | None = None
    ) -> None:
        self._kernel = kernel
        self._parent = parent
        self._ident = ident
        self._number = number

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        """Send one message on iopub."""
        kernel = self._kernel
        if msg_type == "execute_result" and self._number is not None:
            kernel.typed.put_out(self._number, str(content["data"].get("text/plain", "")))
        if msg_type == "stream":
            ident = kernel.topic(msg_type)
            kernel.iopub_socket.send_text(content["name"], content["text"], self._parent, ident)
            return
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
        if self._parent is None or not self._parent["content"].get("allow_stdin", False):
            return None
        kernel = self._kernel
        return await kernel.until_interrupted(
            kernel.questions.ask(prompt, self._ident, self._parent, password=password)
        )

    async def drained(self) -> None:
        """Wait for slow readers of iopub."""
        await self._kernel.iopub_socket.drained()


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
    banner = (
        f"Python {sys.version.split()[0]}, IPython {version('ipython')}\n"
        f"Cellstack {version('cellstack')}: every cell in a fresh container, every result a layer\n"
    )
    help_links = [{"text": f"{name} Reference", "url": url} for name, url in REFERENCES]  # noqa: RUF012  as above
    _execute_sleep = 0  # the base class sleeps for stdout of its own process, which no cell writes to
    _supports_kernel_subshells = False  # by the base class' means, which are threads

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for comm_type in ("comm_open", "comm_msg", "comm_close"):
            self.shell_handlers[comm_type] = self._comm_request
        self.control_handlers["cellstack_outputs_request"] = self.outputs_request
        self.loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[Notebook] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._record: ContextVar[dict[str, Any]] = ContextVar("record", default={})  # noqa: B039  never changed
        # One of each request and each wait that an interrupt ends, and whether it is of a cell of the notebook.
        self._interrupts: dict[asyncio.Event, bool] = {}
        self._is_main: ContextVar[bool] = ContextVar("is_main", default=True)
        self._usage = Usage()
        self._letters: dict[str, Letter] = {}  # by the id of the message, which was offered to the cell that ran
        self._left: resume.Left | None = None
        self._goes_on = False  # from the head of an earlier kernel

    @property
    def kernel_info(self) -> dict[str, Any]:
        """What front ends are told; the base class would load debugpy, which is for cells."""
        return {
            "protocol_version": kernel_protocol_version,
            "implementation": self.implementation,
            "implementation_version": self.implementation_version,
            "language_info": self.language_info,
            "banner": self.banner,
            "help_links": self.help_links,
            "supported_features": ["kernel subshells", "debugger"],
        }

    async def kernel_info_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Answer, and make ready for a cell: a page asks this when somebody comes back to it."""
        await super().kernel_info_request(stream, ident, parent)
        if (notebook := self._ready()) is not None:
            notebook.workspace.wake()

    def start(self) -> None:
        """Start serving, and opening the notebook in the background."""
        self.io_loop = IOLoop.current()
        path = None
        with contextlib.suppress(CellstackError):  # told when the notebook is opened
            store = Store.open()
            path = f"{store.home}/history.sqlite"
            self._left = resume.take(store, notebook_path(os.environ), self._connection_file)
        self.typed = Typed(path, self.log)
        if self._left is not None:
            self.execution_count = self._left.count
            self.typed.entries = list(self._left.inputs)
            self._goes_on = self._left.session.head is not None
        self._publish_status("starting", SHELL)
        self.io_loop.add_callback(self._begin)

    @property
    def _connection_file(self) -> str:
        """The file that a kernel which is started again, by a person or after its death, shares with the one before."""
        return str(self.parent.abs_connection_file)

    async def _begin(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.questions = Questions(self.stdin_socket, self.session, self.log)
        self.debugger = Debugger(self._publish_debug_event)
        self._views = asyncio.ensure_future(asyncio.to_thread(kinds_in, notebook_path(os.environ)))
        self.channels = Channels(self)
        self._open_later()

    def _open_later(self) -> None:
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
        notebook.connection = self._connection_file
        notebook.journal = Journal(session.path, notebook.workspace.chore)
        notebook.executor.debugger = self.debugger
        notebook.workspace.on_rest = self.debugger.end_standing_by
        notebook.feed = Feed(notebook, ShellFront(self, None, None))
        await notebook.feed.expect(await self._views)
        return notebook

    def _tell(self, text: str) -> None:
        """Show a line of progress under the request that waits for it."""

        def show() -> None:
            current = self.channels.current
            parent = None if current is None else current.message
            content = {"name": "stderr", "text": f"{text}\n"}
            self.session.send(self.iopub_socket, "stream", content, parent=parent, ident=self.topic("stream"))

        if self.loop is not None:
            self.loop.call_soon_threadsafe(show)

    async def _notebook(self) -> Notebook:
        """Return the notebook once it is open; what failed is tried again for the next request."""
        if self._closing is not None:
            raise CellstackError("the kernel is being ended", hint="Run this again when there is a new one")
        if self._opening is None or (self._opening.done() and self._opening.exception() is not None):
            self._open_later()
        assert self._opening is not None
        return await self.until_interrupted(asyncio.shield(self._opening))

    async def until_interrupted(self, work: Awaitable[T]) -> T:
        """Wait for what comes before or beside a cell's run; InterruptError when an interrupt comes first."""
        came = asyncio.Event()
        waiting, interrupted = asyncio.ensure_future(work), asyncio.ensure_future(came.wait())
        self._interrupts[came] = self._is_main.get()
        try:
            await asyncio.wait({waiting, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if came.is_set():
                raise InterruptError("interrupted before the cell ran", hint=UNCHANGED)
            return waiting.result()
        finally:
            del self._interrupts[came]
            waiting.cancel()
            interrupted.cancel()

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
        self._record.set({})
        parent, ident = self.get_parent(SHELL), self._parent_ident[SHELL]
        if silent or not code.strip():
            store_history = False
        # The base class has counted every request that is not silent; those that leave no history do not count.
        number = self.execution_count + silent
        if not silent and not store_history:
            self.execution_count -= 1
        count = self.execution_count
        front = ShellFront(self, parent, ident, number if store_history else None)
        empty = {"status": "ok", "execution_count": count, "payload": [], "user_expressions": {}}
        if not code.strip() and not user_expressions:
            return empty
        request = Request(
            code=code,
            number=number,
            silent=silent,
            store_history=store_history,
            user_expressions=user_expressions or {},
            allow_stdin=allow_stdin,
            cell_id=cell_id,
            parent={SHELL: _shown(parent, ident), CONTROL: _shown(self._control_parent, self._control_parent_ident)},
            main=self.channels.current is not None and self.channels.current.message["header"] is parent["header"],
        )
        self._is_main.set(request.main)
        if store_history:
            self.typed.add(number, code)
        self._interrupts[request.interrupted] = request.main
        try:
            notebook = await self._notebook()
            outcome = await notebook.execute(request, front)
        except CellstackError as error:
            return failed(error, request, front).content
        except Exception as error:
            # A mistake of ours. Without a reply the front end would wait for ever.
            self.log.exception("a cell could not be run")
            what = f"something in the kernel is wrong ({type(error).__name__}: {error}); its log says more"
            return failed(CellstackError(what, hint="Restart it, and please report this"), request, front).content
        finally:
            del self._interrupts[request.interrupted]
        self._record.set(outcome.record)
        await self.iopub_socket.drained(wholly=True)
        return {**empty, **outcome.content, "execution_count": count}

    def finish_metadata(
        self,
        parent: dict[str, Any],  # noqa: ARG002
        metadata: dict[str, Any],
        reply_content: dict[str, Any],
    ) -> dict[str, Any]:
        """Put the cell's record into the reply; a request that is dropped after an error has none."""
        metadata |= {"status": reply_content["status"], "engine": self.ident, "dependencies_met": True}
        if (record := self._record.get()) and reply_content["status"] != "aborted":
            metadata["cellstack"] = record
        return metadata

    def _abort_queues(self, subshell_id: str | None = None) -> None:
        """Have the cells after one that has failed answered with `aborted`."""
        self.channels.abort(subshell_id)

    # -- questions about code ----------------------------------------------------------------------------------

    async def _query(self, message: dict[str, Any]) -> dict[str, Any] | None:
        try:
            notebook = await self._notebook()
            return await notebook.executor.query(message)
        except CellstackError as error:
            self.log.warning("%s", error)
            return None

    async def do_complete(self, code: str, cursor_pos: int | None) -> dict[str, Any]:
        """Complete, with the notebook's variables, in a container of its own."""
        cursor_pos = len(code) if cursor_pos is None else cursor_pos
        content = await self._query({"type": "complete", "code": code, "cursor_pos": cursor_pos})
        nothing = {"matches": [], "cursor_start": cursor_pos, "cursor_end": cursor_pos, "metadata": {}, "status": "ok"}
        return content or nothing

    async def do_inspect(
        self,
        code: str,
        cursor_pos: int | None,
        detail_level: int = 0,
        omit_sections: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Inspect, with the notebook's variables, in a container of its own."""
        message: dict[str, Any] = {
            "type": "inspect",
            "code": code,
            "cursor_pos": cursor_pos,
            "detail_level": detail_level,
        }
        message["omit_sections"] = sorted(omit_sections)
        content = await self._query(message)
        return content or {"status": "ok", "found": False, "data": {}, "metadata": {}}

    async def do_is_complete(self, code: str) -> dict[str, Any]:
        """Tell whether code is complete; even a parser is not run on a cell's text in this process."""
        return await self._query({"type": "is_complete", "code": code}) or {"status": "unknown"}

    async def do_history(
        self,
        hist_access_type: str,
        output: bool,
        raw: bool,
        session: int | None = None,
        start: int | None = None,
        stop: int | None = None,
        n: int | None = None,
        pattern: str | None = None,
        unique: bool = False,
    ) -> dict[str, Any]:
        """Return what was typed, in this session (0) and before."""
        if hist_access_type == "range":
            found = await self.typed.range(session or 0, start or 1, stop, raw=raw, output=output)
        elif hist_access_type == "tail":
            found = await self.typed.tail(TAIL if n is None else n, raw=raw, output=output)
        else:
            found = await self.typed.search(pattern or "*", n, raw=raw, output=output, unique=unique)
        return {"status": "ok", "history": found}

    # -- comms, control ----------------------------------------------------------------------------------------

    async def _comm_request(self, _stream: Any, ident: Any, message: dict[str, Any]) -> None:
        """Have what is at the other end of a comm react, if the cell that ran when the message came has not done so."""
        front: FrontEnd = ShellFront(self, message, ident)
        if self.has_view(message["content"]["comm_id"]):
            feed = (await self._notebook()).feed
            if feed is not None:
                await feed.receive(message, front)
            return
        notebook, letter = self._ready(), self._letters.pop(message["header"]["msg_id"], None)
        if notebook is not None and notebook.feed is not None:
            front = notebook.feed.joined(front)
        if notebook is not None and not (letter is not None and letter.taken):
            letter = letter or _letter(message, ident)
            await notebook.executor.tell(letter, front)

    def has_view(self, comm: Any) -> bool:
        """Tell whether a comm is of one of the kernel's own views."""
        return isinstance(comm, str) and comm in self._own_comms()

    def _own_comms(self) -> dict[str, str]:
        """Return the target of each comm of the kernel's own views; while it opens, of those that it will have."""
        notebook = self._ready()
        if notebook is not None and notebook.feed is not None:
            return notebook.feed.models.comms
        return Models.targets(self._views.result()) if self._views.done() else {}

    def offer(self, message: dict[str, Any], ident: Any) -> None:
        """Offer a comm message to the cell that runs; it is answered when that is over."""
        notebook = self._ready()
        if notebook is not None:
            letter = self._letters[message["header"]["msg_id"]] = _letter(message, ident)
            notebook.executor.offer(letter)

    async def comm_info_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Answer with the comms that have something at their other end; a new notebook that still opens has none."""
        target = parent["content"].get("target_name")
        notebook = await self._notebook() if self._goes_on else self._ready()
        known: dict[str, str] = await notebook.executor.open_comms() if notebook is not None else {}
        await self._views
        comms = {name: {"target_name": of} for name, of in (known | self._own_comms()).items() if target in (None, of)}
        self.session.send(stream, "comm_info_reply", {"comms": comms, "status": "ok"}, parent, ident)

    def _ready(self) -> Notebook | None:
        if self._opening is None or not self._opening.done() or self._opening.exception() is not None:
            return None
        return self._opening.result()

    async def interrupt_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Interrupt the running cell; a second time kills its container."""
        self.interrupt_cell()
        self.session.send(stream, "interrupt_reply", {"status": "ok"}, parent, ident=ident)

    def interrupt_cell(self) -> None:
        """Interrupt the notebook's cell, or what it waits for; when there is none, those of subshells."""
        beside = not any(self._interrupts.values())
        for came, is_main in self._interrupts.items():
            if is_main or beside:
                came.set()
        notebook = self._ready()
        if notebook is not None:
            notebook.executor.interrupt(beside=beside)

    async def do_shutdown(self, restart: bool) -> dict[str, Any]:
        """End the containers, then the kernel."""
        await self.close_notebook("restart" if restart else "shutdown")
        return {"status": "ok", "restart": restart}

    async def _at_shutdown(self) -> None:
        """Tell everybody; this process has no children that would be left."""
        if self._shutdown_message is not None:
            self.session.send(self.iopub_socket, self._shutdown_message, ident=self.topic("shutdown"))

    async def do_debug_request(self, msg: dict[str, Any]) -> dict[str, Any]:
        """Answer a debugger's request."""
        notebook = await self._notebook()
        return await self.debugger.answer(msg, notebook.executor)

    async def usage_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Tell what the notebook's containers use."""
        notebook = self._ready()
        content = await self._usage.content(None if notebook is None else notebook.executor)
        self.session.send(stream, "usage_reply", content, parent, ident)

    async def outputs_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Tell a front end that was away what cells have put out meanwhile, and what one of them asks."""
        notebook = await self._notebook()
        assert notebook.journal is not None
        content = await outputs_content(notebook.journal, **parent["content"])
        if parent["content"]["number"] is None:
            content["question"] = self.questions.looks(ident)
        self.session.send(stream, "cellstack_outputs_reply", content, parent, ident)

    async def create_subshell_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Make a subshell, whose cells run beside the notebook's."""
        content = {"status": "ok", "subshell_id": self.channels.create_subshell()}
        self.session.send(stream, "create_subshell_reply", content, parent, ident)

    async def delete_subshell_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """End a subshell."""
        self.channels.delete_subshell(parent["content"]["subshell_id"])
        self.session.send(stream, "delete_subshell_reply", {"status": "ok"}, parent, ident)

    async def list_subshell_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """List the subshells."""
        content = {"status": "ok", "subshell_id": self.channels.subshells}
        self.session.send(stream, "list_subshell_reply", content, parent, ident)

    async def close_notebook(self, ended: str | None) -> None:
        """End the notebook's containers and broker. ended: what the person has asked for, None when they have not.

        Whoever asks for it again waits for the same end.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(ended))
        await self._closing

    async def _close(self, ended: str | None) -> None:
        opening, self._opening = self._opening, None
        if opening is None:
            return
        await self.typed.close()
        with contextlib.suppress(CellstackError):
            notebook = await opening
            await notebook.executor.end()
            await self.debugger.close()
            await notebook.close(ended)


def _letter(message: dict[str, Any], ident: Any) -> Letter:
    buffers = [bytes(buffer) for buffer in message.get("buffers", ())]
    parent = {SHELL: _shown(message, ident)}
    return Letter(message["header"]["msg_type"], message["content"], buffers, parent, message["metadata"])


def _shown(message: dict[str, Any], idents: Any) -> dict[str, Any]:
    """Return what a cell may know of a message: `get_ipython().kernel.get_parent()` gives it to libraries."""
    header = message.get("header", {})
    return {
        "header": {name: header.get(name) for name in ("msg_id", "msg_type", "session", "username")},
        "idents": [ident.decode(errors="replace") for ident in idents or ()],
    }
