"""Python tells a warning once for each place; that cells are processes must not be noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.guest_cells import Cells

TELL = "import warnings\ndef tell(text='old', kind=UserWarning):\n    warnings.warn(text, kind)\n"


def test_a_warning_of_the_cells_own_code_is_told_once_in_each_cell(notebook: Cells) -> None:
    """IPython forgets what was told before each."""
    assert "old" in notebook.run(f"{TELL}tell()").stderr
    assert notebook.run("tell(); tell()").stderr.count("UserWarning: old") == 1
    assert notebook.run("x = 1; tell('new'); tell()").stderr.count("UserWarning") == 2


def test_warnings_are_told_again_when_filters_have_changed(notebook: Cells) -> None:
    notebook.run(f"{TELL}tell()")
    notebook.run("with warnings.catch_warnings(): pass")
    assert "old" in notebook.run("tell()").stderr


def test_a_warning_is_told_once_in_a_module_where_filters_say_so(notebook: Cells, tmp_path: Path) -> None:
    (tmp_path / "warner.py").write_text(
        "import warnings\ndef tell():\n    warnings.warn('same')\n    warnings.warn('same')\n"
    )
    notebook.run(
        f"import sys, warnings\nsys.path.insert(0, {str(tmp_path)!r})\nwarnings.simplefilter('module')\nimport warner"
    )
    assert notebook.run("warner.tell()").stderr.count("UserWarning: same") == 1
    assert notebook.run("warner.tell()").stderr == ""


def test_a_warning_of_a_module_that_is_imported_in_each_cell_is_told_once(notebook: Cells, tmp_path: Path) -> None:
    (tmp_path / "warner.py").write_text("import warnings\ndef tell():\n    warnings.warn('old')\n")
    notebook.run(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})")
    assert "old" in notebook.run("import warner\nwarner.tell()").stderr
    notebook.run("x = 1")
    assert notebook.run("import warner\nwarner.tell()").stderr == ""


def test_a_cell_that_loads_the_module_of_warnings_again_sees_its_own_only(notebook: Cells) -> None:
    run = notebook.run("import importlib, warnings\nimportlib.reload(warnings)\nwarnings.warn('own')")
    assert run.stderr.count("Warning:") == 1
