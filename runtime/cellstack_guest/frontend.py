"""The parts of a cell's shell that IPython lets one replace: compiler, display hook, publisher, magics, profile."""

# mypy: disable-error-code="no-untyped-call"
# (most of IPython's functions have no annotations)

from __future__ import annotations

import fnmatch
import logging
import os
import struct
import sys
import uuid
from typing import TYPE_CHECKING, Any

from IPython.core import page
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython
from IPython.core.history import HistoryManager
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magics.code import CodeMagics, MacroToEdit
from IPython.core.profiledir import ProfileDir
from IPython.display import Javascript, display
from IPython.utils import openpy
from traitlets import observe

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

# Without cp, which is also the program's name: `cp a b` is a line that works.
HOST_MAGICS = (
    *("cache", "cgroup", "checkout", "container", "containers", "context", "connect_info"),
    *("dashboard", "diff", "export", "grants"),
    *("image", "images", "layers", "limits", "mount", "namespaces", "state", "tag", "undo"),
)
OUTPUT_TYPES = ("stream", "display_data", "update_display_data", "execute_result", "clear_output", "error")


class CellCompiler(CachingCompiler):
    """Names the code of a cell by its text, so that every process finds the same name for it.

    The name is ipykernel's, a hash in a folder `ipykernel_<number>`: joblib, numba and others know code of a notebook
    by the folder, and the hash is part of what errors in the syntax say. No such file exists.
    """

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:  # noqa: ARG002
        """Return the file name of a cell's code."""
        return f"/tmp/ipykernel_1/{murmur2(raw_code.encode('utf-8', 'surrogatepass'))}.py"  # noqa: S108


def murmur2(data: bytes, seed: int = 0xC70F6907) -> int:
    """Return the 32-bit MurmurHash2 of `data`; the seed is ipykernel's."""
    factor, mask = 0x5BD1E995, 0xFFFFFFFF
    result = seed ^ len(data)
    words = len(data) // 4
    for word in struct.unpack_from(f"<{words}I", data):
        mixed = word * factor & mask
        result = (result * factor & mask) ^ ((mixed ^ mixed >> 24) * factor & mask)
    if rest := data[words * 4 :]:
        result = (result ^ int.from_bytes(rest, "little")) * factor & mask
    result = (result ^ result >> 13) * factor & mask
    return result ^ result >> 15


class CellDisplayHook(DisplayHook):
    """Sends the value of a cell's last expression."""

    if TYPE_CHECKING:
        shell: Any

    outputs: Any = None
    message: dict[str, Any] | None = None

    def quiet(self) -> bool:
        """Tell whether the cell ends in a semicolon."""
        parsed = self.shell.history_manager.input_hist_parsed
        return bool(parsed) and ";" in parsed[-1] and bool(super().quiet())

    def start_displayhook(self) -> None:
        """Begin a message."""
        super().start_displayhook()
        self.message = {"type": "execute_result", "data": {}, "metadata": {}}

    def write_output_prompt(self) -> None:
        """Give the message its number."""
        if self.message is not None:
            self.message["execution_count"] = self.prompt_count

    def write_format_data(self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
        """Fill the message."""
        if self.message is not None:
            self.message |= {"data": format_dict, "metadata": md_dict or {}}

    def finish_displayhook(self) -> None:
        """Send the message."""
        message, self.message = self.message, None
        self._is_active = False
        if message and message["data"]:
            self.outputs.send(message)


class CellDisplayPublisher(DisplayPublisher):
    """Sends what `display()` is given."""

    outputs: Any = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._hooks: list[Callable[[dict[str, Any]], dict[str, Any] | None]] = []

    @property
    def parent_header(self) -> dict[str, Any]:
        """The header of the message that asked for this run."""
        header: dict[str, Any] = self.shell.kernel.get_parent().get("header") or {}
        return header

    def set_parent(self, parent: dict[str, Any]) -> None:
        """Take what libraries say the request is, as the shell does."""
        self.shell.set_parent(parent)

    def register_hook(self, hook: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        """Have each message go through `hook`, which returns it, another, or None for none."""
        self._hooks.append(hook)

    def unregister_hook(self, hook: Callable[[dict[str, Any]], dict[str, Any] | None]) -> bool:
        """Undo `register_hook`; return whether there was something to undo."""
        if hook not in self._hooks:
            return False
        self._hooks.remove(hook)
        return True

    def _send(self, msg_type: str, content: dict[str, Any]) -> None:
        if self._hooks:
            header = {"msg_id": uuid.uuid4().hex, "msg_type": msg_type, "session": self.shell.kernel.session.session}
            parts = {"parent_header": self.parent_header, "metadata": {}, "buffers": []}
            message: dict[str, Any] | None = {"header": header, "msg_type": msg_type, "content": content, **parts}
            for hook in self._hooks:
                message = hook(message) if message is not None else None
            if message is None:
                return
            msg_type, content = message["msg_type"], message["content"]
        self.outputs.send({**content, "type": msg_type})

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: object = None,  # noqa: ARG002  deprecated in IPython
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        """Send one display, or the new content of the one with the same `display_id`."""
        self._validate_data(data, metadata)
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        self._send("update_display_data" if update else "display_data", content)

    def clear_output(self, wait: bool = False) -> None:
        """Clear the output of the cell, now or (`wait`) when there is something new."""
        self._send("clear_output", {"wait": bool(wait)})


def register_host_magics(shell: Any) -> None:
    """Let the magics that the kernel answers be completed, and say where they go when they come to a cell."""
    for name in HOST_MAGICS:

        def told(_line: str, name: str = name) -> None:
            raise UsageError(f"%{name} is answered by the kernel: put it at the top of a cell, before other code.")

        told.__doc__ = f"%{name}? in a cell of its own says what it does."
        shell.register_magic_function(told, magic_name=name)


@magics_class
class CellMagics(Magics):
    """Magics that differ where there is no terminal."""

    if TYPE_CHECKING:
        shell: Any

    @line_magic
    def clear(self, _line: str) -> None:
        """Clear the terminal."""
        self.shell.system("clear")

    @line_magic
    def less(self, line: str) -> None:
        """Show a file through the pager. Files ending in .py are syntax-highlighted."""
        if not line:
            raise UsageError("Missing filename.")
        if line.endswith(".py"):
            content = self.shell.pycolorize(openpy.read_py_file(line, skip_encoding_cookie=False))
        else:
            with open(line) as file:
                content = file.read()
        page.page(content)

    more = line_magic("more")(less)  # type: ignore[var-annotated, arg-type]

    @line_magic
    def autosave(self, line: str) -> None:
        """Set the interval, in seconds, in which the front end saves the notebook; 0 for never."""
        try:
            seconds = int(line)
        except ValueError:
            raise UsageError(f"%autosave requires an integer, got {line!r}") from None
        script = Javascript(f"IPython.notebook.set_autosave_interval({1000 * seconds})")
        display(script, include=["application/javascript"])
        sys.stdout.write(f"Autosaving every {seconds} seconds\n" if seconds else "Autosave disabled\n")

    @line_magic
    def edit(self, line: str) -> None:
        """Ask the front end for an editor, with the file that a name, a function or inputs (`%edit 1-3`) lead to.

        -n <number>: at this line. -p: with what it was the last time. -r: inputs as they were typed. What is edited is
        not run. Also `%ed`.
        """
        options, rest = self.parse_options(line, "prn:")
        try:
            name, number, _ = CodeMagics._find_edit_target(self.shell, rest, options, ["", ""])  # noqa: SLF001
        except MacroToEdit:
            raise UsageError("a macro cannot be edited here: %load shows its text in a cell") from None
        payload = {"source": "edit_magic", "filename": os.path.abspath(name), "line_number": number}
        self.shell.payload_manager.write_payload(payload)

    @line_magic
    def man(self, line: str) -> None:
        """Show a manual page through the pager."""
        page.page(self.shell.getoutput(f"man {line} | col -b", split=False))


class Session:
    """What libraries send on ipykernel's iopub socket by hand: outputs of this cell."""

    def __init__(self, outputs: Any) -> None:
        self._outputs = outputs
        self.session = uuid.uuid4().hex

    def send(self, _stream: object, msg_type: str, content: dict[str, Any] | None = None, *_: Any, **__: Any) -> None:
        """Send one output; the kernel puts it under the cell's header, whatever `parent` says."""
        if msg_type not in OUTPUT_TYPES:
            raise ValueError(f"a cell can send {', '.join(OUTPUT_TYPES)}, not {msg_type!r}")
        self._outputs.send({**(content or {}), "type": msg_type})


class Kernel:
    """What libraries ask `get_ipython().kernel` for."""

    iopub_socket = None  # there is one way out of a cell

    def __init__(self, shell: InteractiveShell, comm_manager: Any, outputs: Any) -> None:
        self.shell = shell
        self.session = Session(outputs)
        self.comm_manager = comm_manager
        self.parents: dict[str, dict[str, Any]] = {}  # by channel, as far as the host tells of them
        self.ident = uuid.uuid4().hex
        self.log = logging.getLogger("ipykernel")

    def begin(self, request: dict[str, Any]) -> None:
        """Take over from `request` which message asked for it."""
        self.parents = {channel: dict(parent) for channel, parent in (request.get("parent") or {}).items()}
        if "shell" in self.parents:
            content = {name: request.get(name) for name in ("silent", "store_history", "user_expressions")}
            content["code"] = request.get("typed") or request.get("code")
            header = self.parents["shell"].get("header", {})
            names = {name: header.get(name) for name in ("msg_id", "msg_type")}
            self.parents["shell"] |= {"content": content, "parent_header": {}, "metadata": {}, "buffers": [], **names}

    @property
    def execution_count(self) -> int:
        """The number of the cell."""
        return int(self.shell.execution_count)

    def set_parent(self, ident: Any, parent: dict[str, Any], channel: str = "shell") -> None:  # noqa: ARG002
        """Take what libraries say the request is."""
        self.parents[channel] = {**self.parents.get(channel, {}), **parent}

    @property
    def _parent_header(self) -> dict[str, Any]:
        return self.get_parent()

    def send_response(self, stream: object, msg_or_type: str, content: dict[str, Any] | None = None, *_: Any) -> None:
        """Send one output of this cell."""
        self.session.send(stream, msg_or_type, content)

    def get_parent(self, channel: str | None = None) -> dict[str, Any]:
        """Return the message that asked for this run, or the last one on "control"; {} where it is unknown."""
        return self.parents.get(channel or "shell") or {}

    @property
    def _parent_ident(self) -> dict[str, list[bytes]]:
        """The clients of these messages, as ipykernel has them."""
        return {name: [ident.encode() for ident in parent.get("idents", ())] for name, parent in self.parents.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        """Be the kernel of the cell that it is carried to."""
        return _this_kernel, ()


def _this_kernel() -> Any:
    return get_ipython().kernel  # type: ignore[union-attr]


class CellHistory(HistoryManager):
    """The inputs of this notebook; there is no database of others."""

    def get_tail(
        self,
        n: int | None = 10,
        raw: bool = True,
        output: bool = False,
        include_latest: bool = False,
    ) -> list[Any]:
        """Return the last `n` inputs, as `%history -l` asks for them."""
        entries = list(self._get_range_session(1, None, raw, output))
        if not include_latest:
            entries = entries[:-1]
        return entries[-(n or 10) :]

    def search(
        self,
        pattern: str = "*",
        raw: bool = True,
        search_raw: bool = True,
        output: bool = False,
        n: int | None = None,
        unique: bool = False,
    ) -> list[Any]:
        """Return the inputs that match the glob `pattern`, as `%history -g` asks for them.

        n: the last of them, None for all. unique: each text once, where it was typed last.
        """
        texts = {number: str(text) for _, number, text in self._get_range_session(1, None, search_raw)}
        numbers = [number for number, text in texts.items() if fnmatch.fnmatchcase(text, pattern)]
        if unique:
            numbers = sorted({texts[number]: number for number in numbers}.values())
        wanted = set(numbers if n is None else numbers[-n:] if n > 0 else [])
        return [entry for entry in self._get_range_session(1, None, raw, output) if entry[1] in wanted]


class UnmadeProfileDir(ProfileDir):
    """A profile whose folders are not made: a cell must not leave files behind that nobody asked for."""

    @observe("location")
    def _location_changed(self, change: Any) -> None:
        for name in ("security", "log", "startup", "pid", "static"):
            self.set_trait(f"{name}_dir", os.path.join(change["new"], name))

    def _mkdir(self, path: str, mode: int | None = None) -> bool:  # noqa: ARG002
        return False
