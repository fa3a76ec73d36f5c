"""A front end that was away brings its notebook up to date."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from tests.kernels import control

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kernels import Running

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

CELLS = {
    "print('one'); print('two')": "one\ntwo\n",
    "import time; print('begins', flush=True); time.sleep(1); print('ends')": "begins\nends\n",
    "1 / 0": "ZeroDivisionError",
}


def texts(cell: Any) -> str:
    return "".join(output.get("text", output.get("ename", "")) for output in cell.outputs)


def listed(cellstack: Run, kernel: Running, statuses: list[str]) -> list[dict[str, Any]]:
    """Return what is kept, once the cells have ended so."""
    found: list[dict[str, Any]] = []
    while [entry["status"] for entry in found] != statuses:
        time.sleep(0.2)
        found = json.loads(cellstack("outputs", kernel.notebook, "--format", "json").stdout)
    return found


def test_outputs_that_nobody_has_taken_are_put_into_the_notebook(kernel: Running, cellstack: Run) -> None:
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS])
    nbformat.write(node, kernel.notebook)
    kernel.run("import sys")
    for code in CELLS:
        kernel.client.execute(code, stop_on_error=False)
    kernel.client.stop_channels()  # the browser is closed
    found = listed(cellstack, kernel, ["ok", "ok", "ok", "error"])
    assert [entry["index"] for entry in found] == [None, 0, 1, 2]
    kernel.connect()
    result = cellstack("outputs", kernel.notebook, "-o", kernel.notebook)
    assert (result.returncode, result.stderr) == (0, f"3 cells brought up to date: {kernel.notebook}\n")
    cells = nbformat.read(kernel.notebook, 4).cells
    assert {cell.source: texts(cell) for cell in cells} == CELLS
    assert [cell.execution_count for cell in cells] == [2, 3, 4]


def test_too_many_outputs_are_not_kept_and_it_is_said(kernel: Running, cellstack: Run, tmp_path: Path) -> None:
    code = "for _ in range(9): print('x' * 2**20)"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), kernel.notebook)
    kernel.run(code)
    listed(cellstack, kernel, ["ok"])
    cellstack("outputs", kernel.notebook, "-o", tmp_path / "out.ipynb")
    [kept, said] = nbformat.read(tmp_path / "out.ipynb", 4).cells[0].outputs
    assert len(kept.text) < 8 * 2**20
    assert said.text.endswith(" bytes of outputs that followed were too many to keep\n")


def start(kernel: Running, code: str, cell_id: str) -> str:
    """Run a cell as JupyterLab does; return the request's id."""
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    message = kernel.client.session.msg("execute_request", content, metadata={"cellId": cell_id})
    kernel.client.shell_channel.send(message)
    request: str = message["header"]["msg_id"]
    return request


def status(kernel: Running, request: str) -> list[tuple[str, str]]:
    """Return which requests the kernel was busy or idle with, until it is idle with this one."""
    found: list[tuple[str, str]] = []
    while ("idle", request) not in found:
        message = kernel.client.get_iopub_msg(timeout=60)
        if message["msg_type"] == "status":
            found.append((message["content"]["execution_state"], message["parent_header"].get("msg_id")))
    return found


def test_a_front_end_is_told_of_a_running_cell_all_that_it_has_put_out(kernel: Running) -> None:
    code = "import time\nprint('begun', flush=True)\ntime.sleep(600)"
    request = start(kernel, code, "a")
    while kernel.client.get_iopub_msg(timeout=60)["content"].get("text") != "begun\n":
        pass
    before = time.time() + 3600
    [listed] = control(kernel, "cellstack_outputs_request", {"since": before})["cells"]
    shared = {"cell_id": "a", "number": 1, "code": code, "request": request}
    assert listed == {**shared, "status": None, "runs": True, "ended": None}
    [cell] = control(kernel, "cellstack_outputs_request", {"number": 1})["cells"]
    assert cell["outputs"] == [{"output_type": "stream", "name": "stdout", "text": "begun\n"}]
    kernel.manager.interrupt_kernel()
    assert ("busy", request) in status(kernel, request)  # after the answer's idle: the cell runs on
    [cell] = control(kernel, "cellstack_outputs_request", {"number": 1})["cells"]
    assert (cell["status"], cell["runs"], cell["record"]["exit"]["reason"]) == ("error", False, "interrupt")
    assert [output["output_type"] for output in cell["outputs"]] == ["stream", "error"]
    assert control(kernel, "cellstack_outputs_request", {"since": before})["cells"] == []


def look(client: Any) -> Any:
    """Ask for outputs as a page does that is loaded or connected anew; return the question that is open."""
    sent = client.session.msg("cellstack_outputs_request", {"since": 0.0})
    client.control_channel.send(sent)
    while (reply := client.get_control_msg(timeout=60))["parent_header"].get("msg_id") != sent["header"]["msg_id"]:
        pass
    return reply["content"]["question"]


def answer(client: Any, value: str, question: Any) -> None:
    """Answer as JupyterLab does, which says what."""
    client.stdin_channel.send(client.session.msg("input_reply", {"value": value}, parent=question))


def asked(client: Any) -> tuple[str, str]:
    """Return what the client is sent about questions next."""
    message = client.get_stdin_msg(timeout=60)
    return message["msg_type"], message["content"].get("prompt") or message["content"]["question"]


@pytest.fixture
def later(kernel: Running) -> Iterator[Any]:
    """Return a client of its own session, as another page has one."""
    client: Any = BlockingKernelClient(connection_file=kernel.manager.connection_file)
    client.load_connection_file()
    client.start_channels()
    yield client
    client.stop_channels()


def test_a_front_end_that_comes_later_is_told_what_a_cell_asks(kernel: Running, later: Any) -> None:
    request = kernel.client.execute("input('one? ') + input('two? ')", allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=60)
    for _ in range(2):  # however often it looks, as it may have lost the answer
        question = look(later)
        assert (question["content"]["prompt"], question["parent_header"]["msg_id"]) == ("one? ", request)
    later.input("first ")
    assert asked(later) == ("input_request", "two? ")
    later.input("second")
    while (reply := kernel.client.get_shell_msg(timeout=60))["parent_header"].get("msg_id") != request:
        pass
    assert reply["content"]["status"] == "ok"
    assert look(later) is None
    assert not later.stdin_channel.msg_ready()
    assert asked(kernel.client) == ("input_request", "two? ")
    assert not kernel.client.stdin_channel.msg_ready()  # it has not looked on, and knows no other message
    assert kernel.run("_")[1] == ["'first second'"]


def test_an_answer_counts_for_the_question_that_it_is_to(kernel: Running, later: Any) -> None:
    look(kernel.client)
    kernel.client.execute("input('one? ') + input('two? ')", allow_stdin=True)
    one = kernel.client.get_stdin_msg(timeout=60)
    answer(later, "first ", look(later))
    assert asked(kernel.client) == ("cellstack_question_over", one["header"]["msg_id"])
    two = kernel.client.get_stdin_msg(timeout=60)
    answer(kernel.client, "late", one)
    answer(kernel.client, "second", two)
    assert asked(later) == ("input_request", "two? ")
    assert asked(later) == ("cellstack_question_over", two["header"]["msg_id"])
    assert kernel.run("_")[1] == ["'first second'"]


def test_a_question_that_is_given_up_is_over(kernel: Running) -> None:
    look(kernel.client)
    request = kernel.client.execute("input('one? ')", allow_stdin=True)
    one = kernel.client.get_stdin_msg(timeout=60)
    kernel.manager.interrupt_kernel()
    assert asked(kernel.client) == ("cellstack_question_over", one["header"]["msg_id"])
    status(kernel, request)


def test_a_kernel_that_was_restarted_tells_of_the_newest_run_of_a_cell(kernel: Running) -> None:
    status(kernel, start(kernel, "1", "other"))
    status(kernel, start(kernel, "print('old')", "a"))
    kernel.again(now=False)
    status(kernel, start(kernel, "print('new')", "a"))
    cells = control(kernel, "cellstack_outputs_request")["cells"]
    found = [(cell["cell_id"], cell["number"], cell["code"]) for cell in cells]
    assert found == [("other", 1, "1"), ("a", 1, "print('new')")]
    [cell, _] = control(kernel, "cellstack_outputs_request", {"number": 1})["cells"]
    assert cell["outputs"][0]["data"]["text/plain"] == "1"
    started = start(kernel, "import time\nprint('begun', flush=True)\ntime.sleep(600)", "b")
    while kernel.client.get_iopub_msg(timeout=60)["content"].get("text") != "begun\n":
        pass
    cells = control(kernel, "cellstack_outputs_request", {"since": time.time() + 3600})["cells"]
    assert [(cell["cell_id"], cell["runs"]) for cell in cells] == [("b", True)]  # number 2 of the first is long over
    kernel.manager.interrupt_kernel()
    status(kernel, started)


def test_an_outputs_request_that_makes_no_sense_is_answered(kernel: Running) -> None:
    assert "since is no number" in control(kernel, "cellstack_outputs_request", {"since": "now"})["evalue"]
    assert control(kernel, "cellstack_outputs_request", {"number": 7})["cells"] == []


def test_what_an_output_widget_takes_is_not_shown_as_the_cells_own(kernel: Running) -> None:
    code = "import ipywidgets\nout = ipywidgets.Output()\nprint('1')\nwith out:\n    print('inside')\nprint('2')"
    status(kernel, start(kernel, code, "a"))
    status(kernel, start(kernel, "with out:\n    print('inside')\nprint('3')", "b"))
    for number, text in ((1, "1\n2\n"), (2, "3\n")):
        [cell] = control(kernel, "cellstack_outputs_request", {"number": number})["cells"]
        assert [output["text"] for output in cell["outputs"]] == [text]


def test_a_display_is_brought_up_to_date_that_a_later_cell_has_updated(kernel: Running, cellstack: Run) -> None:
    cells = ["h = display('start', display_id='h')", "h.update('end')"]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells]), kernel.notebook)
    status(kernel, start(kernel, cells[0], "a"))
    status(kernel, start(kernel, cells[1], "b"))
    [cell] = control(kernel, "cellstack_outputs_request", {"number": 1})["cells"]
    assert cell["outputs"][0]["data"]["text/plain"] == "'end'"
    cellstack("outputs", kernel.notebook, "-o", kernel.notebook)
    [shown] = nbformat.read(kernel.notebook, 4).cells[0].outputs
    assert shown.data["text/plain"] == "'end'"
