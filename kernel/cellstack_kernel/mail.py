"""What front ends tell widgets: to the cell that runs, or to the next one that has the widget.

A widget's process ends with its cell. What a front end tells it afterwards, the value of a slider that was moved, the
outputs that an Output widget shows, waits here: every cell is given what waits, and says what it had a widget for.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cellstack_guest.protocol import Message

MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Letter:
    """One comm message. number: by which the cell says that it has taken it."""

    number: int
    msg_type: str
    content: dict[str, Any]
    buffers: Sequence[bytes]

    @property
    def frame(self) -> Message:
        """The frame that brings it to a cell."""
        return {"type": "comm", "msg_type": self.msg_type, "content": self.content, "number": self.number}

    @property
    def size(self) -> int:
        """Bytes."""
        return len(json.dumps(self.content)) + sum(map(len, self.buffers))

    @property
    def waits(self) -> bool:
        """Whether it says how a widget is, which is true later too: a click without anybody to hear it is over."""
        data = self.content.get("data")
        return self.msg_type == "comm_msg" and isinstance(data, dict) and data.get("method") == "update"

    @property
    def says(self) -> set[tuple[str, str]]:
        """What it says the state of: the comm and a name each. Bytes travel beside the state."""
        data = self.content["data"]
        names = [*(data.get("state") or {}), *(str(path[0]) for path in data.get("buffer_paths") or () if path)]
        return {(str(self.content.get("comm_id")), name) for name in names}


class Mail:
    """The letters to the widgets of one notebook that nobody has taken yet."""

    def __init__(self) -> None:
        self._waiting: list[Letter] = []
        self._given: list[Letter] = []
        self._numbers = itertools.count(1)

    @property
    def waits(self) -> bool:
        """Whether the next cell is given anything."""
        return bool(self._waiting)

    def add(self, msg_type: str, content: dict[str, Any], buffers: Sequence[bytes], *, runs: bool) -> Letter:
        """Take a message, and return it as a letter. runs: whether it is given to the cell that runs now."""
        letter = Letter(next(self._numbers), msg_type, content, buffers)
        (self._given if runs else self._waiting).append(letter)
        self._forget()
        return letter

    def give(self) -> list[Letter]:
        """Return what waits, for a cell that begins."""
        self.returned()  # to what has ended without an answer
        self._given, self._waiting = self._waiting, []
        return self._given

    def returned(self, taken: Collection[int] = ()) -> None:
        """Take back what was given to a cell, but for what it has taken; all of it when the cell has left nothing."""
        self._waiting = [letter for letter in self._given if letter.number not in taken] + self._waiting
        self._given = []
        self._forget()

    def _forget(self) -> None:
        """Drop what is no longer true, and the oldest of what is too much to keep."""
        kept: list[Letter] = []
        said: set[tuple[str, str]] = set()  # by later ones
        left = MAX_BYTES
        for letter in reversed(self._waiting):
            if not letter.waits:
                continue
            left -= letter.size
            if not letter.says <= said and left >= 0:
                kept.append(letter)
                said |= letter.says
        self._waiting = kept[::-1]
