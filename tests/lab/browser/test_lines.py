"""The line under a cell is of that cell: while others wait, beside another notebook, when cells and files are moved."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

ID = re.compile("^[0-9a-f]{12}$")
WAITING = "import time\nwhile True:\n    time.sleep(0.1)"


def test_cells_that_wait_show_no_container_and_one_that_is_moved_or_deleted_takes_its_line_along(lab: Lab) -> None:
    lab.write("queued.ipynb", WAITING, "1", "2")
    lab.open("queued.ipynb")
    lab.command("notebook:run-all-cells")
    link = lab.line(0).locator(".cs-CellLine-link")
    expect(link).to_have_text(ID)
    for index in (1, 2):
        expect(lab.line(index)).to_have_text("waits")
    lab.cell(0).locator(".jp-InputPrompt").click()
    lab.command("notebook:move-cell-down")
    expect(lab.line(0)).to_have_text("waits")
    expect(lab.line(1).locator(".cs-CellLine-link")).to_have_text(ID)
    lab.command("notebook:delete-cell")
    expect(lab.page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(2)
    lab.interrupt()
    expect(lab.page.locator(".cs-CellLine.cs-mod-running")).to_have_count(0)


def test_two_notebooks_side_by_side_show_their_own_containers(lab: Lab) -> None:
    for name in ("left", "right"):
        lab.write(f"{name}.ipynb", WAITING)
    lab.open("left.ipynb")
    lab.start(0)
    lab.command("docmanager:open", path="right.ipynb", options={"mode": "split-right"})
    lines = lab.page.locator(".cs-CellLine .cs-CellLine-link")
    expect(lines).to_have_count(1)
    first = lines.text_content()
    lab.page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    )
    lab.command("notebook:run-cell")
    expect(lines).to_have_count(2)
    assert len({*lines.all_text_contents()}) == 2
    assert first in lines.all_text_contents()


def test_outputs_that_are_cleared_take_the_line_along(lab: Lab) -> None:
    lab.write("cleared.ipynb", "print('said')", "x = 1")
    lab.open("cleared.ipynb")
    lab.run(0)
    lab.run(1)
    lab.command("notebook:clear-all-cell-outputs")
    expect(lab.page.locator(".cs-CellLine")).to_have_count(0)
    lab.save()
    assert '"cellstack"' not in (lab.server.folder / "cleared.ipynb").read_text().replace('"name": "cellstack"', "")


def test_a_notebook_that_is_renamed_keeps_its_layers_and_a_copy_says_whose_they_are(lab: Lab) -> None:
    lab.write("before.ipynb", "x = 1", "x = 2")
    lab.open("before.ipynb")
    lab.run(0)
    lab.run(1)
    lab.save()
    lab.show("Layers")
    expect(lab.panel).to_contain_text("before.ipynb")
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.rename('after.ipynb')")
    expect(lab.panel).to_contain_text("after.ipynb")
    lab.page.wait_for_function("() => window.jupyterapp.shell.currentWidget.context.path === 'after.ipynb'")
    lab.shut_down()
    shutil.copy(lab.server.folder / "after.ipynb", lab.server.folder / "copy.ipynb")
    lab.open("after.ipynb")
    lab.show("Layers")
    expect(lab.panel.get_by_role("option")).to_have_count(2)
    lab.open("copy.ipynb")
    lab.line(0).locator(".cs-CellLine-link").click()
    expect(lab.panel).to_contain_text("This layer is of after.ipynb")
