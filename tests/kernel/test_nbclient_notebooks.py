"""The notebooks of nbclient's own test suite give through this kernel what they give through ipykernel.

They come from the source distribution of the nbclient that is installed, fetched when the tests run. What is
compared follows `assert_notebooks_equal` in its tests/test_client.py: the outputs stored in the notebook,
without what differs from run to run.
"""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import importlib.metadata
import re
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import nbformat
import pytest
from nbclient import NotebookClient

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

KERNEL = "cellstack"

COMPARED: dict[str, dict[str, Any]] = {
    "Check History in Memory": {},
    "Clear Output": {},
    "Empty Cell": {},
    "Factorials": {},
    "HelloWorld": {},
    "Inline Image": {},
    "Interrupt": {"timeout": 3, "interrupt_on_timeout": True, "allow_errors": True},
    "JupyterWidgets": {},
    "Other Comms": {},
    "SVG": {},
    "Skip Exceptions": {"allow_errors": True},
    "Skip Exceptions with Cell Tags": {},
    "Skip Execution with Cell Tag": {},
    "Unicode": {},
    "UnicodePy3": {},
    "update-display-id": {},
}
# Looked at by a test of their own below.
SINGLE = {"Autokill", "Disable Stdin", "Error", "Sleep1s"}
# What cannot hold here, or is not expected of ipykernel either, and why.
NOT_RUN = {
    "Output": "nbclient has the file but runs it in no test",
    "Parallel Execute A": "A and B meet in a folder of the host that an environment variable names; a cell "
    "sees neither without a grant. That notebooks run side by side is shown with HelloWorld",
    "Parallel Execute B": "as Parallel Execute A",
}

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ADDRESS = re.compile(r"0x[0-9a-f]{7,}")
_INPUT = re.compile(
    r"(<ipython-input-\d+-[0-9a-f]+>|<IPY-INPUT>) in (<module>|<cell line: \d>\(\))"
    r"|((Cell|Input) In\s?\[\d+\]|<IPY-INPUT>), (in )?(line \d|<module>|<cell line: \d>\(\))"
)
# How many lines are shown around the one that raised depends on IPython's version.
_CONTEXT_LINE = re.compile(r"^ +\d+ .*\n?", re.MULTILINE)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the notebooks of nbclient's tests."""
    version = importlib.metadata.version("nbclient")
    folder = tmp_path_factory.mktemp("nbclient")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", "nbclient", "--dest", str(folder), f"nbclient=={version}"]
    fetched = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    if fetched.returncode != 0:
        last = (fetched.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"pip cannot fetch the source distribution of nbclient {version}: {last}")
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        # Python 3.11.2, Debian's, has no filters yet; the archive is the package index's.
        safe: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safe)
    return folder / f"nbclient-{version}" / "tests" / "files"


@pytest.fixture(autouse=True)
def terminal_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracebacks are laid out for the size that the stored ones have."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def client(path: Path, **options: Any) -> NotebookClient:
    """Return a client for the notebook without its outputs, run in its own folder by this kernel."""
    notebook = read(path)
    for cell in notebook.cells:
        cell.pop("execution_count", None)
        cell["outputs"] = []
    resources = {"metadata": {"path": str(path.parent)}}
    return NotebookClient(notebook, kernel_name=KERNEL, resources=resources, **options)


def normalized(output: dict[str, Any]) -> dict[str, Any]:
    """Return the output without what differs from one correct run to the next."""
    output = copy.deepcopy(dict(output))
    output.pop("metadata", None)
    if "text" in output:
        output["text"] = _ADDRESS.sub("<HEXADDR>", output["text"])
    if "traceback" in output:
        plain = [_INPUT.sub("<IPY-INPUT>", _ANSI.sub("", part)) for part in output["traceback"]]
        output["traceback"] = [_CONTEXT_LINE.sub("", part) for part in plain]
    data = output.get("data", {})
    if "text/plain" in data:
        data["text/plain"] = _ADDRESS.sub("<HEXADDR>", data["text/plain"])
    if "application/vnd.jupyter.widget-view+json" in data:
        data["application/vnd.jupyter.widget-view+json"]["model_id"] = "<MODEL_ID>"
    if "image/svg+xml" in data:
        data["image/svg+xml"] = ET.canonicalize(data["image/svg+xml"], strip_text=True)
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            data[kind] = "".join(data[kind].split())
    return output


def outcome(notebook: Any) -> list[tuple[int | None, list[dict[str, Any]]]]:
    """Return (execution count, outputs) of each cell."""
    return [(cell.get("execution_count"), [normalized(o) for o in cell.get("outputs", [])]) for cell in notebook.cells]


def test_every_notebook_of_nbclient_is_accounted_for(files: Path) -> None:
    assert {path.stem for path in files.glob("*.ipynb")} == {*COMPARED, *SINGLE, *NOT_RUN}


@pytest.mark.parametrize("name", COMPARED)
def test_outputs_are_those_stored_in_the_notebook(files: Path, name: str) -> None:
    path = files / f"{name}.ipynb"
    executed = client(path, **COMPARED[name]).execute()
    assert outcome(executed) == outcome(read(path))


def test_widget_state_is_saved(files: Path) -> None:
    executed = client(files / "JupyterWidgets.ipynb").execute()
    kind = "application/vnd.jupyter.widget-view+json"
    datas = [output.get("data", {}) for cell in executed.cells for output in cell.get("outputs", [])]
    models = [data[kind]["model_id"] for data in datas if kind in data]
    state = executed.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert models
    for model in models:
        assert {"model_name", "model_module", "state"} <= set(state[model])


def test_stdin_is_refused_when_the_client_has_none(files: Path) -> None:
    executed = client(files / "Disable Stdin.ipynb", allow_errors=True).execute()
    [output] = executed.cells[0].outputs
    assert output.ename == "StdinNotImplementedError"
    assert output.evalue == "raw_input was called, but this frontend does not support input requests."


def test_error_stops_the_notebook(files: Path) -> None:
    with pytest.raises(Exception, match="ZeroDivisionError"):
        client(files / "Error.ipynb").execute()


def test_timing_in_the_metadata_is_that_of_the_cell(files: Path) -> None:
    executed = client(files / "Sleep1s.ipynb").execute()

    def moment(text: str) -> dt.datetime:
        return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=dt.UTC)

    timing = executed.cells[1].metadata["execution"]
    started = moment(executed.cells[2].outputs[0].text)
    ended = moment(executed.cells[3].outputs[0].text)
    assert moment(timing["iopub.status.busy"]) <= started
    assert moment(timing["iopub.execute_input"]) <= ended
    assert moment(timing["shell.execute_reply"]) - ended < dt.timedelta(seconds=1)
    assert moment(timing["iopub.status.idle"]) - ended < dt.timedelta(seconds=1)


def test_cell_that_kills_its_process_leaves_the_kernel_alive(files: Path) -> None:
    """With ipykernel this notebook ends the kernel (DeadKernelError); here only the cell dies."""
    notebook = client(files / "Autokill.ipynb", allow_errors=True)
    notebook.nb.cells.append(nbformat.v4.new_code_cell("print('alive')"))  # type: ignore[no-untyped-call]
    killed, after = notebook.execute().cells
    assert [output.output_type for output in killed.outputs] == ["error"]
    assert "SIGTERM" in killed.outputs[0].evalue
    assert [output.text for output in after.outputs] == ["alive\n"]


def test_notebooks_run_side_by_side(files: Path) -> None:
    path = files / "HelloWorld.ipynb"

    async def run_all() -> list[Any]:
        return await asyncio.gather(*(client(path).async_execute() for _ in range(4)))

    assert [outcome(notebook) for notebook in asyncio.run(run_all())] == [outcome(read(path))] * 4
