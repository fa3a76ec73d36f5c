"""Widgets in a notebook: they react when their cell is over, and are there when the notebook is opened again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

PLOT = """import matplotlib.pyplot as plt
from ipywidgets import interact
seen = []
@interact(k=(1, 5))
def draw(k=2):
    seen.append(k)
    plt.figure(figsize=(3, 2))
    plt.plot([0, 1, 2], [0, k, k * k])
    plt.title(f'k is {k}')
    plt.show()"""
BUTTON = """import ipywidgets as widgets
count = 0
button = widgets.Button(description='Count')
label = widgets.Label('none yet')
def clicked(_):
    global count
    count += 1
    label.value = f'clicked {count}'
button.on_click(clicked)
widgets.VBox([button, label])"""


def test_a_slider_of_interact_moves_a_plot(lab: Lab, tmp_path: Path) -> None:
    lab.write("interact.ipynb", PLOT, "seen")
    lab.open("interact.ipynb")
    lab.run(0)
    plot = lab.cell(0).locator(".jp-OutputArea img")
    expect(plot).to_be_visible()
    before = plot.get_attribute("src") or ""
    lab.page.screenshot(path=tmp_path / "before.png")
    lab.cell(0).locator(".noUi-handle").press("ArrowRight")
    expect(lab.cell(0).locator(".widget-readout")).to_have_text("3")
    expect(plot).not_to_have_attribute("src", before)
    expect(plot).to_be_visible()
    lab.page.screenshot(path=tmp_path / "after.png")
    lab.run(1)
    expect(lab.outputs(1)).to_have_text("[2, 3]")


def test_what_a_button_changes_is_there_in_the_next_cell_and_after_a_reload(lab: Lab) -> None:
    lab.write("button.ipynb", BUTTON, "count")
    lab.open("button.ipynb")
    lab.run(0)
    button, shown = lab.cell(0).get_by_role("button", name="Count"), lab.cell(0).locator(".widget-label")
    button.click()
    expect(shown).to_have_text("clicked 1")
    lab.run(1)
    expect(lab.outputs(1)).to_have_text("1")
    lab.save()
    lab.reload()
    expect(shown).to_have_text("clicked 1")
    button.click()
    expect(shown).to_have_text("clicked 2")
    lab.run(1)
    expect(lab.outputs(1)).to_have_text("2")


def test_the_saved_state_of_widgets_is_shown_when_the_notebook_is_opened_again(lab: Lab, tmp_path: Path) -> None:
    lab.write("saved.ipynb", "import ipywidgets\nipywidgets.IntSlider(value=7, description='seven')")
    lab.open("saved.ipynb")
    lab.run(0)
    lab.cell(0).locator(".noUi-handle").press("ArrowRight")
    expect(lab.cell(0).locator(".widget-readout")).to_have_text("8")
    lab.save()
    kept = json.loads((lab.server.folder / "saved.ipynb").read_text())["metadata"]["widgets"]
    assert kept["application/vnd.jupyter.widget-state+json"]["state"]
    lab.shut_down()
    lab.open("saved.ipynb")
    expect(lab.cell(0).locator(".widget-label").first).to_have_text("seven")
    expect(lab.cell(0).locator(".widget-readout")).to_have_text("8")
    lab.page.screenshot(path=tmp_path / "saved.png")
