"""Columns in a file that is mapped into memory: in Arrow's format, without pickle.

What lies in a file is the system's to keep: it counts as this process's memory only from when it is read
until it is released, and is read again by whoever asks for it.
"""

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Column = npt.NDArray[Any]


def write_columns(path: Path, columns: Mapping[str, Column]) -> None:
    """Write columns of one length as one record batch, uncompressed; nothing is copied in memory."""
    batch = pa.record_batch([pa.array(column) for column in columns.values()], names=list(columns))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


class MappedColumns:
    """The columns that `write_columns` wrote, as arrays; the file may be removed while they are in use.

    Attributes:
        columns: Name to array, (rows,) each. What is written into one stays in this process.
        path: The file, which may be gone.
    """

    def __init__(self, path: Path) -> None:
        """Map a file.

        Raises:
            OSError: It cannot be read.
            pa.ArrowInvalid: It is none of ours, or not whole.
        """
        self.path = path
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        found = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(self._map))).get_batch(0)
        begin = np.frombuffer(self._map, np.uint8).ctypes.data
        self.columns: dict[str, Column] = {}
        for name, column in zip(found.schema.names, found.columns, strict=True):
            kind, values = column.type.to_pandas_dtype(), column.buffers()[1]
            offset = values.address - begin if len(column) else 0
            self.columns[name] = np.frombuffer(self._map, kind, len(column), offset)

    def release(self) -> None:
        """Give back the memory of all that was read; what was written into a column is lost."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
