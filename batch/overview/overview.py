"""The overview of a run's facts: everything that the page and the file about the data show."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from api.contract.buckets import moment
from batch.arrays import Ints, Ints32
from batch.data.columns import (
    ALL_TOPICS,
    EMBEDDINGS,
    MORE_TOPICS,
    POST_ID,
    POSTS,
    TEXT,
    TOPIC,
    USER_ID,
    USERS,
)
from batch.data.facts import Facts
from batch.data.mapping import Mapping
from batch.data.spread import describe_spread, find_outliers
from batch.data.windows import FROM_S, TO_S
from batch.overview.breakdowns import by_group, by_time
from batch.overview.counts import LIKES, VIEWS, EventCounts
from batch.overview.kinds import list_kinds, name_users, rank_posts

VERSION = 1
MOST_COLUMNS = 40  # whose missing values are told
_OF_POSTS = (POST_ID, MORE_TOPICS, ALL_TOPICS, FROM_S, TO_S)  # no properties, or rightly missing


def make_overview(
    facts: Facts,
    counts: EventCounts,
    mapping: Mapping,
    segments: tuple[Sequence[str], Ints32],
    samples: dict[str, list[dict[str, Any]]],
) -> dict[str, Any]:
    """Return all that is told of the facts, ready for JSON: some 30 KB, however many events there are.

    Args:
        facts: Users, posts, and how they were read.
        counts: Of their events.
        mapping: What their source calls tables and columns.
        segments: Names, and int32 (users,) each user's segment, -1 for none.
        samples: Rejected rows by reason.

    Returns:
        docs/inspector.md tells the parts. `views`, `likes` and `liked` of each breakdown add up to `totals`.
    """
    topics = pd.Categorical(facts.posts[TOPIC])
    named = [str(name) for name in topics.categories]
    views, likes = counts.by_user[:, VIEWS], counts.by_user[:, LIKES]
    return {
        "version": VERSION,
        "columns": {name: column_name(mapping, POSTS, name) for name in (TEXT, TOPIC)},
        "totals": _totals(facts, counts),
        **by_time(counts, facts.zone),
        "by_topic": by_group(named, topics.codes.astype(np.int64), counts.by_post),
        "by_segment": by_group(segments[0], segments[1].astype(np.int64), counts.by_user),
        "sessions": {
            "posts": describe_spread(np.arange(len(counts.session_posts)), counts.session_posts),
            "minutes": describe_spread(np.arange(len(counts.session_minutes)), counts.session_minutes),
        },
        "users": {"views": _of_users(facts, views), "likes": _of_users(facts, likes)},
        "posts": {"views": describe_spread(counts.by_post[:, VIEWS])},
        "missing": {
            "users": _missing(facts.users, USERS, mapping),
            "posts": _missing_of_posts(facts, mapping),
        },
        "kinds": list_kinds(facts, counts),
        "top": rank_posts(facts, counts),
        "read": facts.report.read,
        "rejects": [
            {"reason": reason, "rows": n, "samples": samples.get(reason, [])}
            for reason, n in sorted(facts.report.rejected.items(), key=lambda item: -item[1])
        ],
    }


def column_name(mapping: Mapping, table: str, ours: str) -> str:
    """Return what the source calls a column; of posts told in rows of properties, the property."""
    return (
        mapping.properties.get(ours, "")
        if table == POSTS and mapping.properties
        else mapping.column(table, ours)
    )


def _totals(facts: Facts, counts: EventCounts) -> dict[str, Any]:
    views, likes, liked = counts.by_slot.sum(axis=0).tolist()
    first, last = (int(facts.time[0]), int(facts.time[-1])) if len(facts.time) else (0, 0)
    return {
        "users": len(facts.users),
        "users_with_views": int((counts.by_user[:, VIEWS] > 0).sum()),
        "users_with_profile": facts.report.users_with_profile,
        "posts": len(facts.posts),
        "posts_with_views": int((counts.by_post[:, VIEWS] > 0).sum()),
        "views": views,
        "likes": likes,
        "liked": liked,
        "first": moment(first).isoformat() if first else None,
        "last": moment(last).isoformat() if last else None,
        "zone": facts.zone or "UTC",
        "shown": facts.shown,
        "rate_tells": 0 < liked < views,
    }


def _of_users(facts: Facts, values: Ints) -> dict[str, Any]:
    """Return how a count is spread over users, and who is far outside."""
    spread = describe_spread(values)
    rows = find_outliers(values, spread["fence"])
    return {**spread, "far": name_users(facts, rows, values[rows])}


def _missing(table: pd.DataFrame, of: str, mapping: Mapping) -> list[dict[str, Any]]:
    """Return the share of rows whose value of each column is missing, most first."""
    rows = [
        {"name": column_name(mapping, of, name) or name, "share": round(float(table[name].isna().mean()), 6)}
        for name in table.columns
        if name not in (USER_ID, *_OF_POSTS)
    ]
    return sorted(rows, key=lambda row: -float(row["share"]))[:MOST_COLUMNS] if len(table) else []


def _missing_of_posts(facts: Facts, mapping: Mapping) -> list[dict[str, Any]]:
    rows = _missing(facts.posts, POSTS, mapping)
    if facts.embeddings is not None and len(facts.posts):
        share = float(np.isnan(facts.embeddings).all(axis=1).mean())
        rows.append({"name": mapping.table(EMBEDDINGS), "share": round(share, 6)})
    return rows
