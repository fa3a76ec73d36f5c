"""What a notebook gets from a cell: the frames and the reply of real forks of a warm guest process."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.completer import Completion
from tests.guest_cells import RUNTIME, Cells, Run

from cellstack_guest import looks

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def plain(text: str) -> str:
    return ANSI.sub("", text)


def test_a_value_is_shown_and_numbered(notebook: Cells) -> None:
    run = notebook.run("1 + 1")
    (result,) = run.all("execute_result")
    assert result["data"] == {"text/plain": "2"}
    assert result["execution_count"] == 1
    assert run.content == {"status": "ok", "execution_count": 1, "user_expressions": {}, "payload": []}
    assert run.frames[-1]["type"] == "reply"


def test_a_semicolon_hides_the_value(notebook: Cells) -> None:
    assert notebook.run("1 + 1;").result is None
    assert notebook.run("';'").result == "';'"


def test_silent_runs_show_nothing_and_keep_their_variables(notebook: Cells) -> None:
    run = notebook.run("x = 5\nx", silent=True)
    assert run.result is None
    assert run.content["execution_count"] == 0
    assert notebook.run("x").result == "5"


def test_runs_without_history_keep_their_variables(notebook: Cells) -> None:
    notebook.run("y = 6\ny", store_history=False)
    run = notebook.run("y, In")
    assert run.result == "(6, ['', 'y, In'])"


def test_variables_and_functions_carry(notebook: Cells) -> None:
    notebook.run("base = 1\ndef add(n):\n    return n + base")
    notebook.run("base = 10")
    assert notebook.run("add(1)").result == "11"


def test_history_is_that_of_earlier_cells(notebook: Cells) -> None:
    notebook.run("'first'")
    notebook.run("%pwd")
    notebook.run("'third'")
    run = notebook.run("_, __.startswith('/'), ___, Out[1], _3, In[1], _i, _ii, _i1, sorted(Out)")
    assert run.result is not None
    assert ast.literal_eval(run.result) == (
        *("third", True, "first", "first", "third"),
        *("'first'", "'third'", "%pwd", "'first'", [1, 2, 3]),
    )
    assert "%pwd" in notebook.run("%history").stdout


def test_history_has_cells_that_no_process_has_run(notebook: Cells) -> None:
    notebook.run("'first'")
    notebook.count += 2
    shown = notebook.run("In[2], _i, _ii, In[3]", earlier=[[2, "%layers"], [3, "%limits cpus=1\n%layers?"]]).result
    line, last, before, lines = ast.literal_eval(str(shown))
    assert line == "get_ipython().run_line_magic('layers', '')"
    assert (last, before) == ("%limits cpus=1\n%layers?", "%layers")
    assert lines.splitlines()[0] == "get_ipython().run_line_magic('limits', 'cpus=1')"
    assert notebook.run("_i2, len(In), In[4][:5]").result == "('%layers', 6, 'In[2]')"


def test_a_result_shares_its_object_with_the_variable(notebook: Cells) -> None:
    notebook.run("x = [1]\nx")
    notebook.run("x.append(2)")
    assert notebook.run("_1 is x, _1").result == "(True, [1, 2])"


def test_an_underscore_of_the_persons_own_is_kept(notebook: Cells) -> None:
    notebook.run("_ = 'mine'")
    notebook.run("'result'")
    assert notebook.run("_").result == "'mine'"


def test_a_builtin_name_can_be_rebound(notebook: Cells) -> None:
    notebook.run("open = 5")
    assert notebook.run("open + 1").result == "6"


def test_history_survives_many_cells(notebook: Cells) -> None:
    for number in range(70):
        notebook.run(f"n = {number}")
    assert notebook.run("In[3], In[70], len(In)").result == "('n = 2', 'n = 69', 72)"


def test_an_error_has_name_text_and_traceback(notebook: Cells) -> None:
    run = notebook.run("x = 1\n1/0")
    (error,) = run.all("error")
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
    text = plain(run.traceback)
    assert "Cell In[1], line 2" in text
    assert "----> 2 1/0" in text
    assert run.content["status"] == "error"
    assert run.content["traceback"] == error["traceback"]
    assert "cellstack_guest" not in text
    assert notebook.run("x").result == "1"


def test_a_traceback_shows_lines_of_earlier_cells(notebook: Cells) -> None:
    notebook.run("def fail():\n    raise ValueError('inside')")
    notebook.run("pass")
    run = notebook.run("fail()")
    text = plain(run.traceback)
    assert "Cell In[1], line 2, in fail()" in text
    assert "raise ValueError('inside')" in text
    assert "Cell In[3], line 1" in text


def test_source_of_a_function_of_an_earlier_cell(notebook: Cells) -> None:
    notebook.run("def f():\n    return 'unmistakable'")
    assert "unmistakable" in notebook.run("import inspect\nprint(inspect.getsource(f))").stdout
    assert "unmistakable" in str(notebook.run("f??").content["payload"])


def test_a_syntax_error_names_the_line(notebook: Cells) -> None:
    run = notebook.run("a = 1\nb = = 2")
    assert run.content["ename"] == "SyntaxError"
    assert "Cell In[1], line 2" in plain(run.traceback)
    assert "b = = 2" in plain(run.traceback)


def test_an_error_in_a_repr_fails_the_cell(notebook: Cells) -> None:
    run = notebook.run("class Broken:\n    def __repr__(self):\n        raise RuntimeError('no repr')\nBroken()")
    assert run.content["status"] == "error"
    assert run.content["ename"] == "RuntimeError"


def test_an_error_whose_text_fails_is_shown(notebook: Cells) -> None:
    run = notebook.run("class Odd(Exception):\n    def __str__(self):\n        raise TypeError\nraise Odd")
    assert run.content["ename"] == "Odd"


def test_top_level_await(notebook: Cells) -> None:
    code = "import asyncio\nasync def f():\n    await asyncio.sleep(0.001)\n    return 7\nawait f()"
    assert notebook.run(code).result == "7"
    run = notebook.run("t = asyncio.create_task(f())\nawait t")
    assert run.result == "7"
    assert notebook.run("asyncio.run(f())").result == "7"
    run = notebook.run("await asyncio.sleep(0)\n1/0")
    assert run.content["ename"] == "ZeroDivisionError"


def test_a_task_that_is_left_is_told(notebook: Cells) -> None:
    run = notebook.run("import asyncio\nt = asyncio.create_task(asyncio.sleep(60))")
    assert run.content["status"] == "ok"
    assert any(told.startswith("1 asyncio task was still running and ended with the cell; ") for told in run.notices)


def test_display_update_and_clear(notebook: Cells) -> None:
    code = (
        "from IPython.display import display, HTML, clear_output\n"
        "h = display(HTML('<i>a</i>'), display_id='here')\nh.update(HTML('<i>b</i>'))\nclear_output(wait=True)"
    )
    run = notebook.run(code)
    shown, updated, cleared = run.frames[:3]
    assert (shown["type"], shown["data"]["text/html"]) == ("display_data", "<i>a</i>")
    assert shown["transient"] == {"display_id": "here"}
    assert (updated["type"], updated["data"]["text/html"]) == ("update_display_data", "<i>b</i>")
    assert cleared == {"type": "clear_output", "wait": True}


def test_bytes_dates_and_numbers_of_other_types_can_be_displayed(notebook: Cells) -> None:
    code = (
        "import datetime, fractions\nfrom IPython.display import display\n"
        "data = {'when': datetime.date(2020, 1, 2), 'n': fractions.Fraction(1, 2)}\n"
        "display({'image/png': b'png', 'x/y': data}, raw=True)"
    )
    (shown,) = notebook.run(code).all("display_data")
    assert shown["data"] == {"image/png": "cG5n", "x/y": {"when": "2020-01-02", "n": 0.5}}


def test_user_expressions(notebook: Cells) -> None:
    notebook.run("value = 3")
    run = notebook.run("pass", user_expressions={"twice": "value * 2", "bad": "nonsense"})
    assert run.content["user_expressions"]["twice"]["data"] == {"text/plain": "6"}
    assert run.content["user_expressions"]["bad"]["ename"] == "NameError"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("_", "7"),
        ("Out[2] + _2", "14"),
        ("_i", "'y = 1'"),  # as in IPython, where a silent request is no cell
        ("eval('x' + '')", "5"),
        ("sorted(name for name in globals() if name in ('x', 'y'))", "['x', 'y']"),
        ("get_ipython().user_ns['x' + '']", "5"),
        ("get_ipython().run_line_magic('who_ls', '')", "['x', 'y']"),
        ("  x  # as it is", "5"),
        ("(y,\n'')", "(1, '')"),
    ],
)
def test_user_expressions_reach_what_code_of_a_cell_does(notebook: Cells, expression: str, value: str) -> None:
    notebook.run("y = 1")
    notebook.run("x = 5\nx + 2")
    expressions = {"it": expression, "no Python": "x = = ("}
    found = notebook.run("", silent=True, user_expressions=expressions).content["user_expressions"]
    assert found["it"].get("data") == {"text/plain": value}
    assert found["no Python"]["ename"] == "SyntaxError"


def test_a_user_expression_that_is_no_text_is_an_error_of_its_own(notebook: Cells) -> None:
    found = notebook.run("x = 7", user_expressions={"a": None, "b": "x"}).content["user_expressions"]
    assert (found["a"]["ename"], found["b"]["data"]) == ("TypeError", {"text/plain": "7"})


def test_user_expressions_know_the_result_of_their_own_cell(notebook: Cells) -> None:
    found = notebook.run("x = 7\nx", user_expressions={"a": "x + _"}).content["user_expressions"]
    assert found["a"].get("data") == {"text/plain": "14"}
    assert notebook.run("'_' in globals()").all("execute_result")[0]["data"] == {"text/plain": "True"}


def test_payloads(notebook: Cells) -> None:
    notebook.run("x = [1]")
    (page,) = notebook.run("x?").content["payload"]
    assert page["source"] == "page"
    assert "list" in page["data"]["text/plain"]
    run = notebook.run("get_ipython().set_next_input('next')")
    assert run.content["payload"] == [{"source": "set_next_input", "text": "next", "replace": False}]
    assert notebook.run("exit()").content["payload"] == [{"source": "ask_exit", "keepkernel": False}]
    assert notebook.run("quit").content["payload"] == [{"source": "ask_exit", "keepkernel": False}]


def test_sys_exit_is_an_error(notebook: Cells) -> None:
    run = notebook.run("import sys\nsys.exit(3)")
    assert (run.content["ename"], run.content["evalue"]) == ("SystemExit", "3")


def test_text_appears_while_the_cell_computes(notebook: Cells) -> None:
    run = notebook.start(code="print('now')\nimport time\ntime.sleep(30)")
    assert run.until("stream")["text"] == "now\n"
    run.interrupt()
    assert notebook.finish(run).content["ename"] == "KeyboardInterrupt"


def test_text_and_displays_keep_their_order(notebook: Cells) -> None:
    run = notebook.run(
        "import sys\nprint('a')\ndisplay(1)\nprint('b')\nprint('c', file=sys.stderr)\nprint('d')\n'last'"
    )
    order = [frame.get("text") or frame["type"] for frame in run.frames[:-1]]
    assert order == ["a\n", "display_data", "b\n", "c\n", "d\n", "execute_result"]


def test_text_of_programs_keeps_its_place(notebook: Cells) -> None:
    code = (
        "import os, subprocess\nprint('a')\nsubprocess.run(['echo', 'b'])\nprint('c')\nos.system('echo d')\nprint('e')"
    )
    run = notebook.run(code)
    assert run.order == ["a\n", "b\n", "c\n", "d\n", "e\n"]


def test_much_text_arrives_whole(notebook: Cells) -> None:
    run = notebook.run("for i in range(50_000): print(i)\nprint('x' * 3_000_000)")
    assert run.stdout == "".join(f"{i}\n" for i in range(50_000)) + "x" * 3_000_000 + "\n"
    assert len(run.all("stream")) < 1000


def test_text_of_threads_is_not_torn(notebook: Cells) -> None:
    code = (
        "import threading\nlines = ['%d' % n * 50 for n in range(8)]\n"
        "def work(line):\n    for _ in range(200): print(line + '\\n', end='')\n"
        "threads = [threading.Thread(target=work, args=(line,)) for line in lines]\n"
        "for t in threads: t.start()\nfor t in threads: t.join()"
    )
    lines = notebook.run(code).stdout.splitlines()
    assert len(lines) == 1600
    assert {len(line) for line in lines} == {50}


def test_a_forked_child_writes_to_the_pipe_and_never_replies(notebook: Cells) -> None:
    code = "import os\npid = os.fork()\nprint('child' if pid == 0 else 'parent')\nif pid: os.waitpid(pid, 0)"
    run = notebook.run(code)
    assert run.stdout == "parent\n"
    assert run.text["stdout"] == "child\n"
    assert len(run.all("reply")) == 1


def test_multiprocessing_works(notebook: Cells) -> None:
    code = (
        "import multiprocessing as mp\ndef f(n):\n    return n * n\n"
        "with mp.get_context('fork').Pool(2) as p:\n    r = p.map(f, [1, 2, 3])\nr"
    )
    assert notebook.run(code).result == "[1, 4, 9]"


def test_input_and_getpass(notebook: Cells) -> None:
    run = notebook.start(
        code="import getpass\na = input('name? ')\nb = getpass.getpass('secret? ')\n(a, b)", allow_stdin=True
    )
    assert run.until("input_request") == {"type": "input_request", "prompt": "name? ", "password": False}
    run.send({"type": "input_reply", "value": "ada"})
    run.until("input_request", password=True)
    run.send({"type": "input_reply", "value": "xyz"})
    assert notebook.finish(run).result == "('ada', 'xyz')"


def test_input_where_nobody_can_answer(notebook: Cells) -> None:
    run = notebook.run("input('?')")
    assert run.content["ename"] == "StdinNotImplementedError"


def test_input_can_be_interrupted(notebook: Cells) -> None:
    run = notebook.start(code="kept = 1\ninput('?')", allow_stdin=True)
    run.until("input_request")
    run.interrupt()
    run = notebook.finish(run)
    assert (run.content["ename"], run.content["evalue"]) == ("KeyboardInterrupt", "Interrupted by user")
    assert notebook.run("kept").result == "1"


def test_the_debugger_asks_through_input(notebook: Cells) -> None:
    notebook.run("def f(n):\n    return 1 / n")
    run = notebook.start(code="n = 2\nbreakpoint()\nf(n)", allow_stdin=True)
    run.until("input_request")
    run.send({"type": "input_reply", "value": "p n + 40"})
    while len(run.all("input_request")) < 2:
        assert run._read(30)
    run.send({"type": "input_reply", "value": "c"})
    run = notebook.finish(run)
    assert "42" in run.stdout
    assert run.result == "0.5"


@pytest.mark.parametrize("code", ["input()", "import pdb; pdb.set_trace()", "breakpoint()"])
def test_an_interrupt_ends_what_waits_for_an_answer(notebook: Cells, code: str) -> None:
    run = notebook.start(code=code, allow_stdin=True)
    run.until("input_request")
    run.interrupt()
    notebook.finish(run)
    assert len(run.all("input_request")) == 1
    assert notebook.run("1").result == "1"


def test_an_interrupt_that_comes_before_the_code_is_for_it(notebook: Cells) -> None:
    """A container may be paused, or the machine busy, between the two."""

    def interrupt(run: Run) -> None:
        status = Path(f"/proc/{run.pid}/status")
        while not int(status.read_text().partition("SigBlk:")[2].split()[0], 16) & 1 << signal.SIGINT - 1:
            time.sleep(0.01)
        run.interrupt()

    run = notebook.finish(notebook.start(first=interrupt, code="import time\ntime.sleep(60)"))
    assert run.content["ename"] == "KeyboardInterrupt"


def test_an_interrupt_is_an_error_and_commits(notebook: Cells) -> None:
    run = notebook.start(code="done = True\nprint('go')\nwhile True: pass")
    run.until("stream")
    run.interrupt()
    run = notebook.finish(run)
    assert run.content["ename"] == "KeyboardInterrupt"
    assert "while True: pass" in plain(run.traceback)
    assert notebook.run("done").result == "True"


@pytest.mark.parametrize("code", ["await asyncio.sleep(60)", "await asyncio.sleep(0)\nwhile True: pass"])
def test_an_interrupt_ends_an_await(notebook: Cells, code: str) -> None:
    run = notebook.start(code=f"import asyncio\nprint('go')\n{code}")
    run.until("stream")
    run.interrupt()
    run = notebook.finish(run)
    assert run.content["ename"] == "KeyboardInterrupt"
    assert "Cell In[1], line" in plain(run.traceback)


def test_an_interrupt_in_the_middle_of_printing_tears_nothing(notebook: Cells) -> None:
    run = notebook.start(code="print('go')\nwhile True: print('0123456789' * 1000)")
    run.until("stream")
    run.interrupt()
    run = notebook.finish(run)
    assert run.content["ename"] == "KeyboardInterrupt"
    assert set(run.stdout.removeprefix("go\n").split("\n")) <= {"0123456789" * 1000, ""}


def test_alarms_that_raise_tear_nothing(notebook: Cells) -> None:
    code = (
        "import signal\n"
        "class Alarm(Exception): pass\n"
        "disturbed = False\n"  # an alarm anywhere else would be the mistake of this test
        "def ring(*_):\n"
        "    global disturbed\n"
        "    if disturbed:\n"
        "        disturbed = False\n"
        "        raise Alarm\n"
        "signal.signal(signal.SIGALRM, ring)\nsignal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
        "count = 0\n"
        "while count < 200:\n"
        "    try:\n"
        "        disturbed = True\n"
        "        while True: print('x' * 5000)\n"
        "    except Alarm: count += 1\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\nprint('end')"
    )
    run = notebook.run(code)
    assert run.content["status"] == "ok"
    assert run.stdout.endswith("end\n")


def test_shell_lines_and_script_magics(notebook: Cells) -> None:
    notebook.run("word = 'hello'")
    run = notebook.run("!echo $word {word}; exit 3\n_exit_code")
    assert run.stdout == "hello hello\r\n"
    assert run.result == "3"
    assert notebook.run("%%bash\necho from bash").stdout == "from bash\n"
    assert notebook.run("files = !echo one two\nfiles").result == "['one two']"


def test_an_interrupt_ends_a_shell_line_and_the_cell_goes_on(notebook: Cells) -> None:
    run = notebook.start(code="!echo go; sleep 60; echo never\n_exit_code")
    run.until("stream")
    run.interrupt()
    run = notebook.finish(run)
    assert run.content["status"] == "ok"
    assert (run.stdout, run.result) == ("go\r\n^C\r\n", "-2")


@pytest.mark.parametrize("code", ["%%bash\n", "%%script bash\n"])
def test_an_interrupt_reaches_what_a_script_has_started(notebook: Cells, code: str) -> None:
    run = notebook.start(code=f"{code}(sleep 0.5; echo go) &\nsleep 60\necho never")  # says so when it has started
    run.until("stream")
    run.interrupt()
    run = notebook.finish(run)
    assert run.stdout == "go\nProcess was interrupted.\n"
    assert run.content["ename"] == "CalledProcessError"
    assert "died with <Signals.SIGINT: 2>" in run.content["evalue"]


def test_a_macro_sees_variables_of_earlier_cells(notebook: Cells) -> None:
    notebook.run("x = 5")
    notebook.run("print(x)")
    notebook.run("%macro -q shows 2")
    assert notebook.run("shows").stdout == "5\n"


def test_a_function_of_an_earlier_cell_finds_the_event_loop(notebook: Cells) -> None:
    notebook.run(
        "import asyncio\nasync def told():\n    print('told')\n"
        "class Client:\n    def __init__(self):\n        self.loop = asyncio.get_running_loop()\n"
        "def start():\n    return asyncio.create_task(told())\ndef run():\n    return asyncio.run(told())"
    )
    run = notebook.run("start(), Client().loop\nprint('first')")
    assert (run.content["status"], run.stdout, run.notices) == ("ok", "first\ntold\n", [])
    assert notebook.run("run()").stdout == "told\n"
    elsewhere = notebook.run("import threading\nthreading.Thread(target=start).start()")
    assert "RuntimeError: no running event loop" in elsewhere.stderr


def test_shell_cells(notebook: Cells) -> None:
    notebook.run("import os\nos.mkdir('sub')\nos.chdir('sub')\nos.environ['COLOUR'] = 'green'")
    run = notebook.shell("basename $PWD; echo $COLOUR; echo oops >&2")
    assert run.text == {"stdout": "sub\ngreen\n", "stderr": "oops\n"}
    assert run.content["status"] == "ok"
    assert "%%sh" in notebook.run("In[2], _i2").result  # type: ignore[operator]


def test_a_shell_cell_that_fails(notebook: Cells) -> None:
    notebook.run("x = 1")
    run = notebook.shell("exit 3")
    assert (run.content["status"], run.content["evalue"]) == ("error", "shell exited with 3")
    assert run.all("error")[0]["evalue"] == "shell exited with 3"
    assert notebook.shell("kill -9 $$").content["evalue"] == "shell was killed by SIGKILL"
    assert notebook.run("x").result == "1"


def test_a_long_shell_cell(notebook: Cells) -> None:
    run = notebook.shell(": " + "x" * 300_000 + "\necho done; exit 4")
    assert run.text["stdout"] == "done\n"
    assert run.content["evalue"] == "shell exited with 4"


def test_a_shell_cell_can_be_interrupted(notebook: Cells) -> None:
    run = notebook.start("shell", code="echo go; sleep 60; echo never")
    while not run.text["stdout"]:
        assert run._read(30)
    run.interrupt()
    run = notebook.finish(run)
    assert run.content["ename"] == "KeyboardInterrupt"
    assert run.text["stdout"] == "go\n"


def test_magics_of_ipython(notebook: Cells) -> None:
    notebook.run("def f(n):\n    return n + 1\nzulu = 5")
    assert "Wall time" in notebook.run("%time f(1)").stdout
    assert "loop" in notebook.run("%timeit -n1 -r1 f(zulu)").stdout
    assert notebook.run("%%capture out\nprint('caught')\ndisplay(1)").stdout == ""
    assert "zulu" in notebook.run("%whos").stdout
    assert "zulu" in notebook.run("who").stdout
    notebook.run("%load_ext autoreload\n%autoreload 2")
    assert notebook.run("%%writefile script.py\nanswer = 42").content["status"] == "ok"
    notebook.run("%run script.py")
    assert notebook.run("answer").result == "42"
    notebook.run("%reset -f")
    assert notebook.run("%who").stdout == "Interactive namespace is empty.\n"
    assert notebook.run("zulu").content["ename"] == "NameError"


def test_redirected_output(notebook: Cells) -> None:
    code = "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as s: print('x')\ns.getvalue()"
    run = notebook.run(code)
    assert (run.stdout, run.result) == ("", r"'x\n'")


def test_what_is_not_carried_is_told_once_and_explained_later(notebook: Cells) -> None:
    run = notebook.run("gen = (i for i in 'ab')\nlock = 1")
    assert [text for text in run.notices if text.startswith("'gen' will not be carried: ")]
    assert notebook.run("lock").notices == []
    run = notebook.run("gen")
    assert run.content["ename"] == "NameError"
    assert "not carried" in plain(run.traceback)


def test_a_result_that_cannot_be_carried_is_no_news(notebook: Cells) -> None:
    assert notebook.run("(i for i in 'ab')").notices == []


def test_a_memory_error_names_the_limit(notebook: Cells) -> None:
    info = {"limits": {"memory": 2**29, "enforced_by": {"memory": "rlimit"}}}
    run = notebook.run("raise MemoryError", layer_info=info)
    expected = "the cell may use 512 MiB (enforced by rlimit). Raise it with %limits memory=1g"
    assert run.traceback.endswith(f"{expected}\n") or run.traceback.endswith(expected)
    own = notebook.run("raise MemoryError", layer_info={**info, "magics": {"memory": "%%container"}})
    assert "Raise it with %%container memory=1g" in own.traceback


@pytest.mark.parametrize(
    "code",
    [
        "import errno\nraise OSError(errno.ENETUNREACH, 'Network is unreachable')",
        "import socket\nraise socket.gaierror(-3, 'Temporary failure in name resolution')",
        "import socket, urllib.error\nraise urllib.error.URLError(socket.gaierror(-3, 'no'))",
        "import socket\ntry:\n    raise socket.gaierror(-3, '')\nexcept OSError as e:\n    raise RuntimeError from e",
    ],
)
def test_a_network_error_names_the_missing_network(notebook: Cells, code: str) -> None:
    run = notebook.run(code, layer_info={"limits": {"network": "none"}})
    assert "no network (network=none)" in run.traceback
    assert "no network" not in notebook.run(code, layer_info={"limits": {"network": "bridge"}}).traceback


def test_the_cellstack_module(notebook: Cells) -> None:
    info = {"layer": "abc", "limits": {"pids": 7}}
    assert (
        notebook.run("import cellstack\ncellstack.layer, cellstack.limits['pids']", layer_info=info).result
        == "('abc', 7)"
    )
    notebook.run("cellstack.provide('lazy', lambda: iter('ab'))")
    assert notebook.run("next(lazy)").result == "'a'"


def test_state_that_cannot_be_read_is_an_error_and_not_lost(notebook: Cells) -> None:
    notebook.run("x = 1")
    run = notebook.start(code="x", state="nowhere").finish()
    assert run.content["status"] == "error"
    assert run.reply["state"] == "nowhere"
    assert notebook.run("x").result == "1"


def test_a_state_that_cannot_be_written_is_told_and_the_old_one_stays(notebook: Cells) -> None:
    notebook.run("x = 1")
    run = notebook.run("import os\nx = 2\nclass E:\n    def __reduce__(self): raise SystemExit\ne = E()\nx")
    assert run.content["status"] == "ok"
    assert run.notices
    assert notebook.run("x").result in ("1", "2")


def test_completion(notebook: Cells) -> None:
    notebook.run("unmistakable_name = 'abc'")
    reply = notebook.ask("complete", code="unmistak", cursor_pos=8)
    assert reply["matches"] == ["unmistakable_name"]
    assert (reply["cursor_start"], reply["cursor_end"], reply["status"]) == (0, 8, "ok")
    reply = notebook.ask("complete", code="unmistakable_name.upp", cursor_pos=21)
    assert reply["matches"] == ["upper"] or reply["matches"] == [".upper"]
    (kind,) = reply["metadata"]["_jupyter_types_experimental"]
    assert {"start", "end", "text", "type", "signature"} == set(kind)
    assert "zip" in notebook.ask("complete", code="zi", cursor_pos=2)["matches"]


def test_completion_knows_what_was_typed(notebook: Cells) -> None:
    notebook.run("1")
    assert set(notebook.ask("complete", code="_i")["matches"]) == {"_i", "_ii", "_iii", "_i1", "_ih"}
    assert {"_i", "_ii", "_iii", "_i1"} <= set(notebook.ask("complete", code="_")["matches"])


def test_completion_and_inspection_know_results(notebook: Cells) -> None:
    notebook.run("{'key of a result': 1}")
    assert notebook.ask("complete", code="_['key", cursor_pos=6)["matches"]
    assert "dict" in plain(notebook.ask("inspect", code="_", cursor_pos=1)["data"]["text/plain"])
    assert "key of a result" in plain(notebook.ask("inspect", code="Out", cursor_pos=3)["data"]["text/plain"])


def test_completion_and_inspection_know_magics_of_extensions(notebook: Cells) -> None:
    notebook.run("%load_ext autoreload")
    assert "%autoreload" in notebook.ask("complete", code="%autor")["matches"]
    assert notebook.ask("inspect", code="%autoreload", cursor_pos=5)["found"]


def test_recall_offers_the_last_result(notebook: Cells) -> None:
    notebook.run("3 + 4")
    assert [each["text"] for each in notebook.run("%recall").content["payload"]] == ["7"]


def test_completion_of_a_method_of_the_notebooks(notebook: Cells) -> None:
    notebook.run("class C:\n    def method(self, a, b=2): pass\nc = C()")
    assert {"a=", "b="} <= set(notebook.ask("complete", code="c.method(")["matches"])
    (kind,) = notebook.ask("complete", code="c.")["metadata"]["_jupyter_types_experimental"]
    assert (kind["text"], kind["type"], kind["signature"]) == ("method", "function", "(a, b=2)")


class SlowJedi:
    """What completes in a shell whose jedi reads for a minute."""

    use_jedi = True

    def completions(self, _code: str, cursor: int) -> Iterator[Completion]:
        if self.use_jedi:
            time.sleep(60)
        yield Completion(0, cursor, "from_the_objects")


def test_completion_that_takes_jedi_too_long_is_answered_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "JEDI_SECONDS", 0.1)
    outputs = SimpleNamespace(muted=contextlib.nullcontext)
    shell: Any = SimpleNamespace(user_ns={}, Completer=SlowJedi(), outputs=outputs)
    reply = looks.complete(shell, {"code": "fr", "carried": []})
    assert (reply["status"], reply["matches"]) == ("ok", ["from_the_objects"])


def test_inspection(notebook: Cells) -> None:
    notebook.run("def documented():\n    'what it does'")
    reply = notebook.ask("inspect", code="documented(", cursor_pos=10, detail_level=0)
    assert reply["found"]
    assert "what it does" in reply["data"]["text/plain"]
    reply = notebook.ask("inspect", code="documented(", cursor_pos=10, detail_level=1)
    assert "def documented" in plain(reply["data"]["text/plain"])
    assert notebook.ask("inspect", code="nothing_of_the_kind", cursor_pos=3) == {
        "status": "ok",
        "found": False,
        "data": {},
        "metadata": {},
    }


def test_is_complete(notebook: Cells) -> None:
    assert notebook.ask("is_complete", code="1 + 1") == {"status": "complete"}
    assert notebook.ask("is_complete", code="for i in x:") == {"status": "incomplete", "indent": "    "}
    assert notebook.ask("is_complete", code="b = = 2") == {"status": "invalid"}


def test_comms_travel_both_ways(notebook: Cells) -> None:
    code = (
        "import comm\nc = comm.create_comm(target_name='t', data={'a': 1}, buffers=[b'xyz'])\n"
        "got = []\nc.on_msg(lambda m: got.append((m['content']['data'], bytes(m['buffers'][0]))))\n"
        "input()\ngot"
    )
    run = notebook.start(code=code, allow_stdin=True)
    opened = run.until("comm", msg_type="comm_open")
    assert opened["content"]["target_name"] == "t"
    assert opened["content"]["data"] == {"a": 1}
    assert run.buffers[run.frames.index(opened)] == [b"xyz"]
    run.until("input_request")
    content = {"comm_id": opened["content"]["comm_id"], "data": {"b": 2}}
    run.send({"type": "comm", "msg_type": "comm_msg", "content": content}, (b"back",))
    run.send({"type": "comm", "msg_type": "comm_msg", "content": {"comm_id": "unknown", "data": {}}})
    run.send({"type": "input_reply", "value": ""})
    assert notebook.finish(run).result == "[({'b': 2}, b'back')]"


def test_a_waiting_cell_leaves_a_comm_that_nothing_in_it_answers_to_others(notebook: Cells) -> None:
    run = notebook.start(code="input()", allow_stdin=True)
    run.until("input_request")
    content = {"comm_id": "c", "target_name": "unknown", "data": {}}
    run.send({"type": "comm", "msg_type": "comm_open", "content": content, "number": 7})
    run.send({"type": "input_reply", "value": ""})
    assert notebook.finish(run).frames[-1]["taken"] == []
    assert run.text["stderr"] == ""
    assert run.all("comm") == []


def test_widgets_display(notebook: Cells) -> None:
    pytest.importorskip("ipywidgets")
    run = notebook.run("import ipywidgets\nipywidgets.IntSlider()")
    assert any(frame["msg_type"] == "comm_open" for frame in run.all("comm"))
    assert "application/vnd.jupyter.widget-view+json" in run.all("execute_result")[0]["data"]


def test_figures_are_shown_at_the_end(notebook: Cells) -> None:
    pytest.importorskip("matplotlib")
    run = notebook.run("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    (figure,) = run.all("display_data")
    assert figure["data"]["image/png"].startswith("iVBOR")
    run = notebook.run("plt.figure()\nplt.plot([2, 1])\nplt.show()\nprint('after')")
    assert [frame["type"] for frame in run.frames[:-1]] == ["display_data", "stream"]
    assert notebook.run("%matplotlib inline").content["status"] == "ok"


def test_a_figure_that_stays_open_is_shown_under_the_cell_that_draws_it_alone(notebook: Cells) -> None:
    pytest.importorskip("matplotlib")
    notebook.run("import matplotlib.pyplot as plt\n%config InlineBackend.close_figures = False")
    assert len(notebook.run("figure = plt.figure(); plt.plot([1]);").all("display_data")) == 1
    for code in ("1", "plt.gcf() is figure", "%config InlineBackend.close_figures = True"):
        assert not notebook.run(code).all("display_data")
    assert len(notebook.run("plt.figure();").all("display_data")) == 2  # and closes both
    assert notebook.run("plt.get_fignums()").result == "[]"


def test_libraries_take_the_shell_for_a_notebook(notebook: Cells) -> None:
    code = (
        "s = get_ipython()\n"
        "type(s).__name__, 'IPKernelApp' in s.config, s.kernel is not None, type(globals()), __name__"
    )
    assert notebook.run(code).result == "('ZMQInteractiveShell', True, True, dict, '__main__')"


def test_open_files_are_flushed(notebook: Cells) -> None:
    notebook.run("f = open('log.txt', 'w')\nf.write('half')")
    assert notebook.run("open('log.txt').read()").result == "'half'"


def test_a_thread_that_is_left_is_told(notebook: Cells) -> None:
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), name='worker').start()"
    assert notebook.run(code).notices == [
        "thread 'worker' was still running and ended with the cell; %container scope=notebook lets it go on"
    ]


def test_no_thread_of_ours_shows(notebook: Cells) -> None:
    assert notebook.run("print('x')\nimport threading\nthreading.active_count()").result == "1"


def test_what_was_set_in_the_shell_holds_in_later_cells(notebook: Cells) -> None:
    notebook.run("%precision 3")
    notebook.run("get_ipython().ast_node_interactivity = 'all'")
    run = notebook.run("1 / 3\n2 / 3")
    assert [result["data"]["text/plain"] for result in run.all("execute_result")] == ["0.333", "0.667"]
    notebook.run("%xmode Minimal")
    assert plain(notebook.run("1/0").traceback).strip() == "ZeroDivisionError: division by zero"
    notebook.run("from __future__ import annotations")
    assert notebook.run("def f(x: nonsense): pass").content["status"] == "ok"
    notebook.run("%alias greet echo hello")
    assert notebook.run("greet you").stdout == "hello you\r\n"


def test_doctest_mode_is_switched_on_and_off(notebook: Cells) -> None:
    shown = notebook.run("list(range(100))").result
    assert "mode is: ON" in notebook.run("%doctest_mode").stdout
    assert "\n" not in str(notebook.run("list(range(100))").result)
    assert "mode is: OFF" in notebook.run("%doctest_mode").stdout
    assert notebook.run("list(range(100))").result == shown
    assert "mode is: ON" in notebook.run("%doctest_mode").stdout


def test_what_runs_code_that_awaits_stays_what_it_was_set_to(notebook: Cells) -> None:
    notebook.run(
        "def run(coroutine):\n    print('own')\n    return get_ipython().loop_runner_map['sync'][0](coroutine)"
    )
    notebook.run("%autoawait run")
    notebook.run("async def answer(): return 42")
    run = notebook.run("await answer()")
    assert (run.stdout, run.result) == ("own\n", "42")
    notebook.run("%autoawait sync")
    assert "`off`, and set to use `<function _pseudo_sync_runner" in notebook.run("%autoawait").stdout
    notebook.run("%autoawait asyncio")
    assert "`on`, and set to use `asyncio`" in notebook.run("%autoawait").stdout
    assert notebook.run("await answer()").result == "42"


def test_the_loop_that_cells_run_on_stays_what_it_was_whatever_policy_is_set(notebook: Cells) -> None:
    notebook.run(
        "import asyncio\nclass Loop(asyncio.SelectorEventLoop): pass\nclass Policy(asyncio.DefaultEventLoopPolicy):\n"
        "    def new_event_loop(self): return Loop()\nasyncio.set_event_loop_policy(Policy())"
    )
    assert notebook.run("type(asyncio.new_event_loop()).__name__").result == "'Loop'"
    assert notebook.run("type(asyncio.get_running_loop()) is asyncio.SelectorEventLoop").result == "True"
    assert notebook.run("await asyncio.sleep(0)\ntype(asyncio.get_running_loop()) is Loop").result == "False"


def test_the_loop_is_debugged_until_it_is_not(notebook: Cells) -> None:
    loop = "asyncio.get_running_loop()"
    notebook.run(f"import asyncio\n{loop}.set_debug(True)\n{loop}.slow_callback_duration = 60")
    assert notebook.run(f"{loop}.get_debug(), {loop}.slow_callback_duration").result == "(True, 60)"
    assert notebook.run(f"await asyncio.sleep(0)\n{loop}.get_debug()").result == "True"
    notebook.run(f"{loop}.set_debug(False)")
    assert notebook.run(f"{loop}.get_debug(), {loop}.slow_callback_duration").result == "(False, 60)"


def test_a_runner_that_is_there_no_more_is_told(notebook: Cells) -> None:
    notebook.run("def run(coroutine): pass\n%autoawait run")
    assert not notebook.run("del run").notices
    run = notebook.run("1")
    assert run.result == "1"
    assert "%autoawait __main__.run does not hold any more" in run.notices[0]
    assert not notebook.run("2").notices


def test_a_log_goes_on_until_it_is_stopped(notebook: Cells) -> None:
    notebook.run("'before'")
    notebook.run("%logstart -o log.py")
    notebook.run("import os\nos.mkdir('elsewhere')\nos.chdir('elsewhere')")
    notebook.run("%logoff")
    notebook.run("'not written'")
    notebook.run("%logon")
    notebook.run("6 * 7")
    notebook.run("%logstop")
    notebook.run("'not written either'")
    log = (Path(notebook.folder) / "log.py").read_text()
    assert "'before'\n#[Out]# 'before'\n" in log
    assert "6 * 7\n#[Out]# 42\n" in log
    assert "not written" not in log
    assert notebook.run("%logstop").stdout == "Logging hadn't been started.\n"


def test_a_log_that_is_started_again_goes_on_as_before(notebook: Cells) -> None:
    notebook.run("%logstart -q log.py append")
    notebook.run("%logstop")
    notebook.run("%logstart -q")
    notebook.run("late = 1")
    assert "late = 1\n" in (Path(notebook.folder) / "log.py").read_text()


def test_a_log_that_cannot_be_opened_again_is_told(notebook: Cells) -> None:
    notebook.run("import os\nos.mkdir('gone')\n%logstart gone/log.py")
    notebook.run("import shutil\nshutil.rmtree('gone')")
    run = notebook.run("1")
    assert run.result == "1"
    assert "log.py has ended" in run.notices[0]
    assert not notebook.run("2").notices


def test_magics_and_extensions_of_a_notebook_hold_in_later_cells(notebook: Cells) -> None:
    notebook.run(
        "from IPython.core.magic import register_line_magic\nfactor = 2\n"
        "@register_line_magic\ndef double(line):\n    return factor * int(line)"
    )
    notebook.run("factor = 10")
    assert notebook.run("%double 4").result == "40"
    source = (
        "def load_ipython_extension(shell):\n    shell.events.register('post_run_cell', lambda result: print('ran'))"
    )
    notebook.run(f"open('noisy.py', 'w').write({source!r});")
    notebook.run("%load_ext noisy")
    assert notebook.run("1").stdout == "ran\n"
    assert notebook.run("!rm noisy.py").content["status"] == "ok"
    (notice,) = notebook.run("2").notices
    assert notice.startswith("extension noisy could not be loaded: ModuleNotFoundError")


def test_logging_goes_on_as_it_was_configured(notebook: Cells) -> None:
    notebook.run(
        "import logging, sys\nlogging.basicConfig(level=logging.INFO, format='%(levelname)s: %(message)s', "
        "stream=sys.stdout, force=True)\nlogging.getLogger('quiet').setLevel(logging.ERROR)"
    )
    notebook.run("1")
    code = "import logging\nlogging.info('shown')\nlogging.getLogger('quiet').warning('not shown')\nlogging.debug('no')"
    assert notebook.run(code).stdout == "INFO: shown\n"
    notebook.run("logging.getLogger().setLevel(logging.WARNING)\nlogging.getLogger('quiet').setLevel(logging.NOTSET)")
    run = notebook.run("import logging\nlogging.info('no')\nlogging.getLogger('quiet').warning('now')")
    assert run.stdout == "WARNING: now\n"


def test_handlers_of_the_notebook_and_those_that_write_to_a_file_go_on(notebook: Cells) -> None:
    notebook.run(
        "import logging\nclass Said(logging.Handler):\n    def emit(self, record): print('said', record.getMessage())\n"
        "log = logging.getLogger('app')\nlog.addHandler(Said())\nlog.addHandler(logging.FileHandler('app.log'))"
    )
    assert notebook.run("log.warning('one')").stdout == "said one\n"
    assert notebook.run("logging.getLogger('app').warning('two')").stdout == "said two\n"
    assert notebook.run("open('app.log').read()").result == repr("one\ntwo\n")


def test_what_is_registered_by_a_call_stays_registered(notebook: Cells) -> None:
    notebook.run("import copyreg, json, numbers\nclass Money:\n    pass\nnumbers.Number.register(Money)")
    notebook.run("copyreg.pickle(Money, lambda money: (Money, ()))\ndef patch(): json.decoder.mine = [Money]\npatch()")
    assert notebook.run("isinstance(Money(), numbers.Number)").result == "True"
    assert notebook.run("import copyreg\nMoney in copyreg.dispatch_table").result == "True"
    assert notebook.run("json.decoder.mine == [Money]").result == "True"
    notebook.run("del json.decoder.mine, copyreg.dispatch_table[Money]")
    assert notebook.run("hasattr(json.decoder, 'mine'), Money in copyreg.dispatch_table").result == "(False, False)"


def test_what_is_registered_with_the_shell_stays_registered(notebook: Cells) -> None:
    notebook.run("shell = get_ipython()\nplain = shell.display_formatter.formatters['text/plain']")
    notebook.run("plain.for_type(int, lambda value, printer, cycle: printer.text(f'int {value}'))")
    notebook.run("times = []\ndef before(info): times.append(1)\nshell.events.register('pre_run_cell', before)")
    notebook.run("%alias_magic now pwd")
    assert notebook.run("5").result == "int 5"
    assert notebook.run("len(times)").result == "int 3"
    assert notebook.run("%now").content["status"] == "ok"
    notebook.run("shell.events.unregister('pre_run_cell', before)\nplain.pop(int)")
    assert notebook.run("len(times)").result == "5"
    assert notebook.run("len(times)").result == "5"


def test_what_a_module_holds_is_the_same_object_in_a_variable(notebook: Cells) -> None:
    notebook.run("import json\ntable = json.decoder.BACKSLASH\ntable['z'] = 'zed'")
    assert notebook.run("table is json.decoder.BACKSLASH, json.decoder.BACKSLASH['z']").result == "(True, 'zed')"


def test_the_part_of_a_module_that_cannot_be_carried_is_named_once(notebook: Cells) -> None:
    run = notebook.run("import json\njson.decoder.numbers = (n for n in range(3))\njson.decoder.fine = 1")
    assert run.notices == ["json.decoder.numbers will not be carried: generator"]
    run = notebook.run("json.decoder.fine, hasattr(json.decoder, 'numbers')")
    assert (run.result, run.notices) == ("(1, False)", [])


def test_modules_beside_the_notebook_are_found_from_any_folder(notebook: Cells) -> None:
    notebook.run("import os\nos.makedirs('sub/deep')\nopen('near.py', 'w').write('class K: pass\\n')")
    notebook.run(
        "open('sub/far.py', 'w').write('value = 7')\nimport near\nkept = near.K()\nos.chdir('sub')\nimport far"
    )
    notebook.run("os.chdir('deep')")
    assert notebook.run("type(kept) is near.K, far.value, os.path.basename(os.getcwd())").result == "(True, 7, 'deep')"
    assert notebook.run("import sys\n[path for path in sys.path if 'sub' in path]").result == "[]"


def test_what_answers_for_any_attribute_is_carried_without_being_asked(notebook: Cells) -> None:
    notebook.run(
        "class Any:\n    def __init__(self): self.inner = {'a': 1}\n"
        "    def __getattr__(self, name): return self.inner[name]"
    )
    notebook.run("found = Any()")
    assert notebook.run("found.a").result == "1"


def test_a_class_that_is_put_in_the_place_of_one_and_taken_back_costs_nothing(notebook: Cells) -> None:
    notebook.run("import socket\nclass Closed(socket.socket): ...\nreal = socket.socket\nsocket.socket = Closed")
    assert notebook.run("socket.socket is Closed").result == "True"
    notebook.run("socket.socket = real")
    run = notebook.run("x = 1\nsocket.socket.__name__")
    assert (run.result, run.notices) == ("'socket'", [])


def test_a_module_that_is_imported_by_the_cell_is_taken_in_before_it_is_changed(notebook: Cells) -> None:
    notebook.run("import xml.dom.minidom as dom\ndom.mine = [1]\ndef f(): dom.other = 2\nf()")
    assert notebook.run("dom.mine, dom.other").result == "([1], 2)"
    notebook.run("dom.mine.append(2)")
    assert notebook.run("import xml.dom.minidom\nxml.dom.minidom.mine, dom.other").result == "([1, 2], 2)"


def test_children_of_a_cell_are_its_own(notebook: Cells) -> None:
    code = (
        "import os, wave\nwave.mine = 1\nif os.fork() == 0: os._exit(0)\nos.wait()\n"
        "try: os.wait()\nexcept ChildProcessError: print('no more')"
    )
    assert notebook.run(code).stdout == "no more\n"


def test_figures_keep_the_format_that_was_asked_for(notebook: Cells) -> None:
    pytest.importorskip("matplotlib")
    notebook.run("%matplotlib inline\n%config InlineBackend.figure_format = 'svg'")
    run = notebook.run("import matplotlib.pyplot as plt\nplt.plot([1]);")
    assert "image/svg+xml" in run.all("display_data")[0]["data"]
    assert "image/svg+xml" in notebook.run("plt.plot([1]);").all("display_data")[0]["data"]


def test_loading_says_nothing(notebook: Cells) -> None:
    notebook.run("open('chatty.py', 'w').write('print(\"hello\")');")
    assert notebook.run("import chatty").stdout == "hello\n"
    assert notebook.run("chatty.__name__").stdout == ""


def test_history_of_the_notebook_can_be_listed_and_searched(notebook: Cells) -> None:
    for code in ("alpha = 1", "beta = 2", "gamma = 3"):
        notebook.run(code)
    assert notebook.run("%history -l 2").stdout == "beta = 2\ngamma = 3\n"
    assert "alpha = 1" in notebook.run("%history -g alpha").stdout
    notebook.run("gamma = 3")
    assert notebook.run("%history -g *=* -l 2").stdout == "   6: gamma = 3\n   7: %history -g *=* -l 2\n"
    assert notebook.run("%history -u -g gamma ?").stdout == "   6: gamma = 3\n   8: %history -u -g gamma ?\n"
    assert notebook.run("%rerun 2\nbeta").result == "2"


def test_a_fork_right_after_text_finds_one_thread(notebook: Cells) -> None:
    code = (
        "import os\nprint('text')\n"
        "os.register_at_fork(before=lambda: None)\n"
        "pid = os.fork()\n"
        "if pid == 0: os._exit(len(os.listdir('/proc/self/task')) - 1)\n"
        "os.waitpid(pid, 0)[1], len(os.listdir('/proc/self/task'))"
    )
    assert notebook.run(code).result == "(0, 1)"


def test_nothing_of_jupyter_is_needed() -> None:
    code = (
        "import sys\n"
        "for name in ('ipykernel', 'jupyter_client', 'jupyter_core', 'zmq', 'tornado', 'comm', 'jedi', 'psutil'):\n"
        "    sys.modules[name] = None\n"
        "from cellstack_guest import cell\ncell.warm()\n"
        "import os, threading\nos._exit(threading.active_count() + len(os.listdir('/proc/self/task')) - 2)"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": RUNTIME}, check=True)


def test_outputs_of_earlier_cells_are_in_the_history(notebook: Cells) -> None:
    notebook.run("'a' * 3")
    notebook.run("x = 1")
    assert notebook.run("%history -o -n").stdout.splitlines() == [
        "   1: 'a' * 3",
        "'aaa'",
        "   2: x = 1",
        "   3: %history -o -n",
    ]


def test_where_a_cell_prints_to_is_kept(notebook: Cells) -> None:
    notebook.run("import io, sys\nbefore = sys.stdout\nsys.stdout = io.StringIO()")
    assert notebook.run("print('kept')").stdout == ""
    assert notebook.run("text = sys.stdout.getvalue()\nsys.stdout = before\nprint(repr(text))").stdout == "'kept\\n'\n"
    assert notebook.run("print(before is sys.stdout)").stdout == "True\n"


def test_xdel_works_in_a_cell_of_its_own(notebook: Cells) -> None:
    notebook.run("z = [1]")
    assert notebook.run("%xdel z").content["status"] == "ok"
    assert notebook.run("'z' in globals()").result == "False"


def test_edit_asks_the_front_end(notebook: Cells) -> None:
    notebook.run("# a line\ndef f():\n    return 1")
    [payload] = notebook.run("%edit f").content["payload"]
    assert (payload["source"], payload["line_number"]) == ("edit_magic", 2)
    assert payload["filename"].startswith("/tmp/ipykernel_1/")


def test_what_else_ipykernel_has_can_be_imported(notebook: Cells) -> None:
    code = (
        "from ipykernel import get_connection_file\nfrom ipykernel.kernelapp import IPKernelApp\nimport ipykernel.embed"
    )
    assert notebook.run(code).content["status"] == "ok"
    run = notebook.run(
        "from ipykernel.iostream import IOPubThread, OutStream\nimport sys\nisinstance(sys.stdout, OutStream)"
    )
    assert run.result == "True"
    assert "has no attribute 'none_such'" in notebook.run("import ipykernel.iostream as i\ni.none_such").traceback


def test_libraries_find_the_kernel_that_they_know(notebook: Cells) -> None:
    run = notebook.run(
        "shell = get_ipython(); kernel = shell.kernel\n"
        "kernel.send_response(kernel.iopub_socket, 'stream', {'name': 'stdout', 'text': 'sent'})\n"
        "kernel.log.debug('x'); shell.set_parent({'header': {'msg_id': 'm'}})\n"
        "(kernel.get_parent()['content']['code'][:5], shell.parent_header['header']['msg_id'],\n"
        " len(kernel.session.session), kernel._parent_header['header'], shell.display_pub.parent_header)",
        parent={"shell": {"header": {"msg_id": "asked"}, "idents": []}},
    )
    assert run.stdout == "sent"
    assert run.result == "('shell', 'm', 32, {'msg_id': 'm'}, {'msg_id': 'm'})"


def test_hooks_see_what_is_displayed_and_may_keep_it(notebook: Cells) -> None:
    run = notebook.run(
        "seen = []\nhook = lambda message: seen.append(message['msg_type']) or (message if len(seen) > 1 else None)\n"
        "publisher = get_ipython().display_pub\npublisher.register_hook(hook)\n"
        "display(1); display(2)\n"
        "print(publisher.unregister_hook(hook), publisher.unregister_hook(hook)); display(3)\nseen"
    )
    assert [frame["data"]["text/plain"] for frame in run.all("display_data")] == ["2", "3"]
    assert (run.stdout, run.result) == ("True False\n", "['display_data', 'display_data']")


def test_the_event_loop_that_there_is_can_be_chosen(notebook: Cells) -> None:
    assert notebook.run("%gui asyncio").content["status"] == "ok"
    assert "no display" in notebook.run("%gui qt").stderr


def test_what_c_has_left_in_its_buffer_is_shown(notebook: Cells) -> None:
    assert notebook.run("import ctypes\nctypes.CDLL(None).printf(b'by C');").text["stdout"] == "by C"


def test_a_cell_may_put_other_functions_in_the_place_of_those_that_the_kernel_needs(notebook: Cells) -> None:
    names = (
        *("os.getpid", "os.write", "os.path.exists", "os.path.join", "os.stat", "os.open", "os.fstat", "os.pread"),
        *("os.listdir", "os.makedirs", "os.statvfs", "os.getcwd", "json.dumps", "json.loads", "struct.pack"),
        *("pickle.dumps", "select.poll", "threading.get_ident", "threading.Thread", "builtins.open"),
    )
    ran = notebook.run(
        f"from unittest import mock\nfor name in {names}:\n    mock.patch(name).start()\nprint('said')\nz = 3\nz"
    )
    assert (ran.stdout, ran.result, ran.notices) == ("said\n", "3", [])
    ran = notebook.run("z += 1; y = bytes(100_000); z")
    assert (ran.result, ran.notices) == ("4", [])
    assert notebook.run("z, len(y)").result == "(4, 100000)"


def test_a_cell_may_put_something_else_in_the_place_of_what_is_built_in(notebook: Cells) -> None:
    names = ("sorted", "map", "any", "all", "id", "min", "max", "sum", "zip", "vars", "print")
    code = (
        f"import builtins\nfor name in {names}:\n    setattr(builtins, name, lambda *arguments, **options: 1)\nz = [3]"
    )
    assert notebook.run(code).notices == []
    ran = notebook.run("y = bytes(100_000); z")
    assert (ran.result, ran.notices) == ("[3]", [])
    assert notebook.run("z, len(y)").result == "([3], 100000)"


ORIGINALS = {
    "of C": ("import math\nold = math.sqrt\nmath.sqrt = lambda x: 'new'", "math.sqrt", "(9)", "3.0"),
    "of the process": ("import time\nold = time.time\ntime.time = lambda: 42", "time.time", "() > 1e9", "True"),
    "of os.path": (
        "import os\nold = os.path.join\nos.path.join = lambda *a: 'new'",
        "os.path.join",
        "('a', 'b')",
        "'a/b'",
    ),
    "wrapped": (
        "import json\nold = json.dumps\ndef wrapped(f):\n    return lambda *a: f(*a) * 2\njson.dumps = wrapped(old)",
        *("json.dumps", "([1])", "'[1]'"),
    ),
    "class": (
        "import collections\nold = collections.Counter\nclass Mine(old):\n    pass\ncollections.Counter = Mine",
        *("collections.Counter", "('a')", "Counter({'a': 1})"),
    ),
    "method": (
        "import textwrap\nold = textwrap.TextWrapper.wrap\ntextwrap.TextWrapper.wrap = lambda *a: 'new'",
        *("textwrap.TextWrapper.wrap", "(textwrap.TextWrapper(), 'a')", "['a']"),
    ),
}


@pytest.mark.parametrize("case", ORIGINALS.values(), ids=ORIGINALS)
def test_what_a_module_had_is_kept_and_can_be_put_back(notebook: Cells, case: tuple[str, ...]) -> None:
    code, name, call, result = case
    assert notebook.run(code).notices == []
    for _ in range(2):
        assert notebook.run(f"old{call}, old is {name}").result == f"({result}, False)"
    assert notebook.run(f"{name} = old").notices == []
    assert notebook.run(f"{name}{call}, old is {name}").result == f"({result}, True)"


def test_what_was_imported_from_a_module_is_as_it_was_when_a_later_cell_has_changed_the_module(notebook: Cells) -> None:
    notebook.run("import math\nfrom math import floor")
    notebook.run("math.floor = lambda x: 'new'")
    assert notebook.run("math.floor(4.5), floor(4.5)").result == "('new', 4)"
    notebook.run("math.floor = floor")
    assert notebook.run("math.floor(4.5)").result == "4"


def test_a_function_of_an_earlier_cell_finds_what_is_built_in_as_a_cell_has_changed_it(notebook: Cells) -> None:
    notebook.run(
        "import types\nm = types.ModuleType('m')\nexec('def f(): return ascii(1)', vars(m))\ndef g(): return ascii(1)"
    )
    notebook.run("import builtins\nbuiltins.ascii = lambda value: 'new'\nprint(m.f(), g())")
    assert notebook.run("print(m.f(), g(), ascii(1))").stdout == "new new new\n"


@pytest.mark.parametrize("value", ["[1]", "{'a': [1]}", "1"])
def test_a_module_that_a_cell_has_made_is_imported_by_later_ones(notebook: Cells, value: str) -> None:
    notebook.run(f"import sys, types\nsys.modules['mm'] = types.ModuleType('mm')\nsys.modules['mm'].x = {value}")
    assert notebook.run("import mm\nprint(mm.x)").stdout == f"{value}\n"
    assert notebook.run("from mm import x as xx\nprint(xx)").stdout == f"{value}\n"
    assert notebook.run("print(mm.x, xx is mm.x, sys.modules['mm'] is mm)").stdout == f"{value} True True\n"


def test_functions_and_classes_of_a_module_that_a_cell_has_made_are_carried_with_it(notebook: Cells) -> None:
    code = "x = 1\ndef f(): return x\nclass A:\n    def g(self): return x\n"
    notebook.run(
        f"import sys, types\nm = types.ModuleType('mm')\nexec({code!r}, vars(m))\nsys.modules['mm'] = m\ndel m"
    )
    assert notebook.run("import mm\na = mm.A()\nprint(mm.f(), a.g())").stdout == "1 1\n"
    notebook.run("from mm import f, A")
    notebook.run("mm.x = 2")
    assert notebook.run("print(f(), a.g(), isinstance(a, A), A is mm.A, f is mm.f)").stdout == "2 2 True True True\n"


def test_the_event_loop_is_that_of_each_cell_and_what_it_is_to_call_ends_with_its_own(notebook: Cells) -> None:
    notebook.run("import asyncio\nloop = asyncio.get_running_loop()\nqueue = asyncio.Queue()\nawait queue.put(1)")
    ran = notebook.run("x = loop.call_later(60, print)\nother = asyncio.new_event_loop()")
    assert "'x' will not be carried: asyncio.events.TimerHandle" in ran.notices
    assert "'other' will not be carried: asyncio.unix_events._UnixSelectorEventLoop" in ran.notices
    assert (
        notebook.run("loop is asyncio.get_running_loop(), loop.is_running(), await queue.get()").result
        == "(True, True, 1)"
    )
    notebook.run("loop.call_soon(print, 'soon')")
    ran = notebook.run("import gc; len([gc.collect()])")
    assert (ran.result, ran.stderr, ran.text["stderr"]) == ("1", "", "")
