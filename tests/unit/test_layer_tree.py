"""The tree of layers shows what each one stands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from hypothesis import given
from hypothesis import strategies as st

from cellstack_kernel.views import tree

if TYPE_CHECKING:
    from cellstack_runtime.store import Layer


@dataclass(frozen=True)
class Stub:
    """What the tree looks at of a layer."""

    id: str
    parent: str | None


def rows(parents: dict[str, str | None]) -> list[tuple[str, int]]:
    layers: list[Any] = [Stub(name, parent) for name, parent in parents.items()]
    return [(layer.id, depth) for layer, depth in tree(cast("list[Layer]", layers))]


def test_what_follows_on_a_layer_stays_in_its_column() -> None:
    assert rows({"a": None, "b": "a", "c": "b"}) == [("a", 0), ("b", 0), ("c", 0)]


def test_branch_is_drawn_below_what_it_branches_from() -> None:
    assert rows({"a": None, "b": "a", "c": "b", "d": "a", "e": "d", "f": None}) == [
        ("f", 1),
        ("a", 0),
        ("d", 1),
        ("e", 1),
        ("b", 0),
        ("c", 0),
    ]


def test_layer_on_one_that_is_not_shown_is_a_root() -> None:
    assert rows({"b": "a", "c": "b"}) == [("b", 0), ("c", 0)]


@given(st.lists(st.integers(0, 100), max_size=30))
def test_each_stands_on_the_nearest_one_above_that_is_no_further_right(choices: list[int]) -> None:
    parents: dict[str, str | None] = {}
    for index, choice in enumerate(choices):
        parents[str(index)] = [None, *parents][choice % (index + 1)]
    drawn: list[tuple[str, int]] = []
    for name, depth in rows(parents):
        above = next((other for other, column in reversed(drawn) if column <= depth), None)
        assert above == parents[name]
        drawn.append((name, depth))
    assert len(drawn) == len(parents)
