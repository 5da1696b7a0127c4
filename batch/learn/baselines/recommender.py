"""One shape for all that rank, baselines and our own model: users' best posts, and scores of single pairs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from batch.arrays import Bools, Floats, Ints
from batch.data.seen import SeenPosts
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.knobs import Knob
from batch.score.ranked import RankedBlock

USERS_AT_ONCE = 256  # scores of 7,023 posts for so many users take 14 MB
SCORES_AT_ONCE = 4_000_000  # of fewer users where posts are many: 32 MB
TIE = 1e-7  # of the largest score; float32 similarities differ by less only where they are equal

# Scores of every post, float64 (users, posts), for int64 (users,) rows of users; finite, higher is better.
PostScores = Callable[[Ints], Floats]


class Recommender(Protocol):
    """What has learned, and knows no fact after those it was given."""

    def lists(self, users: Ints, n: int, opened: Bools | None = None) -> Ints:
        """Return each user's `n` best posts, best first, int64 (users, n), rows of posts.

        With `opened`, bool (posts,), of those alone; -1 fills where they are fewer.
        """
        ...

    def pairs(self, users: Ints, posts: Ints, at_s: Ints) -> Floats:
        """Return the scores of (user, post) pairs at moments, epoch seconds, float64 (pairs,)."""
        ...


@dataclass(frozen=True, slots=True)
class ScoreRecommender:
    """A recommender by scores of every one of `n_posts` posts; ties go to the lower post."""

    scores: PostScores
    n_posts: int

    def lists(self, users: Ints, n: int, opened: Bools | None = None) -> Ints:
        """Return each user's `n` best posts."""
        at_once = users_at_once(self.n_posts)
        lows = range(0, len(users), at_once)
        parts = [_top_of(self.scores(users[low : low + at_once]), n, opened) for low in lows]
        return np.vstack([np.empty((0, n), np.int64), *parts])

    def pairs(self, users: Ints, posts: Ints, at_s: Ints | None = None) -> Floats:  # noqa: ARG002 # no score knows time
        """Return the scores of pairs, each user's posts scored once."""
        out, (distinct, place) = np.empty(len(users)), np.unique(users, return_inverse=True)
        at_once = users_at_once(self.n_posts)
        for low in range(0, len(distinct), at_once):
            rows = np.flatnonzero((place >= low) & (place < low + at_once))
            scores = self.scores(distinct[low : low + at_once])
            out[rows] = scores[place[rows] - low, posts[rows]]
        return out

    def blocks(
        self, left_out: SeenPosts, depth: int, n_buckets: int, opened: Bools | None = None
    ) -> Iterator[RankedBlock]:
        """Yield all users' lists as they are published; buckets differ by what is open: no score knows time.

        Args:
            left_out: Posts that each user's lists leave out.
            depth: Posts in a list, at most as many as there are posts. A list is shorter only where the user
                has fewer posts left.
            n_buckets: Buckets in the horizon.
            opened: bool (buckets, posts). Which posts are candidates; None: all, in every bucket.
        """
        same = np.ones((1, self.n_posts), np.bool_)
        kinds, kind = (same, np.zeros(n_buckets, np.int64)) if opened is None else _distinct(opened)
        n_users, at_once = left_out.n_users, users_at_once(self.n_posts)
        for first in range(0, n_users, at_once):
            users = np.arange(first, min(first + at_once, n_users))
            scores = np.array(self.scores(users), np.float64)  # a copy: the array may be the baseline's own
            for row, user in enumerate(users.tolist()):
                scores[row, left_out.of(user)] = -np.inf
            rows = np.stack([_top_of(scores, depth, one) for one in kinds], axis=1)
            values = np.take_along_axis(scores[:, None], np.maximum(rows, 0), axis=2)
            values = np.where(rows < 0, np.nan, values)
            yield RankedBlock(first, rows[:, kind].astype(np.int32), values[:, kind])


class Baseline(NamedTuple):
    """A named way to rank.

    Attributes:
        name: Of a variant that it makes.
        learn: Makes scores.
        needs: Packages that must be there.
        most_posts: More take it too much time and memory; None: any number does.
        extra: Of pyproject.toml, which brings the packages.
        knobs: What of it may be tuned.
    """

    name: str
    learn: Callable[[Interactions], PostScores]
    needs: tuple[str, ...] = ()
    most_posts: int | None = None
    extra: str = "zoo"
    knobs: tuple[Knob, ...] = ()

    def fit(self, interactions: Interactions) -> ScoreRecommender:
        """Learn from the interactions.

        Raises:
            ValueError: They are of too many posts.
        """
        n_posts = len(interactions.facts.posts)
        if self.cannot_hold(n_posts):
            raise ValueError(f"{self.name} {self.cannot_hold(n_posts)}: choose another peer")
        return ScoreRecommender(self.learn(interactions), n_posts)

    def cannot_hold(self, n_posts: int) -> str:
        """Say why there are too many posts for it; empty where they are not."""
        if self.most_posts is None or n_posts <= self.most_posts:
            return ""
        return f"compares all pairs of posts, at most {self.most_posts:,} of them, and there are {n_posts:,}"


def users_at_once(n_posts: int, most: int = USERS_AT_ONCE) -> int:
    """Return of how many users all scores are held at a time, at most `most`.

    >>> users_at_once(7_023), users_at_once(200_000), users_at_once(10_000_000)
    (256, 20, 1)
    """
    return min(most, max(1, SCORES_AT_ONCE // max(n_posts, 1)))


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


def _top_of(scores: Floats, n: int, opened: Bools | None) -> Ints:
    """Return each row's `n` best columns of those that are open and not -inf, int64 (rows, n); -1 fills."""
    if opened is not None and not opened.all():
        scores = np.where(opened, scores, -np.inf)
    posts = top(scores, n)
    return np.where(np.take_along_axis(scores, posts, axis=1) > -np.inf, posts, -1)


def _distinct(opened: Bools) -> tuple[Bools, Ints]:
    """Return the different rows, and which of them each row is."""
    kinds, kind = np.unique(opened, axis=0, return_inverse=True)
    return kinds, kind.reshape(-1)


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
