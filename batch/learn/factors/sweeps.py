"""Passes over impressions that fit biases: what changed is caught up with while derivatives are summed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from batch.arrays import Floats, Floats32, Ints, Ints8, Ints32
from batch.learn.factors.blocks import ROWS_A_SUM, Block, for_blocks, in_threads, split_users
from batch.learn.factors.impressions import Impressions
from batch.learn.factors.link import HESSIAN, TABLE, step_of

ENOUGH = 4_000_000  # impressions that settle the biases of place, hour and week


@dataclass(frozen=True, slots=True)
class Some:
    """Every so manieth impression, which settle the biases of moments: columns as in `Impressions`."""

    start: Ints
    post: Ints32
    liked: Ints8
    hour: Ints8
    week: Ints8
    place: Ints8
    eta: Floats32

    @classmethod
    def of(cls, shown: Impressions, eta: Floats32) -> "Some":
        stride = max(1, len(eta) // ENOUGH)
        return cls(
            start=(shown.start + stride - 1) // stride,
            post=shown.post[::stride].copy(),
            liked=shown.liked[::stride].copy(),
            hour=shown.hour[::stride].copy(),
            week=shown.week[::stride].copy(),
            place=shown.place[::stride].copy(),
            eta=eta[::stride].copy(),
        )


def move_and_sum_by_user(
    shown: Impressions, eta: Floats32, changed: Sequence[Floats]
) -> tuple[Floats, Floats]:
    """Add changes of users, posts, places, hours and weeks to `eta`, then sum derivatives by user."""
    gradient, hessian = np.zeros(shown.n_users), np.zeros(shown.n_users)
    columns = (shown.start, shown.post, shown.place, shown.hour, shown.week, shown.liked)
    arguments: tuple[Any, ...] = (*columns, eta, *changed, TABLE, gradient, hessian)

    def work(low: int, high: int) -> None:
        _sweep_users(low, high, *arguments)

    for_blocks(work, shown.start)
    return gradient, hessian


def move_and_sum_by_post(shown: Impressions, eta: Floats32, change: Floats) -> tuple[Floats, Floats]:
    """Add the users' change to `eta`, then sum derivatives by post."""
    sums = np.zeros((shown.n_posts, 2))

    def work(block: Block) -> Floats:
        low, high = block
        sums = _sweep_posts(
            low, high, shown.start, shown.post, shown.liked, eta, change, TABLE, shown.n_posts
        )
        return np.asarray(sums, np.float64)

    for part in in_threads(work, split_users(shown.start, ROWS_A_SUM)):
        sums += part
    return sums[:, 0], sums[:, 1]


def finish(shown: Impressions, eta: Floats32, of_users: Floats, of_posts: Floats) -> None:
    """Add the last changes to `eta`."""
    for_blocks(
        lambda low, high: _move(low, high, shown.start, shown.post, eta, of_users, of_posts), shown.start
    )


def add_tastes(shown: Impressions, tastes: tuple[Floats, Floats], eta: Floats32) -> None:
    for_blocks(lambda low, high: _add_tastes(low, high, shown.start, shown.post, *tastes, eta), shown.start)


# Below, indices are unsigned, since numba asks of others whether they count from the end; and what is summed
# over a user's rows is in registers. Both change no bit.


@numba.njit(cache=True, nogil=True)
def sum_by_key(key: Any, eta: Any, liked: Any, n: Any, table: Any) -> Any:
    gradient, hessian = np.zeros(n), np.zeros(n)
    for i in range(len(eta)):
        at, k = np.uint32(step_of(eta[i])), np.uint8(key[i])
        gradient[k] += table[at, np.uint8(liked[i])]
        hessian[k] += table[at, HESSIAN]
    return gradient, hessian


@numba.njit(cache=True, nogil=True)
def _sweep_users(
    low: Any, high: Any, start: Any, post: Any, place: Any, hour: Any, week: Any, liked: Any, eta: Any,
    of_users: Any, of_posts: Any, of_places: Any, of_hours: Any, of_weeks: Any,
    table: Any, gradient: Any, hessian: Any,
) -> None:  # fmt: skip
    with_posts, with_places = of_posts.any(), of_places.any()  # what changes nothing need not be looked up
    for u in range(low, high):
        of_user, g, h = of_users[u], gradient[u], hessian[u]
        for i in range(start[u], start[u + 1]):
            x = np.float32(eta[i] + of_user)
            if with_posts:
                x = np.float32(x + of_posts[np.uint32(post[i])])
            if with_places:
                x = np.float32(x + of_places[np.uint8(place[i])])
            x = np.float32(x + of_hours[np.uint8(hour[i])])
            x = np.float32(x + of_weeks[np.uint8(week[i])])
            eta[i] = x
            at = np.uint32(step_of(x))
            g += table[at, np.uint8(liked[i])]
            h += table[at, HESSIAN]
        gradient[u], hessian[u] = g, h


@numba.njit(cache=True, nogil=True)
def _sweep_posts(
    low: Any, high: Any, start: Any, post: Any, liked: Any, eta: Any, of_users: Any, table: Any, n_posts: Any
) -> Any:
    """Return gradients and hessians by post, (posts, 2)."""
    sums = np.zeros((n_posts, 2))
    for u in range(low, high):
        of_user = of_users[u]
        for i in range(start[u], start[u + 1]):
            x = np.float32(eta[i] + of_user)
            eta[i] = x
            at, p = np.uint32(step_of(x)), np.uint32(post[i])
            sums[p, 0] += table[at, np.uint8(liked[i])]
            sums[p, 1] += table[at, HESSIAN]
    return sums


@numba.njit(cache=True, nogil=True)
def shift(key: Any, eta: Any, change: Any) -> None:
    for i in range(len(eta)):
        eta[i] += change[key[i]]


@numba.njit(cache=True, nogil=True)
def shift_users(start: Any, eta: Any, change: Any) -> None:
    for u in range(len(start) - 1):
        for i in range(start[u], start[u + 1]):
            eta[i] += change[u]


@numba.njit(cache=True, nogil=True)
def _move(low: Any, high: Any, start: Any, post: Any, eta: Any, of_users: Any, of_posts: Any) -> None:
    for u in range(low, high):
        for i in range(start[u], start[u + 1]):
            eta[i] = np.float32(eta[i] + of_users[u]) + of_posts[post[i]]


@numba.njit(cache=True, nogil=True)
def _add_tastes(low: Any, high: Any, start: Any, post: Any, x: Any, y: Any, eta: Any) -> None:
    for u in range(low, high):
        for i in range(start[u], start[u + 1]):
            eta[i] += _product(x, u, y, post[i])


@numba.njit(cache=True, nogil=True)
def derive_rows(
    users: Any, start: Any, post: Any, liked: Any, sums: Any, table: Any, x: Any, y: Any,
    start_out: Any, post_out: Any, gradient: Any, hessian: Any,
) -> None:  # fmt: skip
    for at in range(len(users)):
        u = users[at]
        to = start_out[at] - start[u]
        for i in range(start[u], start[u + 1]):
            step = step_of(sums[i])
            post_out[to + i] = post[i]
            hessian[to + i] = table[step, HESSIAN]
            gradient[to + i] = table[step, liked[i]]
            gradient[to + i] += hessian[to + i] * _product(x, u, y, post[i])


@numba.njit(cache=True, inline="always")
def _product(x: Any, user: Any, y: Any, post: Any) -> Any:
    taste = 0.0
    for k in range(x.shape[1]):
        taste += x[user, k] * y[post, k]
    return taste
