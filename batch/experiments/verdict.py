"""The verdict on an experiment: are the arms as planned, then what each metric says of each arm."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import tea_tasting as tt
from scipy.stats import chisquare
from tea_tasting.experiment import ExperimentResult

from batch.experiments.comparisons import Comparison, Terms, compare
from batch.experiments.metrics import Metric, Sample, find_metrics, sample_of
from batch.experiments.outcomes import Outcomes

RATIO_ALPHA = 0.001  # a healthy experiment in a thousand is stopped for nothing
FEWEST_USERS = 10  # of an arm: below that no test of means is near what it promises
_LOOK_FOR = (
    "look for what loses users in one arm (errors, slow answers, exposures dropped), for users left out "
    "after they had their arm, for a salt or shares changed on the way, for other planned shares than these"
)
_AA = (
    "A/A: all arms were served the same, so any difference is chance, or a fault of counting; without a "
    "fault, 19 of 20 such experiments show none"
)
Says = Literal["higher", "lower", "not clear"]


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Whether users came to the arms in the planned shares.

    Attributes:
        users: Users by arm.
        planned: Users by arm that the shares promise.
        p_value: Of these numbers, were the shares kept.
    """

    users: Mapping[str, int]
    planned: Mapping[str, float]
    p_value: float

    @property
    def is_kept(self) -> bool:
        """Return whether the shares were kept."""
        return self.p_value >= RATIO_ALPHA


@dataclass(frozen=True, slots=True)
class Reading:
    """What one metric says of an arm against the first one.

    Attributes:
        metric: Its name.
        arm: The arm.
        control: The metric in the first arm.
        treatment: The metric in the arm.
        tests: What each test says, the one that decides first.
        p_holm: The deciding test's p-value, corrected for all metrics and arms.
        says: By `p_holm`: whether the arm is higher or lower.
    """

    metric: str
    arm: str
    control: float
    treatment: float
    tests: Sequence[Comparison]
    p_holm: float
    says: Says


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an experiment says.

    Attributes:
        sample_ratio: Checked first; where the shares were not kept there are no readings.
        readings: By metric and arm.
        left_out: What could not be told, a sentence each.
        terms: How arms were compared.
        is_aa: Whether all arms were served the same.
    """

    sample_ratio: SampleRatio
    readings: Sequence[Reading]
    left_out: Sequence[str]
    terms: Terms
    is_aa: bool = False

    @property
    def sentences(self) -> list[str]:
        """Return what is to be said of the whole."""
        if not self.sample_ratio.is_kept:
            return [
                "stopped: the arms do not have their planned shares of users, so they are not alike",
                _LOOK_FOR,
            ]
        clear = [reading for reading in self.readings if reading.says != "not clear"]
        if self.is_aa:
            return [_AA, f"{len(clear)} of {len(self.readings)} readings differ after Holm's correction"]
        if not clear:
            return ["no difference is shown: what the intervals still hold may be true"]
        return [_spell(reading) for reading in clear]

    def values(self) -> dict[str, Any]:
        """Return it as JSON writes it."""
        return {
            "users": dict(self.sample_ratio.users),
            "sample_ratio": {
                "planned": dict(self.sample_ratio.planned),
                "p_value": self.sample_ratio.p_value,
                "is_kept": self.sample_ratio.is_kept,
            },
            "is_aa": self.is_aa,
            "alpha": self.terms.alpha,
            "says": self.sentences,
            "readings": [asdict(reading) for reading in self.readings],
            "left_out": list(self.left_out),
        }


def judge(outcomes: Outcomes, terms: Terms, *, shares: Sequence[float] = (), is_aa: bool = False) -> Verdict:
    """Judge an experiment.

    Args:
        outcomes: One row a user.
        terms: How arms are compared.
        shares: Planned shares of users in the order of the arms; empty: equal ones.
        is_aa: Whether all arms were served the same.

    Raises:
        ValueError: Shares do not fit the arms.
    """
    ratio = check_sample_ratio(outcomes.counts(), shares)
    if not ratio.is_kept:
        return Verdict(ratio, (), outcomes.left_out, terms, is_aa)
    left_out = list(outcomes.left_out)
    readings: list[Reading] = []
    samples = [sample_of(outcomes, place) for place in range(len(outcomes.arms))]
    for metric in find_metrics(outcomes):
        for place, arm in enumerate(outcomes.arms[1:], 1):
            why_not = _why_not(metric, samples[0], samples[place])
            if why_not:
                left_out.append(f"{metric.name}, {arm}: {why_not}")
            else:
                readings.append(_read(metric, arm, samples[0], samples[place], terms))
    return Verdict(ratio, correct(readings, terms.alpha), left_out, terms, is_aa)


def check_sample_ratio(users: Mapping[str, int], shares: Sequence[float] = ()) -> SampleRatio:
    """Check by chi-square whether users came to the arms in the planned shares.

    >>> check_sample_ratio({"a": 51_000, "b": 49_000}).is_kept, check_sample_ratio({"a": 51, "b": 49}).is_kept
    (False, True)
    """
    weights = np.array(shares or [1.0] * len(users), np.float64)
    if len(weights) != len(users) or (weights <= 0).any():
        raise ValueError(f"shares {', '.join(map(str, shares))} do not fit the arms {', '.join(users)}")
    counts = np.array(list(users.values()), np.float64)
    planned = counts.sum() * weights / weights.sum()
    p_value = float(chisquare(counts, planned).pvalue)
    return SampleRatio(users, dict(zip(users, planned.tolist(), strict=True)), p_value)


def correct(readings: Sequence[Reading], alpha: float) -> list[Reading]:
    """Return readings with p-values corrected by Holm over all of them."""
    tested = {
        place: ExperimentResult({"metric": {"pvalue": reading.tests[0].p_value}})
        for place, reading in enumerate(readings)
        if np.isfinite(reading.tests[0].p_value)
    }
    if not tested:
        return list(readings)
    found = tt.adjust_fwer(tested, alpha=alpha, arbitrary_dependence=True, method="bonferroni")
    corrected = {place: float(result["metric"]["pvalue_adj"]) for place, result in found.items()}
    return [
        _decide(reading, corrected.get(place, float("nan")), alpha) for place, reading in enumerate(readings)
    ]


def _decide(reading: Reading, p_holm: float, alpha: float) -> Reading:
    is_higher = reading.tests[0].effect > 0
    says: Says = ("higher" if is_higher else "lower") if p_holm < alpha else "not clear"
    return Reading(
        reading.metric, reading.arm, reading.control, reading.treatment, reading.tests, p_holm, says
    )


def _read(metric: Metric, arm: str, control: Sample, treatment: Sample, terms: Terms) -> Reading:
    values = [_value(metric, sample) for sample in (control, treatment)]
    tests = compare(metric, control, treatment, terms)
    return Reading(metric.name, arm, values[0], values[1], tests, float("nan"), "not clear")


def _value(metric: Metric, sample: Sample) -> float:
    under = 1.0 if metric.under is None else sample[metric.under].mean()
    return float(sample[metric.over].mean() / under)


def _why_not(metric: Metric, control: Sample, treatment: Sample) -> str:
    """Return why a metric cannot be compared; empty where it can."""
    for sample in (control, treatment):
        if len(sample[metric.over]) < FEWEST_USERS:
            return f"an arm has fewer than {FEWEST_USERS} users"
        if metric.under is not None and not sample[metric.under].sum():
            return f"an arm has no {metric.under}"
    over = [sample[metric.over] for sample in (control, treatment)]
    if all(np.ptp(column) == 0 for column in over):
        same = over[0][0] == over[1][0]
        return (
            f"every user of an arm has {over[0][0]:g}" if same else "no user of an arm differs from another"
        )
    return ""


def _spell(reading: Reading) -> str:
    test = reading.tests[0]
    bounds = f"[{test.lift_low:+.1%}, {test.lift_high:+.1%}]"
    return (
        f"{reading.metric} is {reading.says} in {reading.arm}: {test.lift:+.1%} {bounds}, "
        f"p {reading.p_holm:.2g} after Holm"
    )
