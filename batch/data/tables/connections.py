"""How a database is connected to, by SQLAlchemy and by ADBC; nothing here reads a table."""

import sqlite3
from importlib import import_module
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL

from batch.data.tables.location import SourceAway, SourceError, explain, reason, remedy_of, show, sqlite_file
from batch.data.tables.stall import with_waits

NO_TIMEOUT = "SET LOCAL statement_timeout = 0"  # the server's own would end the read of a large table


def read_engine(url: URL) -> sa.Engine:
    """Return an engine that can only read, unconnected.

    Raises:
        SourceError: No file, or no driver for this kind of database.
    """
    backend = url.get_backend_name()
    if backend == "sqlite":
        uri = read_only_uri(url)
        return sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True))
    try:
        options: dict[str, Any] = {}
        if backend == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        engine = sa.create_engine(with_waits(url), execution_options=options)
    except (sa.exc.NoSuchModuleError, ImportError) as exc:
        raise SourceError(
            f"no driver for {show(url)}: install one that SQLAlchemy knows, "
            "or use postgresql:// or sqlite:///"
        ) from exc
    if backend == "postgresql":
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(NO_TIMEOUT))
    return engine


def adbc_driver(backend: str) -> Any:
    """Return the ADBC driver's module.

    Raises:
        ImportError: There is none for this kind of database, or it is not installed.
    """
    if backend not in ("sqlite", "postgresql"):
        raise ImportError(f"no ADBC driver for {backend}")
    return import_module(f"adbc_driver_{backend}.dbapi")


def unreachable(url: URL, exc: BaseException) -> SourceError:
    """Return the error that says a database cannot be reached, and what to look at."""
    if remedy_of(exc):
        return SourceError(f"{show(url)} does not let us in: {explain(url, exc)}")
    remedy = "is it running, and are host, port, user, password and database right?"
    kind: type[SourceError] = SourceAway
    if url.get_backend_name() == "sqlite":
        kind, remedy = SourceError, "is it an SQLite file that this user may open?"
    return kind(f"cannot reach {show(url)}: {reason(url, exc)}; {remedy}")


def conninfo(url: URL) -> str:
    """Return the URL of a PostgreSQL as libpq wants it, password included: for connecting only.

    Psycopg writes it: SQLAlchemy's own text of a URL has blanks in it where a password has.
    """
    waiting = with_waits(url)
    _, options = waiting.get_dialect()().create_connect_args(waiting)
    return make_conninfo(**options)


def read_only_uri(url: URL) -> str:
    """Return an SQLite URL as `sqlite3` opens it for reading.

    Raises:
        SourceError: There is no such file.
    """
    path = sqlite_file(url)
    if not path.is_file():
        raise SourceError(f"no SQLite file {path}: make one with `almanac simulate` or `almanac import`")
    return f"file:{quote(str(path))}?mode=ro"
