"""What `pip install cellstack` brings, of a wheel and into an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.access(TOP, os.W_OK), reason="this folder is somebody else's: nothing can be built in it"
    ),
]


def test_a_wheel_in_an_empty_environment_is_enough(tmp_path: Path) -> None:
    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    dist, scripts = tmp_path / "dist", tmp_path / "env/bin"
    subprocess.run([sys.executable, *pip, "wheel", "--no-deps", "--wheel-dir", dist, TOP], check=True)
    [wheel] = dist.iterdir()
    venv.create(tmp_path / "env", with_pip=True)
    subprocess.run([scripts / "python", *pip, "install", wheel], check=True)
    # Of what is installed elsewhere, nothing.
    environ = {"HOME": str(tmp_path), "PATH": f"{scripts}{os.pathsep}{os.defpath}"}

    def listed(*command: str) -> list[str]:
        ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environ)
        return [line.strip() for line in f"{ran.stdout}{ran.stderr}".splitlines()]

    [extension] = [line for line in listed("jupyter", "labextension", "list") if "cellstack" in line]
    assert "enabled" in extension
    assert "OK" in extension
    servers = [line for line in listed("jupyter", "server", "extension", "list") if "cellstack_lab" in line]
    assert any("enabled" in line for line in servers)
    assert any("OK" in line for line in servers)
    assert any(line.startswith("cellstack ") for line in listed("jupyter", "kernelspec", "list"))
