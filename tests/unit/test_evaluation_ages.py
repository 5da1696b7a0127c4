from dataclasses import replace

import numpy as np
import pytest

from api.contract.buckets import DAY_S
from batch.data.facts import Facts
from batch.evaluate import ages as module
from batch.evaluate.ages import evaluate_ages
from batch.evaluate.sessions import Sessions
from batch.features import asof
from batch.learn.recipe import Recipe
from batch.learn.split import Split, last_week
from tests.facts import BEGIN_S, even_likes_even

RECIPE = Recipe(20, train_rows=10**6, width_s=3600, n_trees=10, n_leaves=7, seed=1, threads=1)


def split_of(facts: Facts) -> Split:
    split = last_week(facts)
    assert split is not None
    return split


def test_every_age_has_its_figures_inside_their_intervals() -> None:
    facts = even_likes_even(days=14)
    steps: list[int] = []

    found = evaluate_ages(facts, asof.describe(facts, 1), split_of(facts), RECIPE, (0, 24, 72), steps.append)

    assert found.about == {
        "n_sessions": 140,
        "n_users": 20,
        "n_impressions": 140 * 12,
    }
    assert len(steps) == 7 + 3  # one session hour a day; ages of whole days share theirs
    rows = found.results.set_index(["metric", "model", "against"])
    for metric in ("auc_in_session", "hitrate"):
        own = rows.loc[metric].xs("", level="against")
        assert list(own.index) == ["almanac_0h", "almanac_24h", "almanac_72h"]
        assert ((own["low"] <= own["value"]) & (own["value"] <= own["high"])).all()
        for age in ("almanac_24h", "almanac_72h"):
            lost = rows.loc[(metric, "almanac_0h", age), "value"]
            assert lost == pytest.approx(own["value"]["almanac_0h"] - own["value"][age])
    assert rows.loc[("auc_in_session", "almanac_0h", ""), "value"] > 0.7  # even users like even posts


def test_a_list_knows_no_fact_from_after_it_was_made() -> None:
    facts = even_likes_even(days=14)
    statics, split = asof.describe(facts, 1), split_of(facts)
    event = Sessions.of(facts, split, RECIPE.seed).event
    made = np.array([split.test_from_s, split.test_from_s + DAY_S])
    later = facts.time >= made[0]
    flipped = replace(facts, target=np.where(later, 1 - facts.target, facts.target).astype(np.int8))

    scores = [next(module._scores_by_time(f, statics, RECIPE, made))[1](event) for f in (facts, flipped)]

    np.testing.assert_array_equal(scores[0], scores[1])


def test_days_without_a_session_cannot_be_ranked() -> None:
    facts = even_likes_even(days=14)
    empty = Split(BEGIN_S + 13 * DAY_S + 18 * 3600, BEGIN_S + 14 * DAY_S)

    with pytest.raises(ValueError, match="no session of ten impressions"):
        evaluate_ages(facts, asof.describe(facts, 1), empty, RECIPE)
