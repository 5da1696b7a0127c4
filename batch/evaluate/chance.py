"""What ranking at random is worth: exact expectations of the metrics, so that no draw of it adds noise.

Of `n` posts in random order `r` are relevant; arguments are int64 (lists,), results float64 (lists,). Where
`r` is 0 a metric has the value that `batch.evaluate.metrics` gives it: NaN for those that divide by it.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from batch.arrays import Floats, Ints
from batch.evaluate.metrics import divide


def hitrate(n: Ints, r: Ints, k: int) -> Floats:
    """Return 1 - C(n - r, k) / C(n, k)."""
    return 1.0 - _none_before(n, r, k)


def precision(n: Ints, r: Ints, k: int) -> Floats:
    """Return the relevant expected in the first `k`, over `k`."""
    return np.minimum(n, k) * divide(r, n, 0.0) / k


def recall(n: Ints, r: Ints, k: int) -> Floats:
    """Return the chance of any post to stand among the first `k`."""
    return np.where(r > 0, divide(np.minimum(n, k), n, 0.0), np.nan)


def ndcg(n: Ints, r: Ints, k: int, *, achievable: bool = False) -> Floats:
    """Return the gain expected at each place, discounted, over the ideal of `metrics.ndcg`."""
    gained = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    ideal = gained[np.minimum(r, k)] if achievable else np.full(len(n), gained[k])
    return np.where(r > 0, divide(r, n, 0.0) * divide(gained[np.minimum(n, k)], ideal, 0.0), np.nan)


def average_precision(n: Ints, r: Ints, k: int) -> Floats:
    """Return the sum over places i of P(relevant at i) · E[precision at i | relevant at i], over `r`.

    Given a relevant post at i, each of the i - 1 before it is relevant with chance (r - 1) / (n - 1).
    """
    total = np.zeros(len(n))
    others = divide(np.maximum(r - 1, 0), n - 1, 0.0)
    for place in range(1, k + 1):
        total += np.where(place <= n, (1 + (place - 1) * others) / place, 0.0)
    return np.where(r > 0, divide(total, n, 0.0), np.nan)


def reciprocal_rank(n: Ints, r: Ints, k: int) -> Floats:
    """Return the sum over places i of P(the first relevant post stands at i) / i."""
    total = np.zeros(len(n))
    for place in range(1, k + 1):
        total += (_none_before(n, r, place - 1) - _none_before(n, r, place)) / place
    return total


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
