"""Which replies carry the record of a cell."""

from __future__ import annotations

from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cellstack_kernel.kernel import CellstackKernel


@pytest.mark.parametrize(("status", "has_one"), [("ok", True), ("error", True), ("aborted", False)])
def test_a_request_that_is_dropped_has_no_record_of_the_cell_before(status: str, has_one: bool) -> None:
    kernel = cast("Any", SimpleNamespace(ident="kernel"))
    kernel._record = ContextVar("record", default={"status": "killed"})  # noqa: B039
    metadata = CellstackKernel.finish_metadata(kernel, {}, {}, {"status": status})
    assert ("cellstack" in metadata) == has_one
    assert (metadata["status"], metadata["engine"], metadata["dependencies_met"]) == (status, "kernel", True)
