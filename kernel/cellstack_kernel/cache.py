"""The layer cache: a cell that has run before, on the same layer and with the same inputs, gives what it gave then.

As in an image build, the key is all that the result may depend on: the parent layer (and by it the files and the
variables), the image, the code and its number, the limits, the environment of its process (time zone and language too),
how it sees the notebook's folder, and the files there, by path, size and times of change: the one that anyone may set,
and the one that only a change sets. What a cell gave while they changed is not kept. What cannot be in a key is never
taken from the cache: cells that can write to the host, that asked a question (also one that nobody could answer), that
opened a comm to the front end or were told something by one, that were interrupted or reached into from outside, or
that a debugger looks at. Nor is it what a cell gave whose variables there was no room to save. The notebook's own file
and `-o`'s, which change with every run, are not in the key; a cell that opens one of them is not kept. A cell that
failed runs again, unless its tag `raises-exception` says that it is to fail. Time, randomness and what the machine
tells of itself are not inputs here: a cell that wants them anew each time says so with the tag `no-cache`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellstack_runtime.errors import StoreError
from cellstack_runtime.store.files import write_atomic
from cellstack_runtime.zygotes import environment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from cellstack_kernel.runs import FrontEnd, Outcome, Request
    from cellstack_runtime.store import Store
    from cellstack_runtime.workspace import Workspace

    File = tuple[str, int, int, int, int]  # path, mode, size, nanoseconds of its content's and of its inode's change

FORMAT = 3
MAX_FILES = 20_000  # of the folder, which are looked at before every cell
MAX_BYTES = 32 * 2**20  # of the outputs of one cell
NO_CACHE = "no-cache"
RAISES = "raises-exception"  # Jupyter's: an error is what the cell is to give
HIT, MISS, OFF = "hit", "miss", "off"


@dataclass(frozen=True, slots=True)
class Key:
    """What a cell is found by, and what was in the folder that it could read, None when it sees none."""

    name: str
    parent: str | None
    folder: str | None
    files: list[File]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a cell gave. outputs: (message type, content, metadata) in order; content: of its reply."""

    layer: str
    outputs: list[tuple[str, dict[str, Any], dict[str, Any]]]
    content: dict[str, Any]
    record: dict[str, Any]


class Recording:
    """A front end that passes everything on and keeps it."""

    def __init__(self, front: FrontEnd) -> None:
        self._front = front
        self.outputs: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.complete = True  # whether the outputs can be given again

    def publish(self, msg_type: str, content: dict[str, Any], **parts: Any) -> None:
        """Take one output."""
        if msg_type.startswith("comm_") or parts.get("buffers"):
            self.complete = False
        self.outputs.append((msg_type, content, parts.get("metadata") or {}))
        self._front.publish(msg_type, content, **parts)

    async def ask(self, prompt: str, *, password: bool) -> str | None:
        """Ask the person; what depends on the answer is not kept."""
        self.complete = False
        return await self._front.ask(prompt, password=password)

    async def drained(self) -> None:
        """Wait for the front end."""
        await self._front.drained()


class Cache:
    """The cache of one notebook's run; what is in it is shared by all that use the store.

    left_out: files of the folder that make no difference, because the run itself writes them.
    """

    def __init__(self, store: Store, left_out: Collection[str] = ()) -> None:
        self._store = store
        self._folder = f"{store.home}/cache/cells"
        self._left_out: set[str] = set()
        self.on = False
        self.hits = self.misses = 0
        self.leave_out(left_out)

    def leave_out(self, paths: Collection[str]) -> None:
        """Have these files make no difference."""
        self._left_out.update(map(os.path.realpath, paths))

    def left_out_of(self, workspace: Workspace) -> tuple[str, ...]:
        """Return the files that make no difference and are in /work, relative to it."""
        folder = workspace.context.folder
        root = None if folder is None else os.path.realpath(folder) + "/"
        return () if root is None else tuple(path[len(root) :] for path in self._left_out if path.startswith(root))

    async def key(self, workspace: Workspace, request: Request) -> Key | None:
        """Return the key of a cell that is about to run, None when it has none."""
        context, notebook = workspace.context, workspace.session.notebook
        if not self.on or request.silent or not request.commit or workspace.mounts or context.mode == "rw":
            return None
        folder = context.folder if context.mode == "ro" else None
        files = await asyncio.to_thread(self._listing, folder)
        if files is None:
            return None
        # The notebook's own file is left out, but a cell may list the folder.
        seen = None if folder is None else (os.path.basename(notebook or ""), files)
        limits = (request.limits or workspace.limits).as_json()
        what: list[Any] = [FORMAT, workspace.head, workspace.image.id, request.kind, request.typed, request.number]
        what += [
            request.earlier,
            request.store_history,
            request.user_expressions,
            limits,
            sorted(environment(workspace).items()),
            seen,
        ]
        name = hashlib.sha256(json.dumps(what).encode("utf-8", "surrogatepass")).hexdigest()
        return Key(name, workspace.head, folder, files)

    def _listing(self, folder: str | None) -> list[File] | None:
        """Return all that a cell can read of the notebook's folder; None when it is too much."""
        found: list[File] = []
        if folder is None:
            return found
        root = os.path.realpath(folder)
        for path, status in _entries(root):
            if path in self._left_out:
                continue
            name = path[len(root) :]
            is_folder = stat.S_ISDIR(status.st_mode)  # whose entries count, and not when they came
            changed = (0, 0, 0) if is_folder else (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            found.append((name, status.st_mode, *changed))
            if len(found) > MAX_FILES:
                return None
        return sorted(found)

    def get(self, key: Key, tags: Collection[str]) -> Entry | None:
        """Return what is kept under `key` for a cell with these tags, None when there is nothing that can be read."""
        try:
            with open(f"{self._folder}/{key.name}.json", encoding="utf-8") as file:
                data = json.load(file)
            outputs = [(str(kind), dict(content), dict(metadata)) for kind, content, metadata in data["outputs"]]
            if data["record"]["exit"]["reason"] not in _results(tags):
                return None
            return Entry(str(data["layer"]), outputs, dict(data["content"]), dict(data["record"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: Key, outcome: Outcome, recording: Recording, tags: Collection[str]) -> None:
        """Keep what a cell gave, if it can be given again; `tags` are the cell's."""
        if not (recording.complete and outcome.repeatable) or outcome.record["parent"] != key.parent:
            return
        if outcome.record["exit"]["reason"] not in _results(tags):
            return
        if self._listing(key.folder) != key.files:  # nobody knows which of them it has read
            return
        record = {**outcome.record, "namespaces": {}, "container": None, "host": {"pid": None, "cgroup": None}}
        entry = {
            "layer": outcome.record["layer"],
            "outputs": recording.outputs,
            "content": outcome.content,
            "record": record,
        }
        text = json.dumps(entry)
        if len(text) <= MAX_BYTES:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with contextlib.suppress(StoreError):  # a full disk: the cell will run again
                write_atomic(f"{self._folder}/{key.name}.json", text, durable=False)

    def size(self) -> tuple[int, int]:
        """Return how many cells are kept, and the bytes of their outputs."""
        try:
            with os.scandir(self._folder) as entries:
                sizes = [entry.stat().st_size for entry in entries]
        except FileNotFoundError:
            return 0, 0
        return len(sizes), sum(sizes)


def _results(tags: Collection[str]) -> tuple[str, ...]:
    """Return how a cell with these tags may end to count as done."""
    return ("finished", "exception") if RAISES in tags else ("finished",)


def _entries(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in a folder and below, without what is hidden from cells."""
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    with contextlib.suppress(OSError):  # gone meanwhile
                        status = entry.stat(follow_symlinks=False)
                        yield entry.path, status
                        if stat.S_ISDIR(status.st_mode):
                            pending.append(entry.path)
        except OSError:  # a cell cannot read it either
            continue
