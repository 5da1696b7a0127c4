"""Protocol `all_posts`: every open post not seen before a candidate, what was liked afterwards relevant."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from batch.arrays import Bools, Ints
from batch.data.facts import Facts
from batch.data.seen import SeenPosts
from batch.data.windows import Windows
from batch.evaluate import results
from batch.evaluate.list_metrics import ListMetrics
from batch.evaluate.metrics import CUTS, NO_POST, Hits
from batch.evaluate.sessions import RANDOM
from batch.features.text import Texts
from batch.learn.baselines.recommender import Recommender
from batch.learn.split import Split

MOST_ASKED = 5_000  # users whose lists are made: it bounds time and memory, intervals are narrow by then
CELLS = 50_000_000  # of a table of users by posts held at a time: 50 MB
SHOWN = "shown"  # the posts that users were shown first after the split
FEW: tuple[results.Metric, ...] = (("hitrate", 10), ("recall", 10), ("ndcg", 10))  # by segment and by warmth


@dataclass(frozen=True, slots=True)
class AskedUsers:
    """Users who are asked for lists after a split, with their seen sets and relevant posts.

    Attributes:
        facts: All events.
        split: Before it is what was seen, in it what was liked.
        users: int64 (asked,), ascending. Who liked something in the split that they had not seen before.
        seen: Sparse bool (asked, posts). What they had seen before.
        row: int64 (n,). For each like, the row in `users`,
        post: int64 (n,) and the post.
        opened: bool (posts,). Posts whose window holds the time of the lists; None: all.
    """

    facts: Facts
    split: Split
    users: Ints
    seen: sparse.csr_matrix
    row: Ints
    post: Ints
    opened: Bools | None = None

    @classmethod
    def of(
        cls,
        facts: Facts,
        split: Split,
        rng: np.random.Generator,
        most: int = MOST_ASKED,
        at_s: int | None = None,
        candidates: Bools | None = None,
    ) -> "AskedUsers":
        """Find them; of more than `most` who liked anything, so many drawn at random are looked at.

        Their lists are for a time, by default the split's begin: what is closed then is no candidate, and
        counts for nobody as liked; nor does a post outside of `candidates`, bool (posts,), where given.
        """
        n_posts, windows = len(facts.posts), Windows.of(facts.posts)
        lists_s = np.array([split.test_from_s if at_s is None else at_s])
        opened = None if windows is None else windows.at(lists_s)[0]
        if candidates is not None:
            opened = candidates if opened is None else candidates & opened
        low, high = np.searchsorted(facts.time, [split.test_from_s, split.test_to_s], side="left")
        liked = low + np.flatnonzero((facts.target[low:high] == 1) | facts.likes[low:high])
        liked = liked if opened is None else liked[opened[facts.post[liked]]]
        asked = np.unique(facts.user[liked])
        if len(asked) > most:
            asked = rng.choice(asked, most, replace=False)
        before = _cells(facts, np.flatnonzero(np.isin(facts.user[:low], asked)), n_posts)
        fresh = np.setdiff1d(_cells(facts, liked[np.isin(facts.user[liked], asked)], n_posts), before)
        users = np.unique(fresh // n_posts)
        before = before[np.isin(before // n_posts, users)]
        own, row = (np.searchsorted(users, cells // n_posts) for cells in (before, fresh))
        shape = (len(users), n_posts)
        seen = sparse.csr_matrix((np.ones(len(own), np.bool_), (own, before % n_posts)), shape)
        return cls(facts, split, users, seen, row.astype(np.int64), fresh % n_posts, opened)

    @property
    def n_seen(self) -> Ints:
        """Return how many posts each had seen, int64 (asked,)."""
        return np.asarray(np.diff(self.seen.indptr), np.int64)

    @property
    def n_left(self) -> Ints:
        """Return of how many posts each one's list can be made, int64 (asked,)."""
        if self.opened is None:
            return np.asarray(self.seen.shape[1] - self.n_seen, np.int64)
        return np.asarray(self.opened.sum() - self.seen @ self.opened.astype(np.int64), np.int64)

    @property
    def seen_posts(self) -> SeenPosts:
        """Return what each had seen, as scoring leaves it out."""
        seen = self.seen.sorted_indices()
        return SeenPosts(seen.indptr.astype(np.int64), seen.indices.astype(np.int32))

    @property
    def past(self) -> Ints:
        """Return how many impressions each had before the split, int64 (asked,)."""
        return results.past_impressions(self.facts, self.split.test_from_s)[self.users]

    def select(self, some: Bools) -> "AskedUsers":
        """Return some of them, bool (asked,)."""
        own, number = some[self.row], np.cumsum(some) - 1
        row, post = number[self.row[own]].astype(np.int64), self.post[own]
        return replace(self, users=self.users[some], seen=self.seen[some], row=row, post=post)

    def rank(self, recommender: Recommender, n: int) -> Ints:
        """Return each user's `n` best posts not seen before, best first, int64 (asked, n).

        Lists end with `NO_POST` where too few posts are left.
        """
        n_posts, n_seen = self.seen.shape[1], self.n_seen
        out = np.full((len(self.users), n), NO_POST, np.int64)
        order, at_once = np.argsort(n_seen, kind="stable"), max(1, CELLS // n_posts)
        for low in range(0, len(order), at_once):
            rows = order[low : low + at_once]
            deep = min(n_posts, n + int(n_seen[rows].max()))
            lists = recommender.lists(self.users[rows], deep, self.opened)
            hidden = np.take_along_axis(self.seen[rows].toarray(), lists, axis=1) | (lists < 0)
            places = np.argsort(hidden, axis=1, kind="stable")[:, :n]
            left = ~np.take_along_axis(hidden, places, axis=1)
            out[rows, : places.shape[1]] = np.where(left, np.take_along_axis(lists, places, axis=1), NO_POST)
        return out


def measure_unseen(asked: AskedUsers, lists: dict[str, Ints], texts: Texts) -> results.MeasuredLists:
    """Measure lists by what their users liked afterwards, and by what they are made of.

    What a user was not shown they could not like, so all that can be said is how near the lists come to what
    the old feed showed and they liked: it puts new and rare posts at a disadvantage. Order at random is exact
    (`random`); what its lists are made of, their serendipity and AUC are drawn.

    Args:
        asked: At least one user.
        lists: Model to int64 (asked, depth); `RANDOM` among them.
        texts: What the posts are about.
    """
    n_open = len(asked.facts.posts) if asked.opened is None else int(asked.opened.sum())
    before = asked.facts.until(asked.split.test_from_s - 1)
    metrics = ListMetrics.before(before, texts, n_open)
    hits = {name: Hits.of_lists(rows, asked.row, asked.post) for name, rows in lists.items()}
    models = {name: metrics.measure(rows, hits[name]) for name, rows in lists.items()}
    models[RANDOM] |= results.random_columns(asked.n_left, hits[RANDOM].n_relevant)
    every = {**lists, SHOWN: _first_shown(asked)}
    models[SHOWN] = metrics.measure_content(every[SHOWN])
    totals = {name: metrics.coverage(rows) for name, rows in every.items()}
    return results.MeasuredLists(models, asked.users, asked.past, totals)


def _first_shown(asked: AskedUsers) -> Ints:
    """Return the first posts that each asked user was shown in the split, int64 (asked, largest cut-off)."""
    most = max(CUTS)
    facts, out = asked.facts.between(asked.split.test_from_s, asked.split.test_to_s), []
    views = facts.views
    user, post = facts.user[views], facts.post[views]
    order = np.argsort(user, kind="stable")
    bounds = np.searchsorted(user[order], [asked.users, asked.users + 1])
    for low, high in bounds.T.tolist():
        own = post[order[low : min(high, low + most)]].astype(np.int64)
        out.append(np.append(own, np.full(most - len(own), NO_POST)))
    return np.array(out, np.int64).reshape(-1, most)


def _cells(facts: Facts, event: Ints, n_posts: int) -> Ints:
    """Return the different (user, post) pairs of events as one number each, ascending."""
    return np.unique(facts.user[event].astype(np.int64) * n_posts + facts.post[event])
