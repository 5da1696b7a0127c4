"""One shape for all that rank, baselines and our own model: users' best posts, and scores of single pairs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from batch.arrays import Floats, Ints
from batch.data.seen import SeenPosts
from batch.learn.baselines.interactions import Interactions
from batch.score.ranked import RankedBlock

USERS_AT_ONCE = 256  # scores of 7,023 posts for so many users take 14 MB
TIE = 1e-7  # of the largest score; float32 similarities differ by less only where they are equal

# Scores of every post, float64 (users, posts), for int64 (users,) rows of users; finite, higher is better.
PostScores = Callable[[Ints], Floats]


class Recommender(Protocol):
    """What has learned, and knows no fact after those it was given."""

    def lists(self, users: Ints, n: int) -> Ints:
        """Return each user's `n` best posts of all, best first, int64 (users, n), rows of posts."""
        ...

    def pairs(self, users: Ints, posts: Ints) -> Floats:
        """Return the scores of (user, post) pairs, float64 (pairs,)."""
        ...


@dataclass(frozen=True, slots=True)
class ScoreRecommender:
    """A recommender by scores of every post; ties go to the lower post."""

    scores: PostScores

    def lists(self, users: Ints, n: int) -> Ints:
        """Return each user's `n` best posts."""
        lows = range(0, len(users), USERS_AT_ONCE)
        parts = [top(self.scores(users[low : low + USERS_AT_ONCE]), n) for low in lows]
        return np.vstack([np.empty((0, n), np.int64), *parts])

    def pairs(self, users: Ints, posts: Ints) -> Floats:
        """Return the scores of pairs, each user's posts scored once."""
        out, (distinct, place) = np.empty(len(users)), np.unique(users, return_inverse=True)
        for low in range(0, len(distinct), USERS_AT_ONCE):
            rows = np.flatnonzero((place >= low) & (place < low + USERS_AT_ONCE))
            scores = self.scores(distinct[low : low + USERS_AT_ONCE])
            out[rows] = scores[place[rows] - low, posts[rows]]
        return out

    def blocks(self, left_out: SeenPosts, depth: int, n_buckets: int) -> Iterator[RankedBlock]:
        """Yield all users' lists as they are published; every bucket has the same, as no score knows time.

        Args:
            left_out: Posts that each user's lists leave out.
            depth: Posts in a list, at most as many as there are posts. A list is shorter only where the user
                has fewer posts left.
            n_buckets: Buckets in the horizon.
        """
        n_users = left_out.n_users
        for first in range(0, n_users, USERS_AT_ONCE):
            users = np.arange(first, min(first + USERS_AT_ONCE, n_users))
            scores = np.array(self.scores(users), np.float64)  # a copy: the array may be the baseline's own
            for row, user in enumerate(users.tolist()):
                scores[row, left_out.of(user)] = -np.inf
            posts = top(scores, depth)
            values = np.take_along_axis(scores, posts, axis=1)
            left = values > -np.inf
            rows = np.where(left, posts, -1).astype(np.int32)[:, None]
            values = np.where(left, values, np.nan)[:, None]
            yield RankedBlock(first, np.repeat(rows, n_buckets, axis=1), np.repeat(values, n_buckets, axis=1))


class Baseline(NamedTuple):
    """A named way to rank: `learn` makes scores; `needs` is a package that must be there, or empty."""

    name: str
    learn: Callable[[Interactions], PostScores]
    needs: str = ""

    def fit(self, interactions: Interactions) -> ScoreRecommender:
        """Learn from the interactions."""
        return ScoreRecommender(self.learn(interactions))


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


def break_ties(scores: Floats, popular: Floats) -> Floats:
    """Break ties by popularity, so that a user of whom a baseline knows nothing gets the popular list.

    >>> tied = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    >>> break_ties(tied, np.array([0.1, 0.3, 0.2])).argsort().tolist()
    [[0, 1, 2], [0, 2, 1]]
    """
    largest = np.maximum(np.abs(scores).max(axis=1, keepdims=True), 1e-12)
    place = np.empty(len(popular), np.int64)
    place[np.argsort(-popular, kind="stable")[::-1]] = np.arange(len(popular))
    return np.asarray(scores / largest + TIE * place / len(place), np.float64)
