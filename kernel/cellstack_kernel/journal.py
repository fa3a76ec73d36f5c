"""What cells have put out, kept beside the session's layers: a front end that was away brings its notebook up to date.

A cell is a file of JSON lines, `sessions/<id>/outputs/<number>.jsonl`: what was asked, its outputs in order, how it
ended. Lines are written half a second after they came, and at the end; a cell without an end runs still, or was ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from cellstack_kernel.runs import FrontEnd, Request

FOLDER = "outputs"
MAX_CELLS = 200  # the newest
MAX_BYTES = 8 * 2**20  # of the outputs of one cell
FLUSH_SECONDS = 0.5
KEPT = ("stream", "display_data", "update_display_data", "execute_result", "error", "clear_output")
_FILE = re.compile(r"(\d{6,})\.jsonl")


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell. status: of its reply, None when there was none. left_out: bytes of outputs that were too many."""

    number: int
    cell_id: str | None
    code: str
    outputs: list[tuple[str, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    status: str | None = None
    left_out: int = 0


class Journal:
    """Writes what a session's cells put out.

    chore: has work done besides, before the session is closed at the latest.
    """

    def __init__(self, session: str, chore: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self.folder = f"{session}/{FOLDER}"
        self.chore = chore

    def of(self, request: Request, front: FrontEnd) -> Journaled:
        """Return a front end that passes on what a cell puts out, and keeps it."""
        return Journaled(self, request, front)

    def write(self, number: int, text: str, *, new: bool) -> None:
        """Add text to what is kept of a cell; when it is new, let go of the oldest."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        with open(f"{self.folder}/{number:06}.jsonl", "w" if new else "a", encoding="utf-8") as file:
            file.write(text)
        if new:
            names = sorted(filter(_FILE.fullmatch, os.listdir(self.folder)), key=_number)
            for name in names[:-MAX_CELLS]:
                os.unlink(f"{self.folder}/{name}")


class Journaled:
    """The front end of one cell, whose outputs are kept."""

    def __init__(self, journal: Journal, request: Request, front: FrontEnd) -> None:
        self._journal = journal
        self._front = front
        self._number = request.number
        self._lines: list[dict[str, Any]] = [
            {"number": request.number, "cell_id": request.cell_id, "code": request.code}
        ]
        self._is_new = True
        self._size = self._left_out = 0
        self._order = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._later()

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        """Take one output."""
        self._front.publish(msg_type, content, **parts)
        if msg_type not in KEPT:
            return
        size = len(content["text"] if msg_type == "stream" else json.dumps(content))
        if self._size + size > MAX_BYTES:
            self._left_out += size
            return
        self._size += size
        self._lines.append({"type": msg_type, "content": content, "metadata": parts.get("metadata") or {}})
        self._later()

    async def ask(self, prompt: str, *, password: bool) -> str | None:
        """Ask the person."""
        return await self._front.ask(prompt, password=password)

    async def drained(self) -> None:
        """Wait for those who read."""
        await self._front.drained()

    def end(self, status: str) -> None:
        """Take down how the cell ended."""
        self._lines.append({"status": status, "left_out": self._left_out})
        if self._timer is not None:
            self._timer.cancel()
        self._flush()

    def _later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._journal.chore(self._write())

    async def _write(self) -> None:
        async with self._order:
            lines, self._lines = self._lines, []
            new, self._is_new = self._is_new, False
            text = "".join(f"{json.dumps(line)}\n" for line in lines)
            with contextlib.suppress(OSError):  # a full disk: front ends that are there have had it
                await asyncio.to_thread(self._journal.write, self._number, text, new=new)


def read(session: str) -> list[Entry]:
    """Return what is kept of a session's cells, oldest first; what was cut off in the middle of a line ends there."""
    try:
        names = sorted(filter(_FILE.fullmatch, os.listdir(f"{session}/{FOLDER}")), key=_number)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        with contextlib.suppress(FileNotFoundError), open(f"{session}/{FOLDER}/{name}", encoding="utf-8") as file:
            entry = _entry(file.read())
            if entry is not None:
                found.append(entry)
    return found


def _number(name: str) -> int:
    return int(name.partition(".")[0])


def _entry(text: str) -> Entry | None:
    outputs: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    head: dict[str, Any] = {}
    end: dict[str, Any] = {}
    with contextlib.suppress(ValueError, KeyError, TypeError):
        for number, line in enumerate(text.splitlines()):
            data = json.loads(line)
            if number == 0:
                cell_id = data["cell_id"]
                head = {"number": int(data["number"]), "cell_id": cell_id and str(cell_id), "code": str(data["code"])}
            elif "status" in data:
                end = {"status": str(data["status"]), "left_out": int(data["left_out"])}
            else:
                outputs.append((str(data["type"]), dict(data["content"]), dict(data["metadata"])))
    return Entry(**head, outputs=outputs, **end) if head else None
