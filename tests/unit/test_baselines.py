"""Peers: each finds a taste that is plain to see, and has a full list for a user of whom nothing is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from batch.data.facts import Facts
from batch.data.seen import SeenPosts
from batch.evaluate import contest
from batch.evaluate.compare import compare
from batch.evaluate.contest import Cost, interval, spent
from batch.evaluate.nightly import Plan
from batch.features import asof
from batch.learn.baselines import neighbours
from batch.learn.baselines.interactions import Past, Peer, filled
from batch.learn.baselines.lists import blocks
from batch.learn.baselines.recommender import PEERS, Ours, Ranked, from_likes, ours
from batch.learn.recipe import Recipe
from batch.learn.split import Split, last_week
from tests.facts import BEGIN_S, DAY_S, even_likes_even

N_POSTS = 40
COLD = 7  # a user row without any event
RECIPE = Recipe(30, 10**6, 3600, n_trees=20, n_leaves=7, seed=1, threads=1)
TASTELESS = ("random", "popular", "popular_by_segment", "user_topic")
pytest.importorskip("implicit", reason="the extra `zoo` brings it")


@pytest.fixture(scope="module")
def past() -> Past:
    facts = even_likes_even(n_users=30, n_posts=N_POSTS, days=20)
    kept = facts.user != COLD
    columns = {name: getattr(facts, name)[kept] for name in ("user", "post", "time", "action", "target")}
    facts = replace(facts, **columns)
    return Past(facts, asof.statics(facts, 1), seed=1, threads=1)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_peer_gives_everybody_a_full_list_of_different_posts(past: Past, peer: Peer) -> None:
    users = np.array([0, 1, COLD])
    fitted = Ranked(peer.fit(past))

    lists = fitted.lists(users, N_POSTS)

    np.testing.assert_array_equal(np.sort(lists, axis=1), np.tile(np.arange(N_POSTS), (3, 1)))
    scores = fitted.pairs(np.repeat(users, N_POSTS), lists.reshape(-1)).reshape(3, N_POSTS)
    assert np.isfinite(scores).all()
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize(
    "peer", [peer for peer in PEERS if peer.name not in TASTELESS], ids=lambda peer: peer.name
)
def test_a_peer_that_learns_tastes_gives_even_users_even_posts(past: Past, peer: Peer) -> None:
    if peer.name == "embedding_affinity":
        pytest.skip("no word of these texts tells even posts from odd ones")

    lists = Ranked(peer.fit(past)).lists(np.array([2, 3]), 10)

    assert (lists[0] % 2 == 0).mean() > 0.6
    assert (lists[1] % 2 == 1).mean() > 0.6


@pytest.mark.parametrize(
    "peer",
    [peer for peer in PEERS if peer.name not in ("random", "two_stage", "embedding_affinity")],
    ids=lambda peer: peer.name,
)
def test_a_user_without_history_gets_the_popular_list(past: Past, peer: Peer) -> None:
    if peer.name == "popular_by_segment":
        pytest.skip("he has a segment")
    popular = next(peer for peer in PEERS if peer.name == "popular")

    own = Ranked(peer.fit(past)).lists(np.array([COLD]), 10)

    np.testing.assert_array_equal(own, Ranked(popular.fit(past)).lists(np.array([COLD]), 10))


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

    assert np.argsort(-filled(scores, np.array([0.1, 0.2, 0.3, 0.4])))[0].tolist() == [3, 1, 2, 0]
    assert np.argsort(-filled(scores, np.array([0.1, 0.2, 0.1, 0.2])))[0].tolist() == [1, 3, 0, 2]


def test_lists_leave_posts_out_and_are_short_only_where_nothing_is_left() -> None:
    scores = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    left_out = SeenPosts(np.array([0, 1, 1, 4]), np.array([0, 0, 1, 3], np.int32))

    (block,) = blocks(lambda users: scores[users], left_out, depth=3, n_buckets=2)

    assert block.posts[:, 0].tolist() == [[1, 2, 3], [0, 1, 2], [2, -1, -1]]
    assert block.scores[0, 1].tolist() == [3.0, 2.0, 1.0]
    assert np.isnan(block.scores[2, 0, 1:]).all()
    np.testing.assert_array_equal(block.posts[:, 0], block.posts[:, 1])
    assert scores[0, 0] == 4.0


def test_ours_ranks_a_pair_as_its_lists_do(past: Past) -> None:
    users = np.array([4, 5, COLD])
    fitted = ours(past, RECIPE, past.facts.as_of_s + DAY_S)
    assert isinstance(fitted, Ours)

    lists = fitted.lists(users, N_POSTS)
    scores = fitted.pairs(np.repeat(users, N_POSTS), lists.reshape(-1)).reshape(3, N_POSTS)

    assert (np.diff(scores, axis=1) <= 1e-9).all()
    assert (lists[0, :10] % 2 == 0).all()


def test_likes_alone_give_even_users_even_posts_where_a_feed_showed_them(past: Past) -> None:
    fitted = from_likes(past, RECIPE)

    assert (fitted.lists(np.array([4]), 10) % 2 == 0).all()
    with pytest.raises(ValueError, match="no order of what was shown"):
        from_likes(replace(past, facts=replace(past.facts, shown="choices")), RECIPE)


def compared(facts: Facts, *names: str) -> dict[str, object]:
    split = last_week(facts)
    assert split is not None
    plan = Plan(split, Recipe(30, 10**6, 3600, n_trees=20, n_leaves=7, seed=1, threads=1))
    return compare(facts, asof.statics(facts, 1), plan, names).values()


def test_a_comparison_ranks_the_split_by_what_lies_before_it() -> None:
    facts = even_likes_even(n_users=30, n_posts=N_POSTS, days=21)

    found = compared(facts, "popular", "item_knn_cosine")

    standings = {line["name"]: line for line in found["standings"]}  # type: ignore[attr-defined]
    assert set(standings) == {"popular", "item_knn_cosine", "almanac", "first5", "random_exact"}
    assert standings["almanac"]["auc_in_session"] > 0.9
    assert standings["popular"]["auc_behind_interval"][0] > 0.2
    assert standings["almanac"]["cost"]["fit_s"] > 0
    assert found["absent"] == {}


def test_weekly_origins_are_pooled() -> None:
    facts = even_likes_even(n_users=20, n_posts=N_POSTS, days=21)
    known, from_s = asof.statics(facts, 1), BEGIN_S + 7 * DAY_S
    made_by = Recipe(30, 10**6, 3600, n_trees=5, n_leaves=7, seed=1, threads=1)
    plan = Plan(Split(from_s, from_s + DAY_S), made_by)

    found = compare(facts, known, plan, ("popular",), weeks=2)

    assert (found.n_sessions, found.n_users, found.n_impressions) == (20 * 14, 20, 20 * 14 * 12)


def test_what_happens_inside_the_split_changes_nothing_before_it() -> None:
    facts = even_likes_even(n_users=30, n_posts=N_POSTS, days=21)
    split = last_week(facts)
    assert split is not None
    past = Past(facts.until(split.test_from_s - 1), asof.statics(facts, 1), 1, 1)

    assert past.facts.as_of_s < split.test_from_s == BEGIN_S + 14 * DAY_S


def test_a_missing_package_leaves_its_peers_out_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contest, "find_spec", lambda _name: None)
    facts = even_likes_even(n_users=20, n_posts=N_POSTS, days=14)

    found = compared(facts, "popular", "als")

    assert found["absent"] == {
        "als": "needs implicit, which is not installed: pip install 'almanac-feed[zoo]'"
    }


def test_an_interval_draws_owners_whole() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(0.3, 1.0, 50), 20)

    low, high = interval(values, np.ones(1000), np.repeat(np.arange(50), 20), np.random.default_rng(1))
    naive_low, naive_high = interval(values, np.ones(1000), np.arange(1000), np.random.default_rng(1))

    assert low < values.mean() < high
    assert high - low > 3 * (naive_high - naive_low)


def test_the_memory_of_a_block_is_noted() -> None:
    cost = Cost()

    with spent(cost, "fit_s"):
        held = np.ones(30_000_000)

    assert held[0] == 1
    assert cost.fit_s > 0
    assert cost.memory_mb > 150 or np.isnan(cost.memory_mb)
