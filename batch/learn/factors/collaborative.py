"""What is taken together: factors of users and posts from who took what, the untaken counting a little.

Alternating least squares on a matrix of ones and zeros, where a zero weighs `UNTAKEN` of a one. Factors are
shrunk in proportion to what their user or post holds, so that many dimensions stay safe on few events.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]

UNTAKEN = 0.3  # weight of a pair that was not taken, beside one that was
SHRINKAGE = 0.01  # for each unit of weight in a row
ROUNDS, ROUNDS_FURTHER = 8, 3  # from nothing; from the factors of a time shortly before
ENOUGH_USERS = 20_000  # settle the posts' factors; all others are fitted to these


class Together(NamedTuple):
    """Factors: x_u·y_p is how much (u, p) looks like a pair that was taken; 0 where u or p has none.

    Attributes:
        x: float64 (users, k).
        y: float64 (posts, k).
    """

    x: Floats
    y: Floats


def fit_together(taken: sparse.csr_matrix, k: int, seed: int, warm: Floats | None = None) -> Together:
    """Factorise who took what.

    Args:
        taken: (users, posts), positive where a pair was taken; duplicates are added, so a pair taken twice
            weighs twice.
        k: Factors.
        seed: Of the first factors, and of the users drawn where there are more than enough.
        warm: float64 (posts, k). Posts' factors of a time shortly before; None starts anew.

    Source: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008; the
        shrinkage is that of Rendle et al., Revisiting the performance of iALS, RecSys 2022.
    """
    rows = taken.astype(np.float64).tocsr()
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(np.diff(rows.indptr))
    if len(known) > ENOUGH_USERS:
        known = np.sort(rng.choice(known, ENOUGH_USERS, replace=False))
    some = rows[known]
    columns = some.T.tocsr()
    x, y = np.zeros((len(known), k)), np.zeros((rows.shape[1], k))
    y[:] = warm if warm is not None else rng.normal(0, 0.1 / np.sqrt(k), y.shape)
    for _ in range(ROUNDS_FURTHER if warm is not None else ROUNDS):
        _fit_rows(some.indptr, some.indices, some.data, y, x)
        _fit_rows(columns.indptr, columns.indices, columns.data, x, y)
    all_x = np.zeros((rows.shape[0], k))
    _fit_rows(rows.indptr, rows.indices, rows.data, y, all_x)
    return Together(all_x, y)


def _fit_rows(start: Any, column: Any, weight: Any, others: Floats, out: Floats) -> None:
    """Fit every row's factors to those of its columns; a row that holds nothing gets zeros."""
    _solve_rows(start, column, weight, UNTAKEN * (others.T @ others), others, UNTAKEN, SHRINKAGE, out)


@numba.njit(cache=True, parallel=True)
def _solve_rows(
    start: Any, column: Any, weight: Any, gram: Any, others: Any, untaken: Any, shrinkage: Any, out: Any
) -> None:
    k = others.shape[1]
    for row in numba.prange(len(start) - 1):
        if start[row] == start[row + 1]:
            out[row] = 0.0
            continue
        square, product = gram.copy(), np.zeros(k)
        for at in range(start[row], start[row + 1]):
            other = others[column[at]]
            for i in range(k):
                product[i] += weight[at] * other[i]
                for j in range(k):
                    square[i, j] += weight[at] * other[i] * other[j]
        shrunk = shrinkage * (start[row + 1] - start[row] + untaken * len(others))
        for i in range(k):
            square[i, i] += shrunk
        out[row] = np.linalg.solve(square, product)
