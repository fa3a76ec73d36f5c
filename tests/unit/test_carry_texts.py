"""Arrays of texts come back as they were, and cost little when they did not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellstack_guest import pickling, texts
from cellstack_guest.definitions import Registry

if TYPE_CHECKING:
    from tests.carry_cells import Notebook

numpy = pytest.importorskip("numpy")
MAKE = {
    "distinct": "x = np.array([f'text{i}' for i in range(3000)], object)",
    "few": "x = np.array([f'text{i % 7}' for i in range(3000)], object)",
    "missing": "x = np.array([None, float('nan'), 'a', 'b'] * 1000, object)",
    "surrogates": "x = np.array(['\\ud800', 'é', '\\0', '\\x1f'] * 1000, object)",
    "matrix": "x = np.asfortranarray(np.array([f't{i}' for i in range(3000)], object).reshape(30, 100))",
    "read-only": "x = np.array([f'text{i}' for i in range(3000)], object); x.setflags(write=False)",
    "numbers": "x = np.array([1, 'a', True] * 1000, object)",
    "subclass": "class S(str): pass\nx = np.array([S('a'), 'a'] * 1000, object)",
}
LOOK = "(x.shape, x.flags.writeable, x.flags.f_contiguous, [(type(v).__name__, ascii(v)) for v in x.ravel().tolist()])"


@pytest.fixture
def nb(nb: Notebook) -> Notebook:
    nb.run("import numpy as np")
    return nb


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())
def test_it_is_the_same_after_two_cells(nb: Notebook, make: str) -> None:
    made = nb.run(f"{make}\nprint({LOOK})").printed
    assert nb.run(f"print({LOOK})").printed == made
    assert nb.run(f"print({LOOK})").printed == made


@pytest.mark.parametrize("make", [MAKE["distinct"], MAKE["few"], MAKE["missing"]])
def test_what_is_read_is_not_saved_again_and_what_is_changed_is(nb: Notebook, make: str) -> None:
    nb.run(make)
    assert nb.run("len(x)").saved == []
    assert nb.run("x[5] = 'changed'").saved == ["x"]
    assert nb.show("(x[5], x[6] == 'changed')") == "('changed', False)"
    assert nb.run("x[5] = x[5][:3] + 'nged'; x = x.copy(); x[7] = 'new'").saved == ["x"]
    assert nb.show("(x[5], x[7])") == "('changed', 'new')"


def test_a_view_shows_what_is_written_to_its_array(nb: Notebook) -> None:
    nb.run(f"{MAKE['distinct']}\ny = x[10:20]")
    nb.run("x[10] = 'seen'")
    assert nb.show("y[0]") == "'seen'"


def test_a_frame_is_read_without_being_saved(nb: Notebook) -> None:
    pytest.importorskip("pandas")
    nb.run("import pandas as pd\ndf = pd.DataFrame({'a': [f'n{i % 9}' for i in range(4000)], 'b': range(4000)})")
    assert nb.run("df.head()").saved == []
    assert nb.run("df.loc[3, 'a'] = 'x'").saved == ["df"]
    assert nb.show("(df.a[3], df.a.nunique())") == "('x', 10)"


def test_a_list_is_read_without_being_saved(nb: Notebook) -> None:
    nb.run("x = list(range(5000)); y = [f'{i}' for i in range(5000)]")
    assert nb.run("x[3], y[3]").saved == []
    assert nb.run("x[3] = 3.0; y[3] = 'new'").saved == ["x", "y"]
    assert nb.show("(x[3], y[3])") == "(3.0, 'new')"
    assert nb.run("x.append(1); x.pop(0); y[5:6] = ['5', '6']").saved == ["x", "y"]
    assert nb.show("(len(x), x[0], y[5:8])") == "(5000, 1, ['5', '6', '6'])"


@given(st.lists(st.text() | st.none() | st.just(float("nan")), min_size=1), st.integers(1, 40))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_texts_come_back(monkeypatch: pytest.MonkeyPatch, values: list[object], times: int) -> None:
    monkeypatch.setattr(texts, "MIN_SIZE", 1)
    array = numpy.empty(len(values) * times, object)
    array[:] = values * times
    registry = Registry({"__name__": "__main__"})
    pickled = pickling.dump({"x": array}, registry)
    loaded = pickling.load(pickled.data, registry, [buffer.raw() for buffer in pickled.buffers])["x"]
    assert [(type(each), repr(each)) for each in loaded] == [(type(each), repr(each)) for each in array]
    assert pickling.dump({"x": loaded}, registry).data == pickled.data
