"""The process of one cell: waits for one request, answers it, and is gone.

`warm` builds everything in the zygote; `Cell.serve` runs in a process forked from it.
"""

# mypy: disable-error-code="no-untyped-call"
# (most of IPython's functions have no annotations)

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import itertools
import os
import pdb  # noqa: T100
import secrets
import select
import shutil
import signal
import sys
import tempfile
from os import getpid  # in whose place a cell may put another function
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from IPython.core import debugger

from cellstack_guest import (
    adapters,
    api,
    calls,
    comms,
    debug,
    failures,
    hints,
    interrupts,
    leftovers,
    looks,
    patches,
    pristine,
    programs,
)
from cellstack_guest.carry import Carried, Carrier
from cellstack_guest.history import HIDDEN, UNDERSCORES, History, is_result
from cellstack_guest.imports import Environs, environment
from cellstack_guest.outputs import Nowhere, Outputs, Stream, flush_before_children, flush_c
from cellstack_guest.preferences import Observer
from cellstack_guest.reducers import is_iterating
from cellstack_guest.shell import Static, ZMQInteractiveShell, error_content, make_shell

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from cellstack_guest.baseline import Baseline

Message = dict[str, Any]

WARM_UP = (
    "1+1",
    "import os\nx = [1]\nprint(x)\nx",
    "def f():\n    return undefined_name\nf()",
    "1 +",
    "from IPython.display import HTML\ndisplay(HTML('<b>x</b>'))\n%pwd",
)
REHEARSAL = ("print(1)\n1+1", "x = [1]\nx")
REST_SECONDS = 0.002
MAX_MODULES = 1000
MAX_NOTICE = 500  # characters: names that people give may be long


class MakeCarrier(Protocol):
    """`cellstack_guest.carry.Carrier`, or what a test puts in its place."""

    def __call__(
        self, namespace: dict[str, Any], state_root: str, *, hidden: Collection[str], baseline: Baseline | None
    ) -> Carrier:
        """Return a carrier of the variables in `namespace`."""


class Cell:
    """A shell that is ready to run a request in a process forked from this one, and more while these are kept in it."""

    def __init__(self, shell: ZMQInteractiveShell, outputs: Outputs, make_carrier: MakeCarrier) -> None:
        self.shell = shell
        self.outputs = outputs
        self._make_carrier = make_carrier
        self._namespace: dict[str, Any] = shell.user_ns
        self.preferences = Observer(shell)
        self._initial = dict(shell.user_ns), dict(shell.user_ns_hidden)
        self.known: frozenset[str] = frozenset()
        self.baseline: Baseline | None = None
        self._pid = 0
        self._kept = False  # whether what ran before is still here, and nothing of it saved
        self._busy = False  # whether callbacks have left something that runs on until the next request
        # The temporary folder of this root, for rehearsals that come after a change of the root.
        self.scratch = os.open(tempfile.gettempdir(), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._carrier: Carrier
        self._inbox: comms.Inbox
        self._history: History
        self._static: Static
        self._loaded: list[str] = []
        self._bridge: debug.Bridge | None = None
        self._environs: Environs
        self._taken_in: set[str] = set()
        self._serves = False  # else it rehearses

    def take_in(self, imports: Iterable[tuple[Sequence[str], Mapping[str, str | None]]]) -> None:
        """Import modules, before any cell is forked from this process, and run a little with them.

        imports: modules, and the environment variables that they are to find, as far as these are others.
        """
        for modules, variables in imports:
            with environment(variables), self.shell.builtin_trap:  # some ask for the shell when they are imported
                # What has failed in this process or those before it has left there what it did until then.
                for name in [each for each in modules if each not in self._taken_in]:
                    self._taken_in.add(name)
                    # An image without it, or a module that does not like it here: the cell that wants it says so.
                    with contextlib.suppress(Exception, SystemExit):
                        importlib.import_module(name)
        calls.watch((*adapters.CALLS, *adapters.MAKERS))
        baseline, self.baseline = self.baseline, None  # what was imported just now is none of its changes
        self.rehearse(WARM_UP)
        self.baseline = baseline
        if (process := sys.modules.get("multiprocessing.process")) is not None:
            process.ORIGINAL_DIR = patches.FOLDER  # type: ignore[attr-defined]  # what spawned children have for "" in sys.path
        self.preferences.learn()  # of the magics that running has loaded
        self.known = frozenset(sys.modules)

    def serve(self, sock: socket.socket, state_root: str, out_dir: str, *, rest: float = REST_SECONDS) -> None:
        """Answer one request on `sock`, or more while it is kept, and return; the process is of no use after that.

        state_root: one folder of saved variables per layer. out_dir: where this cell's are saved. rest: seconds without
        a request after which there is time for a rehearsal. Raises EOFError
        when the host closes `sock` before it asks for anything.
        """
        interrupts.hold()
        sock.setblocking(True)
        if not _arrives(sock, rest):
            # While nobody waits for an answer. In a row of cells, where somebody does, it would only come on top.
            self.rehearse(REHEARSAL)
        os.close(self.scratch)
        self._environs = Environs()
        self._environs.watch()
        self._start(sock, state_root)
        self._serves = True
        keep = True
        while keep:
            message = self._next()
            if self._kept and message["type"] in looks.QUESTIONS:
                reply = {"type": "answer", "content": self._look_aside(message)}
            else:
                reply = self._answer(message, out_dir)
            interrupts.hold()  # before the host knows that it may ask for the next
            self.outputs.send(reply)
            keep = self._kept = bool(message.get("keep"))

    def _next(self) -> Message:
        """Wait for the next request; what callbacks have left runs on meanwhile, and the host is told of its end."""
        while True:
            if self._busy and not self._inbox.has_frames:
                try:
                    with self.shell.builtin_trap:
                        leftovers.run_on(until=self._inbox.sock)
                except BaseException as error:  # noqa: BLE001  a task's own SystemExit
                    self._report(error)
                    continue
                if getpid() != self._pid:
                    os._exit(0)  # a child of a task's own os.fork
                self._busy = leftovers.are_there()
                if not self._busy:
                    self.outputs.send({"type": "rest"})
            message, _ = self._inbox.receive()
            # A comm message that no callback has waited for is going to come once more, with a request.
            if message["type"] != "comm":
                return message

    def rehearse(self, cells: Sequence[str]) -> None:
        """Run `cells` as `serve` would, to no effect: frames go nowhere, variables to a folder that is removed.

        A process that was just forked gets its own copies of what it writes to by that, before anybody waits for it.
        """
        handler = signal.getsignal(signal.SIGINT)
        with contextlib.ExitStack() as stack:
            try:
                root = stack.enter_context(_scratch_folder(self.scratch))
            except OSError:
                return  # a temporary folder that is read-only or full: the first run is slower, that is all
            state = None
            for number, code in enumerate(cells, 1):
                self._start(Nowhere(), root)
                layer = f"rehearsal{number}"
                out = os.path.join(root, layer)
                os.mkdir(out)
                request = {"type": "execute", "code": code, "execution_count": number, "state": state, "layer": layer}
                reply = self._answer(request, out)
                self.outputs.send(reply)
                state = reply["state"]
        self.outputs.bind(None)
        if not interrupts.are_held():  # else this would drop one that waits
            signal.signal(signal.SIGINT, handler)
        self._namespace.clear()
        self._namespace.update(self._initial[0])
        self.shell.forget(self._initial[1])

    def _start(self, sock: Any, state_root: str) -> None:
        self._pid = getpid()
        self._inbox = comms.Inbox(sock)
        self.outputs.bind(sock)
        comms.learn_targets()
        self._carrier = self._make_carrier(self._namespace, state_root, hidden=HIDDEN, baseline=self.baseline)
        api.connect(self._carrier)

    def _answer(self, request: Message, out_dir: str) -> Message:
        match request["type"]:
            case "execute":
                return self._execute(request, out_dir, self._run_python)
            case "shell":
                return self._execute(request, out_dir, self._run_shell)
            case "event":
                return self._execute(request, out_dir, _nothing)
            case "end":
                return self._execute(request, out_dir, self._end)
            case "complete":
                content = self._look(request, request["code"], looks.complete)
            case "inspect":
                content = self._look(request, looks.name_at_cursor(request), looks.inspect)
            case "is_complete":
                content = looks.is_complete(self.shell, request)
            case "debug":
                self._stand_by(request)
                content = {"status": "ok"}
            case other:
                content = _error_content("ProtocolError", f"a cell cannot answer a request of type {other!r}")
        return {"type": "reply", "content": content, "state": request.get("state"), "carried": {}}

    # Runs

    def _execute(self, request: Message, out_dir: str, run: Callable[[Message], Message]) -> Message:
        """Load, run, save. Whatever fails, there is a reply, and the state before it stays usable."""
        shell = self.shell
        shell.begin(request, self._inbox, self._carrier.note_for)
        shell.before_statement = self._carrier.modules.before_statement
        info = request.get("layer_info") or {}
        api.layer, api.limits = info.get("layer"), shell.limits.values
        loaded = False
        debugging = False
        try:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                if self._serves:
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
                self._load(request)
                if request.get("debug"):  # at a breakpoint a person looks at any of them
                    with self.outputs.muted(), shell.builtin_trap:
                        self._loaded = [*self._loaded, *self._carrier.load_all()]
                loaded = True
                with self.shell.builtin_trap:
                    if letters := request.get("letters"):
                        leftovers.call_on_loop(lambda: self._inbox.take(letters))
                if request.get("debug"):
                    self._debug(request["debug"])
                    debugging = True
                content = run(request)
            finally:
                if debugging and self._bridge is not None and not request.get("keep"):
                    self._bridge.pause()
                if self._serves:
                    interrupts.ignore()
        except BaseException as error:  # noqa: BLE001  the reply must not be lost
            content = self._report(error)
        flush_c()
        if getpid() != self._pid:
            os._exit(0)  # a child of the cell's own os.fork has nothing to say to the host
        if debugging and self._bridge is not None and not request.get("keep"):
            self._bridge.end()
        carried: Carried | None = None
        if loaded and request.get("keep"):
            carried = Carried(request.get("state"), [], self._loaded, {})
            self._busy = request["type"] == "event" and leftovers.are_there()
        elif loaded:
            with pristine.undone():
                self.preferences.save(self._carrier.extra)
                shell.notices += leftovers.ended()
                _flush_files(self._namespace)
            carried = self._save(request, out_dir)
        shell.notices += self._carrier.notices
        for text in shell.notices:
            self.outputs.send({"type": "notice", "text": text if len(text) <= MAX_NOTICE else f"{text[:MAX_NOTICE]}…"})
        if carried is None:
            return {"type": "reply", "content": content, "state": request.get("state"), "carried": {}}
        return {
            "type": "reply",
            "content": content,
            "state": carried.state,
            "carried": {"saved": carried.saved, "loaded": carried.loaded, "not_carried": carried.not_carried},
            "modules": self._imported() if self._serves else [],
            "taken": self._inbox.taken,
            "busy": self._busy,
            "repeatable": carried.complete and not shell.has_asked,
        }

    def _imported(self) -> list[dict[str, Any]]:
        """Return the library modules that this run has imported, in this order, for the zygote of the next cells."""
        # The newest are last. Looking at those before them, a thousand, would cost a copy of each one's page.
        new = list(itertools.takewhile(lambda name: name not in self.known, reversed(sys.modules)))
        found = (
            name
            for name in new
            if isinstance(name, str)
            and not any(part.startswith("_") for part in name.split("."))
            and (getattr(sys.modules[name], "__file__", None) or hasattr(sys.modules[name], "__path__"))
            and not patches.is_own(sys.modules[name])
            and not (self._bridge is not None and debug.is_debuggers(name))
        )
        # What lies deep in a package mostly comes with it.
        first = set(sorted(found, key=lambda name: (name.count("."), name))[:MAX_MODULES])
        places = enumerate(reversed(new), len(sys.modules) - len(new))
        return self._environs.grouped({name: place for place, name in places if name in first})

    def _load(self, request: Message) -> None:
        carrier, shell, code, count = self._carrier, self.shell, request["code"], self.shell.execution_count
        carrier.cell = f"[{count}]"
        carrier.limits = shell.limits
        carrier.modules.quiet = self.outputs.muted
        carrier.open(request.get("state"))
        self._history = History(shell)
        if request["type"] in ("shell", "end", "event"):
            with self.outputs.muted():
                self._loaded = self._reach(request, "")
                if request["type"] == "event":
                    carrier.react(request["comms"], request.get("target"))
        else:
            carried = [*carrier.names(), *filter(is_result, self._namespace)]
            self._static = shell.transform_static(code)
            expressions = _as_statements(request)
            # Names that the person has bound are theirs; the display hook has to see that they are bound.
            also = [name for name in UNDERSCORES if name in carried]
            also += self._history.reach("\n".join([code, *expressions]), carried)
            # What a library says when it is imported was said in the cell that imported it.
            # It may ask for the shell, by the name that is built in while a cell runs.
            with self.outputs.muted(), shell.builtin_trap:
                self._loaded = self._reach(request, "\n".join([self._static.text, *also, *expressions]))
            if not self._kept and failures.is_asked_for(self._static.text):
                with self.outputs.muted(), shell.builtin_trap:
                    self._recall()
        if not self._kept:
            if needed := self.preferences.needs(carrier.extra):
                with self.outputs.muted(), shell.builtin_trap:
                    self._loaded = [*self._loaded, *carrier.go_on(needed)]
            with carrier.modules.folders():  # where the extensions that are the person's own were found
                self.preferences.restore(carrier.extra, code)
        results = [*carrier.names(), *filter(is_result, self._namespace)]
        self._history.restore(carrier.extra, results, count, request.get("earlier") or ())
        if any("_i" in text for text in (code, *_as_statements(request))):
            self._history.restore_typed()

    def _recall(self) -> None:
        """Have what the last cell that failed has failed with at hand, and all variables for a debugger."""
        failure = self._carrier.recall()
        if failure is not None:
            if failures.is_debugged(self._static.text):
                self._carrier.load_all()
            self.shell.recall(failures.put_back(failure, self._namespace), failure.shown)

    def _reach(self, request: Message, code: str) -> list[str]:
        """Load what `code` can reach; return the names."""
        return self._carrier.go_on(code) if self._kept else self._carrier.begin(request.get("state"), code)

    def _run_python(self, request: Message) -> Message:
        shell, code, count = self.shell, request["code"], self.shell.execution_count
        silent = bool(request.get("silent"))
        store = bool(request.get("store_history", True)) and not silent
        transformed, failed = shell.finish_transform(code, self._static)
        if transformed != self._static.text:  # as where a macro stands for more
            with self.outputs.muted():
                self._carrier.go_on(transformed)
        typed = request.get("typed") or code
        transformed = "\n" * request.get("skipped", 0) + transformed
        result = shell.run(
            typed, transformed, failed, silent=silent, store_history=store, cell_id=request.get("cell_id")
        )
        if store:
            self._take_failure(result.error_in_exec)
        if shell.succeeded(result):
            content: Message = {"status": "ok"}
        else:
            error = result.error_before_exec or result.error_in_exec or RuntimeError("the cell failed")
            content = {"status": "error", **(shell.last_error or error_content(error))}
        after = shell.execution_count - 1
        content["execution_count"] = after if after >= count - 1 else count
        expressions = request.get("user_expressions") or {}
        content["user_expressions"] = shell.user_expressions(expressions) if content["status"] == "ok" else {}
        name = shell.compile.get_code_name(typed, transformed, count) if store else None
        self._history.save(self._carrier.extra, count, name)  # takes `_` away, which expressions may name
        content["payload"] = shell.payload_manager.read_payload()
        shell.payload_manager.clear_payload()
        return content

    def _take_failure(self, raised: BaseException | None) -> None:
        """Keep what the cell has failed with, or what it has shown the traceback of, as `%run` does."""
        shown, content = self.shell.shown_error, self.shell.last_error
        error = raised if raised is not None else shown
        if error is None or content is None or isinstance(error, SystemExit):
            return
        with self.outputs.muted(), pristine.undone():  # methods of the person's objects run here
            failure = failures.taken(error, self._namespace, content)
            if failure is None and isinstance(error, SyntaxError):
                failure = failures.without_frames(error, content)
        self._carrier.failure = failure or self._carrier.failure

    def _end(self, request: Message) -> Message:
        """Give what callbacks have left a little time; of what it was not enough for, it is told when all else is."""
        if self._busy:
            with self.shell.builtin_trap:
                leftovers.run_on(request.get("patience") or 0)
            self.outputs.send({"type": "rest"})
        return _nothing(request)

    def _run_shell(self, request: Message) -> Message:
        shell, code, count = self.shell, request["code"], self.shell.execution_count
        typed = request.get("typed") or f"%%sh\n{code}"
        shell.history_manager.store_inputs(count, f"get_ipython().run_cell_magic('sh', '', {code!r})", typed)
        self._history.save(self._carrier.extra, count, shell.compile.get_code_name(typed, typed, count))
        status = programs.run_script(code)
        if status == 0:
            content: Message = {"status": "ok"}
        else:
            how = f"exited with {status}" if status > 0 else f"was killed by signal {-status}"
            with contextlib.suppress(ValueError):  # a real-time signal has no name
                how = how if status > 0 else f"was killed by {signal.Signals(-status).name}"
            content = _error_content("CalledProcessError", f"shell {how}")
            self.outputs.send({**content, "type": "error"})
        return {**content, "execution_count": count, "user_expressions": {}, "payload": []}

    def _report(self, error: BaseException) -> Message:
        """Show an error that no traceback of the person's code belongs to, and return the content of the reply."""
        hints.add_hints(error, self.shell.limits, self._carrier.note_for)
        content = {"status": "error", **_plain_error(error)}
        self.outputs.send({**content, "type": "error"})
        return {**content, "execution_count": self.shell.execution_count, "user_expressions": {}, "payload": []}

    def _save(self, request: Message, out_dir: str) -> Carried | None:
        try:
            carried = self._carrier.end(request["layer"], out_dir)
        except BaseException as error:  # noqa: BLE001  methods of the person's objects run here
            plain = _plain_error(error)
            self.shell.notices.append(
                f"the variables of this cell were not saved, they are as before it: {plain['ename']}: {plain['evalue']}"
            )
            return None
        for name, why in carried.not_carried.items():
            if not is_result(name):
                self.shell.notices.append(f"'{name}' will not be carried: {why}")
        return carried

    # Debugging

    def _debug(self, settings: Message) -> None:
        """Have the host attach a debugger, and wait until it has. settings: {"sources": {file name: text}}."""
        if self._bridge is None:
            try:
                self._bridge = debug.Bridge(self.shell, self._inbox, self.outputs)
            except Exception as error:  # noqa: BLE001  another layer may have anything in the place of debugpy
                why = f"the debugger cannot be used in this container: {type(error).__name__}: {error}"
                self.outputs.send({"type": "debug", "message": debug.refusal(why)})
                self.shell.notices.append(f"{why}; the cell has run without it")
            else:
                self._bridge.start(settings["sources"])
        self._inbox.wait_for("debug_ready")
        if self._bridge is not None:
            self._bridge.begin()

    def _stand_by(self, request: Message) -> None:
        """Have all variables, and let a debugger look at them until this container is ended."""
        with self.outputs.muted():
            self._carrier.begin(request.get("state"), "")
            self._carrier.load_all()
        with self.shell.builtin_trap:
            self._debug(request["debug"])
            with contextlib.suppress(EOFError):
                self._inbox.wait_for("end")

    # Looks

    def _look_aside(self, request: Message) -> Message:
        """Answer a question from this process' variables, in a fork of it; {} when another request comes first."""
        self.outputs.flush()
        return looks.aside(lambda: self._answer(request, "")["content"], self._inbox.sock)

    def _look(self, request: Message, text: str, answer: Callable[[ZMQInteractiveShell, Message], Message]) -> Message:
        """Answer from the variables that `text` reaches; nothing is saved."""
        try:
            history = History(self.shell)
            if not self._kept:
                self._carrier.open(request.get("state"))
            with self.outputs.muted():
                self._reach(request, "\n".join([text, *history.reach(text, self._carrier.names())]))
            carried = self._carrier.names()
            if not self._kept:
                with self.outputs.muted(), self._carrier.modules.folders():
                    self.preferences.restore(self._carrier.extra, request["code"])
                history.restore(self._carrier.extra, carried)
                history.restore_typed()
            return answer(self.shell, request | {"carried": carried})
        except BaseException as error:  # noqa: BLE001  the reply must not be lost
            return {"status": "error", **_plain_error(error)}


def _as_statements(request: Message) -> list[str]:
    """Return the user expressions of a request that are Python; what the others name is never looked up."""
    found = []
    for text in (request.get("user_expressions") or {}).values():
        if not isinstance(text, str):
            continue
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            statement = text.lstrip(" \t")  # as `eval` does
            ast.parse(statement, mode="eval")
            found.append(statement)
    return found


def _nothing(_request: Message) -> Message:
    """Return the content of the reply to a request that has no code of its own.

    "event": callbacks have had the comm messages that came with it. "end": what was kept is to be saved.
    """
    return {"status": "ok"}


def warm(make_carrier: MakeCarrier = Carrier, preload: Sequence[str] = ()) -> Cell:
    """Build the cell that later forks serve, and run a little in it, so that their first run is not the first.

    preload: modules to import, once there is a shell that they may register with, as matplotlib's inline backend does.
    Takes over sys.stdout, sys.stderr, `input` and `__main__` of this process. Starts no thread and no event loop.
    """
    outputs = Outputs()
    sys.stdout = Stream(outputs, "stdout")
    sys.stderr = Stream(outputs, "stderr")
    flush_before_children(outputs)
    # Which an interrupt ends, as in every kernel.
    debugger.Pdb = debugger.InterruptiblePdb  # type: ignore[misc]
    pdb.Pdb = debugger.Pdb  # type: ignore[misc, assignment]
    pdb.set_trace = debugger.set_trace
    sys.argv = [""]
    if "" not in sys.path:
        sys.path.insert(_first_of_site(), "")
    sys.modules["cellstack"] = api
    shell = make_shell(outputs)
    shell.history_manager.dir_hist[:] = [Path(patches.FOLDER)]  # `_dh`, which %cd - goes back to
    cell = Cell(shell, outputs, make_carrier)
    cell.take_in([(preload, {})])
    return cell


def _first_of_site() -> int:
    """Return where IPython puts the working directory: before what was installed, after the standard library."""
    folders = ("site-packages", "dist-packages")
    return next((i for i, path in enumerate(sys.path) if os.path.basename(path) in folders), len(sys.path))


@contextlib.contextmanager
def _scratch_folder(parent: int) -> Iterator[str]:
    """Make a folder in `parent`, a descriptor, that is removed again."""
    path = f"/proc/self/fd/{parent}/{secrets.token_hex(8)}"
    os.mkdir(path, 0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _arrives(sock: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _error_content(ename: str, evalue: str) -> Message:
    return {"status": "error", "ename": ename, "evalue": evalue, "traceback": [f"{ename}: {evalue}"]}


def _plain_error(error: BaseException) -> Message:
    content = error_content(error)
    line = f"{content['ename']}: {content['evalue']}" if content["evalue"] else content["ename"]
    return {**content, "traceback": [line, *getattr(error, "__notes__", ())]}


def _flush_files(namespace: dict[str, Any]) -> None:
    """Write what open files of the cell still hold: the process ends without closing them."""
    for value in list(namespace.values()):
        if isinstance(value, io.IOBase) and not value.closed:
            with contextlib.suppress(OSError, ValueError):  # pipes nobody reads
                if value.writable() and not is_iterating(value):
                    value.flush()
