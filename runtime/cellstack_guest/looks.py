"""Answers to questions about code: completions, what is known of a name, whether a cell is complete."""

# mypy: disable-error-code="no-untyped-call"
# (most of IPython's functions have no annotations)

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from typing import TYPE_CHECKING, Any

from IPython.core.completer import Completion, provisionalcompleter, rectify_completions
from IPython.utils.tokenutil import token_at_cursor

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from cellstack_guest.shell import ZMQInteractiveShell

Message = dict[str, Any]

QUESTIONS = ("complete", "inspect", "is_complete")
SECONDS = 8.0
JEDI_SECONDS = 3.0  # then the host has some left for an answer without jedi
PIPE_BYTES = 2**16
TYPES_KEY = "_jupyter_types_experimental"


def complete(shell: ZMQInteractiveShell, request: Message) -> Message:
    """Return the content of a complete_reply."""
    for name in request["carried"]:
        shell.user_ns.setdefault(name, None)  # known by name; what it is was not loaded
    code, cursor = request["code"], _cursor(request)
    late: list[int] = []

    def give_up(number: int, _frame: FrameType | None) -> None:
        late.append(number)
        raise KeyboardInterrupt

    def completions() -> list[Completion]:
        with provisionalcompleter():
            return list(rectify_completions(code, shell.Completer.completions(code, cursor)))

    found: list[Completion] = []
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, JEDI_SECONDS)
    try:
        with shell.outputs.muted(), contextlib.suppress(KeyboardInterrupt):  # IPython shows what ends jedi, and goes on
            found = completions()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if late:
        # Reading what pandas says of its types takes jedi many seconds; IPython looks at the objects.
        shell.Completer.use_jedi = False
        found = completions()
    types = [
        {"start": item.start, "end": item.end, "text": item.text, "type": item.type, "signature": item.signature}
        for item in found
    ]
    return {
        "status": "ok",
        "matches": [item.text for item in found],
        "cursor_start": found[0].start if found else cursor,
        "cursor_end": found[0].end if found else cursor,
        "metadata": {TYPES_KEY: types},
    }


def inspect(shell: ZMQInteractiveShell, request: Message) -> Message:
    """Return the content of an inspect_reply."""
    name = name_at_cursor(request)
    try:
        detail, omitted = request.get("detail_level") or 0, request.get("omit_sections") or ()
        data = dict(shell.object_inspect_mime(name, detail_level=detail, omit_sections=omitted))
    except KeyError:
        return {"status": "ok", "found": False, "data": {}, "metadata": {}}
    if not shell.enable_html_pager:
        data.pop("text/html", None)
    return {"status": "ok", "found": True, "data": data, "metadata": {}}


def is_complete(shell: ZMQInteractiveShell, request: Message) -> Message:
    """Return the content of an is_complete_reply."""
    status, indent = shell.input_transformer_manager.check_complete(request["code"])
    return {"status": status, "indent": " " * (indent or 0)} if status == "incomplete" else {"status": status}


def name_at_cursor(request: Message) -> str:
    """Return the name that an inspect_request is about."""
    return str(token_at_cursor(request["code"], _cursor(request)))


def _cursor(request: Message) -> int:
    cursor = request.get("cursor_pos")
    return len(request["code"]) if cursor is None else int(cursor)


def aside(answer: Callable[[], Message], sock: socket.socket) -> Message:
    """Return an answer that is found in a fork of this process; {} when something arrives at `sock` first."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with contextlib.suppress(BaseException), open(writing, "wb") as pipe:
            pipe.write(json.dumps(answer()).encode("utf-8", "surrogatepass"))
        os._exit(0)
    os.close(writing)
    try:
        return _read_answer(reading, sock, time.monotonic() + SECONDS)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _read_answer(reading: int, sock: socket.socket, deadline: float) -> Message:
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    poll.register(sock, select.POLLIN)
    data = b""
    while (left := deadline - time.monotonic()) > 0:
        ready = [fd for fd, _ in poll.poll(left * 1000)]
        if reading not in ready:
            break  # another request, or too late
        piece = os.read(reading, PIPE_BYTES)
        if not piece:
            answer: Message = json.loads(data.decode("utf-8", "surrogatepass")) if data else {}
            return answer
        data += piece
    return {}
