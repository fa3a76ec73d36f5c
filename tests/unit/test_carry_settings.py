"""Settings of the process from one cell to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.carry_cells import Notebook

if TYPE_CHECKING:
    from pathlib import Path


FRESH_TOO = True


def test_settings_of_the_interpreter(nb: Notebook, tmp_path: Path) -> None:
    nb.run(
        f"import os, sys, warnings, decimal, random\nos.chdir({str(tmp_path)!r})\nos.environ['NEW'] = 'v'\n"
        "os.environ.pop('HOME', None)\nsys.path.append('/extra')\nwarnings.simplefilter('ignore', UserWarning)\n"
        "decimal.getcontext().prec = 5\nsys.setrecursionlimit(1234)\nos.umask(0o27)\nsys.set_int_max_str_digits(9999)"
    )
    ran = nb.run(
        "print(os.getcwd(), os.environ['NEW'], os.getenv('NEW'), 'HOME' in os.environ, '/extra' in sys.path)\n"
        "warnings.warn('no one hears')\nprint(decimal.Decimal(1) / 3, sys.getrecursionlimit(), oct(os.umask(0o27)))\n"
        "print(sys.get_int_max_str_digits())"
    )
    assert ran.printed == f"{tmp_path} v v False True\n0.33333 1234 0o27\n9999\n"
    assert ran.saved == []
    assert ran.notices == []
    nb.run("os.environ['HOME'] = '/root'; del os.environ['NEW']")
    assert nb.show("('NEW' in os.environ, os.environ['HOME'])") == "(False, '/root')"


def test_seeded_numbers_go_on(nb: Notebook) -> None:
    nb.run("import random, numpy as np\nrandom.seed(5); np.random.seed(5)\na = [random.random(), np.random.random()]")
    nb.run("a += [random.random(), np.random.random()]")
    ran = nb.run(
        "random.seed(5); np.random.seed(5)\n"
        "print(a == [random.random(), np.random.random(), random.random(), np.random.random()])"
    )
    assert ran.printed == "True\n"


def test_unseeded_numbers_differ_between_forks(tmp_path: Path) -> None:
    import numpy as np

    np.random.random()  # noqa: NPY002 - the generator that every fork inherits
    code = "import random, numpy.random as r\nprint(random.random(), r.random())"
    printed = {Notebook(str(tmp_path / str(number))).run(code).printed for number in range(3)}
    assert len(printed) == 3


def test_settings_of_libraries(nb: Notebook) -> None:
    nb.run(
        "import numpy as np, pandas as pd, matplotlib as mpl\n"
        "np.set_printoptions(precision=2)\nnp.seterr(divide='raise')\n"
        "pd.set_option('display.max_rows', 7)\nmpl.rcParams['lines.linewidth'] = 9\n"
        "rc = mpl.rcParams\npd.options.display.width = 33"
    )
    ran = nb.run(
        "import numpy, matplotlib.pyplot as plt\n"
        "print(np.array([1/3]), np.geterr()['divide'], pd.get_option('display.max_rows'), "
        "pd.get_option('display.width'))\n"
        "print(plt.rcParams['lines.linewidth'], rc is plt.rcParams, mpl is plt.matplotlib)"
    )
    assert ran.printed == "[0.33] raise 7 33\n9.0 True True\n"
    assert ran.notices == []
    assert nb.run("import matplotlib\nmatplotlib.rcdefaults()").error == ""


def test_settings_wait_for_the_import(nb: Notebook) -> None:
    nb.run("import numpy\nnumpy.set_printoptions(precision=2)\nnumpy.random.seed(1)\ndel numpy")
    nb.run("1")
    ran = nb.run(
        "import numpy as n\nprint(n.array([1/3]), n.random.rand() == n.random.RandomState(1).rand(), n.__spec__.loader)"
    )
    assert ran.printed.startswith("[0.33] True <_frozen_importlib_external.SourceFileLoader")


def test_nothing_is_written_for_settings_that_did_not_change(nb: Notebook) -> None:
    assert nb.run("1 + 1").state is None
    assert nb.run("import os").state == "layer2"
    assert nb.run("os.getcwd()").state == "layer2"


def test_settings_of_the_standard_library(nb: Notebook) -> None:
    nb.run("import signal\ndef hear(number, frame): print('heard')\nsignal.signal(signal.SIGUSR1, hear)")
    assert nb.run("import signal\nsignal.raise_signal(signal.SIGUSR1)").printed == "heard\n"
    nb.run("import gc, socket, csv\ngc.disable()\nsocket.setdefaulttimeout(2.5)\ncsv.field_size_limit(999)")
    shown = nb.show("(gc.isenabled(), socket.getdefaulttimeout(), csv.field_size_limit())")
    assert shown == "(False, 2.5, 999)"
    nb.run("gc.enable()\nsocket.setdefaulttimeout(None)")
    assert nb.show("(gc.isenabled(), socket.getdefaulttimeout(), csv.field_size_limit())") == "(True, None, 999)"


@pytest.mark.parametrize(
    ("library", "change", "shown"),
    [
        ("sklearn", "sklearn.set_config(display='text')", "sklearn.get_config()['display']"),
        ("xarray", "xarray.set_options(display_style='text')", "xarray.get_options()['display_style']"),
        ("plotly.io", "plotly.io.templates.default = 'simple_white'", "plotly.io.templates.default"),
        ("altair", "altair.data_transformers.disable_max_rows()", "altair.data_transformers.options"),
    ],
)
def test_options_of_libraries_that_are_installed(nb: Notebook, library: str, change: str, shown: str) -> None:
    pytest.importorskip(library)
    nb.run(f"import {library}\n{change}")
    expected = nb.run(f"import {library}\nprint({shown})").printed
    assert nb.run(f"import {library}\n{change}\nprint({shown})").printed == expected


REPLACED = {
    "a function of os.path": "import os\nos.path.exists = lambda path: False",
    "a mock of one": "from unittest import mock\nmock.patch('os.path.exists', return_value=False).start()",
    "one that raises": "import os\ndef refuse(*_, **__):\n    raise RuntimeError\nos.stat = refuse",
    "open, by one that raises": "import builtins\ndef refuse(*_):\n    raise RuntimeError\nbuiltins.open = refuse",
    "open, by a mock": "from unittest import mock\nmock.patch('builtins.open').start()",
    "the working directory": "from unittest import mock\nmock.patch('os.getcwd', return_value='/x').start()",
    "JSON": "import json\njson.dumps = json.loads = lambda *arguments, **options: 'nothing'",
    "the time": "import time\ntime.time = time.monotonic = lambda: 42",
}


@pytest.mark.parametrize("code", REPLACED.values(), ids=REPLACED)
def test_variables_are_saved_whatever_a_cell_has_put_in_the_place_of_functions(nb: Notebook, code: str) -> None:
    nb.run("x = [1]")
    ran = nb.run(f"{code}\nz = 3")
    assert ran.notices == []
    ran = nb.run("x += [z]; y = bytes(100_000)")
    assert ran.notices == []
    assert nb.run("import sys; sys.stdout.write(repr((x, z, len(y))))").printed == "([1, 3], 3, 100000)"


def test_what_is_put_in_the_place_of_a_function_is_there_in_later_cells(nb: Notebook) -> None:
    nb.run("import os, builtins\nos.path.exists = lambda path: 'patched'\nbuiltins.print = lambda *words: None")
    nb.run("seen = os.path.exists('/')")
    assert nb.run("import sys; print(1); sys.stdout.write(os.path.exists('/') + seen)").printed == "patchedpatched"


def test_saving_calls_nothing_that_a_cell_has_put_in_the_place_of_open(nb: Notebook) -> None:
    code = (
        "import builtins\nopens = open\n"
        "def log(*a, **k):\n    print('open', *a)\n    return opens(*a, **k)\nbuiltins.open = log"
    )
    assert nb.run(f"{code}\ny = bytes(100_000)").printed == ""
    assert nb.run("y += b'1'").printed == ""
