"""What a notebook asks for is granted or refused by the person in front of it, in both themes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_folder_of_the_host_is_refused_and_then_granted(lab: Lab, theme: str, tmp_path: Path) -> None:
    folder = tmp_path / "<b>host<b>"
    folder.mkdir()
    (folder / "a.txt").write_text("of the host")
    name = f"asks-{theme[-5:].strip().lower()}.ipynb"
    lab.write(name, f"%mount {folder}:/data:ro", "open('/data/a.txt').read()", "%grants")
    lab.open(name)
    lab.theme(theme)
    question = lab.cell(0).locator(".jp-Stdin")
    output = lab.cell(0).locator(".jp-OutputArea")

    lab.start(0)
    expect(question).to_contain_text(f"This notebook asks for mount:{folder}:/data:ro. Grant it?")
    assert question.locator("b").count() == 0
    question.locator("input").fill("n")
    question.locator("input").press("Enter")
    expect(output).to_contain_text("is not granted to this notebook")
    lab.run(1)
    expect(lab.cell(1).locator(".jp-OutputArea")).to_contain_text("FileNotFoundError")

    lab.start(0)
    lab.page.screenshot(path=tmp_path / "asked.png")
    question.locator("input").fill("y")
    question.locator("input").press("Enter")
    expect(output).not_to_contain_text("is not granted")
    lab.run(1)
    expect(lab.cell(1).locator(".jp-OutputArea")).to_contain_text("of the host")
    lab.start(2)
    expect(lab.cell(2).locator(".jp-OutputArea")).to_contain_text(f"mount:{folder}:/data:ro")
