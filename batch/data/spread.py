"""How a number is spread over many things: a histogram, quantiles, and what lies far outside."""

from typing import Any

import numpy as np

from batch.arrays import AnyInts, Ints

QUANTILES = {"p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "p99": 0.99}
FAR = 3.0  # quartile distances above the upper quartile; Source: Tukey, Exploratory data analysis, 1977
MOST_OUTLIERS = 10


def describe_spread(values: AnyInts, times: Ints | None = None) -> dict[str, Any]:
    """Describe how whole numbers, 0 or more, are spread.

    Args:
        values: (n,). Distinct where `times` is given.
        times: int64 (n,). How often each is there; None: once.

    Returns:
        `n` things, `n_zero` of them with 0; of the others `mean`, `max`, QUANTILES (nearest rank), the
        `fence` above which a value is far outside, and `n_far` such things; `bins` of `from`, `to` and `n`,
        each twice as wide as the one before. Without anything above 0 all these are 0 or empty.

    >>> describe_spread(np.array([0, 1, 3, 3]))["bins"]
    [{'from': 1, 'to': 1, 'n': 1}, {'from': 2, 'to': 3, 'n': 2}]
    """
    if times is None:
        values, times = np.unique(values, return_counts=True)
    n, n_zero = int(times.sum()), int(times[values == 0].sum())
    there = (values > 0) & (times > 0)
    order = np.argsort(values[there])
    value, often = values[there][order], times[there][order]
    upto = np.cumsum(often)
    total = int(upto[-1]) if len(upto) else 0
    at = {name: _at(value, upto, share) for name, share in QUANTILES.items()}
    fence = at["p75"] + FAR * (at["p75"] - at["p25"])
    width = np.frexp(value)[1] - 1  # of each value its bin: 1, 2-3, 4-7, …
    sums = np.bincount(width, often).astype(np.int64).tolist() if total else []
    return {
        "n": n,
        "n_zero": n_zero,
        "mean": round(float(value @ often) / total, 3) if total else 0.0,
        "max": int(value[-1]) if total else 0,
        **at,
        "fence": fence,
        "n_far": int(often[value > fence].sum()),
        "bins": [{"from": 1 << k, "to": (2 << k) - 1, "n": int(of)} for k, of in enumerate(sums)],
    }


def find_outliers(values: AnyInts, fence: float) -> Ints:
    """Return the rows of the largest values above a fence, largest first, ties in order, a few at most."""
    return find_largest(values, MOST_OUTLIERS, above=fence)


def find_largest(values: AnyInts, most: int, above: float = 0) -> Ints:
    """Return the rows of the largest values above a bound, int64, largest first; ties go to the first row."""
    rows = np.flatnonzero(values > above)
    if len(rows) > most:
        least = np.partition(values[rows], len(rows) - most)[len(rows) - most]
        rows = rows[values[rows] >= least]
    return rows[np.lexsort((rows, -values[rows]))][:most].astype(np.int64)


def _at(value: AnyInts, upto: Ints, share: float) -> int:
    if not len(value):
        return 0
    return int(value[np.searchsorted(upto, np.ceil(share * upto[-1]))])
