"""What a kernel needs before its first cell is little: each module more is time and memory of every notebook."""

from __future__ import annotations

import subprocess
import sys

SLOW = {"jsonschema", "nbformat", "nbclient", "jedi", "rich", "jupyter_server"}


def test_a_kernel_starts_without_what_few_notebooks_need() -> None:
    code = f"import cellstack_kernel.app, sys; print(*sorted({SLOW} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []
