"""Kinds of events: their balance, how one leads to the next, and the posts that have most of each."""

from typing import Any

import numpy as np

from batch.arrays import Ints
from batch.data.columns import TEXT, TOPIC
from batch.data.facts import Facts
from batch.data.rows import find_rows
from batch.data.spread import find_largest
from batch.overview.counts import LIKES, VIEWS, EventCounts

MOST_TOP = 20  # posts of a ranking
CUT = 80  # characters of a text
Row = dict[str, Any]


def list_kinds(facts: Facts, counts: EventCounts) -> list[Row]:
    """Return a line for each kind of event that there is, in the mapping's order, or views and then likes.

    `also` of its `users` did what stands before it, too. Where a mapping tells more than two kinds, rows are
    those of the source, and `per_user` and `far` tell how a kind is spread over users.
    """
    if facts.kinds:
        return [_named(facts, line) for line in facts.kinds]
    users, posts = counts.by_user > 0, counts.by_post > 0
    lines = [
        {
            "name": name,
            "rows": int(counts.by_user[:, column].sum()),
            "users": int(users[:, column].sum()),
            "posts": int(posts[:, column].sum()),
            "also": int((users[:, VIEWS] & users[:, column]).sum()),
        }
        for name, column in (("view", VIEWS), ("like", LIKES))
    ]
    return [line for line in lines if line["rows"]]


def rank_posts(facts: Facts, counts: EventCounts) -> dict[str, list[Row]]:
    """Return the posts with most views, with most likes, and with most of each further kind of event.

    Most first, a few: id, topic, text (its begin), and `n`; a kind without any is not there.
    """
    found = {
        name: _posts(facts, find_largest(of, MOST_TOP), of)
        for name, of in (("views", counts.by_post[:, VIEWS]), ("likes", counts.by_post[:, LIKES]))
    }
    for line in facts.kinds[1:]:
        rows, n = _find(facts.post_ids, line["top_posts"])
        of = np.zeros(len(facts.posts), np.int64)
        of[rows] = n
        found[line["name"]] = _posts(facts, rows, of)
    return {name: rows for name, rows in found.items() if rows}


def cut(text: object, most: int = CUT) -> str:
    """Return the begin of a text, empty where it is missing."""
    whole = "" if text is None or text != text else str(text)
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def name_users(facts: Facts, rows: Ints, values: Ints) -> list[Row]:
    """Return users by row, with their values, (rows,), as `id` and `n`."""
    ids = facts.user_names.as_json(facts.user_ids[rows])
    return [{"id": user, "n": int(n)} for user, n in zip(ids, values, strict=True)]


def _named(facts: Facts, line: Row) -> Row:
    """Return a line of `EventKinds` with ids for codes; who is forgotten since is left out."""
    kept = {name: value for name, value in line.items() if name not in ("top_posts", "far")}
    return {**kept, "far": name_users(facts, *_find(facts.user_ids, line["far"]))}


def _find(ids: Ints, of: dict[str, list[int]]) -> tuple[Ints, Ints]:
    """Return the rows of codes that are there, and what each has."""
    rows, n = find_rows(ids, np.array(of["code"], np.int64)), np.array(of["n"], np.int64)
    return rows[rows >= 0].astype(np.int64), n[rows >= 0]


def _posts(facts: Facts, rows: Ints, of: Ints) -> list[Row]:
    ids, posts = facts.post_names.as_json(facts.post_ids[rows]), facts.posts.iloc[rows]
    return [
        {"id": post, "topic": cut(topic), "text": cut(text), "n": int(n)}
        for post, topic, text, n in zip(ids, posts[TOPIC], posts[TEXT], of[rows], strict=True)
    ]
