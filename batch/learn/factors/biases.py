"""How often anything is liked: biases of place, hour, week, user and post, each shrunk by its own spread.

P(like) is a softened sum of biases, `s·log(1 + exp(sum / s))`: where likes are frequent biases add, where
they are rare biases multiply. The real rows ask for it: from a session's beginning to its end the rate falls
by the same amount for eager and lazy users, and many never like a late post, which says nothing about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from batch.arrays import Floats, Floats32, Ints, Ints8, Ints32
from batch.learn.factors.blocks import ROWS_A_SUM, Block, for_blocks, in_threads, split_users
from batch.learn.factors.impressions import N_PLACES, Impressions

Factors = tuple[Floats, Floats]  # of users and of posts

# Like rate below which biases multiply; .02-.04 were likeliest on the training rows of two made worlds, and
# beside tastes .02 ranked better than .03 and .01 in them, and better than .03 on the real rows.
SOFTNESS = 0.02
N_SWEEPS, N_VARIANCE_STEPS = 6, 3
ENOUGH = 4_000_000  # impressions that settle the biases of place, hour and week
LONGEST_STEP = 0.1  # of a bias in one sweep, in like rate


@dataclass(frozen=True, slots=True)
class Biases:
    """Biases in like rate, and what is left for tastes to explain.

    Attributes:
        user: float64 (users,).
        post: float64 (posts,).
        gradient: float32 (rows,). Of the log likelihood in each impression's sum of biases, where there is
            no taste; beside given tastes, as their curvature carries it back to there.
        hessian: float32 (rows,). Its expected curvature, at least 0: the information in the impression.
    """

    user: Floats
    post: Floats
    gradient: Floats32
    hessian: Floats32


def fit_biases(
    shown: Impressions, with_place: bool, post: Floats | None = None, tastes: Factors | None = None
) -> Biases:
    """Fit all biases by sweeps of Newton steps, each kind's variance by MacKay's fixed point.

    Args:
        shown: The impressions.
        with_place: Whether the place in the session is held against a like. Where the order shown follows
            taste, holding it against the likes takes the taste away with it.
        post: float64 (posts,). Biases of the posts to keep as they are; None fits them.
        tastes: float64 (users, k) and (posts, k), beside which the biases are fitted; None for none.

    Source: D. J. C. MacKay, Bayesian interpolation, Neural Computation 4 (1992), 415-447.
    """
    rate = (float(shown.liked.sum()) + 0.5) / (len(shown.liked) + 5.0)
    level = rate + SOFTNESS * np.log(-np.expm1(-rate / SOFTNESS))  # the softened sum's inverse
    user, place, hour, week = (_Bias.of(n) for n in (shown.n_users, N_PLACES, 24, 128))
    posts = _Bias(post if post is not None else np.zeros(shown.n_posts), 3e-4)
    eta = np.full(len(shown.post), level, np.float32)  # the sums of biases
    if post is not None:
        _shift(shown.post, eta, post)
    if tastes is not None:
        _add(shown, tastes, np.ones(1, np.float32), eta)
    some = _Some.of(shown, eta)
    moments = [(hour, some.hour), (week, some.week)]
    if with_place:
        moments.insert(0, (place, some.place))
    for _ in range(N_SWEEPS):
        for bias, key in moments:
            bias.step(*_sum_by_key(key, some.eta, some.liked, len(bias.value), _TABLE))
            _shift(key, some.eta, bias.change)
        # What has changed since `eta` was last gone through is caught up with on the way.
        of_users = user.change if post is not None else np.zeros(shown.n_users)
        changed = (of_users, posts.change, place.change, hour.change, week.change)
        user.step(*_move_and_sum_by_user(shown, eta, changed))
        _shift_users(some.start, some.eta, user.change)
        if post is None:
            posts.step(*_move_and_sum_by_post(shown, eta, user.change))
            _shift(some.post, some.eta, posts.change)
    of_users = user.change if post is not None else np.zeros(shown.n_users)
    hessian = _derive(shown, eta, of_users, posts.change)
    if tastes is not None:
        _add(shown, tastes, hessian, eta)
    return Biases(user.value, posts.value, eta, hessian)


def steepness(rate: Floats) -> Floats:
    """Return how fast P(like) moves with the sum of biases where P(like) is `rate`, 0..1."""
    return np.asarray(-np.expm1(-rate / SOFTNESS), np.float64)


class _Bias:
    """One kind of bias on its way: values, their change in the last step, their variance."""

    def __init__(self, value: Floats, variance: float) -> None:
        self.value, self.variance = value, variance
        self.change = np.zeros_like(value)

    @classmethod
    def of(cls, n: int) -> "_Bias":
        return cls(np.zeros(n), 1e-3)

    def step(self, gradient: Floats, hessian: Floats) -> None:
        """Move to the posterior means that the sums of gradients and of hessians imply."""
        new = self.value
        for _ in range(N_VARIANCE_STEPS):
            new = (hessian * self.value + gradient) / (hessian + 1 / self.variance)
            n_effective = float((hessian / (hessian + 1 / self.variance)).sum())
            self.variance = max(float((new**2).sum()) / max(n_effective, 1e-9), 1e-6)
        self.change = np.clip(new - self.value, -LONGEST_STEP, LONGEST_STEP)
        self.value = self.value + self.change


@dataclass(frozen=True, slots=True)
class _Some:
    """Every so manieth impression, which settle the biases of moments: columns as in `Impressions`."""

    start: Ints
    post: Ints32
    liked: Ints8
    hour: Ints8
    week: Ints8
    place: Ints8
    eta: Floats32

    @classmethod
    def of(cls, shown: Impressions, eta: Floats32) -> "_Some":
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


LOW, STEP, N_STEPS = -0.8, 1.25e-4, 16_384  # sums of biases, up to 1.248; a step is 1/160 of SOFTNESS


def _tabulate() -> Floats:
    """Return gradient without and with a like, and hessian, by sum of biases from LOW in steps of STEP."""
    x = (LOW + STEP * np.arange(N_STEPS)) / SOFTNESS
    p = np.clip(SOFTNESS * np.logaddexp(0.0, x), 1e-5, 0.97)
    steep = steepness(p)
    gain = steep / (p * (1.0 - p))
    return np.column_stack([-gain * p, gain * (1.0 - p), gain * steep])


_TABLE = _tabulate()
HESSIAN = 2  # its column


def _move_and_sum_by_user(
    shown: Impressions, eta: Floats32, changed: Sequence[Floats]
) -> tuple[Floats, Floats]:
    """Add changes of users, posts, places, hours and weeks to `eta`, then sum derivatives by user."""
    gradient, hessian = np.zeros(shown.n_users), np.zeros(shown.n_users)
    columns = (shown.start, shown.post, shown.place, shown.hour, shown.week, shown.liked)
    arguments: tuple[Any, ...] = (*columns, eta, *changed, _TABLE, gradient, hessian)

    def work(low: int, high: int) -> None:
        _sweep_users(low, high, *arguments)

    for_blocks(work, shown.start)
    return gradient, hessian


def _move_and_sum_by_post(shown: Impressions, eta: Floats32, change: Floats) -> tuple[Floats, Floats]:
    """Add the users' change to `eta`, then sum derivatives by post."""
    sums = np.zeros((shown.n_posts, 2))

    def work(block: Block) -> Floats:
        low, high = block
        sums = _sweep_posts(
            low, high, shown.start, shown.post, shown.liked, eta, change, _TABLE, shown.n_posts
        )
        return np.asarray(sums, np.float64)

    for part in in_threads(work, split_users(shown.start, ROWS_A_SUM)):
        sums += part
    return sums[:, 0], sums[:, 1]


def _derive(shown: Impressions, eta: Floats32, of_users: Floats, of_posts: Floats) -> Floats32:
    """Add the last changes to `eta`, put gradients in its place, and return hessians."""
    hessian = np.empty(len(eta), np.float32)

    def work(low: int, high: int) -> None:
        _derive_users(
            low, high, shown.start, shown.post, shown.liked, eta, of_users, of_posts, _TABLE, hessian
        )

    for_blocks(work, shown.start)
    return hessian


def _add(shown: Impressions, tastes: Factors, weight: Floats32, out: Floats32) -> None:
    for_blocks(
        lambda low, high: _add_tastes(low, high, shown.start, shown.post, *tastes, weight, out), shown.start
    )


@numba.njit(cache=True, inline="always")
def _step_of(eta: Any) -> Any:
    """Return the row of the table for a sum of biases."""
    return min(max(int((eta - LOW) / STEP + 0.5), 0), N_STEPS - 1)


@numba.njit(cache=True, nogil=True)
def _sum_by_key(key: Any, eta: Any, liked: Any, n: Any, table: Any) -> Any:
    gradient, hessian = np.zeros(n), np.zeros(n)
    for i in range(len(eta)):
        at = _step_of(eta[i])
        gradient[key[i]] += table[at, liked[i]]
        hessian[key[i]] += table[at, HESSIAN]
    return gradient, hessian


@numba.njit(cache=True, nogil=True)
def _sweep_users(
    low: Any, high: Any, start: Any, post: Any, place: Any, hour: Any, week: Any, liked: Any, eta: Any,
    of_users: Any, of_posts: Any, of_places: Any, of_hours: Any, of_weeks: Any,
    table: Any, gradient: Any, hessian: Any,
) -> None:  # fmt: skip
    for u in range(low, high):
        for i in range(start[u], start[u + 1]):
            x = np.float32(eta[i] + of_users[u])
            x = np.float32(x + of_posts[post[i]])
            x = np.float32(x + of_places[place[i]])
            x = np.float32(x + of_hours[hour[i]])
            x = np.float32(x + of_weeks[week[i]])
            eta[i] = x
            at = _step_of(x)
            gradient[u] += table[at, liked[i]]
            hessian[u] += table[at, HESSIAN]


@numba.njit(cache=True, nogil=True)
def _sweep_posts(
    low: Any, high: Any, start: Any, post: Any, liked: Any, eta: Any, of_users: Any, table: Any, n_posts: Any
) -> Any:
    """Return gradients and hessians by post, (posts, 2)."""
    sums = np.zeros((n_posts, 2))
    for u in range(low, high):
        for i in range(start[u], start[u + 1]):
            x = np.float32(eta[i] + of_users[u])
            eta[i] = x
            at = _step_of(x)
            sums[post[i], 0] += table[at, liked[i]]
            sums[post[i], 1] += table[at, HESSIAN]
    return sums


@numba.njit(cache=True, nogil=True)
def _shift(key: Any, eta: Any, change: Any) -> None:
    for i in range(len(eta)):
        eta[i] += change[key[i]]


@numba.njit(cache=True, nogil=True)
def _shift_users(start: Any, eta: Any, change: Any) -> None:
    for u in range(len(start) - 1):
        for i in range(start[u], start[u + 1]):
            eta[i] += change[u]


@numba.njit(cache=True, nogil=True)
def _derive_users(
    low: Any, high: Any, start: Any, post: Any, liked: Any, eta: Any, of_users: Any, of_posts: Any,
    table: Any, hessian: Any,
) -> None:  # fmt: skip
    for u in range(low, high):
        for i in range(start[u], start[u + 1]):
            x = np.float32(eta[i] + of_users[u])
            at = _step_of(np.float32(x + of_posts[post[i]]))
            eta[i] = table[at, liked[i]]
            hessian[i] = table[at, HESSIAN]


@numba.njit(cache=True, nogil=True)
def _add_tastes(low: Any, high: Any, start: Any, post: Any, x: Any, y: Any, weight: Any, out: Any) -> None:
    """Add each impression's taste to `out`, times its weight; a single weight is everybody's."""
    for u in range(low, high):
        for i in range(start[u], start[u + 1]):
            taste = 0.0
            for k in range(x.shape[1]):
                taste += x[u, k] * y[post[i], k]
            out[i] += weight[i if len(weight) > 1 else 0] * taste
