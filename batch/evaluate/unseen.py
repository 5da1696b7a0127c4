"""All posts: every post a candidate, what was seen before left out, what was liked afterwards relevant."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from batch.data.facts import Facts
from batch.evaluate import variety
from batch.evaluate.metrics import CUTS, NO_POST, Floats, Hits, Ints
from batch.evaluate.results import Column, Columns, column, of_chance, of_hits
from batch.evaluate.section import Tested, impressions
from batch.features.text import Texts
from batch.learn.baselines.recommender import Fitted
from batch.learn.split import Split

MOST_ASKED = 5_000  # users whose lists are made: it bounds time and memory, intervals are narrow by then
CELLS = 50_000_000  # of a table of users by posts held at a time: 50 MB
K = 10  # places of a list whose variety is measured
DRAWN, SHOWN = "random", "shown"  # lists at random; the posts that users were shown first after the split
FEW = ("hitrate_at_10", "recall_at_10", "ndcg_at_10")  # by segment and by warmth
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked after a split, and what is known of them.

    Attributes:
        facts: All events.
        split: Before it is what was seen, in it what was liked.
        users: int64 (asked,), ascending. Who liked something in the split that he had not seen before.
        seen: Sparse bool (asked, posts). What they had seen before.
        row: int64 (n,). For each like, the row in `users`,
        post: int64 (n,) and the post.
    """

    facts: Facts
    split: Split
    users: Ints
    seen: sparse.csr_matrix
    row: Ints
    post: Ints

    @classmethod
    def of(cls, facts: Facts, split: Split, rng: np.random.Generator, most: int = MOST_ASKED) -> "Asked":
        """Find them; of more than `most` who liked anything, so many drawn at random are looked at."""
        n_posts = len(facts.posts)
        low, high = np.searchsorted(facts.time, [split.test_from_s, split.test_to_s], side="left")
        liked = low + np.flatnonzero((facts.target[low:high] == 1) | facts.likes[low:high])
        asked = np.unique(facts.user[liked])
        if len(asked) > most:
            asked = rng.choice(asked, most, replace=False)
        some = np.zeros(len(facts.users), np.bool_)
        some[asked] = True
        before = _cells(facts, np.flatnonzero(some[facts.user[:low]]), n_posts)
        fresh = np.setdiff1d(_cells(facts, liked[some[facts.user[liked]]], n_posts), before)
        users = np.unique(fresh // n_posts)
        (row, post), (own, old) = (_of(users, cells, n_posts) for cells in (fresh, before))
        seen = sparse.csr_matrix((np.ones(len(own), np.bool_), (own, old)), (len(users), n_posts))
        return cls(facts, split, users, seen, row, post)

    @property
    def n_seen(self) -> Ints:
        """Return how many posts each had seen, int64 (asked,)."""
        return np.asarray(np.diff(self.seen.indptr), np.int64)


def unseen(fitted: Fitted, asked: Asked, n: int) -> Ints:
    """Return each asked user's `n` best posts that he had not seen, best first, int64 (asked, n).

    Lists end with `NO_POST` where too few posts are left.
    """
    n_posts, n_seen = asked.seen.shape[1], asked.n_seen
    out = np.full((len(asked.users), n), NO_POST, np.int64)
    order, at_once = np.argsort(n_seen, kind="stable"), max(1, CELLS // n_posts)
    for low in range(0, len(order), at_once):
        rows = order[low : low + at_once]
        lists = fitted.lists(asked.users[rows], min(n_posts, n + int(n_seen[rows].max())))
        hidden = np.take_along_axis(asked.seen[rows].toarray(), lists, axis=1)
        places = np.argsort(hidden, axis=1, kind="stable")[:, :n]
        left = ~np.take_along_axis(hidden, places, axis=1)
        out[rows, : places.shape[1]] = np.where(left, np.take_along_axis(lists, places, axis=1), NO_POST)
    return out


def listed(asked: Asked, lists: dict[str, Ints], texts: Texts) -> Tested:
    """Judge lists by what their users liked afterwards, and by what they are made of.

    What a user was not shown he could not like, so all that can be said is how near the lists come to what
    the old feed showed and he liked: it puts new and rare posts at a disadvantage. Order at random is exact
    (`random`); what its lists are made of is drawn.

    Args:
        asked: At least one user.
        lists: Ranking to int64 (asked, depth); `DRAWN` among them.
        texts: What the posts are about.
    """
    facts, split, n_posts = asked.facts, asked.split, len(asked.facts.posts)
    before = facts.until(split.test_from_s - 1)
    post = before.post[before.views]
    counted = np.bincount(post, minlength=n_posts).astype(np.int64)
    known = np.unique(before.user[before.views].astype(np.int64) * n_posts + post)
    users_of = np.bincount(known % n_posts, minlength=n_posts).astype(np.int64)
    n_users, space, most = len(np.unique(known // n_posts)), about(texts), variety.most_shown(counted)

    def made_of(rows: Ints) -> dict[str, Column]:
        return {
            f"novelty_at_{K}": column(variety.novelty(rows[:, :K], users_of, max(n_users, 1))),
            f"diversity_at_{K}": column(variety.diversity(rows[:, :K], space)),
            f"popularity_at_{K}": column(variety.popularity(rows[:, :K], counted)),
            f"most_shown_at_{K}": column(variety.share_among(rows[:, :K], most)),
        }

    hits = {name: Hits.of_lists(rows, asked.row, asked.post) for name, rows in lists.items()}
    rankings: dict[str, Columns] = {
        name: {**of_hits(hits[name]), **made_of(rows)} for name, rows in lists.items()
    }
    relevant = next(iter(hits.values())).n_relevant
    rankings[DRAWN] = {**of_chance(n_posts - asked.n_seen, relevant), **made_of(lists[DRAWN])}
    every = {**lists, SHOWN: _shown(asked)}
    rankings[SHOWN] = made_of(every[SHOWN])
    whole = {
        name: {f"coverage_at_{K}": variety.coverage(rows[:, :K], n_posts)} for name, rows in every.items()
    }
    past = impressions(facts, split.test_from_s)[asked.users]
    return Tested(rankings, asked.users, past, len(asked.users) * max(CUTS), whole)


def about(texts: Texts) -> Floats:
    """Return what posts are compared by: text factors, or topics where there is no text at all."""
    space = texts.space.astype(np.float64)
    return space if np.isfinite(space).any() else np.eye(int(texts.topic.max(initial=0)) + 1)[texts.topic]


def _shown(asked: Asked) -> Ints:
    """Return the first `K` posts that each asked user was shown in the split, int64 (asked, K)."""
    facts, out = asked.facts.between(asked.split.test_from_s, asked.split.test_to_s), []
    views = facts.views
    user, post = facts.user[views], facts.post[views]
    order = np.argsort(user, kind="stable")
    bounds = np.searchsorted(user[order], [asked.users, asked.users + 1])
    for low, high in bounds.T.tolist():
        own = post[order[low : min(high, low + K)]].astype(np.int64)
        out.append(np.append(own, np.full(K - len(own), NO_POST)))
    return np.array(out, np.int64).reshape(-1, K)


def _cells(facts: Facts, event: Ints, n_posts: int) -> Ints:
    """Return the different (user, post) pairs of events as one number each, ascending."""
    return np.unique(facts.user[event].astype(np.int64) * n_posts + facts.post[event])


def _of(users: Ints, cells: Ints, n_posts: int) -> tuple[Ints, Ints]:
    """Return row in `users` and post of the cells that are theirs."""
    user = cells // n_posts
    row = np.searchsorted(users, user)
    theirs = (
        users[np.minimum(row, max(len(users) - 1, 0))] == user
        if len(users)
        else np.zeros(len(user), np.bool_)
    )
    return row[theirs].astype(np.int64), (cells % n_posts)[theirs]
