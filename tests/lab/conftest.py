"""A Jupyter server with the extension, on the tests' store, in which a notebook with hostile names has run."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_core.utils import ensure_event_loop
from pytest_jupyter.jupyter_server import *  # noqa: F403  the fixtures, for this folder only
from tests.kernels import Running
from tornado.httpclient import HTTPClientError

from cellstack_kernel.cli.jupyter import spec
from cellstack_lab import validation
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    Fetch = Callable[..., Awaitable[Any]]

HOSTILE = "<img src=x onerror=alert(1)>"
CELLS = (
    f"open('/root/{HOSTILE.replace('/', '')}', 'w').write('x' * 100)\nlost = (i for i in ())\na = b = [1, 2]",
    (
        "import os\nos.symlink('/etc/shadow', '/root/link')\nos.symlink('/etc', '/root/etc')\n"
        "open('/root/text', 'w').write('before\\n')\nopen('/root/binary', 'wb').write(b'\\0\\1')"
    ),
    "open('/root/text', 'w').write('after\\n')\nos.unlink('/root/binary')\nc = 3\nopen('/root/café', 'w').write('é')",
)


@pytest.fixture  # type: ignore[no-redef]  # instead of the imported one
def jp_server_config() -> dict[str, Any]:
    """Return the server's settings: nobody is let in who has not shown who they are."""
    # A handler of the terminals' extension has no decorator, which is a warning and so an error here.
    extensions = {"cellstack_lab": True, "jupyter_server_terminals": False}
    return {"ServerApp": {"jpserver_extensions": extensions, "allow_unauthenticated_access": False}}


@dataclass(frozen=True)
class Api:
    """Asks the server, and checks every answer against its schema."""

    fetch: Fetch

    async def ask(self, route: str, *path: str, body: Any = None, **params: str) -> Any:
        """Return the answer of a route such as "GET layers/<id>"; `path` is what stands for "<id>"."""
        method, _, place = route.partition(" ")
        for part in path:
            place = place.replace("<id>", part, 1)
        text = None if method in ("GET", "DELETE") else json.dumps(body)
        answer = await self.fetch("cellstack/api", place, method=method, body=text, params=params)
        if answer.code == 204:
            return None
        value = json.loads(answer.body)
        validation.validator("answers.json", route).validate(value)
        return value

    async def refused(self, place: str, **options: Any) -> tuple[int, str]:
        """Return the status and the sentence of what is refused."""
        with pytest.raises(HTTPClientError) as caught:
            await self.fetch("cellstack/api", place, **options)
        assert caught.value.response is not None
        value = json.loads(caught.value.response.body)
        validation.validator("answers.json", "error").validate(value)
        return caught.value.code, value["message"]


@pytest.fixture
def api(jp_fetch: Fetch) -> Api:
    """Return what asks the server."""
    return Api(jp_fetch)


@pytest.fixture(scope="session")
def notebook(
    default_image: None,
    store: Path,
    cellstack: Callable[..., subprocess.CompletedProcess[str]],
    write_notebook: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Return the session of a notebook with three cells, `CELLS`."""
    del default_image
    path = write_notebook(tmp_path_factory.mktemp("lab") / "hostile.ipynb", *CELLS)
    before = {session.id for session in Store.open(str(store)).sessions()}
    done = cellstack("execute", path, "-o", path, "--tag", "lab/tagged:v1")
    assert done.returncode == 0, done.stderr
    return next(session.id for session in Store.open(str(store)).sessions() if session.id not in before)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return a store of the test's own, which the server opens."""
    monkeypatch.setenv("CELLSTACK_HOME", str(tmp_path / "own"))
    return Store.open()


class Kernel:
    """A kernel whose client waits in a thread of its own, while the server answers in the loop."""

    def __init__(self, notebook: Path) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._kernel = self._thread.submit(Running, notebook).result()

    async def run(self, code: str) -> tuple[int, list[str]]:
        """Run a cell; return its number and texts."""
        number, texts = await self._call(self._kernel.run, code)
        return number, texts

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def begin(self, code: str) -> None:
        """Send a cell without waiting for it."""
        await self._call(self._kernel.client.execute, code)

    async def restart(self) -> None:
        """Restart it at once."""
        await self._call(lambda: self._kernel.again(now=True))

    async def interrupt(self) -> None:
        """Interrupt it, from another thread."""
        with ThreadPoolExecutor(1) as other:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(other, self._kernel.manager.interrupt_kernel)
            await loop.run_in_executor(other, _close_loop)

    def close(self) -> None:
        """Shut it down."""
        self._thread.submit(self._kernel.close).result()
        self._thread.submit(_close_loop).result()
        self._thread.shutdown()


def _close_loop() -> None:
    """Close the loop that Jupyter's client has made for this thread."""
    ensure_event_loop().close()


@pytest.fixture
def kernel(jp_kernel_dir: Path, jp_environ: None, tmp_path: Path) -> Iterator[Kernel]:
    """Return a kernel in the environment of the server."""
    del jp_environ
    install_kernel(jp_kernel_dir)
    running = Kernel(tmp_path / "note book.ipynb")
    yield running
    running.close()


def install_kernel(kernels: Path) -> None:
    """Put the kernel's spec among those of the server."""
    (kernels / "cellstack").mkdir(parents=True)
    (kernels / "cellstack" / "kernel.json").write_text(json.dumps(spec("Cellstack")))


class Socket:
    """The websocket of events; what arrives is checked against its schema."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.containers: set[str] = set()  # the sessions of those that it was told of

    async def subscribe(self, **wanted: Any) -> None:
        """Subscribe, and return once that counts."""
        message = {"type": "subscribe", "sessions": [], "containers": [], "interval": 0.5, **wanted}
        await self._connection.write_message(json.dumps(message))
        await self.until(lambda event: event["type"] == "subscribed")

    @property
    def closed(self) -> tuple[int, str]:
        """The code and the reason with which the server has closed."""
        return self._connection.close_code, self._connection.close_reason

    async def next(self) -> Any:
        """Return the next event; None when the server has closed."""
        text = await self._connection.read_message()
        if text is None:
            return None
        event = json.loads(text)
        validation.validator("answers.json", "event").validate(event)
        if event["type"] == "container":
            self.containers.add(event["container"]["session"])
        return event

    async def until(self, is_it: Callable[[Any], bool], seconds: float = 60) -> Any:
        """Return the first event that is what is waited for."""
        async with asyncio.timeout(seconds):
            while True:
                event = await self.next()
                assert event is not None, "the server has closed the websocket"
                if is_it(event):
                    return event


@pytest.fixture
def connect(
    jp_ws_fetch: Fetch, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> Iterator[Callable[[], Awaitable[Socket]]]:
    """Return a function that opens the websocket."""
    opened = []

    async def open_socket() -> Socket:
        opened.append(await jp_ws_fetch("cellstack/api/events"))
        return Socket(opened[-1])

    yield open_socket
    for connection in opened:
        jp_asyncio_loop.run_until_complete(close(connection))


async def close(connection: Any) -> None:
    """Close a websocket and wait until it is closed."""
    connection.close()
    while connection.close_code is None and await connection.read_message() is not None:
        pass
