"""Metrics of lists, and what chance is worth by them: against counting, and where they must not say more."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.evaluate import variety
from batch.evaluate.chance import EXPECTED
from batch.evaluate.intervals import bootstrap, delta_interval
from batch.evaluate.list_metrics import ListMetrics
from batch.evaluate.metrics import CUTS, METRICS, NO_POST, Hits, ndcg, partial_auc
from batch.evaluate.results import Figure, result_frame


@pytest.mark.parametrize("name", METRICS)
@given(n=st.integers(1, 6), relevant=st.integers(0, 6), k=st.integers(1, 7))
def test_chance_is_the_mean_over_every_order(name: str, n: int, relevant: int, k: int) -> None:
    relevant = min(relevant, n)
    orders = np.array(list(permutations(np.arange(n) < relevant)))
    padded = np.pad(orders, ((0, 0), (0, 7 - n)))

    every = METRICS[name](Hits(padded, np.full(len(orders), relevant)), k)

    expected = EXPECTED[name](np.array([n]), np.array([relevant]), k)
    np.testing.assert_allclose(expected[0], every.mean(), atol=1e-12)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), min_size=1, max_size=40))
def test_sessions_and_lists_give_the_same_hits(rows: list[tuple[int, int, bool]]) -> None:
    _, session = np.unique([row[0] for row in rows], return_inverse=True)
    scores, liked = np.array([row[1] for row in rows], np.float64), np.array([row[2] for row in rows])
    impressions = np.arange(len(rows))
    best = [sorted(impressions[session == s], key=lambda i: -scores[i]) for s in range(session.max() + 1)]
    lists = np.array([(row + [NO_POST] * 40)[:15] for row in best])

    ours = Hits.of_sessions(session.astype(np.int64), scores, liked, 15)
    found = Hits.of_lists(lists, session[liked].astype(np.int64), impressions[liked])

    np.testing.assert_array_equal(ours.relevant, found.relevant)
    np.testing.assert_array_equal(ours.n_relevant, found.n_relevant)


def test_the_end_of_a_list_is_no_hit_and_a_pair_counts_once() -> None:
    lists = np.array([[5, 900_000_000_000, NO_POST], [7, 5, 6]])

    hits = Hits.of_lists(lists, np.array([0, 0, 1, 0]), np.array([900_000_000_000, 900_000_000_000, 8, -1]))

    assert hits.relevant.tolist() == [[False, True, False], [False, False, False]]
    assert hits.n_relevant.tolist() == [2, 1]


def test_nothing_relevant_to_anybody_is_no_hit() -> None:
    none = np.empty(0, np.int64)

    hits = Hits.of_lists(np.array([[1, 2]]), none, none)

    assert not hits.relevant.any()
    assert hits.n_relevant.tolist() == [0]
    assert np.isnan(METRICS["recall"](hits, 2)[0])
    assert METRICS["hitrate"](hits, 2)[0] == METRICS["mrr"](hits, 2)[0] == 0.0


def test_a_perfect_list_has_a_gain_of_one_only_over_what_it_can_reach() -> None:
    hits = Hits(np.array([[True, True, False, False, False]]), np.array([2]))

    assert ndcg(hits, 5, achievable=True)[0] == pytest.approx(1.0)
    assert ndcg(hits, 5)[0] == pytest.approx((1 + 1 / np.log2(3)) / (1 / np.log2(np.arange(2, 7))).sum())


def test_a_list_shorter_than_the_cut_off_is_measured_as_if_nothing_followed() -> None:
    short, long = np.array([[4, 9]]), np.array([[4, 9, NO_POST, NO_POST, NO_POST]])
    relevant = np.array([0, 0, 0]), np.array([9, 4, 6])

    for name, metric in METRICS.items():
        for k in CUTS:
            one, other = (metric(Hits.of_lists(lists, *relevant), k) for lists in (short, long))
            np.testing.assert_allclose(one, other, err_msg=f"{name} {k}")


def test_what_lists_are_made_of() -> None:
    lists, shown = np.array([[0, 1], [2, NO_POST], [2, 3]]), np.array([8, 2, 0, 0])
    space = np.array([[1.0, 0.0], [0.0, 3.0], [1.0, 1.0], [np.nan, np.nan]])

    assert variety.coverage(lists[:2], 4) == 0.75
    np.testing.assert_allclose(
        variety.novelty(lists, shown, 8), [1.0, 3.0, 3.0]
    )  # a new post as if of one user
    np.testing.assert_allclose(variety.popularity(lists, shown), [0.5, 0.0, 0.0])
    np.testing.assert_allclose(variety.diversity(lists, space), [1.0, 0.0, np.nan])
    np.testing.assert_allclose(variety.share_among(lists, variety.most_shown(shown)), [0.5, 0.0, 0.0])


def test_auc_counts_pairs_of_a_relevant_post_and_one_of_the_first_others() -> None:
    hits = Hits(np.array([[False, True, False, True, False]]), np.array([3]))

    assert partial_auc(hits, 2)[0] == pytest.approx(1 / 6)  # the one at place 2 is ahead of one of two
    assert partial_auc(hits, 3)[0] == pytest.approx((2 + 1) / 9)
    assert partial_auc(Hits(np.ones((1, 2), np.bool_), np.array([2])), 5)[0] == 1.0
    assert np.isnan(partial_auc(Hits(np.zeros((1, 2), np.bool_), np.array([0])), 1)[0])


def test_a_relevant_post_is_serendipity_by_how_much_sooner_it_comes_than_by_popularity() -> None:
    lists, shown = np.array([[3, 0], [0, NO_POST], [2, 1]]), np.array([9, 4, 4, 0])
    hits = Hits.of_lists(lists, np.array([0, 1, 2]), np.array([3, 0, 2]))

    found = variety.serendipity(hits, lists, shown, 4)

    # A new post at the first place; the most popular one there; one of the two next at the first place.
    np.testing.assert_allclose(found, [(1 - 0) / 2, 0.0, (1 - 3 / 4) / 2])


def test_lists_are_measured_by_everything_at_every_cut_off() -> None:
    lists, six = np.array([[0, 1, 2, 3]]), np.arange(6)
    metrics = ListMetrics(six, six, 3, np.eye(6), np.zeros(6, np.int32), 6)

    found = metrics.measure(lists, Hits.of_lists(lists, np.array([0]), np.array([1])))

    named = {"auc", "novelty", "serendipity", "diversity", "popularity", "most_shown", "topics"}
    assert set(found) == {(name, k) for name in {*METRICS, *named} for k in CUTS}
    assert metrics.coverage(lists) == {("coverage", k): min(k, 4) / 6 for k in CUTS}


def test_intervals_of_many_figures_are_those_of_each() -> None:
    rng = np.random.default_rng(3)
    parts, wholes, owner = rng.normal(size=(60, 2)), np.ones((60, 2)), rng.integers(0, 20, 60)
    wholes[:, 1] = 0

    found = bootstrap(parts, wholes, owner, np.random.default_rng(1))

    alone = bootstrap(parts[:, :1], wholes[:, :1], owner, np.random.default_rng(1))[0]
    assert found[0].tolist() == pytest.approx(alone)
    assert np.isnan(found[1]).all()
    assert found[0, 0] < parts[:, 0].mean() < found[0, 1]


def test_an_interval_of_nobody_is_unknown() -> None:
    none = np.empty((0, 3))

    assert np.isnan(bootstrap(none, none, np.empty(0, np.int64), np.random.default_rng(1))).all()


def test_an_interval_draws_users_whole() -> None:
    rng = np.random.default_rng(0)
    values, ones = np.repeat(rng.normal(0.3, 1.0, 50), 20)[:, None], np.ones((1000, 1))

    low, high = bootstrap(values, ones, np.repeat(np.arange(50), 20), np.random.default_rng(1))[0]
    naive_low, naive_high = bootstrap(values, ones, np.arange(1000), np.random.default_rng(1))[0]

    assert low < values.mean() < high
    assert high - low > 3 * (naive_high - naive_low)


def test_the_delta_method_agrees_with_the_bootstrap_of_users_of_any_size() -> None:
    rng = np.random.default_rng(1)
    owner = np.repeat(np.arange(300), rng.integers(1, 12, 300))
    wholes = rng.integers(0, 5, len(owner)).astype(np.float64)
    parts = rng.binomial(wholes.astype(np.int64), 0.2 + 0.4 * (owner % 3) / 2).astype(np.float64)

    found = delta_interval(parts, wholes, owner)

    drawn = bootstrap(parts[:, None], wholes[:, None], owner, rng)[0]
    assert found == pytest.approx(tuple(drawn), abs=0.1 * float(drawn[1] - drawn[0]))
    assert np.isnan(delta_interval(parts[:1], wholes[:1], owner[:1])).all()
    assert np.isnan(delta_interval(parts[:0], parts[:0], owner[:0])).all()


def test_the_result_frame_holds_a_figure_once_and_no_interval_backwards() -> None:
    row = Figure("shown", "all", "almanac", "", "ndcg", 10, 0.5, 0.4, 0.6, 3, 4)

    assert list(result_frame([row, row._replace(k=5)])["k"]) == [10, 5]
    for wrong in (row, row._replace(k=5, low=0.7)):
        with pytest.raises(ValueError, match="the result frame cannot hold"):
            result_frame([row, wrong])
