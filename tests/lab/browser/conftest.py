"""JupyterLab in a real browser: Debian's Chromium, driven by playwright, on a server and a store of the tests."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.jupyterlab import FLAGS, PATIENCE, Server, browser_path, jupyterlab, why_no_browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Dialog, Locator, Page, WebSocketRoute

REPOSITORY = Path(__file__).resolve().parents[3]
PANEL = "#cellstack-panel"
ASKED = 4  # times for completions: the kernel gives up after ten seconds, which a busy machine may take


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """Stand before pytest-jupyter's, which closes a loop that playwright has running."""


@pytest.fixture(autouse=True)
def jp_server_cleanup() -> None:
    """Stand before pytest-jupyter's, which cleans up what these tests do not start."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Return a browser; tests are skipped where there is none."""
    if reason := why_no_browser():
        pytest.skip(reason)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path(), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start JupyterLab on a folder of its own, and shut it down with its kernels at the end."""
    del store
    with jupyterlab(tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("places")) as running:
        yield running


class Connection:
    """Websockets to kernels that drop what the server sends while `drops` is set; `dropped` counts it."""

    def __init__(self) -> None:
        self.drops = False
        self.dropped = 0
        self._sockets: list[WebSocketRoute] = []

    def join(self, socket: WebSocketRoute) -> None:
        """Stand between a page's websocket and the server."""
        server = socket.connect_to_server()
        self._sockets.append(socket)

        def pass_on(message: str | bytes) -> None:
            if self.drops:
                self.dropped += 1
            else:
                socket.send(message)

        server.on_message(pass_on)

    def end(self) -> None:
        """End what was lost, as the browser does when it finds out; the page connects anew."""
        self.drops = False
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            one.close()


class Lab:
    """JupyterLab in a page, with what these tests do in it."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(f"{error}\n{error.stack}"))
        page.on("dialog", self._on_dialog)

    def _on_dialog(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":  # "leave this page?", when something is not saved
            dialog.accept()
        else:
            self.problems.append(f"dialog: {dialog.message}")
            dialog.dismiss()

    def write(
        self,
        name: str,
        *sources: str,
        metadata: dict[str, Any] | None = None,
        kernel: str = "cellstack",
        ids: bool = True,
    ) -> None:
        """Put a notebook of code cells into the server's folder; without ids, as before nbformat 4.5."""
        cells: list[dict[str, Any]] = [
            {"cell_type": "code", "source": source, "metadata": {}}
            | {"execution_count": None, "outputs": [], **({"id": f"cell-{i}"} if ids else {})}
            for i, source in enumerate(sources)
        ]
        spec = {"name": kernel, "display_name": kernel, "language": "python"}
        notebook: dict[str, Any] = {"nbformat": 4, "nbformat_minor": 5 if ids else 4, "cells": cells}
        notebook["metadata"] = {"kernelspec": spec, **({"cellstack": metadata} if metadata else {})}
        (self.server.folder / name).write_text(json.dumps(notebook))

    def open(self, name: str) -> None:
        """Open a notebook, in a workspace of its own, and wait until its kernel is idle."""
        workspace = name.partition(".")[0]
        self.page.goto(f"{self.server.url}/lab/workspaces/{workspace}/tree/{name}?token={self.server.token}")
        self._wait_for_kernel("idle")

    def reload(self, status: str = "idle") -> None:
        """Load the page anew, as a person does, and wait until its kernel is there."""
        self.page.reload()
        self._wait_for_kernel(status)

    def _wait_for_kernel(self, status: str) -> None:
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=PATIENCE)
        self.page.wait_for_function(  # what the toolbar shows is "idle" before there is a kernel, too
            "status => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === status",
            arg=status,
            timeout=PATIENCE,
        )

    def command(self, command: str, **args: Any) -> None:
        """Run one of JupyterLab's commands."""
        self.page.evaluate(
            "([command, args]) => { void window.jupyterapp.commands.execute(command, args); }", [command, args]
        )

    def theme(self, name: str) -> None:
        """Choose a theme and wait until it is there."""
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_selector(f'body[data-jp-theme-name="{name}"]', state="attached", timeout=PATIENCE)

    def cell(self, index: int) -> Locator:
        """Return a cell of the notebook."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def editor(self, index: int) -> Locator:
        """Return the text of a cell."""
        return self.cell(index).locator(".cm-content")

    def outputs(self, index: int) -> Locator:
        """Return the outputs of a cell."""
        return self.cell(index).locator(".jp-OutputArea-output")

    def type(self, index: int, text: str) -> None:
        """Put the cursor into a cell and type, in place of what is there."""
        self.editor(index).click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)

    def completions(self, index: int, text: str) -> Locator:
        """Type into a cell, ask for completions with Tab; return their popup, which is there then.

        Where none come, another cell is gone to, and all done again: JupyterLab learns some time after a cell has been
        entered that completions are of this one, and ignores the key while it believes completions to be shown, which
        they are not when they came while the cell was without focus.
        """
        from playwright.sync_api import TimeoutError as TooLate

        popup = self.page.locator(".jp-Completer:not(.lm-mod-hidden)")
        for _ in range(ASKED):
            self.type(index, text)
            self.page.keyboard.press("Tab")
            with contextlib.suppress(TooLate):
                popup.wait_for(timeout=PATIENCE / ASKED)
                break
            self.editor(0 if index else 1).click()
        return popup

    def can_lose_connection(self) -> Connection:
        """Have what comes from kernels pass through a connection that can be lost; before a page is opened."""
        connection = Connection()
        self.page.route_web_socket(re.compile("/channels"), connection.join)
        return connection

    def interrupt(self) -> None:
        """Press the notebook's button."""
        self.page.locator('.jp-Toolbar-item[data-jp-item-name="interrupt"]').click()

    def save(self) -> None:
        """Save the notebook, and wait until it is."""
        self.command("docmanager:save")
        self.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")

    def restart(self) -> None:
        """Restart the notebook's kernel, and wait until it is idle."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
        self._wait_for_kernel("idle")

    def shut_down(self) -> None:
        """End the notebook's kernel, and leave the notebook."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.goto("about:blank")

    def line(self, index: int) -> Locator:
        """Return the line under a cell."""
        return self.cell(index).locator(".cs-CellLine")

    def start(self, index: int) -> None:
        """Run a cell, and do not wait for it."""
        self.cell(index).locator(".jp-InputPrompt").click()
        self.command("notebook:run-cell")

    def run(self, index: int) -> None:
        """Run a cell and wait for its line."""
        before = self.line(index).text_content() if self.line(index).count() else None
        self.start(index)
        self.page.wait_for_function(
            """([index, before]) => {
                const cell = document.querySelectorAll('.jp-Notebook .jp-CodeCell')[index];
                const line = cell.querySelector('.cs-CellLine');
                return line && !line.classList.contains('cs-mod-running') && line.textContent !== before;
            }""",
            arg=[index, before],
            timeout=PATIENCE,
        )

    def show(self, section: str) -> None:
        """Bring the panel to the front, with one of its sections."""
        self.command("cellstack:show", tab=section.lower())
        self.page.get_by_role("tab", name=section, exact=True, selected=True).wait_for(timeout=PATIENCE)

    @property
    def panel(self) -> Locator:
        """Return the panel."""
        return self.page.locator(PANEL)

    def button(self, name: str) -> Locator:
        """Return one of the panel's buttons."""
        return self.panel.get_by_role("button", name=name, exact=True)


@pytest.fixture
def lab(chromium: Browser, server: Server) -> Iterator[Lab]:
    """Return JupyterLab in a new page; no script may have failed in it at the end."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    opened = Lab(page, server)
    yield opened
    context.close()
    assert opened.problems == []
