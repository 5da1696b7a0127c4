"""Off-policy estimates: worlds whose value is known, and formulas by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

pytest.importorskip("tea_tasting", reason="the extra `experiments` brings it")

from batch.experiments.off_policy import Estimate, Log, OffPolicy, effective_size, evaluate_policy
from tests.bench.statistics.logs import draw_log, make_world

Z = stats.norm.isf(0.025)


def drawn(n_records: int = 500, seed: int = 1) -> Log:
    """Return records of two actions: the first earns oftener, and the other policy likes it more."""
    rng = np.random.default_rng(seed)
    is_first = rng.random(n_records) < 0.4
    reward = rng.random(n_records) < np.where(is_first, 0.3, 0.1)
    return Log(
        reward=reward.astype(np.float64),
        propensity=np.where(is_first, 0.4, 0.6),
        target=np.where(is_first, 0.7, 0.3),
        model_reward=np.where(is_first, 0.25, 0.12),
        model_value=np.full(n_records, 0.7 * 0.25 + 0.3 * 0.12),
    )


def by_name(found: OffPolicy) -> dict[str, Estimate]:
    return {estimate.estimator: estimate for estimate in found.estimates}


def test_estimates_and_intervals_are_those_of_the_books() -> None:
    log = drawn()
    found = by_name(evaluate_policy(log))

    n, weight = len(log.reward), log.weight
    assert log.model_reward is not None
    assert log.model_value is not None
    ips = weight * log.reward
    robust = log.model_value + weight * (log.reward - log.model_reward)
    snips = ips.sum() / weight.sum()
    for name, value, of_each in (
        ("ips", ips.mean(), ips),
        ("snips", snips, weight * (log.reward - snips) / weight.mean()),
        ("doubly_robust", robust.mean(), robust),
    ):
        half = Z * of_each.std(ddof=1) / np.sqrt(n)
        wanted = (value, value - half, value + half)
        assert (found[name].value, found[name].low, found[name].high) == pytest.approx(wanted, rel=1e-9)


def test_the_policy_that_was_served_earned_what_it_earned() -> None:
    log = drawn()
    same = evaluate_policy(Log(log.reward, log.propensity, log.propensity))

    assert same.effective_size == pytest.approx(len(log.reward))
    assert [one.value for one in same.estimates] == pytest.approx([log.reward.mean()] * 2)


def test_an_interval_holds_the_known_value_of_a_made_world() -> None:
    rng = np.random.default_rng(5)
    world = make_world(rng)
    found = evaluate_policy(draw_log(world, 20_000, rng))

    assert {one.estimator for one in found.estimates} == {"ips", "snips", "doubly_robust"}
    for estimate in found.estimates:
        assert estimate.low < world.value < estimate.high


def test_users_whose_records_go_together_widen_the_interval() -> None:
    log = drawn()
    twice = {name: np.repeat(getattr(log, name), 2) for name in ("reward", "propensity", "target")}
    user = np.repeat(np.arange(len(log.reward)), 2)

    once, alone, together = (
        by_name(evaluate_policy(one))["snips"]
        for one in (Log(log.reward, log.propensity, log.target), Log(**twice), Log(**twice, user=user))
    )
    assert together.high - together.low == pytest.approx(once.high - once.low, rel=1e-9)
    assert alone.high - alone.low < 0.8 * (once.high - once.low)


def test_a_log_whose_records_hardly_count_is_refused_and_told_of_all_the_same_on_wish() -> None:
    few = np.where(np.arange(100) < 5, 1.0, 0.001)
    log = Log(np.ones(100), np.full(100, 0.5), few)

    found, anyway = evaluate_policy(log), evaluate_policy(log, anyway=True)
    assert found.estimates == ()
    assert "only 5 of 100 records count (5.2%" in found.refused
    assert anyway.refused == found.refused
    assert len(anyway.estimates) == 2


def test_propensities_that_are_not_those_of_the_draws_are_noticed() -> None:
    log = drawn()
    wrong = Log(log.reward, log.propensity / 2, log.target)

    assert not any("mean weight" in note for note in evaluate_policy(log).notes)
    assert any("mean weight is 2" in note for note in evaluate_policy(wrong).notes)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=30), st.floats(0.1, 10))
def test_the_effective_size_lies_between_one_and_all_and_knows_no_scale(
    weights: list[float], scale: float
) -> None:
    weight = np.array(weights)
    size = effective_size(weight)

    assert 1 - 1e-9 <= size <= len(weights) + 1e-9
    assert effective_size(scale * weight) == pytest.approx(size)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"propensity": [0.5, 0.0]}, "propensity in row 2 is 0: it must be a probability, above 0"),
        ({"propensity": [np.nan, 0.5]}, "propensity in row 1 is nan"),
        ({"target": [0.5, 1.5]}, "target in row 2 is 1.5"),
        ({"reward": [0.0, np.nan]}, "reward in row 2 is no number"),
        ({"reward": [1.0], "propensity": [1.0], "target": [1.0]}, "1 records are too few"),
    ],
)
def test_a_log_that_is_none_is_refused_with_a_sentence(columns: dict[str, list[float]], said: str) -> None:
    good = {"reward": [0.0, 1.0], "propensity": [0.5, 0.5], "target": [0.5, 0.5]}
    with pytest.raises(ValueError, match=said):
        Log(**{name: np.array(values) for name, values in {**good, **columns}.items()})
