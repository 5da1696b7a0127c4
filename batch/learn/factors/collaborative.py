"""What is taken together: factors of users and posts from who took what, the untaken counting a little.

Alternating least squares on a matrix of ones and zeros, where a zero weighs `UNTAKEN` of a one. Factors are
shrunk in proportion to what their user or post holds, so that many dimensions stay safe on few events.
"""

from typing import Any

import numba
import numpy as np
from scipy import sparse

from batch.arrays import Floats

UNTAKEN = 0.3  # weight of a pair that was not taken, beside one that was
SHRINKAGE = 0.01  # for each unit of weight in a row
N_ALS_ITERATIONS, N_ALS_ITERATIONS_WARM = 8, 3  # from nothing; from the factors of a time shortly before
ENOUGH_USERS = 20_000  # settle the posts' factors; all others are fitted to these


def fit_implicit_factors(
    taken: sparse.csr_matrix, k: int, seed: int, warm: Floats | None = None
) -> tuple[Floats, Floats]:
    """Factorise who took what.

    Args:
        taken: (users, posts), positive where a pair was taken; duplicates are added, so a pair taken twice
            weighs twice.
        k: Factors.
        seed: Of the first factors, and of the users drawn where there are more than enough.
        warm: float64 (posts, k). Posts' factors of a time shortly before; None starts anew.

    Returns:
        float64 (users, k) and (posts, k): x_u·y_p is how much (u, p) looks like a pair that was taken; zeros
        where u or p has none.

    Source: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008; the
        shrinkage is that of Rendle et al., Revisiting the performance of iALS, RecSys 2022.
    """
    rows = taken.astype(np.float64).tocsr()
    rng = np.random.default_rng(seed)
    active = np.flatnonzero(np.diff(rows.indptr))
    if len(active) > ENOUGH_USERS:
        active = np.sort(rng.choice(active, ENOUGH_USERS, replace=False))
    some = rows[active]
    columns = some.T.tocsr()
    y = warm if warm is not None else rng.normal(0, 0.1 / np.sqrt(k), (rows.shape[1], k))
    for _ in range(N_ALS_ITERATIONS_WARM if warm is not None else N_ALS_ITERATIONS):
        x = _fit_rows(some, y)
        y = _fit_rows(columns, x)
    return _fit_rows(rows, y), y


def _fit_rows(taken: sparse.csr_matrix, others: Floats) -> Floats:
    """Fit every row's factors to those of its columns; a row that holds nothing gets zeros."""
    out = np.zeros((taken.shape[0], others.shape[1]))
    _solve_rows(taken.indptr, taken.indices, taken.data, UNTAKEN * (others.T @ others), others, out)
    return out


@numba.njit(cache=True, parallel=True)
def _solve_rows(start: Any, column: Any, weight: Any, gram: Any, others: Any, out: Any) -> None:
    k = others.shape[1]
    for row in numba.prange(len(start) - 1):
        if start[row] == start[row + 1]:
            continue
        square, product = gram.copy(), np.zeros(k)
        for at in range(start[row], start[row + 1]):
            other = others[column[at]]
            for i in range(k):
                product[i] += weight[at] * other[i]
                for j in range(k):
                    square[i, j] += weight[at] * other[i] * other[j]
        shrinkage = SHRINKAGE * (start[row + 1] - start[row] + UNTAKEN * len(others))
        for i in range(k):
            square[i, i] += shrinkage
        out[row] = np.linalg.solve(square, product)
