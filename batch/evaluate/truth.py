"""A made world's own word on lists: the chance that they hold a like, beside random and the best there is."""

import numpy as np

from batch.evaluate.metrics import CUTS, Floats, Ints
from batch.evaluate.nightly import Line
from batch.evaluate.results import Column, Columns, column
from batch.evaluate.section import Tested, impressions
from batch.evaluate.unseen import Asked

MOST_TOLD = 500  # users of whom every post's chance is asked
USERS_AT_ONCE = 16  # whose chances for every post are asked at a time: 100 MB at 7,023 posts
ORACLE, RANDOM = "oracle", "random"


def expected(asked: Asked, lists: dict[str, Ints], truth: Line, at_s: int) -> Tested:
    """Judge lists by what users would like of them, shown or not, at a moment.

    `expected_hitrate_at_k` is the chance that the first `k` hold a like; `normalized_at_k` is (x − random) /
    (oracle − random), sums over users. Random is `k` drawn with replacement among what was not seen.

    Args:
        asked: At least one user; of more than `MOST_TOLD`, so many evenly.
        lists: Ranking to int64 (asked, depth). Unseen posts.
        truth: The chance of a like of (user id, post id, epoch second).
        at_s: The moment.
    """
    n_asked = len(asked.users)
    some = np.unique(np.linspace(0, n_asked - 1, min(MOST_TOLD, n_asked)).astype(np.int64))
    depth, mean = max(CUTS), list[Floats]()
    hits: dict[str, list[Floats]] = {name: [] for name in (*lists, ORACLE)}
    for low in range(0, len(some), USERS_AT_ONCE):
        rows = some[low : low + USERS_AT_ONCE]
        chance = _chances(asked, rows, truth, at_s)
        seen = asked.seen[rows].toarray()
        mean.append(np.where(seen, 0.0, chance).sum(axis=1) / (~seen).sum(axis=1))
        best = np.argsort(-np.where(seen, -1.0, chance), axis=1, kind="stable")[:, :depth]
        chance = np.pad(chance, ((0, 0), (0, 1)))  # what NO_POST, -1, takes: no chance
        for name, places in {**{name: of[rows] for name, of in lists.items()}, ORACLE: best}.items():
            missed = np.cumprod(1 - np.take_along_axis(chance, places, axis=1), axis=1)
            hits[name].append(np.asarray(1 - missed, np.float64))
    random = 1 - (1 - np.concatenate(mean)[:, None]) ** np.arange(1, depth + 1)
    found = {name: np.vstack(parts) for name, parts in hits.items()} | {RANDOM: random}
    rankings = {name: _columns(hit, random, found[ORACLE]) for name, hit in found.items()}
    past = impressions(asked.facts, asked.split.test_from_s)[asked.users[some]]
    return Tested(rankings, asked.users[some], past, len(some) * depth)


def _columns(hit: Floats, random: Floats, best: Floats) -> Columns:
    columns = {}
    for k in (cut for cut in CUTS if cut <= hit.shape[1]):
        columns[f"expected_hitrate_at_{k}"] = column(hit[:, k - 1])
        columns[f"normalized_at_{k}"] = Column((hit - random)[:, k - 1], (best - random)[:, k - 1])
    return columns


def _chances(asked: Asked, rows: Ints, truth: Line, at_s: int) -> Floats:
    """Return the chance of every post, float64 (rows, posts)."""
    facts = asked.facts
    users, posts = facts.user_ids[asked.users[rows]], facts.post_ids
    shape = (len(users), len(posts))
    asked_of = np.repeat(users, shape[1]), np.tile(posts, shape[0]), np.full(shape[0] * shape[1], at_s)
    return np.asarray(truth(*asked_of), np.float64).reshape(shape)
