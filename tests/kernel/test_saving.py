"""Saving the variables of a cell does not run into the limit of its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.kernels import Running

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

# Most of 100 MiB, and more with what saving it takes.
LARGE = {
    "many small ones": "x = [{'a': i, 'b': str(i)} for i in range(225_000)]",
    "many tiny ones": "x = [[] for _ in range(750_000)]",
    "instances": "class A:\n    def __init__(self): self.a = [1]\nx = [A() for _ in range(250_000)]",
    "shared": "x = [[] for _ in range(750_000)]; y = [x]",
    "one text": "x = 'a' * 2**26",
    "bytes": "x = bytes(2**26)",
}


@pytest.mark.parametrize("code", LARGE.values(), ids=LARGE.keys())
def test_a_value_that_leaves_no_memory_to_save_it_is_left_out(kernel: Running, code: str) -> None:
    kernel.run("%limits memory=100m")
    kernel.run("before = [1]")
    _, texts = kernel.run(f"before.append(2)\n{code}\nprint(len(x))\nafter = 3")
    assert texts[0].rstrip().isdecimal()
    assert "'x' will not be carried: saving it takes more memory than is left; the cell may use 100 MiB" in texts[1]
    assert "Raise it with %limits memory=200m" in texts[1]
    assert kernel.run("before, after")[1] == ["([1, 2], 3)"]
    kernel.run("%limits memory=400m")
    kernel.run(code)
    assert kernel.run("len(x)")[1] == [texts[0].rstrip()]
