"""What a person does in the panel: look at layers, watch a container, kill it, go back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

GROWS = """# {name}
import time
blocks = []
for _ in range(400):
    blocks.append(bytearray(2**20))
    sum(range(200_000))
    time.sleep(0.1)
"""


def test_layers_are_listed_and_checked_out(lab: Lab) -> None:
    lab.write("layers.ipynb", "x = 1", "x = 2\nopen('made.txt', 'w').write('two')", "x")
    lab.open("layers.ipynb")
    lab.show("Layers")
    expect(lab.panel).to_contain_text("layers.ipynb has no layers yet")
    for index in range(3):
        lab.run(index)
    expect(lab.line(1)).to_contain_text("+1")
    expect(lab.cell(2).locator(".jp-OutputArea-output")).to_have_text("2")
    rows = lab.panel.locator(".cs-Layers").get_by_role("option")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("head")
    expect(rows.nth(2)).to_contain_text("x = 1")

    rows.nth(1).click()
    expect(lab.panel).to_contain_text("made.txt")
    rows.nth(2).click()
    lab.panel.get_by_role("tab", name=re.compile("Variables")).click()
    expect(lab.panel.locator(".cs-Variables")).to_contain_text("x")
    lab.button("Check out").click()
    expect(rows.nth(2)).to_contain_text("head")
    expect(lab.page.locator(".cs-Status")).to_contain_text("head: [1]")
    lab.run(2)
    expect(lab.cell(2).locator(".jp-OutputArea-output")).to_have_text("1")
    expect(rows).to_have_count(4)
    lab.panel.get_by_role("button", name=re.compile("^Undo")).click()
    expect(lab.page.locator(".cs-Status")).to_contain_text("head: [1]")


def test_a_changed_file_is_shown_as_a_difference(lab: Lab) -> None:
    lab.write("change.ipynb", "open('a.txt', 'w').write('one\\ntwo\\n')", "open('a.txt', 'w').write('one\\nthree\\n')")
    lab.open("change.ipynb")
    lab.run(0)
    lab.run(1)
    lab.line(1).get_by_role("button", name=re.compile("^layer")).click()
    lab.panel.locator(".cs-Files").get_by_role("option").click()
    with lab.page.expect_download() as download:
        lab.button("Download").click()
    assert download.value.path().read_text() == "one\nthree\n"
    lab.button("Show the change").click()
    difference = lab.page.locator(".cs-Difference")
    expect(difference.locator("tr.cs-mod-deleted")).to_contain_text("two")
    expect(difference.locator("tr.cs-mod-added")).to_contain_text("three")

    tab = lab.page.locator(".lm-DockPanel .lm-TabBar-tab").filter(has_text="a.txt [1]→[2]")
    lab.page.locator(".lm-DockPanel .lm-TabBar-tab").filter(has_text="change.ipynb").click()
    expect(difference).to_be_hidden()
    lab.button("Show the change").click()
    expect(difference).to_be_visible()
    expect(tab).to_have_count(1)
    lab.page.wait_for_timeout(1500)  # JupyterLab keeps the state of its window a second after it has changed
    lab.page.reload()
    tab.click()
    expect(difference.locator("tr.cs-mod-added")).to_contain_text("three")


def test_the_charts_move_and_a_container_is_killed(lab: Lab) -> None:
    lab.write("kill.ipynb", "kept = 5", GROWS.format(name="to be killed"), "kept")
    lab.open("kill.ipynb")
    lab.run(0)
    lab.show("Containers")
    lab.start(1)
    lab.panel.get_by_role("option").filter(has_text="to be killed").filter(has_text="running").click()
    line = lab.panel.locator(".cs-Chart-line").first
    before = line.get_attribute("d") or ""
    value = lab.panel.locator(".cs-Chart-value").first
    memory = value.text_content() or ""
    expect(line).not_to_have_attribute("d", before)
    expect(value).not_to_have_text(memory)
    expect(lab.line(1)).to_contain_text(re.compile(r"\d MiB.*cpu \d+ %"))

    lab.button("Kill").click()
    expect(lab.line(1)).to_have_class(re.compile("cs-mod-killed"))
    lab.run(2)
    expect(lab.cell(2).locator(".jp-OutputArea-output")).to_have_text("5")


def test_limits_of_a_running_container_are_changed(lab: Lab) -> None:
    lab.write("limits.ipynb", GROWS.format(name="to be limited"), metadata={"limits": {"memory": "600m"}})
    lab.open("limits.ipynb")
    lab.show("Containers")
    lab.start(0)
    lab.panel.get_by_role("option").filter(has_text="to be limited").filter(has_text="running").click()
    lab.button("Limits…").click()
    lab.panel.get_by_label("Memory", exact=True).fill("300m")
    lab.button("Apply at once").click()
    expect(lab.panel.locator(".cs-Chart-limitText").first).to_contain_text("300 MiB")
    lab.button("Kill").click()
    expect(lab.line(0)).to_have_class(re.compile("cs-mod-killed"))


def test_a_cell_that_was_killed_is_run_again_with_more(lab: Lab) -> None:
    lab.write("oom.ipynb", "big = len(bytearray(150 * 2**20))\nbig", metadata={"limits": {"memory": "128m"}})
    lab.open("oom.ipynb")
    lab.run(0)
    expect(lab.line(0)).to_contain_text("killed at its memory limit of 128 MiB")
    lab.line(0).get_by_role("button", name="Raise to 256 MiB and run again").click()
    expect(lab.line(0)).to_have_class(re.compile("cs-mod-ok"))
    expect(lab.cell(0).locator(".jp-OutputArea-output")).to_have_text("157286400")


def test_lines_and_selection_are_there_again_after_a_reload(lab: Lab) -> None:
    lab.write("reload.ipynb", "x = 1", "y = 2")
    lab.open("reload.ipynb")
    lab.run(0)
    lab.run(1)
    lab.show("Layers")
    lab.panel.locator(".cs-Layers").get_by_role("option").nth(1).click()
    lab.page.keyboard.press("Control+s")
    saved = lab.server.folder / "reload.ipynb"
    lab.page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
    kept = json.loads(saved.read_text())["cells"][0]["metadata"]["cellstack"]
    assert kept["status"] == "ok"
    assert len(json.dumps(kept)) < 600
    lab.page.wait_for_timeout(1500)  # JupyterLab keeps the state of its window a second after it has changed
    lab.page.reload()
    expect(lab.line(0)).to_contain_text("ok")
    expect(lab.panel.locator(".cs-Layers").get_by_role("option", selected=True)).to_contain_text("x = 1")


def test_a_notebook_of_another_kernel_gets_a_hint(lab: Lab) -> None:
    lab.write("plain.ipynb", "1 + 1", kernel="python3")
    lab.open("plain.ipynb")
    lab.show("Layers")
    expect(lab.panel).to_contain_text("plain.ipynb has no layers")
    expect(lab.panel.get_by_role("alert")).to_have_count(0)
    lab.start(0)
    expect(lab.cell(0).locator(".jp-OutputArea-output")).to_have_text("2")
    expect(lab.line(0)).to_have_count(0)


def test_namespaces_and_images_are_shown(lab: Lab) -> None:
    lab.write("rooms.ipynb", "x = 1", "x")
    lab.open("rooms.ipynb")
    lab.run(0)
    lab.run(1)
    lab.show("Namespaces")
    expect(lab.panel).to_contain_text("8 namespaces of its own")
    lab.button("net").click()
    expect(lab.panel.locator(".cs-Plugs")).to_contain_text("lo")
    lab.show("Images")
    lab.panel.get_by_role("option").filter(has_text="in use").first.click()
    expect(lab.panel.locator(".cs-Stack li").first).to_be_visible()
    expect(lab.button("Remove…")).to_be_disabled()
