"""Head moves as a whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kernels import Running

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]


@pytest.mark.parametrize("move", ["%undo", "%checkout 1", "%checkout image"])
def test_head_that_cannot_be_written_down_has_not_moved(kernel: Running, store: Path, move: str) -> None:
    kernel.run("x = 1")
    kernel.run("x = 2")
    (record,) = (path for path in store.glob("sessions/*/session.json") if str(kernel.notebook) in path.read_text())
    kept = record.rename(record.with_name("kept"))
    record.mkdir()  # over which no file can be renamed
    _, (refusal,) = kernel.run(move)
    assert "session.json cannot be written" in refusal
    record.rmdir()
    kept.rename(record)
    assert kernel.run("x")[1] == ["2"]
    kernel.run("%undo 2")
    assert kernel.run("x")[1] == ["1"]


@pytest.mark.parametrize("name", ["head", "head~2", "image", "3", "cellstack/default", "cellstack/default:latest"])
def test_names_that_mean_something_else_are_no_tags(kernel: Running, name: str) -> None:
    kernel.run("1")
    _, texts = kernel.run(f"%tag {name}")
    assert "Take another name" in texts[0]
