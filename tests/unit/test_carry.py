"""Variables, functions and classes from one process to the next."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest
from tests.carry_cells import Notebook

from cellstack_guest import manifest
from cellstack_guest.carry import Carrier
from cellstack_guest.manifest import StateError


def test_plain_values_are_there_in_the_next_cell(nb: Notebook) -> None:
    ran = nb.run("a = 1\nb = 'text'\nc = [1, {'k': (2, 3)}]\nd = {1, 2}\nn = None")
    assert ran.saved == ["a", "b", "c", "d", "n"]
    assert nb.show("(a, b, c, d, n)") == "(1, 'text', [1, {'k': (2, 3)}], {1, 2}, None)"


def test_new_interpreter_has_them_too(tmp_path: Path) -> None:
    nb = Notebook(str(tmp_path), fresh=True)
    nb.run("import math\nx = [1]\ny = x\ndef area(r):\n    return math.pi * r * r * x[0]\nclass A: pass\na = A()")
    ran = nb.run("x.append(2)\nprint(y, round(area(1), 2), isinstance(a, A))")
    assert ran.printed == "[1, 2] 3.14 True\n"


def test_cell_that_uses_nothing_loads_and_writes_nothing(nb: Notebook) -> None:
    state = nb.run("a = [1, 2]\ndef f():\n    return a").state
    ran = nb.run("1 + 1")
    assert (ran.state, ran.loaded, ran.saved) == (state, [], [])
    assert not os.path.exists(os.path.join(nb.root, "layer2"))


def test_reading_a_value_does_not_write_it_again(nb: Notebook) -> None:
    state = nb.run("a = {'x': [1, 'x', {'y': 'x'}]}\ndef f(q='x'):\n    return a\nclass A:\n    x = 'x'\ni = A()").state
    ran = nb.run("print(a, f(), A.x, i)")
    assert (ran.state, ran.saved) == (state, [])
    assert ran.loaded == ["A", "a", "f", "i"]


def test_only_what_changed_is_written(nb: Notebook) -> None:
    nb.run("a = [1]\nb = [2]\nc = [3]")
    ran = nb.run("a.append(b)\nb")
    assert ran.saved == ["a", "b"]
    assert nb.show("(a, b, c, a[1] is b)") == "([1, [2]], [2], [3], True)"


def test_deleted_name_is_gone_and_the_others_stay(nb: Notebook) -> None:
    nb.run("a = [1]\nb = a\nc = 3")
    nb.run("del a")
    assert nb.run("print(b, c)").printed == "[1] 3\n"
    assert "NameError" in nb.attempt("a").error


def test_rebinding_does_not_need_the_old_value(nb: Notebook) -> None:
    nb.run("a = [1]\nb = a")
    ran = nb.run("a = 5")
    assert ran.loaded == []
    assert nb.show("(a, b)") == "(5, [1])"


def test_aliases_survive_and_end(nb: Notebook) -> None:
    nb.run("a = [1]\nb = {'a': a}\nc = a")
    assert nb.run("a.append(2)").loaded == ["a", "b", "c"]
    assert nb.show("(b, c is a)") == "({'a': [1, 2]}, True)"
    nb.run("c = list(c)")
    nb.run("c.append(3)")
    assert nb.show("(a, b, c)") == "([1, 2], {'a': [1, 2]}, [1, 2, 3])"


def test_values_that_become_one_object_stay_one(nb: Notebook) -> None:
    nb.run("a = [1]\nb = list(a)")
    nb.run("a = b")
    nb.run("a.append(2)")
    assert nb.show("(a, b)") == "([1, 2], [1, 2])"


def test_cycles(nb: Notebook) -> None:
    nb.run("a = []\na.append(a)\nclass N: pass\nn = N(); n.me = n\nd = {}; d['d'] = d")
    assert nb.show("(a[0] is a, n.me is n, d['d'] is d)") == "(True, True, True)"


def test_very_deep_structures(nb: Notebook) -> None:
    ran = nb.run("head = None\nfor i in range(20000):\n    head = [i, head]")
    if (3, 12) <= sys.version_info < (3, 14):  # the pickler, as all code in C, goes to a fixed depth there
        assert ran.not_carried == {"head": "too deeply nested"}
        return
    assert nb.run("n = 0\nwhile head:\n    n += 1\n    head = head[1]\nprint(n)").printed == "20000\n"


def test_functions_see_names_that_later_cells_bind(nb: Notebook) -> None:
    nb.run("k = 1\ndef f(x):\n    return x + k\ng = lambda: f(1)")
    ran = nb.run("print(g())")
    assert ran.printed == "2\n"
    assert set(ran.loaded) == {"f", "g", "k"}
    assert nb.run("k = 10\nprint(g())").printed == "11\n"
    assert nb.run("def f(x):\n    return -x\nprint(g())").printed == "-1\n"
    assert nb.show("g()") == "-1"


def test_function_keeps_everything_it_has(nb: Notebook) -> None:
    nb.run(
        "import functools\n"
        "def deco(f):\n"
        "    @functools.wraps(f)\n"
        "    def inner(*a, **k):\n"
        "        inner.calls += 1\n"
        "        return f(*a, **k)\n"
        "    inner.calls = 0\n"
        "    return inner\n"
        "@deco\n"
        "def fib(n: int, *, step: int = 1) -> int:\n"
        "    'doc'\n"
        "    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
    )
    ran = nb.run("r = fib(5)\nprint(r, fib.calls, fib.__doc__, fib.__annotations__, fib.__wrapped__.__kwdefaults__)")
    assert ran.printed == "5 15 doc {'n': <class 'int'>, 'step': <class 'int'>, 'return': <class 'int'>} {'step': 1}\n"
    assert nb.show("(fib.calls, fib.__module__, fib.__globals__ is globals())") == "(15, '__main__', True)"


def test_closures_share_their_cells(nb: Notebook) -> None:
    nb.run(
        "def counter():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n    def get():\n"
        "        return n\n    return up, get\nup, get = counter()"
    )
    assert nb.run("up(); up()\nprint(get())").printed == "2\n"
    assert nb.run("up()\nprint(get())").printed == "3\n"


def test_recursive_inner_function(nb: Notebook) -> None:
    nb.run("def make():\n    def fact(n):\n        return 1 if n < 2 else n * fact(n - 1)\n    return fact\nf = make()")
    assert nb.show("f(5)") == "120"


def test_class_and_instances_keep_their_identity(nb: Notebook) -> None:
    nb.run("class A:\n    def __init__(self):\n        self.x = [1]\n    def get(self):\n        return self.x")
    nb.run("a = A()\nb = [A()]")
    nb.run("c = {'k': A()}")
    assert nb.show("(type(a) is A, type(b[0]) is A, isinstance(c['k'], A), c['k'].get())") == "(True, True, True, [1])"


def test_redefined_class_leaves_old_instances_with_the_old_one(nb: Notebook) -> None:
    nb.run("class A:\n    v = 1\na = A()")
    nb.run("class A:\n    v = 2\nb = A()")
    assert nb.show("(a.v, b.v, A.v, isinstance(a, A), isinstance(b, A))") == "(1, 2, 2, False, True)"
    nb.run("del a")
    assert nb.show("(b.v, type(b) is A)") == "(2, True)"
    assert len(manifest.read(nb.root, str(nb.state))["definitions"]) == 1


def test_attributes_set_on_a_class_are_seen_by_its_instances(nb: Notebook) -> None:
    nb.run("class A:\n    count = 0\na = A()")
    ran = nb.run("A.count += 1\nA.hello = lambda self: 'hi'")
    assert ran.saved == ["A"]
    assert nb.show("(a.count, a.hello())") == "(1, 'hi')"


def test_inheritance_super_properties_and_slots(nb: Notebook) -> None:
    nb.run(
        "import abc\n"
        "class Base(abc.ABC):\n"
        "    @abc.abstractmethod\n"
        "    def f(self): ...\n"
        "    @property\n"
        "    def p(self): return self._p\n"
        "    @p.setter\n"
        "    def p(self, v): self._p = v\n"
        "    @classmethod\n"
        "    def make(cls): return cls()\n"
        "    @staticmethod\n"
        "    def s(): return 's'\n"
    )
    nb.run("class Child(Base):\n    def f(self):\n        return super().__init__()\nc = Child.make(); c.p = 7")
    nb.run("class S:\n    __slots__ = ('x', '__y')\n    def __init__(self): self.x = self.__y = 1\ns = S()")
    assert nb.show("(c.p, c.f(), Child.s(), isinstance(c, Base), Child.__mro__[1] is Base)") == (
        "(7, None, 's', True, True)"
    )
    ran = nb.run(
        "try:\n    Base()\nexcept TypeError:\n    print('abstract')\n"
        "try:\n    s.z = 1\nexcept AttributeError:\n    print(s.x)"
    )
    assert ran.printed == "abstract\n1\n"


def test_classes_that_refer_to_each_other(nb: Notebook) -> None:
    nb.run(
        "class Plugin:\n"
        "    known = {}\n"
        "    def __init_subclass__(cls, **options):\n"
        "        super().__init_subclass__(**options)\n"
        "        Plugin.known[cls.__name__] = cls\n"
        "        cls.times = cls.__dict__.get('times', 0) + 1\n"
        "class P1(Plugin): pass\n"
        "class P2(Plugin): friend = P1\n"
        "P1.friend = P2\n"
        "p = P2()"
    )
    assert nb.show("(list(Plugin.known), Plugin.known['P1'] is P1, P1.friend is P2, type(p) is P2, P1.times)") == (
        "(['P1', 'P2'], True, True, True, 1)"
    )
    nb.run("class P3(Plugin): pass")
    assert nb.show("(list(Plugin.known), P3.times, P1.times)") == "(['P1', 'P2', 'P3'], 1, 1)"


def test_subclass_is_complete_without_its_base_being_named(nb: Notebook) -> None:
    nb.run("class Base:\n    def __init__(self, x):\n        self.x = x\nclass Sub(Base):\n    pass")
    assert nb.run("s = Sub(3)\nprint(s.x)").loaded == ["Base", "Sub"]


def test_enums(nb: Notebook) -> None:
    nb.run(
        "import enum\n"
        "class Color(enum.Enum):\n"
        "    RED = 1\n"
        "    GREEN = 2\n"
        "    CRIMSON = 1\n"
        "    def label(self): return self.name.lower()\n"
        "class Planet(enum.Enum):\n"
        "    EARTH = (5.97, 6.37)\n"
        "    def __init__(self, mass, radius): self.mass, self.radius = mass, radius\n"
        "class F(enum.Flag):\n"
        "    A = enum.auto()\n"
        "    B = enum.auto()\n"
        "c = Color.RED\nf = F.A | F.B\np = [Planet.EARTH]"
    )
    ran = nb.run(
        "print(c is Color.RED, Color(2) is Color.GREEN, Color.CRIMSON is Color.RED, c.label(), f == F.A | F.B)\n"
        "print(p[0] is Planet.EARTH, Planet.EARTH.mass, Planet.EARTH.radius, list(Color), Color['GREEN'])"
    )
    assert ran.printed == ("True True True red True\nTrue 5.97 6.37 [<Color.RED: 1>, <Color.GREEN: 2>] Color.GREEN\n")
    assert ran.saved == []


def test_dataclasses_and_named_tuples(nb: Notebook) -> None:
    nb.run(
        "import dataclasses, typing, collections\n"
        "@dataclasses.dataclass(order=True)\n"
        "class D:\n"
        "    x: int\n"
        "    y: list = dataclasses.field(default_factory=list)\n"
        "@dataclasses.dataclass(frozen=True, slots=True)\n"
        "class S:\n"
        "    x: int = 1\n"
        "class T(typing.NamedTuple):\n"
        "    a: int\n"
        "    b: str = 'b'\n"
        "P = collections.namedtuple('P', 'u v')\n"
        "class G(typing.Generic[typing.TypeVar('Q')]): pass\n"
        "d, s, t, p, keyed, g = D(1), S(2), T(1), P(1, 2), {S(1): 'one'}, G()"
    )
    ran = nb.run(
        "print(d == D(1), D(1) < D(2), [f.name for f in dataclasses.fields(D)], dataclasses.replace(s, x=3))\n"
        "print(t == T(1), t.b, p.u, type(p) is P, keyed[S(1)], dataclasses.asdict(d), type(g) is G)"
    )
    assert ran.printed == "True True ['x', 'y'] S(x=3)\nTrue b 1 True one {'x': 1, 'y': []} True\n"


def test_set_of_instances_with_their_own_hash(nb: Notebook) -> None:
    nb.run(
        "class K:\n    all = set()\n    def __init__(self, k): self.k = k; K.all.add(self)\n"
        "    def __hash__(self): return hash(self.k)\n    def __eq__(self, o): return self.k == o.k\n"
        "s = {K(1), K(2)}"
    )
    assert nb.show("(K(1) in s, K(3) in s, len(K.all))") == "(True, False, 3)"


def test_metaclass(nb: Notebook) -> None:
    nb.run(
        "class Meta(type):\n    made = []\n    def __init__(cls, *a):\n        super().__init__(*a)\n"
        "        Meta.made.append(cls.__name__)\n"
        "    def __call__(cls):\n        return super().__call__()\nclass M(metaclass=Meta): pass\nm = M()"
    )
    assert nb.show("(Meta.made, type(M) is Meta, type(m) is M)") == "(['M'], True, True)"


def test_exceptions_with_their_own_arguments(nb: Notebook) -> None:
    nb.run(
        "class E(Exception):\n    def __init__(self, code, text):\n        super().__init__(text); self.code = code\n"
        "try:\n    try:\n        1/0\n    except ZeroDivisionError as z:\n        raise E(7, 'seven') from z\n"
        "except E as e:\n    kept = e"
    )
    assert nb.show("(kept.code, str(kept), type(kept) is E, kept.__cause__)") == (
        "(7, 'seven', True, ZeroDivisionError('division by zero'))"
    )


def test_modules_are_imported_again(nb: Notebook) -> None:
    nb.run("import json as j, os.path\nfrom collections import OrderedDict as OD")
    assert nb.show("(j.dumps([1]), os.path.sep, OD([(1, 2)])[1])") == "('[1]', '/', 2)"


def test_globals_as_a_value(nb: Notebook) -> None:
    nb.run("g = globals()\nholder = [g]\nx = 1")
    assert nb.show("(g is globals(), holder[0] is g, g['x'])") == "(True, True, 1)"


def test_what_cannot_be_carried_is_named_and_costs_nothing_else(nb: Notebook) -> None:
    ran = nb.run(
        "import sqlite3, threading, socket\n"
        "conn = sqlite3.connect(':memory:')\nconn.execute('create temp table t(a)')\ngen = (i for i in range(3))\n"
        "lock = threading.Lock()\nlock.acquire()\n"
        "held = [1, (i for i in [])]\nx = 5\n"
    )
    assert ran.not_carried == {
        "conn": "sqlite3.Connection with temporary tables, or functions as of create_function",
        "gen": "generator",
        "lock": "_thread.lock",
        "held": "list holding generator",
    }
    assert ran.saved == ["socket", "sqlite3", "threading", "x"]
    later = nb.attempt("print(x)\nconn", ask="conn")
    assert later.printed == "5\n"
    assert "NameError" in later.error
    assert later.notes["conn"] == (
        "conn made by cell [1] was not carried to this cell: sqlite3.Connection with temporary tables, or "
        "functions as of create_function. Make it again here, or for every "
        'cell that uses it: cellstack.provide("conn", lambda: ...). %container scope=notebook runs the following '
        "cells in one process, where nothing has to be carried"
    )
    assert nb.run("conn = 3", ask="conn").state != later.state
    assert nb.run("print(conn)", ask="conn").notes["conn"] is None


@pytest.mark.filterwarnings("ignore:The default date:DeprecationWarning")
def test_databases_and_locks_are_as_they_were(nb: Notebook) -> None:
    nb.run(
        "import datetime, sqlite3, threading\n"
        "lock, local = threading.Lock(), threading.local()\nlocal.number = 7\n"
        "memory = sqlite3.connect(':memory:', detect_types=sqlite3.PARSE_DECLTYPES, isolation_level='IMMEDIATE')\n"
        "memory.execute('create table t(day date)')\nmemory.row_factory = sqlite3.Row\n"
        "memory.execute('insert into t values (?)', [datetime.date(2020, 1, 2)])\nmemory.commit()\n"
    )
    assert (
        nb.show("(memory.execute('select * from t').fetchone()['day'].year, memory.isolation_level)")
        == "(2020, 'IMMEDIATE')"
    )
    assert nb.show("(local.number, lock.acquire(blocking=False))") == "(7, True)"


def test_a_database_is_not_carried_with_what_a_new_connection_would_not_have(nb: Notebook) -> None:
    ran = nb.run(
        "import sqlite3\none, two, three = (sqlite3.connect(':memory:') for _ in range(3))\n"
        "one.execute('create table t(a)')\none.execute('insert into t values (1)')\n"
        "two.create_function('f', 1, str)\nthree.execute('attach ? as other', [':memory:'])"
    )
    assert ran.not_carried == {
        "one": "sqlite3.Connection in a transaction (commit it to have it carried)",
        "two": "sqlite3.Connection with temporary tables, or functions as of create_function",
        "three": "sqlite3.Connection with a second database attached",
    }


def test_instances_of_a_class_that_cannot_be_carried(nb: Notebook) -> None:
    ran = nb.run("class A:\n    gen = (i for i in 'ab')\na = A()\nother = 1")
    assert ran.not_carried == {"A": "class A holding generator", "a": "class A holding generator"}
    assert ran.saved == ["other"]


def test_provide_makes_it_again_in_each_cell(nb: Notebook) -> None:
    nb.run(
        "import sqlite3, cellstack\npath = ':memory:'\n"
        "def connect():\n    return sqlite3.connect(path)\n"
        "conn = cellstack.provide('conn', connect)\nclass Repo: pass\nrepo = Repo(); repo.conn = conn"
    )
    ran = nb.run("print(conn.execute('select 1').fetchall(), repo.conn is conn)")
    assert ran.printed == "[(1,)] True\n"
    assert ran.not_carried == {}
    assert "conn" in ran.loaded
    assert nb.run("1").loaded == []


def test_failing_factory_is_explained(nb: Notebook) -> None:
    nb.run("import cellstack, os\ncellstack.provide('c', lambda: None if not os.path.exists('/nope') else 1)")
    nb.run(
        "import cellstack\ncount = [0]\ndef make():\n    count[0] += 1\n    return 1 // (2 - count[0])\n"
        "cellstack.provide('d', make)"
    )
    later = nb.attempt("d", ask="d")
    assert later.notes["d"] == "d could not be provided: ZeroDivisionError: integer division or modulo by zero"


def test_pickle_that_cannot_be_loaded_is_kept(nb: Notebook) -> None:
    nb.run(
        "import os\nclass Picky:\n    def __init__(self): self.x = 1\n    def __setstate__(self, s):\n"
        "        if os.environ.get('PICKY'): raise ValueError('not today')\n        self.__dict__.update(s)\n"
    )
    nb.run("p = Picky()\nq = 1")
    os.environ["PICKY"] = "1"
    try:
        broken = nb.attempt("p\nq", ask="p")
        assert broken.notes["p"] == "p is saved but could not be loaded: ValueError: not today"
        nb.run("q = 2")
    finally:
        del os.environ["PICKY"]
    assert nb.show("(p.x, q)") == "(1, 2)"


def test_open_and_closed_files(nb: Notebook, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("one\ntwo\n")
    ran = nb.run(
        f"with open({str(tmp_path / 't.txt')!r}) as f:\n    pass\nr = open(f.name)\nr.readline()\n"
        f"w = open({str(tmp_path / 'w')!r}, 'w')"
    )
    assert ran.not_carried == {}
    assert nb.show("(f.closed, f.mode, r.read())") == "(True, 'r', 'two\\n')"


def test_code_that_can_reach_everything_gets_everything(nb: Notebook) -> None:
    nb.run("a = 1\nb = [2]")
    for code in ("eval('a')", "exec('b')", "globals()", "dir()", "get_ipython = 0\nvars()"):
        assert nb.attempt(code).loaded == ["a", "b"]
    assert (
        nb.run("print(sorted(k for k in globals() if not k.startswith('_')))").printed == "['a', 'b', 'get_ipython']\n"
    )


def test_state_survives_many_cells(nb: Notebook) -> None:
    nb.run("total = 0\nlog = []")
    for number in range(12):
        nb.run(f"total += {number}\nlog.append(total)")
    assert nb.show("(total, log[-3:])") == "(66, [45, 55, 66])"


def test_one_process_can_run_several_cells(nb: Notebook) -> None:
    nb.run("a = [1]\nb = a\nclass A:\n    v = 1\nuntouched = {}")
    codes = ["a.append(2)\nfresh = A()", "b.append(3)\nA.v = 9\nx = 1", "del x\ngen = (i for i in b)", "y = fresh"]
    rans = nb.together(codes)
    assert [(ran.error, ran.saved) for ran in rans] == [
        ("", ["a", "b", "fresh"]),
        ("", ["A", "a", "b", "x"]),
        ("", []),
        ("", ["fresh", "y"]),
    ]
    assert (
        nb.show("(a, a is b, fresh.v, y is fresh, type(y) is A, untouched)") == "([1, 2, 3], True, 9, True, True, {})"
    )
    assert "NameError" in nb.attempt("x").error
    assert nb.attempt("gen", ask="gen").notes["gen"]


def test_warnings_as_errors_do_not_reach_saving_and_loading(nb: Notebook) -> None:
    nb.run(
        "import warnings\nclass W:\n    def __getstate__(self):\n"
        "        warnings.warn('saving')\n        return {'x': 1}\n"
        "    def __setstate__(self, s):\n        warnings.warn('loading')\n        self.__dict__ = s\n"
        "w = W()\nwarnings.simplefilter('error')"
    )
    assert nb.show("w.x") == "1"


def test_thread_that_goes_on_changing_a_dict(nb: Notebook) -> None:
    ran = nb.run(
        "import threading\nd = {}\ndef work():\n    n = 0\n    while True:\n        n += 1\n        d[n % 5000] = n\n"
        "        d.pop((n * 7) % 5000, None)\nt = threading.Thread(target=work, daemon=True)\nt.start()"
    )
    assert ran.not_carried.keys() == {"t"}


def test_names_that_mean_the_process_are_bound_to_the_new_one(nb: Notebook) -> None:
    nb.run("import os, sys\nenv, path, mods = os.environ, sys.path, [sys.modules]")
    assert nb.show("(env is os.environ, path is sys.path, mods[0] is sys.modules)") == "(True, True, True)"


def test_newer_format_is_refused(nb: Notebook) -> None:
    nb.run("a = 1")
    path = Path(nb.root, str(nb.state), "manifest")
    path.write_text(path.read_text().replace('{"version":2,', '{"version":99,'))
    with pytest.raises(StateError, match="saved in format 99; this version reads 2"):
        Carrier({}, nb.root).begin(nb.state, "a")
    with pytest.raises(StateError, match="variables of layer none cannot be read: FileNotFoundError"):
        Carrier({}, nb.root).begin("none", "a")


def test_missing_file_of_an_earlier_layer_costs_only_what_was_in_it(nb: Notebook) -> None:
    nb.run("a = [1]")
    nb.run("b = [2]")
    os.unlink(os.path.join(nb.root, "layer1", "pickles"))
    ran = nb.attempt("print(b)\na", ask="a")
    assert ran.printed == "[2]\n"
    assert str(ran.notes["a"]).startswith("a is saved but could not be loaded: FileNotFoundError")


def test_extra_values_are_given_back(tmp_path: Path) -> None:
    first = Carrier({}, str(tmp_path))
    first.begin(None, "")
    first.extra |= {"inputs": [(1, "x = 1")], "bad": (number for number in [0])}
    assert first.end("one", str(tmp_path / "one")).state == "one"
    assert first.notices == ["bad will not be carried: generator"]
    second = Carrier({}, str(tmp_path))
    second.begin("one", "")
    assert second.extra == {"inputs": [(1, "x = 1")]}
    assert second.end("two", str(tmp_path / "two")).state == "one"
    second.extra["inputs"].append((2, "y"))
    assert second.end("two", str(tmp_path / "two")).state == "two"


def test_earlier_state_is_still_readable(nb: Notebook) -> None:
    first = nb.run("a = [1]\nclass A:\n    v = 1\no = A()").state
    nb.run("a.append(2)\nA.v = 2")
    assert nb.show("(a, o.v)") == "([1, 2], 2)"
    nb.state = first
    assert nb.show("(a, o.v)") == "([1], 1)"


def test_submodule_that_a_cell_imported_is_there_in_the_next(nb: Notebook) -> None:
    folder = os.path.join(nb.root, "packages")
    os.makedirs(os.path.join(folder, "pack", "below"))
    for path in ("pack/__init__.py", "pack/part.py", "pack/below/__init__.py", "pack/below/leaf.py"):
        Path(folder, path).write_text(f"name = {path!r}\n")
    start = f"import sys\nsys.path.append({folder!r})\n"
    nb.run(start + "import pack.part")
    nb.run("from pack.below import leaf")
    shown = nb.show("(pack.part.name, pack.below.leaf.name, leaf is pack.below.leaf)")
    assert shown == "('pack/part.py', 'pack/below/leaf.py', True)"
    nb.run("def f(): return pack.part.name")
    assert nb.show("f()") == "'pack/part.py'"
    Path(folder, "pack", "part.py").unlink()
    assert "has no attribute 'part'" in nb.attempt("pack.part").error


def test_match_of_a_regular_expression_is_found_again(nb: Notebook) -> None:
    nb.run(
        "import re\nfirst = re.search(r'(?P<a>b+)(c)?', 'aabbcb')\n"
        "at = list(re.finditer('b', 'abab'))\nz = [re.match('', '')]"
    )
    assert nb.show("(first.groups(), first['a'], first.span(), [m.start() for m in at], z[0].span())") == (
        "(('bb', 'c'), 'bb', (2, 5), [1, 3], (0, 0))"
    )


def test_context_variable_has_its_value(nb: Notebook) -> None:
    nb.run(
        "import contextvars\nv = contextvars.ContextVar('v', default=1)\nw = contextvars.ContextVar('w')\n"
        "v.set([5])\nlast = [v]"
    )
    assert nb.show("(v.get(), v.name, last[0] is v, w.get('none'))") == "([5], 'v', True, 'none')"


def test_file_that_is_written_goes_on_where_it_was(nb: Notebook, tmp_path: Path) -> None:
    path = tmp_path / "written"
    nb.run(
        f"f = open({str(path)!r}, 'w')\nf.write('one ')\ng = open({str(path)!r}, 'ab')\nh = open({str(path)!r}, 'r+b')"
    )
    nb.run("f.write('two ')\nf.flush()")
    nb.run("g.write(b'three ')\ng.flush()\nh.seek(4)\nh.write(b'2')\nh.flush()")
    assert nb.show("(f.mode, g.mode, f.tell(), f.name)") == repr(("w", "ab", 8, str(path)))
    assert path.read_text() == "one 2wo three "
    nb.run(f"import os\nos.unlink({str(path)!r})\nlost = f")
    assert not path.exists()


def test_attribute_set_in_a_library_is_there_in_the_next_cell(nb: Notebook) -> None:
    nb.run(
        "import math, fractions, textwrap as t\nmath.limit = [5]\nfractions.Fraction.hello = lambda self: (self, here)"
    )
    nb.run("t.shorten = lambda text: 'short'\nhere = 1\nclass Mine: pass\nfractions.Fraction.of = Mine")
    shown = nb.show("(math.limit, fractions.Fraction(1).hello(), t.shorten(''), fractions.Fraction.of is Mine)")
    assert shown == "([5], (Fraction(1, 1), 1), 'short', True)"
    nb.run("math.limit.append(6)\nfrom fractions import Fraction\nFraction.hello = None")
    assert nb.show("(math.limit, Fraction.hello)") == "([5, 6], None)"
    nb.run("del math.limit")
    assert nb.show("hasattr(math, 'limit')") == "False"


def test_registry_of_a_library_has_what_was_put_into_it(nb: Notebook) -> None:
    nb.run("import mimetypes\nclass Mine: pass\nmimetypes.types_map['.mine'] = Mine\nmimetypes.knownfiles.append('x')")
    assert nb.show("(mimetypes.types_map['.mine'] is Mine, mimetypes.knownfiles[-1])") == "(True, 'x')"


def test_what_cannot_be_carried_in_a_library_is_said(nb: Notebook) -> None:
    ran = nb.run("import math\nmath.numbers = (n for n in [])")
    assert ran.notices == ["math.numbers will not be carried: generator"]
    assert ran.not_carried == {}


def test_data_of_a_package_beside_the_notebook_is_put_back_when_it_is_complete(nb: Notebook) -> None:
    package = Path(nb.root, "pkg")
    package.mkdir()
    (package / "__init__.py").write_text("from .parts import Thing, one, note\nfrom .more import two\n")
    (package / "parts.py").write_text(
        "class Thing: n = 0\nThing.__module__ = 'pkg'\none, seen = Thing(), []\n"
        "def note(x): seen.append(x); one.n = x\n"
    )
    (package / "more.py").write_text(
        "from .parts import Thing, one\nfrom . import Thing as Same\ntwo = [one, Same()]\n"
    )
    nb.run(f"import sys\nsys.path.append({nb.root!r})\nimport pkg\npkg.note(3)")
    ran = nb.run("from pkg import note, one\nnote(4)")
    assert ran.notices == []
    shown = nb.show("(pkg.one.n, pkg.parts.seen, pkg.one is pkg.two[0], type(pkg.one) is pkg.Thing is pkg.more.Same)")
    assert shown == "(4, [3, 4], True, True)"


def test_data_of_modules_beside_the_notebook_goes_on(nb: Notebook) -> None:
    nb.run(f"import sys\nsys.path.append({nb.root!r})")
    path = Path(nb.root, "helper.py")
    path.write_text(
        "count = 0\nseen = []\nclass State:\n    n = 0\nstate = State()\n"
        "def add(x):\n    global count\n    count += 1\n    seen.append(x)\n    state.n = x\n"
    )
    nb.run("import helper\nhelper.add(3)\nmine = helper.seen")
    nb.run("from helper import add\nadd(4)")
    shown = nb.show(
        "(helper.count, helper.seen, helper.state.n, helper.seen is mine, type(helper.state) is helper.State)"
    )
    assert shown == "(2, [3, 4], 4, True, True)"
    nb.run("mine.append(5)")
    assert nb.show("helper.seen") == "[3, 4, 5]"
    nb.run("helper.seen[0] = 2")
    assert nb.show("(globals()['mine'], helper.seen)") == "([2, 4, 5], [2, 4, 5])"
    path.write_text(path.read_text().replace("count = 0", "count = 100"))
    assert nb.show("helper.count") == "100"


def test_library_function_that_is_wrapped_calls_the_first_one(nb: Notebook) -> None:
    nb.run("import textwrap\nfirst = textwrap.dedent\ntextwrap.dedent = lambda text: 'new ' + first(text)")
    nb.run("1")
    assert nb.show("textwrap.dedent('  x')") == "'new x'"
    assert nb.show("(textwrap.dedent('  x'), first('  y'))") == "('new x', 'y')"


def test_attribute_that_refuses_to_be_set_costs_no_cell(nb: Notebook) -> None:
    nb.run("import re\ntry:\n    re.RegexFlag.ASCII = 5\nexcept AttributeError:\n    pass\nx = 1")
    assert nb.show("(x, re.RegexFlag.ASCII is re.A)") == "(1, True)"


def test_lists_and_dicts_with_methods_of_their_own_are_filled_without_them(nb: Notebook) -> None:
    nb.run(
        "class Noisy(list):\n    def __init__(self, *a): super().__init__(*a); self.log = []\n"
        "    def append(self, value): self.log.append(value); super().append(value)\n"
        "    def extend(self, values): self.log.append('many'); super().extend(values)\n"
        "class Upper(dict):\n    def __init__(self): self.count = 0\n"
        "    def __setitem__(self, key, value): self.count += 1; super().__setitem__(key.upper(), value)\n"
        "x, y = Noisy([1]), Upper()\nx.append(2); x.append(x); y['a'] = 1; dict.__setitem__(y, 'b', 2)"
    )
    ran = nb.run("print(x[:2], x[2] is x, x.log[0], len(x.log), y, y.count)")
    assert ran.printed == "[1, 2] True 2 2 {'A': 1, 'b': 2} 1\n"


def test_an_object_whose_class_wants_arguments_to_make_it_is_carried(nb: Notebook) -> None:
    nb.run(
        "class Made:\n    def __new__(cls, source, *, name): self = object.__new__(cls); self.s = source; return self\n"
        "    def __init__(self, source, *, name): self.name = name\n"
        "class Items(list):\n    def __new__(cls, size): return super().__new__(cls)\n"
        "x, y = Made('text', name='n'), Items([1, 2])"
    )
    assert nb.run("print(x.s, x.name, y, type(y).__name__)").printed == "text n [1, 2] Items\n"


def test_a_weak_proxy_stands_for_the_same_object_and_a_dead_one_is_dead(nb: Notebook) -> None:
    nb.run("import weakref\nclass K: pass\nx = K(); x.me = weakref.proxy(x); dead = weakref.proxy(K())")
    nb.run("x.me.value = 3")
    ran = nb.run("print(x.value, type(x.me).__name__)\ntry: dead.value\nexcept ReferenceError: print('dead')")
    assert ran.printed == "3 ProxyType\ndead\n"


LIBRARY = """
class Meta(type):
    def __new__(cls, name, bases, scope):
        made = super().__new__(cls, name, bases, scope)
        made.complete = True
        return made

class Base(metaclass=Meta): pass

Base.complete = False
"""


def test_what_a_metaclass_adds_anew_and_the_class_had_not_is_taken_away(
    nb: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = types.ModuleType("library")
    monkeypatch.setitem(sys.modules, "library", library)
    exec(LIBRARY, vars(library))
    nb.run("import library\nclass A(library.Base): kept = 1\ndel A.complete")
    assert nb.show("('complete' in vars(A), A.complete, A.kept, A.__module__)") == "(False, False, 1, '__main__')"


def test_a_metaclass_that_is_called_in_a_way_of_its_own_is_not_asked(
    nb: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = types.ModuleType("library")
    monkeypatch.setitem(sys.modules, "library", library)
    exec(
        "class Meta(type):\n    def __new__(cls, name, base, scope):\n"
        "        return super().__new__(cls, name, (base,), scope)\n"
        "    def __init__(cls, name, base, scope): super().__init__(name, (base,), scope)",
        vars(library),
    )
    nb.run("import library\nA = library.Meta('A', list, {'kept': 1, '__module__': '__main__'})\na = A([1])")
    assert nb.show("(a, type(a) is A, A.kept, type(A) is library.Meta, A.__bases__)") == (
        "([1], True, 1, True, (<class 'list'>,))"
    )


def test_a_pool_that_has_ended_is_one_that_has_ended(nb: Notebook) -> None:
    ran = nb.run("import multiprocessing.pool\nwith multiprocessing.pool.ThreadPool(1) as pool: pool.map(abs, [1])")
    assert ran.not_carried == {}
    ran = nb.run("pool.join()\npool.terminate()\ntry: pool.map(abs, [1])\nexcept ValueError as error: print(error)")
    assert ran.printed == "Pool not running\n"


def test_classes_that_annotations_name_as_texts_are_there(nb: Notebook) -> None:
    nb.run("import typing\nclass Order:\n    by: 'Customer'\n    to: typing.Optional[typing.List['Place']]")
    nb.run("class Customer: pass\nclass Place: pass")
    assert nb.show("sorted(typing.get_type_hints(Order))") == "['by', 'to']"


def test_thread_local_data_is_made_without_its_class_being_asked(nb: Notebook) -> None:
    nb.run(
        "import threading\nclass Local(threading.local):\n    def __init__(self, needed): self.needed = needed\n"
        "x = Local(3)\nx.more = 4"
    )
    assert nb.show("(x.needed, x.more)") == "(3, 4)"


def test_how_a_client_speaks_tls_is_carried_and_a_server_is_not(nb: Notebook) -> None:
    nb.run(
        "import ssl\nmade = ssl.create_default_context()\nloose = ssl.create_default_context()\n"
        "loose.check_hostname = False\nloose.verify_mode = ssl.CERT_NONE\n"
        "loose.minimum_version = ssl.TLSVersion.TLSv1_3\n"
        "def told(c):\n    names = [each['name'] for each in c.get_ciphers()]\n"
        "    return (c.options, c.verify_flags, c.verify_mode, c.check_hostname, c.minimum_version, names,\n"
        "            len(c.get_ca_certs()))\n"
        "before = told(made), told(loose)"
    )
    assert nb.show("((told(made), told(loose)) == before, loose.verify_mode == ssl.CERT_NONE)") == "(True, True)"
    ran = nb.run("import ssl\nserver = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)")
    assert ran.not_carried == {"server": "ssl.SSLContext"}


def test_a_database_that_cannot_be_opened_again_says_why(nb: Notebook, tmp_path: Path) -> None:
    connect = f"sqlite3.connect({str(tmp_path / 'f.db')!r})"
    ran = nb.run(f"import sqlite3\nc = {connect}\nc.create_function('twice', 1, lambda x: 2 * x)")
    assert "functions as of create_function" in ran.not_carried["c"]
