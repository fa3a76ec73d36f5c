"""What a cell leaves running ends with its container, and it is said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.kernels import Running

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

TOLD = " was still running and ended with the cell; %container scope=notebook lets it go on"
POOLS = """\
import concurrent.futures, multiprocessing, subprocess
fork = concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
spawn = multiprocessing.get_context("spawn").Pool(1)
fork.submit(abs, -1).result(), spawn.apply(abs, (-2,)), subprocess.run(["true"]).returncode"""


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess\nsubprocess.Popen(['sleep', '60']);",
        "!(sleep 60 </dev/null >/dev/null 2>&1 &); until pgrep -x sleep >/dev/null; do :; done",
    ],
    ids=["child", "daemon"],
)
def test_a_program_that_is_left_is_told(kernel: Running, code: str) -> None:
    _, texts = kernel.run(code)
    assert "".join(texts) == f"'sleep 60'{TOLD}\n"


def test_what_pools_start_for_themselves_is_not_told(kernel: Running) -> None:
    _, texts = kernel.run(POOLS)
    assert texts[0] == "(1, 2, 0)"
    assert "was still running" not in "".join(texts)


def test_programs_that_end_with_the_shared_container_are_told_then(kernel: Running) -> None:
    kernel.run("%container scope=notebook")
    _, texts = kernel.run("import subprocess\nsubprocess.Popen(['sleep', '60']);")
    assert texts == []
    _, texts = kernel.run("subprocess.run(['pgrep', '-x', 'sleep'], stdout=subprocess.DEVNULL).returncode")
    assert texts == ["0"]


def test_tasks_and_threads_go_on_in_the_shared_container(kernel: Running) -> None:
    kernel.run("%container scope=notebook")
    cell = (
        "import asyncio, threading\nheard = []\n"
        "async def hear():\n    await asyncio.sleep(0.1)\n    heard.append('task')\n\n"
        "task = asyncio.create_task(hear()); done = threading.Event()\n"
        "threading.Thread(target=lambda: done.wait() and heard.append('thread')).start()"
    )
    assert kernel.run(cell)[1] == []
    assert kernel.run("await task\ndone.set()\nheard")[1][0].startswith("['task'")


def test_what_waits_for_a_task_that_has_ended_is_carried(kernel: Running) -> None:
    cell = (
        "import asyncio\nfuture = asyncio.get_running_loop().create_future()\nasync def wait(): await future\n\n"
        "task = asyncio.create_task(wait()); await asyncio.sleep(0)\nvalue = {'waits': future}; del task"
    )
    assert [text for text in kernel.run(cell)[1] if "value" in text] == []
    assert kernel.run("value['waits'].set_result(5)\nawait value['waits']")[1] == ["5"]
