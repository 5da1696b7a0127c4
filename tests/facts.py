"""Small made facts for unit tests: users, posts and a feed, from a seed or by hand."""

import uuid
from dataclasses import replace

import numpy as np
import pandas as pd

from batch.data.facts import Facts
from batch.data.ids import IdNames

DAY_S = 86_400
BEGIN_S = 1_633_046_400  # 2021-10-01 00:00 UTC
TOPICS = ("sport", "tech", "movie")


def facts_of(events: list[tuple[int, int, int, int, int]], n_users: int, n_posts: int) -> Facts:
    """Hold hand-made events (user row, post row, time, action, target); users and posts count from 1."""
    columns = np.array(sorted(events, key=lambda e: (e[2], e[0], e[1], e[3])), np.int64).reshape(-1, 5)
    users = pd.DataFrame({"user_id": np.arange(1, n_users + 1), "gender": np.arange(n_users) % 2})
    posts = pd.DataFrame(
        {
            "post_id": np.arange(1, n_posts + 1),
            "topic": [TOPICS[k % len(TOPICS)] for k in range(n_posts)],
            "text": [f"{TOPICS[k % len(TOPICS)]} word{k % 7} word{k % 5} all" for k in range(n_posts)],
        }
    )
    return Facts(
        users=users,
        posts=posts,
        embeddings=None,
        user=columns[:, 0].astype(np.int32),
        post=columns[:, 1].astype(np.int32),
        time=columns[:, 2],
        action=columns[:, 3].astype(np.int8),
        target=columns[:, 4].astype(np.int8),
    )


def even_likes_even(n_users: int = 20, n_posts: int = 30, days: int = 12, seed: int = 1) -> Facts:
    """Make a world with a known answer: even user rows like even post rows, odd ones odd, nobody else."""
    rng = np.random.default_rng(seed)
    events = []
    for day in range(days):
        for user in range(n_users):
            shown = rng.choice(n_posts, 12, replace=False)
            for place, post in enumerate(shown):
                at = BEGIN_S + day * DAY_S + 9 * 3600 + place * 60
                liked = int(user % 2 == post % 2)
                events.append((user, int(post), at, 0, liked))
                if liked:
                    events.append((user, int(post), at + 20, 1, 0))
    return facts_of(events, n_users, n_posts)


def spell(what: str, number: int) -> str:
    """Return a text that is the id of what has a number in facts whose ids are numbers."""
    made = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{what}{number}"))
    return (made.upper(), f"0{number}", f"{what} {{{number}}} 50%")[number % 3]


def with_texts(facts: Facts) -> Facts:
    """Return the same facts under texts as ids: rows are in the order of other codes."""
    user_names, post_names = (
        IdNames.of("text", [spell(what, number) for number in ids.tolist()])
        for what, ids in (("user", facts.user_ids), ("post", facts.post_ids))
    )
    users, user = _renamed(facts.users, "user_id", user_names, "user")
    posts, post = _renamed(facts.posts, "post_id", post_names, "post")
    rows = user[facts.user], post[facts.post]
    order = np.lexsort((facts.action, rows[1], rows[0], facts.time))
    embeddings = None if facts.embeddings is None else facts.embeddings[np.argsort(post)]
    named = replace(
        facts,
        users=users,
        posts=posts,
        user=rows[0],
        post=rows[1],
        user_names=user_names,
        post_names=post_names,
        embeddings=embeddings,
        post_came=np.argsort(post).astype(np.int64),
    )
    return named.select(order)


def _renamed(table: pd.DataFrame, key: str, names: IdNames, what: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a table under its texts, and int32 (rows,): where each row is now."""
    codes = np.array([names.code_of(spell(what, number)) for number in table[key].tolist()], np.int64)
    order = np.argsort(codes)
    row = np.empty(len(order), np.int32)
    row[order] = np.arange(len(order))
    return table.assign(**{key: codes}).iloc[order].reset_index(drop=True), row
