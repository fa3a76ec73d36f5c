"""Jupyter Notebook 7: the same page parts in another shell."""

from __future__ import annotations

import pytest
from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytest.importorskip("notebook", reason="Jupyter Notebook 7 is not installed: pip install notebook")

WORKS = "import time\nfor _ in range(300):\n    sum(range(200_000))\n    time.sleep(0.1)"


class Notebook(Lab):
    """A notebook in Jupyter Notebook 7."""

    def open(self, name: str) -> None:
        """Open a notebook and wait until its kernel is idle."""
        self.page.goto(f"{self.server.url}/notebooks/{name}?token={self.server.token}")
        self._wait_for_kernel("idle")


def test_lines_live_views_and_the_panel_are_there(lab: Lab) -> None:
    notebook = Notebook(lab.page, lab.server)
    notebook.write("classic.ipynb", "x = [1]\nopen('made.txt', 'w').write('x')", "%dashboard", WORKS)
    notebook.open("classic.ipynb")
    lab.problems.clear()  # a script of Notebook 7's own fails while the page is loaded (7.6)
    notebook.run(0)
    expect(notebook.line(0)).to_contain_text("ok")
    notebook.start(1)
    view = notebook.cell(1).locator(".cellstack-view")
    expect(view).to_contain_text("8 of 8 namespaces are this cell's own.")
    notebook.start(2)
    expect(view).to_contain_text("cell [3] runs")
    line = view.locator(".csv-line").first
    expect(line).not_to_have_attribute("d", line.get_attribute("d") or "")
    notebook.command("kernelmenu:interrupt")
    expect(view).to_contain_text("cell [3] is over")

    notebook.line(0).get_by_role("button", name="layer").click()
    expect(notebook.panel).to_contain_text("made.txt")
