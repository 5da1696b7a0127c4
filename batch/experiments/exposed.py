"""What users would have done in experiments of some lengths, had they just ended: from facts, days back."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from api.contract.buckets import DAY_S
from batch.arrays import Bools, Ints
from batch.data.facts import Facts
from batch.experiments.outcomes import Outcomes, make_outcomes

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 28)  # days


def runs_of(facts: Facts) -> Iterator[tuple[int, Outcomes]]:
    """Yield the lengths of experiments, days, that facts span, and what users did in the last so many days.

    Who saw a post in these days would be exposed; what they did in as many days before serves CUPED, where
    the facts reach back so far.
    """
    end, begin = facts.as_of_s + 1, int(facts.time[0])
    for days in LENGTHS:
        span = days * DAY_S
        if end - span < begin and days > 1:
            return
        columns = _count(facts.between(end - span, end))
        exposed = columns["views"] > 0
        if end - 2 * span >= begin:
            before = _count(facts.between(end - 2 * span, end - span))
            columns |= {f"pre_{kind}": counts for kind, counts in before.items()}
        yield days, make_outcomes(_select(columns, exposed), arm=None)


def _count(facts: Facts) -> dict[str, Ints]:
    """Return how often each user did what; int64 (users,)."""
    n_users = len(facts.users)
    return {
        "views": np.bincount(facts.user[facts.views], minlength=n_users),
        "likes": np.bincount(facts.user[facts.likes], minlength=n_users),
    }


def _select(columns: dict[str, Ints], exposed: Bools) -> pa.Table:
    return pa.table({kind: counts[exposed] for kind, counts in columns.items()})
