"""Live events of users who are forgotten, out of the events' database."""

from collections.abc import Callable, Mapping

import orjson
import sqlalchemy as sa

from batch.data.live.events import EVENTS, UNREADABLE, open_events
from batch.data.tables.stall import STALL_S


def delete_live(url: str, is_gone: Callable[[str], bool], stall_s: float = STALL_S) -> list[str]:
    """Delete users' events for good; return the events' ids.

    SQLite's file is written anew, so that no page keeps them. A PostgreSQL keeps them until its vacuum, and
    in its own log.

    Args:
        url: SQLAlchemy URL, SQLite or PostgreSQL.
        is_gone: Tells whether a user's id, in whatever spelling, is that of such a user.
        stall_s: As for `drain`.

    Raises:
        SourceError: The database cannot be opened or written.
    """
    with open_events(url, stall_s) as (engine, watch), watch.waiting():
        with engine.begin() as connection:
            users = connection.scalars(sa.select(EVENTS.c.user_id).distinct())
            gone = [user_id for user_id in users if is_gone(user_id)]
            chosen = sa.delete(EVENTS).where(EVENTS.c.user_id.in_(gone)).returning(EVENTS.c.event_id)
            event_ids = list(connection.scalars(chosen)) if gone else []
            unread = connection.execute(sa.select(UNREADABLE)).all()
            bad = [entry for entry, text in unread if _names_one(orjson.loads(text), is_gone)]
            if bad:
                connection.execute(sa.delete(UNREADABLE).where(UNREADABLE.c.entry_id.in_(bad)))
        if engine.dialect.name == "sqlite":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM")
    return event_ids


def _names_one(fields: Mapping[str, str], is_gone: Callable[[str], bool]) -> bool:
    """Tell whether an entry that could not be read may be of such a user."""
    told = [fields["user"]] if "user" in fields else fields.values()
    return any(map(is_gone, map(str, told)))
