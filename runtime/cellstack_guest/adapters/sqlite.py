"""SQLite: connections to files and to databases in memory, cursors, rows."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from cellstack_guest.members import set_member
from cellstack_guest.reducers import refuse

if TYPE_CHECKING:
    import sqlite3

_CONNECTION = ("isolation_level", "autocommit", "row_factory", "text_factory")
_PROBE = "cellstack_probe"
_MEMBERS = ("description", "lastrowid", "rowcount")  # of a cursor, after a statement


def reduce_database(connection: sqlite3.Connection) -> Any:
    """Return the reduction of a connection to an SQLite database: to the same file, or to the same content in memory.

    Refused is one with what a new one would not have: a transaction, functions, temporary tables, a second database.
    """
    sqlite3 = importlib.import_module("sqlite3")
    try:
        _ = connection.total_changes
    except sqlite3.ProgrammingError as error:
        return (closed_database, (type(connection),)) if "closed" in str(error) else refuse(connection)
    if connection.in_transaction:
        return refuse(connection, "in a transaction (commit it to have it carried)")
    attributes = {name: getattr(connection, name) for name in _CONNECTION if hasattr(connection, name)}
    # As it is anew: what is asked here is for no code of the person's, and begins no transaction.
    set_each(connection, {"isolation_level": None, "row_factory": None, "text_factory": str})
    try:
        ((_, _, file), *others) = connection.execute("PRAGMA database_list").fetchall()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        if any(name != "temp" for _, name, _ in others):
            return refuse(connection, "with a second database attached")
        if _extras(connection) != _extras(sqlite3.connect(":memory:")):
            return refuse(connection, "with temporary tables, or functions as of create_function")
        content = None
        if not os.path.isabs(file):  # "", or "x" of one that was deserialized
            content = connection.serialize() if pages else b""  # SQLite refuses to when there is nothing
        arguments = (
            type(connection),
            file if content is None else ":memory:",
            _detected_types(connection),
            content,
        )
    except sqlite3.Error:
        return refuse(connection)
    finally:
        set_each(connection, attributes)
    return (open_database, arguments, attributes, None, None, set_each)


def _extras(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the numbers of temporary tables and of functions."""
    (temporary,) = connection.execute("SELECT count(*) FROM sqlite_temp_master WHERE name != ?", (_PROBE,)).fetchone()
    (functions,) = connection.execute("SELECT count(*) FROM pragma_function_list").fetchone()
    return temporary, functions


def _detected_types(connection: sqlite3.Connection) -> int:
    """Return what the connection was told to detect, which it does not say: by trying it out."""
    sqlite3 = importlib.import_module("sqlite3")
    named = connection.execute(f'SELECT 1 AS "x [{_PROBE}]"').description[0][0] == "x"
    sqlite3.register_converter(_PROBE, lambda _: _PROBE)
    connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {_PROBE} (x {_PROBE})")
    connection.execute(f"INSERT INTO temp.{_PROBE} VALUES (1)")  # noqa: S608 - a constant
    row = connection.execute(f"SELECT x FROM temp.{_PROBE}").fetchone()  # noqa: S608 - a constant
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


def closed_database(kind: type[sqlite3.Connection]) -> sqlite3.Connection:
    """Return a connection that is closed."""
    connection = kind(":memory:")
    connection.close()
    return connection


def reduce_cursor(cursor: sqlite3.Cursor) -> Any:
    """Return the reduction of a cursor whose rows have all been fetched."""
    closed, row = False, None
    try:
        row = cursor.fetchone()
    except importlib.import_module("sqlite3").ProgrammingError as error:
        closed = "closed cursor" in str(error)
        if "closed" not in str(error):  # it is another thread's
            return refuse(cursor)
    if row is not None:
        return refuse(cursor, "with rows that were not fetched")  # nobody comes to miss this one
    members = {name: getattr(cursor, name) for name in _MEMBERS}
    options = {"arraysize": cursor.arraysize, "row_factory": cursor.row_factory}
    return (make_cursor, (type(cursor), cursor.connection, closed), (options, members), None, None, set_cursor)


def make_cursor(kind: type[sqlite3.Cursor], connection: sqlite3.Connection, closed: bool) -> sqlite3.Cursor:
    """Return a cursor."""
    cursor = kind(connection)
    if closed:
        cursor.close()
    return cursor


def set_cursor(cursor: sqlite3.Cursor, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Give a cursor its options, and what its last statement has left."""
    options, members = state
    set_each(cursor, options)
    for name, value in members.items():
        set_member(cursor, name, value)


def reduce_row(row: sqlite3.Row) -> Any:
    """Return the reduction of a row."""
    return (make_row, (type(row), row.keys(), tuple(row)))


def make_row(kind: type[sqlite3.Row], names: list[str], values: tuple[Any, ...]) -> sqlite3.Row:
    """Return a row. It takes its names from a cursor, so that there has to be one with these."""
    columns = ", ".join('NULL AS "{}"'.format(name.replace('"', '""')) for name in names)
    connection = importlib.import_module("sqlite3").connect(":memory:")
    row = kind(connection.execute(f"SELECT {columns}"), values)
    connection.close()
    return row


HANDLERS = {
    ("sqlite3", "Connection"): reduce_database,
    ("sqlite3", "Cursor"): reduce_cursor,
    ("sqlite3", "Row"): reduce_row,
}
