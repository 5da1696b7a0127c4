"""A peer's ranking as lists: the best posts of each user, as they are compared and as they are published."""

from collections.abc import Iterator

import numpy as np

from batch.data.seen import SeenPosts
from batch.learn.baselines.interactions import Floats, Ints, Ranking
from batch.score.ranked import RankedBlock

USERS_AT_ONCE = 256  # scores of 7,023 posts for so many users take 14 MB


def top(scores: Floats, n: int) -> Ints:
    """Return each row's `n` best columns, best first, ties to the lower one, int64 (rows, n).

    >>> top(np.array([[0.1, 0.3, 0.3, 0.2]]), 3).tolist()
    [[1, 2, 3]]
    """
    out = np.empty((len(scores), n), np.int64)
    least = np.partition(scores, -n, axis=1)[:, -n]
    for row, (own, enough) in enumerate(zip(scores, least, strict=True)):
        posts = np.flatnonzero(own >= enough)
        out[row] = posts[np.argsort(-own[posts], kind="stable")[:n]]
    return out


def blocks(ranking: Ranking, left_out: SeenPosts, depth: int, n_buckets: int) -> Iterator[RankedBlock]:
    """Yield all users' lists, block by block; a peer knows no time, so every bucket has the same one.

    Args:
        ranking: Scores of every post; finite.
        left_out: Posts that each user's lists leave out.
        depth: Posts in a list, at most as many as there are posts. A list is shorter only where the user
            has fewer posts left.
        n_buckets: Buckets in the horizon.
    """
    n_users = left_out.n_users
    for first in range(0, n_users, USERS_AT_ONCE):
        users = np.arange(first, min(first + USERS_AT_ONCE, n_users))
        scores = np.array(ranking(users), np.float64)  # a copy: what a ranking returns may be its own
        for row, user in enumerate(users.tolist()):
            scores[row, left_out.of(user)] = -np.inf
        posts = top(scores, depth)
        values = np.take_along_axis(scores, posts, axis=1)
        there = values > -np.inf
        rows = np.where(there, posts, -1).astype(np.int32)
        values = np.where(there, values, np.nan)
        yield RankedBlock(
            first, np.repeat(rows[:, None], n_buckets, axis=1), np.repeat(values[:, None], n_buckets, axis=1)
        )
