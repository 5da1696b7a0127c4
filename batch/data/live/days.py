"""The days of the table of exposures: partitions in PostgreSQL, rows by an index in SQLite."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import date, timedelta

import sqlalchemy as sa

from batch.data.live.layout import EXPOSURES

NAME = EXPOSURES.name
_LOCK = 7_305_871_923_014  # of ours: who makes partitions
_WAIT = "1s"  # for whoever reads a day that is dropped: the next drain drops it


def make_days(connection: sa.Connection, days: Iterable[date]) -> None:
    """Let a PostgreSQL have partitions of these days; whoever reads or writes meanwhile does not wait.

    `CREATE … PARTITION OF` would wait for every reader of the table; to attach a table of its own does not.
    """
    wanted = set(days)
    if connection.dialect.name != "postgresql" or wanted <= _find_days(connection):
        return
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    for day in sorted(wanted - _find_days(connection)):  # another process may have made some while we waited
        name, after = _name(day), day + timedelta(days=1)
        connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {NAME} INCLUDING ALL)")
        bounds = f"FROM ('{day:%Y-%m-%d}') TO ('{after:%Y-%m-%d}')"
        connection.exec_driver_sql(f"ALTER TABLE {NAME} ATTACH PARTITION {name} FOR VALUES {bounds}")


def drop_days(engine: sa.Engine, before: date) -> None:
    """Drop what was accepted before a day: whole partitions, or rows.

    A partition that somebody reads stays for the next time.
    """
    if engine.dialect.name != "postgresql":
        with engine.begin() as connection:
            connection.execute(sa.delete(EXPOSURES).where(EXPOSURES.c.day < before))
        return
    with engine.connect() as connection:
        old = sorted(day for day in _find_days(connection) if day < before)
    for day in old:
        with suppress(sa.exc.OperationalError), engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_WAIT}'")
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {_name(day)}")


def _find_days(connection: sa.Connection) -> set[date]:
    """Return the days that have a partition."""
    children = sa.text(
        "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
        "WHERE inhparent = CAST(:name AS regclass)"
    )
    names = connection.scalars(children, {"name": NAME})
    found = {name: name.removeprefix(f"{NAME}_") for name in names}
    return {date.fromisoformat(text) for text in found.values() if text.isdecimal()}


def _name(day: date) -> str:
    return f"{NAME}_{day:%Y%m%d}"
