"""`compare`, `evaluate` and a run's own evaluation give the same figures of the same sessions."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from api.contract.buckets import DAY_S
from batch.data.facts import Facts
from batch.evaluate.compare import compare_shown
from batch.evaluate.full import evaluate_in_full
from batch.evaluate.nightly import measure_run
from batch.evaluate.own import OwnModel
from batch.evaluate.results import Report
from batch.features import asof
from batch.learn.recipe import Recipe
from batch.learn.split import Split
from batch.simulate.config import WorldConfig
from batch.simulate.feed import facts as make_facts

CONFIG = WorldConfig(150, 150, 2, start=date(2021, 10, 1), end=date(2021, 11, 26))
RECIPE = Recipe(60, 10**6, 3600, n_trees=8, n_leaves=7, seed=1, threads=1)
BEGIN_S = CONFIG.end_s - 14 * DAY_S - 7 * 3600  # in mid-evening, a while after the last fact before it
SPLIT = Split(BEGIN_S, BEGIN_S + 7 * DAY_S)
PEERS = ("popular", "item_knn_cosine")


@pytest.fixture(scope="module")
def facts() -> Facts:
    return make_facts(CONFIG)


def figures(found: Report, *models: str) -> pd.DataFrame:
    """Return the figures of all lists, with their intervals, that both commands have."""
    frame = found.results
    some = frame[(frame["protocol"] == "shown") & (frame["segment"] == "all") & (frame["against"] == "")]
    some = some[some["metric"].isin(["auc_in_session", "hitrate"]) & some["k"].isin([0, 5])]
    return some[some["model"].isin(models)].set_index(["model", "metric"]).sort_index()


def test_compare_and_evaluate_agree_to_the_digit(facts: Facts) -> None:
    how = facts, asof.describe(facts, 1), SPLIT, RECIPE
    models = ("almanac", "as_shown", "random", *PEERS)

    compared = figures(compare_shown(*how, PEERS, weeks=2), *models)
    evaluated = figures(evaluate_in_full(*how, weeks=2), *models)

    assert len(compared) == 2 * len(models)
    pd.testing.assert_frame_equal(compared, evaluated, check_exact=True)


def test_a_runs_own_evaluation_agrees_too(facts: Facts) -> None:
    how = facts, asof.describe(facts, 1), SPLIT, RECIPE

    found = measure_run(*how)
    value = figures(compare_shown(*how, PEERS[1:]), "almanac", "item_knn_cosine")["value"]

    for suffix, name in (("", "almanac"), ("_knn", "item_knn_cosine")):
        # Here sums run in another order, which the last bit knows.
        assert found[f"auc_in_session{suffix}"] == pytest.approx(value[name, "auc_in_session"], abs=1e-14)
        assert found[f"hitrate_at_5{suffix}"] == pytest.approx(value[name, "hitrate"], abs=1e-14)


def test_a_pair_is_ranked_in_the_bucket_of_its_moment(facts: Facts) -> None:
    own = OwnModel.train(facts, asof.describe(facts, 1), SPLIT.test_from_s - 1, RECIPE)
    event = np.flatnonzero(facts.views & (facts.time >= SPLIT.test_from_s))[:500]
    user, post, at_s = facts.user[event], facts.post[event], facts.time[event]

    found = own.recommender(SPLIT.test_from_s).pairs(user.astype(np.int64), post.astype(np.int64), at_s)

    expected = own.additive(event) + own.booster().predict(own.snapshot(event), raw_score=True)
    np.testing.assert_array_equal(found, expected)
