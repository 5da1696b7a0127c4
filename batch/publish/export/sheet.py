"""A file of rows that comes into being whole or not at all: Parquet, CSV or JSON lines."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

Format = Literal["parquet", "csv", "jsonl"]
Write = Callable[[pa.Table], None]


@contextmanager
def open_sheet(path: Path, form: Format, schema: pa.Schema) -> Iterator[Write]:
    """Give what writes tables one after the other; at the end the file is there, in an older one's place.

    Until then a file beside it grows, which an error or Ctrl-C removes. In CSV every text stands in quotes.

    Raises:
        ValueError: The path is a folder, or lies in none.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"--out {path} is no file in a folder that is there: name one, or make its folder")
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with _WRITERS[form](draft, schema) as write:
            yield write
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _open_parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield writer.write_table


@contextmanager
def _open_csv(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pa.csv.CSVWriter(path, schema) as writer:
        yield writer.write_table


@contextmanager
def _open_lines(path: Path, _schema: pa.Schema) -> Iterator[Write]:
    with path.open("wb") as file:

        def write(table: pa.Table) -> None:
            file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in table.to_pylist())

        yield write


_WRITERS = {"parquet": _open_parquet, "csv": _open_csv, "jsonl": _open_lines}
