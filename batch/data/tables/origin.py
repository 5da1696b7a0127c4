"""Open a location for reading, whatever it is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import pyarrow as pa

from batch.data.tables.database import Database
from batch.data.tables.folder import Folder
from batch.data.tables.location import is_url


class Tables(Protocol):
    """Tables that can be read in batches: a folder's or a database's. `location` may be printed."""

    location: str

    def close(self) -> None:
        """Let go of files and connections."""
        ...

    def names(self) -> list[str]:
        """Return the names of the tables, ascending."""
        ...

    def typed(self, table: str) -> bool:
        """Say whether the table knows its types; if not, everything is text."""
        ...

    def columns(self, table: str) -> list[str] | None:
        """Return a table's column names, None where there is no such table."""
        ...

    def batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows with the given columns, in that order."""
        ...


@contextmanager
def opened(location: str) -> Iterator[Tables]:
    """Open a folder or a SQLAlchemy URL for reading, and close it.

    Raises:
        SourceError: It cannot be reached; the message says what to do.
    """
    tables: Tables = Database(location) if is_url(location) else Folder(location)
    try:
        yield tables
    finally:
        tables.close()
