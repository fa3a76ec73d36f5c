"""`cellstack execute`: a notebook headless, a container per cell."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cellstack_kernel.cache import HIT
from cellstack_kernel.files import Document, is_executed, output_path
from cellstack_kernel.magics import check_tag, tag_layer
from cellstack_kernel.notebook import Notebook
from cellstack_kernel.recorder import Recorder
from cellstack_kernel.runs import Request
from cellstack_kernel.settings import Settings
from cellstack_runtime.cli.containers import parse_env
from cellstack_runtime.cli.output import printable
from cellstack_runtime.errors import EXIT_FAILED, UsageError
from cellstack_runtime.extract import copy_out
from cellstack_runtime.limits import format_size
from cellstack_runtime.store import Store
from cellstack_runtime.store.tags import split_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RAISES = "raises-exception"  # a tag of nbclient and nbconvert


@click.command()
@click.argument("notebook", type=click.Path())
@click.option("--output", "-o", help="Write the executed notebook here; - is standard output.")
@click.option(
    "--parameter", "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Set a variable, as papermill."
)
@click.option("--image", metavar="REF", help="Image the cells run in.")
@click.option("--memory", "-m", help="Memory limit of each cell, as 512m.")
@click.option("--cpus", help="Number of CPUs, as 1.5.")
@click.option("--pids", "--pids-limit", "pids", help="Most processes and threads.")
@click.option("--timeout", help="Seconds of wall time of each cell.")
@click.option("--network", help="Network of the cells: none.")
@click.option("--context", help="How /work sees the notebook's folder: ro, rw or none.")
@click.option("--env", "-e", multiple=True, metavar="NAME[=VALUE]", help="Environment variable, as docker.")
@click.option("--mount", "-v", "mounts", multiple=True, metavar="HOST:CTR[:ro]", help="Show a host path to cells.")
@click.option("--copy-out", "copies", multiple=True, metavar="CTR:HOST", help="Copy a file or folder out at the end.")
@click.option("--cache", is_flag=True, help="Take cells from the cache that have run before with the same inputs.")
@click.option("--tag", metavar="NAME[:TAG]", help="Make the last layer an image.")
@click.option("--allow-errors", is_flag=True, help="Go on after a cell that failed.")
@click.option(
    "--format", "style", type=click.Choice(["text", "json"]), default="text", help="json: a report on stdout."
)
def execute(
    notebook: str,
    output: str | None,
    parameters: tuple[str, ...],
    env: tuple[str, ...],
    mounts: tuple[str, ...],
    copies: tuple[str, ...],
    cache: bool,
    tag: str | None,
    allow_errors: bool,
    style: str,
    **options: Any,
) -> None:
    """Run a notebook with every cell in a new container; leaves with 1 when a cell fails."""
    if tag is not None:
        split_reference(tag)
    targets = [_copy(text) for text in copies]
    document = Document.read(notebook)
    document.set_parameters(parameters)
    limits = {name: options[name] for name in ("memory", "cpus", "pids", "timeout", "network")}
    given = Settings(
        image=options["image"],
        limits={name: value for name, value in limits.items() if value is not None},
        context=options["context"],
        mounts=mounts,
    )
    target = None if output is None else output_path(output)
    run = Run(document, given, parse_env(env), allow_errors=allow_errors, quiet=style == "json" or output == "-")
    run.cached = cache
    try:
        report = asyncio.run(run.main(targets, tag, target))
    except TerminatedError:
        click.get_current_context().exit(128 + signal.SIGTERM)
    if style == "json":
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    if run.failure is not None:
        click.echo(f"cellstack: {run.failure}", err=True)
        click.get_current_context().exit(EXIT_FAILED)


def _copy(text: str) -> tuple[str, str]:
    source, separator, target = text.partition(":")
    if not separator or not source or not target:
        raise UsageError(
            f"--copy-out {text!r} is not CONTAINER:HOST", hint="For example --copy-out /work/out.csv:out.csv"
        )
    return source if source.startswith("/") else f"/work/{source}", target


class TerminatedError(Exception):
    """SIGTERM."""


class Run:
    """One execution; `failure` is what went wrong in a cell, in a sentence; `stopped`: by Ctrl-C."""

    def __init__(
        self, document: Document, given: Settings, env: dict[str, str], *, allow_errors: bool, quiet: bool
    ) -> None:
        self.document = document
        self.failure: str | None = None
        self._given = given
        self._env = env
        self._allow_errors = allow_errors
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.stopped = False
        self.cached = False

    async def main(self, copies: Sequence[tuple[str, str]], tag: str | None, output: str | None) -> dict[str, Any]:
        """Run the cells, bring out what is wanted, write the notebook; return the report."""
        began = time.monotonic()
        if tag is not None:
            check_tag(tag)  # before cells run for hours
        with signals() as on_interrupt:
            notebook = await Notebook.open(
                Store.open(),
                path=self.document.path,
                asked=Settings.from_metadata(self.document.metadata),
                given=self._given,
                env=self._env,
                progress=lambda text: click.echo(text, err=True),
            )
            try:
                recorder = Recorder(self.document.node, notebook.executor)
                notebook.cache.on = self.cached
                notebook.cache.leave_out([target for _, target in copies] + ([output] if output else []))
                await notebook.settle_wishes(recorder)
                on_interrupt(lambda: self._interrupt(notebook))
                try:
                    records = await self._cells(notebook, recorder)
                except asyncio.CancelledError:
                    self._write(recorder, output)
                    raise
                await notebook.workspace.settled()
                self._write(recorder, output)
                for source, target in copies:
                    copy_out(
                        notebook.workspace.store, notebook.workspace.image, notebook.workspace.head, source, target
                    )
                if tag is not None and self.failure is None:
                    self._say(tag_layer(notebook, tag, notebook.workspace.head))
            finally:
                await notebook.close()
        seconds = round(time.monotonic() - began, 3)
        self._say(f"{len(records)} cells in {seconds:.1f} s" + (f": {output}" if output not in (None, "-") else ""))
        return {
            "notebook": self.document.path,
            "image": notebook.workspace.image.id,
            "status": "ok" if self.failure is None else "error",
            "seconds": seconds,
            "cells": records,
        }

    def _write(self, recorder: Recorder, output: str | None) -> None:
        if output is not None:
            recorder.finish()
            self.document.write(output)

    def _interrupt(self, notebook: Notebook) -> None:
        """Interrupt the cell; a second time kills it. No further one runs."""
        self.stopped = True
        notebook.executor.interrupt()

    async def _cells(self, notebook: Notebook, recorder: Recorder) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = []
        chosen = [(index, cell) for index, cell in enumerate(self.document.node.cells) if is_executed(cell)]
        for index, cell in enumerate(self.document.node.cells):
            if cell.cell_type == "code":
                recorder.clear(index)
        with self._progress(len(chosen)) as step:
            for number, (index, cell) in enumerate(chosen, 1):
                recorder.begin(index)
                request = Request(
                    code=cell.source,
                    number=number,
                    cell_id=cell.get("id"),
                    parent={"shell": {"header": {"msg_id": recorder.parent}, "idents": []}},
                    tags=tuple(cell.metadata.get("tags", ())),
                )
                outcome = await notebook.execute(request, recorder)
                await recorder.tell_widgets()
                cell.execution_count = outcome.content.get("execution_count", number)
                record = {"index": index, **outcome.record}
                records.append(record)
                step(number, cell.source, record)
                if outcome.content["status"] != "ok" and not self._goes_on(cell):
                    what = f"{outcome.content['ename']}: {outcome.content['evalue']}".strip().splitlines()[0]
                    self.failure = f"cell {number} failed: {printable(what)}"
                    self._show(outcome.content["traceback"])
                    break
        return records

    def _goes_on(self, cell: Any) -> bool:
        return not self.stopped and (self._allow_errors or RAISES in cell.metadata.get("tags", ()))

    @contextlib.contextmanager
    def _progress(self, total: int) -> Iterator[Any]:
        if self._quiet or not self._console.is_terminal:
            yield lambda number, source, record: self._say(_line(number, total, source, record))
            return
        columns = (TextColumn("[bold]{task.completed:>3.0f}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("{task.description}"), console=self._console, transient=True) as progress:
            task = progress.add_task("", total=total)

            def step(number: int, source: str, record: dict[str, Any]) -> None:
                progress.console.print(_line(number, total, source, record), markup=False)
                progress.update(task, advance=1)

            yield step

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, markup=False)

    def _show(self, traceback: Sequence[str]) -> None:
        """Show the error of the cell that ended the run; its colours only on a terminal, nothing else of its codes."""
        text = "\n".join(traceback)
        click.echo(_sanitized(text, colours=sys.stderr.isatty()), err=True)


def _sanitized(text: str, *, colours: bool) -> str:
    """Return text out of a container for a terminal: lines and, where wanted, colours, and no other control codes."""
    import re  # noqa: PLC0415

    pieces = re.split(r"(\x1b\[[0-9;]*m)", text)
    shown = []
    for place, piece in enumerate(pieces):
        if place % 2:
            shown.append(piece if colours else "")
        else:
            shown.append("".join(char if char.isprintable() or char in "\n\t" else "�" for char in piece))
    return "".join(shown)


def _line(number: int, total: int, source: str, record: dict[str, Any]) -> str:
    changes = record["changes"]
    first = printable(source.strip().splitlines()[0])[:48]
    width = len(str(total))
    numbers = f"{record['wall_seconds']:6.2f} s  {format_size(record['memory_peak_bytes']):>8}"
    files = f"+{changes['added']} ~{changes['changed']} -{changes['deleted']}"
    if record["cache"] == HIT:
        numbers = f"{'from the cache':>{len(numbers)}}"
    return f"[{number:>{width}}/{total}] {record['status']:6}  {numbers}  {files:12}  {first}"


@contextlib.contextmanager
def signals() -> Iterator[Any]:
    """Let Ctrl-C and SIGTERM cancel what runs, so that all is cleaned up; give a way to change what Ctrl-C does."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    actions = [task.cancel]
    terminated: list[bool] = []

    def interrupt() -> None:
        actions[-1]()

    def terminate() -> None:
        terminated.append(True)
        task.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        yield actions.append
    except asyncio.CancelledError:
        raise (TerminatedError if terminated else KeyboardInterrupt) from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)
