"""Which lines of a cell the kernel answers itself, and what is left for the container."""

from __future__ import annotations

import pytest

from cellstack_guest.frontend import HOST_MAGICS
from cellstack_kernel.magics import _MAGICS, NOT_YET, Call, parse
from cellstack_runtime.errors import UsageError


def test_a_cell_without_magics_is_left_alone() -> None:
    parsed = parse("x = 1\n%time x\n")
    assert (parsed.calls, parsed.code, parsed.kind) == ((), "x = 1\n%time x\n", "execute")


def test_host_magics_at_the_top_are_taken_out_and_lines_keep_their_numbers() -> None:
    parsed = parse("%limits memory=1g cpus=2\n%layers\nx = 1")
    assert parsed.calls == (Call("limits", ("memory=1g", "cpus=2")), Call("layers"))
    assert (parsed.code, parsed.skipped) == ("x = 1", 2)


def test_a_question_about_a_magic_is_no_call() -> None:
    assert parse("%layers?").calls == (Call("layers", about=True),)


@pytest.mark.parametrize(
    "code", ["x = 1\n%layers", "if x:\n    %layers", "text = '''\n%layers'''", "%layersx", "%timeit 1"]
)
def test_what_is_no_host_magic_goes_to_the_container(code: str) -> None:
    assert parse(code).calls == ()
    assert parse(code).code == code


def test_container_magic_gives_the_options_of_one_cell() -> None:
    parsed = parse("%%container memory=64m commit=no\nx = 1")
    assert (parsed.options, parsed.code, parsed.skipped) == ({"memory": "64m", "commit": "no"}, "x = 1", 1)


def test_a_comment_above_a_host_magic_stays_where_it_is() -> None:
    parsed = parse("# hello\n%layers\nx = 1")
    assert (parsed.calls, parsed.code, parsed.skipped) == ((Call("layers"),), "# hello\n\nx = 1", 0)


def test_shell_cells_are_told_from_python_ones_also_below_container_options() -> None:
    assert (parse("%%sh\necho hi").kind, parse("%%sh\necho hi").code) == ("shell", "echo hi")
    parsed = parse("%%container timeout=5\n%%sh\necho hi")
    assert (parsed.kind, parsed.code.strip(), parsed.options) == ("shell", "echo hi", {"timeout": "5"})


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("%%container colour=red\n1", ["colour=red", "memory=", "commit="]),
        ("%%container memory\n1", ["'memory'"]),
        ("%%container commit=maybe\n1", ["maybe"]),
        ("%limits 'memory", ["split"]),
        ("%%build -t x\nFROM y", ["%%build"]),
    ],
)
def test_odd_options_are_refused_with_those_that_there_are(code: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as refusal:
        parse(code)
    assert [word for word in words if word not in str(refusal.value)] == []


def test_cells_know_the_names_of_all_host_magics() -> None:
    assert {*HOST_MAGICS, "cp"} == {*_MAGICS, *NOT_YET}
