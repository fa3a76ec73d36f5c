"""The zygotes of one workspace: which one its next container is forked from, and what that has imported."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from cellstack_runtime import hardening
from cellstack_runtime.errors import CellstackError
from cellstack_runtime.store.marks import is_opaque

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from cellstack_runtime.client import BrokerClient
    from cellstack_runtime.workspace import Workspace

PASSED_ON = re.compile(r"LANG|LC_\w+|TZ|TERM|COLUMNS|MPLBACKEND")
DEFAULT_ENV = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": "xterm-color",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
MODULE = re.compile(r"[A-Za-z_]\w{0,63}(\.[A-Za-z_]\w{0,63}){0,9}")
IMPORT = re.compile(r"import\s+(?P<modules>.+)|from\s+(?P<package>[\w.]+)\s+import\s+(?P<names>.+)")
COMPILED = "__pycache__"
MAX_PRELOADED, MAX_NAME = 5000, 100  # modules, characters
MAX_IMPORTS, MAX_ENVIRON = 16, 8192  # environments, characters
CATCH_UP_SECONDS = 5.0  # for more, importing once more in a cell is no loss
ENVIRON_SECONDS = 30.0  # it is one where modules would find another environment than they had


def environment(workspace: Workspace) -> dict[str, str]:
    """Return the environment of all cells on the workspace's image.

    The seed of hashes is the same wherever a layer of this image may go on: variables hold what hashes have given.
    """
    return {
        **DEFAULT_ENV,
        **dict(entry.split("=", 1) for entry in workspace.image.config.get("Env", ())),
        **{name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)},
        "PYTHONHASHSEED": str(int(workspace.image.id[:8], 16)),
        **workspace.env,
    }


def imported_by(code: str) -> list[str]:
    """Return what the lines of a cell's code import by their look, in this order; some of it may be no module."""
    found: list[str] = []
    for line in () if code.startswith("%%") else code.splitlines():
        for statement in () if line[:1].isspace() else line.partition("#")[0].split(";"):
            if match := IMPORT.match(statement.strip()):
                package, names = match["package"], match["names"] or match["modules"]
                each = [words[0] for name in names.strip("()").split(",") if (words := name.split())]
                found += [package, *(f"{package}.{name}" for name in each)] if package else each
    return [name for name in dict.fromkeys(found) if MODULE.fullmatch(name) and not _is_hidden(name)]


def _is_hidden(name: str) -> bool:
    """Tell whether cells do not tell of such a module that they have imported."""
    return name in sys.builtin_module_names or any(part.startswith("_") for part in name.split("."))


class Import(NamedTuple):
    """Modules, in this order, and the environment variables that they are to find, None for one that is not there."""

    environ: dict[str, str | None]
    names: list[str]


def _checked(environ: Mapping[str, str | None]) -> dict[str, str | None] | None:
    """Return environment variables that can be set; None when they cannot."""
    if sum(len(name) + len(value or "") for name, value in environ.items()) > MAX_ENVIRON:
        return None
    for name, value in environ.items():
        if not name or "=" in name or "\0" in name or "\0" in (value or ""):
            return None
    return dict(environ)


def changes_imports(path: str) -> bool:
    """Tell whether what a layer has at a path changes what Python imports from there; what it has compiled does not."""
    if not os.path.isdir(path) or os.path.islink(path):
        return os.path.lexists(path)
    if is_opaque(path):
        return True
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries]
    return not names or any(changes_imports(f"{path}/{name}") for name in names if name != COMPILED)


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def _is_in(folder: str, module: str) -> bool:
    return any(os.path.exists(f"{folder}/{module}{end}") for end in ("/__init__.py", ".py"))


@dataclass(eq=False)
class _Expected:
    """What the cell that runs is to import. decided: whether it has is known. over: its zygote serves, or is gone.

    begun: whether a zygote imports it.
    """

    ahead: Import
    begun: bool = False
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Zygotes:
    """One zygote serves; another one may be starting that will take its place."""

    def __init__(self, workspace: Workspace, broker: BrokerClient) -> None:
        self._workspace = workspace
        self._broker = broker
        cache = f"{workspace.store.home}/cache"
        self._seccomp = base64.b64encode(hardening.cell_program(cache)).decode()
        self._zygote_seccomp = base64.b64encode(hardening.zygote_program(cache)).decode()
        self._joined_seccomp = base64.b64encode(hardening.joined_program(cache)).decode()
        self._started: dict[str, asyncio.Future[Any]] = {}
        self._users: Counter[str] = Counter()  # containers that are being made, by zygote
        self._retired: set[str] = set()
        self._imports: list[Import] = []  # what cells have imported, in this order
        self._environ: dict[str, str | None] = {}  # what the last cell has left
        self._had: dict[str, set[str]] = {}  # by zygote: what it has, and what it could not import
        self._generations: dict[str, int] = {}
        self._settled = asyncio.Event()  # nothing is being started
        self._settled.set()
        self._refused: set[str] = set()  # what is imported in cells only
        self._expected: _Expected | None = None
        self._coming: _Expected | None = None  # what the last cell has imported, as was expected
        self._import_roots: dict[str | None, str | None] = {None: None}

    def key(self) -> str:
        """Name the zygote for head: one per image, environment and last layer that changed what Python imports."""
        workspace = self._workspace
        root = self._import_root(workspace.head) or ""
        what = repr((workspace.image.id, root, sorted(workspace.env.items())))
        base = hashlib.sha256(what.encode()).hexdigest()[:16]
        return f"{base}.{self._generations.get(base, 0)}"

    def image_changed(self) -> None:
        """Forget which layers change what Python imports: that depends on the image."""
        self._import_roots = {None: None}

    def _import_root(self, head: str | None) -> str | None:
        """Return the newest layer of head that changes what the image's sys.path has, None if no layer does."""
        store, sys_path = self._workspace.store, self._workspace.image.config["cellstack"].get("sys_path", ())
        step = head
        while step is not None and step not in self._import_roots:
            layer = store.layer(step)
            if layer.root and any(changes_imports(store.layer_path(step, "root") + path) for path in sys_path):
                self._import_roots[step] = step
            else:
                step = layer.parent
        self._import_roots[head] = self._import_roots[step]
        return self._import_roots[head]

    @contextlib.asynccontextmanager
    async def running(self, key: str | None, head: str | None) -> AsyncIterator[None]:
        """Have zygote `key` (None: none is needed) running for `head`, and keep it meanwhile."""
        if key is None:
            yield
            return
        self._users[key] += 1
        try:
            await self._ensure(key, head)
            yield
        finally:
            self._users[key] -= 1
            self._let_go(key)

    async def _ensure(self, key: str, head: str | None) -> None:
        if key not in self._started:
            self._retired.discard(key)
            self._started[key] = asyncio.create_task(self._start_anyway(key, head))
            self._retire_all_but(key)
        try:
            await asyncio.shield(self._started[key])
        except CellstackError:
            self._started.pop(key, None)
            raise

    async def _start_anyway(self, key: str, head: str | None) -> set[str]:
        """Start a zygote, without what cells have imported where that takes more memory than the limit is by now."""
        try:
            return await self._start(key, head)
        except CellstackError:
            if not self._modules:
                raise
            self._refuse(self._modules)
            return await self._start(key, head)

    async def _start(self, key: str, head: str | None, *, after: str = "", ahead: Import | None = None) -> set[str]:
        """Start a zygote, forked from `after` if that is there; return the modules that it has.

        It imports what cells have imported; `ahead` of that what one may have.
        """
        workspace = self._workspace
        imports = [*self._imports, *([] if ahead is None else [ahead])]
        answer, _ = await self._broker.ask(
            "zygote",
            key=key,
            after=after,
            python=workspace.image.config["cellstack"]["python"],
            root=workspace.lowers(self._import_root(head), "root"),
            env=environment(workspace),
            seccomp=self._seccomp,
            zygote_seccomp=self._zygote_seccomp,
            joined_seccomp=self._joined_seccomp,
            memory=workspace.limits.memory,
            preload=[each._asdict() for each in imports],
        )
        found = set(answer["modules"])
        self._had[key] = found.union(*(each.names for each in imports))
        return found

    def expect(self, code: str) -> None:
        """Import what a cell's code is going to import while it does, for the next cells: if it does so."""
        folder = self._workspace.context.folder
        known = self._modules | self._refused | self._had.get(self.key(), set())
        names = [
            name
            for name in imported_by(code)
            if name not in known and not (folder and _is_in(folder, name.partition(".")[0]))
        ]
        if names and self._expected is None:
            self._expected = _Expected(Import(self._environ, names))
            self._renew_soon()

    @property
    def _modules(self) -> set[str]:
        return set().union(*(each.names for each in self._imports))

    def decide(self) -> None:
        """Take note that the cell is over of which something was expected."""
        if self._expected is not None:
            expected, self._expected = self._expected, None
            expected.decided.set()
            has_come = expected.begun and self._modules.intersection(expected.ahead.names)
            self._coming = expected if has_come else None

    async def caught_up(self) -> None:
        """Wait for the zygote with what the last cell has imported: it began when that cell did."""
        if self._coming is not None:
            await _wait_for(self._coming.over, CATCH_UP_SECONDS)
            self._coming = None
        lacks = self._lacks()
        # A cell would import them with the environment that there is now.
        others = any(each.environ != self._environ and not lacks.isdisjoint(each.names) for each in self._imports)
        if others and not await _wait_for(self._settled, ENVIRON_SECONDS):
            self._refuse(lacks)

    def learn(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """Have modules, which a cell has imported, in the zygote of the next cells.

        groups: {"names", "environ": the environment variables that they found, as far as these are not the image's},
        the last with those that the cell has left. They come from a container: they are checked here, and used only
        there. The zygote that is there serves until its successor has imported the modules.
        """
        self._environ = {}
        for group in groups:
            environ, known = _checked(group["environ"]), self._modules
            names = [
                name
                for name in dict.fromkeys(group["names"])
                if MODULE.fullmatch(name) and len(name) <= MAX_NAME and name not in known | self._refused
            ]
            if environ is None:
                continue
            self._environ = environ
            if names and len(known) < MAX_PRELOADED:
                if self._imports and self._imports[-1].environ == environ:
                    self._imports[-1].names.extend(names)
                elif len(self._imports) < MAX_IMPORTS:
                    self._imports.append(Import(environ, names))
        self._renew_soon()

    def add(self, module: str) -> None:
        """Have one of our own in the zygote of the next cells."""
        if module not in self._modules:
            self._imports.append(Import({}, [module]))
            self._renew_soon()

    def head_moved(self) -> None:
        """Forget what was imported with environment variables that another head does not have."""
        self._environ = {}
        if any(each.environ for each in self._imports):
            self._imports = [each for each in self._imports if not each.environ]
            base, _, generation = self.key().partition(".")
            self._generations[base] = int(generation) + 1
            self._retire_all_but("")

    def _renew_soon(self) -> None:
        if self._settled.is_set():
            self._settled.clear()
            self._workspace.chore(self._renew())

    async def _renew(self) -> None:
        """Start zygotes until one has all that cells have imported."""
        over: list[asyncio.Event] = []
        try:
            while (expected := self._expected) or self._lacks():
                wanted = self._lacks().union(expected.ahead.names if expected is not None else ())
                if expected is not None:
                    expected.begun = True
                try:
                    await self._switch(expected)
                except CellstackError:
                    self._refuse(wanted)
                    if expected is not None:
                        await expected.decided.wait()
                if expected is not None:
                    over.append(expected.over)
                if not self._lacks():
                    while over:
                        over.pop().set()
        finally:
            self._settled.set()
            for each in over:
                each.set()

    def _refuse(self, modules: set[str]) -> None:
        """Import modules in cells only. The zygote that is there goes on serving."""
        self._refused |= modules
        self._imports = [
            Import(environ, [name for name in names if name not in modules]) for environ, names in self._imports
        ]

    def _lacks(self) -> set[str]:
        """Return what cells have imported and the zygote for head, if there is one, has not."""
        return self._modules - self._had.get(self.key(), self._modules)

    async def _switch(self, expected: _Expected | None) -> None:
        old, head = self.key(), self._workspace.head
        base, _, generation = old.partition(".")
        new = f"{base}.{int(generation) + 1}"
        found = await self._start(new, head, after=old, ahead=expected.ahead if expected is not None else None)
        folder, had = self._workspace.context.folder, self._had.get(old, found)
        own = {name for name in found - had if folder is not None and _is_in(folder, name.partition(".")[0])}
        surplus: set[str] = set()
        if expected is not None:
            await expected.decided.wait()
            ahead = expected.ahead
            # It may have a module of its own by a name that the image has, or not have come so far.
            surplus = found.intersection(ahead.names).difference(
                *(each.names for each in self._imports if each.environ == ahead.environ)
            )
        if self.key() != old or surplus:  # or head or image have moved on
            await self._drop(new)
            return
        if failed := (self._had[new] & self._modules) - found:  # which may have done something before they did
            await self._drop(new)
            self._refuse(failed)
            return
        if own:  # which has imported what the person has one of their own of
            await self._drop(new)
            raise CellstackError(f"{', '.join(sorted(own)[:3])} is also the name of something beside the notebook")
        self._started[new] = asyncio.ensure_future(asyncio.sleep(0))
        self._generations[base] = int(generation) + 1
        self._workspace.prepare()
        self._retire_all_but(new)

    async def _drop(self, key: str) -> None:
        del self._had[key]
        await self._broker.ask("drop_zygote", key=key)

    def lose(self, key: str) -> None:
        """Take note that a zygote forks no more: what is asked for next starts another one."""
        self._had.pop(key, None)
        self._started.pop(key, None)

    def rest(self) -> None:
        """Let the zygote go. The next container starts another one, with all that cells have imported."""
        self._retire_all_but("")

    def _retire_all_but(self, kept: str) -> None:
        """Let the other zygotes go, once the containers they are asked for exist."""
        for old in [name for name in self._started if name != kept]:
            del self._started[old]
            self._had.pop(old, None)
            self._retired.add(old)
            self._let_go(old)

    def _let_go(self, key: str) -> None:
        if key in self._retired and not self._users[key]:
            self._retired.discard(key)
            self._workspace.chore(self._broker.ask("drop_zygote", key=key))
