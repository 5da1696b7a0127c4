"""Users' tastes for topics, text factors and text clusters, shrunk by a covariance learned from all users."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from sklearn.isotonic import isotonic_regression

from batch.arrays import Floats
from batch.data.ragged import starts
from batch.features.text import Texts
from batch.learn.factors.biases import Biases, derive
from batch.learn.factors.blocks import ROWS_A_SUM, Block, for_blocks, in_threads, split_users
from batch.learn.factors.impressions import Impressions
from batch.learn.factors.sums import accumulate, lay_panels, sum_by_post, sum_values

# 114 real users: later sessions were ranked worse with 64 factors than with 20; 20,000 made ones: better.
LEAST_FACTORS, USERS_A_FACTOR = 20, 200
N_DIRECTIONS = 16  # of taste that are kept; in made worlds 14 to 18 beat 24 and all of 92
N_EM_ITERATIONS = 16  # 12 did alike, 40 followed chance: on 114 real users later sessions got worse
PRIOR_STRENGTH = 0.1  # users without any taste that count beside the real ones, a direction
LEAST_VARIANCE = 1e-8  # of a taste, in like rate squared
ENOUGH_USERS = 20_000  # settle the covariance
USERS_AT_ONCE = 1_000
LEAST_SHARE = 1e-3  # of a column's own spread, beyond what the columns before it tell
MANY = 2  # posts for one that somebody met; of fewer the rows are not worth copying
LEAST_SPREAD = 0.02  # of the mean: what a direction's share of taste begins from at least


def describe(texts: Texts, n_users: int) -> Floats:
    """Lay out what tastes are about: topics, text factors, then text clusters, float64 (posts, columns).

    Clusters come last: most of what they tell the factors before them have told, in fewer columns.

    Args:
        texts: What the posts are about.
        n_users: Users with a history; few of them do not tell tastes for many factors from chance.
    """
    n_factors = max(LEAST_FACTORS, n_users // USERS_A_FACTOR)
    space = texts.space[:, :n_factors].astype(np.float64)
    space = np.nan_to_num(space - np.nanmean(space, axis=0)) if space.size else np.zeros((len(space), 0))
    scale = np.sqrt((space**2).mean()) if space.size else 1.0
    topics = np.eye(int(texts.topic.max(initial=0)) + 1)[texts.topic]
    clusters = np.eye(len(texts.topic_of_cluster))[texts.cluster]
    return np.hstack([topics, space / max(float(scale), 1e-12), clusters])


@dataclass(frozen=True, slots=True)
class TasteFactors:
    """Users and posts on the directions in which shown posts differ; a taste for a post is their product.

    Attributes:
        user: float64 (users, k). Posterior means in like rate; 0 for a user without an impression.
        post: float64 (posts, k ≤ N_DIRECTIONS). Uncorrelated and of variance 1 over the information there is.
        variance: float64 (k,). Of the users' tastes along the directions, descending.
        noise: Variance of the impressions' gradients in units of their hessians: 1 where the biases' link
            holds, less where likes are surer than it allows.
    """

    user: Floats
    post: Floats
    variance: Floats
    noise: float


def fit_taste_factors(shown: Impressions, biases: Biases, about: Floats) -> TasteFactors:
    """Learn the tastes' covariance, then each user's posterior mean under it.

    A user's likelihood enters by its second-order expansion. For the covariance, every user is taken to
    have seen the same mixture of posts, more or less of it: then users share one eigenbasis and an
    iteration costs no inverse. The posterior means use what each user really saw.

    Args:
        shown: The impressions.
        biases: What they leave to explain.
        about: float64 (posts, columns), as `describe` lays it out: what tells more comes first. Columns may
            be redundant.

    Source: Laird and Ware, Random-effects models for longitudinal data, Biometrics 38 (1982), 963-974.
    """
    information, noise = _measure(shown, biases)
    post = _whiten(about, information)
    covariance = _covariance(shown, biases, post, noise)
    variance, directions = np.linalg.eigh(covariance)
    order = np.argsort(-variance, kind="stable")[:N_DIRECTIONS]
    variance, post = variance[order], np.ascontiguousarray(post @ directions[:, order])
    return TasteFactors(_posterior_means(shown, biases, post, variance / noise), post, variance, noise)


def refit_users(shown: Impressions, biases: Biases, tastes: TasteFactors) -> TasteFactors:
    """Return the posterior means from biases that were fitted beside these tastes: the next Newton step.

    What tastes are about and how much they differ stands; learned again beside these tastes, both ranked
    posts worse in made worlds.
    """
    user = _posterior_means(shown, biases, tastes.post, tastes.variance / tastes.noise)
    return TasteFactors(user, tastes.post, tastes.variance, tastes.noise)


def _posterior_means(shown: Impressions, biases: Biases, post: Floats, variance: Floats) -> Floats:
    user = np.zeros((shown.n_users, len(variance)))
    active, prior = np.flatnonzero(shown.sizes), np.diag(1 / variance)

    def solve(low: int) -> None:
        some = active[low : low + USERS_AT_ONCE]
        left = derive(shown, biases, some)
        precision, gradient = accumulate(left.start, left.post, left.hessian, left.gradient, post)
        user[some] = np.linalg.solve(precision + prior, gradient[:, :, None])[:, :, 0]

    for _ in in_threads(solve, range(0, len(active), USERS_AT_ONCE)):
        pass
    return user


def _measure(shown: Impressions, biases: Biases) -> tuple[Floats, float]:
    """Return the information about each post, float64 (posts,), and the noise, as `TasteFactors` has it."""

    def work(block: Block) -> tuple[Floats, float, float]:
        left = derive(shown, biases, np.arange(*block))
        squared = float(np.einsum("i,i", left.gradient, left.gradient, dtype=np.float64))
        information = sum_by_post(left.post, left.hessian, shown.n_posts)
        return information, squared, float(left.hessian.sum(dtype=np.float64))

    information, squared, whole = np.zeros(shown.n_posts), 0.0, 0.0
    for of_posts, of_gradients, of_hessians in in_threads(work, split_users(shown.start, ROWS_A_SUM)):
        information += of_posts
        squared += of_gradients
        whole += of_hessians
    return information, squared / max(whole, 1e-12) or 1.0


def _whiten(about: Floats, hessian: Floats) -> Floats:
    """Return the posts in coordinates of mean 0 and covariance 1 over the information there is.

    A coordinate is what its column tells beyond the columns before it. What a user thinks of posts in
    general is the user's bias, and no taste.
    """
    share = hessian / max(float(hessian.sum()), 1e-12)
    about = about - share @ about
    met = np.flatnonzero(share)  # no other post weighs anything
    some = slice(None) if MANY * len(met) > len(share) else met
    weighted = about[some] * np.sqrt(share[some])[:, None]
    beyond = np.zeros(weighted.shape[1])
    diagonal = np.abs(np.diag(_triangle(weighted)))
    beyond[: len(diagonal)] = diagonal
    own = np.sqrt((weighted**2).sum(axis=0))
    kept = np.flatnonzero((beyond > LEAST_SHARE * own) & (own > LEAST_SHARE * own.max(initial=1e-12)))
    return np.asarray(np.linalg.solve(_triangle(weighted[:, kept]).T, about[:, kept].T).T, np.float64)


def _triangle(columns: Floats) -> Floats:
    # Of Q, which is as large as the columns and takes as long again, nothing is asked.
    return np.asarray(np.linalg.qr(columns, mode="r"), np.float64)


def _covariance(shown: Impressions, biases: Biases, post: Floats, noise: float) -> Floats:
    """Return the covariance of users' tastes by expectation-maximisation, float64 (k, k)."""
    size, k = shown.sizes, post.shape[1]
    busiest = np.sort(np.argsort(-size, kind="stable")[: min(ENOUGH_USERS, int((size > 0).sum()))])
    gradient, hessian = np.empty((len(busiest), k)), np.empty((len(busiest), 1))

    def work(low: int, high: int) -> None:
        left = derive(shown, biases, busiest[low:high])
        gradient[low:high] = sum_values(left.start, left.post, left.gradient, of_posts)[:, :k] / noise
        hessian[low:high] = sum_values(left.start, left.post, left.hessian, everywhere)[:, :1] / noise

    of_posts, everywhere = lay_panels(post), lay_panels(np.ones((shown.n_posts, 1)))
    for_blocks(work, starts(size[busiest]))
    covariance, mean = np.diag(_initial_variances(gradient, hessian)), np.empty_like(gradient)
    for _ in range(N_EM_ITERATIONS if len(busiest) else 0):
        variance, axes = np.linalg.eigh(covariance)
        variance = np.maximum(variance, LEAST_VARIANCE)
        np.matmul(gradient, axes, out=mean)
        n_effective = np.sqrt(PRIOR_STRENGTH * k + _shrink(mean, hessian[:, 0], variance))
        covariance = axes @ (mean.T @ mean / np.outer(n_effective, n_effective)) @ axes.T
    return np.asarray(covariance, np.float64) + LEAST_VARIANCE * np.eye(k)


@numba.njit(cache=True, nogil=True)
def _shrink(mean: Any, hessian: Any, variance: Any) -> Any:
    """Shrink each user's mean along each axis, in place; return how many users' worth each axis holds."""
    inverse, n_effective = 1 / variance, np.zeros(len(variance))
    for u in range(len(mean)):
        for axis in range(len(variance)):
            spread = 1 / (hessian[u] + inverse[axis])
            mean[u, axis] *= spread
            n_effective[axis] += 1 - spread / variance[axis]
    return n_effective


def _initial_variances(gradient: Floats, hessian: Floats) -> Floats:
    """Return the variances that the iterations begin from, float64 (k,).

    Half-way, in logarithms, between the same for all directions and what the gradients tell beyond their own
    noise, falling from first to last: iterations are few, so where they begin decides how much is left of
    directions that hold little but chance.
    """
    if not gradient.size:
        return np.full(gradient.shape[1], 1e-6)
    excess = (gradient**2).sum(axis=0) - hessian.sum()
    signal = isotonic_regression(excess / max(float((hessian**2).sum()), 1e-12), increasing=False)
    mean = max(float(signal.mean()), 1e-6)
    return np.asarray(np.sqrt(np.maximum(signal, LEAST_SPREAD * mean) * mean), np.float64)
