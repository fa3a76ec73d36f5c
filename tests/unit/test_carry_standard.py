"""Objects and settings of the standard library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.carry_cells import Notebook

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def nb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.chdir(tmp_path)
    return Notebook(str(tmp_path / "state"))


def test_cursors_and_rows_of_sqlite(nb: Notebook) -> None:
    nb.run(
        "import sqlite3\nc = sqlite3.connect('a.db'); cursor = c.cursor(); _ = cursor.execute('create table t (a)')\n"
        "_ = cursor.execute('insert into t values (1)'); c.commit()\n"
        "done = c.execute('select a from t'); done.fetchall()\n"
        'c.row_factory = sqlite3.Row; row = c.execute(\'select 1 as "x""y", 2 as b\').fetchone()\n'
        "closed = sqlite3.connect(':memory:'); closed.close(); ended = c.cursor(); ended.close(); del _"
    )
    ran = nb.run(
        "print(cursor.lastrowid, cursor.rowcount, cursor.connection is c, done.description[0][0], c.isolation_level)\n"
        "print(type(row) is sqlite3.Row, row.keys(), row['b'])\n"
        "for use in (closed.execute, ended.execute):\n"
        "    try: use('select 1')\n    except sqlite3.ProgrammingError as e: print(e)"
    )
    assert ran.printed == (
        "1 1 True a \nTrue ['x\"y', 'b'] 2\nCannot operate on a closed database.\nCannot operate on a closed cursor.\n"
    )
    ran = nb.run("pending = c.execute('select a from t')")
    assert ran.not_carried == {"pending": "sqlite3.Cursor with rows that were not fetched"}
    assert nb.show("c.execute('select a from t').fetchone()[0]") == "1"


def test_an_empty_database_in_memory(nb: Notebook) -> None:
    nb.run("import sqlite3\nc = sqlite3.connect(':memory:'); x = c.execute('select 1 union select 2')")
    nb.run("c.execute('create table t (a)'); c.commit()")
    nb.run("c.row_factory = lambda cursor, row: {'n': row[0]}; c.text_factory = bytes")
    assert nb.show("c.execute('select count(*) from t').fetchone()") == "{'n': 0}"
    assert nb.show("c.execute(\"select 'a'\").fetchone()") == "{'n': b'a'}"


def test_readers_of_csv_go_on(nb: Notebook) -> None:
    nb.run(
        "import csv, io\nx = csv.reader(io.StringIO('a,b\\nc,d\\ne,f\\n')); next(x)\n"
        "y = csv.DictReader(io.StringIO('a,b\\nc,d\\ne,f\\n')); next(y)\ndialect = csv.get_dialect('excel-tab')"
    )
    assert nb.show("(next(x), x.line_num, next(y), y.line_num, dialect.delimiter)") == (
        "(['c', 'd'], 2, {'a': 'e', 'b': 'f'}, 3, '\\t')"
    )
    assert nb.show("(next(x), x.line_num)") == "(['e', 'f'], 3)"


def test_a_gzip_file_is_written_and_read_on(nb: Notebook) -> None:
    nb.run("import gzip\nx = gzip.open('g.gz', 'wb'); x.write(b'ab' * 1000)")
    assert nb.run("print(x.tell()); _ = x.write(b'cd' * 500)").printed == "2000\n"
    nb.run("x.write(b'e'); x.close(); y = gzip.open('g.gz'); y.seek(1999)")
    assert nb.show("(y.read(3), y.tell(), x.closed)") == "(b'bcd', 2002, True)"
    assert nb.show("gzip.open('g.gz').read() == b'ab' * 1000 + b'cd' * 500 + b'e'") == "True"


def test_parts_of_json_struct_random_and_argparse(nb: Notebook) -> None:
    nb.run(
        "import argparse, json, os, random, struct, sys\ndecode = json.JSONDecoder(parse_float=str).decode\n"
        "pack = struct.Struct('<hI').pack; system = random.SystemRandom(); version = sys.version_info\n"
        "os.makedirs('folder/sub'); entry = next(os.scandir('folder'))\n"
        "parser = argparse.ArgumentParser(prog='p'); _ = parser.add_argument('--a', default=argparse.SUPPRESS); del _"
    )
    assert nb.show("(decode('1.5'), pack(1, 2), 0 <= system.random() < 1, entry.path, entry.is_dir())") == (
        "('1.5', b'\\x01\\x00\\x02\\x00\\x00\\x00', True, 'folder/sub', True)"
    )
    assert nb.show("(parser.parse_args([]), version is sys.version_info)") == "(Namespace(), True)"


def test_executors_and_queues_at_rest(nb: Notebook) -> None:
    nb.run(
        "import queue, selectors, threading\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "x = ThreadPoolExecutor(2, 'named'); _ = list(x.map(abs, [-1]))\n"
        "ended = ThreadPoolExecutor(1); ended.shutdown()\n"
        "q = queue.SimpleQueue(); q.put([1]); s = selectors.DefaultSelector()"
    )
    ran = nb.run(
        "print(list(x.map(abs, [-1, 2])), x._thread_name_prefix, q.qsize(), q.get(), s.select(0))\n"
        "try: ended.submit(abs, 1)\nexcept RuntimeError as e: print(e)"
    )
    assert ran.printed == "[1, 2] named 1 [1] []\ncannot schedule new futures after shutdown\n"
    ran = nb.run("hold = threading.Event(); _ = x.submit(hold.wait, 60); del _")
    assert "that is at work" in ran.not_carried["x"]


def test_context_variables_with_tokens_and_contexts(nb: Notebook) -> None:
    nb.run(
        "import contextvars\nv = contextvars.ContextVar('v'); token = v.set([1])\n"
        "w = contextvars.ContextVar('w', default=5); c = contextvars.copy_context()"
    )
    assert nb.show("(v.get(), c[v] is v.get(), w.get(), w in contextvars.copy_context())") == "([1], True, 5, False)"
    nb.run("v.reset(token); token = w.set(6)")
    assert nb.show("(v.get(None), w.get())") == "(None, 6)"
    nb.run("w.reset(token)")
    assert nb.show("(v.get(None), w.get(), w in contextvars.copy_context())") == "(None, 5, False)"


def test_values_structures_and_libraries_of_ctypes(nb: Notebook) -> None:
    nb.run(
        "import ctypes\nclass S(ctypes.Structure):\n    _fields_ = [('a', ctypes.c_int), ('b', ctypes.c_char * 3)]\n"
        "    def twice(self): return 2 * self.a\ns = S(4, b'xy'); array = (ctypes.c_double * 2)(1, 2)\n"
        "lib = ctypes.CDLL(None); lib.abs.restype = ctypes.c_long"
    )
    nb.run("s.a = 5; array[0] = 3")
    assert nb.show(
        "(s.twice(), s.b, ctypes.sizeof(S), list(array), lib.abs(-3), lib.abs.restype is ctypes.c_long)"
    ) == ("(10, b'xy', 8, [3.0, 2.0], 3, True)")


def test_text_around_bytes_in_memory(nb: Notebook) -> None:
    nb.run("import io\nb = io.BytesIO(b'abcdef'); x = io.TextIOWrapper(b, 'utf-8'); _ = x.read(1)")
    assert nb.show("(x.read(2), x.buffer is b)") == "('bc', True)"
    assert nb.show("x.read()") == "'def'"


@pytest.mark.parametrize("fresh", [False, True])
def test_settings_of_the_process_and_of_decimal(tmp_path: Path, fresh: bool) -> None:
    nb = Notebook(str(tmp_path), fresh=fresh)
    nb.run(
        "import decimal, faulthandler, multiprocessing, os, resource, threading, time\n"
        "os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "threading.stack_size(262144); faulthandler.enable(); multiprocessing.set_start_method('spawn', force=True)\n"
        "decimal.DefaultContext.prec = 7; _ = decimal.Decimal(1) / 3"
    )
    nb.run("os.environ['OTHER'] = '1'")
    ran = nb.run(
        "print(time.strftime('%H', time.localtime(0)), resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
        "print(threading.stack_size(), faulthandler.is_enabled(), multiprocessing.get_start_method())\n"
        "print(decimal.DefaultContext.prec, decimal.getcontext().prec, decimal.getcontext().flags[decimal.Inexact])"
    )
    assert ran.printed == "09 100\n262144 True spawn\n7 28 True\n"
    assert ran.notices == []


def test_what_stands_in_a_module_by_the_name_of_its_own_type(nb: Notebook) -> None:
    nb.run(
        "import curses, sys\nversion, flags, kind = curses.ncurses_version, sys.flags, type(curses.ncurses_version)\n"
        "with open('settings.py', 'w') as f: _ = f.write('class config:\\n    level = 1\\nconfig = config()\\n')\n"
        "sys.path.insert(0, ''); import settings\nhere = settings.config; other = type(here)(); del _"
    )
    assert nb.show(
        "(version is curses.ncurses_version, flags is sys.flags, kind is type(version), here is settings.config,"
        " other.level, type(other) is type(here))"
    ) == "(True, True, True, True, 1, True)"  # fmt: skip


def test_a_type_of_c_that_no_module_has_is_refused(nb: Notebook) -> None:
    ran = nb.run("import curses\nx = curses.ncurses_version; del curses.ncurses_version")
    assert ran.not_carried == {"x": "curses.ncurses_version holding type"}
