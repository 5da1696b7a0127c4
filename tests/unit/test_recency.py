"""Recency: a made world's half-life is found, the usual one stands for few facts, nothing later is read."""

from dataclasses import replace

import numpy as np
import pytest

from batch.data.facts import Facts
from batch.learn import recency
from batch.learn.judges import ChoiceJudge, SessionJudge
from batch.learn.recency import NEVER, USUAL_S, learn_half_life, score_recent
from tests.facts import BEGIN_S, DAY_S, even_likes_even, facts_of

N_POSTS, N_USERS = 300, 100


def fading_fame(half_life_s: float, n_half_lives: int, n_events: int, seed: int) -> Facts:
    """Make a world where a user takes what was taken lately, a take counting half after the half-life.

    One take in ten is of any post at random. All are liked, none is taken twice by a user.
    """
    rng = np.random.default_rng(seed)
    fame, taken = np.zeros(N_POSTS), np.zeros((N_USERS, N_POSTS), np.bool_)
    events, last = [], 0
    for at in np.sort(rng.integers(0, int(n_half_lives * half_life_s), n_events)).tolist():
        fame *= 0.5 ** ((at - last) / half_life_s)
        user, last = int(rng.integers(N_USERS)), at
        chance = np.where(taken[user], 0.0, fame / max(fame.sum(), 1e-9) + 0.1 / N_POSTS)
        post = int(rng.choice(N_POSTS, p=chance / chance.sum()))
        taken[user, post] = True
        fame[post] += 1
        events.append((user, post, BEGIN_S + at, 0, 1))
    return replace(facts_of(events, N_USERS, N_POSTS), shown="choices")


def as_impressions(facts: Facts, seed: int = 1) -> Facts:
    """Make of each choice an impression that was liked, and beside it three posts at random that were not."""
    rng = np.random.default_rng(seed)
    events = []
    for user, post, time in zip(facts.user.tolist(), facts.post.tolist(), facts.time.tolist(), strict=True):
        others = rng.choice(N_POSTS, 3, replace=False).tolist()
        events += [
            (user, post, time, 0, 1),
            *((user, other, time, 0, 0) for other in others if other != post),
        ]
    return facts_of(events, N_USERS, N_POSTS)


@pytest.mark.parametrize(
    ("days", "n_half_lives", "n_events"), [(0.5, 60, 3_000), (2, 60, 3_000), (28, 6, 7_000)]
)
def test_the_half_life_of_a_world_is_found(days: float, n_half_lives: int, n_events: int) -> None:
    facts = fading_fame(days * DAY_S, n_half_lives, n_events, seed=1)

    found = learn_half_life(facts, facts.as_of_s)

    assert days / 2 <= found / DAY_S <= days * 2


def test_short_fame_asks_for_a_short_half_life_of_impressions_too() -> None:
    facts = as_impressions(fading_fame(0.5 * DAY_S, 60, 4_000, seed=1))

    found = learn_half_life(facts, facts.as_of_s)

    assert 0.25 <= found / DAY_S <= 2  # rates are shrunk, so it takes more than the world's own half-life


def test_the_usual_half_life_stands_where_facts_are_few_or_tell_nothing() -> None:
    few = facts_of([(0, 0, BEGIN_S, 0, 1), (0, 1, BEGIN_S + DAY_S, 0, 1)], 2, 3)
    steady = even_likes_even(days=40)

    found = [learn_half_life(some, some.as_of_s) for some in (few, replace(few, shown="choices"), steady)]

    assert found == [USUAL_S] * 3
    assert learn_half_life(few.select(slice(0)), BEGIN_S) == USUAL_S


@pytest.mark.parametrize("shown", ["choices", "impressions"])
def test_nothing_later_is_read(shown: str) -> None:
    facts = fading_fame(DAY_S, 40, 2_000, seed=2)
    facts = facts if shown == "choices" else as_impressions(facts)
    as_of_s = int(facts.time[len(facts.time) // 2])
    later = facts.time > as_of_s
    turned = replace(facts, post=np.where(later, 7, facts.post).astype(np.int32))

    found = [(learn_half_life(some, as_of_s), score_recent(some, as_of_s, DAY_S)) for some in (facts, turned)]

    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_a_like_counts_half_after_the_half_life() -> None:
    events = [(0, 0, BEGIN_S, 0, 1), (1, 1, BEGIN_S + DAY_S, 0, 1), (1, 2, BEGIN_S + DAY_S, 0, 0)]
    facts = replace(facts_of(events, 2, 4), shown="choices")

    np.testing.assert_allclose(score_recent(facts, BEGIN_S + DAY_S, DAY_S), [0.5, 1, 0, 0])
    np.testing.assert_allclose(score_recent(facts, BEGIN_S + DAY_S, NEVER), [1, 1, 0, 0])
    weighing = replace(facts, weight=np.array([3, 0, 2], np.float32))
    np.testing.assert_allclose(score_recent(weighing, BEGIN_S + DAY_S, DAY_S), [1.5, 0, 2, 0])


def test_of_impressions_what_is_liked_more_often_is_ahead_of_what_was_shown_more_often() -> None:
    often = [(user, 0, BEGIN_S + 60 * k, 0, int(k % 4 == 0)) for user in range(20) for k in range(8)]
    seldom = [(user, 1, BEGIN_S + 60 * k, 0, 1) for user in range(20) for k in range(8, 10)]
    facts = facts_of(often + seldom, 20, 3)

    scores = score_recent(facts, facts.as_of_s, DAY_S)

    assert scores[1] > scores[2] > scores[0]


def test_counts_are_the_same_in_parts_and_of_many_facts_some_users_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = fading_fame(DAY_S, 60, 4_000, seed=3)
    whole = score_recent(facts, facts.as_of_s, DAY_S)
    monkeypatch.setattr("batch.data.facts.EVENTS_AT_ONCE", 700)
    monkeypatch.setattr(recency, "MOST_EVENTS", 2_500)

    np.testing.assert_allclose(score_recent(facts, facts.as_of_s, DAY_S), whole)
    assert 0.5 <= learn_half_life(facts, facts.as_of_s) / DAY_S <= 2
    assert learn_half_life(facts, facts.as_of_s) == learn_half_life(facts, facts.as_of_s)


def test_later_choices_are_judged_without_what_was_taken_before() -> None:
    before = [(0, 3, BEGIN_S, 0, 1), (0, 2, BEGIN_S, 0, 0), (1, 0, BEGIN_S, 0, 1)]
    after = [(0, 3, BEGIN_S + 60, 0, 1), (0, 1, BEGIN_S + 60, 0, 1), (2, 0, BEGIN_S + 60, 0, 1)]
    facts = replace(facts_of(before + after, 3, 4), shown="choices")
    judge = ChoiceJudge.of(facts, BEGIN_S, BEGIN_S + 60, np.random.default_rng(1))

    assert judge.users.tolist() == [0]  # what user 0 takes again is not new, user 2 has no history
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    assert judge.gains(scores).tolist() == judge.gains_of_each(scores[None]).tolist() == [1.0]
    assert judge.gains(-scores) == pytest.approx(1 / np.log2(3))
    assert judge.gains_of_each(-scores[None]) == pytest.approx(1 / np.log2(3))


def test_one_score_a_post_is_worth_what_the_same_scores_of_each_user_are() -> None:
    facts = fading_fame(DAY_S, 30, 2_000, seed=4)
    scores = np.random.default_rng(5).integers(0, 50, N_POSTS).astype(float)  # many are alike
    middle = int(facts.time[1_000])

    judge = ChoiceJudge.of(facts, middle, facts.as_of_s, np.random.default_rng(1), 40)

    assert len(judge.users) == 40
    each = judge.gains_of_each(np.tile(scores, (40, 1)))
    np.testing.assert_allclose(judge.gains(scores), each)
    assert each.max() > 0


def test_later_sessions_are_judged_by_what_they_showed() -> None:
    facts = even_likes_even(n_users=4, n_posts=30, days=6)
    middle = BEGIN_S + 3 * DAY_S
    even = (np.arange(30) % 2 == 0).astype(float)

    judge = SessionJudge.of(facts, middle, facts.as_of_s, np.random.default_rng(1))

    gains = judge.gains(even)
    assert len(gains) == 4 * 3
    assert set(np.unique(gains)) == {0.0, 1.0}  # all that even users like, and nothing that odd ones do
    assert (judge.gains(np.zeros(30)) == 0.5).all()
