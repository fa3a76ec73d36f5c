"""What cells change in modules is noticed, and is the same when it is applied to the module as it was."""

from __future__ import annotations

import array
import collections
import ctypes
import fcntl
import importlib.util
import mmap
import os
import signal
import string
import sys
import textwrap
import threading
import types
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellstack_guest import baseline, exclusions, layouts, nodes, tables, twins, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

NAME = "lib_of_the_test"
LAZY = """
    def __getattr__(name):
        if name == "Base":
            globals()["Base"] = type("Base", (), {})
            return globals()["Base"]
        raise AttributeError(name)
"""
SOURCE = """
    import abc, collections
    LIMIT = 3
    options = {"a": 1, "nested": {"deep": [1, 2]}}
    names = ["x", "y"]
    kinds = {1, 2}
    recent = collections.deque([1])
    ordered = collections.OrderedDict(a=1)

    class Registry:
        shared = []
        def __init__(self):
            self.entries = {}
            self.count = 0
        def method(self):
            return 1

    class Slotted:
        __slots__ = ("value",)
        def __init__(self):
            self.value = 1

    class Abstract(abc.ABC):
        pass

    class WithoutRegistry(abc.ABC):  # as mypyc makes them
        pass

    del WithoutRegistry._abc_impl

    class Own:
        __module__ = "__main__"

    registry = Registry()
    slotted = Slotted()
    typed = {int: ["an int"]}

    def counter():
        total = [0]
        def count():
            nonlocal total
            return total
        return count

    count = counter()

    def register(thing, _all=[]):
        _all.append(thing)
        return _all
"""


def load() -> Any:
    """Return the module anew."""
    spec = importlib.util.spec_from_loader(NAME, loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    exec(textwrap.dedent(SOURCE), vars(module))
    return module


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the module alone: a process that runs tests has imported a thousand."""
    monkeypatch.setattr(exclusions, "_is_importable", lambda _: True)
    monkeypatch.setattr(exclusions, "modules", lambda: [(NAME, sys.modules[NAME])] if NAME in sys.modules else [])


@pytest.fixture
def lib() -> Iterator[Any]:
    yield load()
    del sys.modules[NAME]


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return an empty module, which is looked at, too, once it is imported."""
    module = types.ModuleType("other_lib_of_the_test")
    names = (NAME, module.__name__)
    monkeypatch.setattr(
        exclusions, "modules", lambda: [(name, sys.modules[name]) for name in names if name in sys.modules]
    )
    yield module
    sys.modules.pop(module.__name__, None)


@pytest.fixture(params=["by numpy", "by words", "in a small pipe", "by pages"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look as it is done where the layout of objects is known, with numpy or without, and where it is not."""
    if request.param != "by pages" and not layouts.IS_KNOWN:
        pytest.skip(f"the layout of Python {sys.version_info.major}.{sys.version_info.minor} is not known")
    if request.param == "by numpy":
        pytest.importorskip("numpy")
    else:
        monkeypatch.setitem(sys.modules, "numpy", None)
    if request.param == "in a small pipe":
        monkeypatch.setattr(os, "pipe2", small_pipe)
    if request.param == "by pages":
        monkeypatch.setattr(layouts, "IS_KNOWN", False)


def small_pipe(flags: int, make: Callable[[int], tuple[int, int]] = os.pipe2) -> tuple[int, int]:
    """Return a pipe that takes as little as those of a person who has many (pipe(7))."""
    ends = make(flags)
    fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, 4096)
    return ends


def taken() -> baseline.Baseline:
    """Return what there is now."""
    found = baseline.of(twins.Twin())
    assert found is not None
    return found


def changes(before: baseline.Baseline) -> dict[str, baseline.Delta]:
    """Return what has changed in the module, by key without its prefix."""
    prefix = f"{baseline.DELTA}{NAME}:"
    return {
        key.removeprefix(prefix): delta
        for key, delta, _ in before.changes()
        if key.startswith(prefix) and (delta.put or delta.gone)
    }


CHANGES = {
    "LIMIT = 4": {""},
    "LIMIT = -1; LIMIT = -2": {""},
    "new = object()": {""},
    "del LIMIT": {""},
    "options['a'] = 2": {".options"},
    "options['b'] = 1": {".options"},
    "del options['a']": {".options"},
    "options['nested']['deep'].append(3)": {".options['nested']['deep']"},
    "options['nested']['deep'][0] = 7": {".options['nested']['deep']"},
    "names.append('z')": {".names"},
    "names[0] = 'w'": {".names"},
    "kinds.add(3)": {".kinds"},
    "kinds.discard(1)": {".kinds"},
    "recent.append(2)": {".recent"},
    "ordered['b'] = 2": {".ordered"},
    "registry.entries['k'] = [1]": {".registry.entries"},
    "registry.count += 1": {".registry"},
    "registry.extra = 1": {".registry"},
    "del registry.count": {".registry"},
    "Registry.method = lambda self: 2": {".Registry"},
    "Registry.shared.append(1)": {".Registry.shared"},
    "slotted.value = 5": {".slotted"},
    "Abstract.register(Own)": {".Abstract"},
    "typed[int].append('another')": {".typed[builtins.int]"},
    "typed[str] = []": {".typed"},
    "count().append(1)": {".count.__closure__[0].cell_contents"},
    "register(1)": {".register.__defaults__[0]"},
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("code", CHANGES)
def test_a_change_is_noticed_where_it_was_made_and_nowhere_else(lib: Any, code: str) -> None:
    before = taken()
    exec(code, vars(lib))
    assert set(changes(before)) == CHANGES[code]


@pytest.mark.usefixtures("way")
def test_what_is_only_looked_at_has_not_changed(lib: Any) -> None:
    before = taken()
    exec("repr(options); registry.method(); list(kinds); vars(registry); count(); isinstance(1, Abstract)", vars(lib))
    assert changes(before) == {}


def compared(area: mmap.mmap) -> Callable[[], list[int] | None]:
    """Return the comparison, by numpy, of a word of each of two pages that are zero."""
    pytest.importorskip("numpy")
    first = ctypes.addressof(ctypes.c_char.from_buffer(area))
    where = array.array("Q", [(first + 8) >> 3, (first + mmap.PAGESIZE) >> 3])
    return words.gatherer(memoryview(where), memoryview(array.array("Q", [0, 0])))


def test_words_are_compared_with_what_they_were() -> None:
    with mmap.mmap(-1, 2 * mmap.PAGESIZE) as area:
        differing = compared(area)
        assert differing() == []
        area[mmap.PAGESIZE] = 1
        assert differing() == [1]


def test_words_are_not_touched_when_their_memory_is_gone() -> None:
    area = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    differing = compared(area)
    area.close()
    assert differing() is None


def test_words_are_not_touched_when_another_thread_may_take_them_away() -> None:
    with mmap.mmap(-1, 2 * mmap.PAGESIZE) as area:
        differing, over = compared(area), threading.Event()
        thread = threading.Thread(target=over.wait)
        thread.start()
        assert differing() is None
        over.set()
        thread.join()
        assert differing() == []


@pytest.mark.parametrize("code", CHANGES)
def test_a_change_applied_to_the_module_as_it_was_gives_the_module_as_it_is(lib: Any, code: str) -> None:
    before = taken()
    exec(code, vars(lib))
    found = changes(before)
    expected = described(lib)
    fresh = load()
    for key, delta in found.items():
        path = tuple(anew(step, lib, fresh) for step in delta.path)
        put = [(anew(step, lib, fresh), value) for step, value in delta.put]
        baseline.apply(f"{baseline.DELTA}{NAME}:{key}", baseline.Delta(path, put, delta.gone))
    assert described(fresh) == expected


def anew(step: nodes.Step, old: ModuleType, fresh: ModuleType) -> nodes.Step:
    """Return a step with the class of the fresh module in place of that of the old one."""
    kind, key = step
    names = [name for name, value in vars(old).items() if value is key and isinstance(key, type)]
    return (kind, getattr(fresh, names[0])) if names else step


def described(module: Any) -> dict[str, Any]:
    """Return all that a cell can see of the module."""
    return {
        "LIMIT": getattr(module, "LIMIT", None),
        "new": hasattr(module, "new"),
        "values": [module.options, module.names, module.kinds, module.recent, list(module.ordered.items())],
        "registry": vars(module.registry),
        "method": module.registry.method(),
        "shared": module.Registry.shared,
        "slotted": module.slotted.value,
        "abstract": issubclass(module.Own, module.Abstract),
        "typed": module.typed,
        "count": module.count(),
        "all": module.register.__defaults__,
    }


def test_an_object_that_was_there_is_referred_to_and_a_new_one_is_not(lib: Any) -> None:
    before = taken()
    place = before.reference(lib.options["nested"])
    assert place is not None
    assert nodes.resolve(*place) is lib.options["nested"]
    lib.options["nested"] = {}
    assert before.reference(lib.options["nested"]) is None


@pytest.mark.parametrize(
    "take_in", [lambda known: known.renew({}, (), first=True), lambda known: known.renew_by([NAME], {}, ())]
)
def test_what_is_imported_later_is_taken_in_as_it_is_then(
    take_in: Callable[[baseline.Baseline], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("string", NAME)
    monkeypatch.setattr(
        exclusions, "modules", lambda: [(name, sys.modules[name]) for name in names if name in sys.modules]
    )
    before = taken()
    lib = load()
    try:
        lib.options["shared"] = string.Formatter
        take_in(before)
        assert changes(before) == {}
        lib.options["a"] = 2
        assert set(changes(before)) == {".options"}
        assert before.reference(lib.names) == (NAME, ((nodes.ATTRIBUTE, "names"),))
        assert before.reference(string.Formatter) == ("string", ((nodes.ATTRIBUTE, "Formatter"),))
    finally:
        del sys.modules[NAME]


def test_what_an_import_changes_elsewhere_does_not_count_but_what_comes_after_it_does(lib: Any) -> None:
    before = taken()
    lib.options["by an import"] = 1
    before.renew({}, (), first=True)
    lib.options["by the cell"] = 1
    assert [step for step, _ in changes(before)[".options"].put] == [(nodes.ITEM, "by the cell")]


def test_what_an_import_changes_of_what_cells_had_changed_is_carried(lib: Any) -> None:
    before = taken()
    lib.options["a"] = "of an earlier cell"
    lib.registry.count = 5
    applied = {key: delta for key, delta, _ in before.changes()}
    assert all(baseline.is_as_applied(key, delta) for key, delta in applied.items())
    lib.options["a"] = "of an import"
    before.renew(applied, (), first=True)
    assert not all(baseline.is_as_applied(key, delta) for key, delta in applied.items())
    assert [value for _, value in changes(before)[".options"].put] == ["of an import"]
    lib.registry.count = 6
    assert [value for _, value in changes(before)[".registry"].put] == [6]


@pytest.mark.parametrize("value", [5, "seldom", "x", True, 0.25, len, [1]])
@pytest.mark.parametrize("where", ["", "options", "registry", "Registry"])
def test_whether_a_module_has_taken_something_over_is_told_by_a_look(value: Any, where: str, lib: Any) -> None:
    put = [((nodes.ATTRIBUTE, "seldom used"), value)]
    assert not baseline.is_taken_over({}, put, [NAME, "missing"])
    if where == "options":
        lib.options["seldom used"] = value
    else:
        setattr(getattr(lib, where) if where else lib, "seldom used", value)
    assert baseline.is_taken_over({}, put, [NAME, "missing"])


def test_a_sequence_that_is_changed_is_carried_with_what_an_import_adds_to_it(lib: Any) -> None:
    before = taken()
    lib.names.append("of an earlier cell")
    (key, delta, _), *_ = before.changes()
    lib.names.append("of an import")
    lib.kinds.add("of an import")
    before.renew({key: delta}, (), first=True)
    assert [value for _, value in changes(before)[".names"].put] == ["x", "y", "of an earlier cell", "of an import"]
    assert ".kinds" not in changes(before)


def test_what_an_earlier_cell_has_put_and_this_one_takes_away_after_an_import_is_gone(lib: Any) -> None:
    lib.names.clear()  # the memory of an empty list is that of one that was emptied
    before = taken()
    lib.names.append("of an earlier cell")
    applied = {key: delta for key, delta, _ in before.changes()}
    before.renew(applied, (), first=True)
    assert changes(before) == {}
    lib.names.clear()
    (key, delta, whole), *others = before.changes()
    assert (delta.put, delta.gone, whole, others) == ([], [(nodes.PLACE, 0)], False, [])
    assert baseline.merged(applied[key], delta).put == []


@pytest.mark.parametrize("first", [True, False])
def test_what_an_import_takes_over_from_a_changed_module_is_a_change(first: bool, lib: Any, other: ModuleType) -> None:
    before = taken()
    own = [1, 2]
    lib.LIMIT, lib.options["a"], lib.names = 7, "seldom", own
    applied = {key: delta for key, delta, _ in before.changes()} if first else {}
    sys.modules[other.__name__] = other
    put = before.put()
    code = """
LIMIT, unrelated, options = lib.LIMIT, lib.LIMIT, {'a': lib.options['a']}
shared, also_shared, row, odd_row = option, lib.names, ['seldom'], ['seldom', iter('')]
"""
    option = [5, 5]
    exec(code, {"lib": lib, "option": option}, vars(other))
    before.renew(applied, [((nodes.ITEM, "size"), option), *([] if first else put)], first=first)
    assert before.reference(option) is before.reference(own) is None
    prefix = f"{baseline.DELTA}{other.__name__}:"
    found = {key.removeprefix(prefix): dict(delta.put) for key, delta, _ in before.changes() if key.startswith(prefix)}
    assert found == {
        "": {(nodes.ATTRIBUTE, "LIMIT"): 7, (nodes.ATTRIBUTE, "shared"): option, (nodes.ATTRIBUTE, "also_shared"): own},
        ".options": {(nodes.ITEM, "a"): "seldom"},
        ".row": {(nodes.PLACE, 0): "seldom"},
    }


def test_what_the_process_that_cells_are_forked_from_imports_later_is_no_change(lib: Any) -> None:
    before = taken()
    lib.options["by an import"] = 1
    before.grow()
    lib.options["by another"] = {"nested": []}
    before.grow()
    assert changes(before) == {}
    lib.options["by another"]["nested"].append(1)
    del lib.options["by an import"]
    found = {key: (delta, whole) for key, delta, whole in before.changes() if f":{NAME}:" in f"{key}"}
    assert {delta.path[-1] for delta, _ in found.values()} == {(nodes.ATTRIBUTE, "options"), (nodes.ITEM, "nested")}
    assert all(whole for _, whole in found.values())
    assert changes(before)[".options"].gone == [(nodes.ITEM, "by an import")]


def test_a_baseline_that_has_grown_often_is_better_made_anew() -> None:
    before = taken()
    for _ in range(baseline.MANY - 1):
        assert not before.is_long
        before.grow()
    assert before.is_long


def test_what_an_object_has_in_a_cache_is_forgotten_when_it_is_changed(lib: Any) -> None:
    exec("class Colors(dict): pass\ncolors = Colors(b=1)\ncolors.cache = {}", vars(lib))
    before = taken()
    lib.colors["b"] = 2
    [(key, delta)] = changes(before).items()
    lib.colors["b"] = 1
    lib.colors.cache["B"] = 1
    baseline.apply(f"{baseline.DELTA}{NAME}:{key}", delta)
    assert (lib.colors, lib.colors.cache) == ({"b": 2}, {})


def test_changes_of_one_object_add_up() -> None:
    step = ((nodes.ATTRIBUTE, "options"),)
    first = baseline.Delta(
        step, [((nodes.ITEM, "a"), 1), ((nodes.ITEM, "b"), 1)], [(nodes.ITEM, "c"), (nodes.ITEM, "d")]
    )
    then = baseline.Delta(step, [((nodes.ITEM, "b"), 2), ((nodes.ITEM, "c"), 2)], [(nodes.ITEM, "a")])
    both = baseline.merged(first, then)
    assert both.put == [((nodes.ITEM, "b"), 2), ((nodes.ITEM, "c"), 2)]
    assert both.gone == [(nodes.ITEM, "d"), (nodes.ITEM, "a")]


def test_a_process_that_cannot_answer_is_no_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusions, "modules", signal.pause)
    twin = twins.Twin()
    os.kill(twin.pid, signal.SIGKILL)
    assert baseline.of(twin) is None


def test_a_table_that_cannot_be_written_is_none_and_spoken_of(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exclusions, "modules", lambda: [("broken", 1 / 0)])
    assert baseline.of(twins.Twin()) is None
    said = "what is changed in modules from here on will not be carried (ZeroDivisionError: division by zero)"
    assert capfd.readouterr().err == f"cellstack: {said}\n"


KEYS = st.one_of(
    st.text(max_size=3), st.integers(), st.booleans(), st.none(), st.tuples(st.integers(), st.text(max_size=1))
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(start=st.dictionaries(KEYS, VALUES, max_size=5), end=st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_dict_becomes_any_other_by_the_difference(start: dict[Any, Any], end: dict[Any, Any]) -> None:
    now = dict(start)
    before = tables.marks(now)
    for key in list(now):
        if key not in end:
            del now[key]
    now.update(end)
    change = tables.difference(now, before)
    fresh = dict(start)
    nodes.change(fresh, change.put, change.gone)
    assert fresh == end


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    start=st.lists(VALUES, max_size=5),
    end=st.lists(VALUES, max_size=5),
    kind=st.sampled_from([list, collections.deque]),
)
def test_any_sequence_becomes_any_other_by_the_difference(start: list[Any], end: list[Any], kind: Any) -> None:
    now = kind(start)
    before = tables.marks(now)
    now.clear()
    now.extend(end)
    change = tables.difference(now, before)
    fresh = kind(start)
    nodes.change(fresh, change.put, change.gone)
    assert fresh == kind(end)


def test_a_list_that_fills_itself_when_it_is_asked_is_not_asked() -> None:
    class Lazy(list[int]):
        def __len__(self) -> int:
            raise AssertionError("it was asked")

        def __iter__(self) -> Iterator[int]:
            raise AssertionError("it was asked")

    module = types.ModuleType(NAME)
    module.lazy = Lazy()  # type: ignore[attr-defined]
    assert [*layouts.places(module.lazy)]
    assert [*nodes.parts(module.lazy)] == []


def test_what_a_module_makes_when_it_is_asked_for_is_found() -> None:
    module = types.ModuleType(NAME)
    exec(textwrap.dedent(LAZY), vars(module))
    assert "Base" not in vars(module)
    found = nodes.walk(module, (nodes.ATTRIBUTE, "Base"))
    assert found is vars(module)["Base"]
    assert nodes.walk(module, (nodes.ATTRIBUTE, "Base")) is found
    with pytest.raises(LookupError, match=r"module has no \.Nothing"):
        nodes.walk(module, (nodes.ATTRIBUTE, "Nothing"))
