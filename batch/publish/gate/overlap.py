"""How alike ranked lists are. Lists are rows of post ids or row numbers, best first, filled with -1."""

import numpy as np

from api.contract.buckets import Horizon
from batch.arrays import AnyInts, Floats

Lists = AnyInts

# Weight of each place relative to the one before: the first ten carry 86 % (Webber et al., eq. 21), a page.
P = 0.9
AT_ONCE = 2_000  # pairs of lists compared at a time: 2,000 × 50 × 50 bytes are 5 MB


def rank_biased_overlap(a: Lists, b: Lists) -> Floats:
    """Return how alike each pair of lists is, the top places most; 1.0 equal, 0.0 nothing in common.

    Cut off at the depth and scaled so that equal lists have 1; past the end of both lists their agreement
    stays what it was. Two empty lists are equal.

    Args:
        a: int (lists, depth); distinct within a row, -1 fills.
        b: int (lists, any depth).

    Returns:
        float64 (lists,).

    Source: Webber, Moffat and Zobel, A similarity measure for indefinite rankings, TOIS 28 (2010), 20.

    >>> rank_biased_overlap(np.array([[1, 2], [1, 2], [1, 2]]), np.array([[1, 2], [2, 1], [3, 4]]))
    array([1.        , 0.47368421, 0.        ])
    """
    out = np.empty(len(a))
    for low in range(0, len(a), AT_ONCE):
        out[low : low + AT_ONCE] = _rbo(a[low : low + AT_ONCE], b[low : low + AT_ONCE])
    return out


def _rbo(a: Lists, b: Lists) -> Floats:
    depth = max(a.shape[1], b.shape[1], 1)
    met = np.zeros((len(a), depth))
    row, i, j = np.nonzero((a[:, :, None] == b[:, None, :]) & (a[:, :, None] >= 0))
    np.add.at(met, (row, np.maximum(i, j)), 1.0)
    longest = np.maximum((a >= 0).sum(axis=1), (b >= 0).sum(axis=1))
    agreement = met.cumsum(axis=1) / np.maximum(np.minimum(np.arange(1, depth + 1), longest[:, None]), 1)
    agreement[longest == 0] = 1.0
    weight = P ** np.arange(depth)
    return np.asarray(agreement @ (weight / weight.sum()), np.float64)


def shared_share(a: Lists, b: Lists) -> Floats:
    """Return which share of the longer list's posts each pair has in common, order aside; float64 (lists,).

    >>> shared_share(np.array([[1, 2, 3, 4]]), np.array([[4, 9, 1, -1]]))
    array([0.5])
    """
    out = np.empty(len(a))
    for low in range(0, len(a), AT_ONCE):
        x, y = a[low : low + AT_ONCE], b[low : low + AT_ONCE]
        same = ((x[:, :, None] == y[:, None, :]) & (x[:, :, None] >= 0)).sum(axis=(1, 2))
        longest = np.maximum((x >= 0).sum(axis=1), (y >= 0).sum(axis=1))
        out[low : low + AT_ONCE] = np.where(longest == 0, 1.0, same / np.maximum(longest, 1))
    return out


def matching_starts(of: Horizon, other: Horizon) -> list[tuple[int, int]]:
    """Pair each bucket of `of` with the one of `other` that answers the same time of day.

    >>> matching_starts(Horizon(86_400, 3600, 2), Horizon(0, 3600, 24))
    [(86400, 0), (90000, 3600)]
    """
    return [(start, other.bucket_for(start)) for start in of.starts]
