"""Sums over what each user was shown, and over everybody whom a post was shown to."""

from typing import Any

import numba
import numpy as np

from batch.arrays import AnyFloats, Floats, Ints, Ints32
from batch.learn.factors.blocks import ROWS_A_SUM
from batch.score.tables.simd import N_LANES, add_products

ROWS_AT_ONCE = 64  # of impressions, whose posts' values stay in the innermost cache


def accumulate(
    start: Ints, post: Ints32, hessian: AnyFloats, gradient: AnyFloats, values: Floats
) -> tuple[Floats, Floats]:
    """Add up, over what each user was shown, hessian × values × values' and gradient × values.

    Args:
        start: int64 (users + 1,). Where each user's impressions lie.
        post: int32 (impressions,).
        hessian: float (impressions,).
        gradient: float (impressions,).
        values: float64 (posts, k).

    Returns:
        float64 (users, k, k), the users' precisions, and float64 (users, k).
    """
    k, n_users = values.shape[1], len(start) - 1
    values = pad_lanes(values)
    width = values.shape[1]
    square, product = np.zeros((n_users, width, width)), np.zeros((n_users, width))
    _accumulate(start, post, hessian, gradient, np.ascontiguousarray(values), square, product)
    return square[:, :k, :k], product[:, :k]


def sum_values(start: Ints, post: Ints32, weight: AnyFloats, panels: Floats) -> Floats:
    """Return, over what each user was shown, the sum of weight × values, float64 (users, panels × N_LANES).

    The values are laid out by `lay_panels`, whose zeros come back as zeros.
    """
    out = np.empty((len(start) - 1, len(panels) * N_LANES))
    _sum_values(start, post, weight, panels, out)
    return out


def lay_panels(values: Floats) -> Floats:
    """Lay out columns eight by eight, float64 (panels, posts, N_LANES): a panel stays in a cache."""
    padded = pad_lanes(values)
    return np.ascontiguousarray(padded.reshape(len(values), -1, N_LANES).swapaxes(0, 1))


def pad_lanes(values: Floats) -> Floats:
    """Return values with zeros after their last axis, so that it is a multiple of N_LANES long."""
    missing = -values.shape[-1] % N_LANES
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)])


def sum_by_post(post: Ints32, weight: AnyFloats, n_posts: int) -> Floats:
    """Return the sum of the weights of each post's impressions, float64 (posts,)."""
    return np.asarray(_sum_by_post(post, weight, n_posts), np.float64)


def count_by_post(post: Ints32, n_posts: int) -> Ints:
    """Return how many impressions each post has, int64 (posts,)."""
    # In parts, since `bincount` makes eight bytes of each.
    parts = (post[low : low + ROWS_A_SUM] for low in range(0, len(post), ROWS_A_SUM))
    return sum((np.bincount(part, minlength=n_posts) for part in parts), np.zeros(n_posts, np.int64))


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _accumulate(
    start: Any, post: Any, hessian: Any, gradient: Any, values: Any, square: Any, product: Any
) -> None:
    k = values.shape[1]
    rows, scaled = np.empty((ROWS_AT_ONCE, k)), np.empty((ROWS_AT_ONCE, k))
    for at in range(len(start) - 1):
        end = start[at + 1]
        for first in range(start[at], end, ROWS_AT_ONCE):
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
def _sum_values(start: Any, post: Any, weight: Any, panels: Any, out: Any) -> None:
    for panel in range(len(panels)):
        values, first = panels[panel], panel * N_LANES
        for at in range(len(start) - 1):
            total = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
            for i in range(start[at], start[at + 1]):
                total = add_row(total, np.float64(weight[i]), values[np.uint32(post[i])])
            for k in range(N_LANES):
                out[at, first + k] = total[k]


@numba.njit(cache=True, inline="always")
def add_row(total: Any, weight: Any, row: Any) -> Any:
    """Add weight × row to N_LANES sums that stay in registers."""
    return (
        total[0] + weight * row[0], total[1] + weight * row[1], total[2] + weight * row[2],
        total[3] + weight * row[3], total[4] + weight * row[4], total[5] + weight * row[5],
        total[6] + weight * row[6], total[7] + weight * row[7],
    )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def _sum_by_post(post: Any, weight: Any, n_posts: Any) -> Any:
    out = np.zeros(n_posts)
    for i in range(len(post)):
        out[post[i]] += weight[i]
    return out
