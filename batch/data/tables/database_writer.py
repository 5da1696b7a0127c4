"""Tables into a database: ADBC where it has a driver, SQLAlchemy elsewhere; renamed into place at the end."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol
from urllib.parse import quote

import adbc_driver_manager
import pyarrow as pa
import pyarrow.types as pt
import sqlalchemy as sa
from sqlalchemy.engine import URL

from batch.data.tables.database import adbc_driver, libpq_uri, unreachable
from batch.data.tables.location import SourceError, parse_url, reason, sqlite_file

STAGING = "almanac_partial_"
_ERRORS = (adbc_driver_manager.Error, sa.exc.SQLAlchemyError, OSError)


class DatabaseWriter:
    """Writes under staging names, a transaction a chunk; the last transaction renames them all at once.

    On databases whose DDL is transactional (PostgreSQL, SQLite) a reader sees all old tables or all new.
    No index is made: runs read whole tables, and one on 76.9 M events would cost more than it ever saves.
    """

    def __init__(self, location: str, *, adbc: bool = True) -> None:
        """Connect, and drop what an interrupted writer left; `adbc=False` writes by SQLAlchemy alone.

        Raises:
            SourceError: The database cannot be reached.
        """
        self._url = parse_url(location)
        self._written: list[str] = []
        self._engine = _write_engine(self._url)
        try:
            left = [n for n in sa.inspect(self._engine).get_table_names() if n.startswith(STAGING)]
            self._session = (_adbc_session(self._url) if adbc else None) or _SqlSession(self._engine)
        except _ERRORS as exc:
            self._engine.dispose()
            raise unreachable(self._url, exc) from exc
        with self._failing():
            self._drop(left)

    def append(self, name: str, chunk: pa.Table) -> None:
        """Write a chunk of a table under its staging name."""
        if self._url.get_backend_name() == "sqlite":
            chunk = _dated(chunk)
        with self._failing():
            self._session.ingest(STAGING + name, chunk, create=name not in self._written)
            self._session.commit()
        if name not in self._written:
            self._written.append(name)

    def finish(self, replaced: list[str]) -> None:
        """Drop `replaced` and give every written table its name, in one transaction."""
        with self._failing():
            for name in dict.fromkeys([*replaced, *self._written]):
                self._session.execute(f"DROP TABLE IF EXISTS {self._quoted(name)}")
            for name in self._written:
                staged = self._quoted(STAGING + name)
                self._session.execute(f"ALTER TABLE {staged} RENAME TO {self._quoted(name)}")
            self._session.commit()
        self._written.clear()

    def close(self) -> None:
        """Drop what has not got its name, and disconnect."""
        with suppress(*_ERRORS):
            self._drop([STAGING + name for name in self._written])
        self._session.close()
        self._engine.dispose()

    def _drop(self, names: list[str]) -> None:
        for name in names:
            self._session.execute(f"DROP TABLE IF EXISTS {self._quoted(name)}")
        self._session.commit()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except _ERRORS as exc:
            with suppress(*_ERRORS):
                self._session.rollback()
            raise SourceError(
                f"cannot write to {self._url.render_as_string()}: {reason(self._url, exc)}"
            ) from exc

    def _quoted(self, name: str) -> str:
        return self._engine.dialect.identifier_preparer.quote(name)


class _Session(Protocol):
    def execute(self, statement: str) -> None: ...
    def ingest(self, name: str, chunk: pa.Table, *, create: bool) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


class _AdbcSession:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.commit, self.rollback, self.close = connection.commit, connection.rollback, connection.close

    def execute(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    def ingest(self, name: str, chunk: pa.Table, *, create: bool) -> None:
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(name, chunk, mode="create" if create else "append")


class _SqlSession:
    def __init__(self, engine: sa.Engine) -> None:
        self._connection = engine.connect()
        self.commit, self.rollback = self._connection.commit, self._connection.rollback
        self.close = self._connection.close

    def execute(self, statement: str) -> None:
        self._connection.exec_driver_sql(statement)

    def ingest(self, name: str, chunk: pa.Table, *, create: bool) -> None:
        table = sa.Table(name, sa.MetaData(), *(sa.Column(f.name, _sql_type(f.type)) for f in chunk.schema))
        if create:
            table.create(self._connection)
        if chunk.num_rows:
            self._connection.execute(table.insert(), chunk.to_pylist())


def _adbc_session(url: URL) -> _Session | None:
    """Return None where ADBC has no driver or cannot connect: then SQLAlchemy tries, and explains."""
    backend = url.get_backend_name()
    uri = f"file:{quote(str(sqlite_file(url)))}" if backend == "sqlite" else libpq_uri(url)
    with suppress(adbc_driver_manager.Error, ImportError):
        return _AdbcSession(adbc_driver(backend).connect(uri))
    return None


def _write_engine(url: URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        sqlite_file(url).parent.mkdir(parents=True, exist_ok=True)
    return sa.create_engine(url)


def _dated(chunk: pa.Table) -> pa.Table:
    """Write times as SQLite's own functions do, `2021-12-20 10:00:00`: it has no type for them."""
    for place, spec in enumerate(chunk.schema):
        if pt.is_timestamp(spec.type):
            seconds = chunk.column(place).cast(pa.timestamp("s"), safe=False).cast(pa.string())
            chunk = chunk.set_column(place, spec.name, seconds)
    return chunk


def _sql_type(kind: Any) -> Any:
    if pt.is_integer(kind):
        return sa.BigInteger()
    if pt.is_floating(kind):
        return sa.Double()
    if pt.is_boolean(kind):
        return sa.Boolean()
    return sa.DateTime() if pt.is_timestamp(kind) else sa.Text()
