"""What cells have imported is there in the process that the next cells are forked from."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.kernels import Running

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

LEARNING_SECONDS = 60
INSTALL = """
import os, sysconfig
site = sysconfig.get_paths()["purelib"]
modules = {
    "only_in_a_cell": "import os\\nif not os.path.exists('/proc/1'): raise RuntimeError('where am I?')",
    "wants_itself_in_proc": "import os\\nopen(f'/proc/{os.getpid()}/stat').close()",
}
for name, source in modules.items():
    open(f"{site}/{name}.py", "w").write(source)
"""


def test_module_that_cannot_be_imported_ahead_takes_no_other_with_it(kernel: Running) -> None:
    kernel.run(INSTALL)
    kernel.run("import only_in_a_cell, wants_itself_in_proc\ndel only_in_a_cell, wants_itself_in_proc")
    deadline = time.monotonic() + LEARNING_SECONDS
    while (here := _modules_of_a_cell(kernel)) == [] and time.monotonic() < deadline:
        pass
    assert here == ["wants_itself_in_proc"]


def test_what_completions_read_is_there_once_one_was_asked_for(kernel: Running) -> None:
    looks = "import sys; print('cellstack_guest.ahead' in sys.modules)"
    assert kernel.run(looks)[1] == ["False\n"]
    kernel.client.complete("pri", reply=True, timeout=60)
    deadline = time.monotonic() + LEARNING_SECONDS
    while kernel.run(looks)[1] == ["False\n"] and time.monotonic() < deadline:
        pass
    assert kernel.run(looks)[1] == ["True\n"]
    assert kernel.client.complete("pri", reply=True, timeout=60)["content"]["matches"] == ["print"]


def _modules_of_a_cell(kernel: Running) -> list[str]:
    _, [text] = kernel.run("import sys; print(*{'only_in_a_cell', 'wants_itself_in_proc'} & sys.modules.keys())")
    return text.split()
