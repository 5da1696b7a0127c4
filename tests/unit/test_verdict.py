"""The verdict: what the tests say is what scipy says by hand, and worlds with a known answer get it."""

import json
import math
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

pytest.importorskip("tea_tasting", reason="the extra `experiments` brings it")

from batch.arrays import Floats
from batch.experiments.always_valid import always_valid
from batch.experiments.comparisons import Comparison, Terms, compare
from batch.experiments.metrics import Metric, find_metrics
from batch.experiments.outcomes import Outcomes, make_outcomes
from batch.experiments.page import write_page
from batch.experiments.verdict import Verdict, check_sample_ratio, judge

TERMS = Terms(n_resamples=200)
SMALL = {"arm": ["a", "a", "b", "b"], "views": [1, 2, 3, 4], "likes": [0, 1, 1, 0]}


def made(n_users: int, seed: int, lift: float = 0.0) -> dict[str, Floats]:
    """Return users whose views and likes vary, and follow what they did before."""
    rng = np.random.default_rng(seed)
    taste, rate = rng.gamma(1.5, 20, n_users) + 1, rng.beta(4, 16, n_users)
    views, before = (rng.poisson(taste) + 1 for _ in range(2))
    likes, liked = rng.binomial(views, np.minimum(rate * (1 + lift), 1)), rng.binomial(before, rate)
    columns = {"views": views, "likes": likes, "pre_views": before, "pre_likes": liked}
    return {name: column.astype(np.float64) for name, column in columns.items()}


def table(*arms: Mapping[str, Floats]) -> pa.Table:
    """Return a table of the arms a, b, c …"""
    letters = [letter for letter, arm in zip("abcdef", arms, strict=False) for _ in arm["views"]]
    columns = {name: np.concatenate([arm[name] for arm in arms]) for name in arms[0]}
    return pa.table({"arm": letters, **columns})


def by_test(comparisons: list[Comparison]) -> dict[str, Comparison]:
    return {comparison.test: comparison for comparison in comparisons}


def assert_welch(found: Comparison, control: Floats, treatment: Floats) -> None:
    wanted = stats.ttest_ind(treatment, control, equal_var=False)
    bounds = wanted.confidence_interval(0.95)
    expected = [treatment.mean() - control.mean(), bounds.low, bounds.high, wanted.pvalue]
    np.testing.assert_allclose(
        [found.effect, found.low, found.high, found.p_value], expected, rtol=1e-9, atol=1e-12
    )


A, B = made(400, 1), made(300, 2, 0.1)
LIKES = Metric("likes a user", "likes", pre_over="pre_likes")
RATE = Metric("likes/views", "likes", "views", "pre_likes", "pre_views")


def test_means_are_compared_as_scipy_does_it_by_welch_and_by_ranks() -> None:
    found = by_test(compare(Metric("likes a user", "likes"), A, B, TERMS))

    assert_welch(found["welch"], A["likes"], B["likes"])
    ranks = stats.mannwhitneyu(B["likes"], A["likes"])
    assert found["mann_whitney"].p_value == pytest.approx(ranks.pvalue, rel=1e-9)
    assert found["mann_whitney"].effect == pytest.approx(2 * ranks.statistic / 400 / 300 - 1, rel=1e-9)


def test_a_ratio_is_compared_by_the_delta_method_with_users_as_what_varies() -> None:
    found = by_test(compare(Metric("likes/views", "likes", "views"), A, B, TERMS))

    ratios = [arm["likes"].sum() / arm["views"].sum() for arm in (A, B)]
    linear = [  # Deng et al. (2018): the ratio moves as this sum does
        ratio + (arm["likes"] - ratio * arm["views"]) / arm["views"].mean()
        for ratio, arm in zip(ratios, (A, B), strict=True)
    ]
    assert_welch(found["delta"], *linear)
    own = [arm["likes"] / arm["views"] for arm in (B, A)]
    assert found["mann_whitney"].p_value == pytest.approx(stats.mannwhitneyu(*own).pvalue, rel=1e-9)


def test_cuped_takes_off_what_the_time_before_explains() -> None:
    found = compare(LIKES, A, B, TERMS)

    likes, before = (np.concatenate([A[name], B[name]]) for name in ("likes", "pre_likes"))
    theta = np.cov(likes, before)[0, 1] / before.var(ddof=1)
    adjusted = [arm["likes"] - theta * (arm["pre_likes"] - before.mean()) for arm in (A, B)]
    assert found[0].test == "cuped"
    assert_welch(found[0], *adjusted)
    assert found[0].high - found[0].low < found[1].high - found[1].low


def test_the_bootstrap_draws_buckets_of_users() -> None:
    terms = Terms(n_buckets=50, n_resamples=300, seed=7)
    found = by_test(compare(Metric("likes/views", "likes", "views"), A, B, terms))["bootstrap"]

    rng = np.random.default_rng(7)
    arms = []
    for arm in (A, B):
        bucket = rng.permutation(len(arm["likes"])) % 50
        arms.append(np.array([np.bincount(bucket, arm[name]) for name in ("likes", "views")]))

    def difference(control: Floats, treatment: Floats, axis: int) -> Floats:
        ratios = [arm[0].mean(axis=axis) / arm[1].mean(axis=axis) for arm in (treatment, control)]
        return np.asarray(ratios[0] - ratios[1])

    wanted = stats.bootstrap(
        arms, difference, n_resamples=300, axis=-1, method="percentile", rng=rng
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-9)


def test_the_always_valid_interval_is_where_the_mixture_of_martingales_reaches_one_in_alpha() -> None:
    n_users, error, alpha = 3_000, 0.2, 0.05
    low, high, _ = always_valid(1.0, error, n_users, alpha, tuned_for=1_000)
    rho2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / 1_000
    total = n_users * (high - low) / 2 / (error * math.sqrt(n_users))  # of outcomes with variance 1

    def mixed(tilt: float) -> float:
        return math.exp(tilt * total - tilt**2 * n_users / 2 - tilt**2 / (2 * rho2))

    mass, _ = integrate.quad(mixed, -2, 2, points=[total / n_users])
    assert mass / math.sqrt(2 * math.pi * rho2) == pytest.approx(1 / alpha, rel=1e-6)


@given(
    effect=st.floats(-1, 1).filter(bool),
    error=st.floats(0.01, 1),
    n_users=st.integers(20, 10**7),
    alpha=st.floats(0.001, 0.3),
)
def test_the_always_valid_p_value_is_below_alpha_where_the_interval_leaves_out_zero(
    effect: float, error: float, n_users: int, alpha: float
) -> None:
    low, high, p_value = always_valid(effect, error, n_users, alpha, tuned_for=10_000)
    own = always_valid(effect, error, n_users, 0.05, tuned_for=10_000)

    assert high - low > 2 * stats.norm.isf(alpha / 2) * error
    assert 0 <= p_value <= 1
    assert (own[0] > 0 or own[1] < 0) == (own[2] < 0.05)


def test_the_sample_ratio_is_the_chi_square_of_the_planned_shares() -> None:
    found = check_sample_ratio({"a": 5_100, "b": 2_450, "c": 2_450}, [50, 25, 25])

    wanted = 100**2 / 5_000 + 2 * 50**2 / 2_500
    assert found.p_value == pytest.approx(stats.chi2.sf(wanted, 2), rel=1e-9)
    assert found.planned == {"a": 5_000, "b": 2_500, "c": 2_500}


def judged(*arms: Mapping[str, Floats], is_aa: bool = False) -> Verdict:
    return judge(make_outcomes(table(*arms)), TERMS, is_aa=is_aa)


def test_lost_users_stop_the_verdict_and_it_says_what_to_look_for() -> None:
    lost = {name: column[column > 0][:850] for name, column in made(1_000, 2).items()}
    found = judge(make_outcomes(table(made(1_000, 1), {**lost})), TERMS)

    assert not found.sample_ratio.is_kept
    assert found.readings == ()
    assert found.sentences[0].startswith("stopped:")
    assert "look for" in found.sentences[1]


def test_a_lift_of_likes_is_found_and_views_are_left_alone() -> None:
    found = {one.metric: one for one in judged(made(4_000, 1), made(4_000, 2, 0.2)).readings}

    assert found["likes/views"].says == "higher"
    assert found["likes/views"].tests[0].test == "cuped"
    assert found["likes/views"].tests[0].lift == pytest.approx(0.2, abs=0.05)
    assert found["views a user"].says == "not clear"


def test_an_a_a_experiment_shows_nothing_and_says_that_differences_are_chance() -> None:
    found = judged(made(2_000, 1), made(2_000, 2), is_aa=True)

    assert found.sentences[0].startswith("A/A")
    assert {reading.says for reading in found.readings} == {"not clear"}


def test_each_arm_is_compared_with_the_first_and_holm_corrects_over_all() -> None:
    found = judged(made(1_000, 1), made(1_000, 2), made(1_000, 3, 0.3)).readings

    raw = np.array([reading.tests[0].p_value for reading in found])
    order = np.argsort(raw)
    holm = np.minimum(np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)), 1)
    assert [found[place].p_holm for place in order] == pytest.approx(holm.tolist(), rel=1e-9)
    assert {reading.arm for reading in found} == {"b", "c"}
    assert {reading.arm for reading in found if reading.says == "higher"} == {"c"}


def test_the_deciding_test_does_not_depend_on_the_order_of_rows() -> None:
    users = table(made(500, 1), made(500, 2, 0.1))
    mixed = users.take(np.random.default_rng(3).permutation(len(users)))

    first, second = (judge(make_outcomes(rows), Terms(n_resamples=0)) for rows in (users, mixed))
    assert [one.tests[0].p_value for one in first.readings] == pytest.approx(
        [one.tests[0].p_value for one in second.readings], rel=1e-9
    )


# A unit of a power of 2, which divides without rounding: else what was a tie of ranks is none.
@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([LIKES, RATE]), st.sampled_from([0.25, 1024.0]))
def test_arms_that_change_places_change_the_sign_alone_and_units_change_nothing(
    seed: int, metric: Metric, unit: float
) -> None:
    first, second = made(40, seed), made(60, seed + 1)
    in_unit, again = ({name: unit * column for name, column in arm.items()} for arm in (first, second))
    terms = Terms(n_resamples=0)

    there, back = compare(metric, first, second, terms), compare(metric, second, first, terms)
    other = compare(metric, in_unit, again, terms)
    for one, same, in_units in zip(there, back, other, strict=True):
        assert same.effect == pytest.approx(-one.effect, abs=1e-9)
        assert same.p_value == pytest.approx(one.p_value, rel=1e-6)
        assert in_units.p_value == pytest.approx(one.p_value, rel=1e-6)


def test_what_nobody_did_is_left_out_by_name() -> None:
    nothing = {**made(100, 1), "purchases": np.zeros(100)}
    found = judged(nothing, {**made(100, 2), "purchases": np.zeros(100)})

    assert "purchases a user, b: every user of an arm has 0" in found.left_out
    assert not any(reading.metric.startswith("purchases a") for reading in found.readings)


def test_only_one_arm_that_bought_is_compared_all_the_same() -> None:
    bought = {**made(200, 2), "purchases": (np.arange(200) % 3 == 0).astype(np.float64)}
    found = judged({**made(200, 1), "purchases": np.zeros(200)}, bought)

    reading = next(one for one in found.readings if one.metric == "purchases a user")
    assert reading.says == "higher"
    json.dumps(found.values())
    write_page(found, "a page")


def test_a_verdict_is_a_page_without_scripts_and_with_every_text_escaped() -> None:
    users = table(made(50, 1), made(50, 2))
    named = users.set_column(0, "arm", pa.array(["<b>a</b>"] * 50 + ["b"] * 50))
    page = write_page(judge(make_outcomes(named), TERMS), "A & B")

    assert "<script" not in page
    assert "<b>" not in page
    assert "A &amp; B" in page


def outcomes(**columns: object) -> Outcomes:
    return make_outcomes(pa.table({**SMALL, **columns}))


def test_kinds_stand_in_the_order_from_seeing_to_buying_and_make_rates() -> None:
    found = outcomes(purchases=[0, 0, 1, 1], carts=[1, 1, 1, 1], answers=[1, 2, 3, 4], hits_5=[0, 1, 1, 2])

    assert found.kinds == ("views", "likes", "carts", "purchases")
    assert [rate.name for rate in found.rates] == [
        "likes/views",
        "carts/views",
        "purchases/carts",
        "HitRate@5",
    ]


def test_kinds_that_are_chosen_follow_one_another() -> None:
    found = make_outcomes(pa.table({**SMALL, "opens": [1, 1, 1, 1]}), kinds=["opens", "likes"])

    assert [rate.name for rate in found.rates] == ["likes/opens"]


def test_what_lacks_a_column_is_left_out_by_name() -> None:
    found = outcomes(hits_5_like=[0, 0, 1, 1], ctr=[0.1, 0.2, 0.3, 0.4])

    assert found.left_out == (
        "ctr: no kind of event that is known; choose the kinds to count it",
        "no pre_views: views without CUPED",
        "no pre_likes: likes without CUPED",
        "hits_5_like: without answers there is no HitRate@5 by like",
    )


def test_a_user_without_a_time_before_has_done_nothing_then() -> None:
    found = outcomes(pre_likes=[1, None, 2, None])

    assert found.values["pre_likes"].tolist() == [1, 0, 2, 0]
    assert "pre_likes is missing for 2 users: counted as 0" in found.left_out
    assert [metric.test for metric in find_metrics(found)] == ["welch", "welch", "cuped", "cuped", "delta"]


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({}, {"arm": "group"}, "no column 'group'"),
        ({"user_id": [1, 1, 2, 3]}, {}, "user 1 has 2 rows"),
        ({"likes": ["0", "1", "many", "2"]}, {}, "likes in row 3 is 'many'"),
        ({"likes": [0, None, 1, 2]}, {}, "likes in row 2 is None"),
        ({"arm": ["a", "a", None, "b"]}, {}, "1 users have no arm"),
        ({"arm": ["a", "a", "a", "a"]}, {}, "nothing to compare it with"),
        ({}, {"control": "c"}, "no user is in arm 'c': there are a, b"),
        ({}, {"arms": ["a", "c"]}, "arm 'b' is not planned: there are a, c"),
        ({}, {"kinds": ["clicks"]}, "no column 'clicks'"),
    ],
)
def test_a_table_that_is_none_is_refused_with_a_sentence(
    columns: dict[str, list[object]], options: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        make_outcomes(pa.table({**SMALL, **columns}), **options)


def test_shares_that_do_not_fit_the_arms_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit the arms a, b"):
        check_sample_ratio({"a": 1, "b": 1}, [50, 25, 25])


def test_the_arm_to_compare_with_comes_first() -> None:
    found = make_outcomes(pa.table({**SMALL, "arm": [2.0, 10.0, 2.0, 10.0]}), control="10")

    assert found.arms == ("10", "2")
    assert found.counts() == {"10": 2, "2": 2}
