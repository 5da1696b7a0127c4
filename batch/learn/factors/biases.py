"""How often anything is liked: biases of place, hour, week, user and post, each shrunk by its own spread.

P(like) is a softened sum of biases, `s·log(1 + exp(sum / s))`: where likes are frequent biases add, where
they are rare biases multiply. The real rows ask for it: from a session's beginning to its end the rate falls
by the same amount for eager and lazy users, and many never like a late post, which says nothing about it.
"""

from dataclasses import dataclass

import numpy as np

from batch.arrays import Floats, Floats32, Ints, Ints32
from batch.data.ragged import Ragged, starts
from batch.learn.factors.impressions import N_PLACES, Impressions
from batch.learn.factors.link import SOFTNESS, TABLE
from batch.learn.factors.sweeps import (
    Some,
    add_tastes,
    derive_rows,
    finish,
    move_and_sum_by_post,
    move_and_sum_by_user,
    shift,
    shift_users,
    sum_by_key,
)

Factors = tuple[Floats, Floats]  # of users and of posts

N_SWEEPS, N_VARIANCE_STEPS = 6, 3
LONGEST_STEP = 0.1  # of a bias in one sweep, in like rate


@dataclass(frozen=True, slots=True)
class Biases:
    """Biases in like rate, and what is left for tastes to explain.

    Attributes:
        user: float64 (users,).
        post: float64 (posts,).
        sums: float32 (rows,). Each impression's sum of biases, and of tastes where they were fitted beside.
        tastes: float64 (users, k) and (posts, k); None where they were fitted alone.
    """

    user: Floats
    post: Floats
    sums: Floats32
    tastes: Factors | None


@dataclass(frozen=True, slots=True)
class Derivatives(Ragged):
    """What some users' impressions leave for tastes to explain, made when it is asked for: 8 bytes each.

    Attributes:
        post: int32 (rows,). Row of the post.
        gradient: float32 (rows,). Of the log likelihood in each impression's sum of biases, where there is
            no taste; beside given tastes, as their curvature carries it back to there.
        hessian: float32 (rows,). Its expected curvature, at least 0: the information in the impression.
    """

    post: Ints32
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
        shift(shown.post, eta, post)
    if tastes is not None:
        add_tastes(shown, tastes, eta)
    some = Some.of(shown, eta)
    moments = [(hour, some.hour), (week, some.week)]
    if with_place:
        moments.insert(0, (place, some.place))
    for _ in range(N_SWEEPS):
        for bias, key in moments:
            bias.step(*sum_by_key(key, some.eta, some.liked, len(bias.value), TABLE))
            shift(key, some.eta, bias.change)
        # What has changed since `eta` was last gone through is caught up with on the way.
        of_users = user.change if post is not None else np.zeros(shown.n_users)
        changed = (of_users, posts.change, place.change, hour.change, week.change)
        user.step(*move_and_sum_by_user(shown, eta, changed))
        shift_users(some.start, some.eta, user.change)
        if post is None:
            posts.step(*move_and_sum_by_post(shown, eta, user.change))
            shift(some.post, some.eta, posts.change)
    finish(shown, eta, user.change if post is not None else np.zeros(shown.n_users), posts.change)
    return Biases(user.value, posts.value, eta, tastes)


def derive(shown: Impressions, biases: Biases, users: Ints) -> Derivatives:
    """Return the derivatives of some users' impressions; the users then count from 0 in the order given."""
    start = starts(shown.sizes[users])
    post = np.empty(start[-1], np.int32)
    gradient, hessian = np.empty(len(post), np.float32), np.empty(len(post), np.float32)
    nothing = np.zeros((shown.n_users, 0)), np.zeros((shown.n_posts, 0))
    x, y = biases.tastes or nothing
    columns = (shown.start, shown.post, shown.liked, biases.sums)
    derive_rows(users, *columns, TABLE, x, y, start, post, gradient, hessian)
    return Derivatives(start, post, gradient, hessian)


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
