"""What is taken together: factors of users and posts from who took what.

In ways that err differently: alternating least squares on a matrix of ones and zeros, where a zero weighs
`UNTAKEN` of a one and factors are shrunk in proportion to what their user or post holds; the regression of
each post on all others (EASE), or how near they are to it; and how often each post is taken soon after each
other one, told by what the user took last. The scores of all but the first are brought to few dimensions.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from batch.arrays import Floats, Floats32, Ints
from batch.data.seen import SeenTimes

UNTAKEN = 0.3  # weight of a pair that was not taken, beside one that was
SHRINKAGE = 0.01  # for each unit of weight in a row
N_ALS_ITERATIONS, N_ALS_ITERATIONS_WARM = 8, 3  # from nothing; from the factors of a time shortly before
ENOUGH_USERS = 20_000  # settle the posts' factors; all others are fitted to these
REGRESSED = 5_000  # posts taken by most that are held against one another: 100 MB, and some seconds
RIDGE = 500.0  # of the regression: the order of magnitude that Steck found best for tens of likes a user
SOON, LAST = 10, 3  # takes after which one counts half for what comes next; and one of whom lists are for
FURTHEST = 3 * SOON  # takes between two that count at all
GRAIN = 1_024.0  # whole numbers add up to the same whatever the order of users
FEW_TAKES = 10.0  # a share of what was taken next is shrunk as if there were so many more takes
SKETCHED, N_POWER_ITERATIONS = 80, 2  # dimensions among which the largest are searched; times they are raised


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


def regress(taken: sparse.csr_matrix, ridge: float = RIDGE) -> Floats32:
    """Return what taking each post says of each other one, float32 (posts, posts), zeros on the diagonal.

    Args:
        taken: float (users, posts), 1 where a pair was taken.
        ridge: More shrinks more.

    Source: Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019.
    """
    gram = np.asarray((taken.T @ taken).toarray(order="F"), np.float32)
    gram[np.diag_indices_from(gram)] += ridge
    with threadpool_limits(1, "blas"):  # its threads cut the matrix into other blocks, which round otherwise
        factor, info = linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
        inverse, again = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    if info or again:
        raise ValueError(f"a ridge of {ridge} is too small for {len(gram)} posts")
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0
    return np.asarray(weights, np.float32)


def find_near(taken: sparse.csr_matrix) -> Floats32:
    """Return the cosine of each post's takers with each other one's, float32 (posts, posts), 0 with itself.

    Args:
        taken: float (users, posts), 1 where a pair was taken.
    """
    both = np.asarray((taken.T @ taken).toarray(), np.float32)
    length = np.sqrt(np.maximum(np.diag(both), 1.0))
    both /= length
    both /= length[:, None]
    both[np.diag_indices_from(both)] = 0
    return both


def fit_relation_factors(
    taken: sparse.csr_matrix, relate: Callable[[sparse.csr_matrix], Floats32], k: int, seed: int
) -> tuple[Floats, Floats]:
    """Score each post by all that a user took, by how posts go together, and factorise the scores.

    Args:
        taken: (users, posts), positive where a pair was taken. Of more than `REGRESSED` posts those that most
            took are scored.
        relate: `regress` or `find_near`.
        k: Factors, fewer where there are fewer posts.
        seed: Of the search for the largest dimensions.

    Returns:
        float64 (users, k) and (posts, k), whose product is the scores but for what does not fit in k
        dimensions, with a root mean square of 1; zeros where a user or post has none.

    Source: Halko, Martinsson and Tropp, Finding structure with randomness, SIAM Review 53 (2011), 217-288.
    """
    rows = (taken > 0).astype(np.float32)
    some = _most_taken(rows)
    return _factorise(rows, some, relate(rows[:, some]).astype(np.float64), k, seed)


def fit_next_factors(takes: SeenTimes, n_posts: int, k: int, seed: int) -> tuple[Floats, Floats]:
    """Count what is taken soon after each post, and factorise what users' last takes so tell.

    Of each post it is the share of its takers who took the other one afterwards, where a take counts half for
    each `SOON` further ones between; a user's takes count half for each `LAST` later ones. Of more than
    `REGRESSED` posts those that most took are counted.

    Args:
        takes: What each user took, and when first; of equal times the lower post came first.
        n_posts: Posts.
        k: Factors, fewer where there are fewer posts.
        seed: Of the search for the largest dimensions, and of the users counted where there are more than
            enough.

    Returns:
        As `fit_relation_factors` does.
    """
    n_users = len(takes.start) - 1
    user = np.repeat(np.arange(n_users), np.diff(takes.start))
    order = np.lexsort((takes.post, takes.time, user))
    post = takes.post[order].astype(np.int64)
    ones = sparse.csr_matrix((np.ones(len(post), np.float32), post, takes.start), (n_users, n_posts))
    some = _most_taken(ones)
    number = np.full(n_posts, -1)
    number[some] = np.arange(len(some))
    counted = np.random.default_rng(seed).permutation(n_users)[:ENOUGH_USERS]
    after = np.zeros((len(some), len(some)))
    _count_next(takes.start, number[post], np.sort(counted), after)
    n_takes = np.bincount(post[np.isin(user, counted)], minlength=n_posts)[some]
    after /= GRAIN * (n_takes + FEW_TAKES)[:, None]
    later = takes.start[1:][user] - 1 - np.arange(len(post))
    rows = sparse.csr_matrix((np.exp2(-later / LAST), post, takes.start), (n_users, n_posts))
    return _factorise(rows, some, after, k, seed)


def _most_taken(rows: sparse.csr_matrix) -> Ints:
    """Return the `REGRESSED` posts that most took, ascending; of as many takers the lower ones."""
    n_takers = np.bincount(rows.indices, minlength=rows.shape[1])
    return np.sort(np.argsort(-n_takers, kind="stable")[:REGRESSED])


def _factorise(
    rows: sparse.csr_matrix, some: Ints, weights: Floats, k: int, seed: int
) -> tuple[Floats, Floats]:
    """Bring `rows[:, some] @ weights` to k dimensions; results as of `fit_relation_factors`."""
    n_posts = rows.shape[1]
    rows = rows[:, some].tocsr()
    found = np.random.default_rng(seed).normal(size=(len(some), min(SKETCHED, len(some))))
    for _ in range(N_POWER_ITERATIONS):
        found, _ = np.linalg.qr(weights.T @ (rows.T @ (rows @ (weights @ found))))
    scores = rows @ (weights @ found)
    _, turn = np.linalg.eigh(scores.T @ scores)
    turn = turn[:, ::-1][:, :k]
    y = np.zeros((n_posts, turn.shape[1]))
    y[some] = found @ turn
    x = np.asarray(scores @ turn, np.float64)
    y[some] *= np.sqrt(len(some))
    return x / max(float(np.sqrt((x**2).sum(axis=1).mean())), 1e-12), y


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


@numba.njit(cache=True)
def _count_next(start: Any, post: Any, users: Any, out: Any) -> None:
    """Add to `out` how often each post came after each other one; posts of -1 are passed over."""
    for user in users:
        for at in range(start[user], start[user + 1]):
            for further in range(at + 1, min(at + FURTHEST + 1, start[user + 1])):
                if post[at] >= 0 and post[further] >= 0:
                    out[post[at], post[further]] += np.round(GRAIN * 0.5 ** ((further - at) / SOON))
