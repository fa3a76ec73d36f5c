"""A notebook at rest has one container that waits for the next cell and none besides; after long, none at all."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from tests.kernels import PATIENCE, Running, debug

from cellstack_runtime.broker.server import REST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]
BEFORE_REST = 1


@pytest.fixture
def resting(store: Path, tmp_path: Path) -> Iterator[Running]:
    """Return a kernel whose notebook is at rest a second after its last request."""
    config = store / "config.toml"
    config.write_text(f"[rest]\nseconds = {BEFORE_REST}\n")
    try:
        running = Running(tmp_path / "a.ipynb")
        running.run("")  # the notebook is open then
    finally:
        config.unlink()
    yield running
    running.close()


def made_ahead(kernel: Running) -> tuple[int, int]:
    """Return how many containers a kernel has, and how many processes that cells are forked from, or are."""
    first = psutil.Process(kernel.manager.provisioner.pid)  # type: ignore[union-attr]
    inits = guests = 0
    for process in first.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            inits += process.name() == "cellstack-init"
            guests += any("cellstack_guest" in word for word in process.cmdline())
    return inits, guests


def wait_for(kernel: Running, inits: int, guests: int) -> None:
    """Wait until the kernel has these."""
    deadline = time.monotonic() + PATIENCE
    while made_ahead(kernel) != (inits, guests) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert made_ahead(kernel) == (inits, guests)


def test_containers_that_were_begun_ahead_go_when_no_cell_comes(kernel: Running) -> None:
    for _ in range(10):
        kernel.client.execute("1+1")
    kernel.run("1+1")
    time.sleep(REST_SECONDS)
    wait_for(kernel, 1, 2)
    assert kernel.run("1+1")[1] == ["2"]


def test_a_debugger_that_is_left_on_does_not_keep_a_notebook_from_its_rest(resting: Running) -> None:
    resting.run("x = 5")
    assert debug(resting, "initialize", adapterID="")["success"]
    assert debug(resting, "attach")["success"]
    wait_for(resting, 0, 0)
    assert "x" in [found["name"] for found in debug(resting, "inspectVariables")["body"]["variables"]]
    wait_for(resting, 0, 0)
    assert resting.run("x")[1] == ["5"]


def test_a_notebook_that_nobody_uses_gives_back_what_waits_for_its_next_cell(resting: Running) -> None:
    wait_for(resting, 0, 0)
    resting.run("import decimal\nx = [decimal.Decimal(1)]")
    wait_for(resting, 0, 0)
    assert resting.run("x.append(decimal.Decimal(2)); x")[1] == ["[Decimal('1'), Decimal('2')]"]


def test_a_page_that_comes_back_has_a_container_made(resting: Running) -> None:
    wait_for(resting, 0, 0)
    resting.client.kernel_info(reply=True, timeout=PATIENCE)
    wait_for(resting, 1, 2)


def test_a_cell_that_runs_and_a_container_that_cells_share_are_no_rest(resting: Running) -> None:
    assert resting.run(f"import time; time.sleep({3 * BEFORE_REST}); print('done')")[1] == ["done\n"]
    resting.run("%container scope=notebook")
    resting.run("made = iter('abc')")
    time.sleep(3 * BEFORE_REST)
    assert resting.run("next(made)")[1] == ["'a'"]
    resting.run("%container scope=cell")
    wait_for(resting, 0, 0)
    assert resting.run("6 * 7")[1] == ["42"]
