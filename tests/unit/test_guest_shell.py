"""What cells set on IPython's shell, in the processes that run cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.guest_cells import Cells


def test_attributes_and_the_handler_of_exceptions(notebook: Cells) -> None:
    notebook.run(
        "get_ipython().mine = [3]\ndef handle(shell, kind, error, traceback, tb_offset=None): print('handled', kind)\n"
        "get_ipython().set_custom_exc((KeyError,), handle)"
    )
    assert notebook.run("get_ipython().mine").result == "[3]"
    assert notebook.run("{}['k']").stdout == "handled <class 'KeyError'>\n"
    notebook.run("get_ipython().set_custom_exc((), None); del get_ipython().mine")
    assert notebook.run("{}['k']").content["ename"] == "KeyError"
    assert notebook.run("hasattr(get_ipython(), 'mine')").result == "False"


def test_a_transformer_of_the_notebook_leaves_those_of_ipython(notebook: Cells) -> None:
    count = "len(get_ipython().input_transformers_cleanup)"
    before = int(notebook.run(count).result or 0)
    notebook.run("def tf(lines): return [line.replace('§', '42') for line in lines]")
    notebook.run("get_ipython().input_transformers_cleanup.append(tf)")
    assert notebook.run(f"§, {count}").result == f"(42, {before + 1})"
    assert notebook.run("    indented = 1\n    §").result == "42"


def test_an_extension_beside_the_notebook_is_found_from_another_folder(notebook: Cells) -> None:
    source = "def load_ipython_extension(shell):\n    shell.register_magic_function(str.upper, magic_name='loud')"
    notebook.run(f"open('loud.py', 'w').write({source!r});\nimport os\nos.mkdir('below')")
    notebook.run("%load_ext loud")
    notebook.run("%cd -q below")
    run = notebook.run("%loud a")
    assert (run.result, run.notices) == ("'A'", [])


def test_a_file_goes_on_after_the_end_of_a_cell_in_an_iteration(notebook: Cells) -> None:
    notebook.run("open('lines', 'w').write('1\\n2\\n3\\n'); f = open('lines')\nnext(f)")
    assert notebook.run("next(f)").result == "'2\\n'"
    assert notebook.run("f.read()").result == "'3\\n'"
