"""Protocol `shown` of a contest: how all rank what later sessions showed, and what they cost."""

from collections.abc import Callable
from functools import partial

import numpy as np

from batch.data.facts import Facts
from batch.evaluate import results
from batch.evaluate.best import tell_best
from batch.evaluate.contest import compete, find_absent
from batch.evaluate.own import OURS, fit_likes_only, fit_own
from batch.evaluate.sessions import AUC, Sessions, weekly_splits
from batch.features import asof
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.recommender import Recommender
from batch.learn.recipe import Recipe
from batch.learn.split import Split

DEPTH = 50  # of the lists that recommenders are timed on
MEASURED: tuple[results.Metric, ...] = (AUC, ("hitrate", 5))


def compare_shown(
    facts: Facts,
    statics: asof.Statics,
    split: Split,
    recipe: Recipe,
    names: tuple[str, ...] = (),
    weeks: int = 1,
    *,
    likes_only: bool = False,
) -> results.Report:
    """Let all learn from what lies before the split, and rank the sessions inside it.

    Nobody sees a fact of the split, not even of its earlier days. The sessions are those of `evaluate`, and
    ranked alike: who takes part in both has the same figures. A random order (`random`, exact; the peer of
    that name has nothing but its costs) and the old feed's (`as_shown`) stand beside them.

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
    tests, n_impressions = [], 0
    for one in weekly_splits(split, weeks):
        what = Sessions.of(facts, one, recipe.seed)
        if len(what.event):
            before = recipe.interactions(facts.until(one.test_from_s - 1), statics)
            fit = partial(fit_own, before, recipe, one.test_from_s - 1, one.test_from_s)
            tests.append(
                _measure(before, partial(fit_likes_only, before, recipe) if likes_only else fit, names, what)
            )
            n_impressions += len(what.event)
    if not tests:
        raise ValueError(f"no session of ten impressions lies in {split}: nothing can be compared")
    lists = results.pool(tests)
    pairs = [(OURS, name) for name in lists.totals if name != OURS]
    frame = results.result_frame(results.summarize("shown", lists, np.random.default_rng(recipe.seed), pairs))
    about = {
        **lists.sizes(),
        "n_impressions": n_impressions,
        "best": tell_best(frame, AUC),
        "absent": find_absent(len(facts.posts), names),
    }
    about["n_sessions"] = about.pop("n_lists")
    return results.Report(about, frame)


def _measure(
    before: Interactions, own: Callable[[], Recommender], names: tuple[str, ...], what: Sessions
) -> results.MeasuredLists:
    users, depth = np.unique(what.user), min(DEPTH, len(before.facts.posts))
    models, costs = compete(
        before,
        own,
        names,
        lambda recommender: recommender.lists(users, depth),
        lambda recommender, _: what.rank(recommender),
    )
    models |= what.rank_by_nobody()
    return results.MeasuredLists(models, what.owner, totals=costs).only(MEASURED)
