from dataclasses import replace

import numpy as np
import pytest

from api.contract.buckets import DAY_S
from batch.data.facts import Facts
from batch.evaluate import ages as module
from batch.evaluate.ages import by_age
from batch.evaluate.nightly import Plan, shown
from batch.features import asof
from batch.learn.recipe import Recipe
from batch.learn.split import Split, last_week
from tests.facts import BEGIN_S, even_likes_even


def plan_for(facts: Facts) -> Plan:
    split = last_week(facts)
    assert split is not None
    return Plan(split, Recipe(20, train_rows=10**6, width_s=3600, n_trees=10, n_leaves=7, seed=1, threads=1))


def test_every_age_has_its_figures_inside_their_intervals() -> None:
    facts = even_likes_even(days=14)
    told: list[int] = []

    curve = by_age(facts, asof.statics(facts, 1), plan_for(facts), (0, 24, 72), told.append)

    assert [age.age_h for age in curve.ages] == [0, 24, 72]
    assert (curve.n_users, curve.n_impressions) == (20, curve.n_sessions * 12)
    assert len(told) == 7 + 3  # one session hour a day; ages of whole days share theirs
    fresh = curve.ages[0]
    assert (fresh.auc_lost, fresh.auc_lost_interval, fresh.hitrate_lost) == (0.0, (0.0, 0.0), 0.0)
    for age in curve.ages:
        assert age.auc_interval[0] <= age.auc_in_session <= age.auc_interval[1]
        assert age.hitrate_interval[0] <= age.hitrate_at_5 <= age.hitrate_interval[1]
        assert age.auc_lost == pytest.approx(fresh.auc_in_session - age.auc_in_session)
    assert fresh.auc_in_session > 0.7  # even users like even posts
    assert curve.values()["ages"][1]["age_h"] == 24


def test_a_list_knows_no_fact_from_after_it_was_made() -> None:
    facts = even_likes_even(days=14)
    known, plan = asof.statics(facts, 1), plan_for(facts)
    event, _, _ = shown(facts, plan.split, plan.recipe.seed)
    made = np.array([plan.split.test_from_s, plan.split.test_from_s + DAY_S])
    later = facts.time >= made[0]
    flipped = replace(facts, target=np.where(later, 1 - facts.target, facts.target).astype(np.int8))

    scores = [next(module._lists(f, known, plan, made))[1](event) for f in (facts, flipped)]

    np.testing.assert_array_equal(scores[0], scores[1])


def test_days_without_a_session_cannot_be_ranked() -> None:
    facts = even_likes_even(days=14)
    empty = Split(BEGIN_S + 13 * DAY_S + 18 * 3600, BEGIN_S + 14 * DAY_S)

    with pytest.raises(ValueError, match="no session of ten impressions"):
        by_age(facts, asof.statics(facts, 1), replace(plan_for(facts), split=empty))
