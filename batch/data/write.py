"""Write tables into a folder of Parquet files or a database: all of them are there at once, or none."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.types as pt

from batch.data.columns import EMBEDDINGS, FEED, POST_ID, POSTS, USER_ID, USERS, feed_table
from batch.data.facts import Facts
from batch.data.source import open_tables
from batch.data.tables.database_writer import DatabaseWriter
from batch.data.tables.folder_writer import FolderWriter
from batch.data.tables.location import SourceError, hide_password, is_url, parse_url, sqlite_file
from batch.data.tables.stall import STALL_S
from batch.data.windows import FROM_S, TO_S, Windows
from batch.progress import Advance

CHUNK_ROWS = 1 << 17  # small chunks are gathered up to this, or
CHUNK_BYTES = 64 << 20  # up to this
FEED_ROWS = 1 << 20  # of a chunk of facts
OURS = (USERS, POSTS, FEED, EMBEDDINGS)


def write(
    location: str,
    tables: Iterable[tuple[str, pa.Table]],
    *,
    replace: bool = False,
    stall_s: float = STALL_S,
    advance: Advance = lambda _: None,
) -> dict[str, int]:
    """Write a stream of chunks, in bounded memory, so that no table is ever there by half.

    Args:
        location: A folder, made where needed, or the SQLAlchemy URL of an SQLite or PostgreSQL database.
        tables: Table name and chunk; chunks of several tables may alternate; an empty chunk makes an
            empty table. The columns of a table's first chunk are the table's.
        replace: Put the new tables in the place of all of ours that are there. Other tables stay.
        stall_s: Longest silence of a PostgreSQL, seconds.
        advance: Called with the number of rows written since its last call.

    Returns:
        Table name to rows.

    Raises:
        SourceError: The location holds facts already and `replace` is False, or it cannot be written.
        ValueError: A chunk has other columns than the chunks before it.
    """
    if not replace:
        refuse_taken(location, stall_s)
    taken = _names(location, stall_s)
    writer = DatabaseWriter(location, taken, stall_s) if is_url(location) else FolderWriter(location)
    rows: dict[str, int] = {}
    try:
        for name, chunk in _gather(tables):
            if name in taken and not replace:
                raise _name_taken(location, [name])
            writer.append(name, chunk)
            rows[name] = rows.get(name, 0) + chunk.num_rows
            advance(chunk.num_rows)
        writer.finish([name for name in OURS if name in taken])
    finally:
        writer.close()
    return rows


def refuse_taken(location: str, stall_s: float = STALL_S) -> None:
    """Refuse a location that holds facts already, before any work is done for it; nothing is made there.

    Raises:
        SourceError: It does, or it cannot be reached.
    """
    taken = _names(location, stall_s)
    ours = [name for name in OURS if name in taken]
    if ours:
        raise _name_taken(location, ours)


def tables_of(facts: Facts) -> Iterator[tuple[str, pa.Table]]:
    """Yield facts as tables of our schema, the feed in chunks; reading them gives equal facts.

    A database holds lists as texts `a|b`, which a mapping with `split = "|"` reads as lists.
    Times are timestamps without zone, UTC. Profile columns of whole numbers are integers. Embeddings
    are `e0`, `e1`, …; a post without one has no row.
    """
    user_ids, post_ids = facts.user_names.column(facts.user_ids), facts.post_names.column(facts.post_ids)
    yield USERS, _table(facts.users).set_column(0, USER_ID, user_ids)
    windows = Windows.of(facts.posts)
    posts = _table(facts.posts.drop(columns=[FROM_S, TO_S], errors="ignore")).set_column(0, POST_ID, post_ids)
    for name, column in (windows.columns() if windows else {}).items():
        posts = posts.append_column(name, column)
    yield POSTS, posts if facts.post_came is None else posts.take(pa.array(np.argsort(facts.post_came)))
    if facts.embeddings is not None:
        rows = ~np.isnan(facts.embeddings).all(axis=1)
        columns = {f"e{place}": column for place, column in enumerate(facts.embeddings[rows].T)}
        yield EMBEDDINGS, pa.table({POST_ID: post_ids.filter(pa.array(rows)), **columns})
    for start in range(0, max(1, len(facts.time)), FEED_ROWS):
        chunk = slice(start, start + FEED_ROWS)
        ids = user_ids.take(pa.array(facts.user[chunk])), post_ids.take(pa.array(facts.post[chunk]))
        yield FEED, feed_table(facts.time[chunk], *ids, facts.action[chunk], facts.target[chunk])


def _names(location: str, stall_s: float) -> list[str]:
    """Return the names of the tables that are there."""
    if is_url(location):
        url = parse_url(location)
        there = url.get_backend_name() != "sqlite" or sqlite_file(url).is_file()
    else:
        there = Path(location).exists()
    if not there:
        return []
    with open_tables(location, stall_s) as tables:
        return tables.names()


def _name_taken(location: str, names: list[str]) -> SourceError:
    place = hide_password(location)
    return SourceError(f"{place} already holds {', '.join(names)}: give another place, or --replace them")


def _gather(tables: Iterable[tuple[str, pa.Table]]) -> Iterator[tuple[str, pa.Table]]:
    """Yield fewer, larger chunks: of tables with one schema each, without dictionaries."""
    waiting: dict[str, list[pa.Table]] = {}
    schemas: dict[str, pa.Schema] = {}
    for name, chunk in tables:
        schema = schemas.setdefault(name, pa.schema([_plain(column) for column in chunk.schema]))
        if set(chunk.column_names) != set(schema.names):
            raise ValueError(
                f"a chunk of {name} has columns {chunk.column_names}, earlier ones {schema.names}"
            )
        parts = waiting.setdefault(name, [])
        parts.append(chunk.select(schema.names).cast(schema))
        if sum(p.num_rows for p in parts) >= CHUNK_ROWS or sum(p.nbytes for p in parts) >= CHUNK_BYTES:
            yield name, pa.concat_tables(waiting.pop(name)).combine_chunks()
    for name, parts in waiting.items():
        yield name, pa.concat_tables(parts).combine_chunks()


def _plain(column: pa.Field) -> pa.Field:
    """Return a column's name and type, that of the values where it is a dictionary: databases know none."""
    kind = column.type
    return pa.field(column.name, kind.value_type if pt.is_dictionary(kind) else kind)


def _table(frame: pd.DataFrame) -> pa.Table:
    return pa.table({str(name): _column(np.asarray(frame[name])) for name in frame.columns})


def _column(values: npt.NDArray[Any]) -> pa.Array:
    if values.dtype == object:
        if any(isinstance(value, tuple) for value in values):
            return pa.array(values, pa.list_(pa.string()))
        return pa.array(values, pa.string(), from_pandas=True)
    column = pa.array(values, from_pandas=True)
    present = values[~np.isnan(values)]
    # Beyond 2**53 a float64 is no longer every whole number.
    is_whole = len(present) > 0 and bool(np.all((np.floor(present) == present) & (np.abs(present) <= 2**53)))
    return column.cast(pa.int64()) if is_whole else column
