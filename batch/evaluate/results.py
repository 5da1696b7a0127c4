"""The result frame: one row a figure, the same columns whatever was measured, and how metrics become rows.

A protocol measures every list by every model (`MeasuredLists`); `summarize` makes rows of them: means with
their intervals over users, and differences of two models on the same lists, paired.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from batch.arrays import Bools, Floats, Ints, Ints32
from batch.data.facts import Facts
from batch.evaluate.chance import EXPECTED
from batch.evaluate.intervals import bootstrap
from batch.evaluate.metrics import CUTS, METRICS, Hits, divide

ALL, NO_SEGMENT = "all", "none"
WARMTH = ((0, "0"), (1, "1-9"), (10, "10-99"), (100, "100 or more"))  # past impressions, from each number on

Metric = tuple[str, int]  # name and cut-off, 0 where it has none
Groups = Iterable[tuple[str, Bools]]  # segment and bool (lists,)


class Figure(NamedTuple):
    """A row of the result frame; docs/evaluation.md tells the columns.

    `against` is empty, or the model that `value` is the distance to: above 0 where `model` is better. `k` is
    0 where a metric has no cut-off; `low` and `high` are NaN where a figure has no interval over users.
    """

    protocol: str
    segment: str
    model: str
    against: str
    metric: str
    k: int
    value: float
    low: float
    high: float
    n_users: int
    n_lists: int


class Column(NamedTuple):
    """A metric of each list, float64 (lists,) both: it is the sum of `parts` over the sum of `wholes`."""

    parts: Floats
    wholes: Floats

    def figure(self) -> float:
        """Return it over all lists; NaN where none has it."""
        whole = float(self.wholes.sum())
        return float(self.parts.sum()) / whole if whole else float("nan")


Columns = dict[Metric, Column]


@dataclass(frozen=True, slots=True)
class Report:
    """What a command found: what was tested, for JSON, and the result frame."""

    about: dict[str, Any]
    results: pd.DataFrame

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON; `results` is a list of the frame's rows."""
        return {**self.about, "results": self.results.to_dict("records")}


@dataclass(frozen=True, slots=True)
class MeasuredLists:
    """Metrics of lists of one protocol that were ranked after one moment.

    Attributes:
        models: Model to metric to a column over the lists.
        user: int64 (lists,). Row of whose list it is.
        past: int64 (lists,). The user's impressions before that moment; empty where nobody groups by them.
        totals: Model to figures that no single list has, such as coverage, or seconds.
    """

    models: dict[str, Columns]
    user: Ints
    past: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    totals: dict[str, dict[Metric, float]] = field(default_factory=dict)

    def only(self, metrics: tuple[Metric, ...]) -> "MeasuredLists":
        """Return the same lists with some of their metrics."""
        models = {name: {metric: of[metric] for metric in metrics} for name, of in self.models.items()}
        return replace(self, models=models)

    def sizes(self) -> dict[str, Any]:
        """Return `n_users` and `n_lists`."""
        return {"n_users": len(np.unique(self.user)), "n_lists": len(self.user)}


def result_frame(figures: Iterable[Figure]) -> pd.DataFrame:
    """Return figures as the result frame, one row each.

    Raises:
        ValueError: Two rows are of the same figure, or an interval ends before it begins.
    """
    frame = pd.DataFrame(list(figures), columns=list(Figure._fields))
    twice = frame.duplicated(["protocol", "segment", "model", "against", "metric", "k"])
    wrong = frame[twice | (frame["low"] > frame["high"])]
    if len(wrong):
        raise ValueError(f"the result frame cannot hold {wrong.iloc[0].to_dict()}")
    return frame


def mean_column(values: Floats) -> Column:
    """Return the column whose figure is the mean of some values; NaN is left out."""
    finite = np.isfinite(values)
    return Column(np.where(finite, values, 0.0), finite.astype(np.float64))


def truth_columns(hit: Floats, random: Floats, best: Floats, k: int) -> Columns:
    """Return the metrics of lists whose first `k` hold a like with some chance, float64 (lists,) each.

    Args:
        hit: That chance; it is `expected_hitrate`.
        random: The chance at random: `normalized` is how far above it the lists are, in sums over them,
        best: over how far the best ones are.
        k: Cut-off.
    """
    return {
        ("expected_hitrate", k): mean_column(hit),
        ("normalized", k): Column(hit - random, best - random),
    }


def order_columns(hits: Hits) -> Columns:
    """Return every metric of order at every cut-off."""
    return {(name, k): mean_column(metric(hits, k)) for name, metric in METRICS.items() for k in CUTS}


def random_columns(n: Ints, n_relevant: Ints) -> Columns:
    """Return the same as expected of a random order of `n` posts, exact."""
    return {
        (name, k): mean_column(expect(n, n_relevant, k)) for name, expect in EXPECTED.items() for k in CUTS
    }


def pool(tests: list[MeasuredLists]) -> MeasuredLists:
    """Lay the lists of several tests end to end; a metric or model that not all of them have is left out."""
    models = {
        name: {
            metric: Column(
                *map(np.concatenate, zip(*(one.models[name][metric] for one in tests), strict=True))
            )
            for metric in columns
            if all(metric in one.models[name] for one in tests)
        }
        for name, columns in tests[0].models.items()
        if all(name in one.models for one in tests)
    }
    totals = {
        name: {
            m: float(np.mean([one.totals[name][m] for one in tests])) for m in tests[0].totals.get(name, {})
        }
        for name in models
    }
    user, past = (np.concatenate([getattr(one, name) for one in tests]) for name in ("user", "past"))
    return MeasuredLists(models, user, past, totals)


def summarize(
    protocol: str,
    lists: MeasuredLists,
    rng: np.random.Generator,
    pairs: Iterable[tuple[str, str]] = (),
    groups: Groups = (),
    few: tuple[Metric, ...] = (),
) -> Iterator[Figure]:
    """Yield the figures of all lists and then of each group that has any.

    Args:
        protocol: How they were measured.
        lists: Metrics of every list.
        rng: Draws the users for intervals; all figures of a group share the draws.
        pairs: Model and the one it is held against; those that took no part are left out.
        groups: Segments.
        few: Metrics of the groups; empty for all.
    """
    pairs = [pair for pair in pairs if all(name in lists.models for name in pair)]
    yield from _figures(protocol, ALL, lists, np.ones(len(lists.user), np.bool_), rng, pairs, ())
    for name, totals in lists.totals.items():
        for metric, value in totals.items():
            n_users, nan = len(np.unique(lists.user)), float("nan")
            yield Figure(protocol, ALL, name, "", *metric, value, nan, nan, n_users, len(lists.user))
    for segment, rows in groups:
        if rows.any():
            yield from _figures(protocol, segment, lists, rows, rng, pairs, few)


def against(reference: str, models: Iterable[str]) -> list[tuple[str, str]]:
    """Pair every other model with the one that it is held against."""
    return [(name, reference) for name in models if name != reference]


def best_model(frame: pd.DataFrame, metric: Metric, among: Iterable[str]) -> str:
    """Return the model with the highest value over all lists; empty where none of them is there."""
    name, k = metric
    rows = frame[(frame["segment"] == ALL) & (frame["against"] == "") & frame["model"].isin(list(among))]
    rows = rows[(rows["metric"] == name) & (rows["k"] == k)]
    return str(rows.loc[rows["value"].idxmax(), "model"]) if len(rows) else ""


def group_lists(lists: MeasuredLists, names: tuple[str, ...], number: Ints32) -> Groups:
    """Yield segments, and then how many impressions the lists' users had before, with their lists.

    Args:
        lists: Whose `user` and `past` tell.
        names: Of segments.
        number: int32 (users,). Number of each user's segment, -1 for none.
    """
    for k, name in (*enumerate(names), (-1, NO_SEGMENT)):
        yield name, number[lists.user] == k
    ends = [least for least, _ in WARMTH[1:]] + [np.iinfo(np.int64).max]
    for (least, name), end in zip(WARMTH, ends, strict=True):
        yield f"impressions {name}", (lists.past >= least) & (lists.past < end)


def past_impressions(facts: Facts, until_s: int) -> Ints:
    """Return how many impressions each user had before a moment, int64 (users,)."""
    before = facts.views & (facts.time < until_s)
    return np.bincount(facts.user[before], minlength=len(facts.users)).astype(np.int64)


def _figures(
    protocol: str,
    segment: str,
    lists: MeasuredLists,
    rows: Bools,
    rng: np.random.Generator,
    pairs: Iterable[tuple[str, str]],
    only: tuple[Metric, ...],
) -> Iterator[Figure]:
    measured = {
        (name, "", metric): column
        for name, columns in lists.models.items()
        for metric, column in columns.items()
        if not only or metric in only
    }
    for name, other in pairs:
        for metric in lists.models[name]:
            if (name, "", metric) in measured and (other, "", metric) in measured:
                measured[name, other, metric] = _subtract(
                    measured[name, "", metric], measured[other, "", metric]
                )
    parts, wholes = (np.column_stack(side)[rows] for side in zip(*measured.values(), strict=True))
    user, values = lists.user[rows], divide(parts.sum(axis=0), wholes.sum(axis=0))
    n = len(np.unique(user)), len(user)
    bounds = bootstrap(parts, wholes, user, rng).tolist()
    for (name, other, metric), value, (low, high) in zip(measured, values.tolist(), bounds, strict=True):
        yield Figure(protocol, segment, name, other, *metric, value, low, high, *n)


def _subtract(one: Column, other: Column) -> Column:
    """Return how far one is above the other on the lists that both have a figure of."""
    both = (one.wholes > 0) & (other.wholes > 0)
    return Column(np.where(both, one.parts - other.parts, 0.0), np.where(both, one.wholes, 0.0))
