"""What another policy would have earned, from what one with known probabilities showed and earned.

Each estimate is a ratio of means over users (or records, where no user is told), so that one variance serves
all: tea-tasting's, by the delta method.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import norm

from batch.arrays import Floats, Ints
from batch.experiments.comparisons import aggregate

Name = Literal["ips", "snips", "doubly_robust"]
LEAST_SHARE = 0.2  # of the records that must count: below that a few of them are the estimate
FAR = 4.0  # standard errors that the mean weight may lie from 1


@dataclass(frozen=True, slots=True)
class Log:
    """Records of actions that were drawn with known probabilities.

    Attributes:
        reward: float64 (records,). What each action earned.
        propensity: float64 (records,), above 0. With what probability it was drawn.
        target: float64 (records,). With what probability the other policy would have drawn it.
        model_reward: float64 (records,). What a model that never saw the record expects of its action.
        model_value: float64 (records,). What the model expects of the other policy there.
        user: int64 (records,). Whose records belong together; None: each stands for itself.
    """

    reward: Floats
    propensity: Floats
    target: Floats
    model_reward: Floats | None = None
    model_value: Floats | None = None
    user: Ints | None = None

    def __post_init__(self) -> None:
        """Check what is told.

        Raises:
            ValueError: There are fewer than two records, or a value is no probability or no number.
        """
        if len(self.reward) < 2:
            raise ValueError(f"{len(self.reward)} records are too few to estimate from")
        _require("propensity", self.propensity, self.propensity > 0, "above 0 and up to 1")
        _require("target", self.target, self.target >= 0, "from 0 to 1")
        for name in ("reward", "model_reward", "model_value"):
            column = getattr(self, name)
            if column is not None and not np.isfinite(column).all():
                raise ValueError(f"{name} in row {int(np.argmin(np.isfinite(column))) + 1} is no number")

    @property
    def weight(self) -> Floats:
        """Return how much oftener the other policy would have drawn each action."""
        return self.target / self.propensity


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the other policy would earn a record, with the bounds of an interval."""

    estimator: Name
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class OffPolicy:
    """What a log tells of another policy.

    Attributes:
        n_records: Records in the log.
        effective_size: Records drawn by the other policy itself that would tell as much (Kish).
        mean_weight: 1 but for chance where the propensities are right.
        logged: What was earned a record.
        estimates: By estimator; none where too few records count.
        notes: What is missing or strange, a sentence each.
        refused: Why there are no estimates, or why not to believe those that were asked for all the same.
    """

    n_records: int
    effective_size: float
    mean_weight: float
    logged: float
    estimates: tuple[Estimate, ...]
    notes: tuple[str, ...]
    refused: str

    def values(self) -> dict[str, Any]:
        """Return it as JSON writes it."""
        return {**asdict(self), "estimates": [asdict(estimate) for estimate in self.estimates]}


def evaluate_policy(log: Log, alpha: float = 0.05, *, anyway: bool = False) -> OffPolicy:
    """Estimate what the other policy would earn.

    Args:
        log: Records of the policy that was served.
        alpha: How often an interval may miss.
        anyway: Whether to estimate although too few records count.

    Source:
        Horvitz & Thompson (1952), ips; Swaminathan & Joachims (2015), snips; Dudík, Langford & Li (2011),
        doubly robust; Kish (1965), effective size.
    """
    weight = log.weight
    size = effective_size(weight)
    refused = ""
    if size < LEAST_SHARE * len(weight):
        refused = (
            f"only {size:,.0f} of {len(weight):,} records count ({size / len(weight):.1%}, at least "
            f"{LEAST_SHARE:.0%} must): the policies are too far apart for this log"
        )
    estimates = () if refused and not anyway else _estimate(log, weight, alpha)
    return OffPolicy(
        n_records=len(weight),
        effective_size=size,
        mean_weight=float(weight.mean()),
        logged=float(log.reward.mean()),
        estimates=estimates,
        notes=tuple(_find_notes(log, weight)),
        refused=refused,
    )


def effective_size(weight: Floats) -> float:
    """Return how many records of equal weight tell as much; 0 where all weights are 0.

    >>> effective_size(np.array([1.0, 1.0, 1.0, 1.0])), effective_size(np.array([4.0, 0.0, 0.0, 0.0]))
    (4.0, 1.0)
    """
    squares = float(weight @ weight)
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def _estimate(log: Log, weight: Floats, alpha: float) -> tuple[Estimate, ...]:
    one, earned = np.ones(len(weight)), weight * log.reward
    ratios: dict[Name, tuple[Floats, Floats]] = {"ips": (earned, one), "snips": (earned, weight)}
    if log.model_reward is not None and log.model_value is not None:
        corrected = log.model_value + weight * (log.reward - log.model_reward)
        ratios["doubly_robust"] = (corrected, one)
    return tuple(
        Estimate(name, *_ratio(over, under, log.user, alpha)) for name, (over, under) in ratios.items()
    )


def _ratio(over: Floats, under: Floats, user: Ints | None, alpha: float) -> tuple[float, float, float]:
    """Return a ratio of means and its bounds, users being what varies."""
    if not under.any():
        return (float("nan"),) * 3
    if user is not None:
        over, under = (np.bincount(user, column).astype(np.float64) for column in (over, under))
    means = aggregate({"over": over, "under": under}, ["over", "under"])
    value = means.mean("over") / means.mean("under")
    half = float(norm.isf(alpha / 2)) * (means.ratio_var("over", "under") / len(over)) ** 0.5
    return value, value - half, value + half


def _find_notes(log: Log, weight: Floats) -> list[str]:
    found = []
    lacking = [name for name in ("model_reward", "model_value") if getattr(log, name) is None]
    if lacking:
        found.append(f"no {' and no '.join(lacking)}: without the doubly robust estimate")
    error = float(weight.std()) / len(weight) ** 0.5
    if abs(weight.mean() - 1) > FAR * error:
        found.append(
            f"the mean weight is {weight.mean():.3g} and should be 1: either the propensities are not those "
            "that actions were drawn with, or the other policy draws what this one never does"
        )
    return found


def _require(name: str, column: Floats, is_good: Any, range_: str) -> None:
    is_good = is_good & (column <= 1)
    if not is_good.all():
        at = int(np.argmin(is_good))
        raise ValueError(f"{name} in row {at + 1} is {column[at]:g}: it must be a probability, {range_}")
