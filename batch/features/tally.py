"""Counts of views and likes as of a time: what every behavioural feature is made of.

A tally only moves forward, and reads a fact only once its time has come, so no later fact can enter.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import AnyInts, Floats, Ints, Ints32
from batch.data.columns import VIEW
from batch.data.facts import Facts

Counts = Floats
HALF_LIFE_S = 7 * DAY_S  # of "recent" counts: a week holds two sessions of a median user
CHUNK = 4_000_000  # events added at a time; bounds the temporary index arrays
LEAST_SPREAD = 1e-4  # of rows that are ranked by their lift


@dataclass(slots=True)
class Count:
    """Views and likes of each row of something, in all and recently (halved every `HALF_LIFE_S`)."""

    views: Counts
    likes: Counts
    recent_views: Counts
    recent_likes: Counts

    @classmethod
    def of(cls, n: int) -> "Count":
        """Start at zero for `n` rows."""
        return cls(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n))

    def fade(self, factor: float) -> None:
        """Let the recent counts decay."""
        self.recent_views *= factor
        self.recent_likes *= factor

    def add(self, rows: AnyInts, liked: Counts, weight: Counts) -> None:
        """Count views of `rows`, `liked` 1 or 0 each, with a recency `weight` 0..1."""
        n = len(self.views)
        ways = (None, liked, weight, weight * liked)
        self.join(np.column_stack([np.bincount(rows, of, minlength=n) for of in ways]))

    def join(self, counted: Counts) -> None:
        """Add what was counted elsewhere: float64 (rows, 4), in the order of the fields."""
        totals = (self.views, self.likes, self.recent_views, self.recent_likes)
        for total, more in zip(totals, counted.T, strict=True):
            total += more


@dataclass(frozen=True, slots=True)
class UserCounts:
    """Counts of users, of all there are or of a few: what a user's own features are made of.

    Attributes:
        users: Count over the users.
        cells: Count over user × n_groups + group.
        n_groups: Groups of posts.
        last_seen_s: float64 (users,). Time of each user's newest view; NaN where none.
        at_s: int64 (users,). Each user's moment, epoch seconds.
    """

    users: Count
    cells: Count
    n_groups: int
    last_seen_s: Counts
    at_s: Ints

    @classmethod
    def none(cls, n_users: int, n_groups: int, at_s: int) -> "UserCounts":
        """Return the counts of users without an event."""
        nothing = Count.of(n_users), Count.of(n_users * n_groups)
        return cls(*nothing, n_groups, np.full(n_users, np.nan), np.full(n_users, at_s))


class Tally:
    """Counts by user, post and user × group, as of `at_s`; a view carries the label, like rows do not count.

    Attributes:
        at_s: No event later than this has been counted.
        users: Count over rows of users.
        posts: Count over rows of posts.
        cells: Count over user row × n_groups + group.
        last_seen_s: float64 (users,). Time of the newest view; NaN where none.
        first_shown_s: float64 (posts,). Time of the oldest view; NaN where none.
    """

    def __init__(self, facts: Facts, group: Ints32, n_groups: int) -> None:
        """Start before the first of `facts`, with nothing counted."""
        self._facts = facts
        self._group = group
        self._next = 0
        self.n_groups = n_groups
        self.at_s = 0
        self.users = Count.of(len(facts.users))
        self.posts = Count.of(len(facts.posts))
        self.cells = Count.of(len(facts.users) * n_groups)
        self.last_seen_s = np.full(len(facts.users), np.nan)
        self.first_shown_s = np.full(len(facts.posts), np.nan)

    @property
    def base_rate(self) -> float:
        """Return likes per view over everything counted; 0.5 likes in 5 views stand in at the start."""
        return float((self.users.likes.sum() + 0.5) / (self.users.views.sum() + 5.0))

    @property
    def by_user(self) -> UserCounts:
        """Return what has been counted of users so far; no count is copied."""
        at_s = np.full(len(self.last_seen_s), self.at_s)
        return UserCounts(self.users, self.cells, self.n_groups, self.last_seen_s, at_s)

    def advance(self, to_s: int) -> "Tally":
        """Count the events up to and including `to_s`.

        Raises:
            ValueError: `to_s` lies before what is already counted.
        """
        if to_s < self.at_s:
            raise ValueError(f"a tally at {self.at_s} cannot go back to {to_s}")
        fade = 0.5 ** ((to_s - self.at_s) / HALF_LIFE_S)
        for count in (self.users, self.posts, self.cells):
            count.fade(fade)
        end = int(np.searchsorted(self._facts.time, to_s, side="right"))
        for low in range(self._next, end, CHUNK):
            self._add(slice(low, min(low + CHUNK, end)), to_s)
            self._facts.release()
        self._next, self.at_s = max(end, self._next), to_s
        return self

    def _add(self, rows: slice, to_s: int) -> None:
        facts, counts = self._facts, (self.users, self.posts, self.cells)
        weight = 0.5 ** ((to_s - facts.time[rows]) / HALF_LIFE_S)
        counted = [np.zeros((len(count.views), 4)) for count in counts]
        columns = (facts.user, facts.post, facts.time, facts.action, facts.target)
        of_group, times = (self._group, self.n_groups), (self.last_seen_s, self.first_shown_s)
        arguments: tuple[Any, ...] = (*(of[rows] for of in columns), weight, *of_group, *counted, *times)
        _count(*arguments)
        for count, more in zip(counts, counted, strict=True):
            count.join(more)


@numba.njit(cache=True, nogil=True)
def _count(
    user: Any, post: Any, time: Any, action: Any, target: Any, weight: Any, group: Any, n_groups: Any,
    users: Any, posts: Any, cells: Any, last_seen_s: Any, first_shown_s: Any,
) -> None:  # fmt: skip
    """Count views, likes, and both by weight; time ascends, so a user's last is the newest view."""
    for i in range(len(user)):
        if action[i] != VIEW:
            continue
        u, p = np.uint64(user[i]), np.uint64(post[i])
        cell = u * np.uint64(n_groups) + np.uint64(group[p])
        for of, row in ((users, u), (posts, p), (cells, cell)):
            of[row, 0] += 1
            of[row, 2] += weight[i]
            if target[i]:
                of[row, 1] += 1
                of[row, 3] += weight[i]
        last_seen_s[u] = time[i]
        if np.isnan(first_shown_s[p]):
            first_shown_s[p] = time[i]


def shrink_lift(likes: Counts, expected: Counts) -> Counts:
    """Estimate how many times more than expected each row is liked, shrunk to 1 where evidence is thin.

    Args:
        likes: float64, any shape. Counts, may be decayed.
        expected: float64, same shape. Likes expected if the row were like any other.

    Returns:
        float64, same shape: posterior means; 1 where nothing was expected. Rows differ a little even where
        chance may have made all of their difference, so that they can be ranked.

    Source: gamma-Poisson shrinkage, W. DuMouchel, The American Statistician 53 (1999), 177-190.
    """
    return shrink(likes, expected, max(spread(likes, expected), LEAST_SPREAD))


def spread(likes: Counts, expected: Counts) -> float:
    """Return the variance of the rows' true lifts by the method of moments, at most 1.

    It is 0 unless two standard errors above what chance alone makes of rows that are all alike: a feature
    that says nothing is then constant, and no tree can split on its noise.
    """
    square = max(float(np.sum(expected**2)), 1e-12)
    variance = float(np.sum((likes - expected) ** 2 - expected)) / square
    by_chance = float(np.sqrt(np.sum(expected + 2 * expected**2))) / square  # of Poisson counts
    return min(variance, 1.0) if variance > 2 * by_chance else 0.0


def shrink(likes: Counts, expected: Counts, variance: float) -> Counts:
    """Return posterior lifts for a given `spread`: then a row's value depends on its own counts alone."""
    return np.asarray((1 + variance * likes) / (1 + variance * expected), np.float64)
