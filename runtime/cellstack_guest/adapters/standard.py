"""The standard library: readers and writers of CSV, SQLite databases, thread-local data, decimals, sockets."""

from __future__ import annotations

import decimal
import gc
import importlib
import os
from typing import TYPE_CHECKING, Any

from cellstack_guest.reducers import refuse
from cellstack_guest.settings import Setting, module

if TYPE_CHECKING:
    import sqlite3
    import threading

_DIALECT = (
    *("delimiter", "doublequote", "escapechar", "lineterminator", "quotechar", "quoting"),
    *("skipinitialspace", "strict"),
)
_CONNECTION = ("isolation_level", "autocommit", "row_factory", "text_factory")
_PROBE = "cellstack_probe"


def reduce_local(local: threading.local) -> Any:
    """Return the reduction of thread-local data: that of this thread, the only one that goes on."""
    return (type(local), (), dict(vars(local)))


def reduce_csv_writer(writer: Any) -> Any:
    """Return the reduction of a csv writer: another one on the same file."""
    for write in gc.get_referents(writer):
        if getattr(write, "__name__", None) == "write" and hasattr(write, "__self__"):
            return (make_csv, ("writer", write.__self__, _dialect(writer)))
    return refuse(writer)


def reduce_csv_reader(reader: Any) -> Any:
    """Return the reduction of a csv reader that has not read yet: nothing can tell a new one its line."""
    source = [each for each in gc.get_referents(reader) if hasattr(each, "__next__")]
    return (make_csv, ("reader", *source, _dialect(reader))) if source and not reader.line_num else refuse(reader)


def _dialect(owner: Any) -> dict[str, Any]:
    return {name: getattr(owner.dialect, name) for name in _DIALECT}


def make_csv(kind: str, file: Any, dialect: dict[str, Any]) -> Any:
    """Return a csv reader or writer."""
    return getattr(importlib.import_module("csv"), kind)(file, **dialect)


def reduce_database(connection: sqlite3.Connection) -> Any:
    """Return the reduction of a connection to an SQLite database: to the same file, or to the same content in memory.

    Refused is one with what a new one would not have: a transaction, functions, temporary tables, a second database.
    """
    sqlite3 = importlib.import_module("sqlite3")
    try:
        if connection.in_transaction:
            refuse(connection, "in a transaction (commit it to have it carried)")
        databases = connection.execute("PRAGMA database_list").fetchall()
        temporary, functions = _extras(connection)
        content = None if databases[0][2] else connection.serialize()
    except sqlite3.Error:  # it is closed, or another thread's
        return refuse(connection)
    fresh = sqlite3.connect(":memory:")
    if len(databases) > 1 or (temporary, functions) != _extras(fresh):
        return refuse(connection)
    attributes = {name: getattr(connection, name) for name in _CONNECTION if hasattr(connection, name)}
    path = os.path.abspath(databases[0][2]) if databases[0][2] else ":memory:"
    return (
        open_database,
        (type(connection), path, _detected_types(connection), content),
        attributes,
        None,
        None,
        set_each,
    )


def _extras(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the numbers of temporary tables and of functions."""
    (temporary,) = connection.execute("SELECT count(*) FROM sqlite_temp_master").fetchone()
    (functions,) = connection.execute("SELECT count(*) FROM pragma_function_list").fetchone()
    return temporary, functions


def _detected_types(connection: sqlite3.Connection) -> int:
    """Return what the connection was told to detect, which it does not say: by trying it out."""
    sqlite3 = importlib.import_module("sqlite3")
    named = connection.execute(f'SELECT 1 AS "x [{_PROBE}]"').description[0][0] == "x"
    sqlite3.register_converter(_PROBE, lambda _: _PROBE)
    connection.isolation_level = None  # this process ends soon: nothing more is going to be done on it
    connection.execute(f"CREATE TEMP TABLE {_PROBE} (x {_PROBE})")
    connection.execute(f"INSERT INTO temp.{_PROBE} VALUES (1)")  # noqa: S608 - a constant
    row = connection.execute(f"SELECT x FROM temp.{_PROBE}").fetchone()  # noqa: S608 - a constant
    connection.execute(f"DROP TABLE temp.{_PROBE}")
    types: int = sqlite3.PARSE_COLNAMES * named | sqlite3.PARSE_DECLTYPES * (_PROBE in tuple(row))
    return types


def set_each(obj: Any, attributes: dict[str, Any]) -> None:
    """Set attributes of an object."""
    for name, value in attributes.items():
        setattr(obj, name, value)


def open_database(kind: type[sqlite3.Connection], path: str, types: int, content: bytes | None) -> sqlite3.Connection:
    """Return a connection to a database; FileNotFoundError when the file is gone, which SQLite would make anew."""
    if content is None and not os.path.exists(path):
        raise FileNotFoundError(f"{path} is gone")
    connection = kind(path, detect_types=types)
    if content:
        connection.deserialize(content)
    return connection


def _read_decimal() -> Any:
    context = decimal.getcontext()
    traps = tuple(signal for signal, on in context.traps.items() if on)
    return (context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp, traps)


def _write_decimal(value: Any) -> None:
    prec, rounding, lowest, highest, capitals, clamp, traps = value
    decimal.setcontext(decimal.Context(prec, rounding, lowest, highest, capitals, clamp, [], list(traps)))


SETTINGS = (
    Setting("decimal", "", _read_decimal, _write_decimal),
    Setting(
        "socket timeout",
        "socket",
        lambda: module("socket").getdefaulttimeout(),
        lambda value: module("socket").setdefaulttimeout(value),
    ),
    Setting(
        "csv field size",
        "csv",
        lambda: module("csv").field_size_limit(),
        lambda value: module("csv").field_size_limit(value),
    ),
)
HANDLERS = {
    ("_thread", "_local"): reduce_local,
    ("_csv", "writer"): reduce_csv_writer,
    ("_csv", "reader"): reduce_csv_reader,
    ("sqlite3", "Connection"): reduce_database,
}
