"""Foreign tables under our names: a mapping applied to a folder or a database, columns looked for once."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import pyarrow as pa

from batch.data.columns import EMBEDDINGS, FEED, OPTIONAL, REQUIRED, USERS
from batch.data.mapping import Mapping
from batch.data.tables.database import Database
from batch.data.tables.folder import Folder
from batch.data.tables.location import SourceError, is_url
from batch.data.tables.stall import STALL_S
from batch.data.validation.values import split
from batch.progress import Advance

Tables = Database | Folder


def open_tables(location: str, stall_s: float = STALL_S) -> closing[Tables]:
    """Open a folder or a SQLAlchemy URL for reading; leaving the context closes it.

    A PostgreSQL that is silent for `stall_s` seconds in the middle of a command ends it.

    Raises:
        SourceError: It cannot be reached; the message says what to do.
    """
    return closing(Database(location, stall_s=stall_s) if is_url(location) else Folder(location))


class Source:
    """Reads tables by our names; `read` counts the rows of every table that is there."""

    def __init__(self, tables: Tables, mapping: Mapping, advance: Advance) -> None:
        """Wrap open tables; `advance` takes the number of rows read since its last call."""
        self.read: dict[str, int] = {}
        self._tables = tables
        self._mapping = mapping
        self._advance = advance

    def has(self, table: str) -> bool:
        """Say whether a table is there.

        Raises:
            SourceError: The mapping names it, and it is not.
        """
        theirs = self._mapping.table(table)
        there = self._tables.columns(theirs) is not None
        if not there and (table == FEED or table in self._mapping.tables):
            found = ", ".join(self._tables.names()) or "nothing"
            raise SourceError(
                f"{self._tables.location} has no table {theirs!r} (it has {found}): "
                f"name it under [tables] {table} in a mapping file"
            )
        return there

    def has_types(self, table: str) -> bool:
        """Say whether a table knows its types."""
        return self._tables.has_types(self._mapping.table(table))

    def columns(self, table: str) -> list[str]:
        """Return the columns of a table to read, by our names.

        Raises:
            SourceError: A column that must be there, or that the mapping names, is not.
        """
        present = self._tables.columns(self._mapping.table(table)) or []
        renamed = self._mapping.columns.get(table, {})
        kept = {USERS: self._mapping.profile, EMBEDDINGS: self._mapping.embeddings}.get(table)
        needed = [*REQUIRED[table], *renamed, *(kept or ())]
        for theirs in (self._mapping.column(table, ours) for ours in needed):
            if theirs not in present:
                raise SourceError(
                    f"{self._mapping.table(table)} in {self._tables.location} has no column {theirs!r} "
                    f"(it has {', '.join(present)}): name it under [columns.{table}] in a mapping file"
                )
        if kept is not None:
            return list(dict.fromkeys([*REQUIRED[table], *kept]))
        if table in OPTIONAL:
            optional = [c for c in OPTIONAL[table] if self._mapping.column(table, c) in present]
            return list(dict.fromkeys([*needed, *optional]))
        ours_of = {theirs: ours for ours, theirs in renamed.items()}
        return [ours_of.get(column, column) for column in present]

    def batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows, columns by our names and in the given order; lists are taken apart."""
        self.read[table] = 0
        separators = self._mapping.separators.get(table, {})
        theirs = [self._mapping.column(table, ours) for ours in columns]
        for batch in self._tables.batches(self._mapping.table(table), theirs):
            self.read[table] += batch.num_rows
            self._advance(batch.num_rows)
            batch = batch.rename_columns(list(columns))
            for name, separator in separators.items():
                if name in columns:
                    at = columns.index(name)
                    batch = batch.set_column(at, name, split(batch.column(at), separator))
            yield batch
