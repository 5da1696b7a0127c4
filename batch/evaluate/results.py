"""What rankings are worth, list by list, and summed up: means, intervals over users, distance to popular."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from batch.evaluate.chance import EXPECTED
from batch.evaluate.intervals import intervals
from batch.evaluate.metrics import CUTS, METRICS, Floats, Hits, Ints

BASELINE = "popular"
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric of one ranking; intervals are of 95 %, over users.

    Attributes:
        value: Mean over lists; of `auc_in_session` over pairs.
        interval: Its interval; None where it is one figure of all lists together.
        ahead: By how much it is above the popular ranking of the same lists; None for that one itself.
        ahead_interval: Its interval, paired: the same users drawn on both sides.
    """

    value: float
    interval: Interval | None = None
    ahead: float | None = None
    ahead_interval: Interval | None = None


class Column(NamedTuple):
    """A metric of each list, float64 (lists,) both: it is the sum of `parts` over the sum of `wholes`."""

    parts: Floats
    wholes: Floats


Columns = Mapping[str, Column]


def column(values: Floats) -> Column:
    """Return what makes the mean of some values; NaN is left out."""
    known = np.isfinite(values)
    return Column(np.where(known, values, 0.0), known.astype(np.float64))


def of_hits(hits: Hits) -> dict[str, Column]:
    """Return every metric of order at every cut-off, `ndcg_at_10` and so on."""
    return {f"{name}_at_{k}": column(metric(hits, k)) for name, metric in METRICS.items() for k in CUTS}


def of_chance(n: Ints, n_relevant: Ints) -> dict[str, Column]:
    """Return the same as expected of a random order of `n` posts, exact."""
    return {
        f"{name}_at_{k}": column(expected(n, n_relevant, k))
        for name, expected in EXPECTED.items()
        for k in CUTS
    }


def pooled(some: list[dict[str, Columns]]) -> dict[str, Columns]:
    """Lay the lists of several tests end to end; what not all of them have is left out."""
    return {
        name: {
            metric: Column(
                np.concatenate([one[name][metric].parts for one in some]),
                np.concatenate([one[name][metric].wholes for one in some]),
            )
            for metric in some[0][name]
            if all(metric in one[name] for one in some)
        }
        for name in some[0]
        if all(name in one for one in some)
    }


def summed(
    rankings: Mapping[str, Columns],
    owner: Ints,
    rng: np.random.Generator,
    rows: npt.NDArray[np.bool_] | None = None,
    only: tuple[str, ...] = (),
) -> dict[str, dict[str, Figure]]:
    """Sum up each ranking's metrics.

    Args:
        rankings: Name to its columns; those of `BASELINE` are what the others are held against.
        owner: int64 (lists,). Whose list it is: intervals draw users, with all their lists.
        rng: Draws; all figures share them.
        rows: bool (lists,). The lists that count; None for all.
        only: The metrics to return; empty for all.
    """
    kept = np.ones(len(owner), np.bool_) if rows is None else rows
    labels, parts, wholes = _laid(rankings, kept, only)
    ranges = intervals(parts, wholes, owner[kept], rng).tolist()
    total = wholes.sum(axis=0)
    rates = np.divide(parts.sum(axis=0), total, out=np.full(len(total), np.nan), where=total > 0).tolist()
    out: dict[str, dict[str, Figure]] = {name: {} for name in rankings}
    for (name, metric, against), k in zip(labels, range(0, len(rates), 2), strict=True):
        ahead = (rates[k + 1], tuple(ranges[k + 1])) if against else (None, None)
        out[name][metric] = Figure(rates[k], tuple(ranges[k]), *ahead)
    return out


def _laid(
    rankings: Mapping[str, Columns], kept: npt.NDArray[np.bool_], only: tuple[str, ...]
) -> tuple[list[tuple[str, str, bool]], Floats, Floats]:
    """Lay all metrics side by side, two columns each: its own, and how far above the baseline it is.

    Returns:
        Ranking, metric and whether there is a baseline of each; parts and wholes, float64 (lists, 2 each).
    """
    labels, parts, wholes = [], [np.empty((int(kept.sum()), 0))], [np.empty((int(kept.sum()), 0))]
    for name, columns in rankings.items():
        for metric, (part, whole) in columns.items():
            if only and metric not in only:
                continue
            base = rankings.get(BASELINE, {}).get(metric, Column(np.zeros_like(part), np.zeros_like(whole)))
            both = (whole > 0) & (base.wholes > 0)  # the lists of which both rankings have a figure
            labels.append((name, metric, bool(both.any()) and name != BASELINE))
            parts.append(np.column_stack([part, np.where(both, part - base.parts, 0.0)])[kept])
            wholes.append(np.column_stack([whole, np.where(both, whole, 0.0)])[kept])
    return labels, np.hstack(parts), np.hstack(wholes)
