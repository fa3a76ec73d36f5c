"""Notebooks whose cells run as those of a container do, in forks of the tests' process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.carry_cells import Notebook
from tests.guest_cells import Cells

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have the notebooks of modules with `FRESH_TOO` run their cells in new interpreters, too."""
    if "fresh" in metafunc.fixturenames and getattr(metafunc.module, "FRESH_TOO", False):
        metafunc.parametrize("fresh", [False, True], ids=["fork", "new interpreter"])


@pytest.fixture
def fresh() -> bool:
    """Whether each cell is to have a new interpreter, in which no library was imported yet."""
    return False


@pytest.fixture
def nb(tmp_path: Path, fresh: bool) -> Notebook:
    """Return variables that are carried from cell to cell, without a shell."""
    return Notebook(str(tmp_path), fresh=fresh)


@pytest.fixture(scope="module")
def warm() -> Iterator[Cells]:
    """Return a process that cells, with a shell, are forked from."""
    cells = Cells()
    yield cells
    cells.close()


@pytest.fixture
def notebook(warm: Cells) -> Cells:
    """Return it for a notebook that has no cell yet."""
    warm.new()
    return warm
