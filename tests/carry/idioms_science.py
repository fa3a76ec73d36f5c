# ruff: noqa: E501, S  (cells are shown as they are)
"""Idioms of what cells change inside libraries: the cells of each show what they show under ipykernel."""

from __future__ import annotations

Idioms = dict[str, dict[str, tuple[str, ...]]]

PYTHON: Idioms = {
    "os, sys, locale, time": {
        "umask": ("import os\nold = os.umask(0o077)", "oct(os.umask(old))"),
        "environment of a subprocess": (
            "import subprocess, os\nos.environ['LANG_X'] = 'ä'",
            "subprocess.run(['sh', '-c', 'echo $LANG_X'], capture_output=True, text=True, check=True).stdout",
        ),
        "variable removed from the environment": (
            "os.environ['GONE'] = '1'",
            "del os.environ['GONE']",
            "'GONE' in os.environ",
        ),
        "putenv by a library": ("os.environ.setdefault('OMP_NUM_THREADS', '1')", "os.environ['OMP_NUM_THREADS']"),
        "time zone": (
            "import time\nos.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
            "time.tzname, time.strftime('%H', time.localtime(0))",
        ),
        "locale of numbers": (
            "import locale\n_ = locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')",
            "locale.setlocale(locale.LC_NUMERIC)",
        ),
        "resource limit": (
            "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))",
            "resource.getrlimit(resource.RLIMIT_NOFILE)[0]",
        ),
        "int digits": ("import sys\nsys.set_int_max_str_digits(9000)", "len(str(10**5000))"),
        "switch interval": ("sys.setswitchinterval(0.02)", "round(sys.getswitchinterval(), 3)"),
        "sys.path_hooks": ("class H: ...\nsys.path_hooks.append(H)", "sys.path_hooks[-1] is H"),
        "sys.meta_path": (
            "class F:\n    @staticmethod\n    def find_spec(name, path=None, target=None):\n        if name == 'synth':\n            import importlib.machinery as m\n            return m.ModuleSpec('synth', L)\nclass L:\n    @staticmethod\n    def create_module(spec): return None\n    @staticmethod\n    def exec_module(mod): mod.v = 4\nsys.meta_path.append(F)",
            "import synth; synth.v",
        ),
        "sys.modules": (
            "import types\nm = types.ModuleType('fake'); m.v = 5; sys.modules['fake'] = m",
            "import fake; fake.v",
        ),
        "sys.modules replaced": (
            "import types\nsys.modules['absent_lib'] = None",
            "try:\n    import absent_lib\nexcept ImportError as e: print(e)",
        ),
        "sys.excepthook": (
            "def hook(*a): ...\nold_hook = sys.excepthook; sys.excepthook = hook",
            "sys.excepthook is hook",
            "sys.excepthook = old_hook",
        ),
        "sys.setrecursionlimit used": (
            "sys.setrecursionlimit(9000)",
            "def deep(n): return n and 1 + deep(n - 1)\ndeep(5000)",
        ),
        "dont_write_bytecode": (
            "sys.dont_write_bytecode = True",
            "sys.dont_write_bytecode",
            "sys.dont_write_bytecode = False",
        ),
        "codec registered": (
            "import codecs\ndef find(n):\n    if n == 'mine': return codecs.CodecInfo(lambda s, e='': (s.upper().encode(), len(s)), lambda b, e='': (bytes(b).decode(), len(b)), name='mine')\ncodecs.register(find)",
            "'ab'.encode('mine')",
        ),
        "error handler registered": ("codecs.register_error('q', lambda e: ('?', e.end))", "'aä'.encode('ascii', 'q')"),
        "atexit": ("import atexit\ndef bye(): ...\n_ = atexit.register(bye)", "atexit.unregister(bye)"),
        "faulthandler": (
            "import faulthandler\nfaulthandler.enable(open('fault.txt', 'w'))",
            "faulthandler.is_enabled()",
        ),
        "alarm handler": (
            "import signal\ndef on_alarm(*a): raise TimeoutError('late')\n_ = signal.signal(signal.SIGALRM, on_alarm)",
            "signal.getsignal(signal.SIGALRM) is on_alarm",
        ),
    },
    "logging, warnings": {
        "level of the root logger": (
            "import logging\nlogging.getLogger().setLevel(logging.INFO)",
            "logging.getLogger().level",
        ),
        "basicConfig": (
            "import sys\nlogging.basicConfig(format='%(levelname)s:%(message)s', stream=sys.stdout, force=True)",
            "logging.info('shown')",
        ),
        "level of a library's logger": (
            "logging.getLogger('lib.sub').setLevel('ERROR')",
            "logging.getLogger('lib.sub').level, logging.getLogger('lib.sub').isEnabledFor(20)",
        ),
        "logger disabled": ("logging.getLogger('noisy').disabled = True", "logging.getLogger('noisy').disabled"),
        "handler of the notebook": (
            "class Keep(logging.Handler):\n    seen = []\n    def emit(self, r): Keep.seen.append(r.getMessage())\nlogging.getLogger('lib').addHandler(Keep())",
            "logging.getLogger('lib').warning('a')\nKeep.seen",
            "len(logging.getLogger('lib').handlers)",
        ),
        "filter": (
            "class Drop(logging.Filter):\n    def filter(self, r): return 'no' not in r.msg\nlogging.getLogger('flt').addFilter(Drop())",
            "logging.getLogger('flt').warning('no'); logging.getLogger('flt').filters",
        ),
        "log to a file": (
            "fh = logging.FileHandler('run.log'); logging.getLogger('filed').addHandler(fh); logging.getLogger('filed').propagate = False\nlogging.getLogger('filed').warning('one')",
            "logging.getLogger('filed').warning('two')",
            "open('run.log').read()",
        ),
        "addLevelName": ("logging.addLevelName(25, 'NOTE')", "logging.getLevelName(25)"),
        "logging.disable": (
            "logging.disable(logging.WARNING)",
            "logging.getLogger('x').isEnabledFor(30)",
            "logging.disable(0)",
        ),
        "setLoggerClass": (
            "class ML(logging.getLoggerClass()): ...\nlogging.setLoggerClass(ML)",
            "type(logging.getLogger('brand.new')) is ML",
            "logging.setLoggerClass(logging.Logger)",
        ),
        "log record factory": (
            "old = logging.getLogRecordFactory()\ndef factory(*a, **k):\n    r = old(*a, **k); r.extra = 1; return r\nlogging.setLogRecordFactory(factory)",
            "logging.getLogger('f').makeRecord('f', 20, '', 1, 'm', (), None).__dict__.get('extra'), logging.getLogRecordFactory() is factory",
            "logging.setLogRecordFactory(old)",
        ),
        "dictConfig": (
            "import logging.config\nlogging.config.dictConfig({'version': 1, 'disable_existing_loggers': False, 'handlers': {'o': {'class': 'logging.StreamHandler', 'stream': 'ext://sys.stdout'}}, 'loggers': {'cfg': {'handlers': ['o'], 'level': 'DEBUG', 'propagate': False}}})",
            "logging.getLogger('cfg').debug('dbg')",
        ),
        "warnings ignored": (
            "import warnings\nwarnings.filterwarnings('ignore', message='quiet')",
            "warnings.warn('quiet please')",
        ),
        "warnings as errors": (
            "warnings.filterwarnings('error', category=RuntimeWarning)",
            "try: warnings.warn('w', RuntimeWarning)\nexcept RuntimeWarning as e: print('raised', e)",
        ),
        "resetwarnings": ("warnings.resetwarnings()", "len(warnings.filters)", "warnings.simplefilter('default')"),
        "showwarning": ("def show(m, *a, **k): print('W:', m)\nwarnings.showwarning = show", "warnings.warn('mine')"),
        "formatwarning": (
            "import importlib; importlib.reload(warnings)\nwarnings.formatwarning = lambda m, *a, **k: f'<{m}>'",
            "warnings.formatwarning('a', UserWarning, 'f', 1)",
        ),
        "captureWarnings": (
            "logging.captureWarnings(True)",
            "logging._warnings_showwarning is not None",
            "logging.captureWarnings(False)",
        ),
    },
    "standard library": {
        "attribute of a function": ("import json; json.dumps.calls = 7", "json.dumps.calls"),
        "decimal context": (
            "import decimal\ndecimal.getcontext().rounding = decimal.ROUND_UP; decimal.getcontext().prec = 3",
            "decimal.Decimal(1) / 3",
        ),
        "decimal trap": ("decimal.getcontext().traps[decimal.DivisionByZero] = False", "decimal.Decimal(1) / 0"),
        "decimal default context": (
            "decimal.DefaultContext.prec = 7",
            "decimal.DefaultContext.prec",
            "decimal.DefaultContext.prec = 28",
        ),
        "random state saved and restored": (
            "import random\nrandom.seed(1); st = random.getstate(); a = random.random()",
            "random.setstate(st); random.random() == a",
        ),
        "csv dialect registered": (
            "import csv\ncsv.register_dialect('mine', delimiter='|')",
            "import io\nnext(csv.reader(['a|b'], 'mine'))",
        ),
        "csv field limit": ("_ = csv.field_size_limit(500)", "csv.field_size_limit()"),
        "mimetypes": ("import mimetypes\nmimetypes.add_type('x/mine', '.mine')", "mimetypes.guess_type('a.mine')"),
        "json default replaced": (
            "import json\njson.JSONEncoder.default = lambda self, o: str(o)",
            "json.dumps({1: {2}})",
        ),
        "pickle reducer": (
            "import copyreg\nclass P: ...\ncopyreg.pickle(P, lambda p: (str, ('P!',)))",
            "import pickle\npickle.loads(pickle.dumps(P()))",
        ),
        "sqlite3 adapter": (
            "import sqlite3\nclass Pt: ...\nsqlite3.register_adapter(Pt, lambda p: 'pt')",
            "sqlite3.connect(':memory:').execute('select ?', (Pt(),)).fetchone()",
        ),
        "sqlite3 converter": (
            "sqlite3.register_converter('flag', lambda b: b == b'1')",
            "c = sqlite3.connect(':memory:', detect_types=sqlite3.PARSE_DECLTYPES); _ = c.execute('create table t (a flag)'); _ = c.execute('insert into t values (1)')\nprint(c.execute('select a from t').fetchone()); c.close(); del c",
        ),
        "url opener": (
            "import urllib.request as ur\nop = ur.build_opener(); op.addheaders = [('X', '1')]; ur.install_opener(op)",
            "ur._opener.addheaders",
        ),
        "url scheme": (
            "from urllib import parse\nparse.uses_netloc.append('mine'); parse.uses_relative.append('mine')",
            "parse.urljoin('mine://a/b', 'c')",
        ),
        "archive format": (
            "import shutil\nshutil.register_archive_format('mine', lambda base, root, **k: 'made', description='d')",
            "('mine', 'd') in shutil.get_archive_formats(), shutil.make_archive('a', 'mine')",
        ),
        "XML namespace": (
            "import xml.etree.ElementTree as ET\nET.register_namespace('my', 'http://my')",
            "ET.tostring(ET.Element('{http://my}a'))",
        ),
        "tempfile.tempdir": (
            "import tempfile, os\nos.makedirs('scratch', exist_ok=True); tempfile.tempdir = os.path.abspath('scratch')",
            "os.path.basename(tempfile.gettempdir())",
            "tempfile.tempdir = None",
        ),
        "file in the folder of temporary files": (
            "f = os.path.join(tempfile.gettempdir(), 'kept.txt'); _ = open(f, 'w').write('k')",
            "open(f).read()",
        ),
        "asyncio policy": (
            "import asyncio\nclass Pol(asyncio.DefaultEventLoopPolicy): ...\nasyncio.set_event_loop_policy(Pol())",
            "type(asyncio.get_event_loop_policy()) is Pol",
            "asyncio.set_event_loop_policy(None)",
        ),
        "abc virtual subclass": (
            "import numbers\nclass Num: ...\n_ = numbers.Number.register(Num)",
            "isinstance(Num(), numbers.Number)",
        ),
        "dispatch table of pprint": (
            "import functools, pprint as pp\nclass PP: ...\ndef prn(self, o, *a): a[0].write('PP!')\npp.PrettyPrinter._dispatch[PP.__repr__] = prn",
            "pp.PrettyPrinter._dispatch[PP.__repr__] is prn",
        ),
        "context variable in a function": (
            "import contextvars\ncv = contextvars.ContextVar('cv'); tok = cv.set([1])",
            "cv.get().append(2)",
            "cv.get()",
        ),
        "patch kept open": (
            "from unittest import mock\nimport os.path as osp\npt = mock.patch('textwrap.fill', lambda *a: 'patched'); _ = pt.start()",
            "import textwrap; textwrap.fill('a')",
        ),
        "class attribute of the library": (
            "import datetime, calendar\ncalendar.TextCalendar.mine = 7",
            "calendar.TextCalendar().mine",
        ),
        "calendar.setfirstweekday": ("calendar.setfirstweekday(6)", "calendar.firstweekday(), calendar.weekheader(2)"),
        "gettext": ("import gettext, builtins\ngettext.textdomain('mine')", "gettext.textdomain()"),
        "input replaced": ("import builtins\nbuiltins.ask = lambda: 'answer'", "ask()"),
        "counter in a namespace": (
            "import itertools, types\nctr = types.SimpleNamespace(ids=itertools.count()); next(ctr.ids)",
            "next(ctr.ids)",
            "next(ctr.ids)",
        ),
        "threading.settrace": (
            "import threading\ndef tr(*a): return None\nthreading.settrace(tr)",
            "threading.gettrace() is tr",
            "threading.settrace(None)",
        ),
        "threading.stack_size": (
            "_ = threading.stack_size(256 * 1024)",
            "threading.stack_size()",
            "_ = threading.stack_size(0)",
        ),
        "start method": (
            "import multiprocessing as mp\nmp.set_start_method('spawn', force=True)",
            "mp.get_start_method()",
            "mp.set_start_method('fork', force=True)",
        ),
        "default socket class": (
            "import socket\nclass NoNet(socket.socket): ...\nreal = socket.socket; socket.socket = NoNet",
            "socket.socket is NoNet",
            "socket.socket = real",
        ),
        "typing.overload": (
            "import typing\n@typing.overload\ndef ov(a: int) -> int: ...\n@typing.overload\ndef ov(a: str) -> str: ...\ndef ov(a): return a",
            "len(typing.get_overloads(ov))",
        ),
        "enum with aliases": (
            "import enum\nclass Col(enum.Enum):\n    R = 1\n    ROT = 1\nCol.__doc__ = 'd'",
            "Col.ROT is Col.R, Col.__doc__, list(Col.__members__)",
        ),
    },
    "modules of one's own": {
        "counter in a module": (
            "open('mo.py', 'w').write('n = 0\\ndef up():\\n    global n; n += 1; return n\\n')\nimport mo\nmo.up()",
            "mo.up()",
            "mo.up()",
        ),
        "from import": ("from mo import up", "up()", "up(), mo.n"),
        "registry by decorator": (
            "open('reg.py', 'w').write('R = {}\\ndef register(f): R[f.__name__] = f; return f\\n')\nimport reg\n@reg.register\ndef mine(): return 'mine'",
            "reg.R['mine']()",
            "reg.R['mine'] is mine",
        ),
        "class registry by __init_subclass__": (
            "open('plug.py', 'w').write('class Base:\\n    subs = {}\\n    def __init_subclass__(cls): Base.subs[cls.__name__] = cls\\n')\nimport plug\nclass Mine(plug.Base): ...",
            "plug.Base.subs['Mine'] is Mine",
            "class Other(plug.Base): ...\nsorted(plug.Base.subs)",
        ),
        "singleton of a module": (
            "open('sing.py', 'w').write('class S:\\n    def __init__(s): s.v = []\\ninstance = S()\\n')\nimport sing\nsing.instance.v.append(1)",
            "sing.instance.v.append(2)",
            "sing.instance.v, type(sing.instance) is sing.S",
        ),
        "instance held twice": ("held = sing.instance", "held is sing.instance", "held.v.append(3); sing.instance.v"),
        "cache in a module": (
            "open('ca.py', 'w').write('import functools\\ncalls = []\\n@functools.cache\\ndef f(a): calls.append(a); return a\\n')\nimport ca\nca.f(1)",
            "ca.f(1)",
            "ca.calls",
        ),
        "private global": (
            "open('pri.py', 'w').write('_client = None\\ndef get():\\n    global _client\\n    if _client is None: _client = {\"made\": 1}\\n    return _client\\n')\nimport pri\npri.get()['k'] = 1",
            "pri.get()",
        ),
        "closure in a module": (
            "open('clo.py', 'w').write('def mk():\\n    n = 0\\n    def inc():\\n        nonlocal n\\n        n += 1\\n        return n\\n    return inc\\ninc = mk()\\n')\nimport clo\nclo.inc()",
            "clo.inc()",
            "clo.inc()",
        ),
        "default argument": (
            "open('dfl.py', 'w').write('def add(a, seen=[]):\\n    seen.append(a)\\n    return seen\\n')\nimport dfl\ndfl.add(1)",
            "dfl.add(2)",
            "dfl.add(3)",
        ),
        "class attribute": (
            "open('cls.py', 'w').write('class C:\\n    total = 0\\n    def hit(self): type(self).total += 1\\n')\nimport cls as cl\ncl.C().hit()",
            "cl.C().hit()",
            "cl.C.total",
        ),
        "edited and imported again": (
            "open('ed.py', 'w').write('v = 1')\nimport ed\ned.v",
            "open('ed.py', 'w').write('v = 22')\nimport importlib; _ = importlib.reload(ed)",
            "ed.v",
        ),
        "autoreload": (
            "%load_ext autoreload\n%autoreload 2\nopen('au.py', 'w').write('def f(): return 1\\n')\nimport au\nau.f()",
            "import time, os\nopen('au.py', 'w').write('def f(): return 22\\n'); os.utime('au.py', (time.time() + 5,) * 2)",
            "au.f()",
            "%autoreload 0",
        ),
        "submodule": (
            "import os\nos.makedirs('pkg', exist_ok=True); open('pkg/__init__.py', 'w').close(); open('pkg/sub.py', 'w').write('state = {}')\nimport pkg.sub\npkg.sub.state['a'] = 1",
            "pkg.sub.state",
            "from pkg import sub\nsub.state is pkg.sub.state",
        ),
        "module run by %run": (
            "open('scr.py', 'w').write('res = 3\\ndef fn(): return res\\n')\n%run scr.py",
            "fn(), res",
        ),
        "connection held by a module": (
            "open('db.py', 'w').write('import sqlite3\\nconn = sqlite3.connect(\"own.db\")\\n')\nimport db\n_ = db.conn.execute('create table t (a)')",
            "db.conn.execute('select count(*) from t').fetchone()",
        ),
        "lock in a module": (
            "open('lk.py', 'w').write('import threading\\nlock = threading.Lock()\\nn = 0\\ndef up():\\n    global n\\n    with lock: n += 1\\n    return n\\n')\nimport lk\nlk.up()",
            "lk.up()",
            "lk.up()",
        ),
        "weak dictionary in a module": (
            "open('wd.py', 'w').write('import weakref\\nW = weakref.WeakValueDictionary()\\nclass T: ...\\n')\nimport wd\ntt = wd.T(); wd.W['t'] = tt",
            "wd.W.get('t') is tt",
        ),
    },
    "IPython": {
        "line magic": (
            "from IPython.core.magic import register_line_magic\n@register_line_magic\ndef twice(l): return l * 2",
            "%twice ab",
            "%twice c",
        ),
        "cell magic": (
            "from IPython.core.magic import register_cell_magic\n@register_cell_magic\ndef up(line, cell): print(cell.upper())",
            "%%up\nabc",
        ),
        "class of magics": (
            "from IPython.core.magic import Magics, magics_class, line_magic\n@magics_class\nclass MM(Magics):\n    @line_magic\n    def third(self, l): return 'third ' + l\nget_ipython().register_magics(MM)",
            "%third x",
        ),
        "extension of one's own": (
            "open('my_ext.py', 'w').write('def load_ipython_extension(ip):\\n    ip.user_ns[\"from_ext\"] = 1\\n    ip.register_magic_function(lambda l: \"ext \" + l, magic_name=\"extm\")\\n')\n%load_ext my_ext",
            "from_ext",
            "%extm a",
        ),
        "alias": ("%alias say echo said %s", "%say a"),
        "macro": ("mac_a = 1", "%macro -q mm 1\n'mm' in globals()"),
        "event": (
            "hits = []\ndef pre(*a): hits.append(1)\nget_ipython().events.register('pre_run_cell', pre)",
            "len(hits)",
            "len(hits)",
            "get_ipython().events.unregister('pre_run_cell', pre)",
        ),
        "input transformer": (
            "def tf(lines): return [l.replace('§', '42') for l in lines]\nget_ipython().input_transformers_cleanup.append(tf)",
            "§ + 1",
            "get_ipython().input_transformers_cleanup.remove(tf)",
        ),
        "AST transformer": (
            "import ast\nclass Neg(ast.NodeTransformer):\n    def visit_Constant(self, n): return ast.copy_location(ast.Constant(value=7), n) if n.value == 777 else n\nneg = Neg(); get_ipython().ast_transformers.append(neg)",
            "777",
            "get_ipython().ast_transformers.clear()",
        ),
        "formatter for a type": (
            "class Sh: ...\nget_ipython().display_formatter.formatters['text/html'].for_type(Sh, lambda o: '<b>')",
            "Sh() is not None, get_ipython().display_formatter.formatters['text/html'](Sh())",
        ),
        "formatter by name": (
            "get_ipython().display_formatter.formatters['text/plain'].for_type_by_name('fractions', 'Fraction', lambda o, p, c: p.text('frac'))",
            "from fractions import Fraction\nFraction(1, 2)",
        ),
        "ast_node_interactivity": (
            "get_ipython().ast_node_interactivity = 'all'",
            "1\n2",
            "get_ipython().ast_node_interactivity = 'last_expr'",
        ),
        "%config": (
            "%config InteractiveShell.ast_node_interactivity = 'last_expr_or_assign'",
            "cfg = 5",
            "%config InteractiveShell.ast_node_interactivity = 'last_expr'",
        ),
        "%precision": ("%precision 3", "1 / 3", "%precision %r"),
        "%pprint off": ("%pprint", "list(range(40))", "%pprint"),
        "%xmode": ("%xmode Minimal", "get_ipython().InteractiveTB.mode", "%xmode Context"),
        "custom exception handler": (
            "def onerr(self, et, ev, tb, tb_offset=None): print('handled', et.__name__); return []\nget_ipython().set_custom_exc((KeyError,), onerr)",
            "{}['k']",
        ),
        "history": ("hist_one = 1", "In[-2]", "len(In) == get_ipython().execution_count"),
        "_ and Out": ("6 * 7", "_ + 1", "__, _ == Out[max(Out)]"),
        "attribute of the shell": ("get_ipython().mine = 3", "get_ipython().mine"),
        "user_ns": ("get_ipython().user_ns['pushed'] = 1; get_ipython().push({'pushed2': 2})", "pushed, pushed2"),
        "hook of %who": ("who_a = 1; who_s = 'x'", "%who str"),
        "display updated later": (
            "from IPython.display import display\nhd = display('first', display_id='d1')",
            "hd.update('second')",
        ),
        "%env": ("%env FROM_MAGIC=1", "import os; os.environ['FROM_MAGIC']"),
        "%cd": (
            "import os; os.makedirs('cdd', exist_ok=True)\n%cd -q cdd",
            "os.path.basename(os.getcwd())",
            "%cd -q ..",
        ),
        "autocall": ("%autocall 1", "get_ipython().autocall", "%autocall 0"),
    },
}

SCIENCE: Idioms = {
    "numpy": {
        "printoptions with a formatter": (
            "np.set_printoptions(formatter={'float': lambda v: f'{v:.1f}!'})",
            "np.array([1.25])",
            "np.set_printoptions(formatter=None)",
        ),
        "printoptions": ("np.set_printoptions(threshold=4, edgeitems=1)", "np.arange(9)"),
        "legacy printing": (
            "np.set_printoptions(legacy='1.25')",
            "np.float64(1.5)",
            "np.set_printoptions(legacy=False)",
        ),
        "seterr": (
            "_ = np.seterr(divide='raise')",
            "try: np.array([1.0]) / 0\nexcept FloatingPointError as e: print(e)",
        ),
        "seterrcall": (
            "def on(kind, flag): print('np', kind)\n_ = np.seterrcall(on); _ = np.seterr(over='call')",
            "np.array([1e308]) * 10",
            "_ = np.seterr(over='warn')",
        ),
        "bufsize": ("_ = np.setbufsize(16 * 1024)", "np.getbufsize()"),
        "np.random continued": ("np.random.seed(5); np.random.normal()", "np.random.normal()", "np.random.normal()"),
        "np.random state restored": (
            "st = np.random.get_state(); v = np.random.rand()",
            "np.random.set_state(st); np.random.rand() == v",
        ),
        "global bit generator replaced": (
            "np.random.set_bit_generator(np.random.PCG64(3))",
            "np.random.get_bit_generator().__class__.__name__, np.random.rand()",
        ),
        "function replaced": (
            "real = np.median; np.median = lambda a: 'median!'",
            "np.median([1])",
            "np.median = real; np.median([3])",
        ),
        "dispatch registered": (
            "H = {}\nclass Arr:\n    def __array_function__(self, f, t, a, k): return H[f]()\nH[np.sum] = lambda: 'sum!'",
            "np.sum(Arr())",
        ),
        "attribute of numpy": ("np.mine_dtype = np.dtype('i4')", "np.mine_dtype"),
    },
    "pandas": {
        "set_option": (
            "pd.set_option('display.max_rows', 4, 'display.precision', 2)",
            "pd.DataFrame({'x': [i / 3 for i in range(10)]})",
        ),
        "options by attribute": (
            "pd.options.display.float_format = '{:.1f}'.format",
            "pd.Series([1.234])",
            "pd.options.display.float_format = None",
        ),
        "reset_option": ("pd.reset_option('display.max_rows')", "pd.get_option('display.max_rows')"),
        "option registered": (
            "from pandas._config import config as pc\npc.register_option('mine.opt', 3, 'doc')",
            "pd.get_option('mine.opt')",
        ),
        "plotting backend": (
            "pd.options.plotting.matplotlib.register_converters = False",
            "pd.options.plotting.matplotlib.register_converters",
        ),
        "accessor of a frame": (
            "@pd.api.extensions.register_dataframe_accessor('acc')\nclass Acc:\n    def __init__(self, o): self.o = o\n    def size(self): return len(self.o)",
            "pd.DataFrame({'a': [1, 2]}).acc.size()",
        ),
        "accessor of an index": (
            "@pd.api.extensions.register_index_accessor('iacc')\nclass IAcc:\n    def __init__(self, o): self.o = o\n    v = 3",
            "pd.Index([1]).iacc.v",
        ),
        "extension dtype": (
            "from pandas.api.extensions import ExtensionDtype, register_extension_dtype\n@register_extension_dtype\nclass MyD(ExtensionDtype):\n    name = 'myd'; type = object\n    @classmethod\n    def construct_array_type(cls): raise NotImplementedError\n    @classmethod\n    def construct_from_string(cls, s):\n        if s == 'myd': return cls()\n        raise TypeError",
            "isinstance(pd.api.types.pandas_dtype('myd'), MyD)",
        ),
        "method added": ("pd.Series.double = lambda s: s * 2", "pd.Series([1]).double()"),
        "method wrapped": (
            "old_head = pd.DataFrame.head\ndef head(self, n=1): return old_head(self, n)\npd.DataFrame.head = head",
            "len(pd.DataFrame({'a': [1, 2]}).head())",
            "pd.DataFrame.head = old_head",
        ),
        "attrs": ("dfa = pd.DataFrame({'a': [1]}); dfa.attrs['src'] = 'x'", "dfa.head().attrs"),
        "styler option": (
            "pd.set_option('styler.format.precision', 1)",
            "'1.2<' in pd.DataFrame({'a': [1.234]}).style.to_html()",
        ),
        "engineering format": (
            "pd.set_option('display.float_format', lambda v: f'<{v}>')",
            "pd.Series([1.5])",
            "pd.reset_option('display.float_format')",
        ),
        "frame changed in place": (
            "dfi = pd.DataFrame({'a': [1, 2]}); al = dfi",
            "dfi.loc[0, 'a'] = 9",
            "al, al is dfi",
        ),
    },
    "matplotlib": {
        "rcParams": (
            "mpl.rcParams['lines.linewidth'] = 3.3",
            "mpl.rcParams['lines.linewidth'], plt.Line2D([0], [0]).get_linewidth()",
        ),
        "rc()": ("mpl.rc('font', size=7)", "mpl.rcParams['font.size']"),
        "rcParams.update": (
            "plt.rcParams.update({'axes.grid': True, 'figure.figsize': (2, 2)})",
            "plt.figure().get_size_inches()",
            "plt.close('all')",
        ),
        "style": ("plt.style.use('ggplot')", "plt.rcParams['axes.facecolor']"),
        "style of one's own": (
            "import matplotlib.style as mst\nmst.library['mine'] = mpl.RcParams({'lines.linewidth': 6.5})",
            "plt.style.use('mine'); mpl.rcParams['lines.linewidth']",
        ),
        "rcdefaults": ("mpl.rcdefaults()", "mpl.rcParams['axes.grid']"),
        "prop_cycle": (
            "from cycler import cycler\nmpl.rcParams['axes.prop_cycle'] = cycler(color=['k', 'r'])",
            "plt.figure().add_subplot().plot([1])[0].get_color()",
            "plt.close('all')",
        ),
        "colormap": (
            "from matplotlib.colors import ListedColormap\nmpl.colormaps.register(ListedColormap(['r', 'g'], name='mine2'))",
            "plt.get_cmap('mine2').N",
        ),
        "colormap as default": ("plt.set_cmap('gray'); plt.close('all')", "mpl.rcParams['image.cmap']"),
        "color name": ("mpl.colors.get_named_colors_mapping()['brand'] = '#123456'", "mpl.colors.to_hex('brand')"),
        "color sequence": ("mpl.color_sequences.register('mine', ['r', 'g'])", "mpl.color_sequences['mine']"),
        "scale": (
            "import matplotlib.scale as msc\nclass Sq(msc.FuncScale):\n    name = 'sq'\n    def __init__(self, axis, **k): super().__init__(axis, (lambda v: v, lambda v: v))\nmsc.register_scale(Sq)",
            "a = plt.figure().add_subplot(); a.set_xscale('sq'); a.get_xscale()",
            "plt.close('all')",
        ),
        "projection": (
            "from matplotlib.projections import register_projection\nfrom matplotlib.axes import Axes\nclass Pr(Axes): name = 'pr'\nregister_projection(Pr)",
            "type(plt.figure().add_subplot(projection='pr')) is Pr",
            "plt.close('all')",
        ),
        "units": (
            "import matplotlib.units as mu\nclass U:\n    def __init__(self, v): self.v = v\nclass Co(mu.ConversionInterface):\n    @staticmethod\n    def convert(v, u, a): return v.v if isinstance(v, U) else [i.v for i in v]\nmu.registry[U] = Co()",
            "a = plt.figure().add_subplot(); a.plot([U(1), U(2)], [1, 2]); a.dataLim.x1",
            "plt.close('all')",
        ),
        "font added": (
            "import matplotlib.font_manager as fm\nfrom dataclasses import replace\nfm.fontManager.ttflist.append(replace(fm.fontManager.ttflist[0], name='Minefont'))",
            "any(f.name == 'Minefont' for f in fm.fontManager.ttflist)",
        ),
        "date epoch": (
            "import matplotlib.dates as md\nmd.set_epoch('2000-01-01')",
            "md.date2num(__import__('datetime').datetime(2000, 1, 2))",
        ),
        "sketch parameters": (
            "mpl.rcParams['path.sketch'] = (1, 100, 2)",
            "mpl.rcParams['path.sketch']",
            "mpl.rcParams['path.sketch'] = None",
        ),
        "interactive": ("plt.ioff()", "plt.isinteractive()", "_ = plt.ion()"),
        "backend": ("mpl.use('svg')", "mpl.get_backend()", "mpl.use('agg')"),
        "figure continued": (
            "fig, ax = plt.subplots(num='kept'); _ = ax.plot([1, 2])",
            "_ = ax.plot([2, 1]); plt.fignum_exists('kept'), plt.gcf() is fig",
            "len(ax.lines), plt.gca() is ax",
            "plt.close('all')",
        ),
        "figure of pyplot alone": (
            "_ = plt.figure(5); _ = plt.plot([1, 2])",
            "_ = plt.plot([3]); len(plt.gca().lines)",
            "plt.get_fignums(); plt.close('all')",
        ),
        "inline figure formats": (
            "from matplotlib_inline.backend_inline import set_matplotlib_formats\nset_matplotlib_formats('svg')",
            "from matplotlib_inline.config import InlineBackend\nsorted(InlineBackend.instance().figure_formats)",
        ),
        "default property of artists": ("mpl.lines.Line2D.mine = 4", "plt.Line2D([0], [0]).mine"),
        "log level": ("plt.set_loglevel('error')", "import logging; logging.getLogger('matplotlib').level"),
    },
    "scipy, scikit-learn, statsmodels": {
        "fft workers": ("import scipy.fft as sf\nsf.set_global_backend('scipy')", "sf.get_workers()"),
        "scipy.special.errstate": ("import scipy.special as ss\n_ = ss.seterr(all='raise')", "ss.geterr()['singular']"),
        "physical constant added": (
            "import scipy.constants as sc\nsc.physical_constants['mine'] = (1.0, 'm', 0.0)",
            "sc.value('mine')",
        ),
        "distribution changed": ("from scipy import stats\nstats.norm.mine = 3", "stats.norm.mine"),
        "distribution seeded": ("stats.norm.random_state = 5; _ = stats.norm.rvs()", "stats.norm.rvs()"),
        "set_config": (
            "import sklearn\nsklearn.set_config(transform_output='pandas', print_changed_only=False)",
            "sklearn.get_config()['transform_output']",
            "from sklearn.preprocessing import StandardScaler\ntype(StandardScaler().fit_transform([[1.0], [2.0]])).__name__",
        ),
        "metadata routing": (
            "sklearn.set_config(enable_metadata_routing=True)",
            "sklearn.get_config()['enable_metadata_routing']",
            "sklearn.set_config(enable_metadata_routing=False)",
        ),
        "estimator patched": (
            "from sklearn.linear_model import LinearRegression\nLinearRegression.r2 = lambda s: 'r2'",
            "LinearRegression().r2()",
        ),
        "random state of RandomState instance": (
            "import numpy as np\nfrom sklearn.model_selection import ShuffleSplit\nrs = np.random.RandomState(0); sp = ShuffleSplit(1, random_state=rs)",
            "next(sp.split(range(4)))[0]",
            "next(sp.split(range(4)))[0]",
        ),
        "sampler by np.random": (
            "from sklearn.utils import shuffle\nnp.random.seed(0)",
            "shuffle([1, 2, 3, 4])",
            "shuffle([1, 2, 3, 4])",
        ),
        "statsmodels formula environment": (
            "import statsmodels.formula.api as smf, pandas as pd\ndef sq(v): return v ** 2\nmod = smf.ols('b ~ sq(a)', pd.DataFrame({'a': [1.0, 2, 3], 'b': [1.0, 4, 9]}))",
            "mod.fit().params.round(4).tolist()",
        ),
        "scipy.io of a file": ("import scipy.io as sio\nsio.savemat('m.mat', {'a': [1]})", "sio.loadmat('m.mat')['a']"),
        "joblib backend": (
            "import joblib\nclass JB(joblib._parallel_backends.SequentialBackend): ...\njoblib.register_parallel_backend('mineb', JB)",
            "'mineb' in joblib.parallel.BACKENDS",
        ),
        "joblib memory": (
            "mem = joblib.Memory('jcache', verbose=0)\n@mem.cache\ndef slow(a): print('ran'); return a\nslow(1)",
            "slow(1)",
        ),
        "joblib pool": (
            "joblib.Parallel(2, 'threading')(joblib.delayed(abs)(i) for i in [-1, -2])",
            "joblib.Parallel(2, 'threading')(joblib.delayed(abs)(i) for i in [-1, -2])",
        ),
    },
    "seaborn": {
        "set_theme": (
            "sns.set_theme(style='dark', font_scale=2)",
            "plt.rcParams['axes.facecolor'], plt.rcParams['font.size']",
        ),
        "set_palette": ("sns.set_palette(['#ff0000', '#00ff00'])", "sns.color_palette().as_hex()"),
        "set_context": ("sns.set_context('poster')", "plt.rcParams['axes.labelsize']"),
        "reset": ("sns.reset_defaults()", "plt.rcParams['axes.labelsize']"),
        "colormap of seaborn": ("sns.cubehelix_palette(as_cmap=True, start=2).name", "'rocket' in plt.colormaps()"),
        "objects theme": (
            "import seaborn.objects as so\nso.Plot.config.theme['axes.facecolor'] = 'r'",
            "so.Plot.config.theme['axes.facecolor']",
        ),
        "objects display": ("so.Plot.config.display['format'] = 'svg'", "so.Plot.config.display['format']"),
        "grid continued": (
            "import pandas as pd\ng = sns.FacetGrid(pd.DataFrame({'a': [1, 2], 'k': ['u', 'v']}), col='k')",
            "_ = g.map(plt.hist, 'a'); len(g.axes[0, 0].patches)",
            "g.axes[0, 0].get_title(), len(g.axes[0, 1].patches)",
            "plt.close('all')",
        ),
    },
    "networkx, sympy, xarray": {
        "networkx config": (
            "import networkx as nx\nnx.config.warnings_to_ignore = {'cache'}",
            "nx.config.warnings_to_ignore",
        ),
        "graph class patched": ("nx.Graph.count = lambda g: len(g)", "nx.path_graph(3).count()"),
        "seeded graph": ("import random\nrandom.seed(4)", "sorted(nx.gnp_random_graph(5, 0.5).edges)"),
        "init_printing": (
            "import sympy\nsympy.init_printing(use_unicode=False, use_latex=False)",
            "sympy.Integral(sympy.Symbol('v'))",
            "sympy.init_printing(pretty_print=False)",
        ),
        "assumption": (
            "from sympy.assumptions import global_assumptions, Q\nsy = sympy.Symbol('sy'); global_assumptions.add(Q.positive(sy))",
            "sympy.ask(Q.positive(sy))",
        ),
        "evaluate off": (
            "from sympy.core.parameters import global_parameters\nglobal_parameters.evaluate = False",
            "sympy.Symbol('v') + sympy.Symbol('v')",
            "global_parameters.evaluate = True",
        ),
        "sympy's seed": ("from sympy.core.random import seed, random\nseed(3)", "random()", "random()"),
        "printer method": (
            "from sympy.printing.str import StrPrinter\nold_printer = StrPrinter._print_Symbol; StrPrinter._print_Symbol = lambda s, e: e.name.upper()",
            "str(sympy.Symbol('v') + 1)",
            "StrPrinter._print_Symbol = old_printer",
        ),
        "symbols by var": ("sympy.var('zz')", "zz + 1"),
        "_sympify registered": (
            "from sympy.core.sympify import converter\nclass Cv: ...\nconverter[Cv] = lambda c: sympy.Integer(9)",
            "sympy.sympify(Cv())",
        ),
        "unit system": (
            "from sympy.physics.units import Quantity, meter\nq = Quantity('q'); q.set_global_relative_scale_factor(3, meter)",
            "from sympy.physics.units import convert_to\nconvert_to(q, meter)",
        ),
        "xr.set_options": (
            "import xarray as xr\nxr.set_options(display_width=40, keep_attrs=True)",
            "xr.get_options()['display_width'], (xr.DataArray([1], attrs={'u': 1}) + 1).attrs",
        ),
        "xarray accessor": (
            "@xr.register_dataarray_accessor('mineacc')\nclass XA:\n    def __init__(self, o): self.o = o\n    def total(self): return int(self.o.sum())",
            "xr.DataArray([1, 2]).mineacc.total()",
        ),
        "dataset accessor with a state": (
            "@xr.register_dataset_accessor('st')\nclass XS:\n    def __init__(self, o): self.n = 0\nds = xr.Dataset(); ds.st.n = 3",
            "ds.st.n",
        ),
    },
    "pyarrow, polars": {
        "cpu_count": ("import pyarrow as pa\npa.set_cpu_count(1)", "pa.cpu_count()"),
        "extension type registered": (
            "class MyT(pa.ExtensionType):\n    def __init__(self): super().__init__(pa.int64(), 'my.t')\n    def __arrow_ext_serialize__(self): return b''\n    @classmethod\n    def __arrow_ext_deserialize__(cls, s, m): return cls()\npa.register_extension_type(MyT())",
            "b = pa.record_batch({'a': pa.ExtensionArray.from_storage(MyT(), pa.array([1]))}).serialize; s = pa.schema([('a', MyT())]).serialize()\nisinstance(pa.ipc.read_schema(s).field('a').type, MyT)",
        ),
        "memory pool": ("pa.set_memory_pool(pa.system_memory_pool())", "pa.default_memory_pool().backend_name"),
        "udf": (
            "import pyarrow.compute as pc\n_ = pc.register_scalar_function(lambda ctx, a: pc.add(a, 1), 'plus1', {'summary': 's', 'description': 'd'}, {'a': pa.int64()}, pa.int64())",
            "pc.call_function('plus1', [pa.array([1])])",
        ),
        "Config": ("import polars as pl\n_ = pl.Config.set_tbl_rows(2)", "pl.DataFrame({'a': list(range(9))})"),
        "Config formatting": (
            "_ = pl.Config.set_fmt_str_lengths(5); _ = pl.Config.set_tbl_hide_dtype_separator(True); _ = pl.Config.set_float_precision(1)",
            "pl.DataFrame({'a': ['abcdefghijk'], 'b': [1.234]})",
        ),
        "namespace of expressions": (
            "@pl.api.register_expr_namespace('gr')\nclass Gr:\n    def __init__(self, e): self.e = e\n    def twice(self): return self.e * 2",
            "pl.DataFrame({'a': [1]}).select(pl.col('a').gr.twice())",
        ),
        "namespace of frames": (
            "@pl.api.register_dataframe_namespace('fr')\nclass Fr:\n    def __init__(self, d): self.d = d\n    def n(self): return len(self.d)",
            "pl.DataFrame({'a': [1]}).fr.n()",
        ),
        "random seed": ("pl.set_random_seed(3)", "pl.Series(range(9)).shuffle().to_list()"),
        "enable_string_cache": ("pl.enable_string_cache()", "pl.using_string_cache()"),
    },
    "plotly, altair": {
        "default template": (
            "import plotly.io as pio\npio.templates.default = 'plotly_dark'",
            "pio.templates.default",
            "import plotly.graph_objects as go\ngo.Figure().layout.template.layout.paper_bgcolor",
        ),
        "template of one's own": (
            "pio.templates['mine'] = go.layout.Template(layout={'font': {'size': 33}})",
            "pio.templates['mine'].layout.font.size",
        ),
        "renderer": ("pio.renderers.default = 'json'", "pio.renderers.default"),
        "renderer of one's own": (
            "class Rd(pio.base_renderers.MimetypeRenderer):\n    def to_mimebundle(self, f): return {'text/plain': 'fig!'}\npio.renderers['rd'] = Rd(); pio.renderers.default = 'rd'",
            "go.Figure()",
        ),
        "express defaults": (
            "import plotly.express as px\npx.defaults.width = 333; px.defaults.color_discrete_sequence = ['red']",
            "px.line(x=[1], y=[2]).layout.width",
        ),
        "altair theme": (
            "import altair as alt\n@alt.theme.register('mineth', enable=True)\ndef th(): return alt.theme.ThemeConfig({'config': {'view': {'width': 77}}})",
            "alt.theme.active, alt.Chart('d.csv').mark_bar().to_dict()['config']['view']",
        ),
        "altair renderer": ("alt.renderers.enable('json')", "alt.renderers.active"),
        "altair data transformer": (
            "alt.data_transformers.enable('default', max_rows=7)",
            "alt.data_transformers.options",
        ),
        "altair max rows off": ("alt.data_transformers.disable_max_rows()", "alt.data_transformers.options"),
        "parameter names": ("n1 = alt.param(value=1).name", "n2 = alt.param(value=1).name; n1 != n2"),
    },
    "torch": {
        "manual_seed": ("import torch\ntorch.manual_seed(3); torch.rand(1)", "torch.rand(1)", "torch.rand(1)"),
        "default dtype": (
            "torch.set_default_dtype(torch.float64)",
            "torch.tensor([1.5]).dtype",
            "torch.set_default_dtype(torch.float32)",
        ),
        "default device": (
            "torch.set_default_device('meta')",
            "torch.ones(1).device",
            "torch.set_default_device(None)",
        ),
        "grad mode": ("torch.set_grad_enabled(False)", "torch.is_grad_enabled()", "_ = torch.set_grad_enabled(True)"),
        "threads": ("torch.set_num_threads(1)", "torch.get_num_threads()"),
        "deterministic algorithms": (
            "torch.use_deterministic_algorithms(True)",
            "torch.are_deterministic_algorithms_enabled()",
            "torch.use_deterministic_algorithms(False)",
        ),
        "printoptions": (
            "torch.set_printoptions(precision=1)",
            "torch.tensor([1.234])",
            "torch.set_printoptions(profile='default')",
        ),
        "matmul precision": ("torch.set_float32_matmul_precision('high')", "torch.get_float32_matmul_precision()"),
        "anomaly detection": (
            "torch.autograd.set_detect_anomaly(True)",
            "torch.is_anomaly_enabled()",
            "_ = torch.autograd.set_detect_anomaly(False)",
        ),
        "training loop over cells": (
            "import torch.nn as nn\ntorch.manual_seed(0); net = nn.Linear(1, 1); opt = torch.optim.Adam(net.parameters(), 0.1)\ndef step():\n    opt.zero_grad(); loss = (net(torch.ones(4, 1)) - 3).pow(2).mean(); loss.backward(); opt.step(); return round(loss.item(), 5)\nstep()",
            "step()",
            "step()",
            "round(net.weight.item(), 5)",
        ),
        "backward in the next cell": (
            "loss = (net(torch.ones(1, 1)) - 3).pow(2).mean()",
            "loss.backward(); net.weight.grad is not None",
        ),
        "gradients kept": ("wg = torch.ones(2, requires_grad=True); (wg * 2).sum().backward()", "wg.grad"),
        "weights shared": (
            "tied = nn.Linear(1, 1); tied2 = nn.Linear(1, 1); tied2.weight = tied.weight",
            "tied2.weight is tied.weight",
            "_ = nn.init.constant_(tied.weight, 5); tied2.weight.item()",
        ),
        "global hook": (
            "seen = []\nhk = nn.modules.module.register_module_forward_hook(lambda m, i, o: seen.append(1))",
            "_ = net(torch.ones(1, 1)); len(seen) > 0",
            "hk.remove()",
        ),
        "library registered": (
            "@torch.library.custom_op('mine::plus', mutates_args=())\ndef plus(a: torch.Tensor) -> torch.Tensor: return a + 1",
            "torch.ops.mine.plus(torch.zeros(1))",
        ),
        "data loader of the notebook": (
            "from torch.utils.data import Dataset, DataLoader\nclass Ds(Dataset):\n    def __len__(self): return 4\n    def __getitem__(self, i): return i\ndl = DataLoader(Ds(), 2, shuffle=True, generator=torch.Generator().manual_seed(0))",
            "[b.tolist() for b in dl]",
            "[b.tolist() for b in dl]",
        ),
    },
    "SQLAlchemy, tqdm, requests, Pillow": {
        "mapped classes": (
            "import sqlalchemy as sa\nfrom sqlalchemy import orm\nclass Base(orm.DeclarativeBase): ...\nclass User(Base):\n    __tablename__ = 'user'\n    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)\n    name: orm.Mapped[str]",
            "eng = sa.create_engine('sqlite:///orm.db'); Base.metadata.create_all(eng)\nwith orm.Session(eng) as s: s.add(User(id=1, name='n')); s.commit()",
            "with orm.Session(eng) as s: print(s.get(User, 1).name)",
        ),
        "engine used in later cells": (
            "eng2 = sa.create_engine('sqlite:///two.db')\nwith eng2.begin() as cn: _ = cn.execute(sa.text('create table if not exists t (a int)'))\ndel cn",
            "with eng2.connect() as cn: print(cn.execute(sa.text('select count(*) from t')).scalar())\ndel cn",
        ),
        "pandas through an engine": (
            "import pandas as pd\n_ = pd.DataFrame({'a': [1, 2]}).to_sql('f', eng2, index=False, if_exists='replace')",
            "pd.read_sql('select * from f', eng2)",
        ),
        "event listener": (
            "got = []\n@sa.event.listens_for(sa.engine.Engine, 'begin')\ndef on_begin(c): got.append(1)",
            "with sa.create_engine('sqlite://').begin() as cn: pass\ndel cn\ngot",
        ),
        "custom type": (
            "class Up(sa.types.TypeDecorator):\n    impl = sa.String; cache_ok = True\n    def process_result_value(self, v, d): return v.upper()\nup = Up()",
            "with sa.create_engine('sqlite://').connect() as cn: print(cn.execute(sa.select(sa.literal('a', up))).scalar())\ndel cn",
        ),
        "tqdm.pandas": (
            "from tqdm import tqdm\nimport pandas as pd, io\ntqdm.pandas(file=io.StringIO())",
            "pd.Series([1, 2]).progress_apply(lambda v: v * 2)",
        ),
        "tqdm default changed": ("tqdm.monitor_interval = 0", "tqdm.monitor_interval"),
        "session's headers": (
            "import requests\nses = requests.Session(); ses.headers['A'] = '1'",
            "ses.headers['B'] = '2'",
            "ses.headers['A'], ses.headers['B']",
        ),
        "adapter mounted": (
            "class Fake(requests.adapters.BaseAdapter):\n    def send(self, r, **k):\n        o = requests.Response(); o.status_code = 299; o.url = r.url; o.request = r; return o\n    def close(self): ...\nses.mount('mine://', Fake())",
            "ses.get('mine://a').status_code",
        ),
        "default headers patched": (
            "requests.utils.default_user_agent = lambda *a: 'me'",
            "requests.utils.default_user_agent()",
        ),
        "urllib3 warnings": (
            "import urllib3\nurllib3.disable_warnings()",
            "import warnings; any(f[2] is urllib3.exceptions.HTTPWarning for f in warnings.filters)",
        ),
        "Pillow's limit": ("from PIL import Image\nImage.MAX_IMAGE_PIXELS = 10", "Image.MAX_IMAGE_PIXELS"),
        "Pillow's truncated images": (
            "from PIL import ImageFile\nImageFile.LOAD_TRUNCATED_IMAGES = True",
            "ImageFile.LOAD_TRUNCATED_IMAGES",
        ),
        "Pillow format registered": ("Image.register_extension('MINE', '.mine')", "Image.EXTENSION['.mine']"),
        "lxml namespace": (
            "from lxml import etree\netree.register_namespace('my', 'http://my')",
            "etree.tostring(etree.Element('{http://my}a'))",
        ),
        "lxml default parser": (
            "etree.set_default_parser(etree.XMLParser(remove_blank_text=True))",
            "etree.tostring(etree.fromstring('<a> <b/> </a>'))",
        ),
        "lxml function": (
            "ns = etree.FunctionNamespace(None); ns['hello'] = lambda c: 'hi'",
            "etree.fromstring('<a/>').xpath('hello()')",
        ),
    },
}
FIRST = {
    "numpy": "import numpy as np",
    "pandas": "import pandas as pd, numpy as np",
    "matplotlib": "%matplotlib agg\nimport matplotlib as mpl, matplotlib.pyplot as plt",
    "seaborn": "%matplotlib agg\nimport seaborn as sns, matplotlib.pyplot as plt",
}
MODULES = {
    "scipy, scikit-learn, statsmodels": ("scipy", "sklearn", "statsmodels"),
    "networkx, sympy, xarray": ("networkx", "sympy", "xarray"),
    "pyarrow, polars": ("pyarrow", "polars"),
    "plotly, altair": ("plotly", "altair"),
    "SQLAlchemy, tqdm, requests, Pillow": ("sqlalchemy", "tqdm", "requests", "lxml"),
}
