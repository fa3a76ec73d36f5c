"""Objects of the language and of its library that need a hand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from tests.carry_cells import Notebook


def test_exception_knows_where_it_was_raised(nb: Notebook) -> None:
    nb.run("def fail(): raise ValueError('v')\ntry: fail()\nexcept ValueError as e: x = e")
    ran = nb.run(
        "import traceback\nshown = traceback.extract_tb(x.__traceback__)\n"
        "print([(line.filename, line.lineno, line.name) for line in shown])\n"
        "print(x.__traceback__.tb_frame.f_globals is globals())"
    )
    assert ran.printed == "[('<cell 1>', 2, '<module>'), ('<cell 1>', 1, 'fail')]\nTrue\n"
    assert "are not carried" in nb.attempt("x.__traceback__.tb_frame.f_locals['e']").error
    assert 'File "<cell 1>", line 1, in fail' in nb.attempt("raise x").error


def test_exception_of_a_class_with_a_reduction_of_its_own(nb: Notebook) -> None:
    nb.run("try:\n  try: open('/nowhere')\n  except OSError as e: raise ImportError('i', name='n') from e\n"
           "except ImportError as e: x = e")  # fmt: skip
    assert nb.show("(x.name, x.__cause__.filename, x.__traceback__.tb_lineno)") == "('n', '/nowhere', 3)"


def test_views_and_parts_of_memory_show_what_they_are_of(nb: Notebook) -> None:
    nb.run("d = {1: 2}; keys, items = d.keys(), d.items()\nb = bytearray(b'abcdef'); part = memoryview(b)[1:3]")
    nb.run("d[3] = 4; part[0] = 65")
    assert nb.show("(list(keys), list(items), b)") == "([1, 3], [(1, 2), (3, 4)], bytearray(b'aAcdef'))"


def test_class_that_makes_its_instances_itself(nb: Notebook) -> None:
    nb.run(
        "class S:\n    one = None\n    def __new__(cls):\n        cls.one = cls.one or super().__new__(cls)\n"
        "        return cls.one\nx = S()\n"
        "class I(int):\n    def __new__(cls, a, b):\n        self = super().__new__(cls, a); self.b = b; return self\n"
        "y = I(3, 4)"
    )
    assert nb.show("(x is S(), x is S.one, y, y.b)") == "(True, True, 3, 4)"


def test_classes_keep_their_full_names(nb: Notebook) -> None:
    nb.run("class O:\n    class I: pass\ndef make():\n    class L: pass\n    return L\nx = make()")
    assert nb.show("(O.I.__qualname__, x.__qualname__)") == "('O.I', 'make.<locals>.L')"


def test_what_a_class_is_called_and_derived_from_is_what_it_was_last(nb: Notebook) -> None:
    nb.run(
        "class A:\n    def f(self): return 'a'\n\nclass B:\n    def f(self): return 'b'\n\nclass C(A): pass\n\nc = C()"
    )
    nb.run("C.__bases__ = (B,); C.__name__ = 'D'; C.__qualname__ = 'outer.D'")
    assert nb.show("(c.f(), C.__name__, repr(C), type(c) is C, C.__mro__[1] is B)") == (
        "('b', 'D', \"<class '__main__.outer.D'>\", True, True)"
    )


def test_subclasses_are_found(nb: Notebook) -> None:
    nb.run("class Base: pass")
    nb.run("class One(Base): pass\n\nclass Other(Base): pass")
    nb.run("class Two(One): pass\n\ndef every(): return [cls.__name__ for cls in Base.__subclasses__()]")
    assert nb.show("[cls.__name__ for cls in Base.__subclasses__()]") == "['One', 'Other']"
    assert nb.show("every()") == "['One', 'Other']"


def test_module_that_code_has_made(nb: Notebook) -> None:
    nb.run("import types\nm = types.ModuleType('made'); m.a = 1\nexec('def f(): return a', vars(m))\nheld = [m]")
    nb.run("m.a += 1")
    assert nb.show("(m.f(), held[0] is m)") == "(2, True)"


def test_weak_references_notice_the_end_of_what_an_earlier_cell_made(nb: Notebook) -> None:
    nb.run(
        "import weakref\ngone = []\nclass C:\n    a = 1\n    def m(self): return self.a\n"
        "    def __del__(self):\n        gone.append(1)\n"
        "c = C(); r = weakref.ref(c, lambda _: gone.append(2)); f = weakref.finalize(c, gone.append, 3)\n"
        "p = weakref.proxy(c); w = weakref.WeakMethod(c.m)"
    )
    assert nb.run("c.a = 5\nprint(p.a, w()(), r() is c, f.alive, gone)").printed == "5 5 True True []\n"
    assert nb.run("del c\nprint(sorted(gone), r(), w(), f.alive)").printed == "[1, 2, 3] None None False\n"
    assert nb.show("(sorted(gone), r(), f.alive)") == "([1, 2, 3], None, False)"
    assert "ReferenceError" in nb.attempt("p.a").error


def test_what_typing_makes(nb: Notebook) -> None:
    nb.run(
        "from typing import Generic, NewType, ParamSpec\nP = ParamSpec('P'); N = NewType('N', int)\n"
        "class G(Generic[P]): ..."
    )
    assert nb.show("(P, N, N(3), N.__supertype__, G.__parameters__[0] is P)") == (
        "(~P, __main__.N, 3, <class 'int'>, True)"
    )


def test_iterators_and_keys(nb: Notebook) -> None:
    nb.run(
        "from itertools import pairwise\nfrom functools import cmp_to_key\n"
        "x = pairwise('abcde'); next(x)\nk = cmp_to_key(lambda a, b: b - a)\n"
        "class A:\n    def m(self): return 'A'\nclass B(A):\n    def m(self): return 'B'\ns = super(B, B())"
    )
    assert nb.run("print(next(x), sorted([1, 3, 2], key=k), s.m())").printed == "('b', 'c') [3, 2, 1] A\n"
    assert nb.show("list(x)") == "[('c', 'd'), ('d', 'e')]"


def test_what_a_cached_function_has_kept(nb: Notebook) -> None:
    nb.run(
        "from functools import cache, lru_cache\nmade = []\n"
        "@lru_cache(maxsize=3)\ndef f(*a, **k): made.append(a); return {'k': a}\n"
        "f(1); f('x', 2, z=3); f(2.0); f(1)\n"
        "@lru_cache(None, typed=True)\ndef g(a, **k): made.append(a)\ng(1); g(1.0); g(1, k=2)"
    )
    ran = nb.run(
        "print(f.cache_info(), g.cache_info())\ndel made[:]\nf('x', 2, z=3); f(2.0); g(1); g(1.0); g(1, k=2)\n"
        "print(made); f(3); f('x', 2, z=3); f(1); print(made)"
    )
    assert ran.printed == (
        "CacheInfo(hits=1, misses=3, maxsize=3, currsize=3) CacheInfo(hits=0, misses=3, maxsize=None, currsize=3)\n"
        "[]\n[(3,), (1,)]\n"
    )


def test_cache_of_a_method_finds_instances_by_their_own_hash(nb: Notebook) -> None:
    nb.run(
        "from functools import lru_cache\nclass C:\n    def __init__(self, n): self.n = n\n"
        "    def __eq__(self, other): return self.n == other.n\n    def __hash__(self): return hash(self.n)\n"
        "    @lru_cache\n    def m(self): return [self.n]\nkept = C(7).m()"
    )
    assert nb.show("(C(7).m() is kept, C.m.cache_info().hits)") == "(True, 1)"


def test_a_cache_that_cannot_be_carried_is_said_and_its_function_is_there(nb: Notebook) -> None:
    ran = nb.run("import functools\n@functools.cache\ndef f(): return (i for i in 'ab')\nf(); None")
    assert ran.notices == ["the cache of f will not be carried: functools._lru_cache_wrapper holding generator"]
    assert nb.show("(next(f()), f.cache_info().misses)") == "('a', 1)"


def test_caches_and_weak_dictionaries_of_modules_beside_the_notebook(nb: Notebook, tmp_path: Path) -> None:
    (tmp_path / "kept.py").write_text(
        "import functools, weakref\ncalls = []\n@functools.cache\ndef f(a): calls.append(a); return a\n"
        "@functools.cache\ndef g(): return (i for i in 'ab')\nW = weakref.WeakValueDictionary()\nclass T: ...\n"
    )
    nb.run(f"import sys\nsys.path.append({str(tmp_path)!r})\nimport kept\nkept.f(1); t = kept.T(); kept.W['t'] = t")
    ran = nb.run("kept.f(1); g = kept.g()\nprint(kept.calls, kept.f.cache_info().hits, kept.W['t'] is t)")
    assert ran.printed == "[1] 1 True\n"
    assert "the cache of f or g will not be carried: dict holding generator" in ran.notices[0]
    assert nb.show("kept.calls") == "[1]"


def test_a_module_that_is_broken_or_gone_is_the_last_that_worked(
    nb: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    source = tmp_path / "edited.py"
    source.write_text("class A:\n    def __init__(self, x): self.x = x\n\ndef f(): return 1\n")
    nb.run(f"import sys\nsys.path.append({str(tmp_path)!r})\nimport edited\nf, made = edited.f, [edited.A(2)]")
    nb.run("import os.path\nos.path.exists = lambda path: False")
    source.write_text("def f(:\n")
    ran = nb.run("print(f(), made[0].x, edited.f())")
    assert ran.printed == "1 2 1\n"
    assert ran.notices == [
        f"{source}, line 1: invalid syntax: what earlier cells have of it is of its last version without an error"
    ]
    source.unlink()
    ran = nb.run("import edited\nprint(f(), made[0].x, edited.f())")
    assert ran.printed == "1 2 1\n"
    assert ran.notices == [f"{source} is gone: what earlier cells have of it is of its last version"]
    assert "No module named 'unknown'" in nb.attempt("import unknown").error
    source.write_text("class A:\n    y = 3\n\ndef f(): return 4 # more\n")
    ran = nb.run("print(f(), made[0].x, made[0].y)")
    assert (ran.printed, ran.notices) == ("4 2 3\n", [])


def test_text_files_go_on_with_their_newlines(nb: Notebook, tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"1\r\n2\r\n3\r\n4\r\n")
    nb.run(f"raw = open({str(path)!r}, newline=''); text = open({str(path)!r}); next(raw), next(text)")
    assert nb.run("print([next(raw), next(text)])").printed == "['2\\r\\n', '2\\n']\n"
    assert nb.show("[raw.readline(), next(text)]") == "['3\\r\\n', '3\\n']"
