"""What cells have imported is there in the process that the next cells are forked from."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.kernels import Running

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

LEARNING_SECONDS = 60


def installing(modules: dict[str, str]) -> str:
    """Return the code of a cell that installs modules, by name."""
    write = "open(f'{site}/{name}.py', 'w').write(source)"
    return (
        f"import sysconfig\nsite = sysconfig.get_paths()['purelib']\nfor name, source in {modules!r}.items(): {write}"
    )


INSTALL = installing(
    {
        "only_in_a_cell": "import os\nif not os.path.exists('/proc/1'): raise RuntimeError('where am I?')",
        "wants_itself_in_proc": "import os\nopen(f'/proc/{os.getpid()}/stat').close()",
    }
)


def test_module_that_cannot_be_imported_ahead_takes_no_other_with_it(kernel: Running) -> None:
    kernel.run(INSTALL)
    kernel.run("import only_in_a_cell, wants_itself_in_proc\ndel only_in_a_cell, wants_itself_in_proc")
    deadline = time.monotonic() + LEARNING_SECONDS
    while (here := _modules_of_a_cell(kernel)) == [] and time.monotonic() < deadline:
        pass
    assert here == ["wants_itself_in_proc"]


def test_what_completions_read_is_there_once_one_was_asked_for(kernel: Running) -> None:
    looks = "import sys; print('cellstack_guest.ahead' in sys.modules)"
    assert kernel.run(looks)[1] == ["False\n"]
    kernel.client.complete("pri", reply=True, timeout=60)
    deadline = time.monotonic() + LEARNING_SECONDS
    while kernel.run(looks)[1] == ["False\n"] and time.monotonic() < deadline:
        pass
    assert kernel.run(looks)[1] == ["True\n"]
    assert kernel.client.complete("pri", reply=True, timeout=60)["content"]["matches"] == ["print"]


LIBRARIES = installing(
    {
        "reads_environment": "import os\nhad = os.environ.get('WITH')",
        "reads_it_too": "import os\nhad = os.environ.get('WITH')",
        "sets_it": "import os\nos.environ['WITH'] = 'own'\nimport reads_environment",
        "in_both": "where = 'installed'",
        "registry": "items = []",
        "fails_ahead": "import os, registry\nregistry.items.append(1)\nos.stat('/proc/1')",
        "ends_what_imports_it_ahead": "import signal; signal.alarm(1)",
        "config": "LIMIT = 1\nsettings = {'path': 'usual'}\nitems = ['own']\ndef get(): return 'own'",
        "takes_some": "from config import LIMIT, items, get",
        "resets": "import config\nconfig.LIMIT = 9\nconfig.settings['path'] = 'reset'",
        "takes_over": "import config\nLIMIT, settings = config.LIMIT, dict(config.settings)\nconfig.items.append(2)",
        "takes_time": "import time\ntime.sleep(1)",
        "a_choice": "made = 'usual'",
        "plugin": "import os, a_choice, registry\nregistry.items += [2]\na_choice.made = 'plugin'\nos.stat('/proc/1')",
    }
)


def test_what_a_cell_imports_is_there_in_the_next(kernel: Running) -> None:
    kernel.run(LIBRARIES)
    kernel.run("import takes_time as t")
    assert kernel.run("import sys; print('takes_time' in sys.modules)")[1] == ["True\n"]


def test_what_a_cell_was_to_import_and_has_not_is_not_there_in_the_next(kernel: Running) -> None:
    kernel.run(LIBRARIES)
    kernel.run("1 / 0\nimport takes_time as t")
    assert kernel.run("import sys; print('takes_time' in sys.modules)")[1] == ["False\n"]


def test_modules_have_found_the_environment_that_they_were_imported_with(kernel: Running) -> None:
    kernel.run(LIBRARIES)
    kernel.run("import os, reads_environment\nos.environ['WITH'] = 'one'\nimport reads_it_too\ndel os.environ['WITH']")
    shown = "print(reads_environment.had, reads_it_too.had, os.environ.get('WITH'))"
    for _ in range(3):
        assert kernel.run(shown)[1] == ["None one None\n"]


def test_what_a_module_sets_for_those_that_it_imports_is_set(kernel: Running) -> None:
    kernel.run(LIBRARIES)
    kernel.run("import sets_it")
    there = "import sys; print('sets_it' in sys.modules, sets_it.reads_environment.had, sets_it.os.environ['WITH'])"
    for _ in range(2):
        assert kernel.run(there)[1] == ["True own own\n"]


def test_another_head_has_modules_with_its_own_environment(kernel: Running) -> None:
    kernel.run(LIBRARIES)
    kernel.run("import os; os.environ['WITH'] = 'one'")
    kernel.run("import reads_environment")
    assert kernel.run("print(reads_environment.had)")[1] == ["one\n"]
    kernel.run("%undo 3")
    kernel.run("import os, reads_environment")
    for _ in range(2):
        assert kernel.run("print(reads_environment.had)")[1] == ["None\n"]


CHANGE = "import config; config.LIMIT = 5; config.settings['path'] = 'other'; config.items.append(1)"


@pytest.mark.parametrize(
    "cells",
    [
        (CHANGE, "import takes_over"),
        (CHANGE + "\nimport takes_over",),
        (CHANGE, "import takes_over\nprint(config.items)"),
    ],
    ids=["in the next cell", "in the same cell", "in the next cell, which does more"],
)
def test_what_a_module_takes_over_from_one_that_cells_have_changed_is_that(
    cells: tuple[str, ...], kernel: Running
) -> None:
    kernel.run(LIBRARIES)
    for code in cells:
        kernel.run(code)
    assert kernel.run("import sys; print('takes_over' in sys.modules)")[1] == ["True\n"]
    for _ in range(2):
        shown = kernel.run("print(takes_over.LIMIT, takes_over.settings, config.LIMIT, config.items)")[1]
        assert shown == ["5 {'path': 'other'} 5 ['own', 1, 2]\n"]


def test_variables_that_a_module_takes_over_stay_what_they_are(kernel: Running) -> None:
    kernel.run(LIBRARIES)
    kernel.run("import config\nx = [1]\nconfig.items, config.get = x, lambda: 'cell'\nimport takes_some\nprint(1)")
    shown = "print(x, config.items, takes_some.items, takes_some.get(), takes_some.LIMIT)"
    assert kernel.run(shown)[1] == ["[1] [1] [1] cell 1\n"]
    kernel.run("x.append(2)")
    assert kernel.run(shown)[1] == ["[1, 2] [1, 2] [1, 2] cell 1\n"]


def test_a_module_that_does_no_more_than_take_over_what_many_have_has_that(kernel: Running) -> None:
    kernel.run(LIBRARIES)
    kernel.run("import config; config.LIMIT = 5\nconfig.get = lambda: 'cell'")
    kernel.run("import takes_some")
    assert kernel.run("print(takes_some.LIMIT, takes_some.get(), takes_some.items)")[1] == ["5 cell ['own']\n"]


def test_what_an_import_sets_anew_that_a_cell_has_changed_is_as_the_import_has_set_it(kernel: Running) -> None:
    kernel.run(LIBRARIES)
    kernel.run("import config; config.LIMIT = 5; config.settings.update(path='other', more=1)")
    kernel.run("import resets")
    assert kernel.run("print(config.LIMIT, config.settings)")[1] == ["9 {'path': 'reset', 'more': 1}\n"]


def test_what_a_cell_chooses_after_an_import_has_chosen_stays_chosen(kernel: Running) -> None:
    kernel.run(LIBRARIES)
    kernel.run("import plugin, a_choice, registry")
    assert kernel.run("a_choice.made, registry.items")[1] == ["('plugin', [2])"]
    kernel.run("a_choice.made = 'mine'")
    for _ in range(2):
        assert kernel.run("a_choice.made, registry.items")[1] == ["('mine', [2])"]


def test_a_module_of_ones_own_is_not_the_installed_one_of_its_name(kernel: Running) -> None:
    kernel.run(LIBRARIES + "\nopen('in_both.py', 'w').write('where = \"own\"')\nimport sys; sys.path.insert(0, '')")
    kernel.run("import in_both")
    for _ in range(3):
        assert kernel.run("print(in_both.where)")[1] == ["own\n"]


def test_what_a_module_has_done_that_cannot_be_imported_ahead_is_done_once(kernel: Running) -> None:
    kernel.run(LIBRARIES)
    kernel.run("import registry, fails_ahead")
    for module in ("reads_environment", "reads_it_too"):
        assert kernel.run("print(registry.items)")[1] == ["[1]\n"]
        kernel.run(f"import {module}")


def test_cells_go_on_when_the_process_that_they_are_forked_from_has_died(kernel: Running) -> None:
    kernel.run(LIBRARIES)
    kernel.run("x = 7\nimport ends_what_imports_it_ahead as e\nimport signal; signal.alarm(0)")
    time.sleep(2)  # of a signal that comes after a second
    kernel.run("1")
    for _ in range(2):
        assert kernel.run("print(x)")[1] == ["7\n"]


def _modules_of_a_cell(kernel: Running) -> list[str]:
    _, [text] = kernel.run("import sys; print(*{'only_in_a_cell', 'wants_itself_in_proc'} & sys.modules.keys())")
    return text.split()
