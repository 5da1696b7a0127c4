"""Counts of views and likes as of a time: what every behavioural feature is made of.

A tally only moves forward, and reads a fact only once its time has come, so no later fact can enter.
"""

from dataclasses import dataclass

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import AnyInts, Floats, Ints, Ints32
from batch.data.facts import Facts

Counts = Floats
HALF_LIFE_S = 7 * DAY_S  # of "recent" counts: a week holds two sessions of a median user
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
        self.views += np.bincount(rows, minlength=n)
        self.likes += np.bincount(rows, liked, minlength=n)
        self.recent_views += np.bincount(rows, weight, minlength=n)
        self.recent_likes += np.bincount(rows, weight * liked, minlength=n)


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
        for part in self._facts.select(slice(self._next, end)).parts():
            self._add(part, to_s)
        self._next, self.at_s = max(end, self._next), to_s
        return self

    def _add(self, part: Facts, to_s: int) -> None:
        shown = part.views
        user, post, time = part.user[shown], part.post[shown], part.time[shown]
        liked = part.target[shown].astype(np.float64)
        weight = 0.5 ** ((to_s - time) / HALF_LIFE_S)
        self.users.add(user, liked, weight)
        self.posts.add(post, liked, weight)
        self.cells.add(user.astype(np.int64) * self.n_groups + self._group[post], liked, weight)
        # Time ascends, so the last write per user is the newest view, and reversed the oldest per post.
        self.last_seen_s[user] = time
        fresh = np.isnan(self.first_shown_s[post])
        self.first_shown_s[post[fresh][::-1]] = time[fresh][::-1]


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
