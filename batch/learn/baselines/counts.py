"""Baselines that count: random, popular, popular of late and of a week, popular by segment, user × topic."""

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import Floats, Ints
from batch.features.profile import segments
from batch.features.tally import shrink_lift
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.recommender import PostScores, break_ties
from batch.learn.recency import learn_half_life, score_recent

SEGMENT_BY = ("gender", "exp_group")
WEEK_S = 7 * DAY_S


def random(interactions: Interactions) -> PostScores:
    """Rank at random, the same for the same seed."""
    n_posts, seed = len(interactions.facts.posts), interactions.seed
    return lambda users: np.stack(
        [np.random.default_rng([seed, user]).random(n_posts) for user in users.tolist()]
    )


def popular(interactions: Interactions) -> PostScores:
    """Rank by like rate, the same for everybody."""
    rates = interactions.rates()
    return lambda users: np.tile(rates, (len(users), 1))


def popular_recent(interactions: Interactions) -> PostScores:
    """Rank by how much posts were liked lately, the same for everybody; the half-life is learnt."""
    facts = interactions.facts
    scores = score_recent(facts, facts.as_of_s, learn_half_life(facts, facts.as_of_s))
    return lambda users: np.tile(scores, (len(users), 1))


def popular_7_days(interactions: Interactions) -> PostScores:
    """Rank by how many users liked a post in the week up to the last event; ties by all time's like rate.

    Source: `PopularModel(period=timedelta(days=7))` of RecTools.
    """
    facts = interactions.facts
    week = facts.views & (facts.target == 1) & (facts.time >= facts.as_of_s - WEEK_S)
    n = len(facts.posts)
    pairs = np.unique(facts.user[week].astype(np.int64) * n + facts.post[week])
    n_users = np.bincount(pairs % n, minlength=n).astype(np.float64)
    scores = break_ties(n_users[None], interactions.rates())[0]
    return lambda users: np.tile(scores, (len(users), 1))


def popular_by_segment(interactions: Interactions) -> PostScores:
    """Rank by like rate in the user's segment, shrunk to everybody's; by popularity where there is none."""
    names, segment = segments(interactions.facts.users, SEGMENT_BY)
    rates, shape = interactions.rates(), (len(names) + 1, len(interactions.facts.posts))
    shown = interactions.facts.views
    cell = (segment[interactions.facts.user[shown]] % shape[0]).astype(np.int64) * shape[
        1
    ] + interactions.facts.post[shown]
    views = _table(cell, np.ones(len(cell)), shape)
    likes = _table(cell, interactions.facts.target[shown].astype(np.float64), shape)
    expected = views * rates
    level = likes.sum(axis=1) / np.maximum(expected.sum(axis=1), 1e-12)
    of_segment = rates * shrink_lift(likes, expected * level[:, None])
    of_segment[-1] = rates  # segment -1: none
    return lambda users: np.asarray(of_segment[segment[users]], np.float64)


def user_topic(interactions: Interactions) -> PostScores:
    """Rank by the post's like rate times how much more than expected the user liked its topic."""
    topic, rates = interactions.statics.texts.topic, interactions.rates()
    shape = (len(interactions.facts.users), int(topic.max(initial=0)) + 1)
    shown = interactions.facts.views
    user, post = interactions.facts.user[shown].astype(np.int64), interactions.facts.post[shown]
    cell = user * shape[1] + topic[post]
    likes = _table(cell, interactions.facts.target[shown].astype(np.float64), shape)
    expected = _table(cell, rates[post], shape)
    level = (likes.sum(axis=1) + 1) / (expected.sum(axis=1) + 1)
    expected *= level[:, None]
    lift = shrink_lift(likes, expected)
    return lambda users: np.asarray(lift[users][:, topic] * rates, np.float64)


def _table(cell: Ints, weight: Floats, shape: tuple[int, int]) -> Floats:
    return np.asarray(np.bincount(cell, weight, shape[0] * shape[1]).reshape(shape), np.float64)
