"""Live views of the kernel in a notebook: their charts move, their form applies at once, in both themes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from tests.lab.browser.test_looks import AXE

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator
    from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytest.importorskip("anywidget", reason="anywidget is not installed: pip install anywidget")

HOSTILE = '<img src=x onerror="window.pwned=1">'
GROWS = f"""# {HOSTILE}
import time
blocks = []
for _ in range(400):
    blocks.append(bytearray(2**20))
    sum(range(200_000))
    time.sleep(0.1)
"""
FIRST = f"# {HOSTILE}\nopen('made.txt', 'w').write('x')"


def check_moves(view: Locator) -> None:
    """Have a dashboard show how the cell grows that runs as the third, with 600 MiB as its limit."""
    expect(view).to_contain_text("cell [3] runs")
    line = view.locator(".csv-line").first
    expect(line).not_to_have_attribute("d", line.get_attribute("d") or "")
    expect(view.get_by_role("img", name=re.compile(r"^Memory: .* MiB, of 600 MiB"))).to_be_visible()


def check_limits_apply(view: Locator) -> None:
    """Lower a running cell's limit in a dashboard's form, and write there what is none."""
    memory = view.get_by_role("textbox", name="Memory")
    memory.fill("300m")
    memory.press("Enter")
    expect(view.get_by_role("status")).to_have_text("At once, and for the cells that follow.")
    expect(view.get_by_role("img", name=re.compile(r"^Memory: .* MiB, of 300 MiB"))).to_be_visible()
    expect(memory).to_have_value("300m")
    memory.fill("lots")
    view.get_by_role("button", name="Apply at once").click()
    expect(view.get_by_role("status")).to_contain_text("'lots' is not a size")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_dashboard_moves_while_a_cell_runs_and_applies_limits(lab: Lab, theme: str, tmp_path: Path) -> None:
    name = f"views-{theme[-5:].strip().lower()}.ipynb"
    lab.write(name, FIRST, "%dashboard", GROWS, metadata={"limits": {"memory": "600m", "cpus": "2"}})
    lab.open(name)
    lab.theme(theme)
    lab.run(0)
    lab.start(1)
    view = lab.cell(1).locator(".cellstack-view")
    expect(view).to_contain_text(HOSTILE)
    expect(view).to_contain_text("8 of 8 namespaces are this cell's own.")
    lab.start(2)
    check_moves(view)

    view.locator("summary").filter(has_text="hostname").press("Enter")
    opened = view.locator("details[open]")
    expect(opened).to_have_count(1)
    check_limits_apply(view)
    expect(opened).to_have_count(1)
    lab.cell(1).screenshot(path=tmp_path / "dashboard.png")
    faults = []
    if AXE.exists():
        lab.page.evaluate("() => { document.body.style.height = '100vh'; }")
        lab.page.add_script_tag(content=AXE.read_text())
        found = lab.page.evaluate("() => axe.run({include: [['.cellstack-view']]})")
        faults = [fault["id"] for fault in found["violations"] if fault["impact"] in ("serious", "critical")]
    lab.command("kernelmenu:interrupt")
    expect(view).to_contain_text("cell [3] is over")
    assert faults == []
    assert view.locator("img, script").count() == 0
    assert lab.page.evaluate("window.pwned") is None


def save(lab: Lab) -> None:
    lab.command("docmanager:save")
    lab.page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")


def test_views_are_there_again_after_a_reload(lab: Lab) -> None:
    lab.write("again.ipynb", "x = 1", "%layers", "x = 2")
    lab.open("again.ipynb")
    lab.run(0)
    lab.start(1)
    view = lab.cell(1).locator(".cellstack-view")
    expect(view).to_contain_text("x = 1")
    save(lab)
    output = json.loads((lab.server.folder / "again.ipynb").read_text())["cells"][1]["outputs"][0]
    assert "text/html" in output["data"]
    lab.page.reload()
    expect(view).to_contain_text("x = 1")
    lab.run(2)
    expect(view).to_contain_text("x = 2")
    save(lab)
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    lab.open("again.ipynb")
    expect(view.get_by_role("listitem").filter(has_text="image")).to_contain_text("head")  # a new kernel starts clean
    lab.run(2)
    expect(view.get_by_role("listitem").filter(has_text="x = 2").filter(has_text="head")).to_have_count(1)
