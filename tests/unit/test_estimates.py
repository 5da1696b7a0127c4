"""Estimates: they find what a made world holds, look at nothing later, and turn off what does not pay."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from batch.data.facts import Facts
from batch.features import asof
from batch.features.asof import Statics
from batch.learn import trees
from batch.learn.choose_trees import choose_trees
from batch.learn.factors import estimate, stacking
from batch.learn.factors.biases import derive, fit_biases
from batch.learn.factors.components import fit_components
from batch.learn.factors.estimate import Estimates
from batch.learn.factors.impressions import EARLY, LATE, Impressions, gather
from batch.learn.factors.latent_classes import fit_latent_classes, membership
from batch.learn.factors.link import steepness
from batch.learn.factors.names import NAMES
from batch.learn.factors.taste_factors import _whiten, describe, fit_taste_factors, refit_users
from tests.facts import BEGIN_S, DAY_S, TOPICS, facts_of

Floats = npt.NDArray[np.float64]


def by_topic(
    seed: int = 3, n_users: int = 60, n_posts: int = 45, days: int = 20, strength: float = 1.0
) -> Facts:
    """Make a world whose user rows like one topic of three, by row number, and another's posts seldom."""
    rng = np.random.default_rng(seed)
    events = []
    for day in range(days):
        for user in range(n_users):
            for place, post in enumerate(rng.choice(n_posts, 12, replace=False).tolist()):
                mine = user % len(TOPICS) == post % len(TOPICS)
                liked = int(rng.random() < 0.2 + strength * (0.3 if mine else -0.1))
                events.append((user, post, BEGIN_S + day * DAY_S + 9 * 3600 + place * 60, 0, liked))
    return facts_of(events, n_users, n_posts)


def fit_estimates(facts: Facts, as_of_s: int | None = None) -> tuple[Statics, Estimates]:
    statics = asof.describe(facts, 1)
    return statics, estimate.fit(facts, statics.texts, facts.as_of_s if as_of_s is None else as_of_s, 1)


def test_a_user_is_given_the_topic_they_like() -> None:
    facts = by_topic()

    _, estimates = fit_estimates(facts)

    best = (estimates.now.x @ estimates.now.y.T).argmax(axis=1)
    assert (best % len(TOPICS) == np.arange(len(best)) % len(TOPICS)).mean() > 0.95


def test_later_facts_change_no_estimate() -> None:
    facts = by_topic(n_users=24, days=12)
    as_of_s = BEGIN_S + 9 * DAY_S

    _, with_later = fit_estimates(facts, as_of_s)
    statics = asof.describe(facts, 1)
    without = estimate.fit(facts.until(as_of_s), statics.texts, as_of_s, 1)

    assert with_later.weights == without.weights
    for one, other in zip((*with_later.past, with_later.now), (*without.past, without.now), strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.y, other.y)


def test_the_likes_of_a_period_do_not_enter_the_parts_before_it() -> None:
    facts = by_topic(n_users=24, days=12)
    as_of_s = BEGIN_S + 9 * DAY_S
    statics = asof.describe(facts, 1)
    later = facts.time > as_of_s
    turned = replace(facts, target=np.where(later, 1 - facts.target, facts.target).astype(np.int8))

    one, other = (fit_components(some, statics.texts, as_of_s, 1, None) for some in (facts, turned))

    for part, same in zip((*one.x, *one.y), (*other.x, *other.y), strict=True):
        np.testing.assert_array_equal(part, same)


def test_shuffled_likes_leave_scores_at_chance() -> None:
    facts = by_topic()
    rng = np.random.default_rng(5)
    past = facts.time <= BEGIN_S + 15 * DAY_S
    target = facts.target.copy()
    target[past] = rng.permutation(target[past])

    _, estimates = fit_estimates(replace(facts, target=target), BEGIN_S + 15 * DAY_S)

    rows = np.flatnonzero(~past)
    scores = estimates.now.scores(facts.user[rows], facts.post[rows])
    liked = facts.target[rows] == 1
    order = np.argsort(np.argsort(scores)) / len(scores)
    assert abs(order[liked].mean() - order[~liked].mean()) < 0.05


def test_without_tastes_the_tastes_are_small() -> None:
    tastes = {}
    for strength in (0.0, 1.0):
        facts = by_topic(strength=strength)
        shown = gather(facts)
        about = describe(asof.describe(facts, 1).texts, 0)
        tastes[strength] = fit_taste_factors(shown, fit_biases(shown, with_place=True), about).user.std()

    assert tastes[0.0] < 0.1 * tastes[1.0]


def test_a_user_without_a_view_has_no_taste() -> None:
    facts = by_topic(n_users=12, days=8)
    shown = gather(facts.select(facts.user != 5))

    found = fit_taste_factors(
        shown, fit_biases(shown, with_place=True), describe(asof.describe(facts, 1).texts, 0)
    )

    assert not found.user[5].any()
    assert found.user[4].any()


def with_tastes(
    n_users: int = 400, n_posts: int = 120, views: int = 200
) -> tuple[Impressions, Floats, Floats]:
    """Make impressions liked by two of thirty columns; return them, the columns and everybody's tastes."""
    rng = np.random.default_rng(5)
    about = rng.standard_normal((n_posts, 30))
    taste = 0.1 * rng.standard_normal((n_users, 2)) @ about[:, :2].T
    user, post = np.repeat(np.arange(n_users), views), rng.integers(0, n_posts, n_users * views)
    liked = rng.random(len(post)) < np.clip(0.15 + taste[user, post], 0, 1)
    events = [
        (int(u), int(p), BEGIN_S + at, 0, int(y))
        for at, (u, p, y) in enumerate(zip(user, post, liked, strict=True))
    ]
    return gather(facts_of(events, n_users, n_posts)), about, taste - taste.mean(axis=1, keepdims=True)


def test_tastes_find_the_columns_that_are_liked_and_the_next_step_comes_closer() -> None:
    shown, about, truth = with_tastes()

    first = fit_taste_factors(shown, fit_biases(shown, with_place=False), about)
    beside = fit_biases(shown, with_place=False, tastes=(first.user, first.post))
    next_one = refit_users(shown, beside, first)

    error = [((one.user @ one.post.T - truth) ** 2).mean() for one in (first, next_one)]
    assert error[1] < error[0] < 0.25 * (truth**2).mean()
    assert first.variance[:2].min() > 10 * first.variance[2]


def test_biases_beside_no_taste_are_biases() -> None:
    shown = gather(by_topic(n_users=12, days=6))
    none = np.zeros((shown.n_users, 2)), np.ones((shown.n_posts, 2))

    alone, beside = fit_biases(shown, with_place=True), fit_biases(shown, with_place=True, tastes=none)

    np.testing.assert_array_equal(alone.post, beside.post)
    everybody = np.arange(shown.n_users)
    left, same = (derive(shown, one, everybody) for one in (alone, beside))
    np.testing.assert_array_equal(left.gradient, same.gradient)


def test_what_a_column_tells_is_what_those_before_it_do_not() -> None:
    rng = np.random.default_rng(4)
    first, own = rng.standard_normal((2, 50, 1))
    information = rng.uniform(1, 2, 50)

    found = _whiten(np.hstack([first, first, first + own]), information)

    covariance = found.T @ (found * information[:, None]) / information.sum()
    np.testing.assert_allclose(covariance, np.eye(2), atol=1e-9)
    assert abs(np.corrcoef(found[:, 0], first[:, 0])[0, 1]) > 0.999


def test_without_information_posts_do_not_differ() -> None:
    assert _whiten(np.eye(4), np.zeros(4)).shape == (4, 0)


def test_impressions_are_grouped_by_user_and_session() -> None:
    events = [(0, post, BEGIN_S + 60 * post, 0, 0) for post in range(9)]
    events += [(1, 3, BEGIN_S + 5, 0, 1), (0, 2, BEGIN_S + 7200, 0, 1), (0, 2, BEGIN_S + 7220, 1, 0)]

    shown = gather(facts_of(events, 3, 9))

    assert shown.start.tolist() == [0, 10, 11, 11]
    assert shown.place[:10].tolist() == [*range(9), 0]
    assert shown.third[:10].tolist() == [EARLY] * 3 + [-1] * 3 + [LATE] * 3 + [-1]
    assert shown.likes.tolist() == [1.0, 1.0, 0.0]
    assert shown.of_users(np.array([1])).post.tolist() == [3]


def test_biases_find_a_post_that_is_liked_more() -> None:
    rng = np.random.default_rng(2)
    n = 20_000
    post = rng.integers(0, 10, n).astype(np.int32)
    liked = (rng.random(n) < np.where(post == 7, 0.3, 0.1)).astype(np.int8)
    zero = np.zeros(n, np.int8)
    shown = Impressions(np.arange(0, n + 1, 100), 10, post, liked, zero, zero, zero, zero)

    biases = fit_biases(shown, with_place=False)

    others = np.delete(biases.post, 7)
    assert biases.post.argmax() == 7
    assert biases.post[7] - others.mean() == pytest.approx(0.2, abs=0.05)


def test_rare_likes_multiply_and_frequent_ones_add() -> None:
    steep = steepness(np.array([0.002, 0.3]))

    assert steep[0] == pytest.approx(0.1, abs=0.01)
    assert steep[1] == pytest.approx(1.0, abs=0.01)


def test_types_are_found_from_the_order_of_what_was_shown() -> None:
    rng = np.random.default_rng(4)
    events = []
    for user in range(40):
        for day in range(8):
            posts = rng.choice(30, 12, replace=False)
            posts = posts[np.argsort((posts + user) % 2, kind="stable")]  # even users: even posts first
            at_s = BEGIN_S + day * DAY_S
            events += [(user, int(post), at_s + 60 * place, 0, 0) for place, post in enumerate(posts)]
    shown = gather(facts_of(events, 40, 30))

    types = fit_latent_classes(shown, np.zeros(30, np.int32), seed=1, warm=None)

    first = membership(shown, types) @ types.first.T
    same = (np.arange(40)[:, None] + np.arange(30)) % 2 == 0
    assert first[same].mean() > first[~same].mean() + 0.5


def test_a_part_that_does_not_pay_gets_no_weight() -> None:
    square = 400 * np.eye(len(NAMES))
    product = np.array([400.0, 380.0, -20.0, -50.0, *[400.0] * (len(NAMES) - 4)])

    weights = dict(zip(NAMES, stacking.fit_weights(stacking.NormalEquations(square, product)), strict=True))

    assert weights["types"] == weights["taste_placed"] == weights["liked_together"] == 0
    assert weights["post"] == pytest.approx(1, abs=0.05)
    assert weights["taste"] == pytest.approx(0.95, abs=0.05)


def test_trees_start_from_the_estimates_and_keep_only_what_paid() -> None:
    facts = by_topic()
    statics, estimates = fit_estimates(facts)
    shown = trees.gather_rows(facts, statics, estimates, 3600, 100_000, np.random.default_rng(1))
    parameters = trees.parameters_for(len(shown.y), 7, 1, 1)

    found = choose_trees(facts, statics, estimates, shown, parameters, 10, 3600)
    booster = trees.fit_trees(shown, estimates, statics.features, parameters, found.n_trees, found.share)

    said = np.asarray(booster.predict(shown.x, raw_score=True)) - estimates.now.base
    base = estimates.before(shown.event)
    assert 0 <= found.share <= 1
    assert np.abs(said).mean() < 0.5 * np.abs(base - base.mean()).mean()


def test_trees_are_kept_for_what_only_they_see_and_none_for_chance() -> None:
    facts = by_topic(strength=0.0)
    match = (facts.user + facts.post) % 2
    odds = np.where(match == 1, 0.35, 0.05)
    facts.target[:] = np.random.default_rng(3).random(len(odds)) < odds
    statics, estimates = fit_estimates(facts)
    shown = trees.gather_rows(facts, statics, estimates, 3600, 100_000, np.random.default_rng(1))
    shown.x[:, 0] = match[shown.event]
    blind = replace(shown, x=np.random.default_rng(5).normal(size=shown.x.shape).astype(np.float32))
    parameters = trees.parameters_for(len(shown.y), 7, 1, 1)

    seeing, chance = (
        choose_trees(facts, statics, estimates, some, parameters, 64, 3600) for some in (shown, blind)
    )

    assert seeing.share > 0.5
    assert seeing.n_trees in (8, 16, 32, 64)
    assert (chance.share, chance.n_trees) == (0.0, 1)


def test_rows_that_train_trees_see_nothing_of_their_period() -> None:
    facts = by_topic(n_users=24, days=12)
    statics, estimates = fit_estimates(facts)
    last = facts.time > estimates.past[-1].as_of_s
    turned = replace(facts, target=np.where(last, 1 - facts.target, facts.target).astype(np.int8))

    shown, other = (
        trees.gather_rows(one, statics, estimates, 3600, 10**6, np.random.default_rng(1))
        for one in (facts, turned)
    )

    np.testing.assert_array_equal(shown.x, other.x)


def test_an_event_older_than_the_first_estimate_is_refused() -> None:
    facts = by_topic(n_users=6, days=8)
    _, estimates = fit_estimates(facts)

    with pytest.raises(ValueError, match="older than the first estimate"):
        estimates.before(np.array([0]))


def test_without_events_nothing_can_be_estimated() -> None:
    facts = by_topic(n_users=6, days=8)
    statics = asof.describe(facts, 1)

    with pytest.raises(ValueError, match="no event up to"):
        estimate.fit(facts, statics.texts, BEGIN_S - 1, 1)
