"""The websocket: what happens arrives without being asked for, and nothing is read for nobody."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.lab.conftest import Kernel, close, install_kernel

from cellstack_lab import hub as module
from cellstack_lab.clients import MAX_QUEUED, Client
from cellstack_lab.service import SETTING
from cellstack_runtime import live, syscalls
from cellstack_runtime.metrics import sample
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.lab.conftest import Api, Socket

    from cellstack_lab.hub import Hub
    from cellstack_runtime.metrics import Sample

    Connect = Callable[[], Awaitable[Socket]]
    Program = Callable[..., live.Container]


@pytest.fixture
def several(jp_kernel_dir: Path, jp_environ: None, tmp_path: Path) -> Iterator[list[Kernel]]:
    """Return two kernels of two notebooks."""
    del jp_environ
    install_kernel(jp_kernel_dir)
    running = [Kernel(tmp_path / f"{name}.ipynb") for name in ("one", "two")]
    yield running
    for kernel in running:
        kernel.close()


@pytest.fixture
def hub(jp_serverapp: Any) -> Hub:
    """Return what tells all clients of the server."""
    found: Hub = jp_serverapp.web_app.settings[SETTING].hub
    return found


async def _execute(notebook: Path) -> None:
    command = [str(Path(sys.executable).with_name("cellstack")), "execute", str(notebook), "-o", str(notebook)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0


async def test_a_layer_is_told_of_after_its_cell_and_then_where_head_is(
    connect: Connect, write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    socket = await connect()
    await socket.subscribe(sessions="all")
    running = asyncio.create_task(_execute(write_notebook(tmp_path / "told.ipynb", "told = 1", "told = 2")))
    event = await socket.until(lambda one: one["type"] == "layer")
    assert (event["layer"]["code"], event["head"]) == ("told = 1", event["layer"]["id"])
    second = await socket.until(lambda one: one["type"] == "layer")
    assert (second["session"], second["layer"]["parent"]) == (event["session"], event["layer"]["id"])
    moved = await socket.until(lambda one: one["type"] == "session" and one["session"]["head"] == second["head"])
    ended = moved
    if moved["session"]["live"]:  # else both have happened before the one was told
        ended = await socket.until(lambda one: one["type"] == "session" and not one["session"]["live"])
    assert (ended["session"]["id"], ended["session"]["head"]) == (event["session"], second["head"])
    await running


async def test_only_what_is_subscribed_is_told(
    connect: Connect, notebook: str, program: Program, hub: Hub, store: Path
) -> None:
    socket = await connect()
    container = program("sleep", "300")
    await socket.subscribe(sessions=[notebook], containers=[container.id])
    other = await asyncio.to_thread(program, "sleep", "300")
    session = Store.open(str(store)).session(notebook)
    session.acquire()
    session.release()
    seen = [await socket.next() for _ in range(3)]
    assert other.id not in json.dumps(seen)
    assert {one["type"] for one in seen} <= {"session", "metrics"}
    await socket.subscribe()
    assert hub.is_idle


async def test_a_container_is_told_of_from_its_start_to_its_end(api: Api, connect: Connect, program: Program) -> None:
    socket = await connect()
    await socket.subscribe(containers="all")
    container = await asyncio.to_thread(program, "sleep", "300")

    async def told(status: str) -> Any:
        return await socket.until(
            lambda one: (
                one["type"] == "container"
                and (one["container"]["id"], one["container"]["status"]) == (container.id, status)
            )
        )

    await told("running")
    await api.ask("POST containers/<id>/pause", container.id)
    await told("paused")
    await api.ask("POST containers/<id>/unpause", container.id)
    await told("running")
    await api.ask("POST containers/<id>/kill", container.id)
    ended = await told("ended")
    assert ended["container"] in (await api.ask("GET containers"))["containers"]


async def test_who_subscribes_to_a_session_is_told_of_its_containers_and_of_no_others(
    connect: Connect, several: list[Kernel]
) -> None:
    """Two kernels of two notebooks run at once."""
    everything = await connect()
    await everything.subscribe(sessions="all", containers="all")
    sessions = []
    for kernel in several:
        await kernel.run("first = 1")
        sessions.append((await everything.until(lambda one: one["type"] == "layer"))["session"])
    mine, other = sessions
    socket = await connect()
    await socket.subscribe(sessions=[mine])
    await asyncio.gather(*(kernel.run("import time; time.sleep(0.5)") for kernel in several))
    told: set[str] = set()
    while told != {mine, other}:
        event = await everything.until(lambda one: one["type"] == "container" and one["container"]["status"] == "ended")
        told.add(event["container"]["session"])
    layer = await socket.until(lambda one: one["type"] == "layer" and "sleep" in one["layer"]["code"])
    assert layer["session"] == mine
    await socket.subscribe(sessions=[mine])  # what was sent before is there by then
    assert socket.containers == {mine}
    assert everything.containers >= {mine, other}


async def test_what_happens_is_on_the_event_bus_of_the_server(
    connect: Connect, program: Program, jp_serverapp: Any
) -> None:
    told: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    async def listener(logger: Any, schema_id: str, data: dict[str, Any]) -> None:  # noqa: ARG001  as it is called
        await told.put((schema_id, data))

    schemas = [module.SCHEMA.format(kind) for kind in module.PUBLIC]
    for schema in schemas:
        jp_serverapp.event_logger.add_listener(schema_id=schema, listener=listener)
    socket = await connect()
    await socket.subscribe(sessions="all", containers="all")
    container = await asyncio.to_thread(program, "sleep", "300")
    seen: list[str] = []
    async with asyncio.timeout(60):
        while "ended" not in seen:
            if seen[-1:] == ["running"]:
                await asyncio.to_thread(live.kill, container)
            schema, data = await told.get()
            if data["type"] == "container" and data["container"]["id"] == container.id:
                seen.append(data["container"]["status"])
            assert schema == module.SCHEMA.format(data["type"])
            assert schema in schemas
    assert seen[-2:] == ["running", "ended"]


async def test_no_code_and_no_paths_are_on_the_event_bus(
    connect: Connect, write_notebook: Callable[..., Path], tmp_path: Path, jp_serverapp: Any
) -> None:
    """Who may read the bus need not be allowed to read Cellstack."""
    told: list[dict[str, Any]] = []

    async def listener(logger: Any, schema_id: str, data: dict[str, Any]) -> None:  # noqa: ARG001  as it is called
        told.append(data)

    for kind in module.PUBLIC:
        jp_serverapp.event_logger.add_listener(schema_id=module.SCHEMA.format(kind), listener=listener)
    socket = await connect()
    await socket.subscribe(sessions="all", containers="all")
    code = "import time; time.sleep(0.5); secret = 'hidden'"
    running = asyncio.create_task(_execute(write_notebook(tmp_path / "private.ipynb", code)))
    layer = await socket.until(lambda one: one["type"] == "layer")
    await socket.until(lambda one: one["type"] == "session" and not one["session"]["live"])
    await running
    assert layer["layer"]["code"] == code
    assert {"container", "layer", "session"} <= {one["type"] for one in told}
    said = json.dumps(told)
    assert layer["layer"]["id"] in said
    assert [text for text in ("secret", "hidden", "time.sleep", "private", str(tmp_path)) if text in said] == []


async def test_a_tag_that_somebody_sets_or_removes_is_told(connect: Connect) -> None:
    store = Store.open()
    socket = await connect()
    await socket.subscribe(sessions="all")
    store.tag(store.image("default").id, "told/of:1")
    await socket.until(lambda one: one["type"] == "images")
    store.untag("told/of:1")
    await socket.until(lambda one: one["type"] == "images")


async def test_metrics_of_a_container_move(connect: Connect, program: Program) -> None:
    socket = await connect()
    container = program("sh", "-c", "while :; do :; done")
    await socket.subscribe(containers=[container.id], interval=0.5)
    taken = [(await socket.until(lambda one: one["type"] == "metrics"))["metrics"] for _ in range(3)]
    assert all([one["id"] for one in metrics] == [container.id] for metrics in taken)
    seconds = [metrics[0]["cpu"]["seconds"] for metrics in taken]
    assert seconds[0] < seconds[1] < seconds[2]
    times = [metrics[0]["time"] for metrics in taken]
    assert 0.4 < times[2] - times[1] < 2


async def test_many_clients_share_one_watch_and_one_reader(
    connect: Connect, program: Program, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(container: live.Container) -> Sample | None:
        read.append(container.id)
        return sample(container)

    monkeypatch.setattr(module, "sample", counted)
    container = program("sleep", "300")
    sockets = [await connect() for _ in range(10)]
    for number, socket in enumerate(sockets):
        await socket.subscribe(containers=[container.id], interval=0.5 if number == 0 else 2.0)
    read.clear()
    for _ in range(4):
        await sockets[0].until(lambda one: one["type"] == "metrics")
    assert len(read) <= 5
    for socket in sockets:
        await socket.subscribe()
    assert hub.is_idle
    read.clear()
    await asyncio.sleep(1.2)
    assert read == []


async def test_a_kernel_that_restarts_breaks_nothing(connect: Connect, kernel: Kernel) -> None:
    socket = await connect()
    await socket.subscribe(sessions="all", containers="all")
    await kernel.run("x = 1")
    first = await socket.until(lambda one: one["type"] == "layer")
    await kernel.restart()
    await kernel.run("x = 2")
    second = await socket.until(lambda one: one["type"] == "layer")
    assert second["session"] == first["session"]


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[]",
        "[" * 60_000,
        '{"type": "subscribe"}',
        '{"type": "subscribe", "sessions": ["../.."], "containers": [], "interval": 1}',
        '{"type": "subscribe", "sessions": [], "containers": [], "interval": 0.01}',
        '{"type": "subscribe", "sessions": [], "containers": [], "interval": 1e999}',
        '{"type": "subscribe", "sessions": "all", "containers": "all", "interval": NaN}',
        '{"type": "subscribe", "sessions": "all", "containers": "all", "interval": -Infinity}',
        " " * 70_000,
    ],
)
async def test_what_is_no_subscription_closes_the_socket(jp_ws_fetch: Any, message: str) -> None:
    connection = await jp_ws_fetch("cellstack/api/events")
    await connection.write_message(message)
    assert await connection.read_message() is None
    assert connection.close_code in (1008, 1009)
    await close(connection)


class Slow:
    """A connection that takes nothing more until it `may_go`, and then all up to "last"."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.has_first, self.may_go, self.has_last = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def write(self, message: str) -> None:
        self.taken.append(message)
        self.has_first.set()
        await self.may_go.wait()
        if message == "last":
            self.has_last.set()


async def test_a_client_that_is_too_slow_is_told_to_fetch_again() -> None:
    slow = Slow()
    client = Client(slow.write, slow.taken.append)
    client.put("first")
    await slow.has_first.wait()
    for number in range(MAX_QUEUED + 10):
        client.put(str(number))
    client.put("last")
    slow.may_go.set()
    await slow.has_last.wait()
    client.close()
    # What did not fit is left out together with what waited: who fetches again needs none of it.
    later = map(str, range(MAX_QUEUED + 1, MAX_QUEUED + 10))
    assert slow.taken == ["first", json.dumps({"type": "reset"}), *later, "last"]


async def test_a_client_that_is_slow_gets_the_newest_metrics_only() -> None:
    slow = Slow()
    client = Client(slow.write, slow.taken.append)
    client.put("first")
    await slow.has_first.wait()
    for number in range(10_000):
        client.put(str(number), metrics=True)
    client.put("last")
    slow.may_go.set()
    await slow.has_last.wait()
    client.close()
    assert slow.taken == ["first", "9999", "last"]


async def test_a_browser_that_does_not_read_is_told_to_fetch_again(
    hub: Hub, jp_http_port: int, jp_base_url: str, jp_auth_header: dict[str, str], connect: Connect
) -> None:
    """Its connection takes what the system buffers; what it has missed beyond that is one reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", jp_http_port, limit=1 << 16)
    headers = {"Host": f"127.0.0.1:{jp_http_port}", "Upgrade": "websocket", "Connection": "Upgrade", **jp_auth_header}
    headers |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13"}
    lines = [
        f"GET {jp_base_url}cellstack/api/events HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    text = json.dumps({"type": "subscribe", "sessions": "all", "containers": [], "interval": 1}).encode()
    writer.write(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)  # a frame of RFC 6455, masked with zeros
    assert b"subscribed" in await _frame(reader)
    other = await connect()
    await other.subscribe(containers="all")
    for number in range(4_000):
        hub._broadcast({"type": "session", "session": {"id": str(number), "filler": "x" * 10_000}})
        await asyncio.sleep(0)
    size, frame = 0, b""
    while b'"reset"' not in frame:
        frame = await _frame(reader)
        size += len(frame)
    hub._broadcast({"type": "session", "session": {"id": "last"}})
    while b'"last"' not in frame:
        frame = await _frame(reader)
        size += len(frame)
    assert size < 20_000_000
    writer.close()
    await writer.wait_closed()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """Return the payload of the next frame, RFC 6455."""
    _, size = await reader.readexactly(2)
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(size)


async def _closed(socket: Socket) -> tuple[int, str]:
    """Return the code and the reason with which the server closes the websocket."""
    async with asyncio.timeout(60):
        while await socket.next() is not None:
            pass
    return socket.closed


async def test_a_damaged_record_of_a_container_stops_no_events(
    api: Api, connect: Connect, program: Program, store: Path
) -> None:
    socket = await connect()
    damaged, other = program("sleep", "300"), program("sleep", "300")
    await socket.subscribe(containers="all")
    record = next(store.glob(f"runs/*/containers/{damaged.id}.json"))
    good = record.read_bytes()
    for text in (b"", b"{", b"[]", b"\xff", b"[" * 100_000, good.replace(b'"running"', b'"new"')):
        new = record.with_suffix(".new")
        new.write_bytes(text)
        new.rename(record)
        await api.ask("POST containers/<id>/pause", other.id)
        await socket.until(lambda one: _is_told(one, other.id, "paused"))
        listed = {one["id"] for one in (await api.ask("GET containers"))["containers"]}
        assert (other.id in listed, damaged.id in listed) == (True, False)
        assert (await api.refused(f"containers/{damaged.id}"))[0] == 404
        await (await connect()).subscribe(containers="all")
        await api.ask("POST containers/<id>/unpause", other.id)
        await socket.until(lambda one: _is_told(one, other.id, "running"))
        await socket.until(lambda one: one["type"] == "metrics")
    record.write_bytes(good)


def _is_told(event: Any, container: str, status: str) -> bool:
    shown = event.get("container", {})
    return (shown.get("id"), shown.get("status")) == (container, status)


@pytest.mark.parametrize("work", ["_read", "_samples"])
async def test_a_mistake_of_ours_closes_the_sockets_and_the_next_are_told_again(
    connect: Connect, program: Program, monkeypatch: pytest.MonkeyPatch, hub: Hub, work: str
) -> None:
    def mistaken(*_: object) -> None:
        raise ZeroDivisionError

    sockets = [await connect(), await connect()]
    for socket in sockets:
        await socket.subscribe(containers="all")
    with monkeypatch.context() as patch:
        patch.setattr(module, work, mistaken)
        container = await asyncio.to_thread(program, "sleep", "300")
        assert [await _closed(socket) for socket in sockets] == [(1011, "events have stopped")] * 2
    assert hub.is_idle
    again = await connect()
    await again.subscribe(containers="all")
    await asyncio.to_thread(live.kill, container)
    await again.until(lambda one: _is_told(one, container.id, "ended"))


async def test_a_browser_connects_anew_when_no_more_can_be_watched(
    connect: Connect, own: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    socket = await connect()
    await socket.subscribe(sessions="all")
    with monkeypatch.context() as patch:
        patch.setattr(syscalls, "inotify_add_watch", full)
        own.create_session(None, "image").release()
        code, why = await _closed(socket)
    assert (code, why.startswith(f"{own.home}/sess"[:100])) == (1011, True)
    again = await connect()
    await again.subscribe(sessions="all")
    session = own.create_session(None, "image")
    await again.until(lambda one: one["type"] == "session" and one["session"]["id"] == session.id)
    session.release()


async def test_a_store_that_goes_is_missed_and_one_that_comes_is_shown(api: Api, connect: Connect, own: Store) -> None:
    socket = await connect()
    await socket.subscribe(sessions="all")
    away = f"{own.home}.away"
    os.rename(own.home, away)
    code, why = await _closed(socket)
    assert (code, why[:10]) == (1011, "the store "), "its path may leave no room for the rest"
    for place in ("sessions", "images", "containers", f"layers/{'0' * 32}"):
        status, said = await api.refused(place)
        assert (status, f"the store {own.home} is gone" in said) == (503, True)
    assert not os.path.exists(own.home), "who brings it back finds no other in its place"
    os.rename(away, own.home)
    assert await api.ask("GET sessions") == {"sessions": []}


async def test_a_store_that_is_made_anew_is_watched(api: Api, connect: Connect, own: Store) -> None:
    socket = await connect()
    await socket.subscribe(sessions="all")
    shutil.rmtree(own.home)
    Store.open()
    await socket.until(lambda one: one["type"] == "reset")
    session = own.create_session(None, "image")
    await socket.until(lambda one: one["type"] == "session" and one["session"]["id"] == session.id)
    assert [one["id"] for one in (await api.ask("GET sessions"))["sessions"]] == [session.id]
    session.release()
