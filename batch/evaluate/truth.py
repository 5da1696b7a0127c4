"""Protocol `truth`: the chance that lists hold a like in a made world, beside random and oracle."""

import numpy as np

from batch.arrays import Floats, Ints
from batch.evaluate.metrics import CUTS
from batch.evaluate.results import Columns, MeasuredLists, Metric, mean_column, truth_columns
from batch.evaluate.sessions import RANDOM, Line
from batch.evaluate.unseen import AskedUsers

MOST_ASKED = 500  # users of whom every post's chance is asked
USERS_AT_ONCE = 16  # whose chances for every post are asked at a time: 100 MB at 7,023 posts
ORACLE = "oracle"
FEW: tuple[Metric, ...] = (("expected_hitrate", 5), ("normalized", 5))


def measure_by_truth(asked: AskedUsers, lists: dict[str, Ints], truth: Line, at_s: int) -> MeasuredLists:
    """Measure lists by what users would like of them, shown or not, at a moment.

    `expected_hitrate` at k is the chance that the first `k` hold a like; `expected_likes` how many likes they
    hold on average; `normalized` is (x − random) / (oracle − random), sums over users. Random is `k` drawn
    with replacement among what was not seen.

    Args:
        asked: At least one user; of more than `MOST_ASKED`, so many evenly.
        lists: Model to int64 (asked, depth). Unseen posts.
        truth: The chance of a like of (user id, post id, epoch second).
        at_s: The moment.
    """
    n_asked = len(asked.users)
    some = np.unique(np.linspace(0, n_asked - 1, min(MOST_ASKED, n_asked)).astype(np.int64))
    depth, mean, closed = max(CUTS), list[Floats](), False if asked.opened is None else ~asked.opened
    hits: dict[str, list[Floats]] = {name: [] for name in (*lists, ORACLE)}
    likes: dict[str, list[Floats]] = {name: [] for name in hits}
    for low in range(0, len(some), USERS_AT_ONCE):
        rows = some[low : low + USERS_AT_ONCE]
        chance = _chances(asked, rows, truth, at_s)
        seen = asked.seen[rows].toarray() | closed
        mean.append(np.where(seen, 0.0, chance).sum(axis=1) / (~seen).sum(axis=1))
        best = np.argsort(-np.where(seen, -1.0, chance), axis=1, kind="stable")[:, :depth]
        chance = np.pad(chance, ((0, 0), (0, 1)))  # what NO_POST, -1, takes: no chance
        for name, places in {**{name: of[rows] for name, of in lists.items()}, ORACLE: best}.items():
            own = np.take_along_axis(chance, places, axis=1)
            hits[name].append(np.asarray(1 - np.cumprod(1 - own, axis=1), np.float64))
            likes[name].append(np.cumsum(own, axis=1))
    likes[RANDOM] = [np.concatenate(mean)[:, None] * np.arange(1, depth + 1)]
    random = 1 - (1 - np.concatenate(mean)[:, None]) ** np.arange(1, depth + 1)
    found = {name: np.vstack(parts) for name, parts in hits.items()} | {RANDOM: random}
    models = {name: Columns() for name in found}
    for name, hit in found.items():
        for k in (cut for cut in CUTS if cut <= hit.shape[1]):
            at = k - 1
            models[name] |= truth_columns(hit[:, at], random[:, at], found[ORACLE][:, at], k)
            models[name]["expected_likes", k] = mean_column(np.vstack(likes[name])[:, at])
    return MeasuredLists(models, asked.users[some], asked.past[some])


def _chances(asked: AskedUsers, rows: Ints, truth: Line, at_s: int) -> Floats:
    """Return the chance of every post, float64 (rows, posts)."""
    facts = asked.facts
    users, posts = facts.user_ids[asked.users[rows]], facts.post_ids
    shape = (len(users), len(posts))
    ids = np.repeat(users, shape[1]), np.tile(posts, shape[0]), np.full(shape[0] * shape[1], at_s)
    return np.asarray(truth(*ids), np.float64).reshape(shape)
