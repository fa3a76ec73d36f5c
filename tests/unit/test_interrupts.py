"""Interrupts that come while a cell is on its way to its container."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.test_hostile_cells import Container, Front, Workspace

from cellstack_kernel.executor import Executor
from cellstack_kernel.runs import InterruptError, Request


class Interrupting(Workspace):
    """A workspace whose cell is interrupted in the moment in which its container is there."""

    def __init__(self, container: Container) -> None:
        super().__init__(container)
        self.executor: Any = None

    async def container(self, *, limits: Any = None) -> Container:
        made = await super().container(limits=limits)
        asyncio.get_running_loop().call_soon(self.executor.interrupt)
        return made


def test_one_that_comes_with_the_container_is_not_lost() -> None:
    container = Container([])
    workspace: Any = Interrupting(container)
    workspace.executor = executor = Executor(workspace)
    with pytest.raises(InterruptError):
        asyncio.run(executor.run(Request("code"), Front()))
    assert container.ended == "discarded"
    assert not container.sent
    assert not executor.runs


def test_one_that_comes_before_there_is_a_run_is_not_lost() -> None:
    container = Container([])
    workspace: Any = Workspace(container)
    request = Request("code")
    request.interrupted.set()
    with pytest.raises(InterruptError):
        asyncio.run(Executor(workspace).run(request, Front()))
    assert workspace.containers == [container]
