"""JupyterLab's debugger: breakpoints that are set by a click stop cells that are each another process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

ADD = "def add(a, b):\n    total = a + b\n    return total"
HERE = ".jp-DebuggerEditor-highlight"  # the line that it stands at


def click_gutter(lab: Lab, cell: int, line: int) -> None:
    gutter = lab.cell(cell).locator(".cm-gutter.cm-breakpoint-gutter .cm-gutterElement").nth(line)  # 0 gives the width
    gutter.click()
    expect(gutter.locator(".cm-breakpoint-icon")).to_be_visible()


def test_cells_stop_at_breakpoints_one_after_the_other(lab: Lab, tmp_path: Path) -> None:
    lab.write("debug.ipynb", ADD, "first = add(30, 2)\nfirst", "second = add(first, 10)\nsecond")
    lab.open("debug.ipynb")
    lab.page.get_by_role("button", name="Enable Debugger").click()
    lab.page.get_by_role("button", name="Disable Debugger").wait_for()
    lab.command("debugger:show-panel")
    variables = lab.page.locator(".jp-DebuggerVariables")
    stack = lab.page.locator(".jp-DebuggerCallstackFrame")
    expect(variables).to_contain_text("function variables")
    click_gutter(lab, 0, 2)
    click_gutter(lab, 2, 2)
    lab.run(0)

    lab.start(1)
    expect(lab.cell(0).locator(HERE)).to_have_text("    total = a + b")
    expect(stack).to_have_text([r"addCell [1]:2", "<module>Cell [*]:1"])
    expect(variables.get_by_role("treeitem")).to_have_text(["a30", "b2"])
    lab.command("debugger:next")
    expect(lab.cell(0).locator(HERE)).to_have_text("    return total")
    expect(variables.get_by_role("treeitem")).to_have_text(["a30", "b2", "total32"])
    lab.page.screenshot(path=tmp_path / "stopped.png")
    lab.command("debugger:continue")
    expect(lab.cell(1).locator(".jp-OutputArea-output")).to_have_text(["32"])
    expect(lab.page.locator(HERE)).to_have_count(0)

    lab.start(2)
    expect(lab.cell(0).locator(HERE)).to_have_text("    total = a + b")
    expect(variables.get_by_role("treeitem")).to_have_text(["a32", "b10"])
    lab.command("debugger:continue")
    expect(lab.cell(2).locator(HERE)).to_have_text("second")
    lab.page.screenshot(path=tmp_path / "again.png")
    lab.command("debugger:continue")
    expect(lab.cell(2).locator(".jp-OutputArea-output")).to_have_text(["42"])
    expect(lab.line(2)).to_contain_text("ok")
    expect(variables).to_contain_text("second")
    lab.page.screenshot(path=tmp_path / "over.png")
