"""What all handlers of one server share: the store, threads that read it, and which kernel is whose."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from cellstack_lab.containers import Containers
from cellstack_lab.files import Files
from cellstack_lab.hub import Hub
from cellstack_lab.reading import Reader
from cellstack_runtime.errors import CellstackError, StoreError
from cellstack_runtime.store import Store
from cellstack_runtime.store.files import disk_bytes
from cellstack_runtime.store.store import FOLDERS, RECORD

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from jupyter_client.multikernelmanager import MultiKernelManager
    from jupyter_events import EventLogger

AUTH_RESOURCE = "cellstack"  # what an authorizer is asked about
SETTING = "cellstack_lab"  # among the settings of the web application
THREADS = 8  # most of them wait for the disk
COMPARING = 2  # of what may read much, at once
WAITING = 16  # of what waits for brokers, at once
MEASURED_SECONDS = 60.0
P = ParamSpec("P")
T = TypeVar("T")


class GoneError(StoreError):
    """The store was there and is not, or not whole."""


class Service:
    """Opens the store when it is first needed. root: the server's folder, which notebooks are named from."""

    def __init__(self, *, root: str, kernels: MultiKernelManager, events: EventLogger, log: logging.Logger) -> None:
        self._root = root
        self._kernels = kernels
        self.events = events
        self.log = log
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="cellstack")
        self._comparing = ThreadPoolExecutor(COMPARING, thread_name_prefix="cellstack-compare")
        self._waiting = asyncio.Semaphore(WAITING)
        self._awaited: set[str] = set()
        self._ends = threading.Event()
        self._opening = asyncio.Lock()
        self._opened: tuple[Store, int] | None = None  # and the inode of its record of itself
        self._measuring: asyncio.Future[int] | None = None
        self._measured_at = 0.0
        self.hub = Hub(self)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what may wait for the disk in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))

    async def compare(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what may read very much in a thread of those that leave the others alone."""
        return await asyncio.get_running_loop().run_in_executor(self._comparing, lambda: function(*args, **kwargs))

    async def wait_for(self, what: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what waits for another process. CellstackError when somebody waits for the same already."""
        if what in self._awaited:
            raise CellstackError(f"{what}: somebody has asked for it already", hint="Wait until it is done")
        self._awaited.add(what)
        try:
            async with self._waiting:
                return await _apart(lambda: function(*args, **kwargs))
        finally:
            self._awaited.discard(what)

    async def _store(self) -> Store:
        """Return the store. StoreError when it cannot be opened or has gone, which the next call tries again."""
        async with self._opening:
            self._opened = await self.run(_open, self._opened)
            return self._opened[0]

    async def on_contents(self, logger: EventLogger, schema_id: str, data: dict[str, Any]) -> None:  # noqa: ARG002
        """Have sessions follow notebooks that are renamed, or moved, in Jupyter's own file browser."""
        if data["action"] == "rename" and await self.run(Store.is_there):
            before, after = (f"{self._root}/{data[name].strip('/')}" for name in ("source_path", "path"))
            try:
                await self.run((await self._store()).move_notebooks, before, after)
            except (CellstackError, OSError) as error:
                self.log.warning("layers of %s do not follow it to %s: %s", before, after, error)

    async def disk_bytes(self) -> int:
        """Return the bytes on disk of the store; they are added up anew once a minute at most."""
        now = asyncio.get_running_loop().time()
        if self._measuring is None or (self._measuring.done() and now - self._measured_at > MEASURED_SECONDS):
            home = (await self._store()).home
            self._measuring, self._measured_at = asyncio.ensure_future(_apart(lambda: disk_bytes([home]))), now
        return await asyncio.shield(self._measuring)

    async def reader(self) -> Reader:
        """Return what reads sessions, layers and images for one request."""
        store = await self._store()
        return Reader(store.home, self._root, self.kernel_ids())

    async def files(self, gone: threading.Event) -> Files:
        """Return what looks into layers for one request, until `gone` is set."""
        return Files(await self.reader(), lambda: gone.is_set() or self._ends.is_set())

    async def containers(self) -> Containers:
        """Return what reads containers, and changes them, for one request."""
        return Containers(await self.reader())

    def kernel_ids(self) -> dict[str, str]:
        """Return the id of each kernel of this server, by its connection file."""
        found = {}
        for kernel_id in self._kernels.list_kernel_ids():
            file = getattr(self._kernels.get_kernel(kernel_id), "connection_file", "")
            if file:
                found[os.path.realpath(file)] = str(kernel_id)
        return found

    async def close(self) -> None:
        """End what watches and compares, and let go of the threads, which the interpreter waits for."""
        self._ends.set()
        await self.hub.close()
        for threads in (self._threads, self._comparing):
            threads.shutdown(wait=False, cancel_futures=True)


async def _apart(function: Callable[[], T]) -> T:
    """Call what may wait for long, and changes nothing here, in a thread that the interpreter does not wait for."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # it cannot be cancelled

    def work() -> None:
        try:
            done.set_result(function())
        except BaseException as error:  # noqa: BLE001  it is raised to who waits
            done.set_exception(error)

    threading.Thread(target=work, name="cellstack-wait", daemon=True).start()
    return await asyncio.wrap_future(done)


def _open(before: tuple[Store, int] | None) -> tuple[Store, int]:
    """Open the store, or see that it is still the one `before`.

    It is not made a second time: who has moved it away may bring it back.
    """
    if before is not None:
        home = before[0].home
        missing = next((name for name in (RECORD, *FOLDERS) if not os.path.exists(f"{home}/{name}")), None)
        if missing is not None:
            raise GoneError(
                f"the store {home} is gone, or not whole: it has no {missing}",
                hint="Bring it back, or run `cellstack images`, which makes a new one",
            )
        if os.stat(f"{home}/{RECORD}").st_ino == before[1]:
            return before
    store = Store.open()
    return store, os.stat(f"{store.home}/{RECORD}").st_ino
