"""How many users an experiment takes, and how many days until they have come; formulas are tea-tasting's."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import tea_tasting as tt
from tea_tasting.aggr import Aggregates

from batch.experiments.comparisons import aggregate
from batch.experiments.metrics import Metric, Sample, find_metrics, sample_of
from batch.experiments.outcomes import Outcomes

FEWEST_USERS = 20  # of both arms: below that no test of means is near what it promises


@dataclass(frozen=True, slots=True)
class Wish:
    """What an experiment of two arms is to find.

    Attributes:
        lift: Relative difference that is to be found, above 0: .02 is 2 %.
        power: How often it is to be found where it is there.
        alpha: How often a test may find what is not there.
        share: Share of the users who are in the treatment.
        users: Users of both arms; None: as many as come.
    """

    lift: float = 0.05
    power: float = 0.8
    alpha: float = 0.05
    share: float = 0.5
    users: int | None = None

    def __post_init__(self) -> None:
        """Check what is told.

        Raises:
            ValueError: A value is out of range.
        """
        if not 0 < self.lift < 10:
            raise ValueError(f"lift={self.lift:g} is no lift: .02 is 2 %")
        for name in ("power", "alpha", "share"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name):g} must lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class Need:
    """What a metric takes.

    Attributes:
        metric: Its name.
        test: The test that will decide.
        days: How long the experiment would run; None: the table does not say.
        users: Users of both arms who would have come by then.
        value: The metric in these users.
        users_needed: Users of both arms who would show the wished lift.
        lift_found: The lift that the users who come would show.
    """

    metric: str
    test: str
    days: int | None
    users: int
    value: float
    users_needed: int
    lift_found: float

    @property
    def is_enough(self) -> bool:
        """Return whether enough users come."""
        return self.users >= self.users_needed


@dataclass(frozen=True, slots=True)
class Plan:
    """What an experiment takes, by metric and by how long it would run."""

    wish: Wish
    needs: tuple[Need, ...]

    def first_enough(self) -> dict[str, Need | None]:
        """Return by metric the shortest run that shows the wished lift; None where none does."""
        metrics = dict.fromkeys(need.metric for need in self.needs)
        enough = [need for need in self.needs if need.is_enough]
        return {name: next((need for need in enough if need.metric == name), None) for name in metrics}

    def values(self) -> dict[str, Any]:
        """Return it as JSON writes it."""
        first = {name: need and need.days for name, need in self.first_enough().items()}
        return {**asdict(self.wish), "days": first, "needs": [asdict(need) for need in self.needs]}


def plan(runs: Iterable[tuple[int | None, Outcomes]], wish: Wish) -> Plan:
    """Plan an experiment.

    Args:
        runs: How many days an experiment would run, and what all users did in so many, shortest first.
        wish: What it is to find.

    Raises:
        ValueError: No metric varies in the users who would come.
    """
    needs: list[Need] = []
    for days, outcomes in runs:
        sample = sample_of(outcomes, 0)
        metrics = (metric for metric in find_metrics(outcomes) if _varies(metric, sample))
        needs += [solve(metric, sample, wish, days) for metric in metrics]
    if not needs:
        raise ValueError(
            "no metric can be planned: fewer than twenty users came, or all of them did the same"
        )
    return Plan(wish, tuple(needs))


def solve(metric: Metric, sample: Sample, wish: Wish, days: int | None = None) -> Need:
    """Return what a metric takes by the variance of a sample of users."""
    means = aggregate(sample, metric.columns)
    users = wish.users or means.count()
    terms: dict[str, Any] = {
        "alternative": "two-sided",
        "equal_var": False,
        "use_t": False,  # the noncentral t is NaN where a try of the solver lies far from the answer
        "alpha": wish.alpha,
        "power": wish.power,
        "ratio": wish.share / (1 - wish.share),
    }
    names = (metric.over, metric.under, metric.pre_over, metric.pre_under)
    wished = tt.RatioOfMeans(*names, rel_effect_size=wish.lift, n_obs=FEWEST_USERS, **terms)
    found = tt.RatioOfMeans(*names, n_obs=users, **terms)
    is_easy = wished.solve_power_from_aggregates(means, "power")[0].power >= wish.power
    return Need(
        metric=metric.name,
        test=metric.test,
        days=days,
        users=users,
        value=float(means.mean(metric.over) / means.mean(metric.under)),
        users_needed=FEWEST_USERS if is_easy else _solve(wished, means, "n_obs"),
        lift_found=_solve(found, means, "rel_effect_size"),
    )


def _solve(metric: Any, means: Aggregates, parameter: str) -> Any:
    return getattr(metric.solve_power_from_aggregates(means, parameter)[0], parameter)


def _varies(metric: Metric, sample: Sample) -> bool:
    over = sample[metric.over]
    return len(over) >= FEWEST_USERS and over.min() < over.max() and over.mean() > 0
