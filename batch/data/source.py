"""Foreign tables under our names: a mapping applied to a folder or a database, columns looked for once."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import pyarrow as pa

from batch.data.columns import EMBEDDINGS, FEED, OPTIONAL, POST_ID, POSTS, REQUIRED, TEXT, USER_ID, USERS
from batch.data.mapping import Mapping
from batch.data.tables.database import Database
from batch.data.tables.folder import BadLines, Folder
from batch.data.tables.form import NULLS, FileForm
from batch.data.tables.location import SourceError, is_url
from batch.data.tables.stall import STALL_S
from batch.data.tables.words import drop_words, trim
from batch.data.validation.values import split
from batch.progress import Advance

Tables = Database | Folder
MOST_BAD = 0.5  # share of a table's lines that are no rows; beyond it the file is of another form
_INDEX = re.compile(r"|Unnamed: \d+.*|index|level_\d+|__index_level_\d+__")  # as pandas writes its own
_NAMELESS = "(no name)"


def open_tables(location: str, stall_s: float = STALL_S, mapping: Mapping | None = None) -> closing[Tables]:
    """Open a folder or a SQLAlchemy URL for reading; leaving the context closes it.

    A PostgreSQL that is silent for `stall_s` seconds in the middle of a command ends it. The mapping says
    how files are written, and which columns hold ids.

    Raises:
        SourceError: It cannot be reached; the message says what to do.
    """
    mapping = mapping or Mapping()
    if is_url(location):
        _refuse_files(mapping)
        ids = {mapping.column(ours, key) for ours in REQUIRED for key in (USER_ID, POST_ID)}
        return closing(Database(location, stall_s=stall_s, ids=ids))
    theirs = {mapping.table(ours): ours for ours in REQUIRED}
    return closing(Folder(location, {name: mapping.form(ours) for name, ours in theirs.items()}, theirs))


def _refuse_files(mapping: Mapping) -> None:
    """Refuse what a mapping says of files where a database is read: it would mean nothing.

    Raises:
        SourceError: It says more than which words are missing values and which table may be.
    """
    for table, form in mapping.files.items():
        if replace(form, null=None, optional=False) != FileForm():
            raise SourceError(
                f"a database has no files: of [files.{table}] it takes null and optional alone; "
                f"name its table under [tables] {table} in the mapping file"
            )


class Source:
    """Reads tables by our names.

    `read` counts the rows of every table that is there, lines that are no rows among them;
    `columns_ignored` names the columns that are left out because they only number rows, or stand twice.
    """

    def __init__(self, tables: Tables, mapping: Mapping, advance: Advance) -> None:
        """Wrap open tables; `advance` takes the number of rows read since its last call."""
        self.read: dict[str, int] = {}
        self.columns_ignored: dict[str, list[str]] = {}
        self._tables = tables
        self._mapping = mapping
        self._advance = advance

    def has(self, table: str) -> bool:
        """Say whether a table is there.

        Raises:
            SourceError: The mapping names it, and it is not.
        """
        theirs, form = self._mapping.table(table), self._mapping.form(table)
        if form.optional and isinstance(self._tables, Folder) and not any(self._tables.path.glob(form.path)):
            return False
        there = self._tables.columns(theirs) is not None
        if not there and not form.optional and (table == FEED or table in self._mapping.tables):
            found = ", ".join(self._tables.names()) or "nothing"
            raise SourceError(
                f"{self._tables.location} has no table {theirs!r} (it has {found}): "
                f"name it under [tables] {table} in a mapping file, as `almanac import --dry-run` guesses one"
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
        theirs = self._mapping.table(table)
        present = self._tables.columns(theirs) or []
        renamed = self._mapping.columns.get(table, {})
        kept = {USERS: self._mapping.profile, EMBEDDINGS: self._mapping.embeddings}.get(table)
        further = self._mapping.post_columns if table == POSTS else ()
        needed = list(dict.fromkeys([*self._mapping.required(table), *renamed, *(kept or ()), *further]))
        asked = [self._mapping.column(table, ours) for ours in needed]
        for name in asked:
            if name not in present:
                raise SourceError(
                    f"{theirs} in {self._tables.location} has no column {name!r} "
                    f"(it has {', '.join(filter(None, present))}): {self._remedy(table)} in a mapping file"
                )
        # A column that numbers rows, and one that is called as ours, where the mapping reads another as that.
        ignored = [
            name for name in present if (_INDEX.fullmatch(name) or name in needed) and name not in asked
        ]
        self._note_ignored(table, ignored)
        if kept is not None:
            return list(dict.fromkeys([*REQUIRED[table], *kept]))
        if table in OPTIONAL:
            optional = [c for c in OPTIONAL[table] if self._mapping.column(table, c) in present]
            return list(dict.fromkeys([*needed, *optional]))
        read = [name for name in present if name not in ignored]
        ours_of = {
            name: [ours for ours in needed if self._mapping.column(table, ours) == name] for name in asked
        }
        return [ours for name in read for ours in ours_of.get(name, [name])]

    def batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows, columns by our names and in the given order; lists are taken apart.

        A text that is one of the words for a missing value is NULL. Blanks around values of files without
        types are no part of them, but for `text`, which is people's own.

        Raises:
            SourceError: The table cannot be read, or most of its lines are no rows.
        """
        self.read[table] = 0
        name = self._mapping.table(table)
        theirs = [self._mapping.column(table, ours) for ours in columns]
        typed, words = self._tables.has_types(name), self._mapping.form(table).null
        words = words if words is not None else () if typed else NULLS
        for batch in self._tables.batches(name, theirs):
            self._count(table, batch.num_rows)
            arrays = [
                drop_words(array, words) if typed else array if ours == TEXT else trim(array, words)
                for ours, array in zip(columns, batch.columns, strict=True)
            ]
            for ours, separator in self._mapping.separators.get(table, {}).items():
                if ours in columns:
                    at = columns.index(ours)
                    arrays[at] = split(arrays[at], separator)
            yield pa.record_batch(arrays, names=list(columns))
        bad = self.bad(table)
        self._count(table, bad.n)
        if bad.n > MOST_BAD * self.read[table]:
            file, line = bad.first[0]
            raise SourceError(
                f"{bad.n} of {self.read[table]} lines of {file} in {self._tables.location} are no rows: "
                f"{line.text[:60]!r}, {line.why}: set separator, quote or escape under [files.{table}] "
                "in a mapping file"
            )

    def bad(self, table: str) -> BadLines:
        """Return the lines of a table, read before, that are no rows."""
        found = self._tables.bad if isinstance(self._tables, Folder) else {}
        return found.get(self._mapping.table(table), BadLines())

    def _count(self, table: str, n_rows: int) -> None:
        self.read[table] += n_rows
        self._advance(n_rows)

    def _note_ignored(self, table: str, indices: list[str]) -> None:
        twice: list[str] = []
        if isinstance(self._tables, Folder):
            twice = self._tables.repeated(self._mapping.table(table))
        n_nameless = indices.count("") - len(twice)  # a name that stands twice is empty the second time
        names = [*filter(None, indices), *[_NAMELESS] * n_nameless, *twice]
        if names:
            self.columns_ignored[table] = names

    def _remedy(self, table: str) -> str:
        separator = ""
        if isinstance(self._tables, Folder):
            separator = self._tables.separator(self._mapping.table(table))
        if not separator:
            return f"name it under [columns.{table}]"
        return (
            f"name it under [columns.{table}], or, where these are no names, "
            f"set header or separator (taken for {separator!r}) under [files.{table}]"
        )
