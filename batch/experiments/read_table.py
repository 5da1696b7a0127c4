"""A table of an experiment from one file, whole: CSV, JSON lines or Parquet."""

from pathlib import Path

import pyarrow as pa

from batch.data.tables.file import TableFile
from batch.data.tables.form import FileForm
from batch.data.tables.lines import BadLine
from batch.data.tables.location import SourceError


def read_table(path: Path) -> pa.Table:
    """Read all columns of a file; of CSV they are text.

    Raises:
        SourceError: It is not there, has no row, or a line is none.
    """
    if not path.is_file():
        raise SourceError(f"there is no file {path}")
    file, bad = TableFile(path, FileForm(), section=""), list[BadLine]()
    batches = list(file.batches(file.names, bad.append))
    if bad:
        raise SourceError(f"{path} has a line that is no row: {bad[0].text[:60]!r}, where {bad[0].why}")
    if not sum(batch.num_rows for batch in batches):
        raise SourceError(f"{path} has no row")
    return pa.Table.from_batches(batches).combine_chunks()
