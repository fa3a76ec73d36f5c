"""Requests that take long keep nobody from others, and end when nobody waits for them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cellstack_lab.service import SETTING, THREADS, WAITING
from cellstack_runtime.store import Changes, Layer, Store
from cellstack_runtime.store.files import MAX_COMPARED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.lab.conftest import Api

    from cellstack_runtime import live

    Program = Callable[..., live.Container]

FILES = 200
ONE, TWO, THREE = "1" * 32, "2" * 32, "3" * 32


@pytest.fixture
def large(own: Store, tmp_path: Path) -> Store:
    """Return a store with two layers of 50 GiB of zeros, which take no room on disk, and one that has nothing."""
    image = own.put_image([], {}, "2026-01-01T00:00:00.000000Z")
    for name in (ONE, TWO, THREE):
        (tmp_path / name / "root").mkdir(parents=True)
        (tmp_path / name / "work").mkdir()
        for number in range(FILES if name != THREE else 0):
            path = tmp_path / name / "root" / str(number)
            path.touch()
            os.truncate(path, MAX_COMPARED)
        layer = Layer(name, None, image.id, image.created, name != THREE, False, Changes(), None, {}, None)
        own.commit(str(tmp_path / name), layer)
    return own


async def _leave(port: int, base: str, headers: dict[str, str]) -> None:
    """Ask for what takes long, and go away."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"GET {base}cellstack/api/layers/{TWO}/diff?from={ONE} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()


async def test_comparisons_that_nobody_waits_for_end(
    api: Api, large: Store, jp_http_port: int, jp_base_url: str, jp_auth_header: dict[str, str]
) -> None:
    del large
    for _ in range(20):
        await _leave(jp_http_port, jp_base_url, jp_auth_header)
    async with asyncio.timeout(2):
        assert await api.ask("GET sessions") == {"sessions": []}
        diff = await api.ask("GET layers/<id>/diff", THREE, **{"from": "image"})
    assert diff["files"] == []


async def test_a_comparison_of_much_says_changed_for_what_it_has_not_read(api: Api, large: Store) -> None:
    del large
    diff = await api.ask("GET layers/<id>/diff", TWO, **{"from": ONE})
    assert 0 < diff["files_total"] < FILES
    assert {one["kind"] for one in diff["files"]} == {"changed"}


async def test_the_end_of_the_server_ends_comparisons(api: Api, large: Store, jp_serverapp: Any) -> None:
    del large
    asked = asyncio.create_task(api.refused(f"layers/{TWO}/diff", params={"from": ONE}))
    await asyncio.sleep(0.2)
    async with asyncio.timeout(1):
        await jp_serverapp.web_app.settings[SETTING].close()
        assert await asked == (409, "what was asked for was stopped")


async def test_a_server_that_is_told_to_end_while_it_compares_ends(large: Store, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "server", "--allow-root", "--no-browser", f"--port={port}"]
    settings = ["--ip=127.0.0.1", "--port-retries=0", "--IdentityProvider.token=t", f"--ServerApp.root_dir={tmp_path}"]
    environ = {**os.environ, "CELLSTACK_HOME": large.home}
    server = await asyncio.create_subprocess_exec(*command, *settings, env=environ, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(60):
            while not await _is_up(port):  # noqa: ASYNC110  nobody else tells when it listens
                await asyncio.sleep(0.1)
            await _leave(port, "/", {"Authorization": "token t"})
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            asked = (
                f"GET /cellstack/api/layers/{TWO}/diff?from={ONE}&token=t HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
            )
            writer.write(asked.encode())
            await asyncio.sleep(0.5)
        async with asyncio.timeout(4):
            server.send_signal(signal.SIGTERM)
            await server.wait()
        writer.close()
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def _is_up(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_who_waits_for_a_container_to_stop_keeps_nobody_from_anything(api: Api, program: Program) -> None:
    stubborn = program("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    asked = [asyncio.create_task(_act(api, stubborn, "stop")) for _ in range(20)]
    async with asyncio.timeout(3):
        assert set(await asyncio.gather(*asked[1:])) == {
            f"stop container {stubborn.id}: somebody has asked for it already"
        }
        await api.ask("GET sessions")
        assert await _act(api, stubborn, "kill") is None
    await asked[0]


async def _act(api: Api, container: live.Container, action: str) -> str | None:
    """Return why a container cannot be stopped or what else; None when it has been."""
    answer = await api.fetch(
        "cellstack/api/containers", container.id, action, method="POST", body="", raise_error=False
    )
    return json.loads(answer.body)["message"] if answer.code != 204 else None


async def test_brokers_that_do_not_answer_keep_nobody_from_anything(api: Api, jp_serverapp: Any) -> None:
    """What waits for them waits in as many threads as there are for that, and the rest outside of threads."""
    service = jp_serverapp.web_app.settings[SETTING]
    answers = threading.Event()
    before = threading.active_count()
    asked = [asyncio.create_task(service.wait_for(f"stop container {number}", answers.wait)) for number in range(100)]
    async with asyncio.timeout(3):
        await api.ask("GET containers")
        assert threading.active_count() <= before + WAITING + THREADS
        answers.set()
        assert all(await asyncio.gather(*asked))
