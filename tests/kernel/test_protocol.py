"""What front ends ask of a kernel besides cells: subshells, history, usage, probes, completion, interrupts, streams."""

from __future__ import annotations

import ast
import re
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from tests.kernels import PATIENCE, Running, control

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

PROBE = {"store_history": False, "stop_on_error": False}
ENDLESS = "class A:\n    def __dir__(self):\n        while True: pass\na = A()"


def start(kernel: Running, code: str, subshell: str | None = None) -> str:
    """Ask for a cell and return the request's id."""
    message = kernel.client.session.msg("execute_request", {"code": code, "allow_stdin": True})
    message["header"]["subshell_id"] = subshell
    kernel.client.shell_channel.send(message)
    return str(message["header"]["msg_id"])


def reply_to(kernel: Running, request: str) -> dict[str, Any]:
    while True:
        reply: dict[str, Any] = kernel.client.get_shell_msg(timeout=PATIENCE)
        if reply["parent_header"]["msg_id"] == request:
            return reply


def outputs_of(kernel: Running, request: str) -> list[dict[str, Any]]:
    """Return what was published for a request until it was done."""
    found: list[dict[str, Any]] = []
    while True:
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return found
        found.append(message)


def text_of(messages: list[dict[str, Any]]) -> str:
    return "".join(message["content"]["text"] for message in messages if message["msg_type"] == "stream")


def layer_of(reply: dict[str, Any]) -> tuple[str | None, str | None]:
    record = reply["metadata"]["cellstack"]
    return record["parent"], record["layer"]


def complete(kernel: Running, code: str) -> list[str]:
    reply = kernel.client.complete(code, reply=True, timeout=PATIENCE)
    return list(reply["content"]["matches"])


# -- subshells -----------------------------------------------------------------------------------------------------


def test_cell_of_a_subshell_runs_beside_the_notebooks_and_its_result_too(kernel: Running) -> None:
    kernel.run("x = 1")
    subshell = control(kernel, "create_subshell_request")["subshell_id"]
    long = start(kernel, "import time; time.sleep(3); x = 2")
    short = start(kernel, "y = x + 10; print(y)", subshell)
    beside = reply_to(kernel, short)
    after = reply_to(kernel, long)
    assert beside["header"]["date"] < after["header"]["date"]
    parent, layer = layer_of(beside)
    assert layer_of(after)[0] == parent
    assert kernel.run("x, 'y' in globals()")[1] == ["(2, False)"]
    kernel.run(f"%checkout {layer}")
    assert kernel.run("x, y")[1] == ["(1, 11)"]


def test_what_a_subshell_does_while_no_cell_runs_is_the_notebooks(kernel: Running) -> None:
    subshell = control(kernel, "create_subshell_request")["subshell_id"]
    reply_to(kernel, start(kernel, "z = 5", subshell))
    assert kernel.run("z")[1] == ["5"]
    assert control(kernel, "list_subshell_request")["subshell_id"] == [subshell]
    assert control(kernel, "delete_subshell_request", {"subshell_id": subshell})["status"] == "ok"
    assert reply_to(kernel, start(kernel, "1", subshell))["content"]["status"] == "error"


def test_an_interrupt_is_for_the_notebooks_cell_and_for_subshells_when_there_is_none(kernel: Running) -> None:
    subshell = control(kernel, "create_subshell_request")["subshell_id"]
    endless = "print('goes', flush=True)\nwhile True: pass"
    beside, main = start(kernel, endless, subshell), start(kernel, endless)
    going: set[str] = set()
    while going != {beside, main}:
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "stream":
            going.add(message["parent_header"]["msg_id"])
    for request in (main, beside):
        assert control(kernel, "interrupt_request")["status"] == "ok"
        reply = reply_to(kernel, request)
        assert (reply["content"]["status"], reply["content"]["ename"]) == ("error", "KeyboardInterrupt")


# -- probes --------------------------------------------------------------------------------------------------------


def test_probe_that_changes_nothing_leaves_no_layer(kernel: Running) -> None:
    kernel.run("x = 1")
    parent, layer = layer_of(kernel.client.execute_interactive("print(x)", timeout=PATIENCE, **PROBE))
    assert layer == parent
    parent, layer = layer_of(kernel.client.execute_interactive("def probe(): return x", timeout=PATIENCE, **PROBE))
    assert layer != parent
    assert kernel.run("probe()")[1] == ["1"]


def test_inputs_have_cells_that_the_host_has_answered_and_those_that_were_killed(kernel: Running) -> None:
    kernel.run("%layers")
    kernel.run("import os; os.abort()")
    kernel.run("%limits nothing=1")
    _, (last,) = kernel.run("print([_i, _ii, _iii])")
    assert ast.literal_eval(last) == ["%limits nothing=1", "import os; os.abort()", "%layers"]
    _, (inputs,) = kernel.run("print(In[:4])")
    python = ["get_ipython().run_line_magic('layers', '')", "get_ipython().run_line_magic('limits', 'nothing=1')"]
    assert ast.literal_eval(inputs) == ["", python[0], "import os; os.abort()", python[1]]


def test_lines_are_counted_and_kept_as_typed_below_host_magics(kernel: Running) -> None:
    cells = ["%layers\n%%container memory=1g\n\nx = 1\n1/0", "%%container memory=1g\n%%time\nx = 2", "%%sh\n\ntrue"]
    shown: list[str] = []
    kernel.client.execute_interactive(cells[0], output_hook=lambda m: shown.extend(m["content"].get("traceback", ())))
    assert "line 5" in re.sub(r"\x1b\[[\d;]*m", "", "".join(shown))
    for code in cells[1:]:
        kernel.run(code)
    shown = kernel.run("%history")[1]
    assert "".join(shown) == "\n".join([*cells, "%history\n"])
    assert kernel.run("_i1 + _i3")[1] == [repr(cells[0] + cells[2])]
    assert kernel.run("x")[1] == ["2"]


@pytest.mark.parametrize("number", [None, 3])
def test_a_request_whose_id_is_no_text_is_answered(kernel: Running, number: int | None) -> None:
    content = {"code": "1 + 1", "user_expressions": {"a": 5, "b": "3"}}
    message = kernel.client.session.msg("execute_request", content)
    message |= {"parent_header": "text", "metadata": {"cellId": 5}}
    message["header"]["msg_id"] = number
    kernel.client.shell_channel.send(message)
    while (reply := kernel.client.get_shell_msg(timeout=PATIENCE))["msg_type"] != "execute_reply":
        pass
    assert reply["parent_header"]["msg_id"] == number
    found = reply["content"]["user_expressions"]
    assert (reply["content"]["status"], found["a"]["status"], found["b"]["data"]["text/plain"]) == ("ok", "error", "3")


# -- questions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "shown"),
    [({"value": 5}, "5"), ({"value": ["a"]}, "['a']"), ({"value": None}, "EOFError"), ({}, "EOFError")],
)
def test_an_answer_that_is_no_text_ends_a_question(kernel: Running, content: dict[str, Any], shown: str) -> None:
    request = start(kernel, "try:\n    print(input())\nexcept EOFError:\n    print('EOFError')")
    asked = kernel.client.get_stdin_msg(timeout=PATIENCE)
    kernel.client.stdin_channel.send(kernel.client.session.msg("input_reply", content, parent=asked))
    assert text_of(outputs_of(kernel, request)) == f"{shown}\n"


# -- history -------------------------------------------------------------------------------------------------------


def test_history_is_that_of_earlier_kernels_too(kernel: Running, tmp_path: Path) -> None:
    mark = f"'{tmp_path.name} {time.time_ns()}'"  # the store may be one of many runs
    kernel.run(mark)
    kernel.close()
    again = Running(tmp_path / "other.ipynb")
    try:
        again.run("2")
        found = again.client.history(pattern=mark, hist_access_type="search", reply=True, timeout=PATIENCE)
        assert [text for _, _, text in found["content"]["history"]] == [mark]
        now = again.client.history(hist_access_type="range", session=0, reply=True, timeout=PATIENCE)
        assert now["content"]["history"] == [[0, 1, "2"]]
        before = again.client.history(hist_access_type="tail", n=2, reply=True, timeout=PATIENCE)["content"]["history"]
        assert [text for _, _, text in before][-1] == "2"
    finally:
        again.close()


def test_history_counts_from_the_end_and_gives_a_cell_as_python(kernel: Running) -> None:
    for code in ("1", "%time 2\n", "3"):
        kernel.run(code)

    def found(**request: Any) -> list[Any]:
        reply = kernel.client.history(**request, reply=True, timeout=PATIENCE)
        return [text for *_, text in reply["content"]["history"]]

    assert found(hist_access_type="range", session=0, start=-2) == ["%time 2", "3"]
    python = "get_ipython().run_line_magic('time', '2')"
    assert found(hist_access_type="range", session=0, start=2, stop=3, raw=False) == [python]
    assert found(hist_access_type="tail", n=2, raw=False) == [python, "3"]


def test_history_has_the_results_of_this_session(kernel: Running) -> None:
    for code in ("a = 1", "a + 1", "'x' * 100_000"):
        kernel.run(code)
    request = {"hist_access_type": "range", "session": 0, "output": True}
    reply = kernel.client.history(**request, reply=True, timeout=PATIENCE)["content"]["history"]
    assert reply[:2] == [[0, 1, ["a = 1", None]], [0, 2, ["a + 1", "2"]]]
    assert 1000 < len(reply[2][2][1]) < 10_000


# -- shutdown ------------------------------------------------------------------------------------------------------


def test_a_cell_that_runs_when_the_kernel_is_shut_down_says_so(kernel: Running) -> None:
    request = start(kernel, "import time\nprint('there')\ntime.sleep(600)")
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
        pass
    assert control(kernel, "shutdown_request", {"restart": False})["status"] == "ok"
    reply = reply_to(kernel, request)["content"]
    assert (reply["ename"], reply["evalue"].split(". ")[0]) == ("CellKilled", "cell was ended with its kernel")


def test_a_cell_that_is_interrupted_and_then_ended_with_its_kernel_shows_the_interrupt_alone(kernel: Running) -> None:
    slow = "class Slow:\n    def __reduce__(self): time.sleep(600)\nslow = Slow()"  # which keeps the cell when it ends
    request = start(kernel, f"import time\n{slow}\nprint('there')\ntime.sleep(600)")
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
        pass
    kernel.manager.interrupt_kernel()
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "error":
        pass
    assert control(kernel, "shutdown_request", {"restart": True})["status"] == "ok"
    assert reply_to(kernel, request)["content"]["ename"] == "KeyboardInterrupt"
    assert outputs_of(kernel, request) == []


def test_a_cell_that_comes_just_before_the_kernel_is_shut_down_says_that_it_was_ended(kernel: Running) -> None:
    request = start(kernel, "import time\ntime.sleep(600)")  # mostly while the notebook is being opened
    assert control(kernel, "shutdown_request", {"restart": False})["status"] == "ok"
    what = reply_to(kernel, request)["content"]["evalue"].split(". ")[0]
    assert what in ("the kernel was ended before the cell ran", "cell was ended with its kernel")


def test_whoever_shuts_a_kernel_down_a_second_time_is_answered_too(kernel: Running) -> None:
    kernel.run("1")
    channel, session = kernel.client.control_channel, kernel.client.session
    asked = [session.msg("shutdown_request", {"restart": restart}) for restart in (True, False)]
    for request in asked:
        channel.send(request)
    replies = [kernel.client.get_control_msg(timeout=PATIENCE) for _ in asked]
    assert [reply["parent_header"]["msg_id"] for reply in replies] == [each["header"]["msg_id"] for each in asked]
    assert {reply["content"]["status"] for reply in replies} == {"ok"}


# -- usage ---------------------------------------------------------------------------------------------------------


def test_usage_is_that_of_the_cells_with_their_limits(kernel: Running) -> None:
    kernel.run("%limits memory=600m")
    idle = control(kernel, "usage_request")
    assert idle["host_virtual_memory"]["total"] == 600 * 2**20
    request = start(kernel, "b = bytearray(300 * 2**20)\nimport time\nprint('there')\nwhile True: time.sleep(0.02)")
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
        pass
    busy = control(kernel, "usage_request")
    kernel.manager.interrupt_kernel()
    reply_to(kernel, request)
    assert busy["kernel_memory"] > idle["kernel_memory"] + 250 * 2**20
    assert busy["kernel_cpu"] > 0


# -- completion and inspection -------------------------------------------------------------------------------------


def test_completion_sees_carried_variables(kernel: Running) -> None:
    kernel.run("import datetime as dt\ncarried_moment = dt.datetime(2020, 1, 1)")
    assert "carried_moment" in complete(kernel, "carried_m")
    assert any(match.endswith("isoformat") for match in complete(kernel, "carried_moment.isof"))


def test_completion_sees_variables_of_the_shared_container(kernel: Running) -> None:
    kernel.run("%container scope=notebook")
    kernel.run("class Living:\n    shared_name = 1\nliving = Living()\ng = (i for i in 'ab')")
    assert any(match.endswith("shared_name") for match in complete(kernel, "living.shar"))
    assert any(match.endswith("gi_frame") for match in complete(kernel, "g.gi_fr"))
    found = kernel.client.inspect("living", reply=True, timeout=PATIENCE)["content"]
    assert "Living" in found["data"]["text/plain"]
    assert kernel.run("next(g), living.shared_name")[1] == ["('a', 1)"]


@pytest.mark.parametrize("scope", ["cell", "notebook"])
def test_completion_that_never_ends_delays_no_cell(kernel: Running, scope: str) -> None:
    kernel.run(f"%container scope={scope}")
    kernel.run(ENDLESS)
    question = kernel.client.complete("a.")
    time.sleep(0.5)
    began = time.monotonic()
    cell = start(kernel, "a.__class__.__name__")
    answered: dict[str, tuple[str, float]] = {}
    while len(answered) < 2:
        reply = kernel.client.get_shell_msg(timeout=PATIENCE)
        answered[reply["parent_header"]["msg_id"]] = reply["content"]["status"], time.monotonic() - began
    assert [answered[request][0] for request in (question, cell)] == ["ok", "ok"]
    assert answered[cell][1] < 3


# -- interrupts and questions --------------------------------------------------------------------------------------


def test_interrupt_reaches_a_cell_that_waits_for_its_kernel_to_open(tmp_path: Path) -> None:
    kernel = Running(tmp_path / "n.ipynb")
    try:
        request = start(kernel, "while True: pass")
        while kernel.client.get_iopub_msg(timeout=PATIENCE)["parent_header"].get("msg_id") != request:
            pass  # the channels are two: an interrupt may overtake the request
        kernel.manager.interrupt_kernel()
        reply = reply_to(kernel, request)
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert kernel.run("1")[1][-1] == "1"
    finally:
        kernel.close()


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 4, 8, 16])
def test_no_interrupt_is_lost(kernel: Running, milliseconds: int) -> None:
    kernel.run("1")
    for _ in range(3):
        request = start(kernel, "while True: pass")
        while kernel.client.get_iopub_msg(timeout=PATIENCE)["parent_header"].get("msg_id") != request:
            pass  # the channels are two: it has to have come before the interrupt does
        time.sleep(milliseconds / 1000)
        kernel.manager.interrupt_kernel()
        assert reply_to(kernel, request)["content"]["ename"] == "KeyboardInterrupt"


def test_cells_after_an_interrupted_one_are_aborted(kernel: Running) -> None:
    requests = [start(kernel, code) for code in ("while True: pass", "1", "2")]
    time.sleep(0.5)
    kernel.manager.interrupt_kernel()
    assert [reply_to(kernel, r)["content"]["status"] for r in requests] == ["error", "aborted", "aborted"]


def test_a_question_stays_while_a_thread_puts_something_out(kernel: Running) -> None:
    code = "import threading\nthreading.Timer(0.3, print, ['meanwhile']).start()\nprint('said', input('?'))"
    request = start(kernel, code)
    assert kernel.client.get_stdin_msg(timeout=PATIENCE)["content"]["prompt"] == "?"
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["content"].get("text") != "meanwhile\n":
        pass
    kernel.client.input("yes")
    assert reply_to(kernel, request)["content"]["status"] == "ok"
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["content"].get("text") != "said yes\n":
        pass


def test_password_is_asked_for_as_one(kernel: Running) -> None:
    request = start(kernel, "import getpass\nlen(getpass.getpass('secret: '))")
    asked = kernel.client.get_stdin_msg(timeout=PATIENCE)["content"]
    assert asked == {"prompt": "secret: ", "password": True}
    kernel.client.input("four")
    assert reply_to(kernel, request)["content"]["status"] == "ok"


# -- streams -------------------------------------------------------------------------------------------------------


def test_output_of_a_cell_its_threads_and_children_comes_before_its_reply_and_under_it(kernel: Running) -> None:
    code = """import os, subprocess, threading
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
subprocess.run(["echo", "child"]); os.system("echo system"); print("own")"""
    kernel.run("1")
    request = start(kernel, code)
    reply_to(kernel, request)
    texts = text_of(outputs_of(kernel, request))
    assert texts.split() == ["thread", "child", "system", "own"]


def test_reader_that_does_not_read_does_not_grow_the_kernel(kernel: Running) -> None:
    kernel.run("1")
    provisioner: Any = kernel.manager.provisioner
    process = psutil.Process(provisioner.pid)
    kernel.client.iopub_channel.stop()
    before = process.memory_info().rss
    request = start(kernel, "line = 'x' * 99 + '\\n'\nfor _ in range(2**20): print(line, end='')")
    highest = 0
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        highest = max(highest, process.memory_info().rss)
        time.sleep(0.1)
    kernel.manager.interrupt_kernel()
    reply_to(kernel, request)
    assert highest - before < 150 * 2**20


def test_reader_that_is_slow_gets_all_of_it(kernel: Running) -> None:
    kernel.run("1")
    request = start(kernel, "line = 'x' * 99 + '\\n'\nfor _ in range(2**20): print(line, end='')")
    time.sleep(3)
    assert len(text_of(outputs_of(kernel, request))) == 100 * 2**20
    assert reply_to(kernel, request)["content"]["status"] == "ok"


def test_an_interrupt_of_endless_output_shows_soon_to_a_reader_that_takes_its_time_for_each_message(
    kernel: Running,
) -> None:
    kernel.run("1")
    start(kernel, "while True: print('y' * 80)")
    ends = time.monotonic() + 2
    interrupted = None
    while True:
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "error":
            break
        time.sleep(0.01)
        if interrupted is None and time.monotonic() > ends:
            kernel.manager.interrupt_kernel()
            interrupted = time.monotonic()
    assert interrupted is not None
    assert time.monotonic() - interrupted < 5


def test_the_kernel_says_what_it_is_while_a_cell_of_another_client_runs(kernel: Running) -> None:
    running = start(kernel, "import time; time.sleep(600)")
    other: Any = BlockingKernelClient(connection_file=kernel.manager.connection_file)
    other.load_connection_file()
    other.session.session = "a page that is loaded anew"
    other.start_channels()
    try:
        info = other.kernel_info(reply=True, timeout=PATIENCE)
    finally:
        other.stop_channels()
    assert info["content"]["implementation"] == "cellstack"
    kernel.manager.interrupt_kernel()
    assert reply_to(kernel, running)["content"]["status"] == "error"


def test_a_client_has_its_answers_in_order(kernel: Running) -> None:
    kernel.run("1")  # and take what is left of the answers to "are you there?"
    reply_to(kernel, kernel.client.kernel_info())
    running = start(kernel, "import time; time.sleep(0.5)")
    asked = kernel.client.kernel_info()
    replies = [kernel.client.get_shell_msg(timeout=PATIENCE)["parent_header"]["msg_id"] for _ in range(2)]
    assert replies == [running, asked]


def test_a_front_end_opens_a_comm_for_what_an_earlier_cell_has_registered(kernel: Running) -> None:
    kernel.run(
        "got = []\ndef target(comm, opened):\n    got.append(opened['content']['data'])\n    @comm.on_msg\n"
        "    def answer(message):\n        comm.send({'echo': message['content']['data']})\n"
        "get_ipython().kernel.comm_manager.register_target('mine', target)"
    )
    kernel.run("import comm\ncomm.get_comm_manager().register_target('other', lambda *_: print('other'))")

    def send(kind: str, **content: Any) -> list[Any]:
        message = kernel.client.session.msg(kind, content)
        kernel.client.shell_channel.send(message)
        found: list[Any] = []
        while True:
            came = kernel.client.get_iopub_msg(timeout=PATIENCE)
            if came["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if came["content"].get("execution_state") == "idle":
                return found
            if came["msg_type"] != "status":
                found.append((came["msg_type"], came["content"].get("data", came["content"].get("text"))))

    assert send("comm_open", comm_id="c", target_name="mine", data={"a": 1}) == []
    assert send("comm_msg", comm_id="c", data={"b": 2}) == [("comm_msg", {"echo": {"b": 2}})]
    assert send("comm_open", comm_id="d", target_name="other", data={}) == [("stream", "other\n")]
    assert kernel.run("got")[1] == ["[{'a': 1}]"]
    kernel.run("get_ipython().kernel.comm_manager.unregister_target('mine', target)")
    [said, closed] = send("comm_open", comm_id="e", target_name="mine", data={})
    assert (said, closed[0]) == (("stream", "No such comm target registered: mine\n"), "comm_close")
    assert send("comm_open", comm_id="f" * 5000, target_name="mine", data={}) == []
    assert kernel.run("got")[1] == ["[{'a': 1}]"]


def test_connect_info_says_how_and_keeps_the_key(kernel: Running) -> None:
    [text] = kernel.run("%connect_info")[1]
    assert f'"shell_port": {kernel.manager.shell_port}' in text
    assert "--existing" in text
    assert kernel.manager.session.key.decode() not in text


def test_what_is_displayed_may_be_odd_and_ends_no_cell(kernel: Running) -> None:
    code = "from IPython.display import publish_display_data\nkept = 1\n"
    kernel.run(
        f"{code}publish_display_data({{'text/plain': 5, 'a/b': {{'c': {{1: 2}}}}}}, transient={{'display_id': 5}})"
    )
    assert kernel.run("kept")[1] == ["1"]
