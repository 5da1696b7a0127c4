"""What ranking at random is worth: exact expectations of the metrics, so that no draw of it adds noise.

Of `n` posts in random order `r` are relevant; arguments are int64 (lists,), results float64 (lists,). Where
`r` is 0 a metric has the value that `batch.evaluate.metrics` gives it: NaN for those that divide by it.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from batch.evaluate.metrics import Floats, Ints


def hitrate(n: Ints, r: Ints, k: int) -> Floats:
    """Return 1 - C(n - r, k) / C(n, k)."""
    return 1.0 - _none_before(n, r, k)


def precision(n: Ints, r: Ints, k: int) -> Floats:
    """Return the relevant expected in the first `k`, over `k`."""
    return np.minimum(n, k) * _share(r, n) / k


def recall(n: Ints, r: Ints, k: int) -> Floats:
    """Return the chance of any post to stand among the first `k`."""
    return np.where(r > 0, _share(np.minimum(n, k), n), np.nan)


def ndcg(n: Ints, r: Ints, k: int, *, achievable: bool = False) -> Floats:
    """Return the gain expected at each place, discounted, over the ideal of `metrics.ndcg`."""
    gained = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    ideal = gained[np.minimum(r, k)] if achievable else np.full(len(n), gained[k])
    return np.where(r > 0, _share(r, n) * _share(gained[np.minimum(n, k)], ideal), np.nan)


def average_precision(n: Ints, r: Ints, k: int) -> Floats:
    """Return the sum over places i of P(relevant at i) · E[precision at i | relevant at i], over `r`.

    Given a relevant post at i, each of the i - 1 before it is relevant with chance (r - 1) / (n - 1).
    """
    total = np.zeros(len(n))
    others = _share(np.maximum(r - 1, 0), n - 1)
    for place in range(1, k + 1):
        total += np.where(place <= n, (1 + (place - 1) * others) / place, 0.0)
    return np.where(r > 0, _share(total, n), np.nan)


def reciprocal_rank(n: Ints, r: Ints, k: int) -> Floats:
    """Return the sum over places i of P(the first relevant post stands at i) / i."""
    total = np.zeros(len(n))
    for place in range(1, k + 1):
        total += (_none_before(n, r, place - 1) - _none_before(n, r, place)) / place
    return total


def random_hitrate_at_k(session: Ints, liked: npt.NDArray[np.bool_], k: int) -> Floats:
    """Return for each session the chance that `k` of its impressions at random hold a like.

    >>> random_hitrate_at_k(np.array([0, 0]), np.array([True, False]), 1)
    array([0.5])
    """
    n = np.bincount(session).astype(np.int64)
    return hitrate(n, np.bincount(session[liked], minlength=len(n)).astype(np.int64), k)


EXPECTED: dict[str, Callable[[Ints, Ints, int], Floats]] = {
    "hitrate": hitrate,
    "recall": recall,
    "precision": precision,
    "ndcg": ndcg,
    "ndcg_achievable": lambda n, r, k: ndcg(n, r, k, achievable=True),
    "map": average_precision,
    "mrr": reciprocal_rank,
}


def _none_before(n: Ints, r: Ints, k: int) -> Floats:
    """Return the chance that none of the first `k` is relevant; of a shorter list that none is at all."""
    chosen, rest = np.minimum(k, n), n - r
    some = rest >= chosen
    out = np.zeros(len(n))
    left, whole = ((gammaln(x + 1) - gammaln(x - chosen[some] + 1)) for x in (rest[some], n[some]))
    out[some] = np.exp(left - whole)
    return out


def _share(part: Floats | Ints, whole: Floats | Ints) -> Floats:
    """Divide; 0 where the whole is 0."""
    out = np.zeros(len(part))
    np.divide(part, whole, out=out, where=whole > 0)
    return out
