"""Arrays, frames and figures from one process to the next."""

from __future__ import annotations

import collections
import ctypes
import functools
import os
import signal
from typing import TYPE_CHECKING

import numpy as np  # noqa: F401 - the cells are forked from this process and find it loaded
import pandas as pd  # noqa: F401
import pytest

from cellstack_guest import dirty, manifest
from cellstack_guest.definitions import Registry
from cellstack_guest.loader import Loader

if TYPE_CHECKING:
    from pathlib import Path

    from tests.carry_cells import Notebook

    from cellstack_guest.manifest import Record

IMPORTS = "import numpy as np, pandas as pd\n"


@pytest.fixture
def nb(nb: Notebook) -> Notebook:
    nb.run(IMPORTS)
    return nb


def component_of(nb: Notebook, name: str) -> Record:
    state = manifest.read(nb.root, str(nb.state))
    loader = Loader(state, nb.root, Registry({}), lambda *_: None)
    return loader.record(loader.owners[name])


MASKED = """
a = np.ma.array(np.arange(6.0).reshape(2, 3), mask=[[0, 1, 0], [0, 0, 1]], fill_value=7)
data, view, mask = a.data, a[1:], a.mask
none = np.ma.array([1, 2]); hard = np.ma.array([1, 2], mask=[1, 0], hard_mask=True)
own = np.ma.array([1.0, 2.0]).copy(); of_own = own[1:]
fortran = np.ma.array(np.asfortranarray(np.ones((2, 3))), mask=False)
records = np.ma.array([(1, 2.0)], mask=[(True, False)], dtype=[("x", "i4"), ("y", "f8")])
objects = np.ma.array([1, "x"], mask=[0, 1], dtype=object)
locked = np.ma.array([1, 2]); locked.flags.writeable = False
"""
LOOK = """
print(a.tolist(), a.fill_value, a.mask.tolist(), none.mask is np.ma.nomask, hard.hardmask, fortran.flags.f_contiguous)
print(records.tolist(), objects.tolist(), objects.data.tolist(), locked.flags.writeable, type(a).__name__)
"""


def test_masked_arrays(nb: Notebook) -> None:
    expected = nb.run(f"{MASKED}{LOOK}").printed
    assert expected.startswith("[[0.0, None, 2.0], [3.0, 4.0, None]] 7.0")
    assert nb.run(LOOK).printed == expected


def test_masked_arrays_share_their_memory_and_masks(nb: Notebook) -> None:
    nb.run(MASKED)
    nb.run("data[1, 0] = 30; view[0, 1] = np.ma.masked; of_own[0] = 5")
    assert nb.run("print(a.tolist(), view.tolist(), own.tolist())").printed == (
        "[[0.0, None, 2.0], [30.0, None, None]] [[30.0, None, None]] [1.0, 5.0]\n"
    )


def test_large_masked_array_is_not_in_the_pickle(nb: Notebook) -> None:
    nb.run("large = np.ma.array(np.arange(1_000_000.0), mask=np.arange(1_000_000) % 2 == 0)")
    assert sorted(buffer["at"][2] for buffer in component_of(nb, "large")["buffers"]) == [1_000_000, 8_000_000]
    nb.run("large[1] = 5")
    assert nb.run("print(large[1], large.mask.sum())").printed == "5.0 500000\n"


def size_of(nb: Notebook, layer: str | None) -> int:
    folder = os.path.join(nb.root, str(layer))
    return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))


def test_kinds_of_arrays(nb: Notebook) -> None:
    nb.run(
        "a = np.arange(6).reshape(2, 3)\nf = np.asfortranarray(a)\nz = np.float64(1.5)\nnil = np.zeros((0, 3))\n"
        "d0 = np.array(5)\nt = np.array(['2020-01-01', 'NaT'], 'M8[D]')\ns = np.array(['ab', 'c'])\n"
        "r = np.array([(1, 2.0)], dtype=[('x', 'i4'), ('y', 'f8')])\no = np.array([1, 'x', None], dtype=object)\n"
        "b = np.array([True]); c = np.array([1j]); m = np.ma.array([1, 2], mask=[0, 1])\n"
        "rec = r.view(np.recarray); ro = np.arange(3); ro.flags.writeable = False\n"
        "p = np.arange(24).reshape(2, 3, 4).transpose(0, 2, 1).copy('K'); bc = np.broadcast_to(np.arange(3), (2, 3))\n"
        "big = np.arange(100_000); bigf = np.asfortranarray(np.ones((300, 300)))"
    )
    ran = nb.run(
        "print(a.tolist(), f.flags.f_contiguous, z, nil.shape, d0, t, s, r['y'], o, b, c, m, rec.x)\n"
        "print(ro.flags.writeable, p.strides, bc.strides, bc.flags.writeable, big.sum(), bigf.flags.f_contiguous)\n"
        "print(type(rec).__name__, a.flags.owndata, a.flags.writeable, big.flags.writeable)"
    )
    assert ran.printed == (
        "[[0, 1, 2], [3, 4, 5]] True 1.5 (0, 3) 5 ['2020-01-01'        'NaT'] ['ab' 'c'] [2.] [1 'x' None] [ True] "
        "[0.+1.j] [1 --] [1]\n"
        "False (96, 8, 32) (0, 8) False 4999950000 True\nrecarray False True True\n"
    )
    assert ran.saved == []


def test_owned_array_can_still_be_resized(nb: Notebook) -> None:
    nb.run("a = np.arange(3)")
    assert nb.run("a.resize(5, refcheck=False)\nprint(a)").printed == "[0 1 2 0 0]\n"


def test_views_look_into_the_same_memory(nb: Notebook) -> None:
    for size in (100, 100_000):
        nb.run(
            f"base = np.zeros({size})\nv = base[::2]\nw = base[10:20]\nm = base.reshape(2, -1)\nback = base[::-1]\n"
            "holder = {'v': v}"
        )
        nb.run("v[5] = 7")
        assert (
            nb.show("[float(x) for x in (base[10], w[0], m[0, 10], back[-11], holder['v'][5])]")
            == "[7.0, 7.0, 7.0, 7.0, 7.0]"
        )
        nb.run("del base")
        nb.run("w[1] = 8")
        assert nb.show("float(m[0, 11])") == "8.0"


@pytest.mark.parametrize("made", ["base", "base.view(np.recarray)", "np.tile(base, 9999)"])
def test_elements_of_structured_arrays_look_into_them(nb: Notebook, made: str) -> None:
    nb.run("import numpy as np\nbase = np.zeros(3, [('a', 'i4'), ('b', 'f8'), ('day', 'M8[D]')])")
    nb.run(
        f"whole = {made}; one, last = whole[1], whole[-1]; rows = [*whole[:3]]; alone = np.array((1, 2.5), 'i4,f8')[()]"
    )
    nb.run("one['b'] = 2.5; rows[0]['a'] = 7; last['a'] += 5; alone['f0'] = 3")
    assert nb.show("(whole['b'][1], whole['a'][0], whole['a'][-1], rows[1]['b'], alone['f0'])") in (
        "(2.5, 7, 5, 2.5, 3)", "(np.float64(2.5), np.int32(7), np.int32(5), np.float64(2.5), np.int32(3))"
    )  # fmt: skip
    nb.run("whole['b'] = 1.5")
    assert nb.show("(float(one['b']), float(rows[2]['b']), type(one) is type(whole[0]))") == "(1.5, 1.5, True)"


def test_views_of_objects(nb: Notebook) -> None:
    nb.run("o = np.array([[1], 2, 3, 4], dtype=object)\nv = o[1:]\nsame = o[0]")
    nb.run("v[0] = 'new'\nsame.append(5)")
    assert nb.show("o.tolist()") == "[[1, 5], 'new', 3, 4]"


def test_windows_made_with_stride_tricks(nb: Notebook) -> None:
    nb.run("a = np.arange(10)\nw = np.lib.stride_tricks.sliding_window_view(a, 3)")
    nb.run("a[0] = 50")
    assert nb.show("(int(w[0, 0]), w.shape)") == "(50, (8, 3))"


def test_large_memory_is_mapped_and_untouched_memory_not_written(nb: Notebook) -> None:
    state = nb.run("big = np.zeros(2_000_000)").state
    assert nb.run("print(big.sum())").state == state
    ran = nb.run("big[3] = 1")
    assert ran.saved == ["big"]
    assert size_of(nb, ran.state) < 64 * 1024
    assert nb.show("float(big.sum())") == "1.0"
    nb.run("big[1_500_000] = 1")
    assert component_of(nb, "big")["buffers"][0]["pages"] == [[0, 1], [2929, 1]]
    assert nb.run("print(big.sum(), big[3])").state == nb.run("1").state
    changed = nb.run("big += 1")
    assert size_of(nb, changed.state) > 16_000_000
    assert nb.show("float(big.sum())") == "2000002.0"


def test_memory_that_changes_in_several_cells_of_one_process(nb: Notebook) -> None:
    nb.run("big = np.zeros(1_000_000)")
    rans = nb.together(
        ["big[0] = 1", "big[500_000] = 2", "print(big[0])", "new = np.ones(100_000)", "new[5] = 3", "new"]
    )
    assert [ran.saved for ran in rans] == [["big"], ["big"], [], ["new"], ["new"], []]
    assert nb.show("[float(x) for x in (big[0], big[500_000], new[5], new.sum())]") == "[1.0, 2.0, 3.0, 100002.0]"


def test_changed_memory_is_found_without_the_page_map(nb: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirty, "dirty_pages", lambda _mapping: None)
    state = nb.run("big = np.zeros(100_000)").state
    assert nb.run("print(big.sum())").state == state
    nb.run("big[99_999] = 4")
    assert nb.show("float(big.sum())") == "4.0"


def test_an_interrupt_that_comes_before_memory_is_released_is_raised_after_it(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(dirty.PAGE))
    mapping, view = dirty.map_file(str(tmp_path / "f"), 0, dirty.PAGE)
    views = [view]
    del view
    calls = [functools.partial(ctypes.CDLL(None)["raise"], int(signal.SIGINT)), functools.partial(views.clear)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            collections.deque(map(functools.partial.__call__, calls), 0)  # no Python between the two, nor after them
    finally:
        signal.signal(signal.SIGINT, before)
    assert not mapping.alive


def test_dirty_pages_are_those_written_to(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(10 * dirty.PAGE))
    mapping, view = dirty.map_file(str(tmp_path / "f"), dirty.PAGE, 8 * dirty.PAGE)
    assert view[5] == 0
    assert dirty.dirty_pages(mapping) == []
    view[3 * dirty.PAGE] = view[7 * dirty.PAGE] = 1
    assert dirty.dirty_pages(mapping) == [3, 7]
    assert dirty.page_ranges([3, 4, 7]) == [(3, 2), (7, 1)]
    assert mapping.alive
    del view
    assert not mapping.alive


def test_short_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(100))
    with pytest.raises(OSError, match="shorter than the 4096 bytes"):
        dirty.map_file(str(tmp_path / "f"), 0, dirty.PAGE)


def test_frames(nb: Notebook) -> None:
    nb.run(
        "df = pd.DataFrame({'a': range(5), 'b': list('vwxyz'), 'c': pd.date_range('2020', periods=5), 'd': 1.5})\n"
        "df['e'] = pd.Categorical(list('xxyyx'))\ng = df.groupby('e', observed=True)\ns = df['a']\n"
        "mi = df.set_index(['e', 'b'])\nbig = pd.DataFrame({'x': np.arange(100_000.0)})"
    )
    ran = nb.run(
        "print(df.dtypes.astype(str).tolist(), g['a'].sum().tolist(), s.tolist(), mi.loc['x'].shape, big.x.sum())"
    )
    assert ran.printed == (
        "['int64', 'str', 'datetime64[us]', 'float64', 'category'] [5, 5] [0, 1, 2, 3, 4] (3, 3) 4999950000.0\n"
    )
    nb.run("df.loc[0, 'a'] = 100\ndf['new'] = 1")
    assert nb.show("(int(df.a.sum()), int(df.new.sum()), s.tolist())") == "(110, 5, [0, 1, 2, 3, 4])"


@pytest.mark.parametrize("size", [10, 50_000])
def test_frames_that_share_memory_still_copy_on_write(nb: Notebook, size: int) -> None:
    nb.run(
        f"df = pd.DataFrame({{'a': np.zeros({size})}})\nlazy = df.copy(deep=False)\n"
        "col = df['a']\nidx = pd.Series(df.index)"
    )
    nb.run("df.iloc[0, 0] = 7")
    assert nb.show("[float(x) for x in (df.a[0], lazy.a[0], col[0])]") == "[7.0, 0.0, 0.0]"
    nb.run("lazy.iloc[1, 0] = 8")
    assert nb.show("[float(x) for x in (df.a[1], lazy.a[1], col[1])]") == "[0.0, 8.0, 0.0]"


def test_generators_of_random_numbers(nb: Notebook) -> None:
    nb.run(
        "rng = np.random.default_rng(3)\nref = np.random.default_rng(3).random(4).tolist()\n"
        "old = np.random.RandomState(1)"
    )
    nb.run("first = [rng.random(), rng.random()]")
    assert nb.show("(first + [rng.random(), rng.random()] == ref)") == "True"


def test_memmap_is_opened_again(nb: Notebook, tmp_path: Path) -> None:
    nb.run(f"m = np.memmap({str(tmp_path / 'm')!r}, dtype='f8', mode='w+', shape=(10,))\nm[3] = 2")
    nb.run("m[4] = 5")
    assert nb.show("(type(m).__name__, float(m[3]), float(m[4]), m.mode)") == "('memmap', 2.0, 5.0, 'r+')"


def test_views_of_a_memmap_look_into_its_file(nb: Notebook) -> None:
    nb.run(
        "import numpy as np\nm = np.memmap('mm.dat', dtype='f4', mode='w+', shape=(10,)); m[:] = 3\n"
        "part, rows, plain, every = m[2:4], m.reshape(2, 5), np.asarray(m)[6:], m[::3]"
    )
    nb.run("part[0] = 9; rows[1, 0] = 8; plain[0] = 7; every[3] = 6; m.flush()")
    assert nb.show("(m.tolist(), np.fromfile('mm.dat', 'f4').tolist() == m.tolist())") == (
        "([3.0, 3.0, 9.0, 3.0, 3.0, 8.0, 7.0, 3.0, 3.0, 6.0], True)"
    )
    assert nb.show("(type(part) is np.memmap, part.filename == m.filename, type(plain) is np.ndarray)") == (
        "(True, True, True)"
    )


def test_subclass_keeps_its_attributes(nb: Notebook) -> None:
    nb.run("class Named(np.ndarray): pass\na = np.arange(3).view(Named)\na.label = 'x'")
    assert nb.show("(a.label, type(a) is Named, a.tolist())") == "('x', True, [0, 1, 2])"


def test_names_imported_from_random_modules_stay_the_global_ones(nb: Notebook) -> None:
    nb.run("from random import randint, seed\nfrom numpy.random import rand\nimport random")
    ran = nb.run(
        "seed(1); a = randint(0, 10**9)\nrandom.seed(1)\nprint(a == randint(0, 10**9))\n"
        "np.random.seed(1); x = rand(); np.random.seed(1); print(x == rand())"
    )
    assert ran.printed == "True\nTrue\n"


def test_figures_are_drawn_again(nb: Notebook) -> None:
    nb.run(
        "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\n"
        "fig, ax = plt.subplots()\nax.plot([1, 2, 3], label='one')\nplt.close('all')"
    )
    ran = nb.run(
        "import io\nax.plot([3, 2, 1]); ax.set_title('T'); ax.legend()\nf = io.BytesIO(); fig.savefig(f)\n"
        "print(len(f.getvalue()) > 5000, ax.figure is fig, len(plt.get_fignums()))"
    )
    assert ran.printed == "True True 0\n"
    assert ran.not_carried == {}
    assert nb.show("(len(fig.axes[0].lines), fig.axes[0].get_title())") == "(2, 'T')"


@pytest.mark.parametrize(
    ("make", "place", "in_it"),
    [
        ("m = bytearray(8); a = np.frombuffer(m, dtype='u1')", 2, 2),
        ("m = bytearray(8); a = np.asarray(memoryview(m))[1:][1:]", 2, 4),
        ("import array; m = array.array('h', [0] * 8); a = np.frombuffer(m, dtype='h')", 2, 2),
        ("import ctypes; m = (ctypes.c_int * 8)(); a = np.ctypeslib.as_array(m).reshape(2, 4).T[2]", 1, 6),
    ],
)
def test_arrays_look_into_the_memory_of_other_objects(nb: Notebook, make: str, place: int, in_it: int) -> None:
    nb.run(f"import numpy as np\n{make}\nb = a[1:]")
    nb.run(f"a[{place}] = 7")
    assert nb.show(f"m[{in_it}]") == "7"
    nb.run(f"m[{in_it}] = 9")
    assert nb.show(f"(int(a[{place}]), np.shares_memory(a, b))") == "(9, True)"


def test_memory_that_an_array_looks_into_keeps_its_size(nb: Notebook) -> None:
    nb.run("import numpy as np\nm = bytearray(8); a = np.frombuffer(m, dtype='u1')")
    assert "BufferError" in nb.attempt("m.append(1)").error
