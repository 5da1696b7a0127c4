"""What is published is chosen by later likes: fewer parts where they lead clearly, trees where they pay."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from batch.arrays import Floats
from batch.data.facts import Shown
from batch.data.windows import Windows
from batch.learn.choose import Judged, choose_weights, earned
from batch.learn.judges import ChoiceJudge, SessionJudge, find_judge, known_posts
from tests.facts import BEGIN_S, DAY_S, facts_of

NAMES = ("fine", "useless", "turned")
N_LISTS = 200


def judged_by(worth: Mapping[int, tuple[float, ...]], noise: float = 0.1) -> Judged:
    """Judge weights by what each part adds to a list in each of three periods."""
    luck = [np.random.default_rng(period).normal(0, noise, (len(NAMES), N_LISTS)) for period in range(3)]

    def judged(weights: Floats) -> list[Floats]:
        on = np.flatnonzero(weights).tolist()
        return [
            np.asarray(sum((worth[k][period] + luck[period][k] for k in on), np.zeros(N_LISTS)))
            for period in range(3)
        ]

    return judged


def test_the_stack_stays_where_every_part_adds_something() -> None:
    stacked = np.array([1.0, 0.5, 0.2])

    found = choose_weights(
        stacked, [0, 1, 2], NAMES, judged_by({0: (0.3,) * 3, 1: (0.1,) * 3, 2: (0.1,) * 3})
    )

    np.testing.assert_array_equal(found.weights, stacked)
    assert found.compared["estimate"] == found.compared["stack"]
    assert set(found.compared) == {*NAMES, "stack", "estimate"}


def test_a_part_that_does_harm_goes_and_so_does_one_that_has_turned() -> None:
    worth = {0: (0.3,) * 3, 1: (-0.1,) * 3, 2: (0.2, 0.2, -0.1)}

    found = choose_weights(np.array([1.0, 0.5, 0.2]), [0, 1, 2], NAMES, judged_by(worth))

    np.testing.assert_array_equal(found.weights, [1.0, 0.0, 0.0])


def test_without_any_weight_the_best_part_alone_is_taken_and_none_that_is_worth_nothing() -> None:
    worth = {0: (0.1,) * 3, 1: (0.2,) * 3, 2: (-0.1,) * 3}

    best = choose_weights(np.zeros(3), [0, 1, 2], NAMES, judged_by(worth))
    none = choose_weights(np.zeros(3), [2], NAMES, judged_by(worth))

    np.testing.assert_array_equal(best.weights, [0.0, 1.0, 0.0])
    assert not none.weights.any()


def test_few_lists_change_nothing() -> None:
    few = [np.array([0.1, 0.2]), np.array([0.1]), np.array([0.2])]
    better = [one + 0.5 for one in few]
    stacked = np.array([1.0, 1.0, 0.0])

    found = choose_weights(stacked, [0, 1], NAMES, lambda some: few if (some > 0).sum() == 2 else better)

    np.testing.assert_array_equal(found.weights, stacked)


def test_what_comes_on_top_has_to_pay_over_all_periods_and_in_the_last() -> None:
    rng = np.random.default_rng(1)
    without = [rng.normal(0.5, 0.1, N_LISTS) for _ in range(2)]

    better, far_better = ([one + rng.normal(more, 0.1, N_LISTS) for one in without] for more in (0.02, 0.2))
    turned = [far_better[0], without[1] - rng.normal(0.05, 0.1, N_LISTS)]
    assert earned(far_better, without, 2.0, 2.0) == pytest.approx(0.2, abs=0.02)
    assert earned(better, without, 0.0, -1.0) > 0
    assert earned(better, without, 5.0, 5.0) == 0
    assert earned([one - 0.001 for one in without], without, 0.0, -1.0) == 0
    assert earned(turned, without, 0.0, -1.0) == 0
    assert earned([one[:4] + 0.3 for one in without], [one[:4] for one in without], 0.0, -1.0) == 0


def test_choices_are_judged_by_lists_of_all_that_was_not_taken() -> None:
    n_posts = 30
    events = [(user, post, BEGIN_S + post, 0, 1) for user in range(12) for post in (0, 1)]
    events += [(user, 20, BEGIN_S + DAY_S, 0, 1) for user in range(12)]
    facts = replace(facts_of(events, 12, n_posts), shown="choices")

    judge = find_judge(facts, BEGIN_S + DAY_S // 2, BEGIN_S + DAY_S, np.random.default_rng(1))

    assert isinstance(judge, ChoiceJudge)
    gains = judge.of_parts(
        [np.ones((12, 1)), np.ones((12, 1))], [-np.arange(30.0)[:, None], np.eye(30)[:, 20:21]]
    )
    np.testing.assert_array_equal(gains(np.array([1.0, 0.0])), np.zeros(12))  # after 2 to 19
    np.testing.assert_array_equal(gains(np.array([0.0, 1.0])), np.ones(12))
    np.testing.assert_array_equal(gains(np.zeros(2)), np.zeros(12))


def test_a_judge_of_some_posts_knows_their_likes_alone() -> None:
    events = [(user, post, BEGIN_S + post, 0, 1) for user in range(12) for post in (0, 1)]
    events += [(user, 20 + user % 2, BEGIN_S + DAY_S, 0, 1) for user in range(12)]
    facts = replace(facts_of(events, 12, 30), shown="choices")
    judge = ChoiceJudge.of(facts, BEGIN_S + DAY_S // 2, BEGIN_S + DAY_S, np.random.default_rng(1))

    some = judge.of_posts(np.arange(30) != 21)

    assert some.users.tolist() == [0, 2, 4, 6, 8, 10]
    scores = np.where(np.arange(30) == 20, 1.0, 0.0)
    np.testing.assert_array_equal(judge.gains(scores), [1.0, 0.0] * 6)
    np.testing.assert_array_equal(some.gains(scores), np.ones(6))
    np.testing.assert_array_equal(some.gains_of_each(np.tile(scores, (6, 1))), np.ones(6))


def test_a_post_is_known_from_its_first_taking_or_its_windows_begin_on() -> None:
    facts = facts_of([(0, 0, BEGIN_S, 0, 1), (0, 1, BEGIN_S + 9, 0, 1)], 1, 5)
    windows = Windows.of_sides([(None, None)] * 3 + [(BEGIN_S + 5, None), (BEGIN_S + 9, None)])
    late = facts.posts.assign(**windows.frame())

    assert known_posts(facts, BEGIN_S - 1).tolist() == [False] * 5
    assert known_posts(facts, BEGIN_S + 8).tolist() == [True, False, False, False, False]
    assert known_posts(replace(facts, posts=late), BEGIN_S + 8).tolist() == [True, False, False, True, False]


def test_impressions_are_judged_inside_their_sessions() -> None:
    events = [
        (user, post, BEGIN_S + user * DAY_S + post, 0, int(post == 3))
        for user in range(3)
        for post in range(5)
    ]
    facts = facts_of(events, 3, 5)

    judge = find_judge(facts, BEGIN_S - 1, BEGIN_S + 9 * DAY_S, np.random.default_rng(1))

    assert isinstance(judge, SessionJudge)
    gains = judge.of_parts([np.ones((3, 1))], [np.arange(5.0)[:, None]])
    np.testing.assert_allclose(gains(np.ones(1)), [0.75] * 3)
    np.testing.assert_allclose(gains(np.zeros(1)), [0.5] * 3)


@pytest.mark.parametrize("shown", ["choices", "impressions"])
def test_a_period_without_events_judges_nothing(shown: Shown) -> None:
    facts = replace(facts_of([(0, 0, BEGIN_S, 0, 1)], 2, 3), shown=shown)

    judge = find_judge(facts, BEGIN_S + 5, BEGIN_S + 9, np.random.default_rng(1))

    assert not len(judge.of_parts([np.ones((2, 1))], [np.ones((3, 1))])(np.ones(1)))
