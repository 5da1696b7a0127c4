"""Parquet files: as Arrow, a row group's pages at a time; text that is none is refused by its place."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from batch.data.tables.words import is_text

BATCH_ROWS = 1 << 18


def parquet_batches(path: Path, columns: Sequence[str], encoding: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows; bytes come as text of the encoding, UTF-8 where it is empty.

    Raises:
        ValueError: A text is not of the encoding; the message names row and column.
    """
    row = 0
    # Without pre-buffering only one row group's pages are held.
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
            named = zip(batch.schema.names, batch.columns, strict=True)
            arrays = [_as_text(column, encoding, name, row) for name, column in named]
            yield pa.record_batch(arrays, names=batch.schema.names)
            row += batch.num_rows


def _as_text(column: pa.Array, encoding: str, name: str, first_row: int) -> pa.Array:
    is_binary = pt.is_binary(column.type) or pt.is_large_binary(column.type)
    if not is_binary and not is_text(column.type):
        return column
    if not (is_binary and encoding):
        with suppress(pa.ArrowInvalid):
            text = column.cast(pa.string()) if is_binary else column
            text.validate(full=True)
            return text
    values = column.cast(pa.large_binary()).to_pylist()
    texts = [
        _decode(value, encoding or "utf-8", name, first_row + place) for place, value in enumerate(values, 1)
    ]
    return pa.array(texts, pa.string())


def _decode(value: bytes | None, encoding: str, name: str, row: int) -> str | None:
    try:
        return None if value is None else value.decode(encoding)
    except UnicodeDecodeError as exc:
        shown = value[:60].decode("ascii", "backslashreplace") if value else ""
        raise ValueError(f"row {row}, column {name!r}: '{shown}' is no {encoding}") from exc
