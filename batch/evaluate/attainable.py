"""What a learner could reach in a made world: posterior means under its true population, from facts alone.

The population is given: effects of moment and place, spreads of users, posts and tastes, what each post is
about, what each type prefers. What is drawn for single users, posts, topics or hours is not (`UNKNOWN`): its
posterior mean is found from the facts, by Newton steps on all in turn. So the line lies below the oracle,
which knows every draw, and no learner without the population's parameters should pass it but by luck.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from batch.arrays import Floats, Ints, Ints32
from batch.data.facts import Facts
from batch.evaluate.attainable_moves import MovingRows
from batch.learn.factors.impressions import Impressions, gather
from batch.learn.factors.sums import accumulate
from batch.simulate import effects
from batch.simulate.config import Regime
from batch.simulate.posts import TOPIC_NAMES
from batch.simulate.truth import Truth

SWEEPS = 6
SOFTNESS = 0.01  # of the clip at no chance, in like rate: what is still uncertain of a user softens it
USERS_AT_ONCE = 1_000
# What the line has to find from the facts, by regime.
UNKNOWN: dict[Regime, tuple[str, ...]] = {
    "gaussian": ("users' levels", "users' tastes", "posts' qualities"),
    "typed": ("users' levels", "users' types", "posts' qualities"),
    "moving": ("users' levels", "users' types", "posts' qualities", "topics' hours", "weeks of fame"),
}
LONGEST_STEP = 0.1  # of a post's or user's effect in one sweep


@dataclass(frozen=True, slots=True)
class _Population:
    """The population: prior means and precisions, and the design of tastes."""

    values: Floats  # (posts, k): a column of ones, then what tastes are about
    mean: Floats  # (k,): of users
    precision: Floats  # (k,)
    post_mean: Floats  # (posts,)
    post_precision: float
    lift: float  # of a session's first half


@dataclass(frozen=True, slots=True)
class _Posterior:
    """The means: users' effects and tastes (users, k), posts' effects (posts,), and what moves.

    Attributes:
        by_hour: float64 (topics, 24). Zeros where nothing moves.
        famous: float64 (posts, steps). Each post's chance to be famous.
    """

    user: Floats
    post: Floats
    by_hour: Floats
    famous: Floats


def score_attainable(facts: Facts, truth: Truth, users: Ints, at_s: int) -> Floats:
    """Return the near-ideal learner's scores of every post, float64 (users, posts).

    Args:
        facts: All that the learner may read, of the truth's world; rows of posts as in the truth.
        truth: The world's; of its draws for single users and posts nothing is used.
        users: int64 (n,). Rows of the users to score.
        at_s: For when, epoch seconds.
    """
    shown = gather(facts)
    user = shown.user
    seen = np.flatnonzero(facts.views)
    time = facts.time[seen[np.argsort(facts.user[seen], kind="stable")]]
    moment = effects.of_moment(truth.config, time)
    early = effects.early_chance(shown.place.astype(np.int64))
    population = _describe_population(truth)
    member, by_type = np.zeros((shown.n_users, 1)), np.zeros((1, shown.n_posts))
    if truth.config.regime != "gaussian":
        member = _infer_types(shown, truth, user, early)
        share = effects.PREFERENCE_SHARE[truth.config.regime] * truth.config.taste
        by_type = np.asarray(effects.EARLY_LIFT * share * truth.preferred, np.float64)
        moment += np.einsum("ij,ji->i", member[user], by_type[:, shown.post])
        early = _refine_early(truth, member, user, shown.post, early)
    moving = MovingRows.of(truth, shown.post, time) if truth.config.regime == "moving" else None
    found = _fit_posterior(shown, population, moment, early, moving)
    of_posts = found.post
    if moving is not None:
        of_posts = of_posts + found.by_hour[truth.posts.topic, at_s // 3600 % 24]
        of_posts += effects.FAME_LIFT * found.famous[:, moving.step_of(at_s)]
    return np.asarray(
        found.user[users] @ population.values.T + of_posts + member[users] @ by_type, np.float64
    )


def _describe_population(truth: Truth) -> _Population:
    regime, config = truth.config.regime, truth.config
    about, sd = np.ones((len(truth.post_ids), 1)), [float(truth.user_base.std())]
    if regime == "gaussian":
        n_topics, n_factors = len(TOPIC_NAMES), truth.posts.factors.shape[1]
        about = np.hstack([about, truth.post_taste])
        sd += [effects.TOPIC_TASTE_SD * config.taste] * n_topics
        sd += [effects.FACTOR_TASTE_SD / np.sqrt(n_factors) * config.taste] * n_factors
    mean = np.zeros(about.shape[1])
    mean[0] = truth.user_base.mean()
    by_topic = np.array([effects.TOPIC_EFFECT.get(name, 0.0) for name in TOPIC_NAMES])
    return _Population(
        values=about,
        mean=mean,
        precision=1 / np.maximum(np.array(sd), 1e-9) ** 2,
        post_mean=by_topic[truth.posts.topic],
        post_precision=1 / effects.QUALITY_SD[regime] ** 2,
        lift=effects.EARLY_LIFT * (1 - effects.PREFERENCE_SHARE[regime]),
    )


def _fit_posterior(
    shown: Impressions, population: _Population, moment: Floats, early: Floats, moving: MovingRows | None
) -> _Posterior:
    """Return the posterior of users, of posts and of what moves, given the other effects."""
    values, lift, known = population.values, population.lift, moment
    by_hour, famous = np.zeros((len(TOPIC_NAMES), 24)), np.zeros((0, 0))
    x = np.tile(population.mean, (shown.n_users, 1))
    post = population.post_mean.copy()
    for _ in range(SWEEPS):
        slope, weight = _compute_slopes(shown, x, values, post, moment, early, lift)
        x = _update_users(shown, x, values, slope, weight, population)
        slope, weight = _compute_slopes(shown, x, values, post, moment, early, lift)
        information = np.bincount(shown.post, weight, shown.n_posts)
        pull = np.asarray(np.bincount(shown.post, slope, shown.n_posts), np.float64)
        pull += information * post + population.post_precision * population.post_mean
        new = pull / (information + population.post_precision)
        post = post + np.clip(new - post, -LONGEST_STEP, LONGEST_STEP)
        if moving is not None:
            slope, weight = _compute_slopes(shown, x, values, post, moment, early, lift)
            by_hour = moving.update_hours(by_hour, slope, weight)
            moment = known + by_hour.reshape(-1)[moving.cell]
            eta = _add_up(shown, x, values, post, moment)
            plain, raised = (_respond(eta + more, early, lift)[0] for more in (0.0, effects.FAME_LIFT))
            liked = shown.liked > 0
            famous = moving.infer_fame(
                np.log(np.where(liked, raised, 1 - raised) / np.where(liked, plain, 1 - plain))
            )
            moment += effects.FAME_LIFT * famous.reshape(-1)[moving.place]
    return _Posterior(x, post, by_hour, famous)


def _compute_slopes(
    shown: Impressions, x: Floats, values: Floats, post: Floats, moment: Floats, early: Floats, lift: float
) -> tuple[Floats, Floats]:
    """Return slope and information of every impression in its sum of effects."""
    chance, steep = _respond(_add_up(shown, x, values, post, moment), early, lift)
    gain = steep / (chance * (1 - chance))
    return gain * (shown.liked - chance), gain * steep


def _add_up(shown: Impressions, x: Floats, values: Floats, post: Floats, moment: Floats) -> Floats:
    eta = moment + post[shown.post]
    _add_products(shown.start, shown.post, x, values, eta)
    return eta


def _respond(eta: Floats, early: Floats, lift: float) -> tuple[Floats, Floats]:
    """Return the chance of a like and its derivative by the sum of effects, over both halves of a session."""
    chance, steep = np.zeros(len(eta)), np.zeros(len(eta))
    for share, of_half in ((early, eta + lift), (1 - early, eta)):
        half = SOFTNESS * np.logaddexp(0.0, of_half / SOFTNESS)
        chance += share * half
        steep += share * -np.expm1(-half / SOFTNESS)
    return np.clip(chance, 1e-4, 0.95), steep


@numba.njit(cache=True, parallel=True)
def _add_products(start: Any, post: Any, x: Any, values: Any, eta: Any) -> None:
    for u in numba.prange(len(start) - 1):
        for i in range(start[u], start[u + 1]):
            for column in range(values.shape[1]):
                eta[i] += x[u, column] * values[post[i], column]


def _update_users(
    shown: Impressions, x: Floats, values: Floats, slope: Floats, weight: Floats, population: _Population
) -> Floats:
    out = x.copy()
    for low in range(0, shown.n_users, USERS_AT_ONCE):
        some = np.arange(low, min(low + USERS_AT_ONCE, shown.n_users))
        start = shown.start[low : low + len(some) + 1]
        rows = slice(start[0], start[-1])
        precision, pull = accumulate(start - start[0], shown.post[rows], weight[rows], slope[rows], values)
        pull += np.einsum("uij,uj->ui", precision, x[some]) + population.precision * population.mean
        new = np.linalg.solve(precision + np.diag(population.precision), pull[:, :, None])[:, :, 0]
        out[some] += np.clip(new - x[some], -LONGEST_STEP, LONGEST_STEP)
    return out


def _infer_types(shown: Impressions, truth: Truth, user: Ints, early: Floats) -> Floats:
    """Return each user's chances to be of each type from the order of what they were shown."""
    first = early * (1 - effects.MISPLACED) + (1 - early) * effects.MISPLACED
    logs = np.empty((shown.n_users, len(truth.preferred)))
    for number, preferred in enumerate(truth.preferred):
        chance = np.where(preferred[shown.post], first, 1 - first)
        logs[:, number] = np.bincount(user, np.log(chance), shown.n_users)
    logs -= logs.max(axis=1, keepdims=True)
    return np.asarray(np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True), np.float64)


def _refine_early(truth: Truth, member: Floats, user: Ints, post: Ints32, early: Floats) -> Floats:
    """Return the chance of the first half, given how surely the user prefers the post."""
    preferred = np.einsum("ij,ji->i", member[user], truth.preferred[:, post].astype(np.float64))
    inside = preferred * (1 - effects.MISPLACED) + (1 - preferred) * effects.MISPLACED
    first, second = early * inside, (1 - early) * (1 - inside)
    return np.asarray(first / (first + second), np.float64)
