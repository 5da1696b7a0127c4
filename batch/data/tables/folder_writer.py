"""Tables into a folder of Parquet files, each complete from the moment it has its name."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.data.tables.folder import Folder
from batch.data.tables.location import SourceError

STAGING = ".partial"  # hidden, so that no reader takes it for tables


class FolderWriter:
    """Writes `name.parquet`, zstd, a row group a chunk; one writer at a time."""

    def __init__(self, location: str) -> None:
        """Make the folder, and clear what an interrupted writer left.

        Raises:
            SourceError: It is a file, or may not be written.
        """
        self._path = Path(location)
        self._staging = self._path / STAGING
        self._files = ExitStack()
        self._writers: dict[str, Any] = {}
        with self._refusals():
            self._path.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging.mkdir()

    def append(self, name: str, chunk: pa.Table) -> None:
        """Write a chunk of a table beside the finished ones.

        Raises:
            SourceError: There is no room.
        """
        with self._refusals():
            if name not in self._writers:
                file = pq.ParquetWriter(self._staging / f"{name}.parquet", chunk.schema, compression="zstd")
                self._writers[name] = self._files.enter_context(file)
            self._writers[name].write_table(chunk)

    def finish(self, replaced: list[str]) -> None:
        """Give every written table its name, one atomic step a table; then remove the rest of `replaced`."""
        with self._refusals():
            self._files.close()
        folder = Folder(str(self._path))
        old = {file for name in {*replaced, *self._writers} for file in folder.files(name, one_format=False)}
        for name in self._writers:
            final = self._path / f"{name}.parquet"
            (self._staging / final.name).replace(final)
            old.discard(final)
        for file in old:
            file.unlink()

    def close(self) -> None:
        """Let go, and remove what has not got its name."""
        with suppress(OSError):  # a file without room for its end
            self._files.close()
        shutil.rmtree(self._staging, ignore_errors=True)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Say which folder cannot be written, and why."""
        try:
            yield
        except OSError as exc:
            why = os.strerror(exc.errno) if exc.errno else exc
            raise SourceError(f"cannot write to {self._path}: {why}; give a folder with room") from exc
