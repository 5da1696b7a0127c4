"""Likes of a later period that judge what was known before it: lists of choices, sessions of impressions.

Where users chose, the best posts of all that they had not taken are held against what they liked next; where
a feed showed the posts, each like against what else its session showed, since nobody could like what was not
shown.
"""

from dataclasses import dataclass

import numpy as np

from batch.arrays import Bools, Floats, Ints
from batch.data.facts import Facts
from batch.data.windows import Windows
from batch.learn.baselines.recommender import top
from batch.learn.sessions import positions

K = 10  # places of a list that count
N_BESIDE = 5  # of a session's impressions without a like, drawn for each of its likes
DISCOUNT = 1 / np.log2(np.arange(K) + 2)


@dataclass(frozen=True, slots=True)
class LaterChoices:
    """Users with a history who liked something new in a period.

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
        cls, facts: Facts, begin_s: int, end_s: int, most: int, rng: np.random.Generator
    ) -> "LaterChoices":
        """Return those of `(begin_s, end_s]`, at most `most` users, drawn evenly."""
        n_posts, windows = len(facts.posts), Windows.of(facts.posts)
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

    def part(self, low: int, high: int) -> "LaterChoices":
        """Return the lists `low` to `high`, that not included."""
        seen = slice(*np.searchsorted(self.seen_row, [low, high]))
        new = slice(*np.searchsorted(self.row, [low, high]))
        return LaterChoices(
            self.users[low:high],
            self.seen_row[seen] - low, self.seen_post[seen],
            self.row[new] - low, self.post[new],
            self.opened,
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

    def gains_of_lists(self, lists: Ints) -> Floats:
        """Return the same of ranked posts, int64 (lists, at most K), best first, -1 past a list's end."""
        held = lists[self.row] == self.post[:, None]
        return self._ndcg(np.where(held.any(axis=1), held.argmax(axis=1), K))

    def _ndcg(self, rank: Ints) -> Floats:
        gain = np.where(rank < K, DISCOUNT[np.minimum(rank, K - 1)], 0.0)
        n_likes = np.bincount(self.row, minlength=len(self.users))
        ideal = DISCOUNT.cumsum()[np.minimum(n_likes, K) - 1]
        return np.asarray(np.bincount(self.row, gain, len(self.users)) / ideal, np.float64)


@dataclass(frozen=True, slots=True)
class LaterSessions:
    """Likes of a period, each beside posts that its session showed and that were not liked.

    Attributes:
        session: int64 (pairs,). 0.., none without a pair.
        liked: int64 (pairs,). The liked post,
        other: int64 (pairs,) and the other one.
    """

    session: Ints
    liked: Ints
    other: Ints

    @classmethod
    def of(
        cls, facts: Facts, begin_s: int, end_s: int, most: int, rng: np.random.Generator
    ) -> "LaterSessions":
        """Return those of `(begin_s, end_s]`, of at most `most` sessions, drawn evenly."""
        low, high = np.searchsorted(facts.time, [begin_s, end_s], side="right")
        event = low + np.flatnonzero(facts.views[low:high])
        session, _ = positions(facts.user[event], facts.time[event])
        liked = facts.target[event] == 1
        n_all, n_liked = np.bincount(session), np.bincount(session, liked)
        mixed = np.flatnonzero((n_liked > 0) & (n_liked < n_all))
        if len(mixed) > most:
            mixed = np.sort(rng.choice(mixed, most, replace=False))
        order = np.lexsort((liked, session))  # a session's impressions without a like first
        starts = np.cumsum(n_all) - n_all
        yes = order[np.isin(session[order], mixed) & liked[order]]
        of = np.repeat(session[yes], N_BESIDE)
        drawn = rng.integers(0, (n_all - n_liked)[of].astype(np.int64)) if len(of) else np.empty(0, np.int64)
        no = order[starts[of] + drawn]
        post = facts.post[event].astype(np.int64)
        return cls(np.searchsorted(mixed, of), np.repeat(post[yes], N_BESIDE), post[no])

    def gains(self, scores: Floats) -> Floats:
        """Return of each session the share of its pairs whose liked post is ahead, float64 (sessions,).

        Args:
            scores: float64 (posts,), higher is better; a tie counts one half.
        """
        liked, other = scores[self.liked], scores[self.other]
        ahead = (liked > other) + 0.5 * (liked == other)
        n_pairs = np.bincount(self.session)
        return np.asarray(np.bincount(self.session, ahead) / np.maximum(n_pairs, 1), np.float64)


def find_later(
    facts: Facts, begin_s: int, end_s: int, most: int, rng: np.random.Generator
) -> LaterChoices | LaterSessions:
    """Return what judges by the likes of `(begin_s, end_s]`, as what a view of these facts says demands."""
    kind = LaterChoices if facts.shown == "choices" else LaterSessions
    return kind.of(facts, begin_s, end_s, most, rng)
