"""The debugger inside a cell: debugpy, and the two threads between it and the cell's socket.

debugpy listens on the container's own loopback. What the host sends for it arrives on the cell's socket, which only one
may read: from the moment this starts, a thread does, and hands everything else on to whoever reads the inbox. What the
Debug Adapter Protocol has no request for, but Jupyter's debuggers ask, is answered here.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import re
import socket
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython
from IPython.core.inputtransformer2 import leading_empty_lines

from cellstack_guest import interrupts, protocol
from cellstack_guest.outputs import jsonable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cellstack_guest.comms import Inbox
    from cellstack_guest.outputs import Outputs

Message = dict[str, Any]

FOLDER = "/tmp/ipykernel_1"  # noqa: S108  where CellCompiler says that cells are
MODULES = ("debugpy", "pydev", "_pydev")
LISTENING, REFUSED = "cellstack_listening", "cellstack_refused"
_HEADER = re.compile(rb"Content-Length: *(\d+)\r\n(?:[^\r\n]+\r\n)*\r\n")
_HIDDEN = re.compile(r"__\w+__|get_ipython|debugpy|exit|quit|In|Out|_oh|_dh|_{1,3}|_\d.*|_i.*")
_READ_BYTES = 2**16
_LAST = "cellstack: what the debugger has said of this cell has been sent"  # an event of our own
SAY_SECONDS = 1.0


def is_debuggers(module: str) -> bool:
    """Tell whether a module was imported for the debugger and by no cell."""
    return module.startswith(MODULES)


def refusal(why: str) -> Message:
    """Return the event that tells the host that no debugger will listen here."""
    return {"type": "event", "event": REFUSED, "body": {"text": why}}


class Bridge:
    """debugpy in this process, reached through the cell's socket; its import may raise anything."""

    def __init__(self, shell: Any, inbox: Inbox, outputs: Outputs) -> None:
        self._shell = shell
        self._outputs = outputs
        self._before = _contents()
        import debugpy  # noqa: F401, PLC0415, T100  only a cell that is debugged needs it

        self._outside, self._decoder = inbox.sock, inbox.detach_decoder()
        inside, inbox.sock = socket.socketpair()
        self._inside = inside
        self._patched: list[tuple[dict[str, Any], str, Any, Any]] = []
        self._adapter: socket.socket
        self._files: set[str] = set()
        self._made_folder = False
        self._explorer: _Explorer | None = None
        self._transforms: list[Any] | None = None
        self._said = threading.Event()

    def start(self, sources: Mapping[str, str]) -> None:
        """Listen, and say so to the host. sources: the text of cells by the file name that their code has."""
        import debugpy  # noqa: PLC0415, T100  it is there by now

        environment = dict(os.environ)
        os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else it warns of modules that nobody debugs
        for path, text in sources.items():
            self._write(path, text)
        debugpy.configure(subProcess=False)
        self._adapter = socket.create_connection(debugpy.listen(("127.0.0.1", 0)))  # noqa: T100
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        for target in (self._from_host, self._from_adapter):
            thread: Any = threading.Thread(target=target, daemon=True)
            thread.pydev_do_not_trace = thread.is_pydev_daemon_thread = True
            with interrupts.left_to_main():
                thread.start()
        self._send({"type": "event", "event": LISTENING})

    def begin(self) -> None:
        """Trace this thread. A cell's lines are those that its person sees; what is changed in modules is noted.

        For the first of the cells that share this process: what is changed from there on, cells have done.
        """
        import debugpy  # noqa: PLC0415, T100  as in `start`

        debugpy.trace_this_thread(True)  # the answer to `attach` may come before the threads are traced
        if self._transforms is not None:
            return
        self._patched = _differences(self._before)
        transforms = self._shell.input_transformer_manager.cleanup_transforms
        self._transforms = list(transforms)
        if leading_empty_lines in transforms:
            transforms.remove(leading_empty_lines)

    def pause(self) -> None:
        """Trace this thread no more: the cell's code is over."""
        import debugpy  # noqa: PLC0415, T100  as in `start`

        debugpy.trace_this_thread(False)

    def end(self) -> None:
        """Have said what debugpy has to say, and leave nothing behind that a cell has not made."""
        from _pydevd_bundle.pydevd_constants import get_global_debugger  # noqa: PLC0415  as in `start`

        pydevd = get_global_debugger()  # an answer may overtake its events, and no event another one
        if pydevd is not None and pydevd.writer is not None:
            pydevd.writer.add_command(pydevd.cmd_factory.make_io_message(_LAST, 1))
            self._said.wait(SAY_SECONDS)
        for namespace, name, old, new in self._patched:
            if namespace.get(name) is new:
                if old is _MISSING:
                    del namespace[name]
                else:
                    namespace[name] = old
        if self._transforms is not None:
            self._shell.input_transformer_manager.cleanup_transforms[:] = self._transforms
        for path in self._files:
            with contextlib.suppress(OSError):  # the cell has removed it
                os.unlink(path)
        if self._made_folder:
            with contextlib.suppress(OSError):  # the cell has put something there
                os.rmdir(FOLDER)

    # Threads

    def _from_host(self) -> None:
        while data := self._outside.recv(_READ_BYTES):
            for message, buffers in self._decoder.feed(data):
                if message["type"] != "debug":
                    for piece in protocol.encode(message, buffers):
                        self._inside.sendall(piece)
                    continue
                request = message["message"]
                answer = _ANSWERS.get(request.get("command"))
                if answer is not None:
                    self._answer(request, answer)
                else:
                    text = json.dumps(request).encode()
                    self._adapter.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(text), text))
        self._inside.close()

    def _from_adapter(self) -> None:
        data = bytearray()
        while piece := self._adapter.recv(_READ_BYTES):
            data += piece
            while (header := _HEADER.match(data)) and len(data) >= header.end() + int(header[1]):
                end = header.end() + int(header[1])
                message = json.loads(data[header.end() : end])
                del data[:end]
                if message.get("event") == "output" and message["body"].get("output") == _LAST:
                    self._said.set()
                else:
                    self._send(message)

    def _send(self, message: Message) -> None:
        self._outputs.send({"type": "debug", "message": message})

    # What the protocol has no request for

    def _answer(self, request: Message, answer: Callable[[Bridge, Message], Message]) -> None:
        reply: Message = {"type": "response", "request_seq": request["seq"], "command": request["command"]}
        try:
            reply |= {"success": True, "body": answer(self, request.get("arguments") or {})}
        except Exception as error:  # noqa: BLE001  methods of the person's objects run here
            reply |= {"success": False, "message": f"{type(error).__name__}: {error}", "body": {}}
        self._send(reply)

    def _write(self, path: str, text: str) -> None:
        if os.path.dirname(path) != FOLDER or os.path.exists(path):
            return
        if not os.path.isdir(FOLDER):
            os.mkdir(FOLDER)
            self._made_folder = True
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        self._files.add(path)

    def dump(self, arguments: Message) -> Message:
        """Keep a cell's text where breakpoints are looked up."""
        self._write(arguments["path"], arguments["code"])
        return {}

    def variables(self, _arguments: Message) -> Message:
        """Return the variables of the notebook."""
        self._explorer = _Explorer(self._shell.user_ns)
        return self._children(None)

    def children(self, arguments: Message) -> Message:
        """Return what is in one of the variables that `variables` has returned."""
        return self._children(arguments["variablesReference"])

    def _children(self, reference: int | None) -> Message:
        if self._explorer is None:
            return {"variables": []}
        found = self._explorer.children(reference)
        return {"variables": [entry for entry in found if not _HIDDEN.fullmatch(entry["name"])]}

    def rich(self, arguments: Message) -> Message:
        """Return the MIME bundle of a variable."""
        name = arguments["variableName"]
        result = self._shell.user_expressions({name: name})[name]
        return {"data": result.get("data", {}), "metadata": result.get("metadata", {})}

    def source(self, arguments: Message) -> Message:
        """Return the text of a file, or of a cell."""
        path = arguments["source"]["path"]
        lines = linecache.getlines(path)
        if not lines:
            raise FileNotFoundError(path)
        return {"content": "".join(lines)}

    def modules(self, _arguments: Message) -> Message:
        """Return the modules that are written in Python."""
        files = [(module.__name__, getattr(module, "__file__", None)) for module in list(sys.modules.values())]
        found = [(name, path) for name, path in files if path and path.endswith(".py")]
        listed = [{"id": i, "name": name, "path": path} for i, (name, path) in enumerate(found)]
        return {"modules": listed, "totalModules": len(listed)}


class _Explorer:
    """The variables of the notebook, as pydevd tells of those of a frame that stands."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        # Not at the top: only a cell that is debugged needs them. It has all of them by now: an import here, beside a
        # cell that ends, would be taken for what the cell has done to modules.
        from _pydevd_bundle.pydevd_api import PyDevdAPI  # noqa: PLC0415
        from _pydevd_bundle.pydevd_frame_utils import create_frames_list_from_frame  # noqa: PLC0415
        from _pydevd_bundle.pydevd_suspended_frames import SuspendedFramesManager, _FramesTracker  # noqa: PLC0415

        code = SimpleNamespace(co_filename=FOLDER, co_name="<module>")
        self._frame: Any = SimpleNamespace(f_code=code, f_globals=namespace, f_locals=namespace, f_back=None)
        self._manager: Any = SuspendedFramesManager()
        debugger = SimpleNamespace(variable_presentation=PyDevdAPI.VariablePresentation())
        self._tracker: Any = _FramesTracker(self._manager, debugger)
        self._tracker.track("notebook", create_frames_list_from_frame(self._frame))

    def children(self, reference: int | None) -> list[dict[str, Any]]:
        """Return what is in the variable with a reference; None for the variables themselves."""
        variable = self._manager.get_variable(reference or id(self._frame))
        return [child.get_var_data() for child in variable.get_children_variables()]


_ANSWERS: dict[str, Callable[[Bridge, Message], Message]] = {
    "cellstack_dump": Bridge.dump,
    "cellstack_children": Bridge.children,
    "inspectVariables": Bridge.variables,
    "richInspectVariables": Bridge.rich,
    "source": Bridge.source,
    "modules": Bridge.modules,
}
_MISSING = object()


def bundle(value: Any) -> str:
    """Return the MIME bundle of a value as JSON: what the host has evaluated at a breakpoint."""
    shell: Any = get_ipython()
    data, metadata = shell.display_formatter.format(value)
    return json.dumps(jsonable({"data": data, "metadata": metadata}))


def _contents() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return the namespace of each module, and a copy of it."""
    return {name: (vars(module), dict(vars(module))) for name, module in list(sys.modules.items()) if module}


def _differences(
    before: dict[str, tuple[dict[str, Any], dict[str, Any]]],
) -> list[tuple[dict[str, Any], str, Any, Any]]:
    """Return (namespace, name, value before, value now) of what is no longer what it was."""
    found = []
    for module, (namespace, old) in before.items():
        if module == "__main__":
            continue
        for name, value in namespace.items():
            if old.get(name, _MISSING) is not value:
                found.append((namespace, name, old.get(name, _MISSING), value))
    return found
