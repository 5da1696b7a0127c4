"""Many posts and few users: what is measured costs likes, never pairs of all posts."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from batch.arrays import Floats, Ints
from batch.data.facts import Facts
from batch.data.seen import SeenPosts
from batch.evaluate.contest import find_absent
from batch.evaluate.nightly import measure_run
from batch.features import asof, popularity
from batch.learn.baselines import neighbours
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.models import EASE_MOST_POSTS
from batch.learn.baselines.named import find_baseline
from batch.learn.baselines.recommender import Baseline, ScoreRecommender
from batch.learn.factors import taste_factors
from batch.learn.recipe import Recipe
from batch.learn.split import last_week
from tests.facts import BEGIN_S, DAY_S, facts_of

N_USERS, N_POSTS, N_DAYS, N_SHOWN = 20, 20_000, 20, 20
SQUARE = 4 * N_POSTS**2  # bytes: a float32 for every pair of posts
RECIPE = Recipe(30, 10**6, 3600, n_trees=10, n_leaves=7, seed=1, threads=1)


def catalogue(n_posts: int = N_POSTS, n_shown: int = N_SHOWN) -> Facts:
    """Show each user `n_shown` posts drawn from all of them, once a day; a fifth are liked."""
    rng = np.random.default_rng(5)
    events = [
        (user, int(post), BEGIN_S + day * DAY_S + 60 * place, 0, int(rng.random() < 0.2))
        for day in range(N_DAYS)
        for user in range(N_USERS)
        for place, post in enumerate(rng.choice(n_posts, n_shown, replace=False))
    ]
    return facts_of(events, N_USERS, n_posts)


def find_by_name(name: str) -> Baseline:
    """Return a baseline."""
    found = find_baseline(name)
    assert found is not None
    return found


def peak_of(work: Callable[[], object]) -> int:
    """Return the most bytes that the work held at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_run_is_measured_in_a_small_part_of_what_pairs_of_posts_take() -> None:
    facts = catalogue()
    statics, split = asof.describe(facts, seed=1), last_week(facts)
    assert split is not None

    peak = peak_of(lambda: measure_run(facts, statics, split, RECIPE))

    assert peak < SQUARE / 20


def test_a_user_who_liked_every_post_costs_no_pairs_of_all_of_them() -> None:
    each = [(0, post, BEGIN_S + post, 0, 1) for post in range(N_POSTS)]
    facts = facts_of([*each, (1, N_POSTS - 1, BEGIN_S, 0, 1)], 2, N_POSTS)
    interactions = Interactions(facts, asof.describe(facts, seed=1), seed=1)
    user, post = np.repeat([0, 1], N_POSTS), np.tile(np.arange(N_POSTS), 2)
    found = np.empty(0)

    def score() -> None:
        nonlocal found
        scores = neighbours.item_knn(neighbours.cosine)(interactions)
        found = ScoreRecommender(scores, N_POSTS).pairs(user, post)

    assert peak_of(score) < SQUARE / 20
    assert np.count_nonzero(found[user == 1] > 0.5) == neighbours.MOST_POSTS


@pytest.mark.parametrize("weigh", [neighbours.cosine, neighbours.tfidf, neighbours.bm25])
def test_the_scores_are_those_of_all_pairs_of_posts(weigh: neighbours.Weigh) -> None:
    facts = catalogue(n_posts=300)
    interactions = Interactions(facts, asof.describe(facts, seed=1), seed=1)
    likes = interactions.likes()
    rows = weigh(likes.T.tocsr()).toarray()
    alike = rows @ rows.T
    np.fill_diagonal(alike, 0)
    alike[alike < np.sort(alike, axis=1)[:, -neighbours.N_POSTS, None] * (1 - 1e-6)] = 0

    found = neighbours.item_knn(weigh)(interactions)(np.arange(N_USERS))

    expected = likes @ alike
    np.testing.assert_allclose(found, expected / expected.max(axis=1, keepdims=True), rtol=1e-5, atol=2e-7)


def test_of_equally_near_posts_too_many_to_count_the_lower_ones_do() -> None:
    n_posts = 2 * neighbours.MOST_POSTS
    facts = facts_of([(0, post, BEGIN_S + post, 0, 1) for post in range(n_posts)], 1, n_posts)
    interactions = Interactions(facts, asof.describe(facts, seed=1), seed=1)

    scores = neighbours.item_knn(neighbours.cosine)(interactions)(np.array([0]))[0]

    counted = scores > 0.5
    assert counted[: neighbours.MOST_POSTS].all()
    assert not counted[neighbours.MOST_POSTS + 1 :].any()


def test_likes_before_a_users_last_ones_tell_no_neighbours() -> None:
    old, last = (0, 1), neighbours.MOST_LIKES
    early = [(0, post, BEGIN_S, 0, 1) for post in old]
    late = [(0, 2 + k, BEGIN_S + DAY_S + k, 0, 1) for k in range(last)]
    facts = facts_of([*early, *late, (1, 2, BEGIN_S, 0, 1)], 2, last + 2)
    interactions = Interactions(facts, asof.describe(facts, seed=1), seed=1)

    scores = neighbours.item_knn(neighbours.cosine)(interactions)(np.array([1]))[0]

    assert (scores[list(old)] < 0.01).all()
    assert scores[3] > 0.5


@pytest.mark.parametrize(("n_posts", "at_once"), [(7_023, 256), (200_000, 20), (5_000_000, 1)])
def test_scores_of_many_posts_are_held_of_a_few_users_at_a_time(n_posts: int, at_once: int) -> None:
    asked: list[int] = []
    best = np.arange(n_posts, dtype=np.float64)

    def score(users: Ints) -> Floats:
        asked.append(len(users))
        return np.broadcast_to(best, (len(users), n_posts))

    recommender = ScoreRecommender(score, n_posts)
    users = np.arange(at_once + 1)

    assert recommender.lists(users, 2).tolist() == [[n_posts - 1, n_posts - 2]] * len(users)
    assert recommender.pairs(users, np.full(len(users), 7)).tolist() == [7.0] * len(users)
    for _ in recommender.blocks(SeenPosts.none(len(users)), 2, 1):
        pass
    assert asked == [at_once, 1] * 3


def test_ease_says_how_many_posts_it_holds_and_is_left_out_of_a_contest_of_more() -> None:
    ease, n_posts = find_by_name("ease"), EASE_MOST_POSTS + 1
    facts = facts_of([(0, n_posts - 1, BEGIN_S, 0, 1)], 1, n_posts)
    interactions = Interactions(facts, asof.describe(facts_of([], 1, 1), seed=1), seed=1)

    with pytest.raises(
        ValueError, match=r"ease compares all pairs of posts, at most 20,000 .* there are 20,001"
    ):
        ease.fit(interactions)

    assert find_absent(n_posts, ("ease",)) == {"ease": ease.cannot_hold(n_posts)}
    assert find_absent(EASE_MOST_POSTS, ("ease",)) == {}


@pytest.mark.parametrize("n_met", [N_POSTS // 50, N_POSTS])
def test_tastes_are_the_same_whether_posts_that_nobody_met_are_laid_out_or_not(
    n_met: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    about, hessian = rng.normal(size=(2_000, 6)), np.zeros(2_000)
    hessian[: n_met // 10] = rng.random(min(n_met // 10, 2_000))

    found = taste_factors._whiten(about, hessian)
    monkeypatch.setattr(taste_factors, "MANY", 10**9)

    np.testing.assert_allclose(np.abs(taste_factors._whiten(about, hessian)), np.abs(found), rtol=1e-9)


def test_popular_lists_are_counted_a_few_segments_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = catalogue(n_posts=300)
    counts = asof.start_tally(facts, asof.describe(facts, seed=1)).advance(facts.as_of_s)
    segment = (np.arange(N_USERS) % 6 - 1).astype(np.int32)
    starts = np.arange(24) * 3600

    def rank() -> popularity.Popular:
        return popularity.rank(facts, counts, starts, segment, 5, 20)

    whole = rank()
    monkeypatch.setattr(popularity, "CELLS", 2 * 24 * 300)

    np.testing.assert_array_equal(rank().segments, whole.segments)
    assert whole.segments.shape == (5, 24, 20)
