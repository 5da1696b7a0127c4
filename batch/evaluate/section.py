"""Sections of an evaluation: the lists of one kind of test, summed up over all, by segment and by warmth."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from batch.data.facts import Facts
from batch.evaluate.metrics import Ints
from batch.evaluate.results import Columns, Figure, pooled, summed

WARMTH = ((0, "0"), (1, "1-9"), (10, "10-99"), (100, "100 or more"))  # past impressions, from each number on
NO_SEGMENT = "none"

Lines = dict[str, dict[str, Figure]]


@dataclass(frozen=True, slots=True)
class Tested:
    """Lists of one kind that were ranked after one moment.

    Attributes:
        rankings: Name to metrics, each a column over the lists.
        user: int64 (lists,). Row of whose list it is.
        past: int64 (lists,). His impressions before that moment.
        n_posts: Posts that stood in all lists together.
        whole: Figures that only all lists of a ranking together have.
    """

    rankings: dict[str, Columns]
    user: Ints
    past: Ints
    n_posts: int
    whole: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the lists, by a few metrics."""

    n_lists: int
    n_users: int
    lines: Lines


@dataclass(frozen=True, slots=True)
class Section:
    """All lists of one kind.

    Attributes:
        n_lists: Sessions, or users at one origin.
        n_users: Whose they are.
        n_posts: Posts that stood in the lists.
        lines: Ranking to metric to figure.
        by_segment: The same of each segment, by a few metrics.
        by_warmth: The same by the number of past impressions.
    """

    n_lists: int
    n_users: int
    n_posts: int
    lines: Lines
    by_segment: dict[str, Group]
    by_warmth: dict[str, Group]


def section(
    each: Iterable[Tested | None],
    names: tuple[str, ...],
    segment: npt.NDArray[np.int32],
    few: tuple[str, ...],
    rng: np.random.Generator,
) -> Section | None:
    """Pool the tests of all origins and sum them up; None where there is no list.

    Args:
        each: One an origin; None where it has no list.
        names: Of segments.
        segment: int32 (users,). Number of each user's segment, -1 for none.
        few: Metrics of the groups.
        rng: Draws users for intervals.
    """
    tests = [test for test in each if test is not None]
    if not tests:
        return None
    rankings = pooled([test.rankings for test in tests])
    user = np.concatenate([test.user for test in tests])
    past = np.concatenate([test.past for test in tests])
    lines = summed(rankings, user, rng)
    for name, figures in lines.items():
        for metric in tests[0].whole.get(name, {}):
            figures[metric] = Figure(float(np.mean([test.whole[name][metric] for test in tests])))
    groups = [
        {
            label: Group(int(rows.sum()), len(np.unique(user[rows])), summed(rankings, user, rng, rows, few))
            for label, rows in parts
            if rows.any()
        }
        for parts in (_segments(names, segment[user]), _warmth(past))
    ]
    return Section(len(user), len(np.unique(user)), sum(test.n_posts for test in tests), lines, *groups)


def impressions(facts: Facts, until_s: int) -> Ints:
    """Return how many impressions each user had before a moment, int64 (users,)."""
    before = facts.views & (facts.time < until_s)
    return np.bincount(facts.user[before], minlength=len(facts.users)).astype(np.int64)


def _segments(
    names: tuple[str, ...], number: npt.NDArray[np.int32]
) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    for k, name in enumerate(names):
        yield name, number == k
    yield NO_SEGMENT, number < 0


def _warmth(past: Ints) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    bands = zip(WARMTH, [least for least, _ in WARMTH[1:]] + [np.iinfo(np.int64).max], strict=True)
    for (least, name), end in bands:
        yield name, (past >= least) & (past < end)
