"""A notebook may have more layers than an overlay takes directories (500)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

CELLS = 520


def test_files_of_520_layers_are_all_there_and_those_deleted_are_not(
    cellstack: Callable[..., subprocess.CompletedProcess[str]], write_notebook: Callable[..., Path], tmp_path: Path
) -> None:
    notebook = write_notebook(
        tmp_path / "many.ipynb",
        *(f"open('file-{i}', 'w').close()" for i in range(CELLS)),
        f"import os\nfor number in (0, 100, {CELLS - 1}):\n    os.unlink(f'file-{{number}}')",
        "import os\nlen([name for name in os.listdir() if name.startswith('file-')]), os.path.exists('file-100')",
    )
    executed = cellstack("execute", notebook, "-o", tmp_path / "out.ipynb", "--format", "json")
    assert executed.returncode == 0, executed.stderr
    cells = json.loads(executed.stdout)["cells"]
    assert len({cell["layer"] for cell in cells}) == CELLS + 2
    [output] = json.loads((tmp_path / "out.ipynb").read_text())["cells"][-1]["outputs"]
    assert "".join(output["data"]["text/plain"]) == f"({CELLS - 3}, False)"
