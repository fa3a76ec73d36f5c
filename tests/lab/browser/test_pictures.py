"""The pictures of the documents, taken anew: `CELLSTACK_PICTURES=docs pytest tests/lab/browser/test_pictures.py`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

FOLDER = os.environ.get("CELLSTACK_PICTURES")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="CELLSTACK_PICTURES does not name a folder for them")
CELLS = (
    "import numpy as np\nvalues = np.arange(1000)",
    "total = int(values.sum())\nopen('result.txt', 'w').write(f'total {total}')\ntotal",
    "total += 1\nopen('result.txt', 'a').write(', one more')\ntotal",
    "big = bytearray(700 * 2**20)",
    "import time\nblocks = []\nfor _ in range(400):\n    blocks.append(bytearray(2**20))\n    time.sleep(0.1)",
    "%dashboard",
)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_pictures(lab: Lab, theme: str) -> None:
    def take(name: str) -> None:
        place = Path(str(FOLDER)) / (f"{name}.png" if theme == "Light" else f"{name}-dark.png")
        lab.page.screenshot(path=place)

    lab.page.set_viewport_size({"width": 1200, "height": 760})
    name = f"sums-{theme.lower()}.ipynb"
    lab.write(name, *CELLS, metadata={"limits": {"memory": "512m"}})
    lab.open(name)
    lab.theme(f"JupyterLab {theme}")
    lab.command("application:toggle-left-area")
    lab.show("Layers")
    for index in (0, 1, 2):
        lab.run(index)
    lab.command("cellstack:undo")
    expect(lab.page.locator(".cs-Status")).to_contain_text("head: [2]")
    for index in (2, 3):
        lab.run(index)
    lab.panel.get_by_role("option").first.click()
    lab.panel.get_by_role("tab", name="Variables").click()
    expect(lab.panel.locator(".cs-Variables")).to_contain_text("numpy.ndarray")
    lab.button("Close this message").click()
    take("panel-layers")

    lab.start(4)
    lab.show("Containers")
    lab.panel.get_by_role("option").first.click()
    expect(lab.line(4)).to_contain_text(re.compile(r"1\d\d\.?\d* MiB"))
    take("panel-container")
    lab.show("Namespaces")
    expect(lab.panel.locator(".cs-Rooms")).to_be_visible()
    take("panel-namespaces")
    lab.show("Images")
    lab.panel.get_by_role("option").first.click()
    expect(lab.panel.locator(".cs-Stack li").first).to_be_visible()
    take("panel-images")
    lab.interrupt()
    expect(lab.line(4)).to_contain_text("interrupted")

    lab.command("application:toggle-right-area")
    lab.start(5)
    view = lab.cell(5).locator(".cellstack-view")
    expect(view).to_contain_text("8 of 8 namespaces")
    view.scroll_into_view_if_needed()
    take("dashboard")
