"""The IPython shell of a cell: what ipykernel's does for a notebook, sent as frames instead of zmq messages."""

# mypy: disable-error-code="no-untyped-call"
# (most of IPython's functions have no annotations)

from __future__ import annotations

import asyncio
import builtins
import contextlib
import functools
import getpass
import importlib.util
import keyword
import linecache
import os
import re
import signal
import sys
import warnings
from dataclasses import dataclass
from subprocess import CalledProcessError
from typing import TYPE_CHECKING, Any

from IPython.core import page
from IPython.core.async_helpers import _asyncio_runner, _pseudo_sync_runner
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.error import StdinNotImplementedError, UsageError
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell, InteractiveShellABC
from traitlets import Any as AnyTrait
from traitlets import CBool, Instance, Type, default, observe
from traitlets.config import Config

from cellstack_guest import comms, hints, leftovers, names, programs, registries, stand_ins
from cellstack_guest.frontend import (
    CellCompiler,
    CellDisplayHook,
    CellDisplayPublisher,
    CellHistory,
    CellMagics,
    Kernel,
    UnmadeProfileDir,
    register_host_magics,
)

if TYPE_CHECKING:
    import ast
    import types
    from collections.abc import Callable, Coroutine, Iterator

    from cellstack_guest.outputs import Outputs

INLINE_BACKEND = "module://matplotlib_inline.backend_inline"
# Terminals' colours, and no pagers: nobody could press a key.
ENVIRONMENT = {
    "TERM": "xterm-color",
    "CLICOLOR": "1",
    "FORCE_COLOR": "1",
    "CLICOLOR_FORCE": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
}
# A line whose first word, if there is one, is assigned to, called or looked into.
_PLAIN_LINE = re.compile(r"\s*(?:([^\W\d]\w*)(\s*=(?!=)|\s*\(|\.|\[)?|(?=[\d\"'(\[{]))")
END_OF_FILE = "\x04"
_AWAITING = re.compile(r"\b(?:await|async)\b")
# Work in ipykernel because it runs every cell inside an event loop.
_NEEDS_LOOP = re.compile(r"\b(?:create_task|ensure_future|get_running_loop|current_task)\s*\(")
_STARTS_LOOP = re.compile(r"\basyncio\.run\(|\brun_until_complete\(|\brun_forever\(")
# A script is interrupted by IPython alone, and waits for the program that it has started.
_SCRIPT = re.compile(r"\s*get_ipython\(\)\.run_cell_magic\('(?:script|sh|bash|perl|ruby|python[23]?|pypy)'")
_NETWORK_PROGRAMS = re.compile(r"\b(?:pip3?|conda|mamba|uv|curl|wget|git|apt|apt-get|npm)\b")


@dataclass(frozen=True)
class Static:
    """What a cell's text becomes before anything is known of its variables; `by` tells with which transformers."""

    text: str
    failed: BaseException | None
    by: tuple[int, ...]


# Libraries (rich, tqdm, pandas…) know a notebook by the name of this class.
class ZMQInteractiveShell(InteractiveShell):
    """The shell of a cell."""

    displayhook_class = Type(CellDisplayHook)
    display_pub_class = Type(CellDisplayPublisher)
    compiler_class = Type(CellCompiler)
    exiter = Instance(ZMQExitAutocall)
    autoindent = CBool(False)
    kernel = AnyTrait()
    keepkernel_on_exit = None

    if TYPE_CHECKING:  # IPython's annotations allow None, for shells without these parts
        history_manager: Any
        displayhook: Any
        display_pub: Any
        payload_manager: Any
        prefilter_manager: Any
        extension_manager: Any
        alias_manager: Any
        display_formatter: Any

    def __init__(self, outputs: Outputs, **options: Any) -> None:
        self.outputs = outputs
        self.inbox: comms.Inbox | None = None
        self.allow_stdin = self.has_asked = False
        self.limits = hints.Limits()
        self.note_for: Callable[[str], str | None] = lambda _: None
        self.notices: list[str] = []
        self.last_error: dict[str, Any] | None = None
        self.shown_error: BaseException | None = None  # what `last_error` says
        self._recalled: tuple[BaseException, str, dict[str, Any]] | None = None
        self.before_statement: Callable[[ast.stmt], None] = lambda _: None
        self._statements: Iterator[ast.stmt] = iter(())
        self._broken_display = False
        self._interrupted = False
        # One object, however often it is bound: `%reset` makes no variable of it.
        self.get_ipython = super().get_ipython  # type: ignore[method-assign]
        super().__init__(**options)
        registries.connect(self)
        self.config.IPKernelApp.tqdm = "a notebook"  # what tqdm looks for
        self.displayhook.outputs = outputs
        self.display_pub.outputs = outputs
        self.kernel = Kernel(self, comms.install(outputs), outputs)
        stand_ins.install(ZMQInteractiveShell, CellDisplayPublisher)
        builtins.input = self.raw_input
        getpass.getpass = self.getpass

    @default("exiter")
    def _default_exiter(self) -> ZMQExitAutocall:
        return ZMQExitAutocall(self)

    @observe("ipython_dir")
    def _ipython_dir_changed(self, _change: Any) -> None:
        """Leave the folder to whoever writes to it: the root that this process starts in is read-only."""

    def init_environment(self) -> None:
        """Set what programs of a notebook expect in the environment."""
        os.environ.update(ENVIRONMENT)
        if importlib.util.find_spec("matplotlib_inline"):
            os.environ.setdefault("MPLBACKEND", INLINE_BACKEND)

    def init_virtualenv(self) -> None:
        """Leave sys.path alone: the image's environment is the one."""

    def init_history(self) -> None:
        """Keep the inputs of this notebook, and no database."""
        self.history_manager = CellHistory(shell=self, parent=self)
        self.configurables.append(self.history_manager)

    def init_hooks(self) -> None:
        """Send what would go through a pager to the front end."""
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(self._page), 99)

    def init_magics(self) -> None:
        """Add our magics to IPython's."""
        super().init_magics()
        self.register_magics(CellMagics)
        register_host_magics(self)
        self.magics_manager.register_alias("ed", "edit")

    def enable_gui(self, gui: str | None = None) -> None:
        """Accept the inline backend, and the event loop that there is; others need a display."""
        if gui not in (None, "inline", "asyncio"):
            raise UsageError(f"a cell has no display, so the {gui} event loop cannot run in it")

    def _tee(self, channel: str) -> Any:  # noqa: ARG002
        # IPython would keep a second copy of all text for `%notebook`.
        return contextlib.nullcontext()

    def _page(self, content: str | dict[str, Any], start: int = 0, *_: Any, **__: Any) -> None:
        data = content if isinstance(content, dict) else {"text/plain": content}
        self.payload_manager.write_payload({"source": "page", "data": data, "start": max(0, start)})

    def ask_exit(self) -> None:
        """Ask the front end to end the session."""
        self.exit_now = not self.keepkernel_on_exit
        self.payload_manager.write_payload({"source": "ask_exit", "keepkernel": self.keepkernel_on_exit})

    def set_next_input(self, s: str, replace: bool = False) -> None:
        """Offer `s` as the text of the next cell, or (`replace`) of this one."""
        self.payload_manager.write_payload({"source": "set_next_input", "text": s, "replace": replace})

    def get_parent(self) -> dict[str, Any]:
        """Return the message that asked for this run, as far as the host told."""
        parent: dict[str, Any] = self.kernel.get_parent()
        return parent

    def set_parent(self, parent: dict[str, Any]) -> None:
        """Take what libraries say the request is; outputs belong to the cell that makes them, all the same."""
        self.kernel.set_parent((), parent)

    @property
    def parent_header(self) -> dict[str, Any]:
        """The message that asked for this run, under the name that ipykernel's shell has for it."""
        return self.get_parent()

    def system(self, cmd: str) -> None:
        """Run a `!command` on a terminal, its output shown; the status is left in `_exit_code`."""
        if cmd.rstrip().endswith("&"):
            raise OSError("Background processes not supported.")
        status = programs.run_on_terminal(self.var_expand(cmd, depth=1), self._show)
        self.user_ns["_exit_code"] = status
        if status and not self.limits.has_network and _NETWORK_PROGRAMS.search(cmd):
            self.notices.append(hints.NO_NETWORK)
        if status and getattr(self, "system_raise_on_error", False):
            raise CalledProcessError(status, cmd)

    system_piped = system

    @staticmethod
    def _show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def raw_input(self, prompt: object = "") -> str:
        """Ask the person; StdinNotImplementedError where the front end cannot."""
        return self._ask("raw_input", str(prompt), password=False)

    def getpass(self, prompt: str = "", stream: object = None, *, echo_char: object = None) -> str:
        """Ask the person for a secret; StdinNotImplementedError where the front end cannot."""
        for name, value in (("stream", stream), ("echo_char", echo_char)):
            if value is not None:
                warnings.warn(f"The `{name}` parameter of `getpass.getpass` will have no effect", stacklevel=2)
        return self._ask("getpass", prompt, password=True)

    def _ask(self, function: str, prompt: str, *, password: bool) -> str:
        self.has_asked = True
        if not self.allow_stdin or self.inbox is None or not self.outputs.mine():
            raise StdinNotImplementedError(f"{function} was called, but this frontend does not support input requests.")
        try:
            self.inbox.forget("input_reply")
            self.outputs.send({"type": "input_request", "prompt": prompt, "password": password})
            value = str(self.inbox.wait_for("input_reply").get("value", ""))
        except KeyboardInterrupt:
            raise KeyboardInterrupt("Interrupted by user") from None
        if value == END_OF_FILE:
            raise EOFError
        return value

    async def run_ast_nodes(self, nodelist: list[ast.stmt], *args: Any, **options: Any) -> bool | None:
        """Run the statements of a cell, or of a piece of code that it runs."""
        nodelist = [each for statement in nodelist for each in names.one_by_one(statement)]
        outer, self._statements = self._statements, iter(nodelist)
        try:
            failed: bool | None = await super().run_ast_nodes(nodelist, *args, **options)
            return failed
        finally:
            self._statements = outer

    async def run_code(self, code_obj: types.CodeType, *args: Any, **options: Any) -> bool | None:
        """Run one statement."""
        statement = next(self._statements, None)
        if statement is not None:
            self.before_statement(statement)
        failed: bool | None = await super().run_code(code_obj, *args, **options)
        return failed

    def begin(self, request: dict[str, Any], inbox: comms.Inbox, note_for: Callable[[str], str | None]) -> None:
        """Take over from `request` what holds while it is answered."""
        self.inbox = inbox
        self.note_for = note_for
        self.allow_stdin = bool(request.get("allow_stdin"))
        self.has_asked = False
        info = request.get("layer_info") or {}
        self.limits = hints.Limits(info.get("limits"), info.get("magics"))
        self.kernel.begin(request)
        self.execution_count = request.get("execution_count") or 1
        self.notices = []
        self.last_error = self.shown_error = None
        self._broken_display = self._interrupted = False

    def forget(self, hidden: dict[str, Any]) -> None:
        """Drop what earlier runs of this process left in the shell; `hidden` as `user_ns_hidden` was before them."""
        manager, hook = self.history_manager, self.displayhook
        manager._i00 = manager._i = manager._ii = manager._iii = ""  # noqa: SLF001
        manager.input_hist_parsed[:] = manager.input_hist_raw[:] = [""]
        for kept in (manager.output_hist, manager.output_hist_reprs, manager.outputs, manager.exceptions):
            kept.clear()
        manager.db_input_cache.clear()
        hook._ = hook.__ = hook.___ = ""
        self.user_ns_hidden.clear()
        self.user_ns_hidden.update(hidden)
        for name in self.compile._filename_map:  # noqa: SLF001
            linecache.cache.pop(name, None)
        self.compile._filename_map.clear()  # noqa: SLF001
        self.last_execution_result = ExecutionResult(None)  # what %xdel looks at
        self.last_error = self.shown_error = self.inbox = None
        self.last_execution_succeeded = True
        self.InteractiveTB.tb = self.InteractiveTB.pdb = self._recalled = None
        self.notices = []
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            sys.__dict__.pop(name, None)

    def recall(self, error: BaseException, shown: dict[str, Any]) -> None:
        """Take over the error of an earlier cell. shown: as it was sent then."""
        self.InteractiveTB.tb = error.__traceback__
        self._recalled = error, self.InteractiveTB.mode, shown

    def transform_static(self, code: str) -> Static:
        """Return `code` with its magics and `!commands` as Python."""
        try:
            return Static(self.input_transformer_manager.transform_cell(code), None, self._transformers())
        except Exception as error:  # noqa: BLE001  shown as the cell's error when it is run
            return Static(code, error, self._transformers())

    def finish_transform(self, code: str, static: Static) -> tuple[str, BaseException | None]:
        """Return the Python of a cell, now that its variables are there, and the error of making it, if any."""
        if static.by != self._transformers():  # loading has brought an extension with more of them
            static = self.transform_static(code)
        if static.failed is not None:
            return code, static.failed
        text = static.text
        try:
            if "\n" not in text.rstrip("\n") and self._needs_prefilter(text):
                with self.builtin_trap:
                    text = self.prefilter_manager.prefilter_lines(text) + "\n"
            if self.input_transformers_post:
                lines = text.splitlines(keepends=True)
                for transform in self.input_transformers_post:
                    lines = transform(lines)
                text = "".join(lines)
        except Exception as error:  # noqa: BLE001  shown as the cell's error
            return code, error
        return text, None

    def _needs_prefilter(self, line: str) -> bool:
        """Tell whether a single line may mean something else than its Python: `ls`, `timeit f()`, `exit`."""
        match = _PLAIN_LINE.match(line)
        plain = match is not None and (match[1] is None or match[2] or keyword.iskeyword(match[1]))
        return not plain or bool(self.autocall)

    def _transformers(self) -> tuple[int, ...]:
        manager = self.input_transformer_manager
        return len(manager.cleanup_transforms), len(manager.line_transforms), len(manager.token_transformers)

    def run(
        self,
        code: str,
        transformed: str,
        failed: BaseException | None,
        *,
        silent: bool,
        store_history: bool,
        cell_id: str | None,
    ) -> ExecutionResult:
        """Run a cell. transformed: its Python; failed: the error of turning it into Python, if any."""
        coroutine = self.run_cell_async(
            code,
            store_history=store_history,
            silent=silent,
            transformed_cell=transformed,
            preprocessing_exc_tuple=failed and (type(failed), failed, failed.__traceback__),
            cell_id=cell_id,
        )
        result = None
        try:
            runner = self._run_off_loop if failed is not None else self._runner(transformed)
            try:
                with programs.sharing_interrupts() if _SCRIPT.match(transformed) else contextlib.nullcontext():
                    result = runner(coroutine)
            except BaseException as error:  # noqa: BLE001  an interrupt between the person's code and ours
                result = ExecutionResult(None)
                result.error_in_exec = error
                self.showtraceback()
        finally:
            self.events.trigger("post_execute")
            if not silent:
                self.events.trigger("post_run_cell", result)
        return result

    def succeeded(self, result: ExecutionResult) -> bool:
        """Tell whether the cell, and the display of its value, raised nothing."""
        return bool(result.success) and not self._broken_display

    def _runner(self, transformed: str) -> Callable[[Coroutine[Any, Any, ExecutionResult]], ExecutionResult]:
        if self.autoawait and _AWAITING.search(transformed) and self.should_run_async("", transformed_cell=transformed):
            return self._run_on_loop if self.loop_runner is _asyncio_runner else self.loop_runner
        needs_loop = _NEEDS_LOOP.search(transformed) and not _STARTS_LOOP.search(transformed)
        return self._run_on_loop if needs_loop else self._run_off_loop

    def _run_off_loop(self, coroutine: Coroutine[Any, Any, ExecutionResult]) -> ExecutionResult:
        with leftovers.Loan() as loan:
            result: ExecutionResult = _pseudo_sync_runner(coroutine)
        if loan.is_used:
            leftovers.event_loop().run_until_complete(asyncio.sleep(0))
        return result

    def _run_on_loop(self, coroutine: Coroutine[Any, Any, ExecutionResult]) -> ExecutionResult:
        loop = leftovers.event_loop()
        task = loop.create_task(coroutine)
        if self.inbox is not None:
            loop.add_reader(self.inbox.sock.fileno(), self.inbox.poll)
        before = signal.getsignal(signal.SIGINT)
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, functools.partial(self._interrupt_loop, loop, task))
        try:
            result: ExecutionResult = loop.run_until_complete(task)
            return result
        finally:
            if before is signal.default_int_handler:
                signal.signal(signal.SIGINT, before)

    def _interrupt_loop(
        self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], number: int, frame: types.FrameType | None
    ) -> None:
        self._interrupted = True
        if asyncio.current_task(loop) is not None:
            signal.default_int_handler(number, frame)  # the person's code is running: it raises there
        task.cancel()
        loop.call_soon_threadsafe(lambda: None)  # wakes the loop up

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **options: Any) -> None:
        """Show the error that is being handled, or `exc_tuple`, with what this container has to say about it."""
        kind, error, traceback = exc_tuple or sys.exc_info()
        if kind is None and self._recalled is not None:
            recalled, mode, shown = self._recalled
            if getattr(sys, "last_value", None) is recalled and self.InteractiveTB.mode == mode:
                self.outputs.send({"type": "error", **shown})  # as it was: %tb
                return
        if self._interrupted and isinstance(error, asyncio.CancelledError):
            kind, error = KeyboardInterrupt, KeyboardInterrupt()
            exc_tuple = kind, error, traceback
        if error is not None:
            hints.add_hints(error, self.limits, self.note_for)
        super().showtraceback(exc_tuple, *args, **options)

    def _showtraceback(self, etype: type[BaseException], evalue: BaseException, stb: list[str]) -> None:
        if self.displayhook.message is not None:
            self._broken_display = True
        self.last_error = {**error_content(evalue), "ename": etype.__name__, "traceback": list(stb)}
        if self._recalled is None or evalue is not self._recalled[0]:
            self.shown_error = evalue
        self.outputs.send({"type": "error", **self.last_error})

    def _format_exception_for_storage(self, exception: BaseException, *_: Any, **__: Any) -> dict[str, Any]:
        # IPython would format every traceback a second time.
        return self.last_error or error_content(exception)


InteractiveShellABC.register(ZMQInteractiveShell)


def make_shell(outputs: Outputs) -> ZMQInteractiveShell:
    """Build the shell of this process; `__main__` becomes the module in which cells run."""
    leftovers.Loan.offer()
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    home = os.path.join(os.path.expanduser("~"), ".ipython")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shell: ZMQInteractiveShell = ZMQInteractiveShell.instance(
            outputs=outputs,
            config=config,
            ipython_dir=home,
            profile_dir=UnmadeProfileDir(location=os.path.join(home, "profile_default")),
        )
    shell.extension_manager.load_extension("storemagic")  # as every shell of an application does
    return shell


def error_content(error: BaseException) -> dict[str, Any]:
    """Return name and text of `error` as messages have them, without a traceback."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001  the person's own __str__
        text = f"<{type(broken).__name__} in {type(error).__name__}.__str__>"
    return {"ename": type(error).__name__, "evalue": text, "traceback": []}
