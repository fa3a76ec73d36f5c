"""A notebook at rest has one container that waits for the next cell, and none besides."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from tests.kernels import PATIENCE

from cellstack_runtime.broker.server import REST_SECONDS

if TYPE_CHECKING:
    from tests.kernels import Running

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]


def inits(kernel: Running) -> int:
    """Return how many containers the kernel has."""
    first = psutil.Process(kernel.manager.provisioner.pid)  # type: ignore[union-attr]
    names = []
    for process in first.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(process.name())
    return names.count("cellstack-init")


def test_containers_that_were_begun_ahead_go_when_no_cell_comes(kernel: Running) -> None:
    for _ in range(10):
        kernel.client.execute("1+1")
    kernel.run("1+1")
    ended = time.monotonic()
    time.sleep(REST_SECONDS)
    while inits(kernel) != 1 and time.monotonic() < ended + PATIENCE:
        time.sleep(0.2)
    assert inits(kernel) == 1
    assert kernel.run("1+1")[1] == ["2"]
