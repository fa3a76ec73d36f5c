"""What cells have put out, kept beside the session's layers: a front end that was away brings its notebook up to date.

A cell is a file of JSON lines, `sessions/<id>/outputs/<kernel>-<number>.jsonl`: what was asked, its outputs in order,
how it ended. <kernel> is when the kernel began, as the next one may count from 1 again. Lines are written half a second
after they came, and at the end; a cell without an end runs still, or was ended. What a cell has cleared or replaced is
left in its file until that is as much as is kept at most: a progress bar would have it written anew each time.

An update of a display is kept with the cells that show it, also when they have ended. Which these are is known of cells
that this kernel has run, not of those before it was restarted.

What an Output widget takes is not the cell's, and is not kept: the state of a widget is what front ends make it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cellstack_kernel.frames import COMM_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from cellstack_kernel.runs import FrontEnd, Outcome, Request

FOLDER = "outputs"
MAX_CELLS = 200  # the newest
MAX_BYTES = 8 * 2**20  # of the outputs of one cell
LINE_BYTES = 100  # of a line besides its output, about
FLUSH_SECONDS = 0.5
KEPT = ("stream", "display_data", "update_display_data", "execute_result", "error", "clear_output")
_FILE = re.compile(r"([0-9a-f]+)-(\d{6,})\.jsonl")
_Line = dict[str, Any]
Output = tuple[str, dict[str, Any], dict[str, Any]]  # message type, content, metadata


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell.

    request: the id of the message that asked for it. written: when its last line was, in seconds since 1970.
    status: of its reply, None when there was none. record: the cell's record. left_out: bytes of outputs that were
    too many. runs: whether it runs now, as far as its kernel says so. ended: when it did; what it shows may have been
    updated since. updates: the other cells whose displays it has updated, their requests by their numbers, as far as
    its kernel says so.
    """

    number: int
    cell_id: str | None
    code: str
    written: float
    request: str | None = None
    outputs: list[Output] = field(default_factory=list)
    status: str | None = None
    record: dict[str, Any] | None = None
    left_out: int = 0
    ended: float | None = None
    runs: bool = False
    updates: dict[int, str | None] = field(default_factory=dict)

    def shown(self) -> list[Output]:
        """Return the outputs, text of one stream that follows itself as one, and a word on what was left out."""
        found: list[Output] = []
        for stream, group in itertools.groupby(self.outputs, key=_stream):
            if stream is None:
                found += group
            else:
                text = "".join(str(content.get("text", "")) for _, content, _ in group)
                found.append(("stream", {"name": stream, "text": text}, {}))
        if self.left_out:
            text = f"{self.left_out} bytes of outputs that followed were too many to keep\n"
            found.append(("stream", {"name": "stderr", "text": text}, {}))
        return found


class Journal:
    """Writes what a session's cells put out.

    session: its folder. chore: has work done besides, before the session is closed at the latest.
    """

    def __init__(self, session: str, chore: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self.session = session
        self.folder = f"{session}/{FOLDER}"
        self.chore = chore
        self._kernel = f"{time.time_ns() // 1000:x}"
        self.open: dict[int, Journaled] = {}  # cells that run, or of which not all is written yet, by their number
        self._newest: dict[str | int, Journaled] = {}  # by their cells' ids: the runs whose outputs cells still show

    def of(self, request: Request, front: FrontEnd) -> Journaled:
        """Return a front end that passes on what a cell puts out, and keeps it."""
        cell = request.cell_id or request.number
        self._newest.pop(cell, None)
        self._newest[cell] = Journaled(self, request, front)
        if len(self._newest) > MAX_CELLS:
            del self._newest[next(iter(self._newest))]
        return self._newest[cell]

    def close(self, journaled: Journaled) -> None:
        """Let go of a cell that has ended, all of which is written, as far as no display has to do with it."""
        if self.open.get(journaled.number) is journaled:
            del self.open[journaled.number]
        if not journaled.displays and not journaled.updates:
            self._newest = {cell: other for cell, other in self._newest.items() if other is not journaled}

    def showing(self, display: str | None) -> list[Journaled]:
        """Return the cells that show a display."""
        return [journaled for journaled in self._newest.values() if display in journaled.displays]

    async def entries(self, *, since: float = 0.0, number: int | None = None) -> list[Entry]:
        """Return what is kept, up to the last output that was published.

        number: of that cell only; else of those that run or were written to after `since`, in seconds since 1970.
        """
        # Before it is read: of a cell that ends meanwhile the front end is told so by a message that is still to come.
        running = {number: journaled.request for number, journaled in self.open.items()}
        for journaled in list(self.open.values()):
            await journaled.write()

        def is_wanted(kernel: str, of: int, written: float) -> bool:
            return of == number if number is not None else written > since or (kernel == self._kernel and of in running)

        found = await asyncio.to_thread(read, self.session, is_wanted)
        updates = {journaled.request: dict(journaled.updates) for journaled in self._newest.values()}
        return [replace(entry, runs=_runs(entry, running), updates=updates.get(entry.request, {})) for entry in found]

    def write(self, number: int, lines: list[_Line], *, new: bool, compact: bool) -> None:
        """Add lines to what is kept of a cell; when it is new, let go of the oldest.

        compact: leave out what the cell does not show any more, of what is there, too.
        """
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        path = f"{self.folder}/{self._kernel}-{number:06}.jsonl"
        if compact and not new:
            with open(path, encoding="utf-8") as file:
                lines = _shown(list(_lines(file.read())) + lines)
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                file.writelines(f"{json.dumps(line)}\n" for line in lines)
            os.replace(f"{path}.new", path)  # whoever reads has the one or the other
            return
        with open(path, "w" if new else "r+", encoding="utf-8") as file:  # not one that was let go of meanwhile
            file.seek(0, os.SEEK_END)
            file.writelines(f"{json.dumps(line)}\n" for line in lines)
        if new:
            for _, match in _files(self.folder)[:-MAX_CELLS]:
                os.unlink(f"{self.folder}/{match[0]}")


class Journaled:
    """The front end of one cell, whose outputs are kept.

    request: the id of the message that asked for it. displays: those that it shows, by their ids, with the length of
    their last update. updates: the other cells whose displays it has updated, their requests by their numbers.
    """

    def __init__(self, journal: Journal, request: Request, front: FrontEnd) -> None:
        self._journal = journal
        self._front = front
        self.number = request.number
        self.request = request.parent.get("shell", {}).get("header", {}).get("msg_id")
        self._lines: list[_Line] = [  # that are not written yet
            {
                "number": request.number,
                "cell_id": request.cell_id,
                "code": request.code,
                "request": self.request,
            }
        ]
        self._is_new = True
        self._has_ended = False
        self._size = self._left_out = 0
        self._count = 0  # of the outputs that `_size` is of
        self._garbage = 0  # bytes of lines with what is not shown any more
        self._must_compact = False
        self._clears_next = False
        self._takers: set[str] = set()  # the comms of Output widgets that take what it puts out
        self.displays: dict[str, int] = {}
        self.updates: dict[int, str | None] = {}
        self._order = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        journal.open[request.number] = self
        self._later()

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        """Take one output."""
        self._front.publish(msg_type, content, **parts)
        line = {"type": msg_type, "content": content, "metadata": parts.get("metadata") or {}}
        if msg_type == "update_display_data":
            for journaled in self._journal.showing(_display(line)):
                journaled.update(line)
                if journaled is not self:
                    self.updates[journaled.number] = journaled.request
        elif msg_type in COMM_TYPES:
            self._watch(content)
        elif msg_type in KEPT and not self._takers:
            self._take(line)

    def _watch(self, content: dict[str, Any]) -> None:
        """Take note of Output widgets that take what a request puts out: it is what their `msg_id` says."""
        state = content["data"].get("state") if isinstance(content.get("data"), dict) else None
        if not isinstance(state, dict):
            return
        if self.request is not None and state.get("msg_id") == self.request:
            self._takers.add(content["comm_id"])
        elif "msg_id" in state:
            self._takers.discard(content["comm_id"])

    def _take(self, line: _Line) -> None:
        kind, content = line["type"], line["content"]
        size = len(content["text"] if kind == "stream" else json.dumps(content))
        if kind == "clear_output":
            if self._clears_next and content.get("wait"):
                return  # so it will
            self._clears_next = bool(content.get("wait"))
            if not self._clears_next:
                self._clear()
            self._garbage += size + LINE_BYTES
        else:
            if self._clears_next:
                self._clear()
            if self._size + size > MAX_BYTES:
                self._left_out += size
                return
            self._size += size
            self._count += 1
            display = _display(line)
            if display is not None:
                self.displays.setdefault(display, 0)
        self._add(line)

    def update(self, line: _Line) -> None:
        """Take the update of a display that the cell shows."""
        display = str(_display(line))
        size, before = len(json.dumps(line["content"])), self.displays[display]
        if self._size - before + size > MAX_BYTES:
            self._left_out += size
            return
        self.displays[display] = size
        self._size += size - before
        if before:
            self._garbage += before + LINE_BYTES
        else:
            self._count += 1
        self._add(line)

    def _add(self, line: _Line) -> None:
        self._lines.append(line)
        self._journal.open[self.number] = self
        if self._garbage > MAX_BYTES:
            self._lines = _shown(self._lines)
            self._garbage = 0
            self._must_compact = True
        self._later()

    def _clear(self) -> None:
        self._garbage += self._size + self._count * LINE_BYTES
        self._size = self._count = self._left_out = 0
        self.displays.clear()
        self._clears_next = False

    async def ask(self, prompt: str, *, password: bool) -> str | None:
        """Ask the person."""
        return await self._front.ask(prompt, password=password)

    async def drained(self) -> None:
        """Wait for those who read."""
        await self._front.drained()

    def end(self, outcome: Outcome | None) -> None:
        """Take down how the cell ended; None when it has no reply of its own."""
        status, record = ("error", None) if outcome is None else (outcome.content["status"], outcome.record)
        self._lines.append({"status": status, "record": record, "left_out": self._left_out, "time": time.time()})
        self._has_ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._flush()

    def _later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._journal.chore(self.write())

    async def write(self) -> None:
        """Write what has come since the last time; returns when it is there."""
        async with self._order:
            lines, self._lines = self._lines, []
            new, self._is_new = self._is_new, False
            compact, self._must_compact = self._must_compact, False
            has_ended = self._has_ended
            if lines:
                with contextlib.suppress(OSError):  # a full disk: front ends that are there have had it
                    await asyncio.to_thread(self._journal.write, self.number, lines, new=new, compact=compact)
            if has_ended and not self._lines:
                self._journal.close(self)


def read(session: str, is_wanted: Callable[[str, int, float], bool] = lambda *_: True) -> list[Entry]:
    """Return what is kept of a session's cells, oldest first; what was cut off in the middle of a line ends there.

    is_wanted: says of the kernel, of a cell's number and of the time at which it was written to whether it is read.
    """
    folder = f"{session}/{FOLDER}"
    try:
        files = _files(folder)
    except FileNotFoundError:
        return []
    found = []
    for written, match in files:
        if is_wanted(match[1], int(match[2]), written):
            with contextlib.suppress(FileNotFoundError), open(f"{folder}/{match[0]}", encoding="utf-8") as file:
                entry = _entry(file.read(), written)
                if entry is not None:
                    found.append(entry)
    return found


def _runs(entry: Entry, running: dict[int, str | None]) -> bool:
    return entry.status is None and entry.number in running and running[entry.number] == entry.request


def _files(folder: str) -> list[tuple[float, re.Match[str]]]:
    """Return when each cell's file was written to last, and its name, with kernel and number; oldest first."""
    found = []
    for match in filter(None, map(_FILE.fullmatch, os.listdir(folder))):
        with contextlib.suppress(FileNotFoundError):  # let go of meanwhile
            found.append((os.stat(f"{folder}/{match[0]}").st_mtime, match))
    return sorted(found, key=lambda one: one[0])


def _stream(output: Output) -> str | None:
    kind, content, _ = output
    return str(content.get("name")) if kind == "stream" else None


def _lines(text: str) -> Iterator[_Line]:
    """Yield the lines of a file, up to one that was cut off."""
    with contextlib.suppress(ValueError):
        yield from map(json.loads, text.splitlines())


def _display(line: _Line) -> str | None:
    display = line["content"].get("transient", {}).get("display_id")
    return None if display is None else str(display)


def _shown(lines: list[_Line]) -> list[_Line]:
    """Return the lines without outputs that were cleared, and without updates that others have followed.

    The last `clear_output` stays: there may be lines before these which it clears, too.
    """
    begin = 0
    waits: int | None = None
    updates: dict[str | None, int] = {}
    for place, line in enumerate(lines):
        kind = line.get("type")
        if kind == "clear_output" and line["content"].get("wait"):
            waits = place
        elif kind == "clear_output":
            begin, waits = place, None
        elif kind == "update_display_data":
            updates[_display(line)] = place
        elif kind is not None and waits is not None:
            begin, waits = waits, None
    last = set(updates.values())
    return [
        line
        for place, line in enumerate(lines)
        if "type" not in line or (place >= begin and (line["type"] != "update_display_data" or place in last))
    ]


def _entry(text: str, written: float) -> Entry | None:
    outputs: list[Output] = []
    head: dict[str, Any] = {}
    end: dict[str, Any] = {}
    with contextlib.suppress(ValueError, KeyError, TypeError):
        for number, line in enumerate(text.splitlines()):
            data = json.loads(line)
            if number == 0:
                head = {"number": int(data["number"]), "code": str(data["code"])}
                head |= {name: data.get(name) and str(data[name]) for name in ("cell_id", "request")}
            elif "status" in data:
                end = {"status": str(data["status"]), "left_out": int(data["left_out"])}
                end["record"] = data.get("record") and dict(data["record"])
                end["ended"] = data.get("time") and float(data["time"])
            else:
                outputs.append((str(data["type"]), dict(data["content"]), dict(data["metadata"])))
    return Entry(**head, written=written, outputs=outputs, **end) if head else None
