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


def test_any_layer_is_tagged_while_head_stays(kernel: Running) -> None:
    kernel.run("open('file', 'w').write('first'); x = 1")
    kernel.run("open('file', 'w').write('second'); x = 2")
    for ref in ("1", "head~1"):
        assert "tagged:latest is the image" in kernel.run(f"%tag tagged:latest {ref}")[1][0]
    assert kernel.run("open('file').read(), x")[1] == ["('second', 2)"]
    kernel.run("%image tagged")
    assert kernel.run("open('file').read()")[1] == ["'first'"]
    # A layer is tagged with what it stands on, which is no more the image of the following cells.
    kernel.run("%tag again 2")
    kernel.run("%image again")
    assert kernel.run("open('file').read()")[1] == ["'second'"]


def test_a_tag_takes_a_name_and_a_layer_at_most(kernel: Running) -> None:
    kernel.run("1")
    assert "%tag NAME[:TAG] [REF]" in kernel.run("%tag")[1][0]
    assert "at most 2 arguments" in kernel.run("%tag name 1 2")[1][0]
    assert "no layer of cell [7]" in kernel.run("%tag name 7")[1][0]
