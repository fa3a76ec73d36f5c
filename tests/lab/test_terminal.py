"""A terminal of Jupyter's with a shell inside of a container."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_server.auth import Authorizer

from cellstack_runtime import live
from cellstack_runtime.namespaces import processes_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.lab.conftest import Api

    Program = Callable[..., live.Container]
    Fetch = Callable[..., Awaitable[Any]]


@pytest.fixture
def terminals(jp_server_config: dict[str, Any]) -> None:
    """Have a server with Jupyter's terminals."""
    jp_server_config["ServerApp"]["jpserver_extensions"]["jupyter_server_terminals"] = True


# A route of theirs has no decorator, which is a warning.
with_terminals = pytest.mark.filterwarnings("ignore:Extension endpoints:jupyter_server.utils.JupyterServerAuthWarning")


@with_terminals
async def test_a_shell_runs_in_the_container_and_ends_with_it(
    terminals: None, api: Api, jp_ws_fetch: Fetch, program: Program
) -> None:
    del terminals
    container = program("sleep", "300")
    name = (await api.ask("POST containers/<id>/terminal", container.id))["name"]
    socket = await jp_ws_fetch("terminals/websocket", name)
    said = ""

    async def until(text: str) -> None:
        nonlocal said
        async with asyncio.timeout(60):
            while text not in said:
                kind, *what = json.loads(await socket.read_message())
                assert kind in ("setup", "stdout", "disconnect"), kind
                said += what[0] if kind == "stdout" else f"<{kind}>"

    await socket.write_message(json.dumps(["stdin", "echo in: $(hostname 2>/dev/null || cat /etc/hostname)!\r"]))
    await until(f"in: {container.id}!")
    live.kill(container)
    await until("<disconnect>")
    socket.close()


@with_terminals
async def test_there_is_no_terminal_where_nothing_runs(terminals: None, api: Api, program: Program) -> None:
    del terminals
    for wrong in ("0" * 12, "x", "..%2f..%2fterminals"):
        assert (await api.refused(f"containers/{wrong}/terminal", method="POST", body=""))[0] == 404
    container = program("sleep", "300")
    live.pause(container)
    code, said = await api.refused(f"containers/{container.id}/terminal", method="POST", body="")
    assert (code, said) == (409, f"container {container.id} is paused")
    live.unpause(container)


async def test_a_server_without_terminals_says_so(api: Api, program: Program) -> None:
    container = program("sleep", "300")
    code, said = await api.refused(f"containers/{container.id}/terminal", method="POST", body="")
    assert (code, "jupyter_server_terminals is missing or off" in said) == (501, True)


class NoTerminals(Authorizer):
    """Lets people do everything but have terminals."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:  # noqa: ARG002
        """Refuse terminals."""
        return resource != "terminals"


@pytest.fixture
def no_terminals(jp_server_config: dict[str, Any]) -> None:
    """Have a server whose users may have no terminals."""
    jp_server_config["ServerApp"]["authorizer_class"] = NoTerminals


@with_terminals
async def test_who_may_not_have_terminals_has_none_in_containers(
    terminals: None, no_terminals: None, api: Api, program: Program
) -> None:
    del terminals, no_terminals
    container = program("sleep", "300")
    assert (await api.refused(f"containers/{container.id}/terminal", method="POST", body=""))[0] == 403
    assert len(processes_of(container)) == 2
