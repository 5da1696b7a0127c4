"""Read facts: tables in from a folder or a database, renamed, checked, sorted; nothing is written there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from batch.arrays import Floats32, Ints, Ints32
from batch.data.catalogue import lay_paths, lay_versions, read_versions, take_latest
from batch.data.columns import (
    EMBEDDINGS,
    FEED,
    POST_ID,
    POSTS,
    PROPERTIES,
    TEXT,
    TOPIC,
    TREE,
    USER_ID,
    USERS,
    feed_table,
)
from batch.data.facts import Facts, Report
from batch.data.ids import IdNames
from batch.data.mapping import Mapping
from batch.data.retired import part_retired
from batch.data.rows import find_rows
from batch.data.source import Source, open_tables
from batch.data.tables.location import SourceError, hide_password
from batch.data.tables.stall import STALL_S
from batch.data.validation.entities import Entities, Key, gather, posts_frame, users_frame, vectors
from batch.data.validation.feed import Feed
from batch.data.validation.ids import Ids, Places
from batch.data.validation.order import Events, in_order
from batch.data.validation.rejects import Limits, Rejects, refuse_too_many
from batch.data.validation.windows import Wrong, find_wrong_windows, refuse_unlikely_windows
from batch.data.validation.yes import settle_targets
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
    of posts, the posts are those of the feed; which views are a yes says `settle_targets`.

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
        NoEvents: There are rows, and none is an event that the mapping names.
        UnlikelyTimes: Times that are numbers cannot be in the unit that was said or guessed.
    """
    with open_tables(location, stall_s, mapping) as tables, Rejects(rejects) as out:
        source, of_users, of_posts = Source(tables, mapping, advance), Ids(), Ids()
        versions = read_versions(source, mapping)
        posts, post_columns = _entities(source, mapping, POSTS, of_posts, out, versions)
        _refuse_lacking(location, mapping, post_columns)
        users, profile = _entities(source, mapping, USERS, of_users, out)
        embeddings, dimensions = _entities(source, mapping, EMBEDDINGS, of_posts, out)
        # Not every post has a property; a table of posts, though, holds all there are.
        every = None if mapping.properties else posts
        feed = _feed(source, mapping, (of_users, of_posts), every, now_s, out)
        feed.times.refuse_unlikely()
        refuse_unlikely_windows(posts.batches if posts else [], mapping.time)
        user_ids, user_row = _unite(of_users, users, feed.users)
        post_ids, post_row = _unite(of_posts, posts, feed.posts)
        if embeddings:  # whose ids were read before the feed decided their kind, where it does
            embeddings = replace(embeddings, ids=of_posts.codes(of_posts.settle(embeddings.marks)))
        names = of_users.names(user_ids), of_posts.names(post_ids)
        events = _in_order(feed, (user_ids, post_ids), (user_row, post_row), names, out)
        refuse_too_many(feed.n_read, out.rows_of(FEED), limits, rejects, feed.hints())
        within_s = mapping.like_within_s
        events = settle_targets(events, feed.shown, has_target=feed.has_target, within_s=within_s)
        events, retired = part_retired(events, len(post_ids))
        user_frame, infinite = users_frame(user_ids, users, profile)
        post_frame = posts_frame(post_ids, posts, post_columns, mapping.time)
        vector, broken = vectors(post_ids, embeddings, dimensions, out) if embeddings else (None, 0)
        report = _report(source, feed, out, user_frame, post_frame, vector)
        kinds = feed.kinds.describe(user_row, post_row, user_ids, post_ids)
        report = replace(report, broken_embeddings=broken, infinite=infinite)
        told = (
            None
            if versions is None
            else lay_versions(versions, post_columns, of_posts, post_ids, mapping.time)
        )
    return Facts(
        user_frame,
        post_frame,
        vector,
        *events,
        report=report,
        shown=feed.shown,
        retired=retired,
        user_names=names[0],
        post_names=names[1],
        post_came=_came(posts, post_ids, post_row) if of_posts.kind == "text" else None,
        versions=told,
        zone=mapping.time.zone,
        kinds=kinds,
    )


def _refuse_lacking(location: str, mapping: Mapping, columns: list[str]) -> None:
    """Refuse facts that lack a further column of posts.

    Raises:
        SourceError: They do.
    """
    for name in mapping.post_columns:
        if name not in columns:
            raise SourceError(
                f"{hide_password(location)} has no column {name!r} of posts, which ALMANAC_FILTER_BY names: "
                f"name it in a mapping file, or leave it out there"
            )


def _entities(
    source: Source,
    mapping: Mapping,
    table: str,
    ids: Ids,
    rejects: Rejects,
    versions: pa.RecordBatch | None = None,
) -> tuple[Entities | None, list[str]]:
    """Return a table's rows and its columns beside the key; None where there is no such table.

    Posts are those of the `versions`, where there are any, each as it was last.
    """
    ours = USER_ID if table == USERS else POST_ID
    if versions is not None:
        held, columns = PROPERTIES, [POST_ID, *mapping.properties]
        batches = iter([take_latest(versions)])
    elif source.has(table):
        held, columns = table, source.columns(table)
        batches = source.batches(table, columns)
    else:
        return None, []
    if table == POSTS and versions is None and TOPIC in columns and source.has(TREE):
        batches = lay_paths(source, batches)
    key = Key(ours, mapping.column(held, ours))

    def find_wrong(batch: pa.RecordBatch) -> Wrong:
        return find_wrong_windows(batch, mapping.time) if table == POSTS else {}

    typed = source.has_types(held)
    rows = gather(table, key, batches, ids, rejects, typed=typed, find_wrong=find_wrong)
    _reject_bad_lines(source, held, rejects)
    return rows, [column for column in columns if column != ours]


def _feed(
    source: Source,
    mapping: Mapping,
    ids: tuple[Ids, Ids],
    posts: Entities | None,
    now_s: int,
    rejects: Rejects,
) -> Feed:
    """Return the checked events.

    Raises:
        NoEvents: There are rows, and none is an event that the mapping names.
    """
    source.has(FEED)
    columns = source.columns(FEED)
    feed = Feed(mapping, columns, ids, Places(posts.marks if posts else None), now_s, rejects)
    for batch in source.batches(FEED, columns):
        feed.add(batch)
    feed.refuse_foreign()
    feed.n_read += _reject_bad_lines(source, FEED, rejects)
    return feed


def _reject_bad_lines(source: Source, table: str, rejects: Rejects) -> int:
    """Reject the lines of a table's files that are no rows; return how many there are."""
    bad = source.bad(table)
    shown = [{"file": file, "line": line.text, "why": line.why} for file, line in bad.first]
    rejects.add_rows(table, "unreadable_row", bad.n, shown)
    return bad.n


def _unite(ids: Ids, rows: Entities | None, found: Places) -> tuple[Ints, Ints32]:
    """Return the codes of a table's ids and the feed's, ascending, and the row of each place in the feed.

    Where there is no table, or an empty one, the feed's ids decide the kind.
    """
    if ids.kind is None:
        ids.decide(found.marks)
    marks = ids.settle(found.marks)
    every = np.union1d(marks, rows.marks) if rows else np.unique(marks)
    codes = np.sort(ids.codes(every))
    return codes, find_rows(codes, ids.codes(marks))


def _came(rows: Entities | None, ids: Ints, row: Ints32) -> Ints:
    """Return where each id first came, in its table, or after all of that in the feed.

    `row` is the row among `ids` of each place in the feed.
    """
    in_feed, place = np.unique(row, return_index=True)
    came = np.zeros(len(ids), np.int64)
    came[in_feed] = place
    if rows:
        came += len(rows.order)
        came[find_rows(ids, rows.ids)] = rows.order
    return came


def _in_order(
    feed: Feed,
    codes: tuple[Ints, Ints],
    rows: tuple[Ints32, Ints32],
    names: tuple[IdNames, IdNames],
    rejects: Rejects,
) -> Events:
    """Return the events in order, each once; those of retired posts have rows after all others.

    Events that come twice are rejected; in the file they have their ids. Of users and of posts, `codes` are
    those of the rows, and `rows` those of each place in the feed.
    """
    n_posts, n_retired = len(codes[1]), len(feed.retired.marks)
    post_rows = np.append(rows[1], n_posts + np.arange(n_retired)).astype(np.int32)
    events, again = in_order(feed.chunks, rows[0], post_rows)
    again, _ = part_retired(again, n_posts)
    first = slice(rejects.room)
    users, posts = names[0].column(codes[0][again.user[first]]), names[1].column(codes[1][again.post[first]])
    rejected = feed_table(again.time[first], users, posts, again.action[first], again.target[first])
    rejects.add_rows(FEED, "duplicate_event", len(again.time), rejected.to_pylist())
    return events


def _report(
    source: Source,
    feed: Feed,
    rejects: Rejects,
    users: pd.DataFrame,
    posts: pd.DataFrame,
    embeddings: Floats32 | None,
) -> Report:
    with_profile = int(users.drop(columns=USER_ID).notna().any(axis=1).sum())
    no_vector: Any = len(posts) if embeddings is None else np.isnan(embeddings).all(axis=1).sum()
    return Report(
        read=source.read,
        rejected=rejects.by_reason(),
        users_with_profile=with_profile,
        users_without_profile=len(users) - with_profile,
        posts_without_text=int(posts[TEXT].isna().sum()),
        posts_without_embedding=int(no_vector),
        ignored=feed.ignored,
        time_units_guessed=dict(feed.times.guessed),
        times_hint=feed.times.hint("future_time"),
        columns_ignored=source.columns_ignored,
    )
