"""The events' database: opened, its tables made where they are missing, rows written once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from batch.data.live.layout import EVENTS, IDS, TABLES, UNREADABLE
from batch.data.tables.location import SourceAway, SourceError, explain, hide_password, parse_url, remedy_of
from batch.data.tables.stall import Watch, with_waits

SQLITE_WAIT_S = 30  # for another process that writes, as in a run beside a drain

Row = dict[str, object]
Unread = tuple[str, Mapping[bytes, bytes]]  # what names it, and its fields


@contextmanager
def open_events(url: str, stall_s: float) -> Iterator[tuple[sa.Engine, Watch]]:
    """Open the database; its tables are made where they are missing.

    Raises:
        SourceError: It cannot be opened, or what the body does with it fails.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise SourceError(f"ALMANAC_EVENTS_URL={hide_password(url)} is neither SQLite nor PostgreSQL")
    watch = Watch(parsed, stall_s)
    wait = {"timeout": SQLITE_WAIT_S} if parsed.get_backend_name() == "sqlite" else {}
    engine = sa.create_engine(with_waits(parsed), connect_args=wait)
    try:
        with watch.waiting():
            TABLES.create_all(engine)
            _take_texts(engine)
        yield engine, watch
    except sa.exc.SQLAlchemyError as exc:
        may_be_away = parsed.get_backend_name() == "postgresql" and isinstance(exc, sa.exc.OperationalError)
        kind = SourceAway if may_be_away and not remedy_of(exc) else SourceError
        said = explain(parsed, exc)
        raise kind(f"ALMANAC_EVENTS_URL={hide_password(url)} cannot be read or written: {said}") from exc
    finally:
        engine.dispose()


def insert(connection: sa.Connection, table: sa.Table, rows: list[Row]) -> int:
    """Write the rows whose key is not there yet; return how many those were."""
    if not rows:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement: sa.Insert = dialect.insert(table).on_conflict_do_nothing()
    return len(connection.execute(statement.returning(*table.primary_key.columns), rows).all())


def keep_unreadable(connection: sa.Connection, entries: Sequence[Unread]) -> None:
    """Write what could not be read, as JSON; bytes that are no text stand as `\\x` and two digits."""
    rows: list[Row] = []
    for name, fields in entries:
        texts = [[part.decode(errors="backslashreplace") for part in field] for field in fields.items()]
        rows.append({"entry_id": name, "fields": orjson.dumps(dict(texts)).decode()})
    insert(connection, UNREADABLE, rows)


def _take_texts(engine: sa.Engine) -> None:
    """Make a table of before, whose ids are whole numbers, one of texts; nothing else in it changes."""
    if _holds_texts(engine):
        return
    texts = ", ".join(f"ALTER {name} TYPE text USING {name}::text" for name in IDS)
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
    return not any(isinstance(columns[name], sa.Integer) for name in IDS)
