"""What the server extension costs while browsers look on: beside jupyter-resource-usage, whose panel asks for numbers.

A notebook of 1,000 layers, 50 containers that run, and browsers that are subscribed to all of it at the panel's default
refresh rate. What counts are milliseconds of processor time for each second, all threads of the server together: 50
are 5 % of one core.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.measure import Row, Series, row
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from cellstack_runtime import hardening
from cellstack_runtime.store import Changes, Layer, Store
from cellstack_runtime.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cellstack_runtime.store import Session

LAYERS, CONTAINERS = 1_000, 50
LOOKS = ((1, False), (5, False), (5, True))  # how many browsers, and whether a cell runs each second
REFRESH_SECONDS = 1.0  # the default of extension/schema/plugin.json
PEER_SECONDS = 5.0  # the default of jupyter-resource-usage's status bar
WINDOW_SECONDS = 5.0
AT_MOST = 50.0
WHAT = f"server CPU each second, {LAYERS:,} layers, {CONTAINERS} containers"
PEER = Path("build/bench/server")  # an environment with jupyter-resource-usage, which peers.sh makes
START_SECONDS = 120


def server(folder: Path, scale: float) -> list[Row]:
    """Ask a Jupyter server for what the panel does."""
    return asyncio.run(_server(folder, max(3, round(6 * scale))))


async def _server(folder: Path, windows: int) -> list[Row]:
    home = str(folder / "server-store")
    async with _containers(home), _Server.started(Path(sys.prefix), folder, CELLSTACK_HOME=home) as ours:
        store = Store.open(home)
        session = _notebook(store)
        alone = await ours.used(windows)
        taken = {}
        for browsers, cells in LOOKS:
            async with contextlib.AsyncExitStack() as stack:
                looking = [await stack.enter_async_context(_Browser.open(ours, session.id)) for _ in range(browsers)]
                if cells:
                    await stack.enter_async_context(_at_work(store, session))
                await asyncio.sleep(2 * REFRESH_SECONDS)
                told = [browser.metrics for browser in looking]
                start = time.monotonic()
                taken[browsers, cells] = await ours.used(windows)
                least = int((time.monotonic() - start) / REFRESH_SECONDS / 2) * CONTAINERS
                if any(browser.metrics - before < least for browser, before in zip(looking, told, strict=True)):
                    raise RuntimeError("the browsers were not told what the containers use")
    if (PEER / ".made").exists():
        async with _Server.started(PEER.absolute(), folder) as peer, peer.polled("api/metrics/v1", PEER_SECONDS):
            theirs: Series | None = await peer.used(windows)
    else:
        theirs = None
    missing = PEER.with_suffix(".missing")
    why = missing.read_text().strip() if missing.exists() else "it is not installed"
    beside = ("resource-usage", theirs) if theirs else None
    rows = [row(WHAT, "nobody looks", alone)]
    for (browsers, cells), series in taken.items():
        subject = f"{browsers} browser{'s' if browsers > 1 else ''}{', a cell each second' if cells else ''}"
        rows.append(row(WHAT, subject, series, peer=beside, without=Series((0.0,)), added_at_most=AT_MOST))
    if theirs is None:
        return [*rows, Row(WHAT, "jupyter-resource-usage", skipped=f"jupyter-resource-usage: {why}")]
    return [*rows, row(WHAT, "jupyter-resource-usage", theirs)]


@contextlib.asynccontextmanager
async def _containers(home: str) -> AsyncIterator[None]:
    """Have containers that run."""
    workspace = await Workspace.open(Store.open(home), cells=False)
    try:
        program = {
            "args": ["sleep", "86400"],
            "env": {"PATH": "/usr/bin:/bin"},
            "cwd": "/",
            "capabilities": [],
            "seccomp": base64.b64encode(hardening.seccomp_program(f"{home}/cache")).decode(),
        }
        null = os.open(os.devnull, os.O_RDWR)
        running = [asyncio.create_task(workspace.run(program, [null] * 3)) for _ in range(CONTAINERS)]
        yield
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        os.close(null)
    finally:
        await workspace.close()


def _notebook(store: Store) -> Session:
    """Return the session of a notebook of many cells."""
    session = store.create_session(None, store.image("cellstack/default").id)
    for _ in range(LAYERS):
        _add_cell(store, session)
    session.save()
    return session


def _add_cell(store: Store, session: Session) -> None:
    """Do to the store what a cell does that writes a file."""
    name, number = secrets.token_hex(16), len(session.cells) + 1
    with store.building() as prepared:
        for part in ("root", "work"):
            os.mkdir(f"{prepared}/{part}")
        Path(prepared, "work", f"file-{number}").write_text("x")
        cell = {"session": session.id, "number": number, "code": f"x = {number}\n" * 10, "status": "ok"}
        layer = Layer(
            name, session.head, session.image, "2026-01-01T00:00:00.000000Z", root=False, work=True,
            changes=Changes(added=1, bytes=1), state=None, cell=cell, digest=None,
        )  # fmt: skip
        store.commit(prepared, layer)
    session.head = name
    session.cells.append({"layer": name, "number": number})


@contextlib.asynccontextmanager
async def _at_work(store: Store, session: Session) -> AsyncIterator[None]:
    """Have a cell run each second."""

    async def work() -> None:
        while True:
            await asyncio.sleep(1)
            _add_cell(store, session)
            session.save()

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        working.cancel()


class _Server:
    """A Jupyter server of an environment."""

    def __init__(self, pid: int, url: str, token: str) -> None:
        self._clock = (~pid << 3) | 2  # CPUCLOCK_SCHED of a process: clock_getcpuclockid(3)
        self.url = url
        self.headers = {"Authorization": f"token {token}"}

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, environment: Path, folder: Path, **variables: str) -> AsyncIterator[_Server]:
        """Start one, and end it."""
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        token = secrets.token_hex(16)
        (folder / "root").mkdir(exist_ok=True)
        settings = {"ip": "127.0.0.1", "port": port, "root_dir": folder / "root", "open_browser": False}
        command = [environment / "bin" / "python", "-m", "jupyter_server", "--allow-root"]
        command += [f"--ServerApp.{name}={value}" for name, value in settings.items()]
        env = {**os.environ, **variables, "JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_TOKEN": token}
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(list(map(str, command)), env=env, stdout=log, stderr=log)  # noqa: ASYNC220  a vfork
        try:
            running = cls(process.pid, f"http://127.0.0.1:{port}/", token)
            async with asyncio.timeout(START_SECONDS):
                while process.poll() is None:
                    with contextlib.suppress(OSError, HTTPClientError):
                        await running.get("api/status")
                        break
                    await asyncio.sleep(0.2)
                else:
                    raise RuntimeError(f"the server ended: {(folder / 'server.log').read_text()[-2000:]}")
            yield running
        finally:
            process.terminate()
            process.wait()

    async def get(self, place: str) -> Any:
        """Return what a route answers."""
        return json.loads((await AsyncHTTPClient().fetch(self.url + place, headers=self.headers)).body)

    async def used(self, windows: int) -> Series:
        """Return the milliseconds of processor time for each second, of several stretches."""
        taken = []
        for _ in range(windows):
            start, before = time.monotonic(), time.clock_gettime(self._clock)
            await asyncio.sleep(WINDOW_SECONDS)
            used = time.clock_gettime(self._clock) - before
            taken.append(1000 * used / (time.monotonic() - start))
        return Series(tuple(taken))

    @contextlib.asynccontextmanager
    async def polled(self, place: str, seconds: float) -> AsyncIterator[None]:
        """Have a route asked again and again."""

        async def poll() -> None:
            while True:
                await self.get(place)
                await asyncio.sleep(seconds)

        await self.get(place)
        polling = asyncio.create_task(poll())
        try:
            yield
        finally:
            polling.cancel()


class _Browser:
    """Opens the panel and takes what it is told. metrics: how often it was told what a container uses."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.metrics = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server: _Server, session: str) -> AsyncIterator[_Browser]:
        """Ask for what there is, and subscribe."""
        for place in ("info", "sessions", "containers", "images", f"sessions/{session}/layers"):
            await server.get(f"cellstack/api/{place}")
        url = f"{server.url.replace('http', 'ws', 1)}cellstack/api/events"
        browser = cls(await websocket_connect(HTTPRequest(url, headers=server.headers)))
        wanted = {"type": "subscribe", "sessions": "all", "containers": "all", "interval": REFRESH_SECONDS}
        await browser._connection.write_message(json.dumps(wanted))
        reading = asyncio.create_task(browser._read())
        try:
            yield browser
        finally:
            reading.cancel()
            browser._connection.close()

    async def _read(self) -> None:
        while (text := await self._connection.read_message()) is not None:
            event = json.loads(text)
            if event["type"] == "metrics":
                self.metrics += len(event["metrics"])
