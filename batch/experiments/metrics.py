"""What can be compared: of each kind of event its mean and its share of users, then the ratios."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from batch.arrays import Floats
from batch.experiments.outcomes import PRE, Outcomes

Sample = Mapping[str, Floats]  # one arm's columns, float64 (users,)


@dataclass(frozen=True, slots=True)
class Metric:
    """What is compared.

    Attributes:
        name: As people read it.
        over: Column whose mean a user it is, or the upper one of a ratio.
        under: Column below the line of a ratio of sums; None: a mean over users.
        pre_over: The same before the experiment, for CUPED; None: there is none.
        pre_under: The same.
        is_share: Whether its values are 0 and 1, which have no ranks worth a test.
    """

    name: str
    over: str
    under: str | None = None
    pre_over: str | None = None
    pre_under: str | None = None
    is_share: bool = False

    @property
    def columns(self) -> list[str]:
        """Return the columns that it needs."""
        named = (self.over, self.under, self.pre_over, self.pre_under)
        return list(dict.fromkeys(name for name in named if name is not None))

    @property
    def test(self) -> str:
        """Return the test that decides, known before anything is counted."""
        return "cuped" if self.pre_over else "delta" if self.under else "welch"


def find_metrics(outcomes: Outcomes) -> list[Metric]:
    """Return the metrics that the columns allow: of each kind its mean and its share, then the ratios."""

    def pre(name: str) -> str | None:
        return PRE + name if PRE + name in outcomes.values else None

    metrics = []
    for kind in outcomes.kinds:
        metrics.append(Metric(f"{kind} a user", kind, pre_over=pre(kind)))
        metrics.append(Metric(f"users with {kind}", _has(kind), pre_over=pre(kind), is_share=True))
    for rate in outcomes.rates:
        has_both = pre(rate.over) and pre(rate.under)
        before = (pre(rate.over), pre(rate.under)) if has_both else (None, None)
        metrics.append(Metric(rate.name, rate.over, rate.under, *before))
    return metrics


def sample_of(outcomes: Outcomes, arm: int) -> Sample:
    """Return an arm's columns and, of each kind, which users have any."""
    sample = outcomes.of(arm)
    return sample | {_has(kind): (sample[kind] > 0).astype(np.float64) for kind in outcomes.kinds}


def _has(kind: str) -> str:
    return f"has {kind}"
