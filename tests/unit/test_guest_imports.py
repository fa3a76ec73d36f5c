"""What imports do beyond binding a name: in other modules, below a call, and in front of the shell."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from tests.guest_cells import Cells

from cellstack_guest import adapters, hooks

LIBRARIES = {
    "host_lib": "import sys\nregistry = {}\nclass Frame: pass\n",
    "accessor_lib": "import host_lib\nhost_lib.registry['a'] = 1\nhost_lib.Frame.plot = lambda self: 'plotted'\n",
    "first_lib": "import calm_lib, host_lib\nhost_lib.registry['first'] = 1\n",
    "calm_lib": "import sys\nheld = {}\n",
    "quiet_lib": "import host_lib\n",
    "options_lib": "options = {}\ndef of_shell(): return 'get_ipython' in __builtins__\nhad_shell = of_shell()\n",
    "outer_lib": (
        "def setup():\n    import options_lib\n    options_lib.options['on'] = True\n"
        "def options():\n    import options_lib\n    return options_lib.options\n"
    ),
}


@pytest.fixture
def notebook(notebook: Cells, tmp_path: Path) -> Cells:
    """A new notebook that finds the libraries of this module."""
    for name, text in LIBRARIES.items():
        (tmp_path / f"{name}.py").write_text(text)
    notebook.run(f"import sys\nsys.path.append({str(tmp_path)!r})")
    return notebook


def test_what_an_import_registers_with_another_module_is_there_in_later_cells(notebook: Cells) -> None:
    notebook.run("import host_lib\nimport accessor_lib")
    assert notebook.run("host_lib.registry, host_lib.Frame().plot()").result == "({'a': 1}, 'plotted')"
    assert notebook.run("import host_lib as h\nh.Frame().plot()").result == "'plotted'"
    assert notebook.run("1").result == "1"


def test_what_an_import_registers_with_a_module_that_it_imports_itself_is_there(notebook: Cells) -> None:
    notebook.run("import first_lib\nimport host_lib, calm_lib")
    assert notebook.run("host_lib.registry").result == "{'first': 1}"
    assert notebook.run("[name for name in calm_lib.sys.modules if name.startswith('first')]").result == "[]"


def test_an_import_that_changes_no_other_module_is_not_made_again(notebook: Cells) -> None:
    notebook.run("import host_lib\nimport quiet_lib")
    assert notebook.run("host_lib.registry").result == "{}"
    assert notebook.run("[name for name in host_lib.sys.modules if name.startswith('quiet')]").result == "[]"


def test_what_a_call_changes_in_a_module_that_it_imports_is_carried(notebook: Cells) -> None:
    notebook.run("import outer_lib\nouter_lib.setup()")
    assert notebook.run("outer_lib.options()").result == "{'on': True}"
    assert notebook.run("import options_lib\noptions_lib.options").result == "{'on': True}"


def test_a_module_is_imported_in_sight_of_the_shell_in_later_cells_too(notebook: Cells) -> None:
    assert notebook.run("import options_lib\noptions_lib.had_shell").result == "True"
    assert notebook.run("options_lib.had_shell").result == "True"


def test_a_loader_that_is_watched_answers_as_itself(notebook: Cells) -> None:
    code = (
        "import importlib.util\n'options' in importlib.util.find_spec('options_lib').loader.get_source('options_lib')"
    )
    assert notebook.run(code).result == "True"


def test_parameters_of_matplotlib_beside_the_notebook_hold_where_it_was_imported_before() -> None:
    pytest.importorskip("matplotlib")
    cells = Cells("matplotlib.pyplot")
    try:
        (Path(cells.folder) / "matplotlibrc").write_text("figure.dpi: 91\nlines.linewidth: 7\n")
        code = "import matplotlib as mpl\nmpl.rcParams['figure.dpi'], mpl.rcParams['lines.linewidth']"
        assert cells.run(code).result == "(91.0, 7.0)"
        cells.run("mpl.rcParams['figure.dpi'] = 92")
        assert cells.run(code).result == "(92.0, 7.0)"
        cells.run("mpl.rc_file_defaults()")
        assert cells.run(code).result == "(91.0, 7.0)"
    finally:
        cells.close()


def test_libraries_find_what_they_look_for_in_ipykernel(notebook: Cells) -> None:
    code = (
        "import sys\nfrom ipykernel.zmqshell import ZMQInteractiveShell\n"
        "'ipykernel.zmqshell' in sys.modules, isinstance(get_ipython(), ZMQInteractiveShell)"
    )
    assert notebook.run(code).result == "(True, True)"


def test_what_is_printed_goes_to_a_stream_of_ipykernel(notebook: Cells) -> None:
    code = "import sys\nfrom ipykernel.iostream import OutStream\nisinstance(sys.stdout, OutStream)"
    assert notebook.run(code).result == "True"


def test_settings_of_what_the_shell_makes_later_are_carried(notebook: Cells) -> None:
    pytest.importorskip("matplotlib_inline")
    notebook.run("%config InlineBackend.figure_formats = ['svg']")
    code = "from matplotlib_inline.config import InlineBackend as B\nB.instance(parent=get_ipython()).figure_formats"
    assert notebook.run(code).result == "{'svg'}"
    assert notebook.run(code).result == "{'svg'}"


def test_a_comm_of_ipykernel_is_one_of_the_cell(notebook: Cells) -> None:
    pytest.importorskip("comm")
    run = notebook.run("from ipykernel.comm import Comm\nc = Comm(target_name='t', data={'a': 1})")
    assert [frame["content"]["target_name"] for frame in run.all("comm")] == ["t"]
    run = notebook.run("c.send({'b': 2})")
    assert [frame["content"]["data"] for frame in run.all("comm")] == [{"b": 2}]


def test_observers_of_a_widget_are_carried(notebook: Cells) -> None:
    pytest.importorskip("ipywidgets")
    notebook.run(
        "import ipywidgets as w\nseen = []\nx = w.IntText(1)\nx.observe(lambda c: seen.append(c.new), 'value')\n"
        "a, b = w.IntText(1), w.IntText(1)\nlink = w.link((a, 'value'), (b, 'value'))"
    )
    notebook.run("x.value = 2\na.value = 7")
    assert notebook.run("seen, b.value").result == "([2], 7)"
    notebook.run("x.unobserve_all()\nlink.unlink()\nx.value = 3\na.value = 8")
    assert notebook.run("x.value = 4\na.value = 9\nseen, b.value").result == "([2], 7)"


def test_a_thread_that_a_module_keeps_is_not_carried_and_not_spoken_of(notebook: Cells) -> None:
    run = notebook.run("import host_lib, threading\nhost_lib.watcher = threading.Thread(target=print, daemon=True)")
    assert run.notices == []
    assert notebook.run("hasattr(host_lib, 'watcher')").result == "False"


def test_what_a_module_beside_the_notebook_has_replaced_does_not_come_back(notebook: Cells) -> None:
    Path(notebook.folder, "shop.py").write_text(
        "seen = []\nby_name = {}\nclass Kind:\n    items = []\n"
        "def add(x): seen.append(x); by_name[x] = 1; Kind.items.append(x)\n"
        "def reset():\n    global seen, by_name\n    seen, by_name, Kind.items = [], {}, []\n"
    )
    shown = "shop.seen, shop.by_name, shop.Kind.items"
    notebook.run("import shop")
    notebook.run("shop.add(1)")
    assert notebook.run(shown).result == "([1], {1: 1}, [1])"
    notebook.run("shop.reset()")
    assert notebook.run(shown).result == "([], {}, [])"
    notebook.run("shop.add(2)")
    assert notebook.run(shown).result == "([2], {2: 1}, [2])"
    notebook.run("del shop.by_name, shop.Kind.items")
    ran = notebook.run("hasattr(shop, 'by_name'), hasattr(shop.Kind, 'items'), shop.seen")
    assert (ran.result, ran.notices) == ("(False, False, [2])", [])


def test_what_a_cell_replaces_in_a_module_is_still_there_for_a_variable(notebook: Cells) -> None:
    Path(notebook.folder, "shop.py").write_text("seen = []\nalias = seen\n")
    notebook.run("import shop\nshop.seen.append(1)")
    notebook.run("kept = shop.seen\nshop.seen = []")
    notebook.run("kept.append(2)\nshop.seen.append('new')")
    assert notebook.run("kept, shop.seen, shop.alias is kept").result == "([1, 2], ['new'], True)"


SHOP = "rate = 1\nseen = []\nclass Kind:\n    items = []\n"
SHOWN = "shop.rate, shop.seen, shop.Kind.items"


def test_module_that_is_loaded_again_is_as_its_file_says(notebook: Cells) -> None:
    path = Path(notebook.folder, "shop.py")
    path.write_text(SHOP)
    notebook.run("import shop, importlib")
    notebook.run("shop.seen.append(1)\nshop.Kind.items.append(2)\nshop.rate = 3")
    assert notebook.run(SHOWN).result == "(3, [1], [2])"
    notebook.run("importlib.reload(shop)")
    assert notebook.run(SHOWN).result == "(1, [], [])"


def test_module_whose_file_has_changed_is_as_its_file_says(notebook: Cells) -> None:
    path = Path(notebook.folder, "shop.py")
    path.write_text(SHOP)
    notebook.run("import shop")
    notebook.run("shop.seen.append(1)\nshop.Kind.items.append(2)\nshop.rate = 3\nshop.more = [1]")
    path.write_text("rate = 100\nseen = ['new']\nclass Kind:\n    items = ['mine']\n")
    assert notebook.run(SHOWN).result == "(100, ['new'], ['mine'])"
    notebook.run("shop.seen.append(4)")
    assert notebook.run(SHOWN).result == "(100, ['new', 4], ['mine'])"


def test_file_of_a_module_that_a_cell_has_written_counts_in_the_next_one(notebook: Cells) -> None:
    path = Path(notebook.folder, "shop.py")
    path.write_text("rate = 1\ndef f(): return rate\n")
    notebook.run("import shop")
    notebook.run("shop.rate = 5\nshop.f()")
    notebook.run("shop.f()\nopen('shop.py', 'w').write('rate = 200\\ndef f(): return rate + 1\\n')")
    assert notebook.run("shop.rate, shop.f()").result == "(200, 201)"


def test_attributes_of_functions_stay(notebook: Cells) -> None:
    notebook.run("import json\nfrom textwrap import dedent\nimport logging")
    notebook.run("json.dumps.calls = 7\ndedent.seen = [1]\nlogging.Logger.info.tag = 't'")
    code = "import textwrap\njson.dumps.calls, textwrap.dedent.seen, logging.Logger.info.tag"
    assert notebook.run(code).result == "(7, [1], 't')"
    notebook.run("json.dumps.calls += 1\ndel dedent.seen")
    assert notebook.run("json.dumps.calls, hasattr(textwrap.dedent, 'seen')").result == "(8, False)"


def test_what_a_function_beside_the_notebook_keeps_in_itself_stays(notebook: Cells) -> None:
    Path(notebook.folder, "steps.py").write_text(
        "import functools, threading\n"
        "def step():\n    step.count += 1\n    step.seen.append(step.count)\n    return step.count\n"
        "step.count, step.seen, step.lock = 0, [], threading.Lock()\n"
        "@functools.wraps(step)\ndef other(): pass\n"
    )
    ran = notebook.run("import steps\nsteps.step()")
    assert (ran.result, ran.notices) == ("1", [])
    assert notebook.run("steps.step(), steps.step.seen").result == "(2, [1, 2])"
    notebook.run("seen = steps.step.seen")
    assert notebook.run("seen.append('x')\nsteps.step(), steps.step.seen is seen").result == "(3, True)"


def test_modules_that_compiled_ones_have_made_are_not_the_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks.start()
    for name in ("cython_runtime", "_cython_3_2_4", "own"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    found = adapters.HOOKS["hook:sys:modules"].read({"modules"}, None)
    assert found is not None
    assert "own" in found
    assert not any("cython" in name for name in found)
