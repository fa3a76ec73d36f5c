"""Any notebook gives the same whether its cells run in one process or each in its own."""

from __future__ import annotations

import collections
import functools
import tempfile
import types
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.carry_cells import Notebook

from cellstack_guest import pickling
from cellstack_guest.definitions import Registry

NAMES = ("a", "b", "c", "d")
SETUP = (
    "class Node:\n"
    "    made = []\n"
    "    def __init__(self, x):\n"
    "        self.x = x\n"
    "        self.made.append(len(self.made))\n"
    "class Leaf(Node):\n"
    "    __slots__ = ('y',)\n"
    "def wrap(v):\n"
    "    def get():\n"
    "        return v\n"
    "    return get\n"
    "a = []\nb = {}\nc = Node(1)\nd = [a, b]\n"
)
# Canonical text of everything that can be reached from the variables: what is one object has one number.
DESCRIBE = """
def describe():
    seen, out, main = {}, [], globals()
    def walk(v):
        if v is None or isinstance(v, (int, str)):
            return repr(v)
        if isinstance(v, type):
            return v.__name__ + str(v is main.get(v.__name__))
        if id(v) in seen:
            return '#' + str(seen[id(v)])
        number = seen[id(v)] = len(seen)
        keep.append(v)
        if isinstance(v, (list, tuple)):
            text = type(v).__name__ + '[' + ','.join(map(walk, v)) + ']'
        elif isinstance(v, dict):
            text = '{' + ','.join(f'{walk(k)}:{walk(w)}' for k, w in v.items()) + '}'
        elif callable(v):
            text = v.__name__ + '(' + (walk(v()) if v.__closure__ else '') + ')'
        else:
            text = walk(type(v)) + walk(getattr(v, 'y', None)) + walk(v.__dict__)
        return f'{number}={text}'
    keep = []
    return [n + ' ' + walk(main[n]) for n in ('a', 'b', 'c', 'd', 'Node') if n in main] + [walk(main['Node'].made)]
print(describe())
del describe
"""

name = st.sampled_from(NAMES)
value = st.one_of(
    name,
    st.integers(0, 3).map(str),
    name.map(lambda n: f"[{n}, {n}]"),
    name.map(lambda n: f"({n}, 'text')"),
    name.map(lambda n: f"{{'k': {n}}}"),
    name.map(lambda n: f"Node({n})"),
    name.map(lambda n: f"Leaf({n})"),
    name.map(lambda n: f"wrap({n})"),
    st.sampled_from(["Node", "Leaf", "[]"]),
)


def _put(target: str, source: str) -> str:
    return (
        f"v = {source}\n"
        f"if isinstance({target}, list): {target}.append(v)\n"
        f"elif isinstance({target}, dict): {target}[len({target})] = v\n"
        f"elif isinstance({target}, Node): {target}.x = v\n"
        "del v"
    )


statement = st.one_of(
    st.builds("{} = {}".format, name, value),
    st.builds(_put, name, value),
    st.builds("Node.extra = {}".format, name),
    name.map(lambda n: f"if isinstance({n}, Leaf): {n}.y = {n}"),
    name.map(lambda n: f"if isinstance({n}, list) and {n}: {n}.pop()"),
    st.just("class Node:\n    made = ['new']\n    def __init__(self, x):\n        self.x = x"),
)
cells = st.lists(st.lists(statement, min_size=1, max_size=3).map("\n".join), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(cells)
def test_graphs_of_objects_are_the_same_in_one_process_and_in_many(codes: list[str]) -> None:
    with tempfile.TemporaryDirectory() as root:
        many = Notebook(f"{root}/many")
        for code in (SETUP, *codes):
            many.run(code)
        one = Notebook(f"{root}/one")
        expected = one.run("\n".join([SETUP, *codes, DESCRIBE])).printed
        assert many.run(DESCRIBE).printed == expected


MAKERS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "dict": lambda items: dict(enumerate(items)),
    "slice": lambda items: slice(None, None, [*items] or 1),
    "object": lambda items: types.SimpleNamespace(items=items),
    "method": lambda items: [*items].append,
    "partial": lambda items: functools.partial(print, *items),
    "deque": collections.deque,
    "function": lambda items: lambda: items,
    "text": lambda items: "text" * len(items),
}
# Objects by what they are and which of those before them they hold; the last few are the variables.
graphs = st.lists(
    st.tuples(st.sampled_from(sorted(MAKERS)), st.lists(st.integers(1, 6), max_size=3)), min_size=2, max_size=14
)


def _groups(marks: dict[str, set[int]]) -> set[frozenset[str]]:
    groups: dict[frozenset[str], set[int]] = {}
    for key, ids in marks.items():
        joined = [group for group, others in groups.items() if ids & others]
        merged = frozenset({key}).union(*joined)
        groups[merged] = ids.union(*(groups.pop(group) for group in joined))
    return set(groups)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(graphs)
def test_what_shares_objects_is_found_in_one_go_as_one_by_one(graph: list[tuple[str, list[int]]]) -> None:
    made: list[Any] = []
    for kind, back in graph:
        made.append(MAKERS[kind](tuple(made[-step] for step in back if step <= len(made))))
    values = {f"v{number}": value for number, value in enumerate(made[-5:])}
    registry = Registry({"__name__": "__main__", **values})
    alone = {key: pickling.dump({key: value}, registry) for key, value in values.items()}
    together = pickling.shares(values, registry)
    assert _groups({key: set(part.shared) for key, part in together.items()}) == _groups(
        {key: set(part.shared) for key, part in alone.items()}
    )
