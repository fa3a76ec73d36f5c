"""Any notebook gives the same whether its cells run in one process or each in its own."""

from __future__ import annotations

import tempfile

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.carry_cells import Notebook

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
