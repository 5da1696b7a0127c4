"""Judges of a later period: what users liked in it says how well scores made before it rank.

Where users chose, all posts that they had not taken are ranked, and a list is worth its NDCG@10. Where a feed
showed the posts, those of a session are ranked without their place, and a session is worth its AUC; never all
posts there, since one that was not shown could not be liked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from batch.arrays import Bools, Floats, Ints
from batch.data.facts import Facts
from batch.data.ragged import starts
from batch.data.seen import SeenPosts
from batch.features.sides import Sides
from batch.learn.later_likes import K, LaterChoices
from batch.learn.sessions import pairs_won, positions
from batch.score.engine import score

Factors = Sequence[Floats]  # of each part
MOST_LISTS, MOST_CELLS = 2_000, 20_000_000  # of a period; of lists by posts, so fewer lists of many posts
LISTS_AT_ONCE = 2_000_000  # of their cells
MOST_SHOWN = 60_000  # impressions of a period; of more, those of so many users


@dataclass(frozen=True, slots=True)
class ChoiceJudge:
    """Lists of users with a history who liked something new in the period.

    Attributes:
        later: Those users, what they had taken before, and what they liked then.
    """

    later: LaterChoices

    @classmethod
    def of(cls, facts: Facts, begin_s: int, end_s: int, rng: np.random.Generator) -> "ChoiceJudge":
        """Return the judge of `(begin_s, end_s]`; of many users some drawn evenly."""
        most = min(MOST_LISTS, max(1, MOST_CELLS // max(len(facts.posts), 1)))
        return cls(LaterChoices.of(facts, begin_s, end_s, most, rng))

    def of_parts(self, x: Factors, y: Factors) -> Callable[[Floats], Floats]:
        """Return a function of parts' weights that gives the NDCG@10 of each list, float64 (lists,).

        Args:
            x: Of each part float64 (users, its columns), of all users.
            y: The same of posts.
        """
        own = [one[self.later.users] for one in x]

        def gains(weights: Floats) -> Floats:
            on = np.flatnonzero(weights).tolist()
            if not len(on):
                return self._gains(np.zeros((len(self.later.users), 1)), np.zeros((len(y[0]), 1)))
            return self._gains(np.hstack([weights[k] * own[k] for k in on]), np.hstack([y[k] for k in on]))

        return gains

    def _gains(self, own: Floats, y: Floats) -> Floats:
        at_once, n = max(1, LISTS_AT_ONCE // max(len(y), 1)), len(own)
        found = [np.empty(0)]
        for low in range(0, n, at_once):
            part = self.later.part(low, min(low + at_once, n))
            found.append(part.gains_of_each(own[low : low + at_once] @ y.T))
        return np.concatenate(found)

    def gains_with_trees(
        self, x: Floats, y: Floats, text: str, sides: Sides, share: float, threads: int
    ) -> Floats:
        """Return the same where a share of what trees say is added.

        Args:
            x: float64 (users, k). Of all users.
            y: float64 (posts, k).
            text: LightGBM's model.
            sides: The features' values as of the period's begin, one bucket.
            share: More than 0.
            threads: Threads of scoring; 0: all cores.
        """
        later = self.later
        if not len(later.users):
            return np.empty(0)
        n_seen = np.bincount(later.seen_row, minlength=len(later.users))
        seen = SeenPosts(starts(n_seen), later.seen_post.astype(np.int32))
        blocks = score(
            text, sides.part(later.users), seen, min(K, len(y)),
            dense=(x[later.users] / share, y), threads=threads,
            opened=None if later.opened is None else later.opened[None],
        )  # fmt: skip
        return later.gains_of_lists(np.vstack([block.posts[:, 0] for block in blocks]).astype(np.int64))


@dataclass(frozen=True, slots=True)
class SessionJudge:
    """Impressions of the period's sessions.

    Attributes:
        user: int64 (n,). Whose impression,
        post: int64 (n,) of which post,
        session: int64 (n,) and in which session, 0..
        liked: bool (n,).
    """

    user: Ints
    post: Ints
    session: Ints
    liked: Bools

    @classmethod
    def of(cls, facts: Facts, begin_s: int, end_s: int, rng: np.random.Generator) -> "SessionJudge":
        """Return the judge of `(begin_s, end_s]`; of many users some drawn evenly."""
        low, high = np.searchsorted(facts.time, [begin_s, end_s], side="right")
        event = low + np.flatnonzero(facts.views[low:high])
        if len(event) > MOST_SHOWN:
            kept = rng.random(len(facts.users)) < MOST_SHOWN / len(event)
            event = event[kept[facts.user[event]]]
        return cls.of_events(facts, event)

    @classmethod
    def of_events(cls, facts: Facts, event: Ints) -> "SessionJudge":
        """Return the judge by these rows of the facts."""
        session, _ = positions(facts.user[event], facts.time[event])
        user, post = facts.user[event].astype(np.int64), facts.post[event].astype(np.int64)
        return cls(user, post, session, np.equal(facts.target[event], 1))

    def of_parts(self, x: Factors, y: Factors) -> Callable[[Floats], Floats]:
        """Return a function of parts' weights that gives the AUC of each session, float64 (sessions,)."""
        pairs = zip(x, y, strict=True)
        columns = [np.einsum("ij,ij->i", one[self.user], other[self.post]) for one, other in pairs]
        scores = np.column_stack(columns)
        return lambda weights: self.gains_of(np.asarray(scores @ weights, np.float64))

    def gains_of(self, scores: Floats) -> Floats:
        """Return the AUC of each session that has a like and an impression without one, float64 (sessions,).

        Args:
            scores: float64 (n,). Of each impression; a tie is half a pair in order.
        """
        if not len(scores):
            return np.empty(0)
        won, pairs = pairs_won(self.session, scores, self.liked)
        return np.asarray(won[pairs > 0] / pairs[pairs > 0], np.float64)


def find_judge(
    facts: Facts, begin_s: int, end_s: int, rng: np.random.Generator
) -> ChoiceJudge | SessionJudge:
    """Return the judge of `(begin_s, end_s]` that what a view of these facts says demands."""
    kind = ChoiceJudge if facts.shown == "choices" else SessionJudge
    return kind.of(facts, begin_s, end_s, rng)
