"""Caps on topics: at most so many posts of a topic in any so many consecutive places, by greedy choice."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import pandas as pd

from batch.arrays import AnyFloats, AnyInts, Bools, Ints, Ints32


@dataclass(frozen=True, slots=True)
class Caps:
    """A cap, and what it counts.

    At each place the best post left is taken whose topic does not break the cap, and where none fits, the
    best one left: the order is otherwise kept.

    Attributes:
        most: Posts of one topic in a window, at most; 1 or more.
        window: Consecutive places that are counted together; more than `most`.
        topic: int32 (posts,). Each post's topic, 0..topics-1; posts of topic -1 are never too many.
    """

    most: int
    window: int
    topic: Ints32

    @property
    def text(self) -> str:
        """Return the cap as it is set: such as 3/10."""
        return f"{self.most}/{self.window}"

    @classmethod
    def of(cls, text: str, topics: Iterable[object]) -> "Caps | None":
        """Return the cap that a text such as 3/10 stands for; None for an empty one.

        Args:
            text: As `batch.settings` has checked it.
            topics: Each post's; a missing or empty one is none.
        """
        if not text:
            return None
        names = pd.Series(list(topics), dtype=object).replace("", None)
        most, window = text.split("/")
        return cls(int(most), int(window), pd.factorize(names, sort=True)[0].astype(np.int32))

    def of_posts(self, rows: AnyInts | Bools) -> "Caps":
        """Return the cap on some posts, given by row, or as bool (posts,)."""
        return Caps(self.most, self.window, self.topic[rows])

    def bound(self, depth: int) -> int:
        """Return how many posts of a topic a list has at most, where the cap holds throughout.

        >>> Caps(3, 10, np.empty(0, np.int32)).bound(25)
        9
        """
        return self.most * (depth // self.window) + min(self.most, depth % self.window)

    def choose(self, ranked: AnyInts, depth: int) -> Ints32:
        """Return the list that a ranking makes.

        Args:
            ranked: (n,). All candidates, rows of posts, best first.
            depth: Posts in a list.

        Returns:
            int32 (≤ depth,).
        """
        ranked, chosen = ranked.astype(np.int32), np.empty(depth, np.int64)
        choose(ranked, len(ranked), self.topic, self.most, self.window, *self.scratch(len(ranked)), chosen)
        return np.asarray(ranked[chosen[chosen >= 0]])

    def choose_each(self, ranked: AnyInts, depth: int) -> Ints:
        """Return which of its candidates each list takes.

        Args:
            ranked: (..., n). Rows of posts, best first; -1 fills.
            depth: Posts in a list, at most n.

        Returns:
            int64 (..., depth). Places in `ranked`; beyond the last candidate the first of what fills.
        """
        flat = ranked.reshape(-1, ranked.shape[-1]).astype(np.int32)
        out = np.empty((len(flat), depth), np.int64)
        _choose_each(flat, self.topic, self.most, self.window, *self.scratch(flat.shape[1]), out)
        return out.reshape(*ranked.shape[:-1], depth)

    def top(self, scores: AnyFloats, depth: int) -> Ints32:
        """Return int32 (rows, ≤ depth): each row's list of scores (rows, posts), ties to the lower."""
        ranked = np.argsort(-scores, axis=1, kind="stable").astype(np.int32)
        return np.take_along_axis(ranked, self.choose_each(ranked, min(depth, ranked.shape[1])), 1)

    def scratch(self, n: int) -> tuple[AnyInts, AnyInts]:
        """Return what `choose` works with for `n` candidates."""
        return np.empty(n + 1, np.int64), np.zeros(int(self.topic.max(initial=-1)) + 1, np.int64)

    def count_over(self, lists: Ints32) -> int:
        """Count the places of lists whose topic comes too often in the window that they end.

        Args:
            lists: int32 (..., depth). Rows of posts, best first; -1 fills.
        """
        return int(_count_over(lists.reshape(-1, lists.shape[-1]), self.topic, self.most, self.window))


@nb.njit(cache=True, nogil=True)
def choose(  # type: ignore[no-untyped-def]
    ranked, n, topic, most, window, after, recent, chosen
):
    """Write which of the candidates make the list, by their place in `ranked`; -1 beyond the last.

    Args:
        ranked: int32 (n or more,). Rows of posts, best first.
        n: How many they are.
        topic: int32 (posts,), as in `Caps`.
        most, window: The cap.
        after: int64 (n + 1 or more,). Scratch: the candidate left that comes next.
        recent: int64 (topics,). Scratch: posts of each topic in the window.
        chosen: int64 (depth,).

    Returns:
        How many places no candidate fitted, so that the best one left was taken.
    """
    n_forced = 0
    recent[:] = 0
    chosen[:] = -1
    for at in range(n + 1):
        after[at] = at + 1  # candidates count from 1 here; 0 comes before the first
    for place in range(min(n, len(chosen))):
        if place >= window:
            leaving = topic[ranked[chosen[place - window]]]
            if leaving >= 0:
                recent[leaving] -= 1
        before = 0
        while after[before] <= n:
            own = topic[ranked[after[before] - 1]]
            if own < 0 or recent[own] < most:
                break
            before = after[before]
        if after[before] > n:
            before = 0
            n_forced += 1
        chosen[place] = after[before] - 1
        after[before] = after[after[before]]
        own = topic[ranked[chosen[place]]]
        if own >= 0:
            recent[own] += 1
    return n_forced


@nb.njit(cache=True, nogil=True)
def _choose_each(ranked: Any, topic: Any, most: Any, window: Any, after: Any, recent: Any, out: Any) -> None:
    for row in range(len(ranked)):
        n = 0
        while n < ranked.shape[1] and ranked[row, n] >= 0:
            n += 1
        choose(ranked[row], n, topic, most, window, after, recent, out[row])
        out[row, n:] = n


@nb.njit(cache=True, nogil=True)
def _count_over(lists: Any, topic: Any, most: Any, window: Any) -> Any:
    n_over = 0
    for row in range(len(lists)):
        for place in range(lists.shape[1]):
            if lists[row, place] < 0 or topic[lists[row, place]] < 0:
                continue
            own, n = topic[lists[row, place]], 0
            for at in range(max(0, place - window + 1), place + 1):
                n += topic[lists[row, at]] == own
            n_over += n > most
    return n_over
