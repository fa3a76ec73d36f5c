"""What the panel's buttons do: to layers, images, containers and files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Locator
    from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

COUNTS = """# {name}
import time
for number in range(400):
    print(number, end=' ', flush=True)
    time.sleep(0.1)
"""


def _layers(lab: Lab) -> Locator:
    """Return the rows of the layers, the newest first."""
    return lab.panel.locator(".cs-Layers").get_by_role("option")


def _run_all(lab: Lab, count: int) -> Locator:
    """Run the first cells, with the layers shown; return the rows once each cell has its own."""
    lab.show("Layers")
    for index in range(count):
        lab.run(index)
    rows = _layers(lab)
    expect(rows).to_have_count(count)
    return rows


def _output(lab: Lab, index: int) -> Locator:
    return lab.cell(index).locator(".jp-OutputArea-output")


def _answer(lab: Lab, text: str) -> None:
    """Give the dialog that asks for a text its answer."""
    dialog = lab.page.locator(".jp-Dialog")
    dialog.get_by_role("textbox").fill(text)
    dialog.locator(".jp-mod-accept").click()
    expect(dialog).to_have_count(0)


def _tag(lab: Lab, row: Locator, name: str) -> None:
    row.click()
    lab.button("Tag…").click()
    _answer(lab, name)
    expect(row).to_contain_text(name)


def _select_running(lab: Lab, name: str) -> None:
    """Show the containers and select the one that runs the cell with this comment."""
    lab.show("Containers")
    lab.panel.get_by_role("option").filter(has_text=name).filter(has_text="running").click()


def test_a_layer_below_head_is_tagged_and_head_stays(lab: Lab) -> None:
    lab.write("tag.ipynb", "x = 1", "x = 2", "x")
    lab.open("tag.ipynb")
    rows = _run_all(lab, 2)
    _tag(lab, rows.nth(1), "actions/below:1")
    expect(rows.nth(0)).to_contain_text("head")
    lab.run(2)
    expect(_output(lab, 2)).to_have_text("2")
    _tag(lab, rows.nth(0), "actions/head:1")
    lab.show("Images")
    images = lab.panel.locator(".cs-Images").get_by_role("option")
    expect(images.filter(has_text="actions/below:1")).to_have_count(1)
    expect(images.filter(has_text="actions/head:1")).to_have_count(1)


def test_a_name_that_is_none_is_refused_in_a_sentence(lab: Lab) -> None:
    lab.write("badtag.ipynb", "x = 1")
    lab.open("badtag.ipynb")
    _run_all(lab, 1).click()
    lab.button("Tag…").click()
    _answer(lab, "not a name")
    expect(lab.panel.locator(".cs-Message.cs-mod-failed")).to_contain_text("not a name")
    expect(lab.button("Tag…")).to_be_enabled()


def test_the_panel_is_used_by_the_keyboard_alone(lab: Lab) -> None:
    lab.write("keys.ipynb", "x = 1", "x = 2")
    lab.open("keys.ipynb")
    _run_all(lab, 2)
    lab.show("Containers")
    lab.cell(0).locator(".cm-content").click()
    press = lab.page.keyboard.press
    press("ControlOrMeta+Alt+l")
    expect(lab.panel.get_by_role("tab", name="Layers")).to_be_focused()
    _layers(lab).last.click()
    lab.button("Check out").focus()
    press("Enter")
    expect(_layers(lab).last).to_contain_text("head")
    expect(lab.button("Checked out")).to_be_disabled()
    expect(lab.button("Checked out")).to_be_focused()
    lab.button("Close the layer").press("Enter")
    expect(lab.panel.locator(".cs-Layers")).to_be_focused()
    press("ArrowDown")
    expect(lab.button("Close the layer")).to_be_visible()


def test_a_notice_covers_nothing_and_moves_no_button_of_the_head(lab: Lab) -> None:
    lab.write("notice.ipynb", "open('a.txt', 'w').write('one')", "x = 2")
    lab.open("notice.ipynb")
    _run_all(lab, 2).last.click()
    lab.panel.locator(".cs-Files").get_by_role("option").click()
    before = lab.button("Close the layer").bounding_box()
    lab.button("Check out").click()
    notice = lab.panel.locator(".cs-Message.cs-mod-done")
    expect(notice).to_be_visible()
    for button in (lab.button("Show the change"), lab.button("Download"), lab.panel.locator(".cs-ImageFoot")):
        button.click(trial=True)  # which fails where another element is above it
    expect(notice).to_be_visible()
    assert lab.button("Close the layer").bounding_box() == before


def test_cells_are_run_from_a_layer(lab: Lab) -> None:
    lab.write("from.ipynb", "x = 1", "x = x * 10", "x = x + 5\nx", "x = 1000")
    lab.open("from.ipynb")
    rows = _run_all(lab, 4)
    rows.last.click()
    before = lab.line(3).text_content() or ""
    lab.button("Run from here").click()
    expect(lab.line(3)).not_to_have_text(before)
    expect(_output(lab, 2)).to_have_text("15")
    expect(rows.first).to_contain_text("head")
    expect(lab.page.locator(".cs-Status")).to_contain_text("head: [7]")


def test_a_cell_that_was_run_from_a_layer_can_be_killed(lab: Lab) -> None:
    lab.write("fromkill.ipynb", "x = 1", "print(x)", COUNTS.format(name="from here"))
    lab.open("fromkill.ipynb")
    _run_all(lab, 2).last.click()
    lab.button("Run from here").click()
    _select_running(lab, "from here")
    lab.button("Kill").click()
    expect(lab.line(2)).to_have_class(re.compile("cs-mod-killed"))


def test_a_layer_that_no_cell_shows_any_more_is_not_run_from(lab: Lab) -> None:
    lab.write("gone.ipynb", "x = 1", "x = 2")
    lab.open("gone.ipynb")
    lab.show("Layers")
    lab.run(0)
    lab.run(0)
    lab.run(1)
    rows = _layers(lab)
    expect(rows).to_have_count(3)
    rows.last.click()
    expect(lab.button("Run from here")).to_be_disabled()
    expect(lab.button("Run from here")).to_have_attribute("title", re.compile("^No cell of this notebook"))
    rows.nth(1).click()
    expect(lab.button("Run from here")).to_be_enabled()


def test_an_image_made_of_a_layer_is_used_by_another_notebook_and_removed(lab: Lab) -> None:
    lab.write("maker.ipynb", "open('/opt/marker', 'w').write('from the image')")
    lab.open("maker.ipynb")
    _tag(lab, _run_all(lab, 1), "actions/marked:1")
    lab.save()

    lab.write("user.ipynb", "open('/opt/marker').read()")
    lab.open("user.ipynb")
    lab.show("Images")
    marked = lab.panel.locator(".cs-Images").get_by_role("option").filter(has_text="actions/marked:1")
    marked.click()
    lab.button("Use for this notebook").click()
    expect(lab.page.locator(".cs-Status")).to_contain_text("actions/marked:1")
    lab.run(0)
    expect(_output(lab, 0)).to_have_text("'from the image'")
    lab.save()
    lab.restart()
    lab.run(0)
    expect(_output(lab, 0).last).to_have_text("'from the image'")  # below what a kernel says after a restart
    expect(marked).to_contain_text("in use")
    expect(lab.button("Remove…")).to_be_disabled()
    lab.show("Layers")
    expect(lab.panel.locator(".cs-ImageFoot")).to_contain_text("actions/marked:1")


def test_an_image_is_removed_once_it_is_confirmed(lab: Lab) -> None:
    lab.write("remove.ipynb", "x = 'to be removed'")
    lab.open("remove.ipynb")
    row = _run_all(lab, 1)
    _tag(lab, row, "actions/removed:1")
    lab.show("Images")
    images = lab.panel.locator(".cs-Images").get_by_role("option")
    image = images.filter(has_text="actions/removed:1")
    image.click()
    dialog = lab.page.locator(".jp-Dialog")
    lab.button("Remove…").click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(image).to_have_count(1)
    lab.button("Remove…").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(image).to_have_count(0)
    expect(images.first).to_be_visible()
    lab.show("Layers")
    expect(row).to_be_visible()
    expect(row).not_to_contain_text("actions/removed:1")


def test_a_container_is_paused_and_goes_on(lab: Lab) -> None:
    lab.write("pause.ipynb", COUNTS.format(name="to be paused"))
    lab.open("pause.ipynb")
    lab.start(0)
    _select_running(lab, "to be paused")
    output = _output(lab, 0)
    expect(output).to_contain_text("1")
    lab.button("Pause").click()
    expect(lab.line(0)).to_contain_text("paused")
    row = lab.panel.get_by_role("option", selected=True)
    expect(row).to_contain_text("paused")
    expect(row).to_be_in_viewport()
    lab.page.wait_for_function("() => !document.querySelector('.cs-Progress')")
    stopped = output.text_content() or ""
    lab.page.wait_for_timeout(1000)  # a paused cell puts out nothing in this time
    assert output.text_content() == stopped
    lab.button("Go on").click()
    expect(output).not_to_have_text(stopped)
    expect(row).to_contain_text("running")
    lab.button("Stop").click()
    expect(lab.line(0)).not_to_have_class(re.compile("cs-mod-running"))


def test_a_terminal_inside_has_the_id_of_its_container_on_its_tab(lab: Lab) -> None:
    lab.write("inside.ipynb", COUNTS.format(name="to be entered"))
    lab.open("inside.ipynb")
    lab.start(0)
    _select_running(lab, "to be entered")
    container = lab.panel.locator(".cs-Head-id").text_content() or ""
    lab.button("Terminal").click()
    tab = lab.page.locator(".lm-DockPanel .lm-TabBar-tab.lm-mod-current").filter(has_text=container)
    expect(tab).to_be_visible()
    expect(lab.page.locator(".jp-Terminal .xterm-screen")).to_be_visible()
    expect(tab).to_be_visible()
    lab.button("Kill").click()


def test_limits_are_changed_by_the_keyboard_and_wrong_ones_are_not_taken(lab: Lab) -> None:
    lab.write("form.ipynb", COUNTS.format(name="to be changed"))
    lab.open("form.ipynb")
    lab.start(0)
    _select_running(lab, "to be changed")
    lab.button("Limits…").click()
    memory, processes = (lab.panel.get_by_label(name, exact=True) for name in ("Memory", "Processes"))
    memory.fill("much")
    expect(lab.button("Apply at once")).to_be_disabled()
    memory.fill("400m")
    processes.fill("40")
    processes.press("Enter")
    expect(lab.panel.get_by_role("img", name=re.compile("^memory: .*400 MiB$"))).to_be_visible()
    expect(lab.panel.get_by_role("img", name=re.compile("^processes: .*40$"))).to_be_visible()
    expect(processes).to_have_count(0)
    lab.button("Kill").click()
    expect(lab.line(0)).to_have_class(re.compile("cs-mod-killed"))


def test_two_layers_are_compared(lab: Lab) -> None:
    lab.write(
        "compare.ipynb",
        "open('a.txt', 'w').write('one\\n')\nx = 1",
        "open('b.txt', 'w').write('two\\n')",
        "open('a.txt', 'w').write('three\\n')\nx = 3\ny = 4",
    )
    lab.open("compare.ipynb")
    rows = _run_all(lab, 3)
    rows.first.click()
    files = lab.panel.locator(".cs-Files").get_by_role("option")
    expect(files).to_have_count(1)
    lab.panel.get_by_role("combobox").select_option(index=3)  # the layer itself is left out: [2], then [1]
    expect(rows.last).to_contain_text("compared")
    expect(files).to_have_count(2)
    expect(files.filter(has_text="a.txt")).to_contain_text("changed")
    expect(files.filter(has_text="b.txt")).to_contain_text("added")
    files.filter(has_text="a.txt").dblclick()
    difference = lab.page.locator(".cs-Difference")
    expect(difference.locator("tr.cs-mod-deleted")).to_contain_text("one")
    expect(difference.locator("tr.cs-mod-added")).to_contain_text("three")
    lab.panel.get_by_role("tab", name=re.compile("Variables")).click()
    variables = lab.panel.locator(".cs-Variables").get_by_role("option")
    expect(variables).to_have_count(2)
    lab.panel.get_by_role("combobox").select_option("image")
    expect(lab.panel.locator(".cs-ImageFoot")).to_contain_text("compared")


def test_a_file_of_an_older_layer_is_brought_out(lab: Lab) -> None:
    lab.write(
        "out.ipynb", "open('kept.bin', 'wb').write(bytes(range(256)))", "import os\nos.unlink('kept.bin')", "x = 1"
    )
    lab.open("out.ipynb")
    rows = _run_all(lab, 3)
    rows.last.click()
    lab.panel.locator(".cs-Files").get_by_role("option").click()
    with lab.page.expect_download() as download:
        lab.button("Download").click()
    assert download.value.path().read_bytes() == bytes(range(256))
    assert download.value.suggested_filename == "kept.bin"
    rows.nth(1).click()
    lab.panel.locator(".cs-Files").get_by_role("option").click()
    expect(lab.button("Download")).to_be_disabled()


def test_a_cell_that_ran_out_of_time_is_run_again_with_more(lab: Lab) -> None:
    lab.write("slow.ipynb", "import time\ntime.sleep(3)\n'done'", metadata={"limits": {"timeout": "2"}})
    lab.open("slow.ipynb")
    lab.run(0)
    expect(lab.line(0)).to_contain_text("killed at its time limit of 2 s")
    lab.line(0).get_by_role("button", name="Raise to 4 s and run again").click()
    expect(_output(lab, 0)).to_have_text("'done'")
    expect(lab.line(0)).to_have_class(re.compile("cs-mod-ok"))
