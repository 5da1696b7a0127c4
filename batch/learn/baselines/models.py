"""Baselines that learn: ALS and BPR by implicit, EASE alone and with recency, affinity of embeddings."""

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from batch.arrays import Floats, Ints
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.knobs import Knob
from batch.learn.baselines.recommender import PostScores, break_ties
from batch.learn.factors.collaborative import RIDGE, regress
from batch.learn.recency import learn_half_life, log_recent

FACTORS = Knob("factors", 64, 8, 256)
ALS_ROUNDS, ALPHA = Knob("rounds", 15, 4, 40), Knob("alpha", 1.0, 0.1, 100.0, whole=False)
ALS_L2 = Knob("regularization", 10.0, 0.01, 1_000.0, whole=False)
ALS = FACTORS, ALS_ROUNDS, ALPHA, ALS_L2
BPR_STEPS, BPR_ROUNDS = 40_000_000, (40, 400)  # passes over the likes: fewest, most
BPR_RATE = Knob("learning_rate", 0.01, 0.001, 0.2, whole=False)  # the usual ones are implicit's own
BPR_L2 = Knob("regularization", 0.01, 0.0001, 1.0, whole=False)
BPR = FACTORS, BPR_RATE, BPR_L2
EASE_RIDGE = Knob("ridge", RIDGE, 10.0, 10_000.0, whole=False)
EASE_MOST_POSTS = 20_000  # whose pairs take 1.6 GB, and inverting them some minutes
EASE_SPREAD_OF = 250  # users tell the spread of its scores
FEW_LIKES = 5.0  # a mean over likes is pulled to nothing as if by so many


def als(interactions: Interactions) -> PostScores:
    """Factorise likes by weighted least squares.

    Source: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008.
    """
    return _rank_by(interactions, *als_factors(interactions))


def als_factors(interactions: Interactions) -> tuple[Floats, Floats]:
    """Return users' and posts' factors by ALS, float64 (users, factors) and (posts, factors)."""
    from implicit.als import AlternatingLeastSquares

    settings = {
        "factors": interactions.number(FACTORS),
        "regularization": interactions.value(ALS_L2),
        "alpha": interactions.value(ALPHA),
        "iterations": interactions.number(ALS_ROUNDS),
    }
    return _factorise(interactions, AlternatingLeastSquares, settings, interactions.threads)


def bpr(interactions: Interactions) -> PostScores:
    """Factorise so that a liked post beats another one; on one thread, since several write over each other.

    Source: Rendle et al., BPR: Bayesian personalized ranking from implicit feedback, UAI 2009.
    """
    from implicit.bpr import BayesianPersonalizedRanking

    n_likes = max(int((interactions.facts.target == 1).sum()), 1)
    rounds = int(np.clip(BPR_STEPS // n_likes, *BPR_ROUNDS))
    settings = {
        "factors": interactions.number(FACTORS),
        "learning_rate": interactions.value(BPR_RATE),
        "regularization": interactions.value(BPR_L2),
        "iterations": rounds,
    }
    return _rank_by(interactions, *_factorise(interactions, BayesianPersonalizedRanking, settings, threads=1))


def _factorise(
    interactions: Interactions, model: Any, settings: dict[str, Any], threads: int
) -> tuple[Floats, Floats]:
    with threadpool_limits(1, "blas"):  # implicit's own threads and BLAS's get in each other's way
        fitted = model(**settings, random_state=interactions.seed, num_threads=threads)
        fitted.fit(interactions.likes(), show_progress=False)
    return np.asarray(fitted.user_factors, np.float64), np.asarray(fitted.item_factors, np.float64)


def _rank_by(interactions: Interactions, x: Floats, y: Floats) -> PostScores:
    known, popular = np.diff(interactions.likes().indptr) > 0, interactions.rates()

    def scores(users: Ints) -> Floats:
        return break_ties(np.where(known[users, None], x[users] @ y.T, 0.0), popular)

    return scores


def ease(interactions: Interactions) -> PostScores:
    """Regress every post's likes on those of all other posts, in closed form.

    Source: Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019.
    """
    scores, popular = _fit_ease(interactions), interactions.rates()
    return lambda users: break_ties(scores(users), popular)


def ease_recent(interactions: Interactions) -> PostScores:
    """Add to EASE, in equal spread, the logarithm of how much posts were liked lately.

    A weight learnt on the last weeks before a cut was no better than equal spread, and takes a second EASE.
    """
    scores, facts = _fit_ease(interactions), interactions.facts
    likers = np.unique(facts.user[facts.views & (facts.target == 1)])
    some = likers[:: max(1, len(likers) // EASE_SPREAD_OF)]
    spread = max(float(scores(some).std()), 1e-12) if len(some) else 1.0
    recent = log_recent(facts, facts.as_of_s, learn_half_life(facts, facts.as_of_s))
    recent = recent / max(float(recent.std()), 1e-12)
    return lambda users: np.asarray(scores(users) / spread + recent, np.float64)


def _fit_ease(interactions: Interactions) -> PostScores:
    likes = interactions.likes()
    weights = regress(likes, interactions.value(EASE_RIDGE))
    return lambda users: np.asarray(likes[users] @ weights, np.float64)


def affinity(interactions: Interactions) -> PostScores:
    """Score a post by popularity and, on a scale of its own, by how near its text is to what the user liked.

    A user's direction is the mean of their likes less the mean of what they were shown.
    """
    space = np.nan_to_num(interactions.statics.texts.space.astype(np.float64))
    space = space - space.mean(axis=0)
    unit = space / np.maximum(np.linalg.norm(space, axis=1, keepdims=True), 1e-12)
    likes, views, rates = interactions.likes(), interactions.views(), interactions.rates()
    n_likes, n_views = (np.asarray(rows.sum(axis=1)).ravel()[:, None] for rows in (likes, views))
    taste = likes @ unit / (n_likes + FEW_LIKES) - n_likes / (n_likes + FEW_LIKES) * (
        views @ unit / np.maximum(n_views, 1)
    )
    scale = max(float((taste @ unit[:: max(1, len(unit) // 500)].T).std()), 1e-12)
    base = (rates - rates.mean()) / max(float(rates.std()), 1e-12)
    return lambda users: np.asarray(base + taste[users] @ unit.T / scale, np.float64)
