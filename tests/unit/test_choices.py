"""Where users choose: what is liked together is found, and later choices change nothing."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from batch.arrays import Floats
from batch.data.facts import Facts
from batch.data.seen import earliest
from batch.evaluate.cutoffs import compare_unseen, cut_offs
from batch.evaluate.nightly import measure_run
from batch.evaluate.own import OwnModel
from batch.features import asof
from batch.learn.factors import estimate, negative_sampling
from batch.learn.factors.collaborative import (
    find_near,
    fit_implicit_factors,
    fit_next_factors,
    fit_relation_factors,
)
from batch.learn.factors.components import N_UNTAKEN, Components, fit_components
from batch.learn.factors.names import NAMES, OF_CHOICES
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.learn.split import Split
from batch.learn.train import train
from tests.facts import BEGIN_S, DAY_S, facts_of, spell, with_texts

RECIPE = Recipe(train_days=60, train_rows=10**6, width_s=3600, n_trees=10, n_leaves=7, seed=1, threads=1)
N_USERS, N_POSTS, DAYS = 60, 200, 40
AS_OF_S = BEGIN_S + 30 * DAY_S


def even_choose_even(seed: int = 1, strength: float = 0.95) -> Facts:
    """Make a world where even user rows choose even posts and odd ones odd, and like two of three of them.

    Each user takes a post a day, none twice; the lower a post's row, the more choose it.
    """
    rng = np.random.default_rng(seed)
    events = []
    for user in range(N_USERS):
        weight = np.where((np.arange(N_POSTS) + user) % 2 == 0, strength, 1 - strength) / (
            20 + np.arange(N_POSTS)
        )
        for day, post in enumerate(rng.choice(N_POSTS, DAYS, replace=False, p=weight / weight.sum())):
            at_s = BEGIN_S + day * DAY_S + 60 * user
            events.append((user, int(post), at_s, 0, int(rng.random() < 2 / 3)))
    return replace(facts_of(events, N_USERS, N_POSTS), shown="choices")


@pytest.fixture(scope="module")
def facts() -> Facts:
    return even_choose_even()


def model_of(facts: Facts) -> Ranker:
    return train(facts, asof.describe(facts, 1), AS_OF_S, RECIPE).model


def test_factors_tell_who_takes_what() -> None:
    rng = np.random.default_rng(2)
    same = (np.arange(40)[:, None] + np.arange(30)) % 2 == 0
    taken = same & (rng.random(same.shape) < 0.4)

    x, y = fit_implicit_factors(sparse.csr_matrix(taken.astype(float)), 4, seed=1)

    scores = x @ y.T
    assert np.median(scores[same & ~taken]) > 2 * np.quantile(scores[~same], 0.9)


def test_factors_are_those_of_the_normal_equations() -> None:
    taken = (np.random.default_rng(3).random((12, 9)) < 0.3).astype(float)
    taken[4] = 0

    x, y = fit_implicit_factors(sparse.csr_matrix(taken), 3, seed=1)

    assert not x[4].any()
    gram = 0.3 * y.T @ y
    for row in np.flatnonzero(taken.any(axis=1)):
        own = y[taken[row] > 0]
        shrunk = 0.01 * (len(own) + 0.3 * 9) * np.eye(3)
        np.testing.assert_allclose(
            x[row], np.linalg.solve(gram + own.T @ own + shrunk, own.sum(axis=0)), rtol=1e-6
        )


def test_factors_go_on_from_those_of_a_time_before(facts: Facts) -> None:
    statics = asof.describe(facts, 1)
    before = fit_components(facts, statics.texts, AS_OF_S - DAY_S, 1, None).beginning

    warm, cold = (fit_components(facts, statics.texts, AS_OF_S, 1, one) for one in (before, None))

    at = [len(x) and x.shape[1] > 1 for x in warm.x].index(True)
    one, other = (parts.x[at] @ parts.y[at].T for parts in (warm, cold))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95


def test_posts_are_as_near_as_their_takers_are_the_same_and_factors_score_by_all_that_was_taken() -> None:
    rng = np.random.default_rng(3)
    taken = sparse.csr_matrix((rng.random((50, 12)) < 0.3).astype(np.float32))

    near = find_near(taken)
    x, y = fit_relation_factors(taken, find_near, 12, seed=1)

    both = (taken.T @ taken).toarray()
    cosine = both / np.sqrt(np.outer(np.diag(both), np.diag(both)))
    np.testing.assert_allclose(near, cosine - np.eye(12), atol=1e-6)
    scores = taken.toarray() @ near
    np.testing.assert_allclose(x @ y.T, scores / scores.std() * (x @ y.T).std(), rtol=1e-4, atol=1e-4)
    assert np.sqrt(((x @ y.T) ** 2).mean()) == pytest.approx(1)


def test_what_a_user_took_last_tells_what_is_taken_next() -> None:
    first = np.random.default_rng(6).integers(0, 30, 300).tolist()
    events = [
        (user, (first[user] + step) % 30, BEGIN_S + 60 * step, 0, 0)
        for user in range(300)
        for step in range(4)
    ]
    facts = facts_of(events, 300, 30)

    x, y = fit_next_factors(earliest(facts, "views"), 30, 24, seed=1)

    scores = x @ y.T
    scores[facts.user, facts.post] = -np.inf
    assert (scores.argmax(axis=1) == (np.array(first) + 4) % 30).mean() > 0.95


def test_posts_that_nobody_took_are_next_for_nobody() -> None:
    facts = facts_of([(0, 2, BEGIN_S, 0, 0), (0, 4, BEGIN_S + 1, 0, 0)], 2, 6)

    x, y = fit_next_factors(earliest(facts, "views"), 6, 3, seed=1)

    assert (x.shape, y.shape) == ((2, 3), (6, 3))
    assert not x[1].any()
    np.testing.assert_allclose((x @ y.T)[:, [0, 1, 3, 5]], 0, atol=1e-9)


def test_what_is_taken_by_many_lately_is_told_where_likes_are_few() -> None:
    events = [(user, user % 3, BEGIN_S + DAY_S * (user % 3) + user, 0, int(user == 0)) for user in range(60)]
    facts = replace(facts_of(events, 60, 4), shown="choices")

    found = fit_components(facts, asof.describe(facts, 1).texts, facts.as_of_s, 1, None)

    taken = found.y[NAMES.index("taken_by_many_lately")][:, 0]
    assert np.argsort(-taken).tolist() == [2, 1, 0, 3]
    assert found.y[NAMES.index("liked_by_many_lately")][:, 0].argmax() == 0


def weigh(y: dict[str, Floats], worth: Floats, n_users: int, rng: np.random.Generator) -> dict[str, float]:
    """Return the weights of parts by slates whose likes go by the worth of posts, alike for all users."""
    slates = rng.integers(0, len(worth), (n_users, N_UNTAKEN))
    best = np.argmax(worth[slates] + rng.gumbel(size=slates.shape), axis=1)
    events = [
        (user, int(post), BEGIN_S + user, 0, int(place == best[user]))
        for user, slate in enumerate(slates)
        for place, post in enumerate(slate)
    ]
    x = tuple(np.ones((n_users, one.shape[1])) for one in y.values())
    parts = Components(
        BEGIN_S - 1, 0.05, np.full(n_users, 0.05), np.ones(n_users), x, tuple(y.values()), None
    )
    weights = negative_sampling.fit_choice_weights(facts_of(events, n_users, len(worth)), [parts])
    return dict(zip(NAMES, weights.tolist(), strict=True))


def test_parts_that_pay_are_added_in_equal_spread_and_others_are_not() -> None:
    rng, n = np.random.default_rng(7), 400
    y = {name: np.zeros((n, 0)) for name in NAMES}
    y["taken_next"], y["liked_by_many_lately"] = rng.normal(size=(n, 1)), 50 * rng.normal(size=(n, 1))
    y["liked_beside"] = rng.normal(size=(n, 1))
    worth = y["taken_next"][:, 0] + 2 * y["liked_by_many_lately"][:, 0] / 50

    found = weigh(y, worth, 600, rng)

    assert found["liked_beside"] == found["liked_together"] == 0
    assert found["taken_next"] == pytest.approx(50 * found["liked_by_many_lately"], rel=0.1)
    assert found["taken_next"] == pytest.approx(1.3, abs=0.3)


@pytest.mark.parametrize("seed", range(5))
def test_a_part_that_few_posts_have_much_of_keeps_the_weight_that_likes_ask_for(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = {name: np.zeros((2_000, 0)) for name in NAMES}
    y["taken_next"] = rng.lognormal(0, 2, (2_000, 1))
    y["taken_next"] /= y["taken_next"].std()

    found = weigh(y, 0.6 * y["taken_next"][:, 0], 100, rng)

    assert found["taken_next"] == pytest.approx(0.6, abs=0.4)


def test_a_slate_holds_one_new_like_and_posts_that_its_user_never_took(facts: Facts) -> None:
    begin_s = AS_OF_S - 6 * DAY_S

    drawn = negative_sampling.draw_slates(facts, [begin_s, AS_OF_S], np.random.default_rng(1))

    past, liked = facts.until(AS_OF_S), drawn.target == 1
    taken = set(zip(past.user.tolist(), past.post.tolist(), strict=True))
    untaken = set(zip(drawn.user[~liked].tolist(), drawn.post[~liked].tolist(), strict=True))
    assert liked.sum() == ((past.time > begin_s) & (past.target == 1)).sum()
    assert not untaken & taken
    assert (~liked).sum() > 0.5 * N_UNTAKEN * liked.sum()
    assert (np.diff(drawn.time) >= 0).all()
    assert drawn.views.all()


def test_what_is_liked_together_is_worth_something_and_lists_hold_it(facts: Facts) -> None:
    statics = asof.describe(facts, 1)

    found = estimate.fit(facts, statics.texts, AS_OF_S, 1)

    assert found.weights["liked_together"] + found.weights["liked_beside"] > 0
    assert set(found.weights) >= set(OF_CHOICES)
    assert set(found.compared) == {*OF_CHOICES, "liked_near", "stack", "estimate"}
    assert found.now.x.shape[1] <= 74

    assert found.now.x.shape[1] <= 74
    scores = found.now.x @ found.now.y.T
    past = facts.until(AS_OF_S)
    scores[past.user, past.post] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :5]
    assert ((best + np.arange(N_USERS)[:, None]) % 2 == 0).mean() > 0.75


def test_where_all_choose_at_random_nothing_is_put_together() -> None:
    rng = np.random.default_rng(4)
    events = [
        (user, int(post), BEGIN_S + day * DAY_S + 60 * user, 0, 1)
        for user in range(N_USERS)
        for day, post in enumerate(rng.choice(N_POSTS, DAYS, replace=False))
    ]
    facts = replace(facts_of(events, N_USERS, N_POSTS), shown="choices")

    found = estimate.fit(facts, asof.describe(facts, 1).texts, AS_OF_S, 1)

    scores = found.now.x @ found.now.y.T
    assert scores.std() < 0.3


def test_later_choices_change_nothing_of_a_model(facts: Facts) -> None:
    later = facts.time > AS_OF_S
    turned = replace(facts, target=np.where(later, 1 - facts.target, facts.target).astype(np.int8))

    models = [model_of(some) for some in (facts, turned, facts.until(AS_OF_S))]

    assert len({model.fingerprint for model in models}) == 1
    assert models[0].metrics == models[2].metrics


def test_the_choices_of_a_period_do_not_enter_what_was_estimated_before_it(facts: Facts) -> None:
    statics = asof.describe(facts, 1)
    whole = estimate.fit(facts, statics.texts, AS_OF_S, 1)
    first = whole.past[0].as_of_s
    turned = replace(
        facts, target=np.where(facts.time > first, 1 - facts.target, facts.target).astype(np.int8)
    )

    one, other = (fit_components(some, statics.texts, first, 1, None) for some in (facts, turned))

    for part, same in zip((*one.x, *one.y), (*other.x, *other.y), strict=True):
        np.testing.assert_array_equal(part, same)


def test_the_evaluation_asks_what_is_liked_next_of_what_was_not_taken(facts: Facts) -> None:
    split = Split(AS_OF_S + 1, AS_OF_S + 5 * DAY_S)

    found = measure_run(facts, asof.describe(facts, 1), split, RECIPE)

    later = (facts.time > AS_OF_S) & (facts.time < AS_OF_S + 5 * DAY_S) & (facts.target == 1)
    assert found["test_sessions"] == later.sum()
    assert found["auc_in_session"] > max(0.6, found["auc_in_session_popular"])
    assert found["hitrate_at_5_random5"] == pytest.approx(5 / N_UNTAKEN, abs=0.1)


def test_cut_offs_follow_one_another_over_the_second_half(facts: Facts) -> None:
    splits = cut_offs(facts, 4)

    n_before = [len(facts.until(split.test_from_s - 1).time) for split in splits]
    assert n_before == pytest.approx([len(facts.time) * share for share in (0.5, 0.625, 0.75, 0.875)], abs=2)
    assert [one.test_to_s for one in splits[:-1]] == [one.test_from_s for one in splits[1:]]
    assert splits[-1].test_to_s == facts.as_of_s + 1


def test_too_few_events_for_so_many_cut_offs_are_refused() -> None:
    facts = facts_of([(0, 0, BEGIN_S, 0, 1), (0, 1, BEGIN_S, 0, 1)], 1, 2)

    with pytest.raises(ValueError, match="2 events do not make 5 tests"):
        cut_offs(facts, 5)


def test_ours_and_peers_are_asked_for_the_same_unseen_posts(facts: Facts) -> None:
    statics = asof.describe(facts, 1)

    found = compare_unseen(facts, statics, RECIPE, 2, ("random", "popular", "item_knn_cosine"))

    ndcg = found.results[found.results["metric"] == "ndcg_achievable"]
    whole = ndcg[ndcg["segment"] == "all"].set_index(["model", "against"])
    assert set(ndcg["model"]) == {"random", "popular", "item_knn_cosine", "almanac"}
    assert set(ndcg["segment"]) == {"all", "cut-off 1", "cut-off 2"}
    ours, random = (whole.loc[(name, ""), "value"] for name in ("almanac", "random"))
    assert ours > random + 0.05
    gap = whole.loc[("almanac", "random")]
    assert gap["value"] == pytest.approx(ours - random)
    assert gap["low"] < gap["value"] < gap["high"]
    assert found.about["n_users"] <= N_USERS < found.about["n_lists"]
    assert found.about["best_peer"]["recall_at_10"] in ("popular", "item_knn_cosine")


@pytest.mark.parametrize("weighed", [False, True])
def test_what_posts_are_called_changes_no_list(facts: Facts, weighed: bool) -> None:
    numbers = facts.until(AS_OF_S)
    if weighed:
        numbers = replace(numbers, weight=(1 + numbers.post % 3).astype(np.float32))
    texts = with_texts(numbers)
    user = [texts.user_names.code_of(spell("user", int(number))) for number in numbers.user_ids]

    ours, theirs = (
        OwnModel.train(some, asof.describe(some, 1), AS_OF_S, RECIPE).recommender(AS_OF_S)
        for some in (numbers, texts)
    )

    assert texts.post_came is not None
    wanted = ours.lists(np.arange(N_USERS), 20)
    found = theirs.lists(np.searchsorted(texts.user_ids, user), 20)
    np.testing.assert_array_equal(texts.post_came[found], wanted)


def test_without_a_new_like_nothing_can_be_learnt() -> None:
    events = [(user, user, BEGIN_S + day * DAY_S, 0, 0) for user in range(3) for day in range(20)]
    facts = replace(facts_of(events, 3, 5), shown="choices")

    with pytest.raises(ValueError, match="0 impressions with 0 likes before as_of cannot train a ranker"):
        train(facts, asof.describe(facts, 1), facts.as_of_s, RECIPE)
