"""Two arms compared by one metric, by every test that the columns allow. The formulas are tea-tasting's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import tea_tasting as tt
from scipy.stats import norm
from tea_tasting.aggr import Aggregates

from batch.arrays import Floats
from batch.experiments.always_valid import TUNED_FOR, always_valid
from batch.experiments.metrics import Metric, Sample

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Terms:
    """How arms are compared.

    Attributes:
        alpha: How often a test may find what is not there; intervals have 1 - alpha.
        tuned_for: Users of both arms at which the always-valid interval is narrowest.
        n_buckets: Buckets of users that the bootstrap draws from, in each arm.
        n_resamples: Draws of the bootstrap; 0: none.
        seed: Of buckets and draws.
    """

    alpha: float = 0.05
    tuned_for: int = TUNED_FOR
    n_buckets: int = 200
    n_resamples: int = 2_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one test says. NaN: this test does not tell it.

    Attributes:
        test: `welch`, `delta`, `cuped`, `mann_whitney`, `bootstrap` or `always_valid`.
        effect: Treatment less control; of `mann_whitney`, how much oftener a user of the treatment has more.
        low: Lower bound of the effect.
        high: Upper bound.
        lift: The effect over the control's value.
        lift_low: Lower bound of the lift.
        lift_high: Upper bound.
        p_value: Of no difference at all.
    """

    test: str
    effect: float
    low: float = NAN
    high: float = NAN
    lift: float = NAN
    lift_low: float = NAN
    lift_high: float = NAN
    p_value: float = NAN


def aggregate(sample: Sample, columns: list[str]) -> Aggregates:
    """Return number, means, variances and covariances of columns, which all tests of means start from."""
    values = np.vstack([sample[name] for name in columns])
    covariances = np.atleast_2d(np.cov(values, ddof=1)).tolist()
    places = range(len(columns))
    return Aggregates(
        count_=values.shape[1],
        mean_=dict(zip(columns, values.mean(axis=1).tolist(), strict=True)),
        var_={columns[i]: covariances[i][i] for i in places},
        cov_={(columns[i], columns[j]): covariances[i][j] for i in places for j in range(i)},
    )


def compare(metric: Metric, control: Sample, treatment: Sample, terms: Terms) -> list[Comparison]:
    """Compare two arms of at least two users each, the deciding test first."""
    of_control, of_treatment = (aggregate(sample, metric.columns) for sample in (control, treatment))
    plain = "delta" if metric.under else "welch"
    found = [compare_means(metric, of_control, of_treatment, terms, cuped=False, name=plain)]
    if metric.pre_over:
        found = [compare_means(metric, of_control, of_treatment, terms, cuped=True, name="cuped"), *found]
    found.append(look_early(metric, of_control, of_treatment, terms))
    if not metric.is_share:
        found.append(compare_ranks(metric, control, treatment))
    if terms.n_resamples:
        found.append(resample(metric, control, treatment, terms))
    return found


def compare_means(
    metric: Metric, control: Aggregates, treatment: Aggregates, terms: Terms, *, cuped: bool, name: str
) -> Comparison:
    """Compare means by Welch's test, ratios by the delta method; with `cuped` less what the past explains."""
    found = _as_mean(metric, terms, cuped=cuped).analyze_aggregates(control, treatment)
    return Comparison(name, *_effects(found), p_value=float(found.pvalue))


def look_early(metric: Metric, control: Aggregates, treatment: Aggregates, terms: Terms) -> Comparison:
    """Return the interval that holds at every look, around the effect of the test that decides."""
    found = _as_mean(metric, terms, cuped=bool(metric.pre_over), use_t=False).analyze_aggregates(
        control, treatment
    )
    # The library tells no standard error; its normal interval is that many of them wide.
    error = (found.effect_size_ci_upper - found.effect_size_ci_lower) / 2 / norm.isf(terms.alpha / 2)
    n_users = control.count() + treatment.count()
    low, high, p_value = always_valid(found.effect_size, error, n_users, terms.alpha, terms.tuned_for)
    base = found.control or NAN
    # Plain floats: the library's own number is one that no JSON writer knows.
    told = (found.effect_size, low, high, found.rel_effect_size, low / base, high / base, p_value)
    return Comparison("always_valid", *map(float, told))


def compare_ranks(metric: Metric, control: Sample, treatment: Sample) -> Comparison:
    """Compare users by rank: of a ratio each user's own one, of who has any below the line."""
    tables = [pa.table({"value": _own(metric, sample)}) for sample in (control, treatment)]
    ranks = tt.MannWhitneyU("value", alternative="two-sided", correction=True)
    found = ranks.analyze_granular(*tables)
    return Comparison("mann_whitney", float(found.effect_size), p_value=float(found.pvalue))


def resample(metric: Metric, control: Sample, treatment: Sample, terms: Terms) -> Comparison:
    """Compare by bootstrap of buckets of users, which costs the same however many users there are."""
    rng = np.random.default_rng(terms.seed)
    tables = [_bucket(metric, sample, terms.n_buckets, rng) for sample in (control, treatment)]
    drawn = tt.Bootstrap(
        ("over", "under"),
        _ratio_of_means,
        alternative="two-sided",
        confidence_level=1 - terms.alpha,
        n_resamples=terms.n_resamples,
        method="percentile",
        rng=rng,
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # of a lift over nothing
        return Comparison("bootstrap", *_effects(drawn.analyze_granular(*tables)))


def _as_mean(metric: Metric, terms: Terms, *, cuped: bool, use_t: bool = True) -> Any:
    return tt.RatioOfMeans(
        metric.over,
        metric.under,
        metric.pre_over if cuped else None,
        metric.pre_under if cuped else None,
        alternative="two-sided",
        confidence_level=1 - terms.alpha,
        equal_var=False,
        use_t=use_t,
    )


def _effects(found: Any) -> tuple[float, float, float, float, float, float]:
    return (
        float(found.effect_size),
        float(found.effect_size_ci_lower),
        float(found.effect_size_ci_upper),
        float(found.rel_effect_size),
        float(found.rel_effect_size_ci_lower),
        float(found.rel_effect_size_ci_upper),
    )


def _own(metric: Metric, sample: Sample) -> Floats:
    """Return each user's own value of a metric."""
    if metric.under is None:
        return sample[metric.over]
    has_any = sample[metric.under] > 0
    return sample[metric.over][has_any] / sample[metric.under][has_any]


def _bucket(metric: Metric, sample: Sample, n_buckets: int, rng: np.random.Generator) -> pa.Table:
    """Sum users up in buckets drawn at random: the order of a table's rows may follow what users did."""
    over = sample[metric.over]
    under = np.ones(len(over)) if metric.under is None else sample[metric.under]
    bucket = rng.permutation(len(over)) % min(n_buckets, len(over))
    return pa.table({"over": np.bincount(bucket, over), "under": np.bincount(bucket, under)})


def _ratio_of_means(values: Floats, axis: int) -> Floats:
    over, under = values.mean(axis=axis)
    return np.asarray(over / under)
