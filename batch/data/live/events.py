"""Live events: out of the store's stream into a database of their own, exactly once, and back as columns.

The facts' own database may be read-only, so accepted events have one beside it, one row an event. An entry
leaves the stream only after its row is committed, and a row is written once however often its entry is read:
a kill anywhere in between repeats work and changes nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import redis
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from api.contract.event import Event
from api.contract.keys import Keys
from batch.arrays import Bools, Ints, Ints8
from batch.data.columns import ACTIONS
from batch.data.ids import as_texts
from batch.data.source import open_tables
from batch.data.tables.location import SourceAway, SourceError, explain, hide_password, parse_url, remedy_of
from batch.data.tables.stall import STALL_S, Watch, with_waits

CHUNK = 2000  # entries read, and rows written, at a time
SQLITE_WAIT_S = 30  # for another process that writes, as in a run beside a drain

Entry = tuple[bytes, dict[bytes, bytes]]  # its id in the stream, and its fields

_TABLES = sa.MetaData()
EVENTS = sa.Table(
    "live_events",
    _TABLES,
    sa.Column("event_id", sa.String(128), primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("post_id", sa.Text, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("transaction_id", sa.String(128), nullable=False),
    sa.Column("occurred_at_s", sa.BigInteger, nullable=False),
    sa.Column("accepted_at_s", sa.BigInteger, nullable=False),
)
_IDS = ("user_id", "post_id")  # whole numbers in tables of before November 2026
_COLUMNS = pa.schema(  # that are read back
    {
        **dict.fromkeys((*_IDS, "action", "event_id"), pa.string()),
        **dict.fromkeys(("occurred_at_s", "accepted_at_s"), pa.int64()),
    }
)
# What stood in the stream and could not be read, as by a newer API: kept, so that nothing is lost.
UNREADABLE = sa.Table(
    "live_unreadable",
    _TABLES,
    sa.Column("entry_id", sa.String(64), primary_key=True),
    sa.Column("fields", sa.Text, nullable=False),
)


class Drained(NamedTuple):
    """How many entries left the stream; how many of them were new events, how many could not be read."""

    n_entries: int
    n_new: int
    n_unreadable: int


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
    total = Drained(0, 0, 0)
    with open_events(url, stall_s) as (engine, watch):
        # No further than what was there at the begin: events may come as fast as they are drained.
        for _ in range(0, int(store.xlen(keys.events())), CHUNK):
            entries = cast("list[Entry]", store.xrange(keys.events(), count=CHUNK))
            if not entries:
                break
            with watch.waiting():
                done = _keep(engine, entries)
            _remove(store, keys.events(), entries)
            total = Drained(*(a + b for a, b in zip(total, done, strict=True)))
    return total


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
    user, post = (pa.concat_arrays([as_texts([]), *rows[name].chunks]) for name in _IDS)
    time, accepted = (rows[name].to_numpy() for name in ("occurred_at_s", "accepted_at_s"))
    action = pc.index_in(rows["action"], pa.array(ACTIONS)).to_numpy().astype(np.int8)
    return LiveEvents(user, post, time, action, accepted)


def _take_texts(engine: sa.Engine) -> None:
    """Make a table of before, whose ids are whole numbers, one of texts; nothing else in it changes."""
    if _holds_texts(engine):
        return
    texts = ", ".join(f"ALTER {name} TYPE text USING {name}::text" for name in _IDS)
    steps = [f"ALTER TABLE {EVENTS.name} {texts}"]
    if engine.dialect.name == "sqlite":  # which cannot change a column, and would make 7 of a text 007
        names = ", ".join(column.name for column in EVENTS.columns)
        old, make = f"{EVENTS.name}_of_numbers", sa.schema.CreateTable(EVENTS).compile(engine)
        steps = [
            f"ALTER TABLE {EVENTS.name} RENAME TO {old}",
            str(make),
            f"INSERT INTO {EVENTS.name} ({names}) SELECT {names} FROM {old}",  # noqa: S608 - names of ours
            f"DROP TABLE {old}",
        ]
    begin = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "BEGIN"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(begin)
        if not _holds_texts(connection):  # another process may have done it while we waited
            for step in steps:
                connection.exec_driver_sql(step)
        connection.exec_driver_sql("COMMIT")


def _holds_texts(bind: sa.Engine | sa.Connection) -> bool:
    columns = {column["name"]: column["type"] for column in sa.inspect(bind).get_columns(EVENTS.name)}
    return not any(isinstance(columns[name], sa.Integer) for name in _IDS)


def _keep(engine: sa.Engine, entries: list[Entry]) -> Drained:
    """Write the entries that are not there yet, in one transaction."""
    events: list[dict[str, object]] = []
    unreadable: list[dict[str, object]] = []
    for entry_id, fields in entries:
        try:
            events.append(_row(Event.from_fields(fields)))
        except ValueError:
            text = {
                name.decode(errors="replace"): value.decode(errors="replace")
                for name, value in fields.items()
            }
            unreadable.append({"entry_id": entry_id.decode(), "fields": orjson.dumps(text).decode()})
    with engine.begin() as connection:
        n_new = _insert(connection, EVENTS, events)
        _insert(connection, UNREADABLE, unreadable)
    return Drained(len(entries), n_new, len(unreadable))


def _row(event: Event) -> dict[str, object]:
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


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, object]]) -> int:
    """Write the rows whose key is not there yet; return how many those were."""
    if not rows:
        return 0
    key = table.primary_key.columns[0]
    if connection.dialect.name == "postgresql":
        statement: sa.Insert = postgresql.insert(table).on_conflict_do_nothing(index_elements=[key])
    else:
        statement = sqlite.insert(table).on_conflict_do_nothing(index_elements=[key])
    return len(connection.execute(statement.returning(key), rows).all())


def _remove(store: redis.Redis, key: str, entries: list[Entry]) -> None:
    """Remove entries that were read from the stream's begin; those that came since have later ids."""
    milliseconds, number = entries[-1][0].decode().split("-")
    store.xtrim(key, minid=f"{milliseconds}-{int(number) + 1}", approximate=False)


@contextmanager
def open_events(url: str, stall_s: float) -> Iterator[tuple[sa.Engine, Watch]]:
    """Open the database; its tables are made where they are missing."""
    parsed = parse_url(url)
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise SourceError(f"ALMANAC_EVENTS_URL={hide_password(url)} is neither SQLite nor PostgreSQL")
    watch = Watch(parsed, stall_s)
    wait = {"timeout": SQLITE_WAIT_S} if parsed.get_backend_name() == "sqlite" else {}
    engine = sa.create_engine(with_waits(parsed), connect_args=wait)
    try:
        with watch.waiting():
            _TABLES.create_all(engine)
            _take_texts(engine)
        yield engine, watch
    except sa.exc.SQLAlchemyError as exc:
        may_be_away = parsed.get_backend_name() == "postgresql" and isinstance(exc, sa.exc.OperationalError)
        kind = SourceAway if may_be_away and not remedy_of(exc) else SourceError
        said = explain(parsed, exc)
        raise kind(f"ALMANAC_EVENTS_URL={hide_password(url)} cannot be read or written: {said}") from exc
    finally:
        engine.dispose()
