"""What was typed in this and earlier sessions: `history_request`, and the arrow keys of `jupyter console`.

The database has IPython's form, so that IPython's own tools read it; it holds text and nothing else. It is read and
written by one thread of its own, since SQLite waits for the disk and for other kernels.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

from IPython.core.history import HistoryAccessor
from IPython.core.inputtransformer2 import TransformerManager

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 5.0  # for other kernels that write
MAX_OUTPUT = 4096  # characters of a result
Entry = tuple[int, int, Any]  # session (0 is this one), number, text or (text, output)


class Typed:
    """The history of one kernel. path: the database, shared by all kernels of a store; None: there is none."""

    def __init__(self, path: str | None, log: Any) -> None:
        self._path = path
        self._log = log
        self._thread = ThreadPoolExecutor(1, "history")
        self._database: Any = None
        self._session = 0
        self.entries: list[tuple[int, str]] = []  # of this session: number, text
        self._outputs: dict[int, str] = {}  # of this session: the text of a result

    def add(self, number: int, text: str) -> None:
        """Note a cell that is about to run."""
        text = text.rstrip("\n")
        self.entries.append((number, text))
        self._thread.submit(self._guarded, self._insert, number, text)

    def put_out(self, number: int, text: str) -> None:
        """Note the result of a cell; like what IPython notes, it is known in this session only."""
        self._outputs[number] = text if len(text) <= MAX_OUTPUT else f"{text[:MAX_OUTPUT]}…"

    async def range(self, session: int, start: int, stop: int | None, *, raw: bool, output: bool) -> list[Entry]:
        """Return the cells numbered `start` to before `stop` of a session: 0 is this one, -1 the one before it.

        raw: as typed, else as Python. In this session negative numbers count from the end.
        """
        if session == 0:
            end = self.entries[-1][0] + 1 if self.entries else 1
            start = start + end if start < 0 else start
            stop = stop + end if stop is not None and stop < 0 else stop
            texts = [(number, text) for number, text in self.entries if _within(number, start, stop)]
            found = [(number, text if raw else _python(text)) for number, text in texts]
            return [(0, number, (text, self._outputs.get(number)) if output else text) for number, text in found]
        return await self._ask(lambda: self._range(session, start, stop, raw=raw, output=output))

    async def tail(self, n: int, *, raw: bool, output: bool) -> list[Entry]:
        """Return the last `n` cells of all sessions."""
        return await self._ask(lambda: self._open().get_tail(n, raw=raw, output=output, include_latest=True))

    async def search(self, pattern: str, n: int | None, *, raw: bool, output: bool, unique: bool) -> list[Entry]:
        """Return the last `n` cells, of all sessions, that match the glob `pattern`."""
        return await self._ask(lambda: self._open().search(pattern, raw=raw, output=output, n=n, unique=unique))

    async def close(self) -> None:
        """Write what is left to write."""
        self._thread.submit(self._guarded, self._end)
        await asyncio.to_thread(self._thread.shutdown)

    # In the thread

    async def _ask(self, question: Callable[[], Any]) -> list[Entry]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._guarded, lambda: list(question() or ())
        )
        return found or []

    def _guarded(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call; a database that is damaged, locked or on a full disk costs the history and no cell."""
        try:
            return function(*args)
        except (sqlite3.Error, OSError) as error:
            self._log.warning("history: %s", error)
            return None

    def _open(self) -> Any:
        if self._database is None:
            with contextlib.suppress(FileExistsError):  # what was typed is nobody else's business
                if self._path is not None:
                    os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            options = {"timeout": PATIENCE_SECONDS, "check_same_thread": False}  # IPython closes it at exit
            self._database = HistoryAccessor(hist_file=self._path or ":memory:", connection_options=options)
        return self._database

    def _insert(self, number: int, text: str) -> None:
        database = self._open().db
        with database:
            if not self._session:
                begin = "INSERT INTO sessions VALUES (NULL, ?, NULL, NULL, '')"
                self._session = database.execute(begin, (datetime.now().isoformat(" "),)).lastrowid  # noqa: DTZ005  IPython's form
            row = self._session, number, _python(text), text
            database.execute("INSERT OR REPLACE INTO history VALUES (?, ?, ?, ?)", row)

    def _range(self, session: int, start: int, stop: int | None, *, raw: bool, output: bool) -> Any:
        if session < 0:
            own = self._session or (self._open().get_last_session_id() or 0) + 1
            session += own
        return self._open().get_range(session, start, stop, raw=raw, output=output)

    def _end(self) -> None:
        if self._database is None:
            return
        database = self._database.db
        if self._session:
            end = "UPDATE sessions SET end = ?, num_cmds = ? WHERE session = ?"
            with database:
                database.execute(end, (datetime.now().isoformat(" "), len(self.entries), self._session))  # noqa: DTZ005
        database.close()


def _python(text: str) -> str:
    """Return the Python of a cell as IPython has it without the person's own transformers."""
    try:
        return str(TransformerManager().transform_cell(text)).rstrip("\n")  # type: ignore[no-untyped-call]
    except SyntaxError:
        return text


def _within(number: int, start: int, stop: int | None) -> bool:
    return number >= start and (stop is None or number < stop)
