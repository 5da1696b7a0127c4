"""The tables of the events' database."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

TABLES = sa.MetaData()
EVENTS = sa.Table(
    "live_events",
    TABLES,
    sa.Column("event_id", sa.String(128), primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("post_id", sa.Text, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("transaction_id", sa.String(128), nullable=False),
    sa.Column("occurred_at_s", sa.BigInteger, nullable=False),
    sa.Column("accepted_at_s", sa.BigInteger, nullable=False),
)
IDS = ("user_id", "post_id")  # of events; whole numbers in tables of before November 2026
# What stood in a stream and could not be read, as by a newer API: kept, so that nothing is lost.
UNREADABLE = sa.Table(
    "live_unreadable",
    TABLES,
    sa.Column("entry_id", sa.String(64), primary_key=True),
    sa.Column("fields", sa.Text, nullable=False),
)
KEPT_APART = "exposures "  # begins the name of an entry of exposures there: two streams may use one id


def _list_of(items: type[sa.Text] | type[sa.Double[float]]) -> "sa.JSON[Any]":
    """Return the type of a list: an array in PostgreSQL, JSON in SQLite."""
    return sa.JSON().with_variant(postgresql.ARRAY(items), "postgresql")


# The day of acceptance, UTC, begins the key: in PostgreSQL each day is a partition, in SQLite its index. It
# follows from the record, so that a record is the same row however often it comes.
EXPOSURES = sa.Table(
    "exposures",
    TABLES,
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("entry_id", sa.String(64), nullable=False),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("experiment", sa.Text, nullable=False),
    sa.Column("arm", sa.Text, nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("accepted_at_ms", sa.BigInteger, nullable=False),
    sa.Column("asked_for_s", sa.BigInteger, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("bucket_s", sa.BigInteger, nullable=False),
    sa.Column("rung", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("post_ids", _list_of(sa.Text), nullable=False),
    sa.Column("propensities", _list_of(sa.Double), nullable=False),
    sa.PrimaryKeyConstraint("day", "entry_id", "place"),
    postgresql_partition_by="RANGE (day)",
)
