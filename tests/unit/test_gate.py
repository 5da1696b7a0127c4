"""The gate's parts on values whose answer is known."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from batch.features.sides import Feature
from batch.publish.gate.gate import GateInputs, Live, judge
from batch.publish.gate.overlap import rank_biased_overlap, shared_share
from batch.publish.gate.ranges import shares_outside
from batch.publish.gate.report import Outcome
from batch.publish.gate.spread import Spread, find_mistaken
from batch.publish.gate.stats import GenerationStats, Sample, summarize
from batch.publish.gate.thresholds import Thresholds
from batch.score.ranked import RankedBlock

STATS = GenerationStats(
    n_users=1000,
    n_empty=0,
    n_short=0,
    n_lists=24_000,
    coverage=0.6,
    topics={"sport": 0.5, "tech": 0.5},
    same_order=0.01,
    same_posts=0.2,
    scores=Spread((0.0,), (0.5, 0.5, 0.0)),
    inputs={"age": Spread((30.0,), (0.5, 0.5, 0.0))},
)
POPULAR = "metric against popularity"
METRICS = {"hitrate_at_5": 0.55, "hitrate_at_5_popular": 0.5, "auc_in_session": 0.55, "test_sessions": 2000.0}
LIVE = Live(generation=7, n_users=1000, metrics=METRICS, stats=STATS, churn=0.3)
GOOD = GateInputs(
    stats=STATS,
    metrics=METRICS,
    reread=(2, 0),
    rescored=(32, 0),
    outside={"age": 0.01},
    psi=0.05,
    live=LIVE,
)


def test_what_is_as_the_live_generation_proceeds() -> None:
    report = judge(GOOD, Thresholds())

    assert (report.outcome, report.why, report.live) == ("proceed", "every check holds", 7)
    assert (report.outcome, report.why) == ("proceed", "every check holds")


@pytest.mark.parametrize(
    ("spoilt", "stopped"),
    [
        (replace(GOOD, reread=(2, 1)), ["checksum"]),
        (replace(GOOD, live=replace(LIVE, churn=0.01)), ["churn"]),
        (replace(GOOD, stats=replace(STATS, coverage=0.2)), ["coverage"]),
        (replace(GOOD, stats=replace(STATS, n_users=10, n_short=900, same_posts=1.0), psi=9.0), []),
        (replace(GOOD, live=None), []),
        (replace(GOOD, live=replace(LIVE, stats=None)), []),
    ],
)
def test_of_lists_that_are_not_ours_it_asks_for_overlap_and_coverage_alone(
    spoilt: GateInputs, stopped: list[str]
) -> None:
    report = judge(spoilt, Thresholds(), is_ours=False)

    assert [check.name for check in report.stopped_by] == stopped
    assert [check.name for check in report.checks] == ["checksum", "churn", "coverage"]


@pytest.mark.parametrize(("trees", "stopped"), [(0.0, []), (0.5, ["same order"])])
def test_one_order_for_everybody_is_right_where_nothing_personal_is_published(
    trees: float, stopped: list[str]
) -> None:
    weights = {"weight_post": 0.9, "weight_taste": 0.0, "weight_trees": trees}
    alike = replace(GOOD, stats=replace(STATS, same_order=1.0), metrics=METRICS | weights)

    assert [check.name for check in judge(alike, Thresholds()).stopped_by] == stopped


@pytest.mark.parametrize(
    ("spoilt", "name", "outcome"),
    [
        (replace(GOOD, reread=(2, 1)), "checksum", "abort"),
        (replace(GOOD, stats=replace(STATS, n_users=940)), "users", "abort"),
        (replace(GOOD, stats=replace(STATS, n_empty=11)), "empty lists", "abort"),
        (replace(GOOD, stats=replace(STATS, n_short=25)), "short lists", "abort"),
        (replace(GOOD, rescored=(32, 1)), "model", "quarantine"),
        (replace(GOOD, outside={"age": 0.6}), "trained range", "quarantine"),
        (replace(GOOD, stats=replace(STATS, same_order=0.6)), "same order", "quarantine"),
        (replace(GOOD, stats=replace(STATS, same_posts=0.97)), "same posts", "quarantine"),
        (replace(GOOD, metrics=METRICS | {"auc_in_session": 0.66}), "leak", "quarantine"),
        (replace(GOOD, mistaken={"age": "city"}), "inputs", "quarantine"),
        (
            replace(GOOD, metrics=METRICS | {"hitrate_at_5_popular": 0.65}),
            "metric against popularity",
            "wait",
        ),
        (replace(GOOD, metrics=METRICS | {"hitrate_at_5_knn": 0.65}), "metric against item kNN", "wait"),
        (replace(GOOD, live=replace(LIVE, churn=0.01)), "churn", "wait"),
        (replace(GOOD, psi=1.5), "scores", "wait"),
        (replace(GOOD, stats=replace(STATS, topics={"movie": 1.0})), "topics", "wait"),
        (replace(GOOD, stats=replace(STATS, coverage=0.2)), "coverage", "wait"),
    ],
)
def test_each_fault_is_stopped_by_its_own_check(spoilt: GateInputs, name: str, outcome: Outcome) -> None:
    report = judge(spoilt, Thresholds())

    assert [(check.name, check.outcome) for check in report.stopped_by] == [(name, outcome)]
    assert report.outcome == outcome
    assert report.why == report.stopped_by[0].says


def test_choices_among_all_posts_are_told_apart_better_than_impressions() -> None:
    def outcome(auc: float, **further: float) -> Outcome:
        metrics = METRICS | {"auc_in_session": auc, **further}
        return judge(replace(GOOD, live=None, metrics=metrics), Thresholds()).outcome

    assert outcome(0.91) == "quarantine"
    assert outcome(0.91, of_choices=1.0) == "proceed"
    assert outcome(0.99, of_choices=1.0) == "quarantine"


def test_the_gravest_outcome_counts_and_comes_first() -> None:
    report = judge(replace(GOOD, psi=9.0, rescored=(32, 32), reread=(2, 2)), Thresholds())

    assert [check.outcome for check in report.stopped_by] == ["abort", "quarantine", "wait"]
    assert report.outcome == "abort"


def test_a_loss_within_what_chance_explains_proceeds() -> None:
    few = METRICS | {"hitrate_at_5": 0.45, "test_sessions": 100.0}

    assert judge(replace(GOOD, metrics=few), Thresholds()).outcome == "proceed"


def test_without_anything_live_or_measured_the_rest_is_still_asked() -> None:
    bare = replace(GOOD, live=None, metrics={}, psi=None)

    report = judge(bare, Thresholds())
    asked = {check.name for check in report.checks if check.value is not None}

    assert report.outcome == "proceed"
    assert {"checksum", "empty lists", "short lists", "model", "trained range", "same order"} <= asked
    assert "not asked: this run measured nothing" in [check.says for check in report.checks]


def test_a_portrait_comes_back_from_json_as_it_was() -> None:
    assert GenerationStats.from_values(asdict(STATS)) == STATS
    with pytest.raises(ValueError, match="no statistics of a generation"):
        GenerationStats.from_values({"n_users": 3})


def test_lists_are_alike_from_the_top() -> None:
    a = np.array([[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, -1, -1], [-1, -1, -1, -1]])
    b = np.array([[2, 1, 3, 4], [1, 2, 4, 3], [1, 2, -1, -1], [-1, -1, -1, -1]])

    overlap = rank_biased_overlap(a, b)

    assert 0 < overlap[0] < overlap[1] < 1
    assert overlap[2:].tolist() == [1.0, 1.0]
    assert shared_share(a, b).tolist() == [1.0, 1.0, 1.0, 1.0]


def test_a_spread_that_did_not_move_has_index_zero() -> None:
    values = np.array([1.0, 2.0, 2.0, 3.0, np.nan])

    assert Spread.of(values).psi(values) == pytest.approx(0)
    assert Spread.of(values).psi(values + 10) > 2


def test_a_feature_in_anothers_place_is_told_from_one_that_grew() -> None:
    rng = np.random.default_rng(0)
    age, views = rng.integers(14, 80, 500).astype(float), rng.poisson(400, 500).astype(float)
    live = {"age": Spread.of(age), "views": Spread.of(views)}

    assert find_mistaken(live, {"age": age, "views": views + 300}, (1.0, 0.3)) == {}
    assert find_mistaken(live, {"age": views, "views": age}, (1.0, 0.3)) == {"age": "views", "views": "age"}
    assert find_mistaken(live, {"age": np.full(500, np.nan), "views": views}, (1.0, 0.3)) == {
        "age": "missing"
    }


def test_values_far_outside_the_training_are_counted() -> None:
    features = (
        Feature("age", "user"),
        Feature("os", "user", categorical=True),
        Feature("flat", "user"),
        Feature("untested", "user"),
        Feature("days", "post", grows=True),
    )
    values = {
        "age": np.array([20.0, 95.0, 190.0, np.nan]),
        "os": np.array([0.0, 1.0, 7.0]),
        "flat": np.ones(2),
        "untested": np.full(2, 1e9),
        "days": np.array([-99.0, 5.0, 30.0, 3000.0]),
    }

    model = "feature_infos=[10:90] 0:1 none [0:1] [0:20]\nsplit_feature=0 1 4\n"

    assert shares_outside(features, values, model) == {
        "age": pytest.approx(1 / 3),
        "os": pytest.approx(1 / 3),
        "days": 0.25,
    }


def test_one_list_for_all_has_one_order_whatever_each_has_seen() -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(40).astype(np.int32)
    same = np.array([[order[rng.random(40) < 0.9][:20]] for _ in range(60)])
    own = np.array([[rng.permutation(40)[:20]] for _ in range(60)]).astype(np.int32)

    def seen(posts: np.ndarray) -> GenerationStats:
        sample = Sample(60, np.full((60, 1), 20))
        sample.add(RankedBlock(0, posts, np.zeros(posts.shape)))
        return summarize(sample, ["t"] * 40, None, 40)

    assert seen(same).same_order == 1.0
    assert seen(own).same_order < 0.1
    assert (seen(own).n_users, seen(own).n_lists, seen(own).n_short, seen(own).n_empty) == (60, 60, 0, 0)
