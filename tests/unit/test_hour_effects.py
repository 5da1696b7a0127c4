"""Effects of hours: found where they are, none by chance, and the same from trees, engine and estimate."""

import numpy as np
import pytest

from batch.arrays import Floats
from batch.data.facts import Facts
from batch.data.seen import SeenPosts
from batch.evaluate.own import OwnModel
from batch.features import asof
from batch.learn import hour_trees
from batch.learn.factors import estimate
from batch.learn.factors.hour_effects import N_HOURS, HourEffects, fit_hour_effects
from batch.learn.factors.names import HOURS
from batch.learn.hour_trees import add_hours
from batch.learn.recipe import Recipe
from batch.score.engine import score
from batch.score.tables.trees import parse
from tests.facts import BEGIN_S, DAY_S, TOPICS, facts_of

N_POSTS = 45
WAVE = np.cos(2 * np.pi * (np.arange(N_HOURS) - 8 * np.arange(len(TOPICS))[:, None]) / N_HOURS)
RECIPE = Recipe(train_days=60, train_rows=10**6, width_s=3600, n_trees=8, n_leaves=7, seed=1, threads=1)


def by_hour(effect: Floats, n_users: int = 60, days: int = 24, turns: int = 24) -> Facts:
    """Make a feed whose posts of a topic, float64 (topics, 24), gain by the hour; one session a day at any.

    From the day that it turns they lose what they gained.
    """
    rng, events = np.random.default_rng(1), []
    for day in range(days):
        for user in range(n_users):
            begin_s = BEGIN_S + day * DAY_S + int(rng.integers(N_HOURS)) * 3600
            for place, post in enumerate(rng.choice(N_POSTS, 12, replace=False).tolist()):
                at_s = begin_s + place * 60
                gain = effect[post % len(TOPICS), at_s // 3600 % N_HOURS]
                chance = 0.25 + (gain if day < turns else -gain)
                events.append((user, post, at_s, 0, int(rng.random() < chance)))
    return facts_of(events, n_users, N_POSTS)


def fit_effects(facts: Facts, width_s: int = 3600) -> HourEffects | None:
    """Fit beside an estimate that says of everybody and everything that a quarter is liked."""
    x, y = np.ones((len(facts.users), 1)), np.zeros((len(facts.posts), 1))
    level = np.full(len(facts.users), np.log(0.25 / 0.75))
    return fit_hour_effects(facts, x, y, level, asof.describe(facts, 1).texts, width_s)


def test_what_hours_do_to_topics_is_found_and_a_days_mean_is_zero() -> None:
    facts = by_hour(0.15 * WAVE)

    found = fit_effects(facts)

    assert found is not None
    assert found.value.shape == (3 if found.feature == "topic" else found.group.max() + 1, N_HOURS)
    of_post = found.value[found.group]
    np.testing.assert_allclose(of_post.sum(axis=1), 0, atol=1e-9)
    chance = 0.25 + 0.15 * WAVE[np.arange(N_POSTS) % len(TOPICS)]
    true = np.log(chance / (1 - chance))
    true -= true.mean(axis=1, keepdims=True)
    assert np.corrcoef(of_post.ravel(), true.ravel())[0, 1] > 0.9
    assert 0.6 < of_post.std() / true.std() < 1.1


def test_an_hour_that_nobody_came_at_is_told_by_those_around_it() -> None:
    facts = by_hour(0.15 * WAVE)

    found = fit_effects(facts.select(facts.time // 3600 % N_HOURS != 8))

    assert found is not None
    assert found.value[found.group[1], 8] > 0.4


def test_where_hours_do_nothing_there_are_no_effects() -> None:
    assert fit_effects(by_hour(0 * WAVE)) is None


def test_buckets_of_hours_have_their_own_effects_and_those_of_a_day_none() -> None:
    facts = by_hour(0.15 * WAVE)

    four = fit_effects(facts, 4 * 3600)

    assert four is not None
    at_s = np.array([BEGIN_S + 8 * 3600, BEGIN_S + 11 * 3600 + 59 * 60])
    early, late = four.scores(np.array([1, 1]), at_s, "").tolist()  # of the topic that has its best hour at 8
    assert early == late > 0.4
    assert fit_effects(facts, DAY_S) is None


def test_the_model_says_what_the_estimate_says_and_the_engine_ranks_by_it() -> None:
    facts = by_hour(0.15 * WAVE)
    own = OwnModel.train(facts, asof.describe(facts, 1), facts.as_of_s, RECIPE)
    now, booster = own.training.estimates.now, own.booster()
    assert own.training.model.metrics[f"weight_{HOURS}"] == 1
    assert now.hours is not None

    event = np.arange(0, len(facts.time), 7)
    learnt = booster.num_trees() - len(now.hours.value)
    trees, both = (
        np.asarray(booster.predict(own.snapshot(event), raw_score=True, num_iteration=n))
        for n in (learnt, -1)
    )
    effects = now.hours.scores(facts.post[event], facts.time[event], "")
    np.testing.assert_allclose(both - trees, effects, atol=1e-12)
    users, nothing = np.arange(9), SeenPosts.none(9)
    for hour in (0, 8):
        at_s = facts.as_of_s - facts.as_of_s % DAY_S + DAY_S + hour * 3600
        ours = own.recommender(at_s)
        posts = np.tile(np.arange(N_POSTS), len(users))
        pairs = ours.pairs(np.repeat(users, N_POSTS), posts, np.full(len(posts), at_s)).reshape(9, -1)
        dense = ours.model.factors.x[users], ours.model.factors.y
        (block,) = score(ours.model.text, ours.sides.part(users), nothing, 10, dense=dense)
        best = np.argsort(-pairs, axis=1, kind="stable")[:, :10]
        np.testing.assert_array_equal(block.posts[:, 0], best)


def test_trees_of_hours_keep_to_one_word_and_to_the_largest_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hour_trees, "MOST_TREES", 2)
    facts = by_hour(0 * WAVE, n_users=12, days=8)
    training = OwnModel.train(facts, asof.describe(facts, 1), facts.as_of_s, RECIPE).training
    topic = (np.arange(N_POSTS) % 3).astype(np.int32)
    hours = HourEffects("topic", topic, np.array([[0.3], [0.0], [0.1]]) * WAVE)

    text = add_hours(training.model.text, training.model.features, hours)

    before, after = parse(training.model.text).trees, parse(text).trees
    assert [len(tree.value) for tree in after[len(before) :]] == [25, 25]
    assert add_hours(training.model.text, training.model.features, None) == training.model.text


def test_effects_that_turn_are_refused_and_rows_start_without_them() -> None:
    facts = by_hour(0.15 * WAVE, turns=19)

    found = estimate.fit(facts, asof.describe(facts, 1).texts, facts.as_of_s, 1)

    assert found.weights[HOURS] == 0
    assert found.now.hours is None
    assert all(one.hours is None for one in found.past)
