# ruff: noqa: E501, S  (cells are shown as they are)
"""Kinds of objects of the scientific stack: (a cell that makes x, how x is looked at, how it is used)."""

from __future__ import annotations

# Run first in each library's notebook.
IMPORTS: dict[str, str] = {
    "numpy": "import numpy as np",
    "pandas": "import pandas as pd, numpy as np",
    "openpyxl": "import pandas as pd",
    "scipy": "import numpy as np, scipy",
    "scikit-learn": "import numpy as np, warnings\nA = np.array([[0, 0], [1, 1], [2, 0], [3, 1]] * 5, float); Y = np.array([0, 1, 0, 1] * 5)",
    "statsmodels": "import numpy as np, statsmodels.api as sm, statsmodels.formula.api as smf, pandas as pd\nD = pd.DataFrame({'a': np.arange(20.0), 'b': np.arange(20.0) ** 2 % 7, 'k': [0, 1] * 10})",
    "matplotlib": "%matplotlib agg\nimport matplotlib as mpl, matplotlib.pyplot as plt, numpy as np, io\ndef png(figure):\n    file = io.BytesIO(); figure.savefig(file, format='png', metadata={'Software': None}); return hash_of(file.getvalue())\ndef hash_of(data):\n    import hashlib\n    return hashlib.sha1(data).hexdigest()",
    "seaborn": "%matplotlib agg\nimport seaborn as sns, pandas as pd, matplotlib.pyplot as plt\nD = pd.DataFrame({'a': [1.0, 2, 3, 4], 'b': [2.0, 1, 4, 3], 'k': list('uvuv')})",
    "networkx": "import networkx as nx",
    "sympy": "import sympy\nfrom sympy.abc import a, b, t",
    "xarray": "import xarray as xr, numpy as np, pandas as pd",
    "Pillow": "from PIL import Image",
    "pyarrow": "import pyarrow as pa, pyarrow.compute as pc",
    "polars": "import polars as pl",
    "plotly": "import plotly.graph_objects as go, plotly.express as px",
    "altair": "import altair as alt, pandas as pd",
    "torch": "import torch, torch.nn as nn",
    "SQLAlchemy": "import sqlalchemy as sa\nfrom sqlalchemy import orm",
    "jax": "import jax, jax.numpy as jnp",
    "spaCy": "import spacy",
    "pint": "import pint",
    "h5py": "import h5py",
    "pydantic": "import pydantic",
    "attrs": "import attrs",
    "tqdm": "from tqdm import tqdm\nimport io",
    "requests": "import requests",
    "httpx": "import httpx",
    "beautifulsoup4": "from bs4 import BeautifulSoup",
    "lxml": "from lxml import etree, html",
    "ipywidgets": "import ipywidgets as w",
}
# What is imported to find out whether a library is there, where that is not its own name.
MODULES: dict[str, tuple[str, ...]] = {
    "scikit-learn": ("sklearn",),
    "Pillow": ("PIL",),
    "SQLAlchemy": ("sqlalchemy",),
    "spaCy": ("spacy",),
    "beautifulsoup4": ("bs4",),
    "seaborn": ("seaborn", "scipy"),
    "xarray": ("xarray", "scipy"),
}

SCIENCE: dict[str, dict[str, tuple[str, ...]]] = {
    "numpy": {
        "ndarray": ("x = np.arange(6).reshape(2, 3)", "x, x.dtype, x.strides", "x[0] += 1"),
        "Fortran order": ("x = np.asfortranarray(np.ones((2, 3)))", "x.flags.f_contiguous, x.strides"),
        "0-dimensional, empty": ("x = [np.array(5), np.zeros((0, 3))]", "x[0].shape, x[1].shape, x"),
        "views of one array": ("b = np.arange(6); x = b[1:4]", "x, x.base is b", "x[0] = 99; b"),
        "view with negative strides": ("b = np.arange(6); x = b[::-2]", "x, x.strides", "x[0] = 99; b"),
        "view on a bytearray": ("b = bytearray(4); x = np.frombuffer(b, 'u1')", "x, b", "x[2] = 8; b"),
        "view on an array of ctypes": (
            "import ctypes; c = (ctypes.c_int * 3)(1, 2, 3); x = np.ctypeslib.as_array(c)",
            "x, list(c)",
            "x[0] = 8; list(c)",
        ),
        "broadcast view": ("x = np.broadcast_to(np.arange(3), (2, 3))", "x, x.strides, x.flags.writeable"),
        "read-only": ("x = np.arange(3); x.flags.writeable = False", "x, x.flags.writeable"),
        "large, more than a page": ("x = np.arange(300_000.0)", "x.sum(), x.flags.writeable", "x[7] = -1"),
        "complex, bool, float16": ("x = [np.array([1j]), np.array([True]), np.array([1.5], 'f2')]", "x"),
        "big-endian": ("x = np.array([1, 2], '>i4')", "x, x.dtype.str"),
        "datetime64, timedelta64": ("x = [np.array(['2020-01-01', 'NaT'], 'M8[D]'), np.timedelta64(3, 'h')]", "x"),
        "str, bytes": ("x = [np.array(['ab', 'c']), np.array([b'ab'])]", "x"),
        "StringDType": ("x = np.array(['ab', 'c' * 50], dtype=np.dtypes.StringDType())", "x, x.dtype"),
        "object array": ("l = [1]; x = np.array([l, None, 'a'], dtype=object)", "x, x[0] is l", "l.append(2)"),
        "structured": ("x = np.array([(1, 2.0)], dtype=[('a', 'i4'), ('b', 'f8', (2,))])", "x, x['b']", "x['a'] = 5"),
        "element of a structured array": (
            "y = np.zeros(2, [('a', 'i4'), ('b', 'f8')]); x = y[1]",
            "x, y",
            "x['a'] = 5; y['b'] = 2",
        ),
        "view as a recarray": (
            "y = np.zeros(2, [('a', 'i4')]); x = y.view(np.recarray)",
            "x, type(x) is np.recarray",
            "x[0].a = 3; y",
        ),
        "view of a memmap": (
            "y = np.memmap('mv.bin', 'f8', 'w+', shape=4); y[:] = 1; x = y[1:3]",
            "x, type(x).__name__, np.fromfile('mv.bin')",
            "x[0] = 5; y.flush()",
        ),
        "recarray": ("x = np.rec.array([(1, 'a')], dtype=[('n', 'i4'), ('s', 'U1')])", "x, x.n, x.s"),
        "void scalar": ("x = np.array([(1, 2.0)], dtype='i4,f8')[0]", "x, x['f1']"),
        "masked array": (
            "x = np.ma.array([1, 2], mask=[0, 1], fill_value=9)",
            "x, x.fill_value",
            "x[0] = np.ma.masked",
        ),
        "ma.masked": ("x = np.ma.masked", "x is np.ma.masked"),
        "matrix": ("x = np.asmatrix([[1, 2]])", "x, (x * x.T).tolist()"),
        "memmap": (
            "x = np.memmap('mm.bin', 'f8', 'w+', shape=3); x[:] = 1; x.flush()",
            "x.sum(), x.filename",
            "x[0] = 5; x.flush(); print(np.fromfile('mm.bin'))",
        ),
        "subclass of ndarray": (
            "class U(np.ndarray):\n    def __array_finalize__(self, o): self.unit = getattr(o, 'unit', None)\nx = np.arange(3).view(U); x.unit = 'm'",
            "x, x.unit",
        ),
        "scalars": ("x = [np.float64(1.5), np.int8(3), np.bool_(1), np.str_('a')]", "x, [type(i).__name__ for i in x]"),
        "dtype": (
            "x = np.dtype([('a', 'i4'), ('b', 'U3')], align=True, metadata={'m': 1})",
            "x, x.itemsize, x.isalignedstruct",
        ),
        "dtype with metadata": ("x = np.dtype('i4', metadata={'m': 1})", "dict(x.metadata)"),
        "finfo, iinfo": ("x = [np.finfo('f4'), np.iinfo('i2')]", "x[0].eps, x[1].max"),
        "ufunc": ("x = np.add", "x is np.add, x.reduce([1, 2])"),
        "ufunc made by frompyfunc": ("x = np.frompyfunc(lambda a, b: a + b, 2, 1)", "x([1, 2], 3)"),
        "vectorize": ("x = np.vectorize(lambda a: a * 2)", "x([1, 2])"),
        "Generator": ("x = np.random.default_rng(3)", "x.random(2)"),
        "RandomState": ("x = np.random.RandomState(3)", "x.rand(2)"),
        "bit generators": ("x = np.random.Philox(3)", "x.random_raw()"),
        "SeedSequence": ("x = np.random.SeedSequence(3)", "x.generate_state(1), len(x.spawn(1)), x.n_children_spawned"),
        "poly1d": ("x = np.poly1d([1, 2])", "x(3), x.variable"),
        "Polynomial": ("x = np.polynomial.Chebyshev([1, 2, 3])", "x(2.0), x"),
        "nditer": ("x = np.nditer(np.arange(6))", "int(next(x))"),
        "ndenumerate": ("x = np.ndenumerate(np.arange(6))", "next(x)"),
        "flatiter": ("x = np.arange(6).flat", "next(x), x.index"),
        "broadcast": ("x = np.broadcast([1, 2], [[1], [2]])", "x.shape"),
        "NpzFile": ("np.savez('z.npz', a=np.arange(3)); x = np.load('z.npz')", "x['a'], x.files"),
        "r_, s_": ("x = [np.r_, np.s_[1:3, ::2]]", "x[0][1:3], x[1]"),
        "printoptions": ("x = np.get_printoptions()", "x['precision']"),
    },
    "pandas": {
        "Series": ("x = pd.Series([1, 2], index=list('ab'), name='n')", "x", "x['a'] = 5"),
        "Series on a column of an array": (
            "b = np.zeros((3, 2)); x = pd.Series(b[:, 0], copy=False)",
            "x, np.shares_memory(b, x.to_numpy())",
            "b[0, 0] = 5; x",
        ),
        "DataFrame": ("x = pd.DataFrame({'a': [1, 2], 'b': ['x', None]})", "x", "x['c'] = x.a * 2"),
        "DataFrame and a column of it": ("x = pd.DataFrame({'a': [1, 2]}); s = x['a']", "x, s", "s.iloc[0] = 99"),
        "attrs, flags": (
            "x = pd.DataFrame({'a': [1]}).set_flags(allows_duplicate_labels=False); x.attrs['k'] = 1",
            "x.attrs, x.flags",
        ),
        "dtypes of frames": (
            "x = pd.DataFrame({'i': pd.array([1, None], 'Int64'), 'f': pd.array([1.5, None], 'Float64'), 'b': pd.array([True, None], 'boolean'), 's': pd.array(['a', None], 'string')})",
            "x, x.dtypes",
        ),
        "RangeIndex": ("x = pd.RangeIndex(1, 9, 2, name='r')", "x"),
        "Index": ("x = pd.Index(list('ab'), name='n')", "x, x.get_loc('b')"),
        "MultiIndex": ("x = pd.MultiIndex.from_product([[1, 2], list('ab')], names=['p', 'q'])", "x"),
        "CategoricalIndex": ("x = pd.CategoricalIndex(list('ab'), ordered=True)", "x"),
        "DatetimeIndex": ("x = pd.date_range('2020', periods=3, freq='D', tz='UTC')", "x, x.freq"),
        "TimedeltaIndex": ("x = pd.timedelta_range('1h', periods=3)", "x"),
        "PeriodIndex": ("x = pd.period_range('2020', periods=3, freq='M')", "x"),
        "IntervalIndex": ("x = pd.interval_range(0, 3)", "x, x.get_loc(1.5)"),
        "Categorical": ("x = pd.Categorical(['a', 'b', None], categories=['b', 'a'], ordered=True)", "x, x.codes"),
        "SparseArray": ("x = pd.arrays.SparseArray([0, 0, 1])", "x, x.density"),
        "IntervalArray": ("x = pd.arrays.IntervalArray.from_breaks([0, 1, 2])", "x"),
        "Timestamp": ("x = [pd.Timestamp('2020-01-01', tz='Europe/Berlin'), pd.NaT]", "x, x[1] is pd.NaT"),
        "Timedelta, Period, Interval": ("x = [pd.Timedelta('1h'), pd.Period('2020-01', 'M'), pd.Interval(0, 1)]", "x"),
        "NA": ("x = pd.NA", "x is pd.NA"),
        "offsets": ("x = [pd.offsets.BDay(2), pd.DateOffset(months=1), pd.offsets.MonthEnd()]", "x"),
        "dtypes": (
            "x = [pd.CategoricalDtype(['a'], True), pd.Int64Dtype(), pd.DatetimeTZDtype('ns', 'UTC'), pd.StringDtype()]",
            "x",
        ),
        "GroupBy": ("x = pd.DataFrame({'k': [1, 1, 2], 'v': [1, 2, 3]}).groupby('k')", "x.v.sum(), x.ngroups"),
        "SeriesGroupBy": ("x = pd.Series([1, 2, 3]).groupby([0, 0, 1])", "x.mean()"),
        "Grouper": ("x = pd.Grouper(key='k')", "pd.DataFrame({'k': [1, 1], 'v': [1, 2]}).groupby(x).v.sum()"),
        "Rolling": ("x = pd.Series([1.0, 2, 3]).rolling(2)", "x.sum()"),
        "Expanding, EWM": (
            "x = [pd.Series([1.0, 2]).expanding(), pd.Series([1.0, 2]).ewm(1)]",
            "x[0].sum(), x[1].mean()",
        ),
        "Resampler": ("x = pd.Series([1, 2], pd.date_range('2020', periods=2)).resample('2D')", "x.sum()"),
        "Styler": (
            "x = pd.DataFrame({'a': [1.234]}).style.format('{:.1f}').set_uuid('u')",
            "x.to_html()",
            "x.hide(axis='index')",
        ),
        "str, dt and plot accessors": (
            "s = pd.Series(['a']); x = [s.str, pd.Series(pd.to_datetime(['2020'])).dt, s.plot]",
            "x[0].upper(), x[1].year",
        ),
        "loc and iloc": (
            "d = pd.DataFrame({'a': [1, 2]}); x = [d.loc, d.iloc]",
            "x[0][0, 'a'], x[1][1, 0]",
            "x[0][0, 'a'] = 9; d",
        ),
        "TextFileReader": (
            "open('r.csv', 'w').write('a\\n1\\n2\\n3\\n4\\n'); x = pd.read_csv('r.csv', chunksize=1)",
            "next(x)",
        ),
        "iterrows": ("x = pd.DataFrame({'a': [1, 2, 3, 4]}).iterrows()", "next(x)[0]"),
        "itertuples": ("x = next(pd.DataFrame({'a': [1]}).itertuples())", "x, x.a"),
        "subclass of DataFrame": (
            "class F(pd.DataFrame):\n    _metadata = ['k']\n    @property\n    def _constructor(self): return F\nx = F({'a': [1]}); x.k = 3",
            "x, x.k, type(x.head()) is F",
        ),
        "Flags": ("x = pd.Series([1]).flags", "x.allows_duplicate_labels"),
        "NamedAgg": ("x = pd.NamedAgg('a', 'sum')", "x"),
        "pd.options": ("x = pd.options", "x is pd.options"),
        "col()": ("x = pd.col('a') + 1", "pd.DataFrame({'a': [1]}).assign(b=x)"),
    },
    "openpyxl": {
        "pandas.ExcelFile": (
            "pd.DataFrame({'a': [1]}).to_excel('e.xlsx', index=False); x = pd.ExcelFile('e.xlsx')",
            "x.sheet_names, x.parse(0)",
        ),
        "pandas.ExcelWriter": ("x = pd.ExcelWriter('e2.xlsx'); pd.DataFrame({'a': [1]}).to_excel(x)", "list(x.sheets)"),
        "Workbook": (
            "import openpyxl\nx = openpyxl.Workbook(); x.active['A1'] = 3",
            "x.active['A1'].value, x.sheetnames",
            "x.active['A2'] = 4",
        ),
    },
    "scipy": {
        "csr_matrix": (
            "from scipy import sparse\nx = sparse.csr_matrix([[0, 1], [2, 0]])",
            "x.toarray(), x.has_sorted_indices",
            "x[0, 0] = 5",
        ),
        "csc_array": ("from scipy import sparse\nx = sparse.csc_array([[0, 1], [2, 0]])", "x.toarray()"),
        "coo_array": ("from scipy import sparse\nx = sparse.coo_array([[0, 1], [2, 0]])", "x.toarray(), x.nnz"),
        "lil, dok": (
            "from scipy import sparse\nx = [sparse.lil_array((2, 2)), sparse.dok_array((2, 2))]; x[0][0, 1] = 3",
            "x[0].toarray(), x[1].toarray()",
            "x[1][1, 1] = 4",
        ),
        "bsr, dia": (
            "from scipy import sparse\nx = [sparse.bsr_array(np.eye(4)), sparse.dia_array(np.eye(2))]",
            "x[0].toarray(), x[1].toarray()",
        ),
        "LinearOperator": (
            "from scipy.sparse.linalg import aslinearoperator, LinearOperator\nx = LinearOperator((2, 2), matvec=lambda v: 2 * v, dtype=float)",
            "x @ np.ones(2)",
        ),
        "SuperLU": (
            "from scipy.sparse import csc_array, linalg\nx = linalg.splu(csc_array(np.eye(2)))",
            "x.solve(np.ones(2))",
        ),
        "interp1d": ("from scipy.interpolate import interp1d\nx = interp1d([0, 1], [0, 2])", "x(0.5)"),
        "CubicSpline": ("from scipy.interpolate import CubicSpline\nx = CubicSpline([0, 1, 2], [0, 1, 4])", "x(1.5)"),
        "BSpline": (
            "from scipy.interpolate import make_interp_spline\nx = make_interp_spline([0, 1, 2, 3], [0, 1, 4, 9])",
            "x(1.5)",
        ),
        "RegularGridInterpolator": (
            "from scipy.interpolate import RegularGridInterpolator\nx = RegularGridInterpolator(([0, 1], [0, 1]), np.eye(2))",
            "x([[0.5, 0.5]])",
        ),
        "RBFInterpolator": (
            "from scipy.interpolate import RBFInterpolator\nx = RBFInterpolator(np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]), np.arange(4))",
            "x([[0.5, 0.5]]).round(6)",
        ),
        "LinearNDInterpolator": (
            "from scipy.interpolate import LinearNDInterpolator\nx = LinearNDInterpolator([[0, 0], [1, 0], [0, 1]], [1, 2, 3])",
            "x([[0.2, 0.2]])",
        ),
        "UnivariateSpline": (
            "from scipy.interpolate import UnivariateSpline\nx = UnivariateSpline([0, 1, 2, 3], [0, 1, 4, 9])",
            "float(x(1.5)).__round__(6)",
        ),
        "frozen distribution": ("from scipy import stats\nx = stats.norm(1, 2)", "x.cdf(1), x.rvs(2, random_state=1)"),
        "distribution": ("from scipy import stats\nx = stats.gamma", "x is stats.gamma, x.mean(2)"),
        "distribution of a class": (
            "from scipy import stats\nclass D(stats.rv_continuous):\n    def _cdf(self, q): return q\nx = D(a=0, b=1, name='d')",
            "x.cdf(0.5), x.median()",
        ),
        "new distribution": ("from scipy import stats\nx = stats.Normal(mu=1, sigma=2)", "x.cdf(1), x"),
        "gaussian_kde": ("from scipy import stats\nx = stats.gaussian_kde([1, 2, 3])", "x(2)"),
        "test result": (
            "from scipy import stats\nx = stats.ttest_ind([1, 2, 3], [2, 3, 5])",
            "x.pvalue, x.confidence_interval()",
        ),
        "linregress": ("from scipy import stats\nx = stats.linregress([1, 2, 3], [1, 2, 4])", "x"),
        "multivariate_normal": ("from scipy import stats\nx = stats.multivariate_normal([0, 0])", "x.pdf([0, 0])"),
        "qmc.Sobol": ("from scipy.stats import qmc\nx = qmc.Sobol(1, seed=1)", "x.random(1)"),
        "OptimizeResult": (
            "from scipy import optimize\nx = optimize.minimize(lambda v: (v[0] - 1) ** 2, [0.0])",
            "x.success, x.x.round(4), sorted(x)",
        ),
        "Bounds, constraints": (
            "from scipy.optimize import Bounds, LinearConstraint\nx = [Bounds([0], [1]), LinearConstraint([[1]], 0, 1)]",
            "x[0], x[1].A",
        ),
        "ode solution": (
            "from scipy.integrate import solve_ivp\nx = solve_ivp(lambda t, y: -y, (0, 1), [1.0], dense_output=True)",
            "x.sol(0.5).round(6), x.status",
        ),
        "ode solver": (
            "from scipy.integrate import RK45\nx = RK45(lambda t, y: -y, 0, np.array([1.0]), 9)",
            "x.step(), round(float(x.t), 6)",
        ),
        "KDTree": ("from scipy.spatial import KDTree\nx = KDTree([[0, 0], [1, 1]])", "x.query([0.9, 0.9])"),
        "cKDTree": ("from scipy.spatial import cKDTree\nx = cKDTree([[0, 0], [1, 1]])", "x.query([0.9, 0.9])"),
        "Delaunay": (
            "from scipy.spatial import Delaunay\nx = Delaunay([[0, 0], [1, 0], [0, 1]])",
            "x.find_simplex([[0.1, 0.1]])",
        ),
        "ConvexHull": (
            "from scipy.spatial import ConvexHull\nx = ConvexHull([[0, 0], [1, 0], [0, 1]])",
            "x.volume, sorted(x.vertices)",
        ),
        "Voronoi": ("from scipy.spatial import Voronoi\nx = Voronoi([[0, 0], [1, 0], [0, 1], [1, 1]])", "x.vertices"),
        "Rotation": (
            "from scipy.spatial.transform import Rotation\nx = Rotation.from_euler('z', 90, degrees=True)",
            "x.apply([1, 0, 0]).round(6)",
        ),
        "signal.lti": ("from scipy import signal\nx = signal.TransferFunction([1], [1, 1])", "x.poles, x"),
        "ShortTimeFFT": (
            "from scipy import signal\nx = signal.ShortTimeFFT(np.ones(4), 2, 1.0)",
            "x.mfft, x.stft(np.ones(8)).shape",
        ),
        "LowLevelCallable": (
            "import ctypes\nfrom scipy import LowLevelCallable\nf = ctypes.CDLL(None).abs; f.argtypes = [ctypes.c_int]; x = LowLevelCallable(f)",
            "x.signature",
        ),
    },
    "scikit-learn": {
        "LinearRegression": (
            "from sklearn.linear_model import LinearRegression\nx = LinearRegression().fit(A, Y)",
            "x.coef_.round(6), x",
        ),
        "LogisticRegression": (
            "from sklearn.linear_model import LogisticRegression\nx = LogisticRegression().fit(A, Y)",
            "x.predict(A)",
            "x.set_params(C=2)",
        ),
        "SGD with partial_fit": (
            "from sklearn.linear_model import SGDClassifier\nx = SGDClassifier(random_state=0).partial_fit(A, Y, [0, 1])",
            "x.coef_.round(6), x.t_",
            "x.partial_fit(A, Y)",
        ),
        "RandomForest": (
            "from sklearn.ensemble import RandomForestClassifier\nx = RandomForestClassifier(5, random_state=0).fit(A, Y)",
            "x.predict_proba(A)[:2]",
        ),
        "HistGradientBoosting": (
            "from sklearn.ensemble import HistGradientBoostingRegressor\nx = HistGradientBoostingRegressor(max_iter=3).fit(A, Y)",
            "x.predict(A[:2])",
        ),
        "SVC": ("from sklearn.svm import SVC\nx = SVC().fit(A, Y)", "x.predict(A), x.n_support_"),
        "KNeighbors": (
            "from sklearn.neighbors import KNeighborsClassifier\nx = KNeighborsClassifier(1, algorithm='kd_tree').fit(A, Y)",
            "x.predict(A)",
        ),
        "KDTree, BallTree": (
            "from sklearn.neighbors import KDTree, BallTree\nx = [KDTree(A), BallTree(A)]",
            "x[0].query([[0, 0]], 1)[0], x[1].query([[0, 0]], 1)[0]",
        ),
        "GaussianProcess": (
            "from sklearn.gaussian_process import GaussianProcessRegressor, kernels\nx = GaussianProcessRegressor(kernels.RBF() + kernels.WhiteKernel(), optimizer=None).fit(A, Y)",
            "x.predict(A[:2]).round(6), x.kernel_",
        ),
        "MLP": (
            "from sklearn.neural_network import MLPClassifier\nwarnings.simplefilter('ignore')\nx = MLPClassifier(3, max_iter=5, random_state=0).fit(A, Y)",
            "x.predict(A), round(x.loss_, 6)",
        ),
        "KMeans": (
            "from sklearn.cluster import KMeans\nx = KMeans(2, n_init=1, random_state=0).fit(A)",
            "x.predict(A)",
        ),
        "PCA": ("from sklearn.decomposition import PCA\nx = PCA(1).fit(A)", "x.explained_variance_ratio_.round(6)"),
        "StandardScaler": (
            "from sklearn.preprocessing import StandardScaler\nx = StandardScaler().fit(A)",
            "x.transform(A[:2]).round(6)",
            "x.partial_fit(A + 1)",
        ),
        "OneHotEncoder": (
            "from sklearn.preprocessing import OneHotEncoder\nx = OneHotEncoder().fit([['a'], ['b']])",
            "x.get_feature_names_out(), x.transform([['a']]).toarray()",
        ),
        "FunctionTransformer": (
            "from sklearn.preprocessing import FunctionTransformer\nx = FunctionTransformer(lambda a: a * 2)",
            "x.transform(A[:2])",
        ),
        "TfidfVectorizer": (
            "from sklearn.feature_extraction.text import TfidfVectorizer\nx = TfidfVectorizer().fit(['a bc', 'bc de'])",
            "x.vocabulary_, x.transform(['bc']).toarray()",
        ),
        "Pipeline": (
            "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler\nfrom sklearn.linear_model import Ridge\nx = make_pipeline(StandardScaler(), Ridge()).fit(A, Y)",
            "x.predict(A[:2]).round(6), x.steps",
            "x.set_params(ridge__alpha=3)",
        ),
        "ColumnTransformer": (
            "from sklearn.compose import make_column_transformer\nfrom sklearn.preprocessing import MinMaxScaler\nx = make_column_transformer((MinMaxScaler(), [0])).fit(A)",
            "x.transform(A[:2])",
        ),
        "GridSearchCV": (
            "from sklearn.model_selection import GridSearchCV\nfrom sklearn.linear_model import Ridge\nx = GridSearchCV(Ridge(), {'alpha': [1, 2]}, cv=2).fit(A, Y)",
            "x.best_params_, sorted(x.cv_results_)[:2]",
        ),
        "KFold": (
            "from sklearn.model_selection import KFold\nx = KFold(2, shuffle=True, random_state=0)",
            "[t.tolist() for _, t in x.split(A)]",
        ),
        "splits of a KFold": ("from sklearn.model_selection import KFold\nx = KFold(5).split(A)", "next(x)[1]"),
        "scorer": (
            "from sklearn.metrics import make_scorer, f1_score\nx = make_scorer(f1_score, average='macro')",
            "x",
        ),
        "Bunch": ("from sklearn.datasets import load_iris\nx = load_iris()", "x.data.shape, x.feature_names"),
        "estimator of the notebook": (
            "from sklearn.base import BaseEstimator, TransformerMixin\nclass T(TransformerMixin, BaseEstimator):\n    def __init__(self, k=2): self.k = k\n    def fit(self, X, y=None): self.fitted_ = True; return self\n    def transform(self, X): return X * self.k\nx = T().fit(A)",
            "x, x.transform(A[:1])",
        ),
        "ConfusionMatrixDisplay": (
            "from sklearn.metrics import ConfusionMatrixDisplay\nx = ConfusionMatrixDisplay(np.eye(2))",
            "x.confusion_matrix",
        ),
        "IsotonicRegression": (
            "from sklearn.isotonic import IsotonicRegression\nx = IsotonicRegression().fit([1, 2, 3], [1, 3, 2])",
            "x.predict([1.5])",
        ),
    },
    "statsmodels": {
        "OLS results": (
            "x = sm.OLS(D.b, sm.add_constant(D.a)).fit()",
            "x.params.round(6), x.rsquared.__round__(6)",
            "x.get_robustcov_results()",
        ),
        "OLS model": ("x = sm.OLS(D.b, D[['a']])", "x.fit().params.round(6)"),
        "formula results": ("x = smf.ols('b ~ a + C(k)', D).fit()", "x.params.round(6), x.predict(D[:1]).round(6)"),
        "GLM results": ("x = smf.glm('k ~ a', D, family=sm.families.Binomial()).fit()", "x.params.round(4)"),
        "Logit results": ("x = smf.logit('k ~ a', D).fit(disp=0)", "x.params.round(4)"),
        "ARIMA results": (
            "import warnings; warnings.simplefilter('ignore')\nx = sm.tsa.ARIMA(D.b.to_numpy(), order=(1, 0, 0)).fit()",
            "x.forecast(2).round(2)",
        ),
        "ETS results": (
            "import warnings; warnings.simplefilter('ignore')\nx = sm.tsa.SimpleExpSmoothing(D.b.to_numpy(), initialization_method='estimated').fit(smoothing_level=0.5)",
            "x.forecast(1).round(4)",
        ),
        "summary": ("x = sm.OLS(D.b, D[['a']]).fit().summary2()", "x.tables[1].round(4)"),
        "seasonal_decompose": ("x = sm.tsa.seasonal_decompose(D.b.to_numpy(), period=7)", "x.seasonal[:3].round(4)"),
        "mixed model results": (
            "import warnings; warnings.simplefilter('ignore')\nx = smf.mixedlm('b ~ a', D, groups=D.k).fit()",
            "x.params.iloc[:2].round(3)",
        ),
    },
    "matplotlib": {
        "Figure": (
            "x = plt.figure(figsize=(2, 2)); x.add_subplot().plot([1, 3, 2])",
            "png(x), x.number",
            "x.axes[0].set_title('t')",
        ),
        "Axes": (
            "f, x = plt.subplots(figsize=(2, 2)); x.plot([1, 2])",
            "x.get_xlim(), x.figure is f, x is plt.gca()",
            "x.set_ylim(0, 5); print(png(f))",
        ),
        "array of Axes": (
            "f, x = plt.subplots(2, 2, sharex=True)",
            "x.shape, x[0, 0].get_shared_x_axes().joined(x[0, 0], x[1, 1])",
            "x[0, 0].set_xlim(0, 9); print(x[1, 1].get_xlim())",
        ),
        "3d Axes": (
            "f = plt.figure(figsize=(2, 2)); x = f.add_subplot(projection='3d'); x.plot([1, 2], [1, 2], [1, 2])",
            "png(f), x.elev",
        ),
        "polar Axes": (
            "f = plt.figure(figsize=(2, 2)); x = f.add_subplot(projection='polar'); x.plot([1, 2])",
            "png(f), x.name",
        ),
        "twin Axes": (
            "f, a = plt.subplots(figsize=(2, 2)); x = a.twinx(); x.plot([9, 1])",
            "png(f), x.get_xlim() == a.get_xlim()",
            "a.set_xlim(0, 5); print(x.get_xlim())",
        ),
        "Line2D": (
            "f, a = plt.subplots(figsize=(2, 2)); x, = a.plot([1, 2])",
            "x.get_ydata(), x.axes is a",
            "x.set_color('r'); print(png(f))",
        ),
        "PathCollection": (
            "f, a = plt.subplots(); x = a.scatter([1, 2], [3, 4], c=[1, 2])",
            "x.get_offsets(), x.get_array()",
            "x.set_cmap('gray')",
        ),
        "AxesImage, Colorbar": (
            "f, a = plt.subplots(figsize=(2, 2)); i = a.imshow([[1, 2]]); x = f.colorbar(i)",
            "x.mappable is i, png(f)",
            "i.set_clim(0, 4); print(x.vmax)",
        ),
        "BarContainer": ("f, a = plt.subplots(); x = a.bar([1, 2], [3, 4])", "[b.get_height() for b in x]"),
        "QuadMesh, contour set": (
            "f, a = plt.subplots(); x = [a.pcolormesh(np.eye(3)), a.contour(np.eye(3))]",
            "x[0].get_array().sum(), x[1].levels",
        ),
        "Text, Annotation": (
            "f, a = plt.subplots(); x = [a.text(0, 0, 't'), a.annotate('n', (1, 1))]",
            "x[0].get_text(), x[1].xy",
        ),
        "Legend": (
            "f, a = plt.subplots(); a.plot([1], label='l'); x = a.legend()",
            "[t.get_text() for t in x.get_texts()]",
        ),
        "patches": (
            "x = [mpl.patches.Circle((0, 0), 1), mpl.patches.Rectangle((0, 0), 1, 2)]",
            "x[0].radius, x[1].get_height()",
        ),
        "SubFigure, GridSpec": (
            "f = plt.figure(); x = [f.subfigures(1, 2)[0], mpl.gridspec.GridSpec(2, 2, figure=f)]",
            "x[1].get_geometry(), x[0].figure is f",
        ),
        "subplot_mosaic": ("f, x = plt.subplot_mosaic('AB')", "sorted(x), x['A'].figure is f"),
        "Colormap": ("x = plt.get_cmap('viridis').with_extremes(under='r')", "x(0.5), x.get_under()"),
        "ListedColormap, LinearSegmentedColormap": (
            "x = [mpl.colors.ListedColormap(['r', 'g']), mpl.colors.LinearSegmentedColormap.from_list('m', ['r', 'b'])]",
            "x[0](0), x[1](0.5)",
        ),
        "Normalize, LogNorm": ("x = [mpl.colors.Normalize(0, 2), mpl.colors.LogNorm(1, 100)]", "x[0](1), x[1](10)"),
        "norm of an image": (
            "f, a = plt.subplots(); i = a.imshow([[1, 2]]); x = i.norm",
            "x.vmax, x is i.norm",
            "x.vmax = 9; print(i.get_clim())",
        ),
        "Path": ("x = mpl.path.Path([[0, 0], [1, 1]])", "x"),
        "transforms": (
            "x = mpl.transforms.Affine2D().rotate_deg(90) + mpl.transforms.ScaledTranslation(1, 1, mpl.transforms.IdentityTransform())",
            "x.transform([[1, 0]]).round(6)",
        ),
        "transData": ("f, a = plt.subplots(); x = a.transData", "x.transform([[1, 0]]).round(3)", "a.set_xlim(0, 5)"),
        "locators, formatters": (
            "x = [mpl.ticker.MaxNLocator(3), mpl.ticker.FuncFormatter(lambda v, p: f'{v}!')]",
            "x[0].tick_values(0, 5), x[1](1)",
        ),
        "date locator": ("x = mpl.dates.AutoDateLocator()", "x.minticks"),
        "cycler": ("from cycler import cycler\nx = cycler(color='rg') + cycler(lw=[1, 2])", "x"),
        "FontProperties": ("x = mpl.font_manager.FontProperties(size=7)", "x.get_size()"),
        "RcParams": ("x = mpl.rcParams.copy()", "x['lines.linewidth']", "x['lines.linewidth'] = 9"),
        "rcParams": ("x = mpl.rcParams", "x is mpl.rcParams"),
        "rc_context": ("x = plt.rc_context({'lines.linewidth': 3})", "hasattr(x, '__enter__')"),
        "FuncAnimation": (
            "from matplotlib.animation import FuncAnimation\nf, a = plt.subplots(figsize=(1, 1)); l, = a.plot([1, 2])\nx = FuncAnimation(f, lambda i: l.set_ydata([i, 2]), frames=2)",
            "len(x.to_jshtml()) > 1000",
        ),
        "canvas": ("f = plt.figure(); x = f.canvas", "x.figure is f, x.get_width_height()"),
        "callback of a figure": (
            "f = plt.figure(); got = []\ndef on(e): got.append(1)\nx = f.canvas.mpl_connect('draw_event', on)",
            "f.canvas.draw(), got",
        ),
        "Slider": (
            "from matplotlib.widgets import Slider\nf, a = plt.subplots(); x = Slider(a, 's', 0, 1)",
            "x.val",
            "x.set_val(0.25)",
        ),
        "closed Figure": (
            "x = plt.figure(figsize=(1, 1)); x.text(0, 0, 'a'); plt.close(x)",
            "png(x), plt.fignum_exists(x.number)",
        ),
        "Figure without pyplot": (
            "from matplotlib.figure import Figure\nx = Figure(figsize=(1, 1)); x.subplots().plot([1, 2])",
            "png(x)",
        ),
        "pyplot's current figure": (
            "plt.close('all'); plt.plot([1, 2]); x = 0",
            "plt.get_fignums(), len(plt.gca().lines)",
            "plt.plot([2, 1])",
        ),
        "style library": ("x = mpl.style.library['ggplot']", "x['axes.facecolor']"),
    },
    "seaborn": {
        "FacetGrid": (
            "x = sns.FacetGrid(D, col='k').map(plt.scatter, 'a', 'b')",
            "x.axes.shape, x.col_names",
            "x.set_titles('t')",
        ),
        "PairGrid": ("x = sns.pairplot(D, vars=['a', 'b'], diag_kind='hist')", "x.axes.shape, x.x_vars"),
        "JointGrid": ("x = sns.jointplot(D, x='a', y='b')", "x.ax_joint.get_xlabel()"),
        "ClusterGrid": ("x = sns.clustermap(D[['a', 'b']])", "x.dendrogram_row.reordered_ind"),
        "Axes of histplot": ("x = sns.histplot(D, x='a')", "len(x.patches), x.get_xlabel()", "x.set_title('t')"),
        "objects.Plot": (
            "import seaborn.objects as so\nx = so.Plot(D, 'a', 'b').add(so.Dot())",
            "len(x._layers), x._repr_png_() is not None",
        ),
        "color palette": ("x = sns.color_palette('deep', 3)", "x, x.as_hex()"),
        "cubehelix_palette": ("x = sns.cubehelix_palette(as_cmap=True)", "x(0.5), x.name"),
        "axes_style, plotting_context": (
            "x = [sns.axes_style('dark'), sns.plotting_context('talk')]",
            "x[0]['axes.grid'], x[1]['font.size']",
        ),
    },
    "networkx": {
        "Graph": ("x = nx.path_graph(3)", "list(x.edges), nx.shortest_path(x, 0, 2)", "x.add_edge(2, 3, w=1)"),
        "DiGraph": (
            "x = nx.DiGraph([(1, 2)]); x.graph['k'] = 1; x.nodes[1]['c'] = 'r'",
            "list(x.succ[1]), x.graph, x.nodes(data=True)",
        ),
        "MultiGraph": ("x = nx.MultiGraph([(1, 2), (1, 2)])", "list(x.edges(keys=True))"),
        "MultiDiGraph": ("x = nx.MultiDiGraph([(1, 2)])", "list(x.edges)"),
        "node, edge and degree views": (
            "g = nx.path_graph(3); x = [g.nodes, g.edges, g.degree]",
            "list(x[0]), list(x[1]), dict(x[2])",
            "g.add_edge(2, 7)",
        ),
        "subgraph view": ("g = nx.path_graph(4); x = g.subgraph([0, 1])", "list(x.edges)", "g.remove_edge(0, 1)"),
        "adjacency view": ("g = nx.path_graph(3); x = g.adj", "dict(x[1])", "g.add_edge(1, 7)"),
        "filtered view": ("g = nx.path_graph(4); x = nx.subgraph_view(g, filter_node=lambda n: n != 2)", "list(x)"),
        "subclass of Graph": (
            "class G(nx.Graph):\n    def total(self): return len(self)\nx = G([(1, 2)])",
            "x.total(), type(x.copy()) is G",
        ),
        "layout": ("x = nx.circular_layout(nx.path_graph(2))", "x"),
    },
    "sympy": {
        "Symbol": ("x = sympy.Symbol('x', positive=True)", "x, x.is_positive, x == sympy.Symbol('x', positive=True)"),
        "Dummy": ("x = sympy.Dummy('d'); y = x + 1", "y - x, y.has(x)"),
        "expression": ("x = sympy.sin(a) ** 2 + a * b", "x, x.diff(a), x.free_symbols == {a, b}"),
        "numbers": ("x = [sympy.Rational(1, 3), sympy.pi, sympy.oo, sympy.I, sympy.S.Zero]", "x, x[4] is sympy.S.Zero"),
        "Float": ("x = sympy.Float('0.1', 50)", "x"),
        "Matrix": ("x = sympy.Matrix([[a, 1], [0, b]])", "x.det(), x", "x[0, 0] = 5"),
        "ImmutableMatrix": ("x = sympy.ImmutableMatrix([[a]])", "x"),
        "Eq, And, Piecewise": (
            "x = [sympy.Eq(a, b), sympy.And(a > 0, b > 0), sympy.Piecewise((a, a > 0), (0, True))]",
            "x",
        ),
        "Function": ("x = sympy.Function('f')", "x(a).diff(a), x == sympy.Function('f')"),
        "Integral, Sum, Limit": (
            "x = [sympy.Integral(a, a), sympy.Sum(a, (a, 1, 3)), sympy.Limit(a, a, 0)]",
            "x, x[0].doit()",
        ),
        "Poly": ("x = sympy.Poly(a**2 + 1, a)", "x, x.all_coeffs()"),
        "sets": ("x = [sympy.Interval(0, 1), sympy.FiniteSet(1, 2), sympy.S.Reals]", "x"),
        "ODE solution": ("f = sympy.Function('f'); x = sympy.dsolve(f(t).diff(t) - f(t))", "x"),
        "lambdify": ("x = sympy.lambdify(a, a**2 + sympy.sin(0))", "x(3)"),
        "class derived from Function": (
            "class F(sympy.Function):\n    @classmethod\n    def eval(cls, n):\n        if n.is_Number: return n + 1\nx = F(a)",
            "x, x.subs(a, 2)",
        ),
        "Quantity": (
            "from sympy.physics.units import meter, second, convert_to, kilometer\nx = 5 * kilometer / second",
            "convert_to(x, meter)",
        ),
        "group": (
            "from sympy.combinatorics import PermutationGroup, Permutation\nx = PermutationGroup([Permutation([1, 0, 2])])",
            "x.order()",
        ),
        "domain, ring": ("R, g = sympy.ring('z', sympy.ZZ); x = (g + 1) ** 2", "x, x.ring"),
    },
    "xarray": {
        "DataArray": (
            "x = xr.DataArray(np.eye(2), dims=('p', 'q'), coords={'p': [1, 2]}, attrs={'u': 'm'})",
            "x",
            "x.loc[{'p': 1}] = 5",
        ),
        "Dataset": (
            "x = xr.Dataset({'v': ('t', [1, 2])}, {'t': [10, 20]})",
            "x, x.sel(t=10).v.item()",
            "x['w'] = x.v * 2",
        ),
        "DataTree": (
            "x = xr.DataTree.from_dict({'/': xr.Dataset({'a': 1}), '/c': xr.Dataset({'b': 2})})",
            "x['/c/b'].item(), x.groups",
        ),
        "Variable": ("x = xr.Variable('t', [1, 2])", "x"),
        "coordinates, indexes": (
            "d = xr.DataArray([1, 2], dims='t', coords={'t': pd.date_range('2020', periods=2)}); x = [d.coords, d.indexes]",
            "list(x[0]), x[1]['t']",
        ),
        "GroupBy": (
            "x = xr.DataArray([1, 2, 3], dims='t', coords={'k': ('t', [0, 0, 1])}).groupby('k')",
            "x.sum().values",
        ),
        "Rolling": ("x = xr.DataArray([1.0, 2, 3], dims='t').rolling(t=2)", "x.sum().values"),
        "dataset opened from a file": (
            "xr.Dataset({'v': ('t', [1, 2])}).to_netcdf('x.nc', engine='scipy'); x = xr.open_dataset('x.nc', engine='scipy')",
            "x.v.values",
        ),
    },
    "Pillow": {
        "Image": (
            "x = Image.new('RGB', (2, 1), 'red')",
            "x.tobytes(), x.size, x.mode",
            "x.putpixel((0, 0), (1, 2, 3))",
        ),
        "palette Image": ("x = Image.new('P', (1, 1)); x.putpalette([1, 2, 3] * 2)", "x.getpalette()[:3]"),
        "Image of a file": (
            "Image.new('L', (2, 2), 7).save('i.png'); x = Image.open('i.png')",
            "x.size, x.tobytes(), x.format",
        ),
        "Image of a file, not read yet": (
            "Image.new('L', (2, 2), 7).save('j.png'); x = Image.open('j.png')",
            "x.size, x.filename",
            "x.load(); print(x.tobytes())",
        ),
        "ImageDraw": (
            "from PIL import ImageDraw\ni = Image.new('L', (2, 2)); x = ImageDraw.Draw(i)",
            "i.tobytes()",
            "x.point((0, 0), 9)",
        ),
        "ImageFont": ("from PIL import ImageFont\nx = ImageFont.load_default(8)", "x.getlength('a')"),
        "ImageFilter": ("from PIL import ImageFilter\nx = ImageFilter.GaussianBlur(2)", "x.radius"),
        "Exif": ("x = Image.new('L', (1, 1)).getexif(); x[271] = 'm'", "dict(x)"),
    },
    "pyarrow": {
        "Array": ("x = pa.array([1, None, 3])", "x, x.null_count"),
        "ChunkedArray": ("x = pa.chunked_array([[1], [2]])", "x"),
        "Table": ("x = pa.table({'a': [1, 2], 'b': ['u', None]})", "x, x.schema"),
        "RecordBatch": ("x = pa.record_batch({'a': [1]})", "x"),
        "Schema, Field, DataType": (
            "x = [pa.schema([pa.field('a', pa.list_(pa.int8()), metadata={'k': 'v'})]), pa.timestamp('ns', 'UTC')]",
            "x",
        ),
        "Scalar": ("x = pa.scalar(3)", "x"),
        "dictionary array": ("x = pa.array(['a', 'b', 'a']).dictionary_encode()", "x.indices, x.dictionary"),
        "Buffer": ("x = pa.py_buffer(b'abc')", "x.to_pybytes(), x.size"),
        "compute expression": ("x = (pc.field('a') > 1)", "x, pa.table({'a': [1, 2]}).filter(x)"),
        "Dataset": (
            "import pyarrow.dataset as ds, pyarrow.parquet as pq\npq.write_table(pa.table({'a': [1]}), 'd.parquet'); x = ds.dataset('d.parquet')",
            "x.to_table(), x.files",
        ),
        "ParquetFile": (
            "import pyarrow.parquet as pq\npq.write_table(pa.table({'a': [1]}), 'p.parquet'); x = pq.ParquetFile('p.parquet')",
            "x.read(), x.metadata.num_rows",
        ),
        "RecordBatchReader": (
            "x = pa.RecordBatchReader.from_batches(pa.schema([('a', pa.int64())]), [pa.record_batch({'a': [i]}) for i in range(5)])",
            "x.read_next_batch()",
        ),
        "memory map": ("open('mm', 'wb').write(b'abcdef'); x = pa.memory_map('mm')", "x.read(1), x.size()"),
        "filesystem": ("from pyarrow import fs\nx = fs.LocalFileSystem()", "x.type_name, x.get_file_info('.').type"),
        "extension type": ("x = pa.uuid()", "x"),
        "Tensor": ("import numpy as np\nx = pa.Tensor.from_numpy(np.eye(2))", "x.to_numpy()"),
    },
    "polars": {
        "DataFrame": ("x = pl.DataFrame({'a': [1, 2], 'b': ['u', None]})", "x", "x[0, 'a'] = 9"),
        "Series": ("x = pl.Series('s', [1.5, None])", "x"),
        "LazyFrame": ("x = pl.LazyFrame({'a': [1, 2]}).filter(pl.col('a') > 1)", "x.collect()"),
        "LazyFrame of a file": (
            "pl.DataFrame({'a': [1, 2]}).write_csv('l.csv'); x = pl.scan_csv('l.csv')",
            "x.collect()",
        ),
        "LazyFrame with a function": ("x = pl.LazyFrame({'a': [1, 2]}).map_batches(lambda d: d * 2)", "x.collect()"),
        "Expr": ("x = (pl.col('a') * 2).alias('b')", "pl.DataFrame({'a': [1]}).select(x)"),
        "Schema, dtypes": ("x = [pl.Schema({'a': pl.Int8}), pl.List(pl.Categorical), pl.Datetime('us', 'UTC')]", "x"),
        "Enum, Categorical": (
            "x = [pl.Series(['a', 'b'], dtype=pl.Enum(['b', 'a'])), pl.Series(['a'], dtype=pl.Categorical)]",
            "x",
        ),
        "nested": ("x = pl.DataFrame({'s': [{'k': 1}], 'l': [[1, 2]]})", "x"),
        "object column": ("x = pl.Series('o', [{1}], dtype=pl.Object)", "x[0]"),
        "GroupBy": ("x = pl.DataFrame({'k': [1, 1], 'v': [1, 2]}).group_by('k')", "x.agg(pl.sum('v'))"),
        "SQLContext": ("x = pl.SQLContext(f=pl.DataFrame({'a': [1]}))", "x.execute('select a from f').collect()"),
        "Config": ("x = pl.Config(tbl_rows=3); x.restore_defaults(); y = 1", "type(x).__name__"),
    },
    "plotly": {
        "Figure": (
            "x = go.Figure(go.Scatter(y=[1, 2]), layout={'title': {'text': 't'}})",
            "x.to_dict()['data'], x.layout.title.text",
            "x.add_bar(y=[3])",
        ),
        "Figure of express": ("x = px.line(x=[1, 2], y=[3, 4])", "x.data[0].y, x.layout.xaxis.title.text"),
        "trace": ("x = go.Bar(y=[1])", "x.y"),
        "Layout": ("x = go.Layout(width=30)", "x.width", "x.height = 40"),
        "template": ("import plotly.io as pio\nx = pio.templates['plotly_dark']", "x.layout.paper_bgcolor"),
        "subplots": (
            "from plotly.subplots import make_subplots\nx = make_subplots(rows=2); x.add_scatter(y=[1], row=2, col=1)",
            "x.data[0].yaxis",
            "x.add_scatter(y=[2], row=1, col=1)",
        ),
        "color scale": ("x = px.colors.sequential.Viridis", "x[0]"),
    },
    "altair": {
        "Chart": (
            "x = alt.Chart(pd.DataFrame({'a': [1, 2]})).mark_bar().encode(x='a:Q')",
            "x.to_dict()['encoding']",
            "x.title = 't'",
        ),
        "LayerChart, ConcatChart": (
            "c = alt.Chart(pd.DataFrame({'a': [1]})).mark_point(); x = [c + c, c | c]",
            "len(x[0].layer), len(x[1].hconcat)",
        ),
        "parameter": ("x = alt.param(value=3, name='p')", "x.name, x.param.value"),
        "selection": ("x = alt.selection_interval(name='s')", "x.name"),
        "datum expression": ("x = alt.datum.a > 3", "repr(x)"),
        "channels": ("x = [alt.X('a:Q', bin=True), alt.Color('b:N')]", "[i.to_dict() for i in x]"),
    },
    "torch": {
        "Tensor": ("x = torch.arange(4.0).reshape(2, 2)", "x, x.stride()", "x[0, 0] = 9"),
        "views of one tensor": ("b = torch.arange(4.0); x = b[1:3]", "x, x.storage_offset()", "x[0] = 99; print(b)"),
        "Tensor that requires grad": (
            "x = torch.ones(2, requires_grad=True)",
            "x, x.grad",
            "(x * 3).sum().backward(); x.grad",
        ),
        "Tensor with a graph": (
            "w = torch.ones(2, requires_grad=True); x = (w * 2).sum()",
            "x.item(), x.grad_fn is not None",
        ),
        "Parameter": ("x = nn.Parameter(torch.ones(1))", "x"),
        "numpy array over a tensor": ("t = torch.zeros(3); x = t.numpy()", "x", "x[0] = 5; print(t)"),
        "tensor over a numpy array": (
            "import numpy as np; a = np.zeros(3); x = torch.from_numpy(a)",
            "x",
            "a[0] = 5; print(x)",
        ),
        "dtypes, bfloat16": (
            "x = [torch.ones(1, dtype=torch.bfloat16), torch.float16, torch.device('cpu'), torch.Size([1, 2])]",
            "x",
        ),
        "sparse": ("x = torch.eye(2).to_sparse()", "x.to_dense()"),
        "quantized": ("x = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)", "x.dequantize()"),
        "nested": ("x = torch.nested.nested_tensor([torch.ones(1), torch.ones(2)])", "x.unbind()"),
        "Module": (
            "torch.manual_seed(0)\nclass N(nn.Module):\n    def __init__(self): super().__init__(); self.l = nn.Linear(2, 1)\n    def forward(self, v): return self.l(v).relu()\nx = N()",
            "x(torch.ones(1, 2)), x",
        ),
        "Sequential": (
            "torch.manual_seed(0); x = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))",
            "x.training, x[0].weight",
            "x.eval()",
        ),
        "module with a hook": (
            "got = []; x = nn.Linear(1, 1); h = x.register_forward_hook(lambda m, i, o: got.append(1))",
            "x(torch.ones(1)).shape, got",
            "h.remove()",
        ),
        "Optimizer": (
            "torch.manual_seed(0); m = nn.Linear(1, 1); x = torch.optim.Adam(m.parameters(), 0.1)",
            "x.param_groups[0]['params'][0] is m.weight, m.weight",
            "m(torch.ones(1)).backward(); x.step()",
        ),
        "scheduler": (
            "m = nn.Linear(1, 1); o = torch.optim.SGD(m.parameters(), 1.0); x = torch.optim.lr_scheduler.StepLR(o, 1)",
            "x.get_last_lr(), x.optimizer is o",
            "o.step(); x.step(); print(o.param_groups[0]['lr'])",
        ),
        "Generator": ("x = torch.Generator().manual_seed(3)", "torch.rand(1, generator=x)"),
        "Dataset, DataLoader": (
            "from torch.utils.data import TensorDataset, DataLoader\nx = DataLoader(TensorDataset(torch.arange(4.0)), 2)",
            "list(x)",
        ),
        "iterator of a DataLoader": (
            "from torch.utils.data import DataLoader\nx = iter(DataLoader(range(8)))",
            "next(x)",
        ),
        "state_dict": ("torch.manual_seed(0); x = nn.Linear(1, 1).state_dict()", "x"),
        "script": (
            "import warnings; warnings.simplefilter('ignore')\nx = torch.jit.trace(nn.ReLU(), torch.ones(1))",
            "x(torch.tensor([-1.0]))",
        ),
        "distribution": ("x = torch.distributions.Normal(0.0, 1.0)", "x.log_prob(torch.tensor(0.0))"),
        "autograd Function": (
            "class x(torch.autograd.Function):\n    @staticmethod\n    def forward(c, v): return v * 2\n    @staticmethod\n    def backward(c, g): return g * 5",
            "w = torch.ones(1, requires_grad=True); x.apply(w).backward(); w.grad",
        ),
        "fx graph": ("x = torch.fx.symbolic_trace(nn.ReLU())", "x.code"),
    },
    "SQLAlchemy": {
        "Engine, of a file": (
            "x = sa.create_engine('sqlite:///e.db')\nwith x.begin() as c: c.execute(sa.text('create table if not exists t (a int)'))",
            "x.url, sa.inspect(x).get_table_names()",
        ),
        "Engine, in memory": (
            "x = sa.create_engine('sqlite://')\nwith x.begin() as c: c.execute(sa.text('create table t (a int)'))\ndel c",
            "sa.inspect(x).get_table_names()",
        ),
        "Connection": ("e = sa.create_engine('sqlite://'); x = e.connect()", "x.execute(sa.text('select 1')).scalar()"),
        "MetaData, Table": (
            "x = sa.MetaData(); t = sa.Table('t', x, sa.Column('a', sa.Integer, primary_key=True))",
            "list(x.tables), x.tables['t'] is t, t.c.a",
        ),
        "select": ("t = sa.table('t', sa.column('a')); x = sa.select(t).where(t.c.a > 1)", "str(x)"),
        "text": ("x = sa.text('select :a').bindparams(a=1)", "str(x)"),
        "mapped class": (
            "class B(orm.DeclarativeBase): ...\nclass x(B):\n    __tablename__ = 'u'\n    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)",
            "x.__table__, x(id=3).id",
        ),
        "mapped object": (
            "class B(orm.DeclarativeBase): ...\nclass U(B):\n    __tablename__ = 'u'\n    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)\nx = U(id=3)",
            "x.id, sa.inspect(x).transient",
        ),
        "Session": ("x = orm.Session(sa.create_engine('sqlite://'))", "x.execute(sa.text('select 1')).scalar()"),
        "sessionmaker": (
            "x = orm.sessionmaker(sa.create_engine('sqlite:///e.db'))",
            "x().execute(sa.text('select 1')).scalar()",
        ),
        "Row": (
            "with sa.create_engine('sqlite://').connect() as c: x = c.execute(sa.text('select 1 as a')).one()\ndel c",
            "x, x.a",
        ),
        "URL": ("x = sa.engine.make_url('sqlite:///a.db')", "x"),
    },
    "pydantic": {
        "model": (
            "from typing import Optional\nclass x(pydantic.BaseModel):\n    a: int = pydantic.Field(ge=0)\n    b: Optional[str] = None",
            "x(a=2).model_dump_json(), x.model_validate({'a': '3'}).a, x.model_json_schema()['required']",
        ),
        "instance of models in each other": (
            "class In(pydantic.BaseModel):\n    n: int\nclass Out(In):\n    parts: list[In] = []\nx = Out(n=1, parts=[In(n=2)])",
            "x.model_dump(), type(x.parts[0]) is In, isinstance(x, In)",
            "x.parts.append(In(n=3))",
        ),
        "validators": (
            "class x(pydantic.BaseModel):\n    a: int\n    @pydantic.field_validator('a')\n    @classmethod\n    def even(cls, v):\n        if v % 2: raise ValueError('odd')\n        return v",
            "x(a=2), pydantic.TypeAdapter(list[x]).validate_python([{'a': 4}])",
        ),
        "generic model": (
            "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass Box(pydantic.BaseModel, Generic[T]):\n    v: T\nx = Box[int]",
            "x(v=3), Box[str](v='a'), x.model_json_schema()['title']",
        ),
        "dataclass": (
            "from pydantic.dataclasses import dataclass\n@dataclass\nclass D:\n    a: int\nx = D('3')",
            "x, D(a='4')",
        ),
        "TypeAdapter": ("x = pydantic.TypeAdapter(dict[str, int])", "x.validate_python({'a': '1'})"),
        "ValidationError": (
            "class M(pydantic.BaseModel):\n    a: int\ntry: M(a='z')\nexcept pydantic.ValidationError as error: x = error.errors()",
            "x[0]['type'], x[0]['loc']",
        ),
    },
    "attrs": {
        "class with slots": (
            "@attrs.define\nclass A:\n    n: int = 3\n    many: list = attrs.field(factory=list)\nx = A()",
            "x, attrs.asdict(x), A(5), attrs.evolve(x, n=9)",
            "x.many.append(1)",
        ),
        "frozen class": ("@attrs.frozen\nclass A:\n    n: int\nx = A(4)", "x, x == A(4), {x: 1}[A(4)]"),
        "converters, validators": (
            "@attrs.define\nclass x:\n    n: int = attrs.field(converter=int, validator=attrs.validators.ge(0))",
            "x('3'), [each.name for each in attrs.fields(x)]",
        ),
    },
    "jax": {
        "array": ("x = jnp.arange(3.0)", "x, x.dtype"),
        "key": ("x = jax.random.key(0)", "jax.random.normal(x, (2,))"),
        "compiled function": (
            "@jax.jit\ndef x(v): return v * 2",
            "x(jnp.ones(2)), jax.vmap(x)(jnp.ones((2, 2))), jax.grad(lambda v: x(v).sum())(jnp.ones(2)), x.lower(1.0).compile()(1.0)",
        ),
        "compiled with static arguments": (
            "import functools\n@functools.partial(jax.jit, static_argnames=('n',))\ndef x(v, n): return v * n",
            "x(jnp.ones(2), n=3)",
        ),
        "class registered as a tree": (
            "@jax.tree_util.register_pytree_node_class\nclass P:\n    def __init__(self, a): self.a = a\n    def tree_flatten(self): return (self.a,), None\n    @classmethod\n    def tree_unflatten(cls, aux, parts): return cls(*parts)\nx = P(1.0)",
            "jax.tree_util.tree_map(lambda v: v + 1, x).a",
        ),
        "structure of a tree": ("x = jax.tree_util.tree_structure({'a': 1, 'b': [2]})", "x"),
        "device": ("x = jax.devices()[0]", "x, x is jax.devices()[0]"),
    },
    "spaCy": {
        "Language, Doc": ("nlp = spacy.blank('en'); x = nlp('I like apples')", "x, len(x), nlp('a b')[1].text"),
        "Span, Token, Lexeme": (
            "nlp = spacy.blank('en'); d = nlp('I like apple pie'); x = [d[1:3], d[2], nlp.vocab['apple']]",
            "x[0].text, x[0].start, x[0].doc is d, x[1].i, x[1].doc is d, x[2].text",
        ),
        "entities": (
            "nlp = spacy.blank('en'); r = nlp.add_pipe('entity_ruler'); r.add_patterns([{'label': 'ORG', 'pattern': 'Apple'}]); x = nlp('Apple is').ents",
            "[(e.text, e.label_, e.start) for e in x]",
        ),
        "component of the notebook": (
            "@spacy.language.Language.component('mine')\ndef mine(doc): return doc\nx = spacy.blank('en'); x.add_pipe('mine'); x.add_pipe('sentencizer')",
            "x.pipe_names, [s.text for s in x('One. Two.').sents]",
        ),
    },
    "pint": {
        "quantities of one registry": (
            "u = pint.UnitRegistry(); Q = u.Quantity; x = 3 * u.meter",
            "x + Q(2, 'cm'), isinstance(x, Q), x.to(u.inch)",
        ),
        "unit that was defined": (
            "u = pint.UnitRegistry(); u.define('smoot = 1.7 m'); x = 2 * u.smoot",
            "x.to('m'), x",
        ),
        "unit": ("u = pint.UnitRegistry(); x = u.km / u.hour", "x, (1 * x).to('m/s')"),
    },
    "h5py": {
        "file": (
            "x = h5py.File('a.h5', 'w'); x['one'] = [1, 2, 3]; x.create_group('deep')['two'] = 'text'",
            "sorted(x), x['one'][:], x.mode, x.filename",
            "x['more'] = 1.5",
        ),
        "file for reading": (
            "with h5py.File('r.h5', 'w') as made: made['one'] = 1\nx = h5py.File('r.h5')",
            "x['one'][()], x.mode",
        ),
        "closed file": ("x = h5py.File('b.h5', 'w'); x['one'] = 1; d = x['one']; x.close()", "x, bool(x), d, bool(d)"),
        "group": (
            "f = h5py.File('c.h5', 'w'); x = f.create_group('deep'); x['one'] = 1",
            "x, x.file == f",
            "x['two'] = 2",
        ),
        "dataset": (
            "f = h5py.File('d.h5', 'w'); x = f.create_dataset('one', data=[1.0, 2.0], chunks=True, compression='gzip')",
            "x, x[:], x.compression, x.file == f",
            "x[0] = 7; f.flush()",
        ),
        "dataset that its file closes": (
            "f = h5py.File('e.h5', 'w'); x = f.create_dataset('one', data=1)",
            "x, bool(x)",
            "f.close()",
        ),
        "attributes": (
            "f = h5py.File('f.h5', 'w'); x = f.attrs; x['unit'] = 'm'",
            "dict(x), dict(f.attrs)",
            "x['more'] = 1",
        ),
        "file in memory": ("x = h5py.File('m', 'w', driver='core', backing_store=False); x['one'] = 1", "x['one'][()]"),
        "reference": ("f = h5py.File('g.h5', 'w'); f['one'] = 1; x = f['one'].ref", "f[x].name"),
    },
    "tqdm": {
        "bar in the middle": ("s = io.StringIO(); x = tqdm(total=9, file=s)", "x.n, x.total", "x.update(2)"),
        "bar that has ended": ("s = io.StringIO(); x = tqdm(range(3), file=s); list(x)", "x.n, x.total"),
        "bar on stderr": ("x = tqdm(total=9, disable=True)", "x.n, x.disable", "x.update(2)"),
    },
    "requests": {
        "Session": (
            "x = requests.Session(); x.headers['X'] = '1'; x.cookies.set('c', 'd')",
            "x.headers['X'], x.cookies.get_dict()",
            "x.auth = ('a', 'b')",
        ),
        "Response": (
            "x = requests.Response(); x._content = b'{\"a\": 1}'; x.status_code = 200; x.url = 'http://a/'",
            "x.json(), x.ok, x.url",
        ),
        "PreparedRequest": ("x = requests.Request('GET', 'http://a', params={'b': 1}).prepare()", "x.url, x.method"),
        "HTTPAdapter, Retry": (
            "from urllib3.util import Retry\nx = requests.adapters.HTTPAdapter(max_retries=Retry(3))",
            "x.max_retries.total",
        ),
    },
    "httpx": {
        "Client": (
            "x = httpx.Client(headers={'X': '1'}, base_url='http://a')",
            "x.headers['X'], x.is_closed",
            "x.headers['Y'] = '2'",
        ),
        "AsyncClient": ("x = httpx.AsyncClient()", "x.is_closed"),
        "Response": ("x = httpx.Response(200, json={'a': 1})", "x.json(), x.status_code"),
        "Request, URL, Timeout": (
            "x = [httpx.Request('GET', 'http://a'), httpx.URL('http://a/b'), httpx.Timeout(3)]",
            "x",
        ),
    },
    "beautifulsoup4": {
        "BeautifulSoup": (
            "x = BeautifulSoup('<p class=\"a\">t<b>u</b></p>', 'html.parser')",
            "str(x), x.p['class']",
            "x.p.append('z')",
        ),
        "Tag in its tree": (
            "s = BeautifulSoup('<p>t<b>u</b></p>', 'html.parser'); x = s.b",
            "x.string, x.parent is s.p",
            "x.string = 'new'; print(s)",
        ),
        "ResultSet": ("s = BeautifulSoup('<p>1</p><p>2</p>', 'html.parser'); x = s.find_all('p')", "x, x[1] in s"),
        "NavigableString": ("x = BeautifulSoup('<p>t</p>', 'html.parser').p.string", "x, x.parent.name"),
    },
    "lxml": {
        "Element": ("x = etree.fromstring('<a b=\"1\"><c/>t</a>')", "etree.tostring(x)", "x[0].set('d', '2')"),
        "ElementTree": ("x = etree.ElementTree(etree.fromstring('<a/>'))", "x.getroot().tag"),
        "HTML element": ("x = html.fromstring('<p>a<b>c</b></p>')", "x.text_content()"),
        "XPath": ("x = etree.XPath('//c')", "len(x(etree.fromstring('<a><c/></a>')))"),
        "parser": (
            "x = etree.XMLParser(remove_blank_text=True)",
            "etree.tostring(etree.fromstring('<a> <b/></a>', x))",
        ),
    },
    "ipywidgets": {
        "IntSlider": ("x = w.IntSlider(3, description='s')", "x.value, x.description", "x.value = 5"),
        "widgets in a box": (
            "a = w.Text('t'); x = w.VBox([a])",
            "x.children[0] is a",
            "a.value = 'u'; print(x.children[0].value)",
        ),
        "observed widget": (
            "got = []; x = w.IntText(1); x.observe(lambda c: got.append(c.new), 'value')",
            "got",
            "x.value += 1",
        ),
        "linked widgets": (
            "a, b = w.IntText(1), w.IntText(1); x = w.link((a, 'value'), (b, 'value'))",
            "b.value",
            "a.value = 7",
        ),
        "Button": ("got = []; x = w.Button(); x.on_click(lambda b: got.append(1))", "got", "x.click()"),
        "Output": ("x = w.Output()\nwith x: print('inside')", "len(x.outputs)"),
        "Layout": ("x = w.Layout(width='3px')", "x.width"),
    },
}
