"""Sums over what each user was shown, and over everybody whom a post was shown to."""

from typing import Any

import numba
import numpy as np

from batch.arrays import AnyFloats, Floats, Ints, Ints32
from batch.learn.factors.blocks import ROWS_A_SUM, for_blocks, in_threads, split_users
from batch.score.tables.simd import N_LANES, add_products

ROWS_AT_ONCE = 64  # of impressions, whose posts' values stay in the innermost cache


def accumulate(
    users: Ints, start: Ints, post: Ints32, hessian: AnyFloats, gradient: AnyFloats, values: Floats
) -> tuple[Floats, Floats]:
    """Add up, over what each user was shown, hessian × values × values' and gradient × values.

    Args:
        users: int64 (n,). Rows of users.
        start: int64 (users + 1,). Where each user's impressions lie, as in `Impressions`.
        post: int32 (impressions,).
        hessian: float (impressions,).
        gradient: float (impressions,).
        values: float64 (posts, k).

    Returns:
        float64 (n, k, k), the users' precisions, and float64 (n, k).
    """
    k = values.shape[1]
    width = -(-k // N_LANES) * N_LANES
    if width > k:
        values = np.pad(values, ((0, 0), (0, width - k)))
    square, product = np.zeros((len(users), width, width)), np.zeros((len(users), width))
    _accumulate(users, start, post, hessian, gradient, np.ascontiguousarray(values), square, product)
    return square[:, :k, :k], product[:, :k]


def sum_values(users: Ints, start: Ints, post: Ints32, weight: AnyFloats, values: Floats) -> Floats:
    """Return, over what each of `users` was shown, the sum of weight × values, float64 (n, k)."""
    out = np.zeros((len(users), values.shape[1]))
    sizes = np.concatenate([[0], np.cumsum(np.diff(start)[users])])

    def add(low: int, high: int) -> None:
        _add_values(low, high, users, start, post, weight, values, out)

    for_blocks(add, sizes)
    return out


def sum_by_post(start: Ints, post: Ints32, weight: AnyFloats, n_posts: int) -> Floats:
    """Return the sum of the weights of each post's impressions, float64 (posts,)."""
    out = np.zeros(n_posts)
    for part in in_threads(
        lambda block: _sum_by_post(start[block[0]], start[block[1]], post, weight, n_posts),
        split_users(start, ROWS_A_SUM),
    ):
        out += part
    return out


def count_by_post(post: Ints32, n_posts: int) -> Ints:
    """Return how many impressions each post has, int64 (posts,)."""
    # In parts, since `bincount` makes eight bytes of each.
    parts = (post[low : low + ROWS_A_SUM] for low in range(0, len(post), ROWS_A_SUM))
    return sum((np.bincount(part, minlength=n_posts) for part in parts), np.zeros(n_posts, np.int64))


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _accumulate(
    users: Any, start: Any, post: Any, hessian: Any, gradient: Any, values: Any, square: Any, product: Any
) -> None:
    k = values.shape[1]
    rows, scaled = np.empty((ROWS_AT_ONCE, k)), np.empty((ROWS_AT_ONCE, k))
    for at in range(len(users)):
        end = start[users[at] + 1]
        for first in range(start[users[at]], end, ROWS_AT_ONCE):
            n = min(ROWS_AT_ONCE, end - first)
            for row in range(n):
                p, h, g = post[first + row], hessian[first + row], gradient[first + row]
                for a in range(k):
                    rows[row, a] = values[p, a]
                    scaled[row, a] = h * values[p, a]
                    product[at, a] += g * values[p, a]
            for a in range(0, k, N_LANES):
                for b in range(0, a + 1, N_LANES):
                    add_products(scaled, rows, n, k, a, b, square, (at * k + a) * k + b)
        for a in range(k):
            for b in range(a):
                square[at, b, a] = square[at, a, b]


@numba.njit(cache=True, nogil=True)
def _add_values(
    low: Any, high: Any, users: Any, start: Any, post: Any, weight: Any, values: Any, out: Any
) -> None:
    for at in range(low, high):
        for i in range(start[users[at]], start[users[at] + 1]):
            for k in range(values.shape[1]):
                out[at, k] += weight[i] * values[post[i], k]


@numba.njit(cache=True, nogil=True)
def _sum_by_post(first: Any, last: Any, post: Any, weight: Any, n_posts: Any) -> Any:
    out = np.zeros(n_posts)
    for i in range(first, last):
        out[post[i]] += weight[i]
    return out
