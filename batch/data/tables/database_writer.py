"""Tables into SQLite or PostgreSQL by ADBC, renamed into place at the end."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import quote

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from batch.data.tables.connections import adbc_driver, conninfo, unreachable
from batch.data.tables.location import SourceError, explain, parse_url, show, sqlite_file
from batch.data.tables.stall import STALL_S, Watch

STAGING = "almanac_partial_"
_ERRORS = (adbc_driver_manager.Error, OSError)


class DatabaseWriter:
    """Writes under staging names, a transaction a chunk; the last transaction renames them all at once.

    A reader sees all old tables or all new. No index is made: runs read whole tables, and one on 76.9 M
    events would cost more than it ever saves.
    """

    def __init__(self, location: str, names: list[str], stall_s: float = STALL_S) -> None:
        """Connect, and drop what an interrupted writer left among the tables of these `names`.

        A PostgreSQL that takes and sends nothing for `stall_s` seconds ends each of our methods.

        Raises:
            SourceError: The database cannot be reached, or is neither SQLite nor PostgreSQL.
        """
        self._url = parse_url(location)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        self._watch = Watch(self._url, stall_s)
        self._written: list[str] = []
        try:
            driver = adbc_driver(self._url.get_backend_name())
            if self._is_sqlite:
                path = sqlite_file(self._url)
                path.parent.mkdir(parents=True, exist_ok=True)
            uri = f"file:{quote(str(path))}" if self._is_sqlite else conninfo(self._url)
            with self._watch.waiting():
                self._connection = driver.connect(uri)
        except ImportError as exc:
            raise SourceError(
                f"cannot write to {show(self._url)}: give postgresql://, sqlite:/// or a folder"
            ) from exc
        except _ERRORS as exc:
            raise unreachable(self._url, exc) from exc
        with self._in_transaction():
            self._drop([name for name in names if name.startswith(STAGING)])

    def append(self, name: str, chunk: pa.Table) -> None:
        """Write a chunk of a table under its staging name."""
        mode = "append" if name in self._written else "create"
        chunk = _lists_as_text(chunk)
        with self._in_transaction(), self._connection.cursor() as cursor:
            cursor.adbc_ingest(STAGING + name, _dates_as_text(chunk) if self._is_sqlite else chunk, mode=mode)
        if mode == "create":
            self._written.append(name)

    def finish(self, replaced: list[str]) -> None:
        """Drop `replaced` and give every written table its name, in one transaction."""
        with self._in_transaction():
            self._drop([*replaced, *self._written])
            for name in self._written:
                self._execute(f"ALTER TABLE {_quote(STAGING + name)} RENAME TO {_quote(name)}")
        self._written.clear()

    def close(self) -> None:
        """Drop what has not got its name, and disconnect."""
        with suppress(SourceError), self._in_transaction():
            self._drop([STAGING + name for name in self._written])
        self._connection.close()

    def _drop(self, names: list[str]) -> None:
        for name in names:
            self._execute(f"DROP TABLE IF EXISTS {_quote(name)}")

    def _execute(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    @contextmanager
    def _in_transaction(self) -> Iterator[None]:
        """Commit at the end; roll back, and say what failed, on an error of the database."""
        try:
            with self._watch.waiting():
                yield
                self._connection.commit()
        except _ERRORS as exc:
            with suppress(*_ERRORS):
                self._connection.rollback()
            raise SourceError(f"cannot write to {show(self._url)}: {explain(self._url, exc)}") from exc


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _lists_as_text(chunk: pa.Table) -> pa.Table:
    """Write lists of texts as `a|b`, which a mapping's `split` reads: not every database has them."""
    for place, spec in enumerate(chunk.schema):
        if pt.is_list(spec.type):
            chunk = chunk.set_column(place, spec.name, pc.binary_join(chunk.column(place), "|"))
    return chunk


def _dates_as_text(chunk: pa.Table) -> pa.Table:
    """Write times as SQLite's own functions do, `2021-12-20 10:00:00`: it has no type for them."""
    for place, spec in enumerate(chunk.schema):
        if pt.is_timestamp(spec.type):
            seconds = chunk.column(place).cast(pa.timestamp("s"), safe=False).cast(pa.string())
            chunk = chunk.set_column(place, spec.name, seconds)
    return chunk
