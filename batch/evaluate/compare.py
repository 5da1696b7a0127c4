"""Baselines and ours on the same facts and split: how they rank what was shown, and what they cost."""

from collections.abc import Callable
from functools import partial

import numpy as np

from batch.data.facts import Facts
from batch.evaluate.contest import find_absent, fit_each
from batch.evaluate.own import OURS, fit_likes_only, fit_own
from batch.evaluate.results import (
    Columns,
    MeasuredLists,
    Metric,
    Report,
    past_impressions,
    pool,
    result_frame,
    summarize,
)
from batch.evaluate.sessions import AUC, Sessions, weekly_splits
from batch.features import asof
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.recommender import Recommender
from batch.learn.recipe import Recipe
from batch.learn.split import Split

DEPTH = 50  # of the lists that contestants are timed on
MEASURED: tuple[Metric, ...] = (AUC, ("hitrate", 5))


def compare_shown(
    facts: Facts,
    statics: asof.Statics,
    split: Split,
    recipe: Recipe,
    names: tuple[str, ...] = (),
    weeks: int = 1,
    *,
    likes_only: bool = False,
) -> Report:
    """Let all learn from what lies before the split, and rank the sessions inside it.

    Nobody sees a fact of the split, not even of its earlier days. Random five (`random_exact`, its chance
    computed, not drawn) and the old feed's order (`first5`) stand beside them.

    Args:
        facts: All events.
        statics: What does not change with time.
        split: The test days.
        recipe: How ours is trained.
        names: Baselines that take part; empty for all.
        weeks: More than 1: so many splits of a week each from the split's begin on, everybody trained anew
            for each; their sessions are pooled.
        likes_only: Ours is what likes alone tell, without the order of what was shown.

    Raises:
        ValueError: What lies before a split cannot train ours, or no session in any is long enough.
    """
    splits = weekly_splits(split, weeks)
    tests = [(one, Sessions.of(facts, one, recipe.seed)) for one in splits]
    tests = [(one, what) for one, what in tests if len(what.event)]
    if not tests:
        raise ValueError(f"no session of ten impressions lies in {splits}: nothing can be compared")
    measured = []
    for one, what in tests:
        before = Interactions(facts.until(one.test_from_s - 1), statics, recipe.seed, recipe.threads)
        own: Callable[[], Recommender] = partial(fit_own, before, recipe, one.test_from_s)
        if likes_only:
            own = partial(fit_likes_only, before, recipe)
        measured.append(_measure(before, own, names, what))
    lists = pool(measured)
    pairs = [(OURS, name) for name in lists.totals if name != OURS]
    figures = summarize("shown", lists, np.random.default_rng(recipe.seed), pairs)
    about = {
        "n_sessions": len(lists.user),
        "n_users": len(np.unique(lists.user)),
        "n_impressions": sum(len(what.event) for _, what in tests),
        "absent": find_absent(names),
    }
    return Report(about, result_frame(figures))


def _measure(
    before: Interactions, own: Callable[[], Recommender], names: tuple[str, ...], what: Sessions
) -> MeasuredLists:
    models, totals, users = dict[str, Columns](), {}, np.unique(what.user)
    for name, recommender, cost in fit_each(before, own, names):
        with cost.measure("rank_s"):
            recommender.lists(users, min(DEPTH, len(before.facts.posts)))
        models[name] = what.measure(recommender.pairs(what.user, what.post))
        totals[name] = cost.totals()
    models["first5"] = what.measure(-what.position.astype(np.float64))
    models["random_exact"] = what.measure_random()
    models = {name: {metric: columns[metric] for metric in MEASURED} for name, columns in models.items()}
    past = past_impressions(before.facts, before.facts.as_of_s + 1)[what.owner]
    return MeasuredLists(models, what.owner, past, totals)
