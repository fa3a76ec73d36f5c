"""Files with any name are told apart, and brought out as they are."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

import pytest

from cellstack_runtime.extract import copy_out
from cellstack_runtime.store import Changes, Layer, Store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.conftest import Api

LAYER = "1" * 32
NAMES = (b"a b", b"a\x01b", b"a\x1fb", b"a\tb", b"a\nb", b"a\x7fb", b" a", "é".encode(), b"\\xff", b"\xff", b"\xfe")


@pytest.fixture
def named(own: Store, tmp_path: Path) -> Store:
    """Return a store with a layer of files that hold their own names, an empty one and a large one."""
    image = own.put_image([], {}, "2026-01-01T00:00:00.000000Z")
    folder = tmp_path / LAYER / "root" / "d"
    folder.mkdir(parents=True)
    (tmp_path / LAYER / "work").mkdir()
    for name in NAMES:
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(name)
    (folder / "empty").touch()
    (folder / "large").touch()
    os.truncate(folder / "large", 64 << 20)
    own.commit(
        str(tmp_path / LAYER), Layer(LAYER, None, image.id, image.created, True, False, Changes(), None, {}, None)
    )
    return own


@pytest.mark.parametrize("name", [name.decode() for name in NAMES if name.isascii() or name == "é".encode()])
async def test_each_name_gives_its_own_file(api: Api, named: Store, name: str) -> None:
    del named
    assert (await api.ask("GET layers/<id>/file", LAYER, path=f"/d/{name}"))["text"] == name
    answer = await api.fetch("cellstack/api/layers", LAYER, "download", params={"path": f"/d/{name}"})
    assert answer.body == name.encode()


async def test_a_path_that_can_be_none_is_refused(api: Api, named: Store) -> None:
    del named
    code, said = await api.refused(f"layers/{LAYER}/file", params={"path": "/d/a\0b"})
    assert (code, said.startswith("path: ")) == (400, True)
    code, said = await api.refused(f"layers/{LAYER}/file", params={"path": b"/d/\xff"})
    assert (code, said) == (400, "path: what was sent is not UTF-8")


async def test_names_that_are_not_utf8_are_told_apart_and_come_out_with_their_folder(
    api: Api, named: Store, tmp_path: Path
) -> None:
    listed = [one["path"] for one in (await api.ask("GET layers/<id>", LAYER))["files"]]
    assert {r"/d/\xff", r"/d/\xfe", "/d/é"} <= set(listed)
    answer = await api.fetch("cellstack/api/layers", LAYER, "file", params={"path": r"/d/\xfe"}, raise_error=False)
    assert (answer.code, b"`cellstack cp`" in answer.body) == (404, True)
    copy_out(named, named.image(str(named.layer(LAYER).image)), LAYER, "/d", str(tmp_path / "out"))
    assert set(os.listdir(os.fsencode(tmp_path / "out"))) == {*NAMES, b"empty", b"large"}


async def test_an_empty_file_is_brought_out_as_bytes_too(api: Api, named: Store) -> None:
    del named
    answer = await api.fetch("cellstack/api/layers", LAYER, "download", params={"path": "/d/empty"})
    assert (answer.body, answer.headers["Content-Type"]) == (b"", "application/octet-stream")


async def test_who_breaks_off_a_download_is_no_mistake_of_the_server(
    api: Api,
    named: Store,
    jp_http_port: int,
    jp_base_url: str,
    jp_auth_header: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    del named
    reader, writer = await asyncio.open_connection("127.0.0.1", jp_http_port)
    lines = [f"GET {jp_base_url}cellstack/api/layers/{LAYER}/download?path=/d/large HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in jp_auth_header.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    await asyncio.sleep(0.5)
    await api.ask("GET sessions")
    assert [one for one in caplog.records if one.levelno >= logging.WARNING and "download" in one.getMessage()] == []
