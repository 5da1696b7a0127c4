"""Files of lines, CSV, TSV and JSON: as Arrow, a block at a time; a line that is none is passed on."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.types as pt

from batch.data.tables.form import FileForm
from batch.data.tables.layout import Layout, find_layout, read_rows
from batch.data.tables.stream import open_text, read_head
from batch.data.tables.words import drop_words

BLOCK_BYTES = 8 << 20  # of CSV at a time; a row, its text included, must fit
BATCH_LINES = 1 << 16
MOST_LETTERS = 1_000  # of a bad line that are kept

Columns = Sequence[str]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no row: what it says, its begin, and what is wrong with it."""

    text: str
    why: str


OnBad = Callable[[BadLine], None]


def read_layout(path: Path, form: FileForm, *, tabs: bool) -> Layout:
    """Find how a file of separated fields is written.

    Raises:
        ValueError: It is empty, or has not as many columns as the form names.
    """
    head, encoding, more = read_head(path, form.encoding)
    return find_layout(head, encoding, form, cut=more, tabs=tabs)


def csv_batches(
    path: Path, layout: Layout, columns: Columns, nulls: Columns, on_bad: OnBad
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a CSV file; all values are text, NULL where one is of `nulls`."""
    if layout.skips_blanks:  # which Arrow does not: a quote after a blank would be a letter
        return _by_row(path, layout, columns, nulls, on_bad)
    return _by_arrow(path, layout, columns, nulls, on_bad)


def json_columns(path: Path, encoding: str) -> list[str]:
    """Return the keys of the first lines, in the order in which they come.

    Raises:
        ValueError: The file is one JSON array, or its first line is no object.
    """
    _, encoding, _ = read_head(path, encoding)
    with open_text(path, encoding) as stream:
        first: list[BadLine] = []
        rows = list(islice(_objects(_lines(stream), first.append), BATCH_LINES))
    if first and not rows:
        raise ValueError(f"it is no JSON with an object a line: {first[0].text[:60]!r} is the first")
    return list(dict.fromkeys(key for row in rows for key in row))


def json_batches(
    path: Path, encoding: str, columns: Columns, nulls: Columns, on_bad: OnBad
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file with a JSON object a line; a key that a line lacks is NULL."""
    _, encoding, _ = read_head(path, encoding)
    with open_text(path, encoding) as stream:
        rows = _objects(_lines(stream), on_bad)
        while block := list(islice(rows, BATCH_LINES)):
            arrays = [drop_words(_array([row.get(name) for row in block]), nulls) for name in columns]
            yield pa.record_batch(arrays, names=list(columns))


def _by_arrow(
    path: Path, layout: Layout, columns: Columns, nulls: Columns, on_bad: OnBad
) -> Iterator[pa.RecordBatch]:
    # All text: Arrow would guess types from the first block and fail on a bad value in a later one.
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(columns, pa.string()),
        include_columns=list(columns),
        null_values=["", *nulls],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    parse = pa_csv.ParseOptions(
        delimiter=layout.delimiter,
        quote_char=layout.quote or False,
        escape_char=layout.escape or False,
        newlines_in_values=bool(layout.quote),
        invalid_row_handler=lambda row: _pass_on(row, on_bad),
    )
    read = pa_csv.ReadOptions(
        block_size=BLOCK_BYTES,
        column_names=[name or f"\0{place}" for place, name in enumerate(layout.names)],
        skip_rows_after_names=int(layout.has_header),
    )
    with (
        open_text(path, layout.encoding, layout.separator) as stream,
        pa_csv.open_csv(stream, read_options=read, parse_options=parse, convert_options=convert) as reader,
    ):
        yield from reader


def _pass_on(row: Any, on_bad: OnBad) -> str:
    on_bad(_bad_row(row.text, row.actual_columns, row.expected_columns))
    return "skip"


def _bad_row(text: str, n_fields: int, n_columns: int) -> BadLine:
    return BadLine(text[:MOST_LETTERS], f"it has {n_fields} fields, not {n_columns}")


def _by_row(
    path: Path, layout: Layout, columns: Columns, nulls: Columns, on_bad: OnBad
) -> Iterator[pa.RecordBatch]:
    csv.field_size_limit(BLOCK_BYTES)
    places = [layout.names.index(name) for name in columns]
    with open_text(path, layout.encoding, layout.separator) as stream:
        rows = read_rows(_lines(stream), layout)
        if layout.has_header:
            next(row for row in rows if row)
        while block := list(islice(rows, BATCH_LINES)):
            whole = [row for row in block if len(row) == len(layout.names)]
            for row in block:
                if row and len(row) != len(layout.names):
                    on_bad(_bad_row(layout.separator.join(row), len(row), len(layout.names)))
            arrays = [pa.array([row[place].strip(" ") for row in whole], pa.string()) for place in places]
            yield pa.record_batch([drop_words(a, ["", *nulls]) for a in arrays], names=list(columns))


def _lines(stream: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", newline="")


def _objects(lines: io.TextIOWrapper, on_bad: OnBad) -> Iterator[dict[str, Any]]:
    for line in lines:
        row = _parse(line) if line.strip() else None
        if isinstance(row, dict):
            yield row
        elif line.strip():
            on_bad(BadLine(line.rstrip()[:MOST_LETTERS], "it is no JSON object"))


def _parse(line: str) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            return json.loads(line)  # which takes Python's NaN
        except ValueError:
            return None


def _array(values: list[Any]) -> pa.Array:
    """Return values as a column of their type; as text where they are of several, or objects."""
    try:
        column = pa.array(values)
    except (pa.ArrowException, OverflowError):
        column = None
    if column is not None and not pt.is_struct(column.type):
        return column
    return pa.array([_spell(value) for value in values], pa.string())


def _spell(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
