"""Protocol `rectools-7d`: RecTools' splits by time, warm users and posts, what was taken before left out.

Each event of facts that users chose is an interaction, whatever it says of the post; where a feed showed the
posts, a like is. Everything that ranks learns from what lies before a fold alone.
"""

import re
from dataclasses import replace
from functools import partial

import numpy as np

from api.contract.buckets import DAY_S, moment
from batch.arrays import Ints
from batch.data.columns import VIEW
from batch.data.facts import Facts
from batch.evaluate import results
from batch.evaluate.best import tell_best
from batch.evaluate.contest import compete, find_absent
from batch.evaluate.list_metrics import ListMetrics
from batch.evaluate.metrics import CUTS, Hits
from batch.evaluate.own import OURS, fit_own
from batch.evaluate.published import Published
from batch.evaluate.unseen import AskedUsers
from batch.features import asof
from batch.learn.baselines.recommender import Recommender
from batch.learn.recipe import Recipe
from batch.learn.split import Split

K = 10
NDCG: results.Metric = ("ndcg_achievable", K)
# Of these each list's value is kept, for intervals and distances; of all others the mean over the lists.
KEPT: tuple[results.Metric, ...] = (NDCG, ("map", K), ("recall", K), ("hitrate", K))
OF_FOLDS = ("coverage", "fit_s", "rank_s", "memory_mb")  # whose folds count alike
_NAME = re.compile(r"rectools-([1-9]\d{0,3})d")


def read_days(protocol: str) -> int:
    """Return how many days each fold of a protocol has.

    Raises:
        ValueError: It is none.

    >>> read_days("rectools-7d")
    7
    """
    named = _NAME.fullmatch(protocol)
    if named is None:
        raise ValueError(f"protocol {protocol!r} is none: rectools-7d, or another number of days, is")
    return int(named[1])


def time_ranges(last_s: int, days: int, n_folds: int) -> list[Split]:
    """Return `n_folds` tests of so many days each, one after another, up to the end of the last event's day.

    Source: `TimeRangeSplitter` of RecTools, of days; days are UTC's.

    >>> time_ranges(86_400, 1, 2)
    [Split(test_from_s=0, test_to_s=86400), Split(test_from_s=86400, test_to_s=172800)]
    """
    end_s = (last_s // DAY_S + 1) * DAY_S
    starts = [end_s - (n_folds - fold) * days * DAY_S for fold in range(n_folds)]
    return [Split(start, start + days * DAY_S) for start in starts]


def as_interactions(facts: Facts) -> Facts:
    """Return facts whose every event is one and the same yes, where users chose; others as they are."""
    if facts.shown != "choices":
        return facts
    n = len(facts.time)
    return replace(facts, action=np.full(n, VIEW, np.int8), target=np.ones(n, np.int8))


def ask_warm(facts: Facts, split: Split) -> AskedUsers:
    """Return all users who are asked in a fold: with a past, and an interaction in it with a post that others
    knew and that is new to them.

    Raises:
        ValueError: Nobody is, or nothing lies before the fold.
    """
    before = facts.until(split.test_from_s - 1)
    warm = np.bincount(before.post, minlength=len(facts.posts)) > 0
    rng = np.random.default_rng(0)  # all are asked: nothing is drawn
    asked = AskedUsers.of(facts, split, rng, most=len(facts.users), candidates=warm)
    if not (asked.n_seen > 0).any():
        begin, end = (moment(at_s).date().isoformat() for at_s in (split.test_from_s, split.test_to_s))
        raise ValueError(
            f"no user known before {begin} takes a known post that is new to them until {end}: "
            "ask for fewer folds or other days"
        )
    return asked.select(asked.n_seen > 0)


def compare_in_time_ranges(
    facts: Facts,
    statics: asof.Statics,
    recipe: Recipe,
    splits: list[Split],
    names: tuple[str, ...] = (),
    published: Published | None = None,
) -> results.Report:
    """Let all learn anew before each fold, and ask them for the lists of its warm users.

    Every known post that a user has not taken is a candidate. Means are over the lists of all folds; coverage
    and costs are means of the folds.

    Args:
        facts: All events, as `as_interactions` returns them.
        statics: What does not change with time.
        recipe: How ours is trained.
        splits: The folds; each is a segment of the results.
        names: Baselines that take part; empty for all.
        published: Figures to be told beside ours.

    Raises:
        ValueError: In some fold nobody can be asked, or what lies before it cannot train ours.
    """
    tests, folds = list[results.MeasuredLists](), []
    for split in splits:
        asked = ask_warm(facts, split)
        tests.append(_measure_fold(asked, statics, recipe, names))
        begin, end = (moment(at_s).isoformat() for at_s in (split.test_from_s, split.test_to_s))
        n_train = int(np.searchsorted(facts.time, split.test_from_s))
        sizes = {"n_train": n_train, "n_test": len(asked.post), "n_users": len(asked.users)}
        folds.append({"test_from": begin, "test_to": end, **sizes})
    pooled = _pool(tests)
    fold = np.repeat(np.arange(len(tests)), [len(test.user) for test in tests])
    groups = [(f"fold {k + 1}", fold == k) for k in range(len(tests))]
    pairs = [(OURS, name) for name in pooled.models if name != OURS]
    rng = np.random.default_rng(recipe.seed)
    frame = results.result_frame(results.summarize("time_ranges", pooled, rng, pairs, groups, (NDCG,)))
    about = {
        "folds": folds,
        "n_interactions": len(facts.time),
        **pooled.sizes(),
        "best": tell_best(frame, NDCG),
        "published": None if published is None else published.values(),
        "absent": find_absent(len(facts.posts), names),
    }
    return results.Report(about, frame)


def _measure_fold(
    asked: AskedUsers, statics: asof.Statics, recipe: Recipe, names: tuple[str, ...]
) -> results.MeasuredLists:
    """Return the kept metrics of each list; `totals` hold costs, and other metrics' means over the lists."""
    begin_s = asked.split.test_from_s
    before = recipe.interactions(asked.facts.until(begin_s - 1), statics)
    n_open = len(before.facts.posts) if asked.opened is None else int(asked.opened.sum())
    metrics, others = (
        ListMetrics.before(before.facts, statics.texts, n_open),
        list[dict[results.Metric, float]](),
    )

    def measure(_one: Recommender, lists: Ints) -> results.Columns:
        columns = metrics.measure(lists, Hits.of_lists(lists, asked.row, asked.post))
        means = {metric: of.figure() for metric, of in columns.items() if metric not in KEPT}
        others.append(means | metrics.coverage(lists))
        return {metric: columns[metric] for metric in KEPT}

    fit = partial(fit_own, before, recipe, begin_s - 1, begin_s)
    models, costs = compete(before, fit, names, partial(asked.rank, n=max(CUTS)), measure)
    totals = {name: costs[name] | own for name, own in zip(models, others, strict=True)}
    return results.MeasuredLists(models, asked.users, totals=totals)


def _pool(tests: list[results.MeasuredLists]) -> results.MeasuredLists:
    """Lay the folds' lists end to end; means over lists count as many as the fold has."""
    pooled, sizes = results.pool(tests), [len(test.user) for test in tests]
    totals = {
        name: {
            metric: value
            if metric[0] in OF_FOLDS
            else float(np.average([test.totals[name][metric] for test in tests], weights=sizes))
            for metric, value in own.items()
        }
        for name, own in pooled.totals.items()
    }
    return replace(pooled, totals=totals)
