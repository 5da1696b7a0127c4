"""What every peer learns from: facts up to a time, and the few tables most of them want."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from batch.data.facts import Facts
from batch.features.asof import Statics
from batch.features.tally import shrink_lift

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TIE = 1e-7  # of the largest score; float32 similarities differ by less only where they are equal


@dataclass(frozen=True, slots=True)
class Past:
    """The facts a peer may read.

    Attributes:
        facts: Events up to a time and none after it.
        known: What does not change with time.
        seed: Of everything random.
        threads: Threads that a peer may use; 0: all cores.
    """

    facts: Facts
    known: Statics
    seed: int
    threads: int = 0

    def views(self) -> sparse.csr_matrix:
        """Return how often each user was shown each post, float32 (users, posts)."""
        return self._counted(self.facts.views)

    def likes(self) -> sparse.csr_matrix:
        """Return 1 where the user liked the post, float32 (users, posts)."""
        liked = self._counted(self.facts.views & (self.facts.target == 1))
        liked.data[:] = 1
        return liked

    def rates(self) -> Floats:
        """Return posts' like rates, shrunk to everybody's as chance asks, float64 (posts,)."""
        shown = self.facts.views
        post, liked = self.facts.post[shown], self.facts.target[shown].astype(np.float64)
        n = len(self.facts.posts)
        views = np.bincount(post, minlength=n).astype(np.float64)
        likes = np.asarray(np.bincount(post, liked, n), np.float64)
        base = float(likes.sum() / max(float(views.sum()), 1.0))
        return base * shrink_lift(likes, views * base)

    def _counted(self, rows: npt.NDArray[np.bool_]) -> sparse.csr_matrix:
        shape = (len(self.facts.users), len(self.facts.posts))
        ones = np.ones(int(rows.sum()), np.float32)
        return sparse.csr_matrix((ones, (self.facts.user[rows], self.facts.post[rows])), shape)


class Ranking(Protocol):
    """Scores of every post for some users; higher is better."""

    def __call__(self, users: Ints) -> Floats:
        """Return float64 (users, posts) for rows of users; finite, and never all equal."""
        ...


class Peer(NamedTuple):
    """A named way to rank: `fit` learns from the past; `needs` is a package that must be there, or empty."""

    name: str
    fit: Callable[[Past], Ranking]
    needs: str = ""


def filled(scores: Floats, popular: Floats) -> Floats:
    """Break ties by popularity, so that a user of whom a peer knows nothing gets the popular list.

    >>> filled(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]), np.array([0.1, 0.3, 0.2])).argsort().tolist()
    [[0, 1, 2], [0, 2, 1]]
    """
    largest = np.maximum(np.abs(scores).max(axis=1, keepdims=True), 1e-12)
    place = np.empty(len(popular), np.int64)
    place[np.argsort(-popular, kind="stable")[::-1]] = np.arange(len(popular))
    return np.asarray(scores / largest + TIE * place / len(place), np.float64)
