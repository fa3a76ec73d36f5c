"""What tests of kernels share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.kernels import Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Running]:
    """Return a kernel that has run nothing yet."""
    running = Running(tmp_path / "note book.ipynb")
    yield running
    running.close()
