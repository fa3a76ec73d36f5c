"""Programs that people run notebooks with run one with this kernel."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]
SECONDS = 200


def needs(module: str) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install {module}")


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, timeout=SECONDS, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout) + str(done.stderr)


def texts(path: Path) -> list[str]:
    cells = json.loads(path.read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return ["".join(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in outputs]


def test_nbconvert(write_notebook: Callable[..., Path], tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "n.ipynb", "x = 20", "print(x + 1)")
    run("nbconvert", "--to", "notebook", "--execute", "--output", "done.ipynb", notebook, cwd=tmp_path)
    assert texts(tmp_path / "done.ipynb") == ["21\n"]


def test_papermill(write_notebook: Callable[..., Path], tmp_path: Path) -> None:
    needs("papermill")
    notebook = write_notebook(tmp_path / "n.ipynb", "x = 20", "print(x + 1)")
    content = json.loads(notebook.read_text())
    content["cells"][0]["metadata"]["tags"] = ["parameters"]
    notebook.write_text(json.dumps(content))
    run("papermill", notebook, tmp_path / "done.ipynb", "-p", "x", "30", "--no-progress-bar", cwd=tmp_path)
    assert texts(tmp_path / "done.ipynb") == ["31\n"]


def test_console(tmp_path: Path) -> None:
    needs("jupyter_console")
    typed = "x = 20\nprint(x + 22)\nexit\n"
    shown = run("jupyter_console", "--kernel", "cellstack", "--simple-prompt", input=typed, cwd=tmp_path)
    assert "42" in re.sub(r"\x1b\[[0-9;]*m", "", shown)


def test_voila(write_notebook: Callable[..., Path], tmp_path: Path) -> None:
    needs("voila")
    notebook = write_notebook(tmp_path / "n.ipynb", "x = 20", "print('answer', x + 22)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "voila", "--no-browser", "--port", str(port), str(notebook)]
    environment = {**os.environ, "HOME": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert _says(server, "is running at")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=SECONDS) as page:
                assert "answer 42" in page.read().decode()
        finally:
            server.terminate()


def _says(server: subprocess.Popen[str], text: str) -> bool:
    """Wait until a server's log has `text`."""
    assert server.stderr is not None
    deadline = time.monotonic() + SECONDS
    while (left := deadline - time.monotonic()) > 0:
        if select.select([server.stderr], [], [], left)[0] and text in server.stderr.readline():
            return True
    return False
