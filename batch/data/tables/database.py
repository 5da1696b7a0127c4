"""A database's tables in batches: ADBC straight to Arrow, SQLAlchemy for whatever ADBC cannot do."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any, TypeVar, cast

import adbc_driver_manager
import pyarrow as pa
import sqlalchemy as sa

from batch.data.tables.connections import (
    NO_TIMEOUT,
    adbc_driver,
    conninfo,
    read_engine,
    read_only_uri,
    unreachable,
)
from batch.data.tables.location import SourceAway, SourceError, explain, parse_url, reason, show
from batch.data.tables.stall import STALL_S, DatabaseStalled, Watch

BATCH_ROWS = 1 << 16
_AS_THEY_ARE = (sa.Integer, sa.Float, sa.Boolean, sa.String, sa.DateTime, sa.Date)
T = TypeVar("T")
_ADBC_ERRORS = (adbc_driver_manager.Error, OSError)  # a stream that breaks raises OSError


class Database:
    """The tables of a database, never written to: read-only transactions, SQLite opened `mode=ro`.

    On PostgreSQL all tables are read from one snapshot.
    """

    def __init__(
        self, location: str, *, stall_s: float = STALL_S, adbc: bool = True, ids: Collection[str] = ()
    ) -> None:
        """Connect; `adbc=False` reads by SQLAlchemy alone.

        Args:
            location: SQLAlchemy URL.
            stall_s: Longest silence of a PostgreSQL, seconds.
            adbc: Whether ADBC reads where it has a driver.
            ids: Columns, of whichever table, whose decimals are read digit by digit.

        Raises:
            SourceError: There is no such file, driver or server, or it refuses us.
        """
        self._url, self._ids = parse_url(location), ids
        self.location = show(self._url)
        self._watch = Watch(self._url, stall_s)
        self._engine = read_engine(self._url)
        try:
            with self._watch.waiting():
                self._connection = self._engine.connect()
                self._inspector = sa.inspect(self._connection)
                self._inspector.get_table_names()  # SQLite opens its file only when first asked
                self._adbc_connection = self._adbc() if adbc else None
        except (sa.exc.DBAPIError, sqlite3.Error) as exc:
            self._engine.dispose()
            raise unreachable(self._url, exc) from exc

    def close(self) -> None:
        """Close every connection."""
        self._drop_adbc()
        self._connection.close()
        self._engine.dispose()

    def names(self) -> list[str]:
        """Return the names of tables and views in the default schema, ascending."""
        with self._waiting():
            return sorted({*self._inspector.get_table_names(), *self._inspector.get_view_names()})

    def has_types(self, table: str) -> bool:  # noqa: ARG002 - a folder answers by table
        """Say that the database knows types."""
        return True

    def columns(self, table: str) -> list[str] | None:
        """Return a table's column names, None where there is no such table; `schema.table` works."""
        found = self._find(table)
        return None if found is None else [column["name"] for column in found[2]]

    def batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows with the given columns, in that order.

        Where ADBC fails before the first batch, SQLAlchemy reads; where an SQLite stream breaks later,
        at a value whose type the column did not have before, SQLAlchemy goes on after the rows delivered.

        Raises:
            SourceError: The database fails, or breaks off in the middle.
        """
        statement = self._select(table, columns)
        delivered = 0
        if self._adbc_connection is not None:
            try:
                for batch in self._by_adbc(statement):
                    yield batch
                    delivered += batch.num_rows
            except _ADBC_ERRORS as exc:
                if delivered and self._url.get_backend_name() != "sqlite":
                    raise SourceAway(
                        f"{self.location} broke off after {delivered} rows of {table}: "
                        f"{reason(self._url, exc)}"
                    ) from exc
                self._drop_adbc()
            else:
                return
        try:
            yield from _beyond(delivered, self._by_sqlalchemy(statement, columns))
        except sa.exc.SQLAlchemyError as exc:
            raise self._error(table, exc) from exc

    def ask(self, query: str) -> tuple[list[str], Iterator[pa.RecordBatch]]:
        """Return the names of a query's columns, and its rows; they are read once.

        Raises:
            SourceError: The database refuses it; while the rows are read, that it fails.
        """
        batches = self._ask(query)
        first = next(batches)
        return list(first.schema.names), chain([first], batches)

    def _ask(self, query: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query, at least one batch, which may be empty; a % in it is a letter."""
        streamed = self._connection.execution_options(stream_results=True, no_parameters=True)
        try:
            with self._waiting():
                result = streamed.exec_driver_sql(query)
            if not result.returns_rows:
                raise SourceError("the query returns no rows: give a SELECT")
            with result:
                names = list(result.keys())
                yield pa.record_batch([pa.nulls(0)] * len(names), names=names)
                for rows in self._watched(result.partitions(BATCH_ROWS)):
                    yield pa.record_batch([_array(values) for values in zip(*rows, strict=True)], names=names)
        except sa.exc.SQLAlchemyError as exc:
            raise self._error("the query", exc) from exc

    def _error(self, table: str, exc: BaseException) -> SourceError:
        kind = SourceAway if getattr(exc, "connection_invalidated", False) else SourceError
        return kind(f"cannot read {table} in {self.location}: {explain(self._url, exc)}")

    def _find(self, table: str) -> tuple[str, str | None, Sequence[Any]] | None:
        """Return a table's own name, its schema and its columns; None where there is no such table."""
        prefix, _, name = table.rpartition(".")
        for own, schema in ((table, None), (name, prefix or None)):
            try:
                with self._waiting():
                    return own, schema, self._inspector.get_columns(own, schema=schema)
            except sa.exc.NoSuchTableError:
                continue
            except sa.exc.SQLAlchemyError as exc:
                raise self._error(table, exc) from exc
        return None

    def _select(self, table: str, columns: Sequence[str]) -> str:
        name, schema, there = self._find(table) or (table, None, ())
        types = {column["name"]: column["type"] for column in there}
        source = sa.table(name, *(sa.column(column) for column in columns), schema=schema)
        chosen: list[sa.ColumnElement[Any]] = list(source.c)
        backend = self._url.get_backend_name()
        if backend != "sqlite":  # whose types belong to values, not to columns: there is nothing to cast by
            is_postgresql = backend == "postgresql"
            chosen = [
                _digits(c)
                if is_postgresql and c.name in self._ids and _is_decimal(types[c.name])
                else _plain(c, types[c.name], is_postgresql=is_postgresql)
                for c in chosen
            ]
        return str(sa.select(*chosen).compile(dialect=self._engine.dialect))

    def _by_adbc(self, statement: str) -> Iterator[pa.RecordBatch]:
        assert self._adbc_connection is not None
        with self._adbc_connection.cursor() as cursor:
            if self._url.get_backend_name() == "sqlite":
                cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH_ROWS)})
            with self._waiting():
                cursor.execute(statement)
                reader = cursor.fetch_record_batch()
            with reader:
                yield from _ahead(self._watched(reader))

    def _by_sqlalchemy(self, statement: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        streamed = self._connection.execution_options(stream_results=True)
        # Sent as text: SQLAlchemy's own result types would stop at the first text that is no date.
        with self._waiting():
            result = streamed.exec_driver_sql(statement)
        with result:
            for rows in self._watched(result.partitions(BATCH_ROWS)):
                arrays = [_array(values) for values in zip(*rows, strict=True)]
                yield pa.record_batch(arrays, names=list(columns))

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Let the body wait as long as bytes come; nothing is asked of a connection that was cut."""
        try:
            with self._watch.waiting():
                yield
        except DatabaseStalled:
            self._connection.invalidate()
            raise

    def _watched(self, items: Iterator[T]) -> Iterator[T]:
        """Yield the items; each may take as long as bytes come."""
        while True:
            with self._waiting():
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def _adbc(self) -> Any:
        """Open an ADBC connection, None where ADBC has no driver or cannot connect."""
        backend = self._url.get_backend_name()
        with suppress(*_ADBC_ERRORS, ImportError):
            driver = adbc_driver(backend)
            uri = read_only_uri(self._url) if backend == "sqlite" else conninfo(self._url)
            connection = driver.connect(uri)
            if backend == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    cursor.execute(NO_TIMEOUT)
            return connection
        return None

    def _drop_adbc(self) -> None:
        if self._adbc_connection is not None:
            self._adbc_connection.close()
            self._adbc_connection = None


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items; a thread gets the next one meanwhile, and ends with the iterator."""
    over = object()
    with ThreadPoolExecutor(1) as pool:
        coming: Future[T | object] = pool.submit(next, items, over)
        while (item := coming.result()) is not over:
            coming = pool.submit(next, items, over)
            yield cast("T", item)


def _plain(column: sa.ColumnElement[Any], kind: Any, *, is_postgresql: bool) -> sa.ColumnElement[Any]:
    """Cast what the two ways of reading would bring differently: decimals, enums, identifiers, documents.

    A time that is infinite is missing; an array becomes a list of texts.
    """
    if isinstance(kind, (sa.DateTime, sa.Date)) and is_postgresql:
        return sa.case((sa.func.isfinite(column), column)).label(column.key or "")  # no other has infinity
    if isinstance(kind, _AS_THEY_ARE) and not isinstance(kind, sa.Enum):
        return column
    as_type: sa.types.TypeEngine[Any] = sa.Double() if isinstance(kind, sa.Numeric) else sa.Text()
    if isinstance(kind, sa.ARRAY):
        as_type = sa.ARRAY(sa.Text)
    return sa.cast(column, as_type).label(column.key or "")


def _is_decimal(kind: Any) -> bool:
    return isinstance(kind, sa.Numeric) and not isinstance(kind, sa.Float)


def _digits(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a decimal as text, however many digits it has, without a fraction of zeros."""
    fraction, nothing = sa.literal_column(r"'\.0*$'", sa.Text), sa.literal_column("''", sa.Text)
    return sa.func.regexp_replace(sa.cast(column, sa.Text()), fraction, nothing).label(column.key or "")


def _array(values: Sequence[object]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):  # mixed types, as SQLite allows
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _beyond(n: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the batches without their first `n` rows."""
    for batch in batches:
        if n < batch.num_rows:
            yield batch.slice(n)
        n = max(0, n - batch.num_rows)
