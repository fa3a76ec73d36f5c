"""SQLAlchemy: engines, connections and sessions, which are made again; listeners."""

from __future__ import annotations

from typing import Any

from cellstack_guest.calls import Calls, Maker, arguments_of
from cellstack_guest.reducers import refuse
from cellstack_guest.settings import module

_OF_ENGINE = ("engine", "dialect", "dispatch")
_IN_TRANSACTION = "in a transaction (commit it to have it carried)"


def reduce_engine(engine: Any) -> Any:
    """Return the reduction of an engine: one made in the same way, with the content of a database in memory."""
    made = arguments_of(engine)
    if made is None or type(engine) is not module("sqlalchemy.engine").Engine:
        return refuse(engine)
    state = {"echo": engine.echo, "options": engine.get_execution_options(), "content": _content(engine)}
    return (make_engine, made, state, None, None, set_engine)


def make_engine(arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return a new engine."""
    return module("sqlalchemy").create_engine(*arguments, **options)


def set_engine(engine: Any, state: dict[str, Any]) -> None:
    """Make an engine as it was."""
    engine.echo = state["echo"]
    engine.update_execution_options(**state["options"])
    if state["content"] is not None:
        with engine.connect() as connection:
            connection.connection.driver_connection.deserialize(state["content"])


def _content(engine: Any) -> bytes | None:
    """Return the content of a database in memory that has been connected to, None for others."""
    record = _record(engine.pool) if _is_in_memory(engine) else None
    if record is None:
        return None
    database = record.dbapi_connection
    if database.in_transaction:
        refuse(engine, _IN_TRANSACTION)
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    content: bytes | None = database.serialize() if pages else None  # one without a page cannot be
    return content


def _record(pool: Any) -> Any:
    """Return what has the pool's only connection, without asking for it, which others may listen to; None if none."""
    if "_conn" in vars(pool):
        reference = getattr(pool._conn, "current", None)  # noqa: SLF001
        return None if reference is None else reference()
    return vars(pool).get("connection")


def _is_in_memory(engine: Any) -> bool:
    name = engine.url.database or ":memory:"
    return engine.dialect.name == "sqlite" and (":memory:" in name or "mode=memory" in str(engine.url))


def reduce_connection(connection: Any) -> Any:
    """Return the reduction of a connection: another one of its engine. It must have done nothing that may be undone."""
    if connection.closed:
        state = {name: value for name, value in vars(connection).items() if name not in _OF_ENGINE}
        return (make_closed, (type(connection), connection.engine), state)
    if getattr(connection.connection.driver_connection, "in_transaction", True):
        return refuse(connection, _IN_TRANSACTION)
    return (connect, (connection.engine, connection.in_transaction()))


def make_closed(cls: Any, engine: Any) -> Any:
    """Return a closed connection of an engine, which is asked for none."""
    connection = cls.__new__(cls)
    vars(connection).update(engine=engine, dialect=engine.dialect, dispatch=engine.dispatch)
    return connection


def connect(engine: Any, begun: bool) -> Any:
    """Return a connection. begun: whether it is in a transaction, in which nothing has been done yet."""
    connection = engine.connect()
    if begun:
        connection._autobegin()  # noqa: SLF001
    return connection


def reduce_session(session: Any) -> Any:
    """Return the reduction of a session that has no objects: another one that is bound alike."""
    if session.identity_map or session.new or session.deleted or session.in_nested_transaction():
        return refuse(session, "with objects")
    if session.in_transaction() and any(map(_has_begun, _connections(session))):
        return refuse(session, _IN_TRANSACTION)
    names = ("autoflush", "expire_on_commit", "twophase", "info")
    options = {name: getattr(session, name) for name in names}
    return (type(session), (session.bind,), (options, session.in_transaction()), None, None, set_session)


def set_session(session: Any, state: tuple[dict[str, Any], bool]) -> None:
    """Make a session as it was."""
    options, begun = state
    vars(session).update(options)
    if begun:
        session._autobegin_t()  # noqa: SLF001


def _connections(session: Any) -> list[Any]:
    return [each[0] for each in session.get_transaction()._connections.values()]  # noqa: SLF001


def _has_begun(connection: Any) -> bool:
    return bool(getattr(connection.connection.driver_connection, "in_transaction", True))


def reduce_session_maker(maker: Any) -> Any:
    """Return the reduction of what makes sessions, of a class of its own."""
    return (make_session_maker, (type(maker), maker.class_.__bases__[0], maker.kw))


def make_session_maker(cls: Any, base: Any, options: dict[str, Any]) -> Any:
    """Return what makes sessions."""
    return cls(class_=base, **options)


CALLS = (Calls("listeners", "sqlalchemy.event.api", ("listen", "remove"), also="sqlalchemy.event"),)
MAKERS = (Maker("sqlalchemy", "create_engine"), Maker("sqlalchemy.engine", "create_engine"))
HANDLERS = {
    ("sqlalchemy.engine.base", "Engine"): reduce_engine,
    ("sqlalchemy.engine.base", "Connection"): reduce_connection,
    ("sqlalchemy.orm.session", "Session"): reduce_session,
    ("sqlalchemy.orm.session", "sessionmaker"): reduce_session_maker,
}
