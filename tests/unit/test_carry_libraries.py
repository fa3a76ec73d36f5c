"""What libraries keep out of sight, and objects whose own pickling would lose something, from one cell to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.carry_cells import Notebook

if TYPE_CHECKING:
    from pathlib import Path


FRESH_TOO = True


def test_what_numpy_calls_for_errors_shares_objects_with_variables(nb: Notebook) -> None:
    nb.run(
        "import numpy as np\nheard = []\ndef hear(kind, flag): heard.append(kind)\n"
        "before = np.seterrcall(hear)\n_ = np.seterr(over='call')"
    )
    nb.run("np.array([1e308]) * 10")
    assert nb.show("heard") == "['overflow']"
    nb.run("_ = np.seterrcall(None)")
    assert nb.show("np.geterrcall()") == "None"


def test_what_cannot_be_given_to_a_library_again_is_named(nb: Notebook) -> None:
    ran = nb.run(
        "import numpy as np\nclass Heard:\n    def __init__(self): self.all = (each for each in 'ab')\n"
        "    def write(self, text): ...\n_ = np.seterrcall(Heard())"
    )
    assert ran.notices == ["what is called for errors of numpy will not be carried: Heard holding generator"]


def test_settings_of_numpy_that_are_in_c(nb: Notebook) -> None:
    nb.run("import numpy as np\n_ = np.setbufsize(16 * 1024)\nnp.random.set_bit_generator(np.random.PCG64(3))")
    nb.run("first = np.random.random()")
    expected = "[np.random.Generator(np.random.PCG64(3)).random(), 16384]"
    assert nb.show(f"[first, np.getbufsize()] == {expected}") == "True"
    assert nb.show("np.random.get_bit_generator().__class__.__name__") == "'PCG64'"


def test_function_of_numpy_that_was_replaced(nb: Notebook) -> None:
    nb.run("import numpy as np\nreal = np.median\nnp.median = lambda values: 'mine'")
    assert nb.show("real([1, 2, 6])") == "np.float64(2.0)"


def test_objects_of_numpy_that_are_made_by_calls(nb: Notebook, tmp_path: Path) -> None:
    path = str(tmp_path / "a.npz")
    nb.run(
        "import numpy as np\nlimits = np.finfo('f4'), np.iinfo('i2')\ntwice = np.frompyfunc(lambda a: 2 * a, 1, 1)\n"
        "array = np.arange(6).reshape(2, 3)\nflat = array.flat; next(flat)\npairs = np.ndenumerate(array)\n"
        f"next(pairs)\nboth = np.broadcast([1, 2], [[3], [4]]); next(both)\nnp.savez({path!r}, a=array)\n"
        f"archive = np.load({path!r})\nmasked = np.ma.masked_array([1.0, 2.0])"
    )
    shown = nb.show(
        "(limits[0].bits, limits[1].max, twice(4), next(flat), next(pairs), next(both), "
        "archive['a'].shape, masked.mask is np.ma.nomask)"
    )
    assert shown == "(32, 32767, 8, np.int64(1), ((0, 1), np.int64(1)), (np.int64(2), np.int64(3)), (2, 3), True)"
    nb.run("array[0, 2] = 9")
    assert nb.show("next(flat)") == "np.int64(9)"


def test_option_that_a_cell_has_registered(nb: Notebook) -> None:
    nb.run(
        "import pandas as pd\nfrom pandas._config import config\nconfig.register_option('mine.width', 3, 'doc')\n"
        "pd.set_option('mine.width', 4)\nregistered = config._registered_options"
    )
    ran = nb.run("config._registered_options |= registered\nprint(pd.get_option('mine.width'))")
    assert (ran.printed, ran.notices) == ("4\n", [])


def test_figures_that_only_pyplot_has(nb: Notebook) -> None:
    nb.run(
        "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\n"
        "_ = plt.figure(7), plt.figure(3)\nplt.plot([1, 2]); plt.figure(7); del _"
    )
    assert nb.show("(plt.get_fignums(), plt.gcf().number, len(plt.figure(3).axes))") == "([3, 7], 7, 1)"
    nb.run("plt.close(7)")
    assert nb.show("(plt.get_fignums(), plt.gcf().number)") == "([3], 3)"


def test_callbacks_of_figures(nb: Notebook) -> None:
    nb.run(
        "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\n"
        "figure, axes = plt.subplots()\nimage = axes.imshow([[1, 2]])\nbar = figure.colorbar(image)\ndrawn = []\n"
        "def draw(event): drawn.append(1)\nnumber = figure.canvas.mpl_connect('draw_event', draw)\n"
        "count = [len(each) for each in figure.canvas.callbacks.callbacks.values()]"
    )
    nb.run("image.set_clim(0, 4)\nfigure.canvas.draw()")
    assert nb.show("(bar.vmax == 4, drawn)") == "(np.True_, [1])"
    assert nb.show("count == [len(each) for each in figure.canvas.callbacks.callbacks.values()]") == "True"
    nb.run("figure.canvas.mpl_disconnect(number)")
    nb.run("figure.canvas.draw()")
    assert nb.show("drawn") == "[1]"


def test_memory_of_tensors_is_shared(nb: Notebook) -> None:
    pytest.importorskip("torch")
    nb.run(
        "import torch\nwhole = torch.arange(4.0)\npart = whole[1:3]\narray = whole.numpy()\n"
        "weight = torch.nn.Parameter(torch.zeros(2))\nplain = weight.data"
    )
    nb.run("part[0] = 9; array[3] = 7; plain[0] = 5")
    assert nb.show("(whole.tolist(), array.tolist(), weight.tolist())") == (
        "([0.0, 9.0, 2.0, 7.0], [0.0, 9.0, 2.0, 7.0], [5.0, 0.0])"
    )


@pytest.mark.parametrize("module", ["numpy", "numpy.linalg", "matplotlib.pyplot", "scipy.signal", "math", "os.path"])
def test_all_that_a_module_gives_away_is_carried(nb: Notebook, module: str) -> None:
    pytest.importorskip(module)
    ran = nb.run(f"from {module} import *")
    assert (ran.not_carried, ran.notices) == ({}, [])
    assert len(ran.saved) > 10


@pytest.mark.parametrize("make", ["from_numpy", "as_tensor", "asarray"])
def test_a_tensor_shares_the_memory_of_the_array_that_it_was_made_of(nb: Notebook, make: str) -> None:
    pytest.importorskip("torch")
    nb.run(f"import numpy, torch\nwhole = numpy.zeros(6)\ntensor = torch.{make}(whole[1:5])\npart = tensor[2:]")
    nb.run("part[0] = 7")
    nb.run("whole[1] = 5")
    assert nb.show("(whole.tolist(), tensor.tolist())") == "([0.0, 5.0, 0.0, 7.0, 0.0, 0.0], [5.0, 0.0, 7.0, 0.0])"


def test_gradients_and_modes_of_torch(nb: Notebook) -> None:
    pytest.importorskip("torch")
    nb.run(
        "import torch\nweight = torch.ones(2, requires_grad=True)\n(weight * 2).sum().backward()\n"
        "loss = (weight * 3).sum()\ntorch.set_default_dtype(torch.float64)\n_ = torch.set_grad_enabled(False)"
    )
    shown = nb.show("(weight.grad.tolist(), loss, torch.get_default_dtype(), torch.is_grad_enabled())")
    assert shown == "([2.0, 2.0], tensor(6., dtype=torch.float32, grad_fn=<SumBackward0>), torch.float64, False)"
    assert "the graph of a tensor cannot be carried: call backward()" in nb.attempt("loss.backward()").error


def test_optimizer_with_a_scheduler_and_hooks(nb: Notebook) -> None:
    pytest.importorskip("torch")
    nb.run(
        "import torch, warnings\nlayer = torch.nn.Linear(1, 1)\nsteps = torch.optim.SGD(layer.parameters(), 1.0)\n"
        "rate = torch.optim.lr_scheduler.StepLR(steps, 1)\nseen = []\n"
        "_ = steps.register_step_post_hook(lambda *_: seen.append(1))"
    )
    nb.run("warnings.simplefilter('error')\nsteps.step(); rate.step()")
    assert nb.show("(round(steps.param_groups[0]['lr'], 3), seen)") == "(0.1, [1])"


@pytest.mark.parametrize(
    ("library", "make", "use", "shown", "expected"),
    [
        (
            "bs4",
            "s = bs4.BeautifulSoup('<p>t<b>u</b></p>', 'html.parser'); b = s.b",
            "b.string = 'v'",
            "s",
            "<p>t<b>v</b></p>",
        ),
        (
            "lxml.etree",
            "r = lxml.etree.fromstring('<a>t<b/>u</a>'); b = r[0]",
            "b.set('c', '1')",
            "lxml.etree.tostring(r).decode(), b.getparent() is r",
            "('<a>t<b c=\"1\"/>u</a>', True)",
        ),
        (
            "lxml.etree",
            "f = lxml.etree.FunctionNamespace(None); f['hi'] = lambda _: 'x'",
            "f['ho'] = lambda _: 'y'",
            "lxml.etree.XML('<a/>').xpath('hi() = ho()')",
            "False",
        ),
        (
            "lxml.etree",
            "lxml.etree.register_namespace('my', 'http://my')",
            "",
            "lxml.etree.tostring(lxml.etree.Element('{http://my}a'))",
            "b'<my:a xmlns:my=\"http://my\"/>'",
        ),
        (
            "pyarrow.compute",
            (
                "pyarrow.compute.register_scalar_function(lambda _, a: a, 'same', "
                "{'summary': '', 'description': ''}, {'a': pyarrow.int64()}, pyarrow.int64())"
            ),
            "",
            "pyarrow.compute.call_function('same', [pyarrow.array([1])]).to_pylist()",
            "[1]",
        ),
        ("pyarrow", "pyarrow.set_cpu_count(1)", "", "pyarrow.cpu_count()", "1"),
        (
            "polars",
            "polars.Config.set_float_precision(1); o = polars.DataFrame({'o': [object]}, {'o': polars.Object})",
            "",
            "(o['o'].to_list(), str(polars.Series([1.25])).split()[-2])",
            "([<class 'object'>], '1.2')",
        ),
        (
            "sqlalchemy",
            (
                "e = sqlalchemy.create_engine('sqlite://')\n"
                "with e.begin() as c: c.exec_driver_sql('create table t (a)')\n"
                "del c\nheard = []\n@sqlalchemy.event.listens_for(e, 'begin')\ndef hear(_): heard.append(1)"
            ),
            "with e.begin() as c: c.exec_driver_sql('insert into t values (3)')\ndel c",
            "(e.connect().exec_driver_sql('select a from t').scalar(), heard)",
            "(3, [1, 1])",
        ),
        (
            "sympy",
            "p = sympy.core.parameters.global_parameters; p.evaluate = False",
            "",
            "sympy.Symbol('v') + sympy.Symbol('v')",
            "v + v",
        ),
        ("sympy.combinatorics", "g = sympy.combinatorics.SymmetricGroup(3)", "g.order()", "g.order()", "6"),
        (
            "plotly.graph_objects",
            "f = plotly.graph_objects.Figure([{'y': numpy.array([3, 4])}]); t = f.data[0]",
            "t.y = t.y + 1",
            "f.data[0].y",
            "array([4, 5])",
        ),
        ("scipy.stats", "x = scipy.stats.Normal(mu=1, sigma=2)", "", "float(x.cdf(1))", "0.5"),
        (
            "ipywidgets",
            "a, b = ipywidgets.IntText(1), ipywidgets.IntText(1); x = ipywidgets.link((a, 'value'), (b, 'value'))",
            "a.value = 7",
            "b.value",
            "7",
        ),
        (
            "openpyxl",
            "x = openpyxl.Workbook(); x.active['A1'] = 3",
            "x.active.column_dimensions['A'].width = 30",
            "x.active['A1'].value, x.active.column_dimensions['A'].width",
            "(3, 30.0)",
        ),
        (
            "PIL.ImageDraw",
            "x = PIL.Image.new('L', (9, 9)); d = PIL.ImageDraw.Draw(x)",
            "d.line((0, 0, 8, 8), fill=9)",
            "x.getpixel((3, 3))",
            "9",
        ),
        (
            "statsmodels.formula.api",
            (
                "import pandas\ndef sq(v): return v ** 2\nm = statsmodels.formula.api.ols('b ~ sq(a)', "
                "pandas.DataFrame({'a': [1.0, 2, 3], 'b': [1.0, 4, 9]}))"
            ),
            "",
            "m.fit().params.round(4).tolist()[1]",
            "1.0",
        ),
    ],
)
def test_libraries_that_are_installed(
    tmp_path: Path, library: str, make: str, use: str, shown: str, expected: str
) -> None:
    pytest.importorskip(library)
    nb = Notebook(str(tmp_path), fresh=True)
    assert nb.run(f"import numpy, {library}\n{make}").not_carried == {}
    nb.run(f"import {library}\n{use}")
    assert nb.run(f"import {library}\nprint(repr(({shown})))").printed == f"{expected}\n"
