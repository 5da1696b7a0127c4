import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.data.facts import Facts
from batch.features import asof
from batch.features.tally import Tally, shrink, shrink_lift, spread
from batch.learn import trees
from batch.learn.factors import estimate
from tests.facts import BEGIN_S, DAY_S, even_likes_even, facts_of

N_USERS, N_POSTS = 4, 6
events = st.lists(
    st.tuples(
        st.integers(0, N_USERS - 1),
        st.integers(0, N_POSTS - 1),
        st.integers(BEGIN_S, BEGIN_S + 6 * DAY_S),
        st.just(0),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=40,
)
STARTS = np.array([BEGIN_S + 3 * DAY_S], np.int64)


def sides_at(facts: Facts, as_of_s: int) -> dict[str, np.ndarray]:
    statics = asof.describe(facts, seed=1)
    sides = asof.make_sides(facts, statics, asof.start_tally(facts, statics).advance(as_of_s), STARTS)
    return {name: getattr(sides, name) for name in ("user", "post", "time", "user_group", "group")}


@settings(max_examples=40, deadline=None)
@given(events, st.integers(BEGIN_S, BEGIN_S + 6 * DAY_S))
def test_features_do_not_change_when_later_facts_are_added(
    rows: list[tuple[int, int, int, int, int]], as_of_s: int
) -> None:
    earlier = [row for row in rows if row[2] <= as_of_s]

    with_later = sides_at(facts_of(rows, N_USERS, N_POSTS), as_of_s)
    without = sides_at(facts_of(earlier, N_USERS, N_POSTS), as_of_s)

    for name, values in without.items():
        np.testing.assert_array_equal(values, with_later[name], err_msg=name)


@pytest.fixture(scope="module")
def trains() -> tuple[Facts, asof.Statics, estimate.Estimates]:
    facts = even_likes_even(days=14)
    statics = asof.describe(facts, seed=1)
    return facts, statics, estimate.fit(facts, statics.texts, facts.as_of_s, 1)


def test_a_training_row_has_the_features_that_scoring_before_its_period_would_have(
    trains: tuple[Facts, asof.Statics, estimate.Estimates],
) -> None:
    facts, statics, estimates = trains

    made = trees.gather_rows(facts, statics, estimates, 3600, 60, np.random.default_rng(0))

    ends = np.array([one.as_of_s for one in estimates.past])
    for event, x in zip(made.event, made.x, strict=True):
        at = int(facts.time[event])
        before_s = int(ends[ends < at].max())
        counts = asof.start_tally(facts, statics).advance(before_s)
        sides = asof.make_sides(facts, statics, counts, np.array([at - at % 3600], np.int64))
        alone = sides.rows(facts.user[[event]], facts.post[[event]], np.array([0]))
        np.testing.assert_allclose(x, alone[0], rtol=1e-5)


def test_a_tally_in_steps_equals_one_in_a_single_step() -> None:
    facts = even_likes_even(days=5)
    group = np.zeros(len(facts.posts), np.int32)
    stepped, whole = Tally(facts, group, 1), Tally(facts, group, 1)

    for day in range(1, 6):
        stepped.advance(BEGIN_S + day * DAY_S)
    whole.advance(BEGIN_S + 5 * DAY_S)

    np.testing.assert_array_equal(stepped.users.likes, whole.users.likes)
    np.testing.assert_allclose(stepped.posts.recent_views, whole.posts.recent_views)
    np.testing.assert_array_equal(stepped.first_shown_s, whole.first_shown_s)
    np.testing.assert_array_equal(stepped.last_seen_s, whole.last_seen_s)


def test_a_tally_refuses_to_go_back() -> None:
    counts = Tally(even_likes_even(days=2), np.zeros(30, np.int32), 1).advance(BEGIN_S + DAY_S)

    with pytest.raises(ValueError, match="cannot go back"):
        counts.advance(BEGIN_S)


def test_like_rows_are_no_impressions_and_train_nothing(
    trains: tuple[Facts, asof.Statics, estimate.Estimates],
) -> None:
    facts, statics, estimates = trains

    made = trees.gather_rows(facts, statics, estimates, 3600, 10**6, np.random.default_rng(0))

    later = facts.time > estimates.past[0].as_of_s
    assert len(made.event) == int((facts.views & later).sum()) < int(later.sum())
    assert facts.views[made.event].all()


def test_thinning_keeps_the_number_asked_for_in_order_of_time(
    trains: tuple[Facts, asof.Statics, estimate.Estimates],
) -> None:
    facts, statics, estimates = trains

    made = trees.gather_rows(facts, statics, estimates, 3600, 100, np.random.default_rng(0))

    assert len(made.event) == len(set(made.event)) == 100
    assert (np.diff(facts.time[made.event]) >= 0).all()


def test_rows_that_differ_by_chance_alone_are_shrunk_to_one() -> None:
    rng = np.random.default_rng(3)
    expected = np.full(2000, 12.0)

    by_chance = shrink_lift(rng.poisson(expected).astype(float), expected)
    by_taste = shrink_lift(rng.poisson(expected * rng.gamma(2.0, 0.5, 2000)).astype(float), expected)

    assert by_chance.std() < 0.08
    assert by_taste.std() > 0.4


def test_a_spread_that_chance_may_have_made_is_none_yet_rows_can_be_ranked() -> None:
    rng = np.random.default_rng(4)
    expected = np.full(400, 9.0)
    likes = rng.poisson(expected).astype(float)

    assert spread(likes, expected) == 0.0
    assert (shrink(likes, expected, 0.0) == 1.0).all()
    assert (np.argsort(shrink_lift(likes, expected), kind="stable") == np.argsort(likes, kind="stable")).all()
    assert spread(rng.poisson(expected * rng.gamma(4.0, 0.25, 400)).astype(float), expected) == (
        pytest.approx(0.25, abs=0.06)
    )


def test_nothing_expected_means_a_lift_of_one() -> None:
    assert shrink_lift(np.zeros(3), np.zeros(3)).tolist() == [1.0, 1.0, 1.0]
