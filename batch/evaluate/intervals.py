"""Intervals over users: by bootstrap many ratios at once, with the same draws; by the delta method one."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from batch.arrays import Floats, Ints

N_DRAWS = 1_000  # of the users, for an interval
TAILS = (0.025, 0.975)
NORMAL = 1.959964  # the upper tail's quantile of a normal distribution
CELLS = 20_000_000  # of a table of draws by users held at a time: 160 MB


def bootstrap(parts: Floats, wholes: Floats, user: Ints, rng: np.random.Generator) -> Floats:
    """Return the 95 % bootstrap intervals of `sum(parts) / sum(wholes)`, a user's rows drawn together.

    Args:
        parts: float64 (n, figures). Of sessions or users; differences for a paired comparison.
        wholes: float64 (n, figures). Ones for a mean; 0 where a row has no part in a figure.
        user: int64 (n,). Whose row.
        rng: Draws; all figures share them.

    Returns:
        float64 (figures, 2), low and high; NaN where the wholes sum to 0.

    Source: Efron and Tibshirani, An introduction to the bootstrap, 1993, ch. 13, on clusters.
    """
    distinct, number = np.unique(user, return_inverse=True)
    sums, sizes = (_sum_by_user(number, values, len(distinct)) for values in (parts, wholes))
    share, rates = np.full(len(distinct), 1 / max(len(distinct), 1)), []
    at_once = max(1, CELLS // max(len(distinct), 1))
    for low in range(0, N_DRAWS if len(distinct) else 0, at_once):
        drawn = rng.multinomial(len(distinct), share, min(at_once, N_DRAWS - low)).astype(np.float64)
        rates.append((drawn @ sums) / np.maximum(drawn @ sizes, 1e-12))
    out = np.full((parts.shape[1], 2), np.nan)
    known = sizes.sum(axis=0) > 0
    if known.any():
        out[known] = np.quantile(np.concatenate(rates)[:, known], TAILS, axis=0).T
    return out


def delta_interval(parts: Floats, wholes: Floats, user: Ints) -> tuple[float, float]:
    """Return the 95 % interval of one figure by the delta method; it takes no draws, so a night can have it.

    Arguments are those of `bootstrap`, float64 (n,); NaN where the wholes sum to 0, or there is one user.

    >>> delta_interval(np.array([1.0, 0.0, 1.0, 0.0]), np.ones(4), np.arange(4))
    (-0.065793, 1.065793)

    Source: Deng et al., Applying the delta method in metric analytics, KDD 2018, sec. 3.
    """
    distinct, number = np.unique(user, return_inverse=True)
    whole, n = float(wholes.sum()), len(distinct)
    if not whole or n < 2:
        return float("nan"), float("nan")
    ratio = float(parts.sum()) / whole
    apart = np.bincount(number, parts - ratio * wholes)  # of each user from the figure
    half = NORMAL * float(np.sqrt(n / (n - 1) * (apart**2).sum())) / whole
    return round(ratio - half, 6), round(ratio + half, 6)


def _sum_by_user(number: npt.NDArray[np.intp], values: Floats, n: int) -> Floats:
    rows = np.arange(len(number))
    chosen = sparse.csr_matrix((np.ones(len(number)), (number, rows)), (n, len(number)))
    return np.asarray(chosen @ values, np.float64)
