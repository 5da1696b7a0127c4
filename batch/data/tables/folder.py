"""A folder of tables, read in batches: of Parquet, separated fields or JSON lines, one file or many each."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from batch.data.tables.file import TableFile
from batch.data.tables.form import FileForm, format_of, split_suffix
from batch.data.tables.lines import BadLine
from batch.data.tables.location import SourceError

MOST_BAD = 1_000  # lines of a table that are kept to be shown
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # of Spark and Hive
_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")


class BadLines:
    """The lines of a table that are no rows: how many, and the first of them with their files' names."""

    def __init__(self) -> None:
        """Begin with none."""
        self.n = 0
        self.first: list[tuple[str, BadLine]] = []

    def add(self, file: str, line: BadLine) -> None:
        """Take a line."""
        self.n += 1
        if len(self.first) < MOST_BAD:
            self.first.append((file, line))


class Folder:
    """The tables of a folder: `name.csv`, shards `name-0001.csv`, folders of parts `name` or `name.parquet`.

    Suffixes are those of `format_of`, packed ones too. Parts may lie in folders `key=value`, whose keys are
    columns. Hidden files and those that start with `_` are left alone. Values of CSV are text.
    """

    def __init__(
        self,
        location: str,
        forms: Mapping[str, FileForm] | None = None,
        sections: Mapping[str, str] | None = None,
    ) -> None:
        """Look at the folder.

        Args:
            location: Path of the folder.
            forms: How a table's files are written, by its name; a table without one is looked at.
            sections: What a mapping calls a table, where that is not its name: for messages.

        Raises:
            SourceError: It does not exist, or is a file.
        """
        self.path = Path(location)
        self.location = location
        self.bad: dict[str, BadLines] = {}
        self._forms = forms or {}
        self._sections = sections or {}
        self._found: dict[str, list[TableFile]] = {}
        if self.path.is_file():
            raise SourceError(f"{location} is a file: give the folder that holds it, or a URL")
        if not self.path.is_dir():
            raise SourceError(
                f"no folder {location}: give a folder of Parquet or CSV files, or a SQLAlchemy URL"
            )

    def close(self) -> None:
        """Do nothing: files are opened one at a time, while they are read."""

    def names(self) -> list[str]:
        """Return the names of the tables, ascending."""
        found = (split_suffix(path.name)[0] for path in _visible(self.path) if _is_table(path))
        return sorted({re.sub(r"-\d+$", "", name) for name in found})

    def has_types(self, table: str) -> bool:
        """Say whether the files know types: only Parquet's do."""
        return all(file.format == "parquet" for file in self._files(table))

    def columns(self, table: str) -> list[str] | None:
        """Return a table's column names, None where there is no such table.

        A column without a name, as an index has, is an empty text; so is one whose name is there already.
        """
        files = self._files(table)
        return files[0].names if files else None

    def repeated(self, table: str) -> list[str]:
        """Return the names that stand twice in a table's first file, whose first such column is read."""
        return [name for file in self._files(table)[:1] if file.layout for name in file.layout.again]

    def separator(self, table: str) -> str:
        """Return what separates the fields of a table's first file; empty where nothing does."""
        return "".join(file.layout.separator for file in self._files(table)[:1] if file.layout)

    def batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows with the given columns, in that order, file by file.

        Lines that are no rows are left out and stand in `bad`.

        Raises:
            SourceError: A file lacks a column or cannot be read; the message names it.
        """
        bad = self.bad[table] = BadLines()
        for file in self._files(table):
            lacking = [name for name in columns if name not in file.names]
            if lacking and file.format != "json-lines":  # whose objects need not have all keys
                raise SourceError(
                    f"{file.path} has no column {lacking[0]!r}, which other files of {table} have"
                )
            yield from file.batches(columns, partial(bad.add, file.path.name))

    def files(self, table: str, *, one_format: bool = True) -> list[Path]:
        """Return a table's files in order of name.

        Raises:
            SourceError: The table is there in two formats, so that rows would count twice, not where
                `one_format` is False; or a mapping names a file that is not there.
        """
        if table in self._forms and self._forms[table].path:
            return self._said_files(table, self._forms[table].path)
        own = re.compile(rf"{re.escape(table)}(-\d+)?")
        files = [p for p in _visible(self.path) if p.is_file() and own.fullmatch(split_suffix(p.name)[0])]
        files = sorted(path for path in files if _is_table(path))
        for folder in sorted(path for path in _visible(self.path) if path.is_dir()):
            if table in (folder.name, split_suffix(folder.name)[0]):
                files += find_parts(folder)
        if one_format and len({split_suffix(path.name)[1] for path in files} - {""}) > 1:
            names = ", ".join(path.name for path in files)
            raise SourceError(f"{self.location} holds {table} in two formats: keep one of {names}")
        return files

    def _said_files(self, table: str, said: str) -> list[Path]:
        found = sorted(self.path.glob(said))
        files = [file for path in found for file in (find_parts(path) if path.is_dir() else [path])]
        if not files:
            there = ", ".join(sorted(path.name for path in _visible(self.path))) or "nothing"
            raise SourceError(
                f"{self.location} has no file {said!r} (it has {there}): "
                f"mend path under {self._section(table)} in the mapping file"
            )
        return files

    def _files(self, table: str) -> list[TableFile]:
        """Return a table's files, each looked at once; whole numbers in names of folders are numbers."""
        if table not in self._found:
            paths = self.files(table)
            keys = [_partition(path.relative_to(self.path)) for path in paths]
            words = {(name, value) for each in keys for name, value in each.items() if value is not None}
            texts = {name for name, value in words if not _WHOLE.fullmatch(value)}
            form, section = self._forms.get(table, FileForm()), self._section(table)
            self._found[table] = [
                TableFile(
                    path, form, section, {name: _typed(value, name in texts) for name, value in each.items()}
                )
                for path, each in zip(paths, keys, strict=True)
            ]
        return self._found[table]

    def _section(self, table: str) -> str:
        return f"[files.{self._sections.get(table, table)}]"


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name[0] not in "._")


def _is_table(path: Path) -> bool:
    return path.is_dir() or format_of(path.name) is not None


def find_parts(folder: Path) -> list[Path]:
    """Return the files of a folder of parts and of its folders, in order, without Spark's empty ones."""
    found = []
    for path in sorted(_visible(folder)):
        if path.is_dir():
            found += find_parts(path)
        elif format_of(path.name) == "parquet" or (path.stat().st_size and _is_part(path)):
            found.append(path)
    return found


def _is_part(path: Path) -> bool:
    return _is_table(path) or path.name.startswith("part-")


def _partition(path: Path) -> dict[str, str | None]:
    """Return the keys and values that the names of a file's folders say.

    >>> _partition(Path("feed_data/dt=2021-12-01/part-0.csv"))
    {'dt': '2021-12-01'}
    """
    pairs = (part.split("=", 1) for part in path.parts[:-1] if "=" in part)
    return {unquote(name): None if value == _NO_VALUE else unquote(value) for name, value in pairs}


def _typed(value: str | None, is_text: bool) -> str | int | None:
    return value if value is None or is_text else int(value)
