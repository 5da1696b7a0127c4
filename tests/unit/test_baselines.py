"""Baselines one by one, and contests of them; what holds for all of them is in tests/zoo."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from batch.data.facts import Facts
from batch.data.seen import SeenPosts
from batch.evaluate import contest
from batch.evaluate.compare import compare_shown
from batch.evaluate.contest import MEMORY, measure_cost
from batch.evaluate.own import ModelRecommender, fit_likes_only, fit_own
from batch.evaluate.results import Report
from batch.features import asof
from batch.learn.baselines import neighbours
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.named import BASELINES
from batch.learn.baselines.recommender import ScoreRecommender, break_ties
from batch.learn.recipe import Recipe
from batch.learn.split import Split, last_week
from tests.facts import BEGIN_S, DAY_S, even_likes_even, facts_of

N_POSTS = 40
COLD = 7  # a user row without any event
RECIPE = Recipe(30, 10**6, 3600, n_trees=20, n_leaves=7, seed=1, threads=1)
OF_LATE = ("popular_recent", "ease_recent")
pytest.importorskip("implicit", reason="the extra `zoo` brings it")


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    facts = even_likes_even(n_users=30, n_posts=N_POSTS, days=20)
    facts = facts.select(facts.user != COLD)
    return Interactions(facts, asof.describe(facts, 1), seed=1, threads=1)


def test_of_posts_that_as_many_chose_those_of_late_are_ahead_and_with_ease_ones_own(
    interactions: Interactions,
) -> None:
    n_users, n_posts, days = 40, 60, 30
    events = [  # two posts a day, one for even users and one for odd ones
        (user, 2 * day + user % 2, BEGIN_S + DAY_S * day + 60 * user, 0, 1)
        for user in range(n_users)
        for day in range(days)
    ]
    facts = replace(facts_of(events, n_users, n_posts), shown="choices")
    chosen = replace(interactions, facts=facts, statics=asof.describe(facts, 1))

    of_late, with_ease = (
        baseline.fit(chosen).lists(np.array([2, 3]), 4) for baseline in BASELINES if baseline.name in OF_LATE
    )

    assert sorted(of_late[0].tolist()) == sorted(of_late[1].tolist()) == [56, 57, 58, 59]
    assert with_ease.tolist() == [[58, 59, 56, 54], [59, 58, 57, 55]]


def test_a_post_alike_to_many_liked_ones_beats_one_alike_to_few() -> None:
    likes = sparse.csr_matrix(np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1]], np.float32))

    similar = neighbours.cosine(likes.T.tocsr()).toarray()

    np.testing.assert_allclose((similar**2).sum(axis=1), 1.0, rtol=1e-6)
    assert similar[0] @ similar[1] == pytest.approx(1.0)
    assert similar[0] @ similar[3] == pytest.approx(0.0)


def test_a_users_many_likes_count_less_each_by_tfidf_and_bm25() -> None:
    likes = sparse.csr_matrix(np.array([[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0]], np.float32).T)

    for weigh in (neighbours.tfidf, neighbours.bm25):
        weighed = weigh(likes).toarray()

        assert 0 <= weighed[0, 0] < weighed[0, 1]


def test_ties_are_broken_by_popularity_then_by_the_lower_post() -> None:
    scores = np.array([[0.0, 3.0, 0.0, 3.0]])

    assert np.argsort(-break_ties(scores, np.array([0.1, 0.2, 0.3, 0.4])))[0].tolist() == [3, 1, 2, 0]
    assert np.argsort(-break_ties(scores, np.array([0.1, 0.2, 0.1, 0.2])))[0].tolist() == [1, 3, 0, 2]


def test_lists_leave_posts_out_and_are_short_only_where_nothing_is_left() -> None:
    scores = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    left_out = SeenPosts(np.array([0, 1, 1, 4]), np.array([0, 0, 1, 3], np.int32))

    (block,) = ScoreRecommender(lambda users: scores[users], 4).blocks(left_out, depth=3, n_buckets=2)

    assert block.posts[:, 0].tolist() == [[1, 2, 3], [0, 1, 2], [2, -1, -1]]
    assert block.scores[0, 1].tolist() == [3.0, 2.0, 1.0]
    assert np.isnan(block.scores[2, 0, 1:]).all()
    np.testing.assert_array_equal(block.posts[:, 0], block.posts[:, 1])
    assert scores[0, 0] == 4.0


def test_ours_ranks_a_pair_as_its_lists_do(interactions: Interactions) -> None:
    users, at_s = np.array([4, 5, COLD]), interactions.facts.as_of_s + DAY_S
    fitted = fit_own(interactions, RECIPE, interactions.facts.as_of_s, at_s)
    assert isinstance(fitted, ModelRecommender)

    lists = fitted.lists(users, N_POSTS)
    pairs = np.repeat(users, N_POSTS), lists.reshape(-1), np.full(3 * N_POSTS, at_s)
    scores = fitted.pairs(*pairs).reshape(3, N_POSTS)

    assert (np.diff(scores, axis=1) <= 1e-9).all()
    assert (lists[0, :10] % 2 == 0).all()


def test_likes_alone_give_even_users_even_posts_where_a_feed_showed_them(interactions: Interactions) -> None:
    fitted = fit_likes_only(interactions, RECIPE)

    assert (fitted.lists(np.array([4]), 10) % 2 == 0).all()
    chosen = replace(interactions.facts, shown="choices")
    with pytest.raises(ValueError, match="no order of what was shown"):
        fit_likes_only(replace(interactions, facts=chosen), RECIPE)


def compared(facts: Facts, *names: str) -> Report:
    split = last_week(facts)
    assert split is not None
    return compare_shown(facts, asof.describe(facts, 1), split, RECIPE, names)


def test_a_comparison_ranks_the_split_by_what_lies_before_it() -> None:
    facts = even_likes_even(n_users=30, n_posts=N_POSTS, days=21)

    found = compared(facts, "popular", "item_knn_cosine")

    figure = found.results.set_index(["model", "against", "metric"])
    models = {"popular", "item_knn_cosine", "almanac", "as_shown", "random"}
    assert set(found.results["model"]) == models
    assert figure.loc[("almanac", "", "auc_in_session"), "value"] > 0.9
    assert figure.loc[("almanac", "popular", "auc_in_session"), "low"] > 0.2
    assert figure.loc[("almanac", "", "fit_s"), "value"] > 0
    assert found.about["absent"] == {}


def test_weekly_origins_are_pooled() -> None:
    facts = even_likes_even(n_users=20, n_posts=N_POSTS, days=21)
    statics, from_s = asof.describe(facts, 1), BEGIN_S + 7 * DAY_S
    split, recipe = Split(from_s, from_s + DAY_S), replace(RECIPE, n_trees=5)

    found = compare_shown(facts, statics, split, recipe, ("popular",), weeks=2)

    counts = {"n_sessions": 20 * 14, "n_users": 20, "n_impressions": 20 * 14 * 12, "absent": {}}
    assert counts.items() <= found.about.items()
    assert found.about["best"].startswith("almanac is best by auc_in_session")


def test_what_happens_inside_the_split_changes_nothing_before_it() -> None:
    facts = even_likes_even(n_users=30, n_posts=N_POSTS, days=21)
    split = last_week(facts)
    assert split is not None

    assert facts.until(split.test_from_s - 1).as_of_s < split.test_from_s == BEGIN_S + 14 * DAY_S


def test_a_missing_package_leaves_its_peers_out_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contest, "find_spec", lambda _name: None)
    facts = even_likes_even(n_users=20, n_posts=N_POSTS, days=14)

    found = compared(facts, "popular", "als")

    assert found.about["absent"] == {
        "als": "needs implicit, which is not installed: pip install 'almanac-feed[zoo]'"
    }


def test_the_memory_of_a_block_is_noted() -> None:
    cost: dict[tuple[str, int], float] = {}

    with measure_cost(cost, "fit_s"):
        held = np.ones(30_000_000)

    assert held[0] == 1
    assert cost["fit_s", 0] > 0
    assert cost[MEMORY] > 150 or np.isnan(cost[MEMORY])
