"""What every baseline learns from: facts up to a time, and the few tables most of them want."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from api.contract.buckets import DAY_S
from batch.arrays import Bools, Floats, Ints
from batch.data.facts import Facts
from batch.features.asof import Statics
from batch.features.tally import shrink_lift
from batch.learn.baselines.knobs import Knob
from batch.learn.stages import Stages

LEAST = 1e-6  # that an old like counts: none gets lost


@dataclass(frozen=True, slots=True)
class Interactions:
    """Impressions and likes up to a time.

    Attributes:
        facts: Events up to a time and none after it.
        statics: What does not change with time.
        seed: Of everything random.
        threads: Threads that a baseline may use; 0: all cores.
        given: Values of the baseline's knobs by name, where they are not the usual ones.
        stages: How two stages rank.
    """

    facts: Facts
    statics: Statics
    seed: int
    threads: int = 0
    given: Mapping[str, float] = field(default_factory=dict)
    stages: Stages = field(default_factory=Stages)

    def value(self, knob: Knob) -> float:
        """Return what a knob is set to."""
        return self.given.get(knob.name, knob.usual)

    def number(self, knob: Knob) -> int:
        """Return what a knob of whole numbers is set to."""
        return int(self.value(knob))

    def views(self) -> sparse.csr_matrix:
        """Return how often each user was shown each post, float32 (users, posts)."""
        return self._count(self.facts.views)

    def likes(self, last: int | None = None) -> sparse.csr_matrix:
        """Return 1 where the user liked the post, float32 (users, posts).

        Args:
            last: How many of each user's likes count, the last ones; None: all.
        """
        rows = self.facts.views & (self.facts.target == 1)
        if last is not None:
            rows[rows] = _find_last(self.facts.user[rows], last)
        liked = self._count(rows)
        liked.data[:] = 1
        return liked

    def faded(self, half_life_days: float) -> sparse.csr_matrix:
        """Return likes of which one of now counts 1, one a half-life ago half; a pair's sum, 1 at most.

        Sparse float32 (users, posts), entries where `likes` has them.
        """
        facts = self.facts
        rows = facts.views & (facts.target == 1)
        age_days = (facts.as_of_s - facts.time[rows]) / DAY_S
        faded = np.maximum(np.exp2(-age_days / half_life_days), LEAST).astype(np.float32)
        shape = (len(facts.users), len(facts.posts))
        weighed = sparse.csr_matrix((faded, (facts.user[rows], facts.post[rows])), shape)
        weighed.data = np.minimum(weighed.data, np.float32(1))
        return weighed

    def quality(self) -> sparse.csr_matrix:
        """Return what all events of a liked pair weigh together, 1 where likes all say the same.

        Sparse float32 (users, posts), entries where `likes` has them; a weight below 0 counts as 0.
        """
        likes, facts = self.likes(), self.facts
        if facts.weight is None:
            return likes
        shape = likes.shape
        weighed = sparse.csr_matrix((facts.weight, (facts.user, facts.post)), shape)
        return likes.multiply(weighed.maximum(0)).tocsr()

    def rates(self) -> Floats:
        """Return posts' like rates, shrunk to everybody's as chance asks, float64 (posts,)."""
        shown = self.facts.views
        post, liked = self.facts.post[shown], self.facts.target[shown].astype(np.float64)
        n = len(self.facts.posts)
        views = np.bincount(post, minlength=n).astype(np.float64)
        likes = np.asarray(np.bincount(post, liked, n), np.float64)
        base = float(likes.sum() / max(float(views.sum()), 1.0))
        return base * shrink_lift(likes, views * base)

    def _count(self, rows: Bools) -> sparse.csr_matrix:
        shape = (len(self.facts.users), len(self.facts.posts))
        ones = np.ones(int(rows.sum()), np.float32)
        return sparse.csr_matrix((ones, (self.facts.user[rows], self.facts.post[rows])), shape)


def _find_last(owner: Ints, n: int) -> Bools:
    """Mark the last `n` rows of each owner.

    >>> _find_last(np.array([4, 4, 1, 4]), 2).tolist()
    [False, True, True, True]
    """
    order = np.argsort(owner, kind="stable")
    after = np.searchsorted(owner[order], owner[order], side="right")
    found = np.empty(len(owner), bool)
    found[order] = after - np.arange(len(owner)) <= n
    return found
