"""`cellstack compare`: notebooks under plain ipykernel and under Cellstack, cell by cell."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import nbformat
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from rich.console import Console

from cellstack_kernel.cli.execute import Run, TerminatedError, signals
from cellstack_kernel.compare import Cell, Comparison, cells_of, compare_cells
from cellstack_kernel.files import Document
from cellstack_kernel.settings import Settings
from cellstack_runtime.cli.output import as_json, format_option, printable, table
from cellstack_runtime.errors import EXIT_FAILED, HostError, StoreError, UsageError
from cellstack_runtime.image import environment
from cellstack_runtime.limits import format_size
from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_COPY = 2**30  # bytes of a notebook's folder, which is copied for each run
NOT_COPIED = {".git", ".hg", ".ipynb_checkpoints", ".venv", "__pycache__"}
DIFF_LINES = 20
_QUIET = logging.getLogger("cellstack.compare")
_QUIET.setLevel(logging.CRITICAL)  # nbclient would log what is in the outputs anyway, as timeouts


@dataclass(frozen=True, slots=True)
class _Compared:
    """A notebook's comparison. notebook: as the person named it. seconds: of the first run under each kernel."""

    notebook: str
    comparison: Comparison
    seconds: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return it as `--format json` shows it."""
        return {
            "notebook": self.notebook,
            "cells": self.comparison.cells,
            "same": self.comparison.same,
            "varies": self.comparison.varies,
            "differs": [difference.as_json() for difference in self.comparison.differences],
            "seconds": self.seconds,
        }


@click.command()
@click.argument("notebooks", metavar="NOTEBOOK...", nargs=-1, required=True, type=click.Path())
@click.option("--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="Seconds of wall time of each cell.")
@format_option
def compare(notebooks: tuple[str, ...], timeout: int | None, style: str) -> None:
    """Run notebooks under ipykernel and under Cellstack and show which cells' outputs differ.

    Each run goes on after errors and has a copy of the notebook's folder to itself; files outside of that folder are
    reached under neither by a relative path. Under ipykernel the code runs as you and without a container: what it
    does to the host stays done, as a `%pip install`. A cell whose output is not the same twice under ipykernel
    "varies". Leaves with 1 when a cell differs.
    """
    documents = [Document.read(path) for path in notebooks]
    _require_ipykernel()
    results = []
    console = Console(stderr=True, highlight=False, markup=False)
    try:
        for path, document in zip(notebooks, documents, strict=True):
            results.append(_compared(path, document, timeout, console))
    except TerminatedError:
        click.get_current_context().exit(128 + signal.SIGTERM)
    cells = sum(result.comparison.cells for result in results)
    same = sum(result.comparison.same for result in results)
    if style == "json":
        as_json({"notebooks": [result.as_json() for result in results], "cells": cells, "same": same})
    else:
        _show(results, cells, same)
    if any(result.comparison.differs for result in results):
        click.get_current_context().exit(EXIT_FAILED)


def _compared(path: str, document: Document, timeout: int | None, console: Console) -> _Compared:
    with console.status(f"{printable(path)}: ipykernel"):
        expected, ipykernel_seconds = _under_ipykernel(document, timeout)
    with console.status(f"{printable(path)}: Cellstack"):
        got, cellstack_seconds = _under_cellstack(document, timeout)
    comparison = compare_cells(expected, got)
    if comparison.differs:
        with console.status(f"{printable(path)}: ipykernel once more, for what varies"):
            again, _ = _under_ipykernel(document, timeout)
        comparison = compare_cells(expected, got, again)
    return _Compared(path, comparison, {"ipykernel": ipykernel_seconds, "cellstack": cellstack_seconds})


# -- Running -------------------------------------------------------------------------------------------------------


def _require_ipykernel() -> None:
    try:
        _kernel_specs().get_kernel_spec(NATIVE_KERNEL_NAME)
    except NoSuchKernel:
        raise HostError(f"ipykernel is not installed in {sys.prefix}", hint="pip install ipykernel") from None


def _kernel_specs() -> KernelSpecManager:
    """Return what knows of the ipykernel of this environment, and of no kernel that is registered somewhere."""
    return KernelSpecManager(kernel_dirs=[])


def _under_ipykernel(document: Document, timeout: int | None) -> tuple[list[Cell], float]:
    with _copy(document) as copy:
        began = time.monotonic()
        asyncio.run(_run_ipykernel(copy, timeout))
        # The copy lies in the folder of temporary files, which need not be /tmp on the host.
        paths = [(os.path.dirname(copy.path), "/work"), *environment.current().roots(), (tempfile.gettempdir(), "/tmp")]  # noqa: S108
        return cells_of(copy.node, paths), round(time.monotonic() - began, 3)


async def _run_ipykernel(document: Document, seconds: int | None) -> None:
    """Run the cells, going on after errors; a kernel that dies is the error of its cell, and no further one runs."""
    for cell in document.node.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    manager = AsyncKernelManager(kernel_name=NATIVE_KERNEL_NAME, kernel_spec_manager=_kernel_specs())
    client = NotebookClient(
        document.node,
        km=manager,
        allow_errors=True,
        timeout=seconds,
        interrupt_on_timeout=True,
        log=_QUIET,
    )
    client.reset_execution_trackers()
    with signals():
        try:
            # Not nbclient's own `async_execute`: it takes Ctrl-C for a kernel that died.
            await _start(client, os.path.dirname(document.path))
            for index, cell in enumerate(document.node.cells):
                try:
                    await client.async_execute_cell(cell, index)
                except DeadKernelError:
                    task = asyncio.current_task()
                    if task is not None and task.cancelling():  # nbclient takes that for a death too
                        raise asyncio.CancelledError from None
                    cell.execution_count = client.code_cells_executed  # the message with it may be lost
                    died = {"ename": "DeadKernelError", "evalue": "the kernel died", "traceback": []}
                    cell.outputs.append(nbformat.v4.new_output("error", **died))  # type: ignore[no-untyped-call]
                    break
        finally:
            if client.kc is not None:
                client.kc.stop_channels()
            if manager.has_kernel:
                await manager.shutdown_kernel(now=True)


async def _start(client: NotebookClient, folder: str) -> None:
    """Start the kernel; what it writes itself, beside what cells write, is not shown."""
    try:
        await client.async_start_new_kernel(cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await client.async_start_new_kernel_client()
    except (OSError, RuntimeError) as error:
        raise HostError(
            f"ipykernel does not start: {printable(str(error))}",
            hint=f"`{sys.executable} -m ipykernel_launcher` says why",
        ) from None


def _under_cellstack(document: Document, timeout: int | None) -> tuple[list[Cell], float]:
    given = Settings(limits={} if timeout is None else {"timeout": str(timeout)})
    with _copy(document) as copy:
        run = Run(copy, given, {}, allow_errors=True, quiet=True)
        began = time.monotonic()
        try:
            asyncio.run(run.main((), None, None))
        finally:
            _forget(copy.path)
        if run.stopped:
            raise KeyboardInterrupt
        return cells_of(copy.node), round(time.monotonic() - began, 3)


def _forget(path: str) -> None:
    """Remove the sessions of the copy at `path`, and their layers unless an image or another session has them too."""
    store = Store.open()
    sessions = store.sessions()
    used = {layer for _, image in store.images() for layer in image.layers}
    used.update(cell["layer"] for other in sessions if other.notebook != path for cell in other.cells)
    for session in sessions:
        # A layer that is used stands on those below it: then all of them stay.
        if session.notebook == path and used.isdisjoint(cell["layer"] for cell in session.cells):
            store.remove_tree(session.path)
            for cell in reversed(session.cells):
                store.remove_layer(cell["layer"])


@contextlib.contextmanager
def _copy(document: Document) -> Iterator[Document]:
    """Give the notebook in a temporary copy of its folder; UsageError when that cannot be copied."""
    folder, name = os.path.split(document.path)
    with tempfile.TemporaryDirectory(prefix="cellstack-compare-", ignore_cleanup_errors=True) as made:
        made = os.path.realpath(made)  # noqa: PLW2901  as the kernel's working directory will be shown
        # The folder keeps its name, which a notebook may show.
        target = os.path.join(made, os.path.basename(folder) or "root")

        def left_out(inside: str, names: list[str]) -> set[str]:
            return {name for name in names if name in NOT_COPIED or not _can_copy(os.path.join(inside, name), made)}

        if _size(folder, left_out) > MAX_COPY:
            raise UsageError(
                f"the folder {folder} is larger than {format_size(MAX_COPY)}, too large to copy it for each run",
                hint="Move the notebook to a folder of its own, with what it needs",
            )
        try:
            shutil.copytree(folder, target, symlinks=True, ignore=left_out)
        except shutil.Error as error:
            source, _, why = error.args[0][0]
            raise UsageError(f"the folder {folder} cannot be copied: {source}: {why}") from None
        except OSError as error:
            raise StoreError(f"the folder {folder} cannot be copied to {made}: {error.strerror}") from None
        yield Document.read(os.path.join(target, name))


def _can_copy(path: str, made: str) -> bool:
    """Tell whether `path` is a file, folder or link, and not the folder of the copies itself."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # it has just gone
        return False
    return (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)) and os.path.realpath(path) != made


def _size(folder: str, left_out: Any) -> int:
    """Return how many bytes of files would be copied; counts no further than just over MAX_COPY."""
    total = 0
    for inside, folders, files in os.walk(folder):
        ignored = left_out(inside, [*folders, *files])
        folders[:] = [name for name in folders if name not in ignored]
        for name in files:
            if name not in ignored:
                with contextlib.suppress(FileNotFoundError):
                    total += os.lstat(os.path.join(inside, name)).st_size
        if total > MAX_COPY:
            break
    return total


# -- Showing -------------------------------------------------------------------------------------------------------


def _show(results: Sequence[_Compared], cells: int, same: int) -> None:
    rows = []
    for result in results:
        found = result.comparison
        rows.append((result.notebook, *map(str, (found.cells, found.same, found.varies, found.differs))))
    table(("NOTEBOOK", "CELLS", "SAME", "VARIES", "DIFFERS"), rows)
    for result in results:
        for one in result.comparison.differences:
            what = f"{one.what} {one.stream}".rstrip()
            click.echo(f"\n{printable(result.notebook)}, cell {one.index} [{one.execution_count}]: {what}")
            for line in _diff(one.expected, one.got):
                click.echo(f"  {printable(line)}")
    share = f" ({100 * same / cells:.1f} %)" if cells else ""
    click.echo(f"\n{same} of {cells} cells the same{share}")


def _diff(expected: str, got: str) -> list[str]:
    lines = list(
        difflib.unified_diff(expected.splitlines(), got.splitlines(), "ipykernel", "cellstack", n=1, lineterm="")
    )
    if not lines:
        return ["(only the ends of lines differ)"]
    left = len(lines) - DIFF_LINES
    return lines if left <= 0 else [*lines[:DIFF_LINES], f"… and {left} more lines; --format json has them all"]
