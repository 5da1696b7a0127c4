"""Latent classes of users from the order of what was shown: which posts an old feed put first for whom.

A mixture of Bernoulli variables: a post shown to a user of class k stood in its session's first third rather
than the last with a chance of the (class, post), shrunk to the class's chance in the post's text cluster.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from scipy.special import softmax

from batch.arrays import Floats, Ints32
from batch.learn.factors.blocks import ROWS_A_SUM, for_blocks, in_threads, split_users
from batch.learn.factors.impressions import BETWEEN, EARLY, LATE, Impressions
from batch.learn.factors.sums import add_row, pad_lanes
from batch.score.tables.simd import N_LANES

N_CLASSES = 6  # 3 to 8, which is N_LANES, do alike on the real rows; a class too many splits one
N_EM_ITERATIONS_BY_CLUSTER, N_EM_ITERATIONS, N_EM_ITERATIONS_WARM = 15, 10, 4
N_STARTS = 4  # random beginnings, of which the likeliest is kept
ENOUGH_USERS = 2_000  # to find the classes; all users then tell the posts
CLUSTER_PRIOR, POST_PRIOR = 10.0, 4.0  # impressions that a prior weighs
LEAST = 0.02  # chance; no post surely comes first


@dataclass(frozen=True, slots=True)
class LatentClasses:
    """The mixture.

    Attributes:
        share: float64 (classes,). Sums to 1.
        first: float64 (posts, classes). Chance of the first third rather than the last.
    """

    share: Floats
    first: Floats


def fit_latent_classes(
    shown: Impressions, cluster: Ints32, seed: int, warm: LatentClasses | None
) -> LatentClasses:
    """Find the classes on some users, then count on all of them what each class is shown first.

    Args:
        shown: The impressions.
        cluster: int32 (posts,). Text clusters.
        seed: Of the random beginnings and the users drawn.
        warm: An earlier time's classes to go on from; None searches anew.
    """
    rng = np.random.default_rng(seed)
    if warm is None:
        users = np.flatnonzero(shown.sizes)
        chosen = np.sort(rng.choice(users, min(ENOUGH_USERS, len(users)), replace=False))
        some = shown.of_users(chosen)
        found = [_search(some, cluster, rng) for _ in range(N_STARTS)]
        warm = max(found, key=lambda one: _likelihood(some, one))
    classes = warm
    for _ in range(N_EM_ITERATIONS_WARM):
        classes = _maximise(shown, cluster, membership(shown, classes), by_post=True)
    return classes


def membership(shown: Impressions, classes: LatentClasses) -> Floats:
    """Return the chance that each user is of each class, float64 (users, classes).

    Of a user whose impressions tell nothing it is each class's share.
    """
    return np.asarray(softmax(_log_chances(shown, classes), axis=1), np.float64)


def _search(shown: Impressions, cluster: Ints32, rng: np.random.Generator) -> LatentClasses:
    member = rng.dirichlet(np.full(N_CLASSES, 0.3), shown.n_users)
    classes = _maximise(shown, cluster, member, by_post=False)
    for step in range(N_EM_ITERATIONS_BY_CLUSTER + N_EM_ITERATIONS):
        by_post = step >= N_EM_ITERATIONS_BY_CLUSTER
        classes = _maximise(shown, cluster, membership(shown, classes), by_post=by_post)
    return classes


def _likelihood(shown: Impressions, classes: LatentClasses) -> float:
    return float(np.logaddexp.reduce(_log_chances(shown, classes), axis=1).sum())


def _log_chances(shown: Impressions, classes: LatentClasses) -> Floats:
    """Return the log of the chance of each class and of what it showed the user, float64 (users, classes)."""
    out = np.tile(pad_lanes(np.log(classes.share)), (shown.n_users, 1))
    logs = pad_lanes(np.stack([np.log1p(-classes.first), np.log(classes.first)]))  # LATE is 0, EARLY 1

    def add(low: int, high: int) -> None:
        _add_logs(low, high, shown.start, shown.post, shown.third, logs, out)

    for_blocks(add, shown.start)
    return np.ascontiguousarray(out[:, : len(classes.share)])


def _maximise(shown: Impressions, cluster: Ints32, member: Floats, by_post: bool) -> LatentClasses:
    """Return the mixture that the memberships imply: the second half of an iteration."""
    n_classes = member.shape[1]
    counts, padded = np.zeros((shown.n_posts, 2, N_LANES)), pad_lanes(member)

    def tally(block: tuple[int, int]) -> Floats:
        return np.asarray(_tally(*block, shown.start, shown.post, shown.third, padded, shown.n_posts))

    for part in in_threads(tally, split_users(shown.start, ROWS_A_SUM)):
        counts += part
    first, last = counts[:, EARLY, :n_classes], counts[:, LATE, :n_classes]
    of_first, of_last = (
        np.column_stack([np.bincount(cluster, of_class) for of_class in counts.T]) for counts in (first, last)
    )
    base = (of_first.sum(axis=1) + 10) / (of_first.sum(axis=1) + of_last.sum(axis=1) + 20)
    chance = (of_first + CLUSTER_PRIOR * base[:, None]) / (of_first + of_last + CLUSTER_PRIOR)
    chance = chance[cluster]
    if by_post:
        chance = (first + POST_PRIOR * chance) / (first + last + POST_PRIOR)
    share = (member.sum(axis=0) + 1) / (len(member) + n_classes)
    return LatentClasses(share, np.clip(chance, LEAST, 1 - LEAST))


@numba.njit(cache=True, nogil=True)
def _add_logs(low: Any, high: Any, start: Any, post: Any, third: Any, logs: Any, out: Any) -> None:
    """Add to (users, N_LANES) what (2, posts, N_LANES) say of each impression in a first or last third."""
    for u in range(low, high):
        row = out[u]
        total = (row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7])
        for i in range(start[u], start[u + 1]):
            if third[i] != BETWEEN:
                total = add_row(total, 1.0, logs[np.uint8(third[i]), np.uint32(post[i])])
        for k in range(N_LANES):
            row[k] = total[k]


@numba.njit(cache=True, nogil=True)
def _tally(low: Any, high: Any, start: Any, post: Any, third: Any, member: Any, n_posts: Any) -> Any:
    """Return how often each post came LATE and EARLY for each class, (posts, 2, N_LANES)."""
    counts = np.zeros((n_posts, 2, N_LANES))
    for u in range(low, high):
        row = member[u]
        of_user = (row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7])
        for i in range(start[u], start[u + 1]):
            if third[i] != BETWEEN:
                count = counts[np.uint32(post[i]), np.uint8(third[i])]
                summed = add_row(of_user, 1.0, count)
                for k in range(N_LANES):
                    count[k] = summed[k]
    return counts
