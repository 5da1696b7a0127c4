"""One file of a table, whatever its format: the names of its columns, and its rows."""

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch.data.tables.form import NULLS, FileForm, Format, format_of
from batch.data.tables.layout import Layout, read_rows
from batch.data.tables.lines import OnBad, csv_batches, json_batches, json_columns, read_layout
from batch.data.tables.location import SourceError
from batch.data.tables.parquet import parquet_batches
from batch.data.tables.stream import find_undecodable

MOST_SHOWN = 60  # bytes of a line in a message
_MAGIC = b"PAR1"
_ENCODING = 'encoding, such as "latin-1" or "cp1251"'


@dataclass(frozen=True)
class TableFile:
    """A file, and what is known of it before it is read.

    Attributes:
        path: The file.
        form: What a mapping says of the table's files.
        section: Of the mapping, which says more: for messages; empty: there is none.
        keys: Columns that the names of its folders say: name to value, the same in every row.
    """

    path: Path
    form: FileForm
    section: str
    keys: dict[str, object] = field(default_factory=dict)

    @cached_property
    def format(self) -> Format:
        """Return what the form says, or the suffix of the file or its folder, or else the first bytes."""
        said = self.form.format or format_of(self.path.name) or format_of(self.path.parent.name)
        if said is None:
            with self.path.open("rb") as file:
                said = "parquet" if file.read(len(_MAGIC)) == _MAGIC else "csv"
        return said

    @cached_property
    def layout(self) -> Layout | None:
        """Return how separated fields are written; None where the format has none.

        Raises:
            SourceError: The file cannot be read.
        """
        if not self._has_fields:
            return None
        with self._refusals():
            return read_layout(self.path, self.form, tabs=self.format == "tsv")

    @property
    def _has_fields(self) -> bool:
        return self.format in ("csv", "tsv")

    @cached_property
    def names(self) -> list[str]:
        """Return the names of the columns, those of the folders last; without a name it is an empty text.

        Raises:
            SourceError: The file cannot be read.
        """
        return [*self._own_names, *(key for key in self.keys if key not in self._own_names)]

    def batches(self, columns: Sequence[str], on_bad: OnBad) -> Iterator[pa.RecordBatch]:
        """Yield the rows with the given columns, in that order.

        Args:
            columns: Names; of a file of JSON they need not be among `names`.
            on_bad: Takes the lines that are no rows.

        Raises:
            SourceError: The file cannot be read.
        """
        own = [name for name in columns if name in self._own_names or name not in self.keys]
        with self._refusals():
            for batch in self._read(own, on_bad):
                yield _with_keys(batch, columns, self.keys)

    @cached_property
    def _own_names(self) -> list[str]:
        if self.layout is not None:
            return list(self.layout.names)
        with self._refusals():
            if self.format == "parquet":
                return list(pq.read_schema(self.path).names)
            return json_columns(self.path, self.form.encoding)

    def _read(self, columns: list[str], on_bad: OnBad) -> Iterator[pa.RecordBatch]:
        nulls = NULLS if self.form.null is None else self.form.null
        if self.layout is not None:
            return csv_batches(self.path, self.layout, columns, nulls, on_bad)
        if self.format == "parquet":
            return parquet_batches(self.path, columns, self.form.encoding)
        return json_batches(self.path, self.form.encoding, columns, nulls, on_bad)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Say which file cannot be read, why, and which key of a mapping may help."""
        try:
            yield
        except (
            pa.ArrowException,
            OSError,
            EOFError,
            ValueError,
            zipfile.BadZipFile,
            zlib.error,
            csv.Error,
        ) as exc:
            if isinstance(exc, SourceError):
                raise
            raise SourceError(f"cannot read {self.path}: {self._explain(exc)}") from exc

    def _explain(self, exc: Exception) -> str:
        if not self.section:
            return f"{exc}: write it as Parquet, or as CSV or JSON lines in UTF-8"
        help_by = f"under {self.section} in a mapping file"
        if isinstance(exc, UnicodeDecodeError) and exc.encoding == "utf-8" and self.format != "parquet":
            number, line = find_undecodable(self.path)
            shown = line[:MOST_SHOWN].decode("ascii", "backslashreplace")
            place = f"line {number}{self._column_of(line)}"
            return f"{place} is no utf-8 ('{shown}'): set {_ENCODING}, {help_by}"
        if isinstance(exc, UnicodeError):
            return f"{exc}: set another {_ENCODING}, {help_by}"
        if "is no utf-8" in str(exc):  # of Parquet
            return f"{exc}: set {_ENCODING}, {help_by}"
        if "straddling" in str(exc) or "out of sync" in str(exc):
            return f"a row is longer than 8 MB, so a quote is likely open: set quote or escape {help_by}"
        if self.format != "parquet" and isinstance(exc, (ValueError, csv.Error)):
            return f"{exc}: mend separator, header or format {help_by}"
        return str(exc)

    def _column_of(self, line: bytes) -> str:
        """Name the first column of a line whose bytes are no UTF-8; nothing where the format tells none."""
        if self.layout is None:
            return ""
        text = line.decode("utf-8", "replace").replace(self.layout.separator, self.layout.delimiter)
        named = zip(
            self.layout.names, next(read_rows(io.StringIO(text, newline=""), self.layout), []), strict=False
        )
        return next((f", column {name!r}" for name, field in named if "\ufffd" in field), "")


def _with_keys(batch: pa.RecordBatch, columns: Sequence[str], keys: dict[str, object]) -> pa.RecordBatch:
    """Return a batch with the columns in order, those of the folders filled in."""
    arrays = [
        batch.column(name) if name in batch.schema.names else pa.repeat(pa.scalar(keys[name]), batch.num_rows)
        for name in columns
    ]
    return pa.record_batch(arrays, names=list(columns))
