"""Where somebody else's lists come from: files, a query, a frame in memory; as Arrow, a batch at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from glob import has_magic
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from batch.data.tables.database import Database
from batch.data.tables.file import TableFile
from batch.data.tables.folder import BadLines, find_parts
from batch.data.tables.form import NULLS, FileForm
from batch.data.tables.location import SourceError, is_url
from batch.data.tables.words import drop_words, trim

Frame = Any  # what has `__arrow_c_stream__`, as pandas', polars' and Arrow's do, or names to arrays

BATCH_ROWS = 1 << 18


@dataclass(frozen=True, slots=True)
class Source:
    """A table, wherever it is.

    Attributes:
        where: What it is called in messages.
        names: Its columns.
        batches: Yields the rows with some columns, in the order given.
        bad: Lines of its files that are no rows, once `batches` has been read.
        typed: Whether it knows types; if not, a text that looks like a number is one.
    """

    where: str
    names: list[str]
    batches: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    bad: BadLines
    typed: bool


def open_source(
    stack: ExitStack, what: str | Path | Frame, query: str, database: str, stall_s: float
) -> Source:
    """Return the table to read; the stack closes it.

    Args:
        stack: Closes a database.
        what: File, glob, folder of parts, URL of a database, or a frame.
        query: SQL; without it files or a frame are read.
        database: URL to ask where `what` is empty.
        stall_s: Longest silence of a database, seconds.

    Raises:
        SourceError: There is none, or it cannot be read.
    """
    if query:
        return _ask(stack, str(what) or database, query, stall_s)
    if not isinstance(what, str | Path):
        return _of_frame(what)
    if not str(what):
        raise SourceError("nothing to publish: give a file, a glob, a folder, or a query with --query")
    if is_url(str(what)):
        raise SourceError("a database needs a query: give --query 'SELECT user_id, item_id, rank FROM …'")
    return _of_files(Path(what))


def _ask(stack: ExitStack, location: str, query: str, stall_s: float) -> Source:
    if not is_url(location):
        raise SourceError(
            f"--query asks a database, and {location or 'nothing'} is none: "
            "give its URL as LISTS, or in ALMANAC_DATABASE_URL"
        )
    database = stack.enter_context(closing(Database(location, stall_s=stall_s)))
    names, batches = database.ask(query)

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return (batch.select(list(columns)) for batch in batches)

    return Source("the query", names, read, BadLines(), typed=True)


def _of_frame(frame: Frame) -> Source:
    try:
        table = _as_table(frame)
    except (pa.ArrowException, ValueError, TypeError) as exc:
        raise SourceError(f"this {type(frame).__name__} is no table: {exc}") from exc

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return iter(table.select(list(columns)).to_batches(max_chunksize=BATCH_ROWS))

    return Source("the frame", table.column_names, read, BadLines(), typed=True)


def _as_table(frame: Frame) -> pa.Table:
    if isinstance(frame, Mapping):  # names to arrays; implicit's have two dimensions
        return pa.table({name: _column(values) for name, values in frame.items()})
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(frame).read_all()
    raise SourceError(
        f"{type(frame).__name__} is no table: give a path, or a frame of pandas, polars or Arrow"
    )


def _column(values: Any) -> Any:
    array = np.asarray(values)
    if array.ndim != 2:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])


def _of_files(path: Path) -> Source:
    files = [TableFile(one, FileForm(), "") for one in _find(path)]
    bad, typed = BadLines(), all(file.format == "parquet" for file in files)

    def read(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for file in files:
            lacking = [name for name in columns if name not in file.names]
            if lacking and file.format != "json-lines":  # whose objects need not have all keys
                raise SourceError(f"{file.path} has no column {lacking[0]!r}, which {files[0].path} has")
            for batch in file.batches(columns, partial(bad.add, file.path.name)):
                arrays = [
                    drop_words(column, ()) if typed else trim(column, NULLS) for column in batch.columns
                ]
                yield pa.record_batch(arrays, names=list(columns))

    return Source(str(path), files[0].names, read, bad, typed)


def _find(path: Path) -> list[Path]:
    if has_magic(str(path)):
        first = next(k for k, part in enumerate(path.parts) if has_magic(part))
        root, pattern = Path(*path.parts[:first]), str(Path(*path.parts[first:]))
        found = sorted(root.glob(pattern)) if root.is_dir() else []
    else:
        found = [path] if path.exists() else []
    files = [file for one in found for file in (find_parts(one) if one.is_dir() else [one])]
    if not files:
        raise SourceError(
            f"no file {path}: give Parquet, CSV or JSON-lines, one file, a glob, or a folder of parts"
        )
    return files
