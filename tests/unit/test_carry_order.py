"""Sets have the order of their items in later cells, and NaN is found by what it is."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellstack_guest import arranged

if TYPE_CHECKING:
    from tests.carry_cells import Notebook

WORDS = "the cat sat on the mat a dog ran in to it and by was for of is be at"

ATOMS = st.one_of(st.text(max_size=4), st.integers(), st.floats(allow_nan=False), st.none(), st.booleans())
ITEMS = st.lists(st.one_of(ATOMS, st.tuples(ATOMS, ATOMS), st.integers(0, 200)), max_size=300)


@given(ITEMS, ITEMS, st.lists(st.sampled_from(["add", "discard", "update", "subtract", "copy", "pop"]), max_size=6))
def test_a_set_is_made_as_it_was(first: list[Any], second: list[Any], steps: list[str]) -> None:
    value = set(first)
    for step in steps:
        if step == "add":
            for item in second:
                value.add(item)
        elif step == "discard":
            for item in first[::2]:
                value.discard(item)
        elif step == "update":
            value |= dict.fromkeys(second).keys()
        elif step == "subtract":
            value -= set(second[::3])
        elif step == "copy":
            value = value | set()
        elif value:
            value.pop()
    found = arranged.Arranged.of(value)
    made = pickle.loads(pickle.dumps(value if found is None else found))
    assert [*(made if found is None else made.value)] == [*value]


def test_numbers_by_the_order_of_a_set_are_right_in_later_cells(nb: Notebook) -> None:
    nb.run(f"words = set({WORDS!r}.split()); frozen = frozenset(words); texts = {{'all': words}}")
    nb.run("numbers = {word: number for number, word in enumerate(words)}; cold = [*frozen]")
    assert nb.show("([numbers[word] for word in words] == [*range(len(words))], [*frozen] == cold)") == "(True, True)"
    nb.run("words.add('more'); words.discard('cat'); words.add('than'); now = [*words]")
    assert nb.show("([*words] == now, texts['all'] is words, type(frozen) is frozenset)") == "(True, True, True)"


def test_a_set_that_leads_to_itself_is_one(nb: Notebook) -> None:
    nb.run(
        f"class Node:\n    def __hash__(self): return 5\n\nnode = Node(); node.all = set({WORDS!r}.split())\n"
        "node.all.add(node)"
    )
    assert nb.show("node in node.all and next(each for each in node.all if type(each) is Node) is node") == "True"


def test_what_is_not_looked_at_is_as_a_pickle_has_it(nb: Notebook) -> None:
    nb.run("class A: pass\n\nmany = {A() for _ in range(50)}; one = next(iter(many))")
    assert nb.show("(len(many), one in many)") == "(50, True)"


@pytest.mark.parametrize("made", ["[1, np.nan]", "{np.nan: 1}", "{np.nan, 2}", "('a', np.nan)", "[math.nan, [np.nan]]"])
def test_nan_of_a_library_is_that_of_the_library(nb: Notebook, made: str) -> None:
    nb.run(f"import math\nimport numpy as np\nvalue = {made}\nboth = math.nan, np.nan")
    assert nb.show("np.nan in value or math.nan in value") == "True"
    assert nb.show("(both[0] is math.nan, both[1] is np.nan)") == "(True, True)"


def test_a_nan_of_ones_own_is_the_same_within_a_variable(nb: Notebook) -> None:
    nb.run("import struct\nown, other = -float('nan'), float('nan')\nvalue = [own, other, {own: 1}, (own,)]")
    assert nb.show("(value[0] in value[2], value[0] is value[3][0], value[0] is value[1])") == "(True, True, False)"
    assert nb.show("struct.pack('d', value[0]) == struct.pack('d', -float('nan'))") == "True"
