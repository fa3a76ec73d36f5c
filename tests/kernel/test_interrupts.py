"""An interrupt that comes when a cell's code is over, while its variables are saved."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.kernels import PATIENCE

from cellstack_guest.budget import PATIENCE as SAVING_PATIENCE

if TYPE_CHECKING:
    from tests.kernels import Running

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

ENDLESS = """
import os, time
class Endless:
    def __reduce__(self):
        os.write(1, b"saving\\n")
        while True: time.sleep(0.01)
"""
BRIEF = """
import os, time
class Brief:
    def __reduce__(self):
        os.write(1, b"saving\\n")
        time.sleep(0.5)
        return int, (7,)
"""


def saving(kernel: Running, code: str) -> str:
    """Ask for a cell; return the request's id when the saving of its variables has begun."""
    request = str(kernel.client.execute(code))
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["content"].get("text") != "saving\n":
        pass
    return request


def reply_to(kernel: Running, request: str) -> dict[str, Any]:
    while (reply := kernel.client.get_shell_msg(timeout=PATIENCE))["parent_header"].get("msg_id") != request:
        pass
    return dict(reply)


def test_saving_that_takes_long_is_given_up_and_the_rest_is_saved(kernel: Running) -> None:
    kernel.run("x = 1")
    request = saving(kernel, f"{ENDLESS}\nother = 2\nendless = Endless()\nx = 3")
    time.sleep(SAVING_PATIENCE + 0.5)
    kernel.manager.interrupt_kernel()
    reply = reply_to(kernel, request)
    assert reply["content"]["status"] == "ok"
    assert reply["metadata"]["cellstack"]["carried"]["not_carried"] == {"endless": "saving it was interrupted"}
    assert kernel.run("x, other, 'endless' in globals()")[1] == ["(3, 2, False)"]


def test_second_interrupt_ends_the_cell_and_nothing_is_changed(kernel: Running) -> None:
    kernel.run("x = 1")
    request = saving(kernel, f"{ENDLESS}\nx = Endless()\nopen('file', 'w').write('text')")
    for _ in range(2):
        kernel.manager.interrupt_kernel()
    reply = reply_to(kernel, request)
    assert (reply["content"]["status"], reply["metadata"]["cellstack"]["status"]) == ("error", "killed")
    assert "second interrupt" in reply["content"]["evalue"]
    assert kernel.run("import os; x, os.path.exists('file')")[1] == ["(1, False)"]


def test_interrupt_that_comes_when_all_but_the_saving_is_done_loses_nothing(kernel: Running) -> None:
    kernel.run("x = 1")
    request = saving(kernel, f"{BRIEF}\nx = Brief()\ny = 2")
    kernel.manager.interrupt_kernel()
    reply = reply_to(kernel, request)
    assert (reply["content"]["status"], reply["metadata"]["cellstack"]["carried"]["not_carried"]) == ("ok", {})
    assert kernel.run("x, y")[1] == ["(7, 2)"]
