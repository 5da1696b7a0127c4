"""Users who are forgotten, out of the events' database: their live events and their exposures."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import orjson
import sqlalchemy as sa

from batch.data.live.database import open_events
from batch.data.live.layout import EVENTS, EXPOSURES, KEPT_APART, UNREADABLE
from batch.data.tables.stall import STALL_S


class Deleted(NamedTuple):
    """The ids of the events that are gone, and how many exposures are."""

    event_ids: list[str]
    n_exposures: int


def delete_live(url: str, is_gone: Callable[[str], bool], stall_s: float = STALL_S) -> Deleted:
    """Delete users' events and exposures for good.

    SQLite's file is written anew, so that no page keeps them. A PostgreSQL keeps them until its vacuum, and
    in its own log. Exposures that could not be read go, whoever's they are.

    Args:
        url: SQLAlchemy URL, SQLite or PostgreSQL.
        is_gone: Tells whether a user's id, in whatever spelling, is that of such a user.
        stall_s: As for `drain`.

    Raises:
        SourceError: The database cannot be opened or written.
    """
    with open_events(url, stall_s) as (engine, watch), watch.waiting():
        with engine.begin() as connection:
            event_ids = _delete(connection, EVENTS, EVENTS.c.event_id, is_gone)
            exposures = _delete(connection, EXPOSURES, EXPOSURES.c.entry_id, is_gone)
            unread = connection.execute(sa.select(UNREADABLE)).all()
            bad = [entry for entry, text in unread if _may_be_of_one(entry, orjson.loads(text), is_gone)]
            if bad:
                connection.execute(sa.delete(UNREADABLE).where(UNREADABLE.c.entry_id.in_(bad)))
        if engine.dialect.name == "sqlite":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM")
    return Deleted(event_ids, len(exposures))


def _delete(
    connection: sa.Connection, table: sa.Table, told: sa.Column[str], is_gone: Callable[[str], bool]
) -> list[str]:
    """Delete the rows of such users from a table; return one column of them."""
    users = connection.scalars(sa.select(table.c.user_id).distinct())
    gone = [user_id for user_id in users if is_gone(user_id)]
    chosen = sa.delete(table).where(table.c.user_id.in_(gone)).returning(told)
    return list(connection.scalars(chosen)) if gone else []


def _may_be_of_one(entry: str, fields: Mapping[str, str], is_gone: Callable[[str], bool]) -> bool:
    """Tell whether an entry that could not be read may be of such a user."""
    if entry.startswith(KEPT_APART):
        return True
    told = [fields["user"]] if "user" in fields else fields.values()
    return any(map(is_gone, map(str, told)))
