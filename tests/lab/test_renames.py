"""Notebooks that are renamed in Jupyter keep their layers."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from tests.lab.conftest import Kernel, install_kernel

from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.lab.conftest import Api, Fetch, Socket


async def told_of(socket: Socket, notebook: str) -> str:
    """Wait until a session is said to be that of `notebook`; return its id."""

    def is_it(event: Any) -> bool:
        return bool(event["type"] == "session" and event["session"]["notebook"] == notebook)

    session: str = (await socket.until(is_it))["session"]["id"]
    return session


async def test_a_notebook_that_is_renamed_keeps_its_layers_while_its_kernel_runs_and_after(
    jp_fetch: Fetch,
    jp_root_dir: Path,
    jp_kernel_dir: Path,
    jp_environ: None,
    api: Api,
    connect: Callable[[], Awaitable[Socket]],
    store: Path,
) -> None:
    del jp_environ
    install_kernel(jp_kernel_dir)
    (jp_root_dir / "folder").mkdir()
    kernel = Kernel(jp_root_dir / "folder" / "before.ipynb")
    try:
        await kernel.run("x = 1")
        socket = await connect()
        await socket.subscribe(sessions="all")
        for before, after, moved in (
            ("folder/before.ipynb", "folder/after.ipynb", "folder/after.ipynb"),
            ("folder", "elsewhere", "elsewhere/after.ipynb"),
        ):
            assert (await kernel.run("x"))[1] == ["1"]
            await jp_fetch("api/contents", before, method="PATCH", body=json.dumps({"path": after}))
            session = await told_of(socket, moved)
    finally:
        await asyncio.get_running_loop().run_in_executor(None, kernel.close)
    found = next(one for one in (await api.ask("GET sessions"))["sessions"] if one["id"] == session)
    assert (found["notebook"], found["cells"]) == ("elsewhere/after.ipynb", 3)
    assert Store.open(str(store)).session(str(jp_root_dir / "elsewhere" / "after.ipynb")).id == session
