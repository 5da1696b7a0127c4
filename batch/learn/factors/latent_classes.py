"""Latent user types from the order of what was shown: which posts an old feed put first for whom.

A mixture of Bernoulli variables: a post shown to a user of type k stood in its session's first third rather
than the last with a chance of the (type, post), shrunk to the type's chance in the post's text cluster.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from batch.learn.factors.impressions import BETWEEN, EARLY, Impressions

Floats = npt.NDArray[np.float64]

N_TYPES = 6  # 3 to 8 do alike on the real rows; a type too many splits one
ROUNDS_BY_CLUSTER, ROUNDS, ROUNDS_FURTHER = 15, 10, 4
STARTS = 4  # random beginnings, of which the likeliest is kept
ENOUGH_USERS = 2_000  # to find the types; all users then tell the posts
CLUSTER_PRIOR, POST_PRIOR = 10.0, 4.0  # impressions that a prior weighs
LEAST = 0.02  # chance; no post surely comes first


@dataclass(frozen=True, slots=True)
class Types:
    """The mixture.

    Attributes:
        share: float64 (types,). Sums to 1.
        first: float64 (posts, types). Chance of the first third rather than the last.
    """

    share: Floats
    first: Floats


def fit_types(shown: Impressions, cluster: npt.NDArray[np.int32], seed: int, warm: Types | None) -> Types:
    """Find the types on some users, then count on all of them what each type is shown first.

    Args:
        shown: The impressions.
        cluster: int32 (posts,). Text clusters.
        seed: Of the random beginnings and the users drawn.
        warm: An earlier time's types to go on from; None searches anew.
    """
    rng = np.random.default_rng(seed)
    if warm is None:
        users = np.flatnonzero(shown.sizes)
        chosen = np.sort(rng.choice(users, min(ENOUGH_USERS, len(users)), replace=False))
        some = shown.of_users(chosen)
        found = [_search(some, cluster, rng) for _ in range(STARTS)]
        warm = max(found, key=lambda one: _likelihood(some, one))
    types = warm
    for _ in range(ROUNDS_FURTHER):
        types = _counted(shown, cluster, membership(shown, types), by_post=True)
    return types


def membership(shown: Impressions, types: Types) -> Floats:
    """Return the chance that each user is of each type, float64 (users, types); the shares where unknown."""
    out = np.empty((shown.n_users, len(types.share)))
    _member(shown.start, shown.post, shown.third, *_logs(types), out)
    out -= out.max(axis=1, keepdims=True)
    np.exp(out, out=out)
    return np.asarray(out / out.sum(axis=1, keepdims=True), np.float64)


def _search(shown: Impressions, cluster: npt.NDArray[np.int32], rng: np.random.Generator) -> Types:
    member = rng.dirichlet(np.full(N_TYPES, 0.3), shown.n_users)
    types = _counted(shown, cluster, member, by_post=False)
    for step in range(ROUNDS_BY_CLUSTER + ROUNDS):
        member = membership(shown, types)
        types = _counted(shown, cluster, member, by_post=step >= ROUNDS_BY_CLUSTER)
    return types


def _likelihood(shown: Impressions, types: Types) -> float:
    out = np.empty((shown.n_users, len(types.share)))
    _member(shown.start, shown.post, shown.third, *_logs(types), out)
    return float(np.logaddexp.reduce(out, axis=1).sum())


def _logs(types: Types) -> tuple[Floats, Floats, Floats]:
    return np.log(types.first), np.log1p(-types.first), np.log(types.share)


def _counted(shown: Impressions, cluster: npt.NDArray[np.int32], member: Floats, by_post: bool) -> Types:
    """Return the mixture that the memberships imply."""
    n_types = member.shape[1]
    first, last = np.zeros((shown.n_posts, n_types)), np.zeros((shown.n_posts, n_types))
    _tally(shown.start, shown.post, shown.third, member, first, last)
    n_clusters = int(cluster.max(initial=0)) + 1
    of_first, of_last = np.zeros((n_clusters, n_types)), np.zeros((n_clusters, n_types))
    np.add.at(of_first, cluster, first)
    np.add.at(of_last, cluster, last)
    base = (of_first.sum(axis=1) + 10) / (of_first.sum(axis=1) + of_last.sum(axis=1) + 20)
    chance = (of_first + CLUSTER_PRIOR * base[:, None]) / (of_first + of_last + CLUSTER_PRIOR)
    chance = chance[cluster]
    if by_post:
        chance = (first + POST_PRIOR * chance) / (first + last + POST_PRIOR)
    share = (member.sum(axis=0) + 1) / (len(member) + n_types)
    return Types(share, np.clip(chance, LEAST, 1 - LEAST))


@numba.njit(cache=True, parallel=True)
def _member(start: Any, post: Any, third: Any, first: Any, last: Any, share: Any, out: Any) -> None:
    for u in numba.prange(len(start) - 1):
        out[u] = share
        for i in range(start[u], start[u + 1]):
            if third[i] != BETWEEN:
                logs = first if third[i] == EARLY else last
                for k in range(len(share)):
                    out[u, k] += logs[post[i], k]


@numba.njit(cache=True)
def _tally(start: Any, post: Any, third: Any, member: Any, first: Any, last: Any) -> None:
    for u in range(len(start) - 1):
        for i in range(start[u], start[u + 1]):
            if third[i] != BETWEEN:
                counts = first if third[i] == EARLY else last
                for k in range(member.shape[1]):
                    counts[post[i], k] += member[u, k]
