"""With `%container scope=notebook` following cells run in one living process, and make one layer when it ends."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from tests.kernels import PATIENCE

from cellstack_kernel.notebook import RELEASE_SECONDS

if TYPE_CHECKING:
    from tests.kernels import Running

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]
LIVING = "import itertools, threading\ng = (i for i in itertools.count())\nalive = threading.Event()"


def test_what_lives_goes_on_and_the_rest_is_kept_when_it_ends(kernel: Running) -> None:
    kernel.run("earlier = [1]")
    kernel.run("%container scope=notebook")
    kernel.run(f"{LIVING}\nthreading.Thread(target=alive.wait, daemon=True).start()\nnext(g)")
    kernel.run("import random; random.seed(5); open('file', 'w').write('text'); earlier.append(2)")
    assert kernel.run("threading.active_count() > 1, next(g), earlier")[1] == ["(True, 1, [1, 2])"]
    assert kernel.run("_, _5")[1] == ["((True, 1, [1, 2]), (True, 1, [1, 2]))"]
    assert kernel.run("%%sh\ncat file")[1] == ["text"]
    assert "[3]" in kernel.run("%container")[1][0]
    *refused, ended, _ = kernel.run("%container scope=cell")[1]
    assert "'g' will not be carried: generator\n" in refused
    assert ended.startswith("The container of cells [3] to [7] has ended; what they left is the layer ")
    assert kernel.run("earlier, random.randint(0, 99), open('file').read(), _5[1]")[1] == ["([1, 2], 79, 'text', 1)"]


def test_its_death_takes_its_cells_along_and_says_so(kernel: Running) -> None:
    kernel.run("x = 1")
    kernel.run("%container scope=notebook")
    kernel.run("x = 2")
    error = kernel.run("import os; os._exit(3)")[1][0]
    assert error == (
        "cell ended its own process with exit code 3. "
        "Files and variables are as they were before cell [3], the first in its container"
    )
    assert kernel.run("x")[1] == ["1"]


def test_it_ends_before_head_moves(kernel: Running) -> None:
    kernel.run("x = 1")
    kernel.run("%container scope=notebook")
    kernel.run("x = 2")
    ended, moved = kernel.run("%undo")[1]
    assert "cells [3] to [3] has ended" in ended
    assert moved.endswith("the result of cell [1].")
    assert kernel.run("x")[1] == ["1"]
    kernel.run("%checkout 3")
    assert kernel.run("x")[1] == ["2"]


def test_a_mistake_in_a_magic_does_not_end_it(kernel: Running) -> None:
    kernel.run("%container scope=notebook")
    kernel.run(LIVING)
    for number, wrong in enumerate(
        ("%container scope=nope", "%limits memory=1", "%image nosuch", "%checkout nosuch", "%undo x", "%context x")
    ):
        assert "has ended" not in "".join(kernel.run(wrong)[1])
        assert kernel.run("next(g)")[1] == [str(number)]


def test_a_cell_cannot_have_limits_of_its_own_in_it(kernel: Running) -> None:
    kernel.run("%container scope=notebook")
    assert "scope=cell ends the shared one" in kernel.run("%%container memory=1g\n1")[1][0]


def test_an_interrupt_ends_the_cell_and_not_the_container(kernel: Running) -> None:
    kernel.run("%container scope=notebook")
    kernel.run("x = 2")
    assert kernel.run("import os, signal; os.kill(os.getpid(), signal.SIGINT)")[1] == [""]
    assert kernel.run("x")[1] == ["2"]


def test_a_kernel_that_is_restarted_keeps_what_it_had(kernel: Running) -> None:
    kernel.run("%container scope=notebook")
    kernel.run("x = 2")
    kernel.again(now=False)
    hint = kernel.run("1")[1][0]
    kernel.run(next(part for part in hint.split(". ") if part.startswith("%checkout")).partition(" brings")[0])
    assert kernel.run("x")[1] == ["2"]


def test_a_kernel_that_is_restarted_in_the_middle_of_a_cell_ends_at_once(kernel: Running) -> None:
    kernel.run("x = 1")
    kernel.run("%container scope=notebook")
    kernel.run("x = 2")
    kernel.client.execute("import time; time.sleep(300)")
    kernel.client.get_iopub_msg(timeout=PATIENCE)
    before = time.monotonic()
    kernel.again(now=False)
    assert time.monotonic() - before < RELEASE_SECONDS / 2
    # An interrupt comes first, and may have ended the cell, so that what the cells share was kept.
    assert re.search(r"after cell \[[14]\]", kernel.run("1")[1][0])
