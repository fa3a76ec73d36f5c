"""Hostile names are text, in both themes, and axe finds no serious fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.lab.browser.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
CELLS = (
    (
        f"# {HOSTILE}\nopen({HOSTILE.replace('/', '|')!r}, 'w').write('x')\n"
        "Odd = type('<b>bold</b>', (), {})\nodd = Odd()\nlost = (i for i in ())"
    ),
    f"'''{HOSTILE}'''\nimport time\ntime.sleep(60)",
)
AXE = REPOSITORY / "extension/node_modules/axe-core/axe.min.js"
# Elements of JupyterLab's own around the panel are not ours to judge.
OURS = ("#cellstack-panel", ".cs-CellLine", ".cs-Status")


def _faults(lab: Lab) -> list[str]:
    """Return the serious faults that axe finds in what is ours."""
    # JupyterLab's body has no height of its own: axe takes what is in it for hidden, and looks at no colours.
    lab.page.evaluate("() => { document.body.style.height = '100vh'; }")
    context = {"include": [[selector] for selector in OURS]}
    found: dict[str, Any] = lab.page.evaluate("context => axe.run(context)", context)
    assert any(rule["id"] == "color-contrast" and len(rule["nodes"]) > 5 for rule in found["passes"])
    return [
        f"{fault['id']}: {node['html'][:200]} {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_hostile_names_are_text_and_everybody_can_use_the_panel(lab: Lab, theme: str, tmp_path: Path) -> None:
    name = f"hostile-{theme[-5:].strip().lower()}.ipynb"
    lab.write(name, *CELLS)
    lab.open(name)
    lab.theme(theme)
    lab.run(0)
    lab.start(1)
    has_axe = AXE.exists()
    if has_axe:
        lab.page.add_script_tag(content=AXE.read_text())
    faults = []
    for section in ("Layers", "Containers", "Namespaces", "Images"):
        lab.show(section)
        options = lab.panel.get_by_role("option")
        if section != "Namespaces":
            options.first.click()
        if section == "Layers":
            expect(lab.panel.locator(".cs-Files")).to_contain_text("<img src=x onerror=")
            lab.panel.get_by_role("tab", name="Variables").click()
            expect(lab.panel.locator(".cs-Variables")).to_contain_text("<b>bold</b>")
        elif section == "Containers":
            expect(lab.panel.locator(".cs-Chart-line").first).to_be_attached()  # one that is flat has no height to see
            expect(options.first).to_contain_text("<img src=x onerror=")
        elif section == "Namespaces":
            expect(lab.panel.locator(".cs-Rooms")).to_be_visible()
        else:
            expect(lab.panel.locator(".cs-Stack li").first).to_be_visible()
        lab.page.screenshot(path=tmp_path / f"{section}.png")
        assert lab.page.locator("#cellstack-panel img, #cellstack-panel script, #cellstack-panel b").count() == 0
        if has_axe:
            faults += _faults(lab)
    assert lab.page.evaluate("window.pwned") is None
    lab.command("kernelmenu:interrupt")
    expect(lab.line(1)).not_to_contain_text("cpu")
    assert faults == []
    if not has_axe:
        pytest.skip("what axe finds was not looked at: extension/node_modules is not there")
