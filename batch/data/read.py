"""Read facts: tables in from a folder or a database, renamed, checked, sorted; nothing is written there."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from batch.arrays import Floats32, Ints
from batch.data.columns import EMBEDDINGS, FEED, POST_ID, POSTS, TARGET, TEXT, USER_ID, USERS, feed_table
from batch.data.facts import Facts, Report
from batch.data.mapping import Mapping
from batch.data.rows import find_rows
from batch.data.source import Source, open_tables
from batch.data.tables.stall import STALL_S
from batch.data.validation.entities import Entities, gather, posts_frame, users_frame, vectors
from batch.data.validation.feed import Feed
from batch.data.validation.ids import Codes
from batch.data.validation.order import Events, derive_targets, in_order
from batch.data.validation.rejects import Limits, Rejects, refuse_too_many
from batch.progress import Advance


def read(
    location: str,
    *,
    mapping: Mapping,
    rejects: Path,
    limits: Limits,
    now_s: int,
    stall_s: float = STALL_S,
    advance: Advance = lambda _: None,
) -> Facts:
    """Read, check and sort every fact of a location.

    Profile columns that hold numbers alone are float64 (NaN is missing), all others object (None is
    missing); in CSV, which knows no types, text that looks like a number is one. Where there is no table
    of posts, the posts are those of the feed; where there is no target, views are liked as `mapping` says.

    Args:
        location: A folder of Parquet or CSV files named after the tables, or a SQLAlchemy URL.
        mapping: Their names of our tables, columns and events.
        rejects: File that receives the rejected rows, JSON lines; made anew. Its reasons are `Reason`'s.
        limits: Largest shares of event rows that may be rejected.
        now_s: Epoch seconds; a later event is rejected.
        stall_s: Longest silence of a PostgreSQL, seconds.
        advance: Called with the number of rows read since its last call.

    Raises:
        SourceError: The location, a table or a column is not there, or cannot be read.
        TooManyRejected: More event rows than allowed were rejected.
        UnlikelyTimes: Times that are numbers cannot be in the unit that was said or guessed.
    """
    with open_tables(location, stall_s) as tables, Rejects(rejects) as out:
        source = Source(tables, mapping, advance)
        posts, post_columns = _entities(source, POSTS, POST_ID, out)
        users, profile = _entities(source, USERS, USER_ID, out)
        embeddings, dimensions = _entities(source, EMBEDDINGS, POST_ID, out)
        feed, has_target = _feed(source, mapping, posts, now_s, out)
        feed.times.refuse_unlikely()
        user_ids = np.union1d(feed.users.ids, users.ids) if users else np.sort(feed.users.ids)
        post_ids = posts.ids if posts else np.sort(feed.posts.ids)
        events = _events(feed, user_ids, post_ids, out)
        refuse_too_many(feed.n_read, out.rows_of(FEED), limits, rejects, feed.hints())
        if not has_target:
            events = events._replace(target=derive_targets(events, mapping.like_within_s))
        user_frame = users_frame(user_ids, users, profile)
        post_frame = posts_frame(post_ids, posts, post_columns)
        vector = vectors(post_ids, embeddings, dimensions, out) if embeddings else None
        report = _report(source.read, feed, out, user_frame, post_frame, vector)
    return Facts(user_frame, post_frame, vector, *events, report=report, shown=mapping.shown)


def _entities(source: Source, table: str, key: str, rejects: Rejects) -> tuple[Entities | None, list[str]]:
    """Return a table's rows and its columns beside the key; None where there is no such table."""
    if not source.has(table):
        return None, []
    columns = source.columns(table)
    rows = gather(table, key, source.batches(table, columns), rejects, typed=source.has_types(table))
    return rows, [column for column in columns if column != key]


def _feed(
    source: Source, mapping: Mapping, posts: Entities | None, now_s: int, rejects: Rejects
) -> tuple[Feed, bool]:
    """Return the checked events, and whether they bring a target."""
    source.has(FEED)
    columns = source.columns(FEED)
    feed = Feed(mapping, Codes(posts.ids if posts else None), now_s, rejects)
    for batch in source.batches(FEED, columns):
        feed.add(batch)
    return feed, TARGET in columns


def _events(feed: Feed, user_ids: Ints, post_ids: Ints, rejects: Rejects) -> Events:
    """Sort the events, and reject those that come twice."""
    rows = find_rows(user_ids, feed.users.ids), find_rows(post_ids, feed.posts.ids)
    events, again = in_order(feed.chunks, *rows)
    first = slice(rejects.room)
    ids = user_ids[again.user[first]], post_ids[again.post[first]]
    rejected = feed_table(again.time[first], *ids, again.action[first], again.target[first])
    rejects.add_rows(FEED, "duplicate_event", len(again.time), rejected.to_pylist())
    return events


def _report(
    read_rows: dict[str, int],
    feed: Feed,
    rejects: Rejects,
    users: pd.DataFrame,
    posts: pd.DataFrame,
    embeddings: Floats32 | None,
) -> Report:
    with_profile = int(users.drop(columns=USER_ID).notna().any(axis=1).sum())
    no_vector: Any = len(posts) if embeddings is None else np.isnan(embeddings).all(axis=1).sum()
    return Report(
        read=read_rows,
        rejected=rejects.by_reason(),
        users_with_profile=with_profile,
        users_without_profile=len(users) - with_profile,
        posts_without_text=int(posts[TEXT].isna().sum()),
        posts_without_embedding=int(no_vector),
        ignored=dict(feed.ignored),
        time_units_guessed=dict(feed.times.guessed),
        times_hint=feed.times.hint("future_time"),
    )
