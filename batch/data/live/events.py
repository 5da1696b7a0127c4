"""Live events: out of the store's stream into a database of their own, exactly once, and back as columns.

The facts' own database may be read-only, so accepted events have one beside it, one row an event.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import redis
import sqlalchemy as sa

from api.contract.event import Event
from api.contract.keys import Keys
from batch.arrays import Bools, Ints, Ints8
from batch.data.columns import ACTIONS
from batch.data.ids import as_texts
from batch.data.live.database import Row, Unread, insert, keep_unreadable, open_events
from batch.data.live.drain import Drained, Entry, drain_stream
from batch.data.live.layout import EVENTS, IDS
from batch.data.source import open_tables
from batch.data.tables.stall import STALL_S

CHUNK = 2000  # entries read, and rows written, at a time

_COLUMNS = pa.schema(  # that are read back
    {
        **dict.fromkeys((*IDS, "action", "event_id"), pa.string()),
        **dict.fromkeys(("occurred_at_s", "accepted_at_s"), pa.int64()),
    }
)


@dataclass(frozen=True, slots=True)
class LiveEvents:
    """Accepted events in columns, (events,) each, in order of acceptance; ties in order of event id.

    Attributes:
        user: Arrow strings. User ids, as clients spelled them.
        post: Arrow strings. Post ids, likewise.
        time: int64. Epoch seconds at which they occurred.
        action: int8. VIEW or LIKE.
        accepted: int64. Epoch seconds at which the API accepted them.
    """

    user: Any
    post: Any
    time: Ints
    action: Ints8
    accepted: Ints

    def where(self, kept: Bools) -> "LiveEvents":
        """Return some of the events; `kept` is bool (events,)."""
        user, post = (column.filter(pa.array(kept)) for column in (self.user, self.post))
        return LiveEvents(user, post, self.time[kept], self.action[kept], self.accepted[kept])


def drain(store: redis.Redis, keys: Keys, url: str, stall_s: float = STALL_S) -> Drained:
    """Move what is in the stream now into the database at a SQLAlchemy URL, SQLite or PostgreSQL.

    Any number of processes may do so at once. A PostgreSQL that is silent for `stall_s` seconds ends it.

    Raises:
        SourceError: The database cannot be opened or written; the stream keeps what is not in it.
    """
    with open_events(url, stall_s) as (engine, watch):
        return drain_stream(store, keys.events(), engine, _keep, watch.waiting, CHUNK)


def read_live(url: str, stall_s: float = STALL_S) -> LiveEvents:
    """Read all events that were ever drained; `stall_s` as for `drain`.

    Raises:
        SourceError: The database cannot be opened or read.
    """
    with open_events(url, stall_s), open_tables(url, stall_s) as tables:
        batches = list(tables.batches(EVENTS.name, _COLUMNS.names))
    # SQLite's columns have the types of their values, so none without a value.
    rows = pa.Table.from_batches(batches).cast(_COLUMNS) if batches else _COLUMNS.empty_table()
    order = pc.sort_indices(rows, [("accepted_at_s", "ascending"), ("event_id", "ascending")])
    rows = rows.drop_columns("event_id").take(order).combine_chunks()
    user, post = (pa.concat_arrays([as_texts([]), *rows[name].chunks]) for name in IDS)
    time, accepted = (rows[name].to_numpy() for name in ("occurred_at_s", "accepted_at_s"))
    action = pc.index_in(rows["action"], pa.array(ACTIONS)).to_numpy().astype(np.int8)
    return LiveEvents(user, post, time, action, accepted)


def read_kinds(url: str, stall_s: float = STALL_S) -> Iterator[pa.RecordBatch]:
    """Yield what clients called each event: texts `user_id`, `post_id` and `kind`, int64 `occurred_at_s`.

    Raises:
        SourceError: The database cannot be opened or read.
    """
    texts, time = ("user_id", "post_id", "kind"), "occurred_at_s"
    schema = pa.schema({**dict.fromkeys(texts, pa.string()), time: pa.int64()})
    with open_events(url, stall_s), open_tables(url, stall_s) as tables:
        for batch in tables.batches(EVENTS.name, schema.names):
            yield batch.cast(schema)


def _keep(connection: sa.Connection, entries: list[Entry]) -> Drained:
    events: list[Row] = []
    unreadable: list[Unread] = []
    for entry_id, fields in entries:
        try:
            events.append(_row(Event.from_fields(fields)))
        except ValueError:
            unreadable.append((entry_id.decode(), fields))
    n_new = insert(connection, EVENTS, events)
    keep_unreadable(connection, unreadable)
    return Drained(len(entries), n_new, len(unreadable))


def _row(event: Event) -> Row:
    return {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "post_id": event.post_id,
        "action": event.action,
        "kind": event.kind,
        "transaction_id": event.transaction,
        "occurred_at_s": event.occurred_at_s,
        "accepted_at_s": event.accepted_at_s,
    }
