"""A folder of Parquet or CSV files named after tables, read in batches."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from batch.data.tables.location import SourceError

BATCH_ROWS = 1 << 18
BLOCK_BYTES = 8 << 20  # of CSV at a time; a row, its text included, must fit
_SUFFIX = re.compile(r"\.(parquet|csv|csv\.gz)$")
_NULLS = ["", "NULL", "NaN", "nan", r"\N"]


class Folder:
    """The tables of a folder: `name.parquet`, shards `name-0001.parquet` or `name/*.parquet`; CSV alike.

    Suffixes are `.parquet`, `.csv` and `.csv.gz`. Hidden files and those that start with `_` are left
    alone. A CSV value is text; an empty field, NULL, NaN or \\N without quotes is missing.
    """

    def __init__(self, location: str) -> None:
        """Look at the folder.

        Raises:
            SourceError: It does not exist, or is a file.
        """
        self.path = Path(location)
        self.location = location
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
        found = {_SUFFIX.sub("", path.name) for path in _visible(self.path) if _is_table(path)}
        return sorted({re.sub(r"-\d+$", "", name) for name in found})

    def has_types(self, table: str) -> bool:
        """Say whether the files know types: CSV does not."""
        return all(path.suffix == ".parquet" for path in self.files(table))

    def columns(self, table: str) -> list[str] | None:
        """Return a table's column names, None where there is no such table."""
        files = self.files(table)
        return _schema(files[0]).names if files else None

    def batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield a table's rows with the given columns, in that order, shard by shard.

        Raises:
            SourceError: A shard lacks a column or cannot be read; the message names it.
        """
        for path in self.files(table):
            missing = [name for name in columns if name not in _schema(path).names]
            if missing:
                raise SourceError(f"{path} has no column {missing[0]!r}, which other files of {table} have")
            try:
                for batch in _read(path, list(columns)):
                    yield batch.select(list(columns))
            except (pa.ArrowException, OSError) as exc:
                raise SourceError(f"cannot read {path}: {exc}") from exc

    def files(self, table: str, *, one_format: bool = True) -> list[Path]:
        """Return a table's files in order of name.

        Raises:
            SourceError: The table is there in two formats, so that rows would count twice; not where
                `one_format` is False.
        """
        own = re.compile(rf"{re.escape(table)}(-\d+)?")
        files = [p for p in _visible(self.path) if p.is_file() and own.fullmatch(_SUFFIX.sub("", p.name))]
        files = sorted(path for path in files if _is_table(path))
        shards = self.path / table
        if shards.is_dir():
            files += sorted(path for path in _visible(shards) if path.is_file() and _is_table(path))
        names = ", ".join(path.name for path in files)
        if one_format and len({path.name.partition(".")[2] for path in files}) > 1:
            raise SourceError(f"{self.location} holds {table} in two formats: keep one of {names}")
        return files


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name[0] not in "._")


def _is_table(path: Path) -> bool:
    return path.is_dir() or _SUFFIX.search(path.name) is not None


def _schema(path: Path) -> Any:
    try:
        if path.suffix == ".parquet":
            return pq.read_schema(path)
        with _open_csv(path, []) as reader:
            return reader.schema
    except (pa.ArrowException, OSError) as exc:
        raise SourceError(f"cannot read {path}: {exc}") from exc


def _read(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    if path.suffix == ".parquet":
        # Without pre-buffering only one row group's pages are held.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(BATCH_ROWS, columns=columns)
    else:
        with _open_csv(path, columns) as reader:
            yield from reader


def _open_csv(path: Path, columns: Sequence[str]) -> Any:
    # All text: Arrow would guess types from the first block and fail on a bad value in a later one.
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        include_columns=list(columns),
        null_values=_NULLS,
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=convert,
    )
