"""A stream into a database, at least once; the rows' keys make that once.

An entry leaves the stream only after its rows are committed, and a row is written once however often its
entry is read: a kill anywhere in between repeats work and changes nothing.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, cast

import redis
import sqlalchemy as sa

Entry = tuple[bytes, dict[bytes, bytes]]  # its id in the stream, and its fields


class Drained(NamedTuple):
    """How many entries left the stream; how many new rows they made, how many could not be read."""

    n_entries: int
    n_new: int
    n_unreadable: int


# Writes entries that are not there yet, in the transaction that it is given.
Keep = Callable[[sa.Connection, list[Entry]], Drained]


def drain_stream(
    store: redis.Redis,
    key: str,
    engine: sa.Engine,
    keep: Keep,
    waiting: Callable[[], AbstractContextManager[None]],
    chunk: int,
) -> Drained:
    """Move what is in a stream now into a database; any number of processes may do so at once.

    Args:
        store: Client of the store, replies as bytes.
        key: The stream.
        engine: Of the database.
        keep: Writes a chunk of entries.
        waiting: Context of each transaction.
        chunk: Entries read, and written, at a time.
    """
    total = Drained(0, 0, 0)
    # No further than what was there at the begin: entries may come as fast as they are drained.
    for _ in range(0, int(store.xlen(key)), chunk):
        entries = cast("list[Entry]", store.xrange(key, count=chunk))
        if not entries:
            break
        with waiting(), engine.begin() as connection:
            done = keep(connection, entries)
        remove(store, key, entries)
        total = Drained(*(a + b for a, b in zip(total, done, strict=True)))
    return total


def remove(store: redis.Redis, key: str, entries: list[Entry]) -> None:
    """Remove entries that were read from the stream's begin; those that came since have later ids."""
    milliseconds, number = entries[-1][0].decode().split("-")
    store.xtrim(key, minid=f"{milliseconds}-{int(number) + 1}", approximate=False)
