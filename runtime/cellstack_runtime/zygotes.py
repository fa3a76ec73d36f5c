"""The zygotes of one workspace: which one its next container is forked from, and what that has imported."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import re
from collections import Counter
from typing import TYPE_CHECKING

from cellstack_runtime import hardening
from cellstack_runtime.errors import CellstackError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

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
MODULE = re.compile(r"[A-Za-z_]\w{0,63}(\.[A-Za-z_]\w{0,63}){0,2}")
MAX_PRELOADED = 2000


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


class Zygotes:
    """One zygote serves; another one may be starting that will take its place."""

    def __init__(self, workspace: Workspace, broker: BrokerClient) -> None:
        self._workspace = workspace
        self._broker = broker
        cache = f"{workspace.store.home}/cache"
        self._seccomp = base64.b64encode(hardening.cell_program(cache)).decode()
        self._zygote_seccomp = base64.b64encode(hardening.zygote_program(cache)).decode()
        self._joined_seccomp = base64.b64encode(hardening.joined_program(cache)).decode()
        self._started: dict[str, asyncio.Task[None]] = {}
        self._users: Counter[str] = Counter()  # containers that are being made, by zygote
        self._retired: set[str] = set()
        self._modules: set[str] = set()
        self._generations: dict[str, int] = {}
        self._stale = self._renewing = False
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
        """Return the newest layer of head that changes a directory on the image's sys.path, None if no layer does."""
        store, sys_path = self._workspace.store, self._workspace.image.config["cellstack"].get("sys_path", ())
        step = head
        while step is not None and step not in self._import_roots:
            layer = store.layer(step)
            if layer.root and any(os.path.lexists(store.layer_path(step, "root") + path) for path in sys_path):
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
            self._started[key] = asyncio.create_task(self._start(key, head))
            self._retire_all_but(key)
        try:
            await asyncio.shield(self._started[key])
        except CellstackError:
            self._started.pop(key, None)
            raise

    async def _start(self, key: str, head: str | None) -> None:
        workspace = self._workspace
        await self._broker.ask(
            "zygote",
            key=key,
            python=workspace.image.config["cellstack"]["python"],
            root=workspace.lowers(self._import_root(head), "root"),
            env=environment(workspace),
            seccomp=self._seccomp,
            zygote_seccomp=self._zygote_seccomp,
            joined_seccomp=self._joined_seccomp,
            memory=workspace.limits.memory,
            preload=sorted(self._modules),
        )

    def learn(self, modules: Sequence[str]) -> None:
        """Have `modules`, which a cell has imported, in the zygote of the next cells.

        The names come from a container: they are checked here and imported only there. The zygote that is there
        serves until its successor has imported them.
        """
        fresh = {name for name in modules if MODULE.fullmatch(name)} - self._modules
        if fresh and len(self._modules) < MAX_PRELOADED:
            self._modules |= fresh
            self._stale = True
            if not self._renewing:
                self._renewing = True
                self._workspace.chore(self._renew())

    async def _renew(self) -> None:
        """Start zygotes until one has all modules learned so far, and switch to it."""
        try:
            while self._stale:
                self._stale = False
                old = self.key()
                base, _, generation = old.partition(".")
                new = f"{base}.{int(generation) + 1}"
                await self._start(new, self._workspace.head)
                if self.key() != old:  # head or image have moved on: this one is of no use
                    await self._broker.ask("drop_zygote", key=new)
                    self._stale = True
                    continue
                self._started[new] = asyncio.ensure_future(asyncio.sleep(0))
                self._generations[base] = int(generation) + 1
                self._workspace.prepare()
                self._retire_all_but(new)
        except CellstackError:
            pass  # the zygote that is there goes on serving; what cannot be imported ahead is imported in cells
        finally:
            self._renewing = False

    def _retire_all_but(self, kept: str) -> None:
        """Let the other zygotes go, once the containers they are asked for exist."""
        for old in [name for name in self._started if name != kept]:
            del self._started[old]
            self._retired.add(old)
            self._let_go(old)

    def _let_go(self, key: str) -> None:
        if key in self._retired and not self._users[key]:
            self._retired.discard(key)
            self._workspace.chore(self._broker.ask("drop_zygote", key=key))
