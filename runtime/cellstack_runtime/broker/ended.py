"""What is kept of containers that have ended: a line each in `ended/<broker>.jsonl`, the newest of the newest brokers.

Only this broker writes its file. A line that was cut off, by a crash, is no record for those who read.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from typing import Any

from cellstack_runtime.store.files import write_atomic

FOLDER = "ended"
MAX_CONTAINERS = 50  # of one broker
MAX_BROKERS = 20
MAX_WORD = 500  # characters of what it ran


class Ended:
    """Keeps what has ended. folder: of all brokers; name: of this one."""

    def __init__(self, folder: str, name: str) -> None:
        self._folder = folder
        self._path = f"{folder}/{name}.jsonl"
        self._lines: deque[str] = deque(maxlen=MAX_CONTAINERS)
        self._count = 0

    def keep(self, facts: dict[str, Any]) -> None:
        """Write down what a container was and how it ended; in a thread."""
        command = [word[:MAX_WORD] for word in facts["command"][:MAX_CONTAINERS]]
        self._lines.append(json.dumps({**facts, "command": command}) + "\n")
        if self._count == 0:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            self._make_room()
        self._count += 1
        if self._count % MAX_CONTAINERS == 0:
            write_atomic(self._path, "".join(self._lines), durable=False)
            return
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(self._lines[-1])

    def _make_room(self) -> None:
        """Let go of what the oldest brokers have kept."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another broker makes room, too
                    found.append((entry.stat().st_mtime, entry.path))
        for _, path in sorted(found)[: -(MAX_BROKERS - 1)]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
