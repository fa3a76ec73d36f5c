"""What a piece of code can reach."""

from __future__ import annotations

import sys

import pytest

from cellstack_guest import names


def reached(code: str) -> set[str] | str:
    reach = names.reach_of_source(code)
    return "everything" if reach.everything else set(reach.names)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1 + 1", set()),
        ("x = 1", set()),
        ("x += 1", {"x"}),
        ("x[0] = y", {"x", "y"}),
        ("x.a.b = 1", {"x"}),
        ("del x, y", {"x", "y"}),
        ("def f(a, b=c):\n    d = a\n    return d + e", {"c", "e"}),
        ("def f():\n    global g\n    g += 1", {"g"}),
        ("class A(B):\n    x = x", {"B", "x"}),
        # Since Python 3.12 a comprehension has no scope of its own, and its variable may be any.
        ("[i for i in z if i in q]", {"z", "q"} | ({"i"} if sys.version_info >= (3, 12) else set())),
        ("f'{a} {b!r:{c}}'", {"a", "b", "c"}),
        ("df.query('x > @limit')", {"df", "x", "limit"}),
        ("with open(p) as f:\n    pass", {"open", "p"}),
        ("@deco\ndef f(): pass", {"deco"}),
        ("lambda a, *b: a + b + c", {"c"}),
        ("x: T = 1", {"T"}),
        ("import a.b as c\nfrom d import e", set()),
        ("if __name__ == '__main__':\n    go()", {"__name__", "__main__", "go"}),
        ("vars(x)", {"vars", "x"}),
        ("get_ipython().run_line_magic('timeit', 'f(x)')", {"get_ipython", "timeit", "f", "x"}),
        ("get_ipython().system('echo {x}')", {"get_ipython", "echo", "x"}),
    ],
)
def test_reach(code: str, expected: set[str]) -> None:
    found = reached(code)
    assert isinstance(found, set)
    assert found - {"run_line_magic"} == expected


@pytest.mark.parametrize(
    "code",
    [
        "eval('x')",
        "f = exec",
        "globals()['x']",
        "vars()",
        "dir()",
        "print(locals())",
        "get_ipython().run_line_magic('who', '')",
        "get_ipython().run_cell_magic('time', '', 'exec(code)')",
        "%whos",
        "%%time\nprint(dir( ))",
        "get_ipython().user_ns['x']",
        "get_ipython().ev(text)",
        "get_ipython().run_line_magic('time', text)",
        "getattr(__import__('__main__'), name)",
        "importlib.import_module('__main__').x",
        "df.query(text)",
        "import __main__",
        "from __main__ import x",
        "import sys; sys.modules['__main__'].x",
        "inspect.currentframe().f_back",
    ],
)
def test_reaches_everything(code: str) -> None:
    assert reached(code) == "everything"


def test_text_that_is_not_python_reaches_its_words() -> None:
    assert reached("%timeit f(x)\n!ls $folder") == {"timeit", "f", "x", "ls", "folder"}


def test_functions_reach_their_globals_and_the_words_in_their_strings() -> None:
    scope: dict[str, object] = {}
    exec("def f(a):\n    def g():\n        return h(a.attr) + K\n    return g, 'text @name', [X for _ in a]", scope)
    reach = names.reach_of_function(scope["f"].__code__)  # type: ignore[attr-defined]
    assert reach.names == {"h", "K", "X", "text", "name", "f", "g", "a", "locals", "listcomp"} - {
        "a"
    } or reach.names >= {
        "h",
        "K",
        "X",
        "name",
    }
    assert "attr" not in reach.names
    assert not reach.everything


def test_many_names_in_one_function() -> None:
    body = "\n".join(f"    n{number}" for number in range(600))
    scope: dict[str, object] = {}
    exec(f"def f():\n{body}", scope)
    assert names.reach_of_function(scope["f"].__code__).names >= {f"n{number}" for number in range(600)}  # type: ignore[attr-defined]


def test_function_that_evaluates_reaches_everything() -> None:
    assert names.reach_of_function((lambda text: [eval(text)]).__code__).everything
