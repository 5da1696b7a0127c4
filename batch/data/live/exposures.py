"""Exposures: out of the store's stream into a table, each once, for so many days.

Posts have numbers in the stream and ids in the table, which join with those of events and facts. The store's
dictionary never changes a number, so that a record makes the same row whenever it is read.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pyarrow as pa
import redis
import sqlalchemy as sa

from api.contract.exposure import FIELD, Exposure, pack, unpack
from api.contract.keys import Keys
from batch.data.forgotten import read_forgotten
from batch.data.live.database import Row, Unread, insert, keep_unreadable, open_events
from batch.data.live.days import drop_days, make_days
from batch.data.live.drain import Drained, Entry, drain_stream
from batch.data.live.layout import EXPOSURES, KEPT_APART
from batch.data.tables.stall import STALL_S
from batch.store.read import narrow

CHUNK = 50  # entries read, and written, at a time: of up to 512 records each
READ_ROWS = 1 << 14  # at a time

Placed = tuple[str, int, Exposure]  # the entry's id, the place in it, the record


def drain_exposures(
    store: redis.Redis, keys: Keys, url: str, days: int, today: date, stall_s: float = STALL_S
) -> Drained:
    """Move what is in the stream now into the table, and drop what is older than `days`; 0 keeps it for ever.

    Records of forgotten users are left out. Database and `stall_s` as of `batch.data.live.events.drain`.

    Raises:
        SourceError: The database cannot be opened or written; the stream keeps what is not in it.
    """
    key, forgotten = keys.exposures(), read_forgotten(store, keys)

    def is_gone(user_id: str) -> bool:
        return forgotten.holds(user_id, "numbers") or forgotten.holds(user_id, "text")

    keep = partial(_keep, ids_of=partial(_read_ids, store, keys.ids()), is_gone=is_gone)
    with open_events(url, stall_s) as (engine, watch):
        done = drain_stream(store, key, engine, keep, watch.waiting, CHUNK)
        with watch.waiting():
            with engine.begin() as connection:
                make_days(connection, [today, today + timedelta(days=1)])
            if days:
                drop_days(engine, today - timedelta(days=days))
    return done


def read_exposures(
    url: str, experiment: str, since: date, stall_s: float = STALL_S, *, drawn: bool = False
) -> Iterator[pa.RecordBatch]:
    """Yield an experiment's answers from a day on, in batches.

    Columns are texts `user_id` and `arm`, int64 `accepted_at_ms`, lists of texts `post_ids`; with `drawn`
    int64 `bucket_s` and lists of float64 `propensities` too.

    Raises:
        SourceError: The database cannot be opened or read.
    """
    columns = {"user_id": pa.string(), "arm": pa.string(), "accepted_at_ms": pa.int64()}
    of_draws = {"bucket_s": pa.int64(), "propensities": pa.list_(pa.float64())} if drawn else {}
    schema = pa.schema({**columns, "post_ids": pa.list_(pa.string()), **of_draws})
    chosen = sa.select(*(EXPOSURES.c[name] for name in schema.names))
    chosen = chosen.where(EXPOSURES.c.experiment == experiment, EXPOSURES.c.day >= since)
    with open_events(url, stall_s) as (engine, watch), engine.connect() as connection:
        streamed = connection.execution_options(yield_per=READ_ROWS)
        with watch.waiting():
            parts = streamed.execute(chosen).partitions()
            rows = next(parts, None)
        while rows:
            values = zip(zip(*rows, strict=True), schema.types, strict=True)
            yield pa.record_batch([pa.array(column, kind) for column, kind in values], schema=schema)
            with watch.waiting():
                rows = next(parts, None)


def count_rungs(
    url: str, experiment: str, since: date, stall_s: float = STALL_S
) -> dict[tuple[str, str], int]:
    """Return how many of an experiment's answers from a day on each arm gave from each lowest rung.

    Raises:
        SourceError: The database cannot be opened or read.
    """
    of = (EXPOSURES.c.arm, EXPOSURES.c.rung)
    chosen = sa.select(*of, sa.func.count()).group_by(*of)
    chosen = chosen.where(EXPOSURES.c.experiment == experiment, EXPOSURES.c.day >= since)
    with open_events(url, stall_s) as (engine, watch), engine.connect() as connection, watch.waiting():
        return {(arm, rung): n for arm, rung, n in connection.execute(chosen)}


def day_of(accepted_ms: int) -> date:
    """Return the day of a time, UTC.

    Raises:
        ValueError, OverflowError, OSError: It is none.
    """
    return datetime.fromtimestamp(accepted_ms // 1000, UTC).date()


def _keep(
    connection: sa.Connection,
    entries: list[Entry],
    ids_of: Callable[[set[int]], dict[int, str]],
    is_gone: Callable[[str], bool],
) -> Drained:
    read: list[Placed] = []
    unreadable: list[Unread] = []
    for entry_id, fields in entries:
        name = entry_id.decode()
        try:
            records = unpack(fields[FIELD.encode()])
        except (KeyError, ValueError):
            unreadable.append((f"{KEPT_APART}{name}", fields))
            continue
        for place, one in enumerate(records):
            if _fits(one):
                read.append((name, place, one))
            else:
                unreadable.append((f"{KEPT_APART}{name} {place}", {b"records": pack([one])}))
    read = [placed for placed in read if not is_gone(placed[2].user_id)]
    ids = ids_of({post for _, _, one in read for post in one.posts})
    rows = [_row(placed, ids) for placed in read]
    make_days(connection, {day_of(one.accepted_ms) for _, _, one in read})
    n_new = insert(connection, EXPOSURES, rows)
    keep_unreadable(connection, unreadable)
    return Drained(len(entries), n_new, len(unreadable))


def _fits(one: Exposure) -> bool:
    """Say whether a table can hold a record: PostgreSQL's texts have no NUL, and its day is one."""
    try:
        day_of(one.accepted_ms)
    except (ValueError, OverflowError, OSError):
        return False
    return "\0" not in "".join((one.experiment, one.arm, one.user_id, one.rung, one.request_id))


def _row(placed: Placed, ids: dict[int, str]) -> Row:
    entry_id, place, one = placed
    return {
        "day": day_of(one.accepted_ms),
        "entry_id": entry_id,
        "place": place,
        "experiment": one.experiment,
        "arm": one.arm,
        "user_id": one.user_id,
        "accepted_at_ms": one.accepted_ms,
        "asked_for_s": one.asked_s,
        "generation": one.generation,
        "bucket_s": one.bucket_s,
        "rung": one.rung,
        "request_id": one.request_id,
        "post_ids": [ids[post] for post in one.posts],
        "propensities": list(one.propensities),
    }


def _read_ids(store: redis.Redis, key: str, posts: set[int]) -> dict[int, str]:
    """Return the ids of posts' numbers; one without an entry in the dictionary is its own id."""
    ids = {number: str(number) for number in sorted(posts)}
    if ids and store.exists(key):
        found = zip(ids, store.hmget(key, list(ids.values())), strict=True)
        ids |= {number: narrow(text).decode() for number, text in found if text is not None}
    return ids
