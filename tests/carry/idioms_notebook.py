# ruff: noqa: E501, S  (cells are shown as they are)
"""Idioms of notebooks with the language, its library, numpy, pandas and matplotlib, in one notebook."""

from __future__ import annotations

IDIOMS: dict[str, tuple[str, ...]] = {
    "mod attr": (
        "import math\nmath.mine=5",
        "math.mine",
    ),
    "user module": (
        "open('helper.py','w').write('counter=0\\nreg={}\\nclass C:\\n    n=0\\n')\nimport helper",
        "helper.counter+=1; helper.reg['a']=1; helper.C.n=7",
        "(helper.counter, helper.reg, helper.C.n)",
    ),
    "monkeypatch fn": (
        "import textwrap as J\nJ.shorten=lambda *a,**k:'patched'",
        "J.shorten(1)",
    ),
    "monkeypatch class": (
        "import pandas as pd\npd.DataFrame.hello=lambda self:'hi'",
        "pd.DataFrame({'a':[1]}).hello()",
    ),
    "pandas accessor": (
        "@pd.api.extensions.register_series_accessor('geo')\nclass G:\n    def __init__(s,o): s.o=o\n    def n(s): return len(s.o)",
        "pd.Series([1,2]).geo.n()",
    ),
    "pandas option": (
        "pd.set_option('display.max_rows',4); pd.options.display.precision=2",
        "pd.DataFrame({'x':[i/3 for i in range(10)]})",
    ),
    "numpy seterr": (
        "import numpy as np\nold=np.seterr(all='raise')",
        "np.geterr()",
    ),
    "np random": (
        "np.random.seed(1)",
        "np.random.rand(2)",
        "np.random.rand(2)",
    ),
    "rng": (
        "rng=np.random.default_rng(3)",
        "rng.random(2)",
        "rng.random(2)",
    ),
    "random": (
        "import random\nrandom.seed(2)",
        "random.random()",
        "random.random()",
    ),
    "mpl rc": (
        "import matplotlib as mpl\nmpl.rcParams['lines.linewidth']=3.3",
        "mpl.rcParams['lines.linewidth']",
    ),
    "mpl style": (
        "import matplotlib.pyplot as plt\nplt.style.use('ggplot')",
        "plt.rcParams['axes.facecolor']",
    ),
    "mpl colormap": (
        "from matplotlib.colors import ListedColormap\nmpl.colormaps.register(ListedColormap(['r','g'],name='mine'))",
        "mpl.colormaps['mine'].N",
    ),
    "mpl scale": (
        "import matplotlib.scale as ms\nclass S(ms.LinearScale):\n    name='mys'\nms.register_scale(S)",
        "'mys' in ms.get_scale_names()",
    ),
    "mpl units": (
        "import matplotlib.units as mu\nclass U: pass\nmu.registry[U]=mu.ConversionInterface()",
        "U in mu.registry",
    ),
    "warnings": (
        "import warnings\nwarnings.simplefilter('error', FutureWarning)",
        "warnings.filters[0][:3]",
    ),
    "decimal": (
        "import decimal\ndecimal.getcontext().prec=5",
        "decimal.Decimal(1)/3",
    ),
    "environ": (
        "import os\nos.environ['MINE']='1'",
        "os.environ['MINE'], os.popen('echo $MINE').read()",
    ),
    "syspath": (
        "import sys\nsys.path.append('/nowhere')",
        "'/nowhere' in sys.path",
    ),
    "cwd": (
        "os.makedirs('sub',exist_ok=True); os.chdir('sub')",
        "os.path.basename(os.getcwd())",
        "os.chdir('..')",
    ),
    "recursion": (
        "sys.setrecursionlimit(5000)",
        "sys.getrecursionlimit()",
    ),
    "lru_cache": (
        "import functools\n@functools.lru_cache\ndef f(x): print('called'); return x\nf(1)",
        "f(1)",
        "f.cache_info()",
    ),
    "singledispatch": (
        "@functools.singledispatch\ndef sd(x): return 'any'\n@sd.register\ndef sd_int(x:int): return 'int'",
        "sd(1), sd('a')",
    ),
    "copyreg": (
        "import copyreg\nclass K: pass\ncopyreg.pickle(K, lambda k:(K,()))",
        "K in copyreg.dispatch_table",
    ),
    "abc register": (
        "import collections.abc as cabc\nclass Q: pass\ncabc.Sequence.register(Q)",
        "issubclass(Q, cabc.Sequence)",
    ),
    "contextvar": (
        "import contextvars\nv=contextvars.ContextVar('v',default=0)\nv.set(5)",
        "v.get()",
    ),
    "enum": (
        "import enum\nclass E(enum.Enum):\n    A=1\ne=E.A",
        "e is E.A, E(1) is e",
    ),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass D:\n    a:int=1\nd=D(3)",
        "d==D(3), isinstance(d,D)",
    ),
    "namedtuple": (
        "from collections import namedtuple\nNT=namedtuple('NT','a b'); nt=NT(1,2)",
        "type(nt) is NT, nt",
    ),
    "typing": (
        "from typing import *\nT=TypeVar('T')\nclass Box(Generic[T]):\n    pass\nb=Box[int]()",
        "isinstance(b,Box)",
    ),
    "closure": (
        "def mk():\n    n=0\n    def inc():\n        nonlocal n; n+=1; return n\n    return inc\ninc=mk(); inc()",
        "inc()",
        "inc()",
    ),
    "shared closure": (
        "def mk2():\n    s=[]\n    return (lambda x:s.append(x)), (lambda: s)\nadd,get=mk2()",
        "add(1)",
        "get()",
    ),
    "alias": (
        "a=[1]; b2=a",
        "b2.append(2)",
        "a, a is b2",
    ),
    "iterator": (
        "it=iter([1,2,3]); next(it)",
        "next(it)",
    ),
    "enumerate": (
        "en=enumerate('abc'); next(en)",
        "next(en)",
    ),
    "zip": (
        "zz=zip([1,2],[3,4]); next(zz)",
        "next(zz)",
    ),
    "count": (
        "import itertools\nct=itertools.count(5); next(ct)",
        "next(ct)",
    ),
    "generator": (
        "gen=(i for i in range(3)); next(gen)",
        "next(gen)",
    ),
    "file read": (
        "open('t.txt','w').write('l1\\nl2\\nl3\\n'); fh=open('t.txt'); fh.readline()",
        "fh.readline()",
    ),
    "file append": (
        "fa=open('t2.txt','a'); fa.write('x')",
        "fa.write('y'); fa.flush(); open('t2.txt').read()",
    ),
    "csv writer": (
        "import csv\nfw=open('c.csv','w',newline=''); w=csv.writer(fw); w.writerow([1,2])",
        "w.writerow([3,4]); fw.flush(); open('c.csv').read()",
    ),
    "re": (
        "import re\npt=re.compile('a+'); m=pt.match('aab')",
        "m.group(), pt.findall('aba')",
    ),
    "lock": (
        "import threading\nlk=threading.Lock()",
        "lk.locked()",
    ),
    "tlocal": (
        "tl=threading.local(); tl.x=1",
        "tl.x",
    ),
    "deque": (
        "from collections import deque, OrderedDict, Counter, defaultdict, ChainMap\ndq=deque([1],maxlen=2); dd=defaultdict(list); dd['a'].append(1); cm=ChainMap({'a':1},{'b':2})",
        "dq, dd, cm, dd['z']",
    ),
    "partial": (
        "pp=functools.partial(int,base=2)",
        "pp('101')",
    ),
    "property cls": (
        "class P:\n    @property\n    def v(self): return 4\n    @classmethod\n    def c(cls): return cls\n    @staticmethod\n    def s(): return 1\np=P()",
        "p.v, p.c() is P, P.s()",
    ),
    "metaclass": (
        "class M(type):\n    reg=[]\n    def __new__(m,n,b,d):\n        c=super().__new__(m,n,b,d); M.reg.append(n); return c\nclass A1(metaclass=M): pass",
        "class A2(A1): pass\nM.reg",
    ),
    "subclass lists": (
        "class LL(list):\n    pass\nll=LL([1]); ll.extra=2",
        "ll, ll.extra, type(ll) is LL",
    ),
    "slots": (
        "class SL:\n    __slots__=('a',)\nsl=SL(); sl.a=1",
        "sl.a",
    ),
    "exception": (
        "try:\n    1/0\nexcept Exception as ex: saved=ex",
        "repr(saved), saved.__traceback__ is None",
    ),
    "weakref": (
        "import weakref\nclass W: pass\nww=W(); wr=weakref.ref(ww)",
        "wr() is ww",
    ),
    "module alias": (
        "import numpy.linalg as LA",
        "LA.norm([3,4])",
    ),
    "star import": (
        "from math import *",
        "sin(0)",
    ),
    "coroutine fn": (
        "import asyncio\nasync def co(): return 3",
        "await co()",
    ),
    "bytesio": (
        "import io\nbio=io.BytesIO(b'abc'); bio.read(1); sio=io.StringIO('xyz'); sio.read(1)",
        "bio.read(), sio.read()",
    ),
    "mmap arr": (
        "arr=np.arange(10); vw=arr[2:5]",
        "vw[0]=99",
        "arr",
    ),
    "fortran": (
        "fa2=np.asfortranarray(np.ones((3,4))); ro=np.arange(3); ro.flags.writeable=False",
        "fa2.flags.f_contiguous, ro.flags.writeable",
    ),
    "masked": (
        "mm=np.ma.array([1,2],mask=[0,1]); rec=np.rec.array([(1,'a')],dtype=[('x','i4'),('y','U1')])",
        "mm, rec.x",
    ),
    "pandas cat": (
        "df=pd.DataFrame({'c':pd.Categorical(['a','b'])}); df.attrs['k']=1; g=df.groupby('c',observed=True)",
        "df.dtypes, df.attrs, g.size()",
    ),
    "formatter": (
        "class Sh: pass\nget_ipython().display_formatter.formatters['text/plain'].for_type(Sh, lambda o,p,c: p.text('shown'))",
        "Sh()",
    ),
    "alias magic": (
        "%alias_magic t timeit",
        "'t' in get_ipython().magics_manager.magics['line']",
    ),
    "register magic": (
        "from IPython.core.magic import register_line_magic\n@register_line_magic\ndef mymag(l): return l*2",
        "%mymag ab",
    ),
    "precision": (
        "%precision 2",
        "3.14159",
    ),
    "In Out": (
        "1+1",
        "_+1",
        "Out[len(In)-2]",
    ),
    "builtins": (
        "import builtins\nbuiltins.mine=3",
        "mine",
    ),
    "excepthook": (
        "sys.ps9=1",
        "sys.ps9",
    ),
    "socket timeout": (
        "import socket\nsocket.setdefaulttimeout(3)",
        "socket.getdefaulttimeout()",
    ),
    "locale": (
        "import locale\nlocale.setlocale(locale.LC_ALL,'C')",
        "locale.setlocale(locale.LC_ALL)",
    ),
    "signal": (
        "import signal\nh=signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "signal.getsignal(signal.SIGUSR1)",
    ),
    "gc": (
        "import gc\ngc.disable()",
        "gc.isenabled()",
        "gc.enable()",
    ),
    "class attr shared": (
        "class Base: registry={}\nclass Sub(Base): pass\nBase.registry['a']=1",
        "Sub.registry, Sub.registry is Base.registry",
    ),
    "func attrs": (
        "def fa3(): pass\nfa3.count=1",
        "fa3.count+=1; fa3.count",
    ),
    "recursive": (
        "def fib(n): return n if n<2 else fib(n-1)+fib(n-2)",
        "fib(10)",
    ),
    "global rebind": (
        "gx=1\ndef rg(): return gx",
        "gx=2",
        "rg()",
    ),
    "del": (
        "dx=1",
        "del dx",
        "'dx' in globals()",
    ),
    "lambda default": (
        "fl=[lambda i=i:i for i in range(3)]",
        "[f_() for f_ in fl]",
    ),
    "init counter": (
        "class CT:\n    n=0\n    def __init__(s): CT.n+=1\nCT()",
        "CT(); CT.n",
    ),
    "sqlite": (
        "import sqlite3\ncon=sqlite3.connect('x.db'); con.execute('create table if not exists t(a)')",
        "con.execute('select 1').fetchone()",
    ),
    "patch method": (
        "import fractions\nfractions.Fraction.hey=lambda s:'X'",
        "fractions.Fraction(1).hey()",
    ),
    "numpy printopt": (
        "np.set_printoptions(precision=2,suppress=True)",
        "np.array([1/3])",
    ),
    "user pkg": (
        "os.makedirs('pk',exist_ok=True); open('pk/__init__.py','w').write('state=[]'); open('pk/m.py','w').write('from pk import state\\ndef add(x): state.append(x); return state')\nimport pk.m",
        "pk.m.add(1)",
        "pk.m.add(2), pk.state",
    ),
    "importlib reload": (
        "open('rl.py','w').write('v=1'); import rl",
        "open('rl.py','w').write('v=2345'); import importlib; importlib.reload(rl); rl.v",
        "rl.v",
    ),
}
