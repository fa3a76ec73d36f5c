"""The side panel of JupyterLab with a large notebook: milliseconds that a frame takes while its lists are scrolled.

A notebook with 1,000 layers and 50 containers, in a store of its own. The layers are committed by the engine library,
with no cell behind them; the containers are records of a broker, each of a process that sleeps. Beside it JupyterLab's
own file browser is scrolled, with 1,000 files. The browser shows frames as quickly as it makes them, not 60 times a
second: the time between two of them is what one takes, script, layout and paint.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Row, Series, row
from tests.jupyterlab import FLAGS, PATIENCE, browser_path, jupyterlab, why_no_browser

from cellstack_runtime.broker.outside import RECORDS
from cellstack_runtime.limits import Limits
from cellstack_runtime.live import make_run
from cellstack_runtime.store import Changes, Layer, Store
from cellstack_runtime.store.files import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

LAYERS = FILES = 1_000
CONTAINERS = 50
BRANCH = 40  # every so many layers another one starts from the same layer
FRAMES = 120
STEP = 83  # pixels for each frame
WANTED = 16.0  # milliseconds at p95
WHAT = "a frame while scrolling"
NOTEBOOK = "large.ipynb"
UNLIMITED = ("--disable-frame-rate-limit", "--disable-gpu-vsync")
PEER = f"file browser, {FILES:,} files"
# What is scrolled: the command that shows it, and the element.
LISTS = {
    f"panel, {LAYERS:,} layers": ("cellstack:show", {"tab": "layers"}, ".cs-Layers"),
    f"panel, {CONTAINERS} containers": ("cellstack:show", {"tab": "containers"}, ".cs-Containers"),
    PEER: ("filebrowser:go-to-path", {"path": "files"}, ".jp-DirListing-content"),
}
# Down to the end and up again, a step for each frame; returns the milliseconds from frame to frame.
SCROLL = """([selector, frames, step]) => new Promise((done, fail) => {
    const list = document.querySelector(selector);
    if (!list || list.scrollHeight < list.clientHeight + step) {
        fail(new Error(selector + ' cannot be scrolled'));
        return;
    }
    const taken = [];
    let before = null, direction = 1;
    const frame = now => {
        if (before !== null) {
            taken.push(now - before);
        }
        before = now;
        if (taken.length >= frames) {
            list.scrollTop = 0;
            done(taken);
            return;
        }
        const from = list.scrollTop;
        list.scrollTop += direction * step;
        if (list.scrollTop === from) {
            direction = -direction;
            list.scrollTop += direction * step;
        }
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
})"""


def panel(folder: Path, scale: float) -> list[Row]:
    """Scroll the panel's layers and containers, and JupyterLab's file browser."""
    if reason := why_no_browser():
        return [Row(WHAT, name, skipped=reason) for name in LISTS]
    served, places, home = (folder / name for name in ("served", "places", "home"))
    for path in (served, places, served / "files"):
        path.mkdir()
    for number in range(FILES):
        (served / "files" / f"file-{number:04}.txt").touch()
    spec = {"name": "cellstack", "display_name": "cellstack", "language": "python"}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "cells": [], "metadata": {"kernelspec": spec}}
    (served / NOTEBOOK).write_text(json.dumps(notebook))
    environ = {"CELLSTACK_HOME": str(home)}
    command = [str(Path(sys.executable).with_name("cellstack")), "run", "default", "true"]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environ})  # makes the image
    store = Store.open(str(home))
    write_layers(store, str(served / NOTEBOOK))
    with running_containers(store), jupyterlab(served, places, environ) as server, chromium() as page:
        page.goto(f"{server.url}/lab/tree/{NOTEBOOK}?token={server.token}")
        page.wait_for_selector(".jp-Notebook")
        frames: dict[str, list[float]] = {name: [] for name in LISTS}
        for turn in range(1 + max(3, round(5 * scale))):
            for name in LISTS:
                taken = scrolled(page, name)
                frames[name] += taken if turn > 0 else []
    series = {name: Series(tuple(taken)) for name, taken in frames.items()}
    return [
        row(WHAT, PEER, series[PEER]),
        *(
            row(WHAT, name, taken, peer=("file browser", series[PEER]), p95_at_most=WANTED)
            for name, taken in series.items()
            if name != PEER
        ),
    ]


def write_layers(store: Store, notebook: str) -> None:
    """Write a session whose kernel has died, at the last of `LAYERS` layers: a new one goes on with it."""
    session = store.create_session(notebook, store.image("default").id, kernel=f"{store.home}/no-kernel.json")
    start = datetime.now(UTC) - timedelta(seconds=LAYERS)
    for number in range(1, LAYERS + 1):
        beside = number % BRANCH == 0  # as after an undo
        layer = Layer(
            id=f"{number:032x}",
            parent=session.head,
            image=session.image,
            created=(start + timedelta(seconds=number)).isoformat(),
            root=False,
            work=False,
            changes=Changes(number % 4, number % 3, number % 2, number * 1000),
            state=None,
            cell={
                "session": session.id,
                "number": number,
                "code": f"frame_{number} = load('part-{number}.csv').dropna().groupby('key')\nframe_{number}.plot()",
                "wall_seconds": number / 100,
                "cpu_seconds": number / 100,
                "memory_peak_bytes": number * 2**20,
                "memory_limit": 2**31,
                "status": "ok",
                "cache": "off",
            },
            digest=None,
        )
        with store.building() as folder:
            for part in ("root", "work"):
                os.makedirs(f"{folder}/layer/{part}")
            store.commit(f"{folder}/layer", layer)
        session.cells.append({"layer": layer.id, "number": number})
        session.head = session.head if beside else layer.id
    session.save()
    session.release()


@contextlib.contextmanager
def running_containers(store: Store) -> Iterator[None]:
    """List `CONTAINERS` containers of a broker that is this process: each is a process that sleeps."""
    run = f"{store.home}/runs/{os.getpid():08x}"
    make_run(store, run)
    lock = try_lock(f"{run}/lock")
    assert lock is not None
    image = store.image("default").id
    sleeping = [subprocess.Popen(["sleep", "3600"]) for _ in range(CONTAINERS)]
    try:
        for number, process in enumerate(sleeping):
            facts = {
                "id": f"{number:012x}",
                "image": image,
                "session": "0" * 12,
                "created": datetime.now(UTC).isoformat(),
                "started": datetime.now(UTC).isoformat(),
                "status": "running",
                "command": ["cell", f"train(model, epochs={number})"],
                "parent": None,
                "limits": Limits().as_json(),
                "enforced_by": {},
                "namespaces": {"pid": number},
                "cgroup": None,
                "cgroups": {},
                "pid": process.pid,
            }
            Path(f"{run}/{RECORDS}/{facts['id']}.json").write_text(json.dumps(facts))
        yield
    finally:
        for process in sleeping:
            process.kill()
            process.wait()
        store.remove_tree(run)
        os.close(lock)


@contextlib.contextmanager
def chromium() -> Iterator[Page]:
    """Open a browser that does not wait for the screen between two frames."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path(), args=[*FLAGS, *UNLIMITED])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def scrolled(page: Page, name: str) -> list[float]:
    """Show a list, scroll it, and return the milliseconds of each frame."""
    command, arguments, selector = LISTS[name]
    page.evaluate("([name, args]) => window.jupyterapp.commands.execute(name, args)", [command, arguments])
    page.wait_for_function(
        "selector => { const list = document.querySelector(selector); "
        "return list && list.scrollHeight > 2 * list.clientHeight; }",
        arg=selector,
    )
    taken: list[float] = page.evaluate(SCROLL, [selector, FRAMES, STEP])
    return taken
