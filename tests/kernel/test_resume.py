"""A kernel that died comes back where it was; one that was restarted starts clean and tells of what was there."""

from __future__ import annotations

import random
import signal
import threading

import psutil
import pytest
from tests.kernels import PATIENCE, Running

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]


def test_killed_kernel_is_back_at_its_head(kernel: Running) -> None:
    kernel.run("x = [1]")
    kernel.run("x.append(2)\nopen('file', 'w').write('text')\nx")
    kernel.kill()
    kernel.again(now=True)
    number, texts = kernel.run("x, open('file').read(), _, In[1]")
    assert number == 3
    assert texts[0].startswith("The kernel had died. It is back at the result of cell [2] (layer ")
    assert texts[1:] == ["([1, 2], 'text', [1, 2], 'x = [1]')"]
    assert kernel.run("len(x)") == (4, ["2"])


def test_kernel_that_ends_with_its_host_is_back_at_its_head(kernel: Running) -> None:
    kernel.run("x = 7")
    kernel.kill(signal.SIGTERM)  # as `systemctl stop` and a host that goes down send it
    psutil.Process(kernel.manager.provisioner.pid).wait(PATIENCE)  # type: ignore[union-attr]
    kernel.again(now=True)
    _, texts = kernel.run("x")
    assert (texts[0][:20], texts[1:]) == ("The kernel had died.", ["7"])


def test_new_kernel_of_the_notebook_goes_on_after_the_death_of_the_other(kernel: Running) -> None:
    kernel.run("x = 7")
    kernel.kill()
    other = Running(kernel.notebook)
    try:
        _, texts = other.run("x")
        assert (texts[0][:20], texts[1:]) == ("The kernel had died.", ["7"])
    finally:
        other.close()


def test_second_kernel_beside_a_live_one_has_a_session_of_its_own(kernel: Running) -> None:
    kernel.run("x = 7")
    other = Running(kernel.notebook)
    try:
        assert other.run("x") == (1, ["name 'x' is not defined"])
    finally:
        other.close()


@pytest.mark.parametrize("restarts", [1, 2])
def test_restarted_kernel_is_clean_and_says_how_to_have_the_rest_back(kernel: Running, restarts: int) -> None:
    kernel.run("x = 1")
    kernel.run("open('file', 'w').write('text');")
    for _ in range(restarts):
        kernel.again(now=False)
    number, (hint, error) = kernel.run("x")
    assert (number, error) == (1, "name 'x' is not defined")
    assert "after cell [2]" in hint
    checkout = next(part for part in hint.split(". ") if part.startswith("%checkout")).partition(" brings")[0]
    assert kernel.run(checkout)[1] == [f"head is {checkout.split()[1]}, the result of cell [2]."]
    assert kernel.run("x, open('file').read()")[1] == ["(1, 'text')"]


def test_kernel_that_was_shut_down_leaves_no_line_behind(kernel: Running) -> None:
    kernel.run("x = 1")
    kernel.close()
    other = Running(kernel.notebook)
    try:
        assert other.run("'x' in globals()") == (1, ["False"])
    finally:
        other.close()


def test_kill_at_any_moment_finds_the_last_committed_layer_complete(kernel: Running) -> None:
    """Variables and files always agree, and nothing that was answered is lost."""
    chance = random.Random(4)
    kernel.run("count = 0")
    answered = 0
    for _ in range(5):
        killer = threading.Timer(chance.uniform(0.0, 0.25), kernel.kill)
        killer.start()
        while killer.is_alive():
            kernel.client.execute("count += 1\nopen('file', 'w').write(str(count));")
            try:
                reply = kernel.client.get_shell_msg(timeout=1)
            except Exception:  # noqa: BLE001  queue.Empty: the kernel is dead
                break
            assert reply["content"]["status"] == "ok", reply["content"]
            answered += 1
        killer.join()
        kernel.again(now=True)
        _, texts = kernel.run("import os\ncount, open('file').read() if os.path.exists('file') else '0'")
        count, text = eval(texts[-1])
        assert str(count) == text
        assert count in (answered, answered + 1)
        answered = count


def comms(kernel: Running) -> dict[str, str]:
    reply = kernel.client.comm_info(reply=True, timeout=PATIENCE)["content"]
    return {name: comm["target_name"] for name, comm in reply["comms"].items()}


def test_comms_that_are_carried_are_known_to_the_kernel_that_goes_on(kernel: Running) -> None:
    opening = "import comm\nc = comm.create_comm(target_name='a target', comm_id='{0}')\n"
    kernel.run(opening.format("kept"))
    kernel.run(opening.format("closed"))
    kernel.run("c.close()")
    assert comms(kernel) == {"kept": "a target"}
    kernel.run(opening.format("second"))
    kernel.kill()
    kernel.again(now=True)
    assert comms(kernel) == {"kept": "a target", "second": "a target"}
    kernel.run("%undo")
    assert comms(kernel) == {"kept": "a target"}
    kernel.again(now=False)
    assert comms(kernel) == {}
