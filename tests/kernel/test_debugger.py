"""JupyterLab's debugger over cells that are each another process: breakpoints are set in every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.kernels import PATIENCE, control, debug

from cellstack_guest.frontend import CellCompiler
from cellstack_kernel.debugger import file_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kernels import Running

pytest.importorskip("debugpy")
pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

WAITING = "import time\nwaiting = True\nprint('waits')\nwhile waiting:\n    time.sleep(0.01)"
FUNCTION = "def add(a, b):\n    c = a + b\n    return c"


def event(kernel: Running, name: str) -> dict[str, Any]:
    while True:
        message = kernel.client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "debug_event" and message["content"]["event"] == name:
            body: dict[str, Any] = message["content"]["body"]
            return body


def reply_to(kernel: Running, request: str) -> dict[str, Any]:
    while True:
        reply: dict[str, Any] = kernel.client.get_shell_msg(timeout=PATIENCE)
        if reply["parent_header"]["msg_id"] == request:
            return reply


def set_breakpoint(kernel: Running, code: str, line: int, **more: str) -> str:
    path = str(debug(kernel, "dumpCell", code=code)["body"]["sourcePath"])
    breakpoints = [{"line": line, **more}]
    reply = debug(kernel, "setBreakpoints", source={"path": path}, breakpoints=breakpoints, sourceModified=False)
    assert reply["body"]["breakpoints"][0]["verified"]
    return path


def frames(kernel: Running, thread: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = debug(kernel, "stackTrace", threadId=thread)["body"]["stackFrames"]
    return found


def frame(kernel: Running, thread: int) -> dict[str, Any]:
    return frames(kernel, thread)[0]


@pytest.fixture
def debugged(kernel: Running) -> Iterator[Running]:
    kernel.run("before = [1, 2]")
    assert debug(kernel, "initialize", clientID="test", linesStartAt1=True, pathFormat="path")["success"]
    assert debug(kernel, "attach")["success"]
    yield kernel
    debug(kernel, "disconnect", terminateDebuggee=True)


def test_it_is_offered(kernel: Running) -> None:
    assert "debugger" in control(kernel, "kernel_info_request")["supported_features"]
    spec = kernel.manager.kernel_spec
    assert spec is not None
    assert spec.metadata["debugger"] is True


def test_kernel_and_cells_name_code_alike() -> None:
    for code in ("", "x = 1", "\n\nprint('ä€😀')"):
        assert file_name(code) == CellCompiler().get_code_name(code, "", 1)  # type: ignore[no-untyped-call]


def test_breakpoint_holds_in_a_cell_that_follows(debugged: Running) -> None:
    path = set_breakpoint(debugged, FUNCTION, 2)
    reply_to(debugged, debugged.client.execute(FUNCTION))
    for value in (30, 40, 50):
        request = debugged.client.execute(f"result = add({value}, len(before))")
        thread = event(debugged, "stopped")["threadId"]
        at = frame(debugged, thread)
        assert (at["source"]["path"], at["line"]) == (path, 2)
        assert debug(debugged, "debugInfo")["body"]["stoppedThreads"] == [thread]
        debug(debugged, "next", threadId=thread)
        assert event(debugged, "stopped")["reason"] == "step"
        assert frame(debugged, thread)["line"] == 3
        found = debug(debugged, "evaluate", expression="c", frameId=frame(debugged, thread)["id"], context="hover")
        assert found["body"]["result"] == str(value + 2)
        standing = frame(debugged, thread)["id"]
        shown = debug(debugged, "richInspectVariables", variableName="c", frameId=standing)
        assert shown["body"]["data"] == {"text/plain": str(value + 2)}
        debug(debugged, "continue", threadId=thread)
        record = reply_to(debugged, request)["metadata"]["cellstack"]
        assert (record["status"], record["changes"]) == ("ok", {"added": 0, "changed": 0, "deleted": 0})
        assert record["carried"]["saved"] == ["result"]
    assert debugged.run("result")[1] == ["52"]


@pytest.mark.parametrize("top", ["%%container memory=1g", "%layers\n\n%%container pids=50", "%layers"])
def test_breakpoint_holds_in_a_cell_with_host_magics_at_its_top(debugged: Running, top: str) -> None:
    code = f"{top}\nfirst = 1\nsecond = first + 1"
    line = code.count("\n")
    path = set_breakpoint(debugged, code, line)
    request = debugged.client.execute(code)
    thread = event(debugged, "stopped")["threadId"]
    at = frame(debugged, thread)
    assert (at["source"]["path"], at["line"]) == (path, line)
    assert debug(debugged, "source", source={"path": path})["body"]["content"] == code
    debug(debugged, "continue", threadId=thread)
    assert reply_to(debugged, request)["content"]["status"] == "ok"


def test_breakpoint_is_set_in_a_cell_that_runs(debugged: Running) -> None:
    request = debugged.client.execute(WAITING)
    while debugged.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
        pass
    path = set_breakpoint(debugged, WAITING, 5)
    thread = event(debugged, "stopped")["threadId"]
    (at,) = frames(debugged, thread)
    assert (at["name"], at["source"]["path"], at["line"]) == ("<module>", path, 5)
    ends = {"expression": "waiting = False", "frameId": at["id"], "context": "repl"}
    assert debug(debugged, "evaluate", **ends)["success"]
    debug(debugged, "continue", threadId=thread)
    assert reply_to(debugged, request)["content"]["status"] == "ok"


def test_cells_run_on_where_there_is_no_debugger_any_more(debugged: Running) -> None:
    debugged.run("import shutil, debugpy, os; shutil.rmtree(os.path.dirname(debugpy.__file__)); x = 1")
    why = "the debugger cannot be used in this container: ModuleNotFoundError: No module named 'debugpy'"
    for _ in range(2):
        assert debugged.run("x")[1] == ["1", f"{why}; the cell has run without it\n"]
        assert debug(debugged, "inspectVariables")["message"] == why


def test_modules_beside_the_notebook_have_breakpoints(debugged: Running) -> None:
    (debugged.notebook.parent / "beside.py").write_text("def twice(x):\n    return 2 * x\n")
    path = "/work/beside.py"
    debug(debugged, "setBreakpoints", source={"path": path}, breakpoints=[{"line": 2}], sourceModified=False)
    for code in ("import beside\nbeside.twice(1)", "beside.twice(2)"):
        request = debugged.client.execute(code)
        thread = event(debugged, "stopped")["threadId"]
        at = frame(debugged, thread)
        assert (at["name"], at["source"]["path"], at["line"]) == ("twice", path, 2)
        assert debug(debugged, "source", source={"path": path})["body"]["content"].startswith("def twice")
        debug(debugged, "continue", threadId=thread)
        assert reply_to(debugged, request)["content"]["status"] == "ok"


def test_cells_that_share_a_container_stop(debugged: Running) -> None:
    debugged.run("%container scope=notebook")
    path = set_breakpoint(debugged, FUNCTION, 2)
    debugged.run(FUNCTION)
    for value in (30, 40):
        request = debugged.client.execute(f"add({value}, 2)")
        thread = event(debugged, "stopped")["threadId"]
        at = frame(debugged, thread)
        assert (at["source"]["path"], at["line"]) == (path, 2)
        assert debug(debugged, "continue", threadId=thread)["success"]
        assert reply_to(debugged, request)["content"]["status"] == "ok"


def test_first_lines_of_cells_that_share_a_container_stop(debugged: Running) -> None:
    debugged.run("%container scope=notebook")
    for number in range(5):  # each sets one more breakpoint in the process that is there
        code = f"first_{number} = {number}\nsecond_{number} = first_{number} + 1"
        path = set_breakpoint(debugged, code, 1)
        request = debugged.client.execute(code)
        thread = event(debugged, "stopped")["threadId"]
        at = frame(debugged, thread)
        assert (at["source"]["path"], at["line"]) == (path, 1)
        assert debug(debugged, "continue", threadId=thread)["success"]
        assert reply_to(debugged, request)["content"]["status"] == "ok"


def test_cells_that_share_a_container_stop_when_debugging_is_on_again(debugged: Running) -> None:
    debugged.run("%container scope=notebook")
    path = set_breakpoint(debugged, FUNCTION, 2)
    debugged.run(FUNCTION)
    for on in (True, False, True):
        debug(debugged, "disconnect")
        if on:
            assert debug(debugged, "initialize", clientID="test", linesStartAt1=True, pathFormat="path")["success"]
            assert debug(debugged, "attach")["success"]
            set_breakpoint(debugged, FUNCTION, 3)
        request = debugged.client.execute("add(30, 2)")
        if on:
            thread = event(debugged, "stopped")["threadId"]
            at = frame(debugged, thread)
            assert (at["source"]["path"], at["line"]) == (path, 3)
            assert debug(debugged, "continue", threadId=thread)["success"]
        assert reply_to(debugged, request)["content"]["status"] == "ok"


def test_a_cell_that_stands_goes_on_when_debugging_ends(debugged: Running) -> None:
    code = f"{FUNCTION}\nadd(30, 2), add(40, 2)"
    set_breakpoint(debugged, code, 2)
    request = debugged.client.execute(code)
    event(debugged, "stopped")
    assert debug(debugged, "disconnect")["success"]
    assert reply_to(debugged, request)["content"]["status"] == "ok"


def test_questions_of_no_stop_are_answered_while_cells_come_and_go(debugged: Running) -> None:
    for name in ("first", "second"):
        debugged.client.execute(f"{name} = 1")
        names: list[str] = []
        while name not in names:  # what is asked before the cell's end may show what was before it
            reply = debug(debugged, "inspectVariables")
            assert reply["success"]
            names = [variable["name"] for variable in reply["body"]["variables"]]


def test_to_look_at_variables_imports_nothing_into_the_cell_that_runs(debugged: Running) -> None:
    code = "import sys\nmodules = set(sys.modules)\n" + WAITING
    request = debugged.client.execute(f"{code}\nprint(set(sys.modules) - modules)")
    while debugged.client.get_iopub_msg(timeout=PATIENCE)["msg_type"] != "stream":
        pass
    names = [variable["name"] for variable in debug(debugged, "inspectVariables")["body"]["variables"]]
    assert {"modules", "waiting"} <= set(names)
    thread = debug(debugged, "threads")["body"]["threads"][0]
    debug(debugged, "pause", threadId=thread["id"])
    event(debugged, "stopped")
    at = frames(debugged, thread["id"])[-1]
    debug(debugged, "evaluate", expression="waiting = False", frameId=at["id"], context="repl")
    debug(debugged, "continue", threadId=thread["id"])
    while (message := debugged.client.get_iopub_msg(timeout=PATIENCE))["msg_type"] != "stream":
        pass
    assert message["content"]["text"] == "set()\n"
    assert reply_to(debugged, request)["content"]["status"] == "ok"


def test_variables_are_those_of_the_layer_that_was_gone_to(debugged: Running) -> None:
    debugged.run("before = 'changed'")
    assert debug(debugged, "richInspectVariables", variableName="before")["body"]["data"] == {"text/plain": "'changed'"}
    debugged.run("%undo")
    assert debug(debugged, "richInspectVariables", variableName="before")["body"]["data"] == {"text/plain": "[1, 2]"}


def test_nothing_of_the_debugger_is_carried(debugged: Running) -> None:
    code = "import os, threading, subprocess, json\nkept = 1\nthreading.Thread(target=len, args=('',)).start()"
    assert debugged.run(code)[1] == []
    debug(debugged, "disconnect")
    code = "import sys; [name for name in sys.modules if 'pydev' in name or 'debugpy' in name]"
    assert debugged.run(code)[1] == ["[]"]
    code = "sys.gettrace(), threading.Thread.__module__, os.fork.__module__, 'PYDEVD' in str(os.environ)"
    assert debugged.run(code)[1] == ["(None, 'threading', 'posix', False)"]


def test_exception_stops_where_it_is_raised(debugged: Running) -> None:
    debug(debugged, "setExceptionBreakpoints", filters=["raised"])
    code = "def fail():\n    raise KeyError('x')\ntry:\n    fail()\nexcept KeyError:\n    print('ok')"
    request = debugged.client.execute(code)
    body = event(debugged, "stopped")
    assert body["reason"] == "exception"
    at = frame(debugged, body["threadId"])
    assert (at["source"]["path"], at["line"]) == (file_name(code), 2)
    debug(debugged, "setExceptionBreakpoints", filters=[])
    debug(debugged, "continue", threadId=body["threadId"])
    assert reply_to(debugged, request)["content"]["status"] == "ok"


def test_exceptions_inside_the_kernel_and_the_standard_library_are_no_stops(debugged: Running) -> None:
    debug(debugged, "setExceptionBreakpoints", filters=["raised"])
    for code in ("import json, decimal", "'a'.missing"):
        request = debugged.client.execute(code)
        if "missing" in code:  # or this would be the stop of the import
            thread = event(debugged, "stopped")["threadId"]
            assert frame(debugged, thread)["name"] == "<module>"
            debug(debugged, "continue", threadId=thread)
        reply_to(debugged, request)


def test_variables_that_a_cell_does_not_name_are_there_at_a_breakpoint(debugged: Running) -> None:
    code = "here = 1\nlast = 2"
    set_breakpoint(debugged, code, 2)
    request = debugged.client.execute(code)
    thread = event(debugged, "stopped")["threadId"]
    at = frame(debugged, thread)["id"]
    assert debug(debugged, "evaluate", expression="before", frameId=at, context="hover")["body"]["result"] == "[1, 2]"
    debug(debugged, "continue", threadId=thread)
    record = reply_to(debugged, request)["metadata"]["cellstack"]
    assert record["carried"]["saved"] == ["here", "last"]


def test_all_that_a_logpoint_says_comes_before_the_cell_is_over(debugged: Running) -> None:
    code = "for i in range(20):\n    square = i * i"
    set_breakpoint(debugged, code, 2, logMessage="i is {i}")
    debugged.client.execute(code)
    said: list[str] = []
    while not (said and "i is 19" in said[-1]):
        message = debugged.client.get_iopub_msg(timeout=PATIENCE)
        ended = message["msg_type"] == "status" and message["parent_header"]["msg_type"] == "execute_request"
        assert not ended or message["content"]["execution_state"] == "busy", said
        if message["msg_type"] == "debug_event" and message["content"]["event"] == "output":
            said.append(message["content"]["body"]["output"])
    assert [line for line in said if line.startswith("i is")] == [f"i is {number}\n" for number in range(20)]


def test_interrupt_ends_a_cell_that_stands_at_a_breakpoint(debugged: Running) -> None:
    code = "for number in range(3):\n    print(number)"
    set_breakpoint(debugged, code, 2)
    request = debugged.client.execute(code)
    event(debugged, "stopped")
    debugged.manager.interrupt_kernel()
    debugged.manager.interrupt_kernel()
    assert reply_to(debugged, request)["content"]["status"] == "error"
    event(debugged, "continued")
    assert debug(debugged, "debugInfo")["body"]["stoppedThreads"] == []
    assert debugged.run("before")[1] == ["[1, 2]"]


def test_variables_are_seen_while_no_cell_runs(debugged: Running) -> None:
    debugged.run("table = {'a': [1, 2]}")
    listed = debug(debugged, "inspectVariables")["body"]["variables"]
    found = {entry["name"]: entry for entry in listed}
    assert {"before", "table"} <= set(found)
    inner = debug(debugged, "variables", variablesReference=found["table"]["variablesReference"])["body"]["variables"]
    assert "'a'" in [entry["name"] for entry in inner]
    assert debug(debugged, "richInspectVariables", variableName="before")["body"]["data"] == {"text/plain": "[1, 2]"}
    debugged.run("before.append(3)")
    assert debug(debugged, "richInspectVariables", variableName="before")["body"]["data"] == {"text/plain": "[1, 2, 3]"}


def test_text_of_cells_and_of_modules_is_shown(debugged: Running) -> None:
    path = debug(debugged, "dumpCell", code="x = 1\n")["body"]["sourcePath"]
    assert debug(debugged, "source", source={"path": path})["body"]["content"] == "x = 1\n"
    modules = {entry["name"]: entry["path"] for entry in debug(debugged, "modules")["body"]["modules"]}
    assert "def dumps" in debug(debugged, "source", source={"path": modules["json"]})["body"]["content"]
