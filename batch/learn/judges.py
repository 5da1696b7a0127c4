"""Judges of a later period: what users liked in it says how well scores made before it rank.

Where users chose, all posts that they had not taken are ranked, and a list is worth its NDCG@10. Where a feed
showed the posts, those of a session are ranked without their place, and a session is worth its AUC; never all
posts there, since one that was not shown could not be liked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from batch.arrays import Bools, Floats, Ints
from batch.data.facts import Facts
from batch.data.ragged import starts
from batch.data.seen import SeenPosts
from batch.data.windows import SINCE_EVER, Windows
from batch.features.sides import Sides
from batch.learn.baselines.recommender import top
from batch.learn.sessions import pairs_won, positions
from batch.score.engine import score

Factors = Sequence[Floats]  # of each part
K = 10  # places of a list that count
DISCOUNT = 1 / np.log2(np.arange(K) + 2)
MOST_JUDGED, MOST_CELLS = 2_000, 20_000_000  # lists of a period; of lists by posts, so fewer of many posts
LISTS_AT_ONCE = 2_000_000  # of their cells
A_SESSION = 30  # impressions, where so many sessions are to judge


@dataclass(frozen=True, slots=True)
class ChoiceJudge:
    """Lists of users with a history who liked something new in the period.

    Attributes:
        users: int64 (lists,), ascending. Rows of users.
        seen_row: int64 (n,). The list of each post that its user had taken before the period,
        seen_post: int64 (n,) and the post.
        row: int64 (m,). The list of each new like,
        post: int64 (m,) and the post.
        opened: bool (posts,). Candidates at the period's begin; None: all.
    """

    users: Ints
    seen_row: Ints
    seen_post: Ints
    row: Ints
    post: Ints
    opened: Bools | None

    @classmethod
    def of(
        cls, facts: Facts, begin_s: int, end_s: int, rng: np.random.Generator, most: int = MOST_JUDGED
    ) -> "ChoiceJudge":
        """Return the judge of `(begin_s, end_s]`, of at most `most` users, drawn evenly."""
        n_posts, windows = len(facts.posts), Windows.of(facts.posts)
        most = min(most, max(1, MOST_CELLS // max(n_posts, 1)))
        opened = None if windows is None else windows.at(np.array([begin_s]))[0]
        low, high = np.searchsorted(facts.time, [begin_s, end_s], side="right")
        liked = low + np.flatnonzero(facts.target[low:high] == 1)
        liked = liked if opened is None else liked[opened[facts.post[liked]]]
        warm = np.bincount(facts.user[:low], minlength=len(facts.users)) > 0
        asked = np.unique(facts.user[liked])
        asked = asked[warm[asked]].astype(np.int64)
        if len(asked) > most:
            asked = np.sort(rng.choice(asked, most, replace=False))
        number = np.full(len(facts.users), -1)
        number[asked] = np.arange(len(asked))
        seen, new = (
            np.unique(number[facts.user[rows]] * n_posts + facts.post[rows])
            for rows in (np.flatnonzero(number[facts.user[:low]] >= 0), liked[number[facts.user[liked]] >= 0])
        )
        new = np.setdiff1d(new, seen, assume_unique=True)
        held, row = np.unique(new // n_posts, return_inverse=True)
        seen = seen[np.isin(seen // n_posts, held)]
        of_seen = np.searchsorted(held, seen // n_posts)
        return cls(asked[held], of_seen, seen % n_posts, row.astype(np.int64), new % n_posts, opened)

    def of_posts(self, some: Bools) -> "ChoiceJudge":
        """Return the judge of likes of some posts, bool (posts,)."""
        own = some[self.post]
        held, row = np.unique(self.row[own], return_inverse=True)
        of_seen = np.isin(self.seen_row, held)
        return replace(
            self,
            users=self.users[held],
            seen_row=np.searchsorted(held, self.seen_row[of_seen]), seen_post=self.seen_post[of_seen],
            row=row.astype(np.int64), post=self.post[own],
        )  # fmt: skip

    def gains(self, scores: Floats) -> Floats:
        """Return NDCG@10 of each list, float64 (lists,), where all are ranked by one score a post.

        Args:
            scores: float64 (posts,), higher is better; ties go to the lower post.
        """
        if not len(self.users):
            return np.empty(0)
        scores = scores if self.opened is None else np.where(self.opened, scores, -np.inf)
        n = min(len(scores), K + int(np.bincount(self.seen_row, minlength=1).max()))
        place = np.full(len(scores), n)
        place[top(scores[None], n)[0]] = np.arange(n)
        hidden = np.zeros((len(self.users), n + 1), np.int64)
        hidden[self.seen_row, place[self.seen_post]] = 1
        before = hidden.cumsum(axis=1)
        own = place[self.post]
        return self._ndcg(np.where(own < n, own - before[self.row, own], K))

    def gains_of_each(self, scores: Floats) -> Floats:
        """Return the same of scores of each list's own, float64 (lists, posts); ties go to the lower post."""
        scores = scores.copy() if self.opened is None else np.where(self.opened, scores, -np.inf)
        scores[self.seen_row, self.seen_post] = -np.inf
        own = scores[self.row, self.post]
        rank = np.empty(len(own), np.int64)
        for at in range(len(own)):
            every, post = scores[self.row[at]], self.post[at]
            rank[at] = np.count_nonzero(every > own[at]) + np.count_nonzero(every[:post] == own[at])
        return self._ndcg(rank)

    def of_parts(self, x: Factors, y: Factors) -> Callable[[Floats], Floats]:
        """Return a function of parts' weights that gives the same, float64 (lists,).

        Args:
            x: Of each part float64 (users, its columns), of all users.
            y: The same of posts.
        """
        own = [one[self.users] for one in x]

        def gains(weights: Floats) -> Floats:
            on = np.flatnonzero(weights).tolist()
            if not len(on):
                return self.gains(np.zeros(len(y[0])))
            return self._gains(np.hstack([weights[k] * own[k] for k in on]), np.hstack([y[k] for k in on]))

        return gains

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
        if not len(self.users):
            return np.empty(0)
        n_seen = np.bincount(self.seen_row, minlength=len(self.users))
        seen = SeenPosts(starts(n_seen), self.seen_post.astype(np.int32))
        blocks = score(
            text, sides.part(self.users), seen, min(K, len(y)),
            dense=(x[self.users] / share, y), threads=threads,
            opened=None if self.opened is None else self.opened[None],
        )  # fmt: skip
        lists = np.vstack([block.posts[:, 0] for block in blocks]).astype(np.int64)
        held = lists[self.row] == self.post[:, None]
        return self._ndcg(np.where(held.any(axis=1), held.argmax(axis=1), K))

    def _gains(self, own: Floats, y: Floats) -> Floats:
        at_once, n = max(1, LISTS_AT_ONCE // max(len(y), 1)), len(own)
        found = [np.empty(0)]
        for low in range(0, n, at_once):
            part = self._part(low, min(low + at_once, n))
            found.append(part.gains_of_each(own[low : low + at_once] @ y.T))
        return np.concatenate(found)

    def _part(self, low: int, high: int) -> "ChoiceJudge":
        """Return the lists `low` to `high`, that not included."""
        seen = slice(*np.searchsorted(self.seen_row, [low, high]))
        new = slice(*np.searchsorted(self.row, [low, high]))
        return replace(
            self,
            users=self.users[low:high],
            seen_row=self.seen_row[seen] - low, seen_post=self.seen_post[seen],
            row=self.row[new] - low, post=self.post[new],
        )  # fmt: skip

    def _ndcg(self, rank: Ints) -> Floats:
        gain = np.where(rank < K, DISCOUNT[np.minimum(rank, K - 1)], 0.0)
        n_likes = np.bincount(self.row, minlength=len(self.users))
        ideal = DISCOUNT.cumsum()[np.minimum(n_likes, K) - 1]
        return np.asarray(np.bincount(self.row, gain, len(self.users)) / ideal, np.float64)


@dataclass(frozen=True, slots=True)
class SessionJudge:
    """Impressions of the period's sessions.

    Attributes:
        user: int64 (n,). Whose impression,
        post: int64 (n,) of which post,
        session: int64 (n,) and in which session, 0..,
        time: int64 (n,). When, epoch seconds,
        zone: on whose clocks hours are told.
        liked: bool (n,).
    """

    user: Ints
    post: Ints
    session: Ints
    time: Ints
    zone: str
    liked: Bools

    @classmethod
    def of(
        cls, facts: Facts, begin_s: int, end_s: int, rng: np.random.Generator, most: int = MOST_JUDGED
    ) -> "SessionJudge":
        """Return the judge of `(begin_s, end_s]`; of more than about `most` sessions those of some users."""
        low, high = np.searchsorted(facts.time, [begin_s, end_s], side="right")
        event = low + np.flatnonzero(facts.views[low:high])
        if len(event) > most * A_SESSION:
            kept = rng.random(len(facts.users)) < most * A_SESSION / len(event)
            event = event[kept[facts.user[event]]]
        return cls.of_events(facts, event)

    @classmethod
    def of_events(cls, facts: Facts, event: Ints) -> "SessionJudge":
        """Return the judge by these rows of the facts."""
        session, _ = positions(facts.user[event], facts.time[event])
        user, post = facts.user[event].astype(np.int64), facts.post[event].astype(np.int64)
        return cls(user, post, session, facts.time[event], facts.zone, np.equal(facts.target[event], 1))

    def gains(self, scores: Floats) -> Floats:
        """Return the AUC of each session, float64 (sessions,), by one score a post, float64 (posts,)."""
        return self.gains_of(scores[self.post])

    def of_parts(self, x: Factors, y: Factors) -> Callable[[Floats], Floats]:
        """Return a function of parts' weights that gives the same, float64 (sessions,)."""
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


def known_posts(facts: Facts, at_s: int) -> Bools:
    """Return bool (posts,): which posts were there at a time, as far as that time could tell.

    Those that anybody had taken, and those whose window had begun. Of any other post we know that it is there
    only because somebody took it later: to rank such posts first would meet all their likes, and say nothing.
    """
    before = facts.post[: np.searchsorted(facts.time, at_s, side="right")]
    known, windows = np.bincount(before, minlength=len(facts.posts)) > 0, Windows.of(facts.posts)
    if windows is not None:
        known |= (windows.from_s > SINCE_EVER) & (windows.from_s <= at_s)
    return known


def find_judge(
    facts: Facts, begin_s: int, end_s: int, rng: np.random.Generator, most: int = MOST_JUDGED
) -> ChoiceJudge | SessionJudge:
    """Return the judge of `(begin_s, end_s]` that what a view of these facts says demands."""
    kind = ChoiceJudge if facts.shown == "choices" else SessionJudge
    return kind.of(facts, begin_s, end_s, rng, most)
