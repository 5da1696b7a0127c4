"""One user's rows out of Parquet files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.arrays import Ints

Open = Callable[[Path, pa.Schema], pq.ParquetWriter]


def open_plain(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a file for writing as most of ours are written."""
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False)


def drop_rows(path: Path, column: str, codes: Ints, open_file: Open = open_plain) -> bool:
    """Write a file anew without the rows of some users; return whether it had any.

    It takes the old one's place when it is whole; what is linked to the old one elsewhere stays as it was.

    Args:
        path: A Parquet file; one without the column has no such rows.
        column: Holds codes of users.
        codes: int64. Whose rows go.
        open_file: Opens the new file.
    """
    if column not in pq.read_schema(path).names:
        return False
    filters = [(column, "in", codes.tolist())]
    if not len(codes) or not len(pq.read_table(path, columns=[column], filters=filters)):
        return False
    old, part, gone = pq.ParquetFile(path), path.with_suffix(".part"), pa.array(np.asarray(codes, np.int64))
    with open_file(part, old.schema_arrow) as new:
        for number in range(old.num_row_groups):
            table = old.read_row_group(number)
            new.write_table(table.filter(pc.invert(pc.is_in(table[column], gone))))
    part.replace(path)
    return True
