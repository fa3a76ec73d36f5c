"""What a cell has failed with is there in the cells after it, each a process of its own."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from IPython.utils.path import get_py_filename

from cellstack_guest import failures

if TYPE_CHECKING:
    from tests.guest_cells import Cells

FAILING = """class Box:
    def __init__(self, content):
        self.content = content
big = list(range(3))
def inner(box, number, seen):
    many = bytearray(10**7)
    items = (each for each in seen)
    return number / 0
def outer(number):
    return inner(Box("key"), number, big)
"""


def debug(notebook: Cells, code: str, *commands: str) -> str:
    """Run a cell that asks what to do; return all that is printed."""
    run = notebook.start(code=code, allow_stdin=True)
    for asked, command in enumerate([*commands, "q"], 1):
        while len(run.all("input_request")) < asked:
            run.until("input_request") if asked == 1 else run._read(30)
        run.send({"type": "input_reply", "value": command})
    printed = notebook.finish(run).stdout
    return re.sub(r"\x1b\[[0-9;]*m", "", printed)


def test_a_debugger_finds_the_frames_of_the_cell_that_failed(notebook: Cells) -> None:
    notebook.run(FAILING)
    notebook.run("outer(7)")
    notebook.run("big.append(9)")
    printed = debug(notebook, "%debug", "p number, box.content, seen is big", "up", "p number")
    assert "(8)inner()" in printed
    assert "----> 8     return number / 0" in printed
    assert "(7, 'key', True)" in printed
    assert "(10)outer()" in printed
    assert printed.rstrip().endswith("7")


def test_a_debugger_finds_what_a_file_has_failed_with_that_a_cell_has_run(notebook: Cells) -> None:
    notebook.run("open('failing.py', 'w').write('def q():\\n    inner = 5\\n    1 / 0\\nq()')")
    notebook.run("1 / nosuch")
    notebook.run("%run failing.py")
    printed = debug(notebook, "%debug", "p inner", "up")
    assert "failing.py(3)q()" in printed
    assert "\n5\n" in printed
    assert "failing.py(4)<module>()" in printed


def test_an_error_that_was_shown_and_not_raised_is_the_last(notebook: Cells) -> None:
    notebook.run("1 / nosuch")
    notebook.run("%%capture\nint('x')")
    assert "invalid literal" in (notebook.run("import sys\nsys.last_value").result or "")
    notebook.run("x = = 3")
    assert [error["ename"] for error in notebook.run("%tb").all("error")] == ["SyntaxError"]


def test_what_is_large_or_no_pickle_is_named(notebook: Cells) -> None:
    notebook.run(FAILING)
    notebook.run("outer(7)")
    printed = debug(notebook, "import pdb\npdb.pm()", "p many, items")
    assert "(<bytearray, not kept: too large>, <generator, not kept: TypeError>)" in printed


def test_the_traceback_is_shown_again_as_it_was(notebook: Cells) -> None:
    notebook.run(FAILING)
    [shown] = notebook.run("outer(7)").all("error")
    again = notebook.run("%tb")
    assert again.all("error") == [shown]
    assert again.content["status"] == "ok"
    assert "line 8 in inner" in re.sub(r"\x1b\[[0-9;]*m", "", notebook.run("%tb Plain").traceback)


def test_a_word_of_other_meaning_loads_nothing(notebook: Cells) -> None:
    notebook.run(FAILING)
    notebook.run("outer(7)")
    run = notebook.run("import logging\nlogging.debug('x')\ntb = pm = 1")
    assert run.reply["carried"]["loaded"] == []
    run = notebook.run("import sys\nsys.last_value.args")
    assert (run.result, run.reply["carried"]["loaded"]) == ("('division by zero',)", [])


def test_sys_tells_of_the_last_error(notebook: Cells) -> None:
    notebook.run("class Own(Exception): pass\nraise Own('why', 3)")
    run = notebook.run("import sys\nsys.last_type.__name__, sys.last_value.args")
    assert run.result == "('Own', ('why', 3))"
    assert "Own: ('why', 3)" in notebook.run("import traceback\ntraceback.print_last()").stderr
    assert (
        notebook.run("hasattr(__import__('sys'), 'last_' + 'value')").result == "False"
    )  # nobody looks: nothing is loaded


def test_an_error_that_cannot_be_pickled_has_its_name_and_text(notebook: Cells) -> None:
    notebook.run("class Own(Exception):\n    def __init__(self, a, b): super().__init__(lambda: a)\nraise Own(1, 2)")
    run = notebook.run("import sys\ntype(sys.last_value).__name__, str(sys.last_value)[:9]")
    assert run.result == "('Own', '<function')"


def test_the_last_failure_counts_and_a_probe_leaves_none(notebook: Cells) -> None:
    notebook.run("first = 1\n1 / 0")
    notebook.run("{}['second']")
    notebook.run("undefined", store_history=False)
    notebook.run("fine = 1")
    assert notebook.run("import sys\nsys.last_value").result == "KeyError('second')"


def test_a_deep_recursion_keeps_both_of_its_ends(notebook: Cells) -> None:
    notebook.run("def deeper(n):\n    return deeper(n + 1)\ndeeper(0)")
    run = notebook.run(
        "import sys\nentry, seen = sys.last_traceback, []\n"
        "while entry:\n    seen.append(entry.tb_frame.f_locals.get('n'))\n    entry = entry.tb_next\n"
        "seen[2:4], seen[-1] > 900, len(seen)"
    )
    assert run.result == f"([0, 1], True, {failures.MAX_FRAMES})"


def test_methods_that_print_while_a_failure_is_taken_down_are_not_heard(notebook: Cells) -> None:
    notebook.run("class Loud:\n    def __reduce__(self):\n        print('reduced')\n        return (int, ())")
    run = notebook.run("def f(loud): 1 / 0\nf(Loud())")
    assert run.stdout == ""
    assert run.notices == []


def test_frames_have_the_place_and_the_variables_that_they_had() -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    code = compile("\n\n\ndef f(x):\n    y = x + 1\n    raise KeyError(y)\nf(1)", "/tmp/cell.py", "exec")
    with pytest.raises(KeyError) as raised:
        exec(code, namespace)
    failure = failures.taken(raised.value, namespace, {"ename": "KeyError", "evalue": "2", "traceback": []})
    assert failure is not None
    error = failures.restored(failure, namespace)
    entry = error.__traceback__
    places = []
    while entry is not None:
        frame = entry.tb_frame
        places.append((frame.f_code.co_filename, frame.f_code.co_name, entry.tb_lineno, frame.f_lineno))
        entry = entry.tb_next
    assert places[-2:] == [("/tmp/cell.py", "<module>", 7, 7), ("/tmp/cell.py", "f", 6, 6)]
    assert frame.f_locals == {"x": 1, "y": 2}
    assert frame.f_globals is namespace
    assert sys.exc_info() == (None, None, None)


def test_an_error_before_any_code_of_the_cell_is_no_failure() -> None:
    with pytest.raises(OSError, match="nosuch") as raised:
        get_py_filename("nosuch")  # type: ignore[no-untyped-call]
    traceback = raised.value.__traceback__
    assert traceback is not None
    assert failures.taken(raised.value.with_traceback(traceback.tb_next), {}, {}) is None


def test_builtins_are_there_in_the_frame_of_a_file_that_was_run(notebook: Cells) -> None:
    notebook.run("%%writefile broken.py\nvalue = [1]\nvalue[1]")
    notebook.run("%run broken.py")
    code = "import sys\ntb = sys.last_traceback\nwhile tb.tb_next: tb = tb.tb_next\nframe = tb.tb_frame\n"
    assert notebook.run(f"{code}eval('len(value)', {{**frame.f_globals, **frame.f_locals}})").result == "1"
