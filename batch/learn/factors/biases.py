"""How often anything is liked: biases of place, hour, week, user and post, each shrunk by its own spread.

P(like) is a softened sum of biases, `s·log(1 + exp(sum / s))`: where likes are frequent biases add, where
they are rare biases multiply. The real rows ask for it: from a session's beginning to its end the rate falls
by the same amount for eager and lazy users, and many never like a late post, which says nothing about it.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from batch.arrays import Floats, Floats32
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
    user = _Bias.of(shown.n_users)
    posts = _Bias(post if post is not None else np.zeros(shown.n_posts), 3e-4)
    kinds = [(_Bias.of(24), shown.hour), (_Bias.of(128), shown.week)]
    if with_place:
        kinds.insert(0, (_Bias.of(N_PLACES), shown.place))
    eta = np.full(len(shown.post), level, np.float32)  # the sums of biases
    if post is not None:
        _shift(shown.post, eta, post)
    if tastes is not None:
        _add_tastes(shown.start, shown.post, *tastes, np.ones(1, np.float32), eta)
    stride = max(1, len(eta) // ENOUGH)
    for _ in range(N_SWEEPS):
        for bias, key in kinds:
            bias.step(*_sum_by_key(key, eta, shown.liked, len(bias.value), stride))
            _shift(key, eta, bias.change)
        user.step(*_sum_by_user(shown.start, eta, shown.liked))
        _shift_users(shown.start, eta, user.change)
        if post is None:
            posts.step(*_sum_by_key(shown.post, eta, shown.liked, shown.n_posts, 1))
            _shift(shown.post, eta, posts.change)
    gradient, hessian = _derive(eta, shown.liked)
    if tastes is not None:
        _add_tastes(shown.start, shown.post, *tastes, hessian, gradient)
    return Biases(user.value, posts.value, gradient, hessian)


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


LOW, STEP, N_STEPS = -0.8, 1.25e-4, 16_384  # sums of biases, up to 1.248; a step is 1/160 of SOFTNESS


def _tabulate() -> tuple[Floats, Floats, Floats]:
    """Return gradient with and without a like, and hessian, by sum of biases from LOW in steps of STEP."""
    x = (LOW + STEP * np.arange(N_STEPS)) / SOFTNESS
    p = np.clip(SOFTNESS * np.logaddexp(0.0, x), 1e-5, 0.97)
    steep = steepness(p)
    gain = steep / (p * (1.0 - p))
    return gain * (1.0 - p), -gain * p, gain * steep


_LIKED, _UNLIKED, _HESSIAN = _tabulate()


@numba.njit(cache=True, inline="always")
def _derivatives(eta: Any, liked: Any) -> Any:
    """Return gradient and hessian of one impression."""
    at = min(max(int((eta - LOW) / STEP + 0.5), 0), N_STEPS - 1)
    return (_LIKED[at] if liked else _UNLIKED[at]), _HESSIAN[at]


@numba.njit(cache=True)
def _sum_by_key(key: Any, eta: Any, liked: Any, n: Any, stride: Any) -> Any:
    gradient, hessian = np.zeros(n), np.zeros(n)
    for i in range(0, len(eta), stride):
        g, h = _derivatives(eta[i], liked[i])
        gradient[key[i]] += g
        hessian[key[i]] += h
    return gradient, hessian


@numba.njit(cache=True, parallel=True)
def _sum_by_user(start: Any, eta: Any, liked: Any) -> Any:
    gradient, hessian = np.zeros(len(start) - 1), np.zeros(len(start) - 1)
    for u in numba.prange(len(start) - 1):
        for i in range(start[u], start[u + 1]):
            g, h = _derivatives(eta[i], liked[i])
            gradient[u] += g
            hessian[u] += h
    return gradient, hessian


@numba.njit(cache=True)
def _shift(key: Any, eta: Any, change: Any) -> None:
    for i in range(len(eta)):
        eta[i] += change[key[i]]


@numba.njit(cache=True)
def _shift_users(start: Any, eta: Any, change: Any) -> None:
    for u in range(len(start) - 1):
        for i in range(start[u], start[u + 1]):
            eta[i] += change[u]


@numba.njit(cache=True, parallel=True)
def _derive(eta: Any, liked: Any) -> Any:
    gradient, hessian = np.empty(len(eta), np.float32), np.empty(len(eta), np.float32)
    for i in numba.prange(len(eta)):
        gradient[i], hessian[i] = _derivatives(eta[i], liked[i])
    return gradient, hessian


@numba.njit(cache=True, parallel=True)
def _add_tastes(start: Any, post: Any, x: Any, y: Any, weight: Any, out: Any) -> None:
    """Add each impression's taste to `out`, times its weight; a single weight is everybody's."""
    for u in numba.prange(len(start) - 1):
        for i in range(start[u], start[u + 1]):
            taste = 0.0
            for k in range(x.shape[1]):
                taste += x[u, k] * y[post[i], k]
            out[i] += weight[i if len(weight) > 1 else 0] * taste
