"""Where tables are written: a folder of Parquet files, or a database. The counterpart of reading."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.types as pt

from batch.data.columns import EMBEDDINGS, FEED, POSTS, USERS
from batch.data.source import Progress
from batch.data.tables.database_writer import DatabaseWriter
from batch.data.tables.folder_writer import FolderWriter
from batch.data.tables.location import SourceError, is_url, parse_url, shown, sqlite_file
from batch.data.tables.origin import opened

CHUNK_ROWS = 1 << 17  # small chunks are gathered up to this, or
CHUNK_BYTES = 64 << 20  # up to this
OURS = (USERS, POSTS, FEED, EMBEDDINGS)


class Writer(Protocol):
    """Tables that can be written chunk by chunk and then, all at once, be there."""

    def append(self, name: str, chunk: pa.Table) -> None:
        """Write a chunk of a table where no reader finds it."""
        ...

    def finish(self, replaced: list[str]) -> None:
        """Put what was written in the place of `replaced` and of tables of the same names."""
        ...

    def close(self) -> None:
        """Remove what was not finished, and disconnect."""
        ...


def write(
    location: str,
    tables: Iterable[tuple[str, pa.Table]],
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Write a stream of chunks, in bounded memory, so that no table is ever there by half.

    Args:
        location: A folder, made where needed, or a SQLAlchemy URL.
        tables: Table name and chunk; chunks of several tables may alternate; an empty chunk makes an
            empty table. The columns of a table's first chunk are the table's.
        replace: Put the new tables in the place of all of ours that are there. Other tables stay.
        progress: Called with a table's name and the number of rows written since its last call.

    Returns:
        Table name to rows.

    Raises:
        SourceError: The location holds facts already and `replace` is False, or it cannot be written.
        ValueError: A chunk has other columns than the chunks before it.
    """
    taken = _names(location)
    _refuse([name for name in OURS if name in taken], location, replace=replace)
    writer: Writer = DatabaseWriter(location) if is_url(location) else FolderWriter(location)
    rows: dict[str, int] = {}
    try:
        for name, chunk in _gathered(tables):
            _refuse([name] if name in taken else [], location, replace=replace)
            writer.append(name, chunk)
            rows[name] = rows.get(name, 0) + chunk.num_rows
            if progress:
                progress(name, chunk.num_rows)
        writer.finish([name for name in OURS if name in taken])
    finally:
        writer.close()
    return rows


def refuse_taken(location: str) -> None:
    """Refuse a location that holds facts already, before any work is done for it; nothing is made there.

    Raises:
        SourceError: It does, or it cannot be reached.
    """
    taken = _names(location)
    _refuse([name for name in OURS if name in taken], location, replace=False)


def _names(location: str) -> list[str]:
    """Return the names of the tables that are there."""
    if is_url(location):
        url = parse_url(location)
        there = url.get_backend_name() != "sqlite" or sqlite_file(url).is_file()
    else:
        there = Path(location).exists()
    if not there:
        return []
    with opened(location) as tables:
        return tables.names()


def _refuse(taken: list[str], location: str, *, replace: bool) -> None:
    if taken and not replace:
        raise SourceError(
            f"{shown(location)} already holds {', '.join(taken)}: give another place, or --replace them"
        )


def _gathered(tables: Iterable[tuple[str, pa.Table]]) -> Iterator[tuple[str, pa.Table]]:
    """Yield fewer, larger chunks: of tables with one schema each, without dictionaries."""
    waiting: dict[str, list[pa.Table]] = {}
    schemas: dict[str, pa.Schema] = {}
    for name, chunk in tables:
        alike = _alike(name, _decoded(chunk), schemas)
        parts = waiting.setdefault(name, [])
        parts.append(alike)
        if sum(p.num_rows for p in parts) >= CHUNK_ROWS or sum(p.nbytes for p in parts) >= CHUNK_BYTES:
            yield name, pa.concat_tables(waiting.pop(name)).combine_chunks()
    for name, parts in waiting.items():
        yield name, pa.concat_tables(parts).combine_chunks()


def _alike(name: str, chunk: pa.Table, schemas: dict[str, pa.Schema]) -> pa.Table:
    schema = schemas.setdefault(name, chunk.schema)
    if set(chunk.column_names) != set(schema.names):
        raise ValueError(f"a chunk of {name} has columns {chunk.column_names}, earlier ones {schema.names}")
    return chunk.select(schema.names).cast(schema)


def _decoded(chunk: pa.Table) -> pa.Table:
    """Return the chunk with plain columns: databases know no dictionaries."""
    for place, spec in enumerate(chunk.schema):
        if pt.is_dictionary(spec.type):
            chunk = chunk.set_column(place, spec.name, chunk.column(place).cast(spec.type.value_type))
    return chunk.replace_schema_metadata(None)
