"""Foreign tables under our names: a mapping applied to opened tables, columns looked for once."""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from batch.data.columns import ACTION, FEED, POST_ID, POSTS, TARGET, TEXT, TIMESTAMP, TOPIC, USER_ID, USERS
from batch.data.mapping import Mapping
from batch.data.tables.location import SourceError
from batch.data.tables.origin import Tables

Progress = Callable[[str, int], None]  # our table name, rows since the last call


class Renamed:
    """Reads tables by our names; `read` counts the rows of every table that is there."""

    def __init__(self, tables: Tables, mapping: Mapping, progress: Progress | None) -> None:
        """Wrap opened tables."""
        self.read: dict[str, int] = {}
        self._tables = tables
        self._mapping = mapping
        self._progress = progress

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

    def typed(self, table: str) -> bool:
        """Say whether a table knows its types."""
        return self._tables.typed(self._mapping.table(table))

    def columns(self, table: str) -> list[str]:
        """Return the columns of a table to read, by our names.

        Raises:
            SourceError: A column that must be there, or that the mapping names, is not.
        """
        present = self._present(table)
        renamed = self._mapping.columns.get(table, {})
        needed = [*_NEEDED.get(table, (POST_ID,)), *renamed]
        if table == USERS and self._mapping.profile is not None:
            needed += self._mapping.profile
        for ours in needed:
            theirs = self._mapping.column(table, ours)
            if theirs not in present:
                raise SourceError(
                    f"{self._mapping.table(table)} in {self._tables.location} has no column {theirs!r} "
                    f"(it has {', '.join(present)}): name it under [columns.{table}] in a mapping file"
                )
        if table in _OPTIONAL:
            optional = [c for c in _OPTIONAL[table] if self._mapping.column(table, c) in present]
            return list(dict.fromkeys([*needed, *optional]))
        if table == USERS and self._mapping.profile is not None:
            return list(dict.fromkeys([USER_ID, *self._mapping.profile]))
        ours_of = {theirs: ours for ours, theirs in renamed.items()}
        return [ours_of.get(column, column) for column in present]

    def batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows, columns by our names and in the given order."""
        self.read[table] = 0
        theirs = [self._mapping.column(table, ours) for ours in columns]
        for batch in self._tables.batches(self._mapping.table(table), theirs):
            self.read[table] += batch.num_rows
            if self._progress:
                self._progress(table, batch.num_rows)
            yield pa.RecordBatch.from_arrays(batch.columns, names=list(columns))

    def _present(self, table: str) -> list[str]:
        return self._tables.columns(self._mapping.table(table)) or []


_NEEDED = {USERS: (USER_ID,), FEED: (TIMESTAMP, USER_ID, POST_ID, ACTION)}
# Of these tables nothing else is read; all columns of the others are.
_OPTIONAL = {FEED: (TARGET,), POSTS: (TOPIC, TEXT)}
