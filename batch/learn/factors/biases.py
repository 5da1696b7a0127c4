"""How often anything is liked: effects of place, hour, week, user and post, each shrunk by its own spread.

P(like) is a softened sum of effects, `s·log(1 + exp(sum / s))`: where likes are frequent effects add, where
they are rare effects multiply. The real rows ask for it: from a session's beginning to its end the rate falls
by the same amount for eager and lazy users, and many never like a late post, which says nothing about it.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from batch.learn.factors.impressions import N_PLACES, Impressions

Floats = npt.NDArray[np.float64]
Factors = tuple[Floats, Floats]  # of users and of posts

# Like rate below which effects multiply; .02-.04 were likeliest on the training rows of two made worlds, and
# beside tastes .02 ranked better than .03 and .01 in them, and better than .03 on the real rows.
SOFTNESS = 0.02
SWEEPS = 6
ENOUGH = 4_000_000  # impressions that settle the effects of place, hour and week
LONGEST_STEP = 0.1  # of an effect in one sweep, in like rate


@dataclass(frozen=True, slots=True)
class Levels:
    """Effects in like rate, and what is left for tastes to explain.

    Attributes:
        user: float64 (users,).
        post: float64 (posts,).
        score: float32 (rows,). Slope of the log likelihood in each impression's sum of effects, where there
            is no taste; beside tastes that are known, as their curvature carries it back to there.
        weight: float32 (rows,). Its expected curvature, at least 0: the information in the impression.
    """

    user: Floats
    post: Floats
    score: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]


def fit_levels(
    shown: Impressions, placed: bool, post: Floats | None = None, tastes: Factors | None = None
) -> Levels:
    """Fit all effects by sweeps of Newton steps, each kind's variance by MacKay's fixed point.

    Args:
        shown: The impressions.
        placed: Whether the place in the session is held against a like. Where the order shown follows taste,
            holding it against the likes takes the taste away with it.
        post: float64 (posts,). Effects of the posts to keep as they are; None fits them.
        tastes: float64 (users, k) and (posts, k). What users are known to like, beside which the effects are
            fitted; None where nothing is known yet.

    Source: D. J. C. MacKay, Bayesian interpolation, Neural Computation 4 (1992), 415-447.
    """
    rate = (float(shown.liked.sum()) + 0.5) / (len(shown.liked) + 5.0)
    level = rate + SOFTNESS * np.log(-np.expm1(-rate / SOFTNESS))  # the softened sum's inverse
    user = _Effect.of(shown.n_users)
    posts = _Effect(post if post is not None else np.zeros(shown.n_posts), 3e-4)
    kinds = [(_Effect.of(24), shown.hour), (_Effect.of(128), shown.week)]
    if placed:
        kinds.insert(0, (_Effect.of(N_PLACES), shown.place))
    eta = np.full(len(shown.post), level, np.float32)
    if post is not None:
        _shift(shown.post, eta, post)
    if tastes is not None:
        _add_tastes(shown.start, shown.post, *tastes, eta)
    stride = max(1, len(eta) // ENOUGH)
    for _ in range(SWEEPS):
        for effect, key in kinds:
            effect.step(*_by_key(key, eta, shown.liked, len(effect.value), stride))
            _shift(key, eta, effect.change)
        user.step(*_by_user(shown.start, eta, shown.liked))
        _shift_users(shown.start, eta, user.change)
        if post is None:
            posts.step(*_by_key(shown.post, eta, shown.liked, shown.n_posts, 1))
            _shift(shown.post, eta, posts.change)
    score, weight = np.empty(len(eta), np.float32), np.empty(len(eta), np.float32)
    _slopes(eta, shown.liked, score, weight)
    if tastes is not None:
        _carry_back(shown.start, shown.post, *tastes, weight, score)
    return Levels(user.value, posts.value, score, weight)


def steepness(rate: Floats) -> Floats:
    """Return how fast P(like) moves with the sum of effects where P(like) is `rate`, 0..1."""
    return np.asarray(-np.expm1(-rate / SOFTNESS), np.float64)


class _Effect:
    """One kind of effect on its way: values, their change in the last step, their variance."""

    def __init__(self, value: Floats, variance: float) -> None:
        self.value, self.variance = value, variance
        self.change = np.zeros_like(value)

    @classmethod
    def of(cls, n: int) -> "_Effect":
        return cls(np.zeros(n), 1e-3)

    def step(self, slope: Floats, information: Floats) -> None:
        """Move to the posterior means that slope and information imply."""
        new = self.value
        for _ in range(3):
            new = (information * self.value + slope) / (information + 1 / self.variance)
            known = float((information / (information + 1 / self.variance)).sum())
            self.variance = max(float((new**2).sum()) / max(known, 1e-9), 1e-6)
        self.change = np.clip(new - self.value, -LONGEST_STEP, LONGEST_STEP)
        self.value = self.value + self.change


def _tables() -> tuple[Floats, Floats, Floats]:
    """Return slope with and without a like, and information, by sum of effects from LOW in steps of STEP."""
    x = (LOW + STEP * np.arange(N_STEPS)) / SOFTNESS
    p = np.clip(SOFTNESS * np.logaddexp(0.0, x), 1e-5, 0.97)
    steep = steepness(p)
    gain = steep / (p * (1.0 - p))
    return gain * (1.0 - p), -gain * p, gain * steep


LOW, STEP, N_STEPS = -0.8, 1.25e-4, 16_384  # up to 1.248; a step is 1/240 of SOFTNESS
_LIKED, _UNLIKED, _INFORMATION = _tables()


@numba.njit(cache=True, inline="always")
def _slope(eta: Any, liked: Any) -> Any:
    """Return slope and information of one impression."""
    at = min(max(int((eta - LOW) / STEP + 0.5), 0), N_STEPS - 1)
    return (_LIKED[at] if liked else _UNLIKED[at]), _INFORMATION[at]


@numba.njit(cache=True)
def _by_key(key: Any, eta: Any, liked: Any, n: Any, stride: Any) -> Any:
    slope, information = np.zeros(n), np.zeros(n)
    for i in range(0, len(eta), stride):
        s, w = _slope(eta[i], liked[i])
        slope[key[i]] += s
        information[key[i]] += w
    return slope, information


@numba.njit(cache=True, parallel=True)
def _by_user(start: Any, eta: Any, liked: Any) -> Any:
    slope, information = np.zeros(len(start) - 1), np.zeros(len(start) - 1)
    for u in numba.prange(len(start) - 1):
        for i in range(start[u], start[u + 1]):
            s, w = _slope(eta[i], liked[i])
            slope[u] += s
            information[u] += w
    return slope, information


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
def _slopes(eta: Any, liked: Any, score: Any, weight: Any) -> None:
    for i in numba.prange(len(eta)):
        score[i], weight[i] = _slope(eta[i], liked[i])


@numba.njit(cache=True, parallel=True)
def _add_tastes(start: Any, post: Any, x: Any, y: Any, eta: Any) -> None:
    for u in numba.prange(len(start) - 1):
        for i in range(start[u], start[u + 1]):
            taste = 0.0
            for k in range(x.shape[1]):
                taste += x[u, k] * y[post[i], k]
            eta[i] += taste


@numba.njit(cache=True, parallel=True)
def _carry_back(start: Any, post: Any, x: Any, y: Any, weight: Any, score: Any) -> None:
    for u in numba.prange(len(start) - 1):
        for i in range(start[u], start[u + 1]):
            taste = 0.0
            for k in range(x.shape[1]):
                taste += x[u, k] * y[post[i], k]
            score[i] += weight[i] * taste
