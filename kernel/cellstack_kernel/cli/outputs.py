"""`cellstack outputs`: what a notebook's cells have put out while no front end was there to take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cellstack_kernel.files import Document, output_path
from cellstack_kernel.journal import read
from cellstack_kernel.recorder import Recorder
from cellstack_runtime.cli.output import as_json, format_option, table
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from cellstack_kernel.journal import Entry

OPEN = "not ended"


@click.command()
@click.argument("notebook", type=click.Path())
@click.option("-o", "--output", metavar="OUT", help="Write the notebook with these outputs; `-` for standard output.")
@click.option("--session", metavar="ID", help="Take another session than the notebook's newest (`cellstack layers`).")
@format_option
def outputs(notebook: str, output: str | None, session: str | None, style: str) -> None:
    """Show what a notebook's cells have put out, and bring the notebook up to date with it (-o).

    The kernel keeps the outputs of the last 200 cells, so that none is lost when the browser was closed meanwhile.
    """
    document = Document.read(notebook)
    target = None if output is None else output_path(output)
    entries = read(Store.open().session(session or document.path).path)
    placed = _placed(document.node.cells, entries)
    if target is not None:
        _fill(document, placed)
        document.write(target)
    if style == "json":
        as_json([_summary(entry, placed) for entry in entries])
    elif target is None:
        rows = [_row(_summary(entry, placed)) for entry in entries]
        table(("CELL", "STATUS", "OUTPUTS", "IN THE NOTEBOOK", "CODE"), rows)
    else:
        click.echo(f"{len(placed)} cells brought up to date: {output}", err=True)


def _placed(cells: list[Any], entries: list[Entry]) -> dict[int, Entry]:
    """Return the newest entry of each cell of the notebook, by the cell's place: by its id, else by its code."""
    found = {}
    for entry in entries:
        code = [place for place, cell in enumerate(cells) if cell.cell_type == "code" and cell.source == entry.code]
        same = [place for place in code if entry.cell_id is not None and cells[place].get("id") == entry.cell_id]
        for place in same or (code if len(code) == 1 else ()):
            found[place] = entry
    return found


def _fill(document: Document, placed: dict[int, Entry]) -> None:
    recorder = Recorder(document.node)
    for place, entry in sorted(placed.items(), key=lambda item: item[1].written):
        recorder.clear(place)
        recorder.begin(place)
        for kind, content, metadata in entry.shown():
            recorder.publish(kind, content, metadata=metadata)
        document.node.cells[place].execution_count = entry.number


def _summary(entry: Entry, placed: dict[int, Entry]) -> dict[str, Any]:
    places = [place for place, other in placed.items() if other is entry]
    return {
        "number": entry.number,
        "status": entry.status,
        "outputs": len(entry.outputs),
        "left_out": entry.left_out,
        "index": places[0] if places else None,
        "code": entry.code,
    }


def _row(summary: dict[str, Any]) -> tuple[str, ...]:
    code = summary["code"].strip().splitlines()
    place = "no" if summary["index"] is None else f"cell {summary['index'] + 1}"
    return str(summary["number"]), summary["status"] or OPEN, str(summary["outputs"]), place, (code or [""])[0][:50]
