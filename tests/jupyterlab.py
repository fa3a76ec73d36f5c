"""JupyterLab on a server of its own, for tests and benchmarks that drive it in Debian's Chromium."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 40_000  # milliseconds
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SETTINGS: dict[str, dict[str, object]] = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    # JupyterLab gives a completion a second, which is little where other tests run at the same time.
    "@jupyterlab/completer-extension/manager": {"providerTimeout": PATIENCE},
    "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": True},
}


def browser_path() -> str | None:
    """Return the Chromium of this machine, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def why_no_browser() -> str | None:
    """Return why no browser can be driven here; None when there is no reason."""
    try:
        import playwright.sync_api  # noqa: F401  not everywhere installed
    except ImportError:
        return "playwright is not installed: pip install playwright"
    return None if browser_path() else "no Chromium on PATH (package chromium)"


@dataclass(frozen=True)
class Server:
    """A running JupyterLab. folder: what it serves."""

    url: str
    token: str
    folder: Path


@contextlib.contextmanager
def jupyterlab(folder: Path, places: Path, environ: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run JupyterLab on `folder` for the length of the block, with settings and state of its own below `places`."""
    names = ("JUPYTER_CONFIG", "JUPYTER_DATA", "JUPYTER_RUNTIME", "JUPYTERLAB_SETTINGS", "JUPYTERLAB_WORKSPACES")
    own = {f"{name}_DIR": str(places / name.lower()) for name in names}
    for path in own.values():
        os.mkdir(path)
    for plugin, values in SETTINGS.items():
        settings = Path(own["JUPYTERLAB_SETTINGS_DIR"]) / f"{plugin}.jupyterlab-settings"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps(values))
    token = os.urandom(16).hex()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
        f"--ServerApp.root_dir={folder}",
    ]
    log = places / "lab.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env={**os.environ, **own, **(environ or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        _wait_for(process, port, log)
        yield Server(f"http://127.0.0.1:{port}", token, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
