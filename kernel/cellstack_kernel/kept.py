"""Answers to `cellstack_outputs_request`: which cells have put something out, and what, as notebooks hold it.

A front end that opens a notebook asks which cells have run since the file was saved ({"since": seconds since 1970}),
then for each of them what it has put out ({"number": its number}). One that runs still is asked for again when there is
more, which its messages on iopub say.
"""

# mypy: disable-error-code="no-untyped-call"
# (nbformat has no annotations)

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellstack_kernel.journal import Entry, Journal

CLOCK_SECONDS = 1.0  # by which the clock of files may be behind


async def outputs_content(journal: Journal, *, since: float, number: int | None, **_: Any) -> dict[str, Any]:
    """Return the content of the reply: {"status", "cells", "time"}, with each cell's newest run after `since`.

    A cell is {"cell_id", "number", "code", "request", "status", "runs", "ended"}; of a single `number` it has "outputs"
    (as in nbformat 4), "record", and "updates", too: {"number", "request"} of each other cell whose displays it has
    updated. Cells without an id are left out: no front end could find them. time: what to ask for the next time.
    """
    asked = time.time() - CLOCK_SECONDS
    entries = await journal.entries(since=since, number=number)
    newest = {entry.cell_id: entry for entry in entries if entry.cell_id is not None}.values()
    if number is None:
        cells = [_summary(entry) for entry in newest]
    else:
        cells = [await asyncio.to_thread(_whole, entry) for entry in newest]
    return {"status": "ok", "cells": cells, "time": asked}


def _summary(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in ("cell_id", "number", "code", "request", "status", "runs", "ended")}


def _whole(entry: Entry) -> dict[str, Any]:
    # Not at the top: few kernels are ever asked, and for a schema of notebooks that is not used here nbformat reads all
    # grammars that jsonschema knows, for a second and 20 MB.
    import nbformat  # noqa: PLC0415

    from cellstack_kernel.recorder import Recorder  # noqa: PLC0415

    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(entry.code)])
    recorder = Recorder(node)
    recorder.begin(0)
    for kind, content, metadata in entry.shown():
        recorder.publish(kind, content, metadata=metadata)
    updates = [{"number": number, "request": request} for number, request in entry.updates.items()]
    return {**_summary(entry), "outputs": node.cells[0].outputs, "record": entry.record, "updates": updates}
