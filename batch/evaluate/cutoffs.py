"""Protocol `unseen`: rolling cut-offs on what users chose; all learn from before, all unseen posts compete.

A warm user (some history before the cut-off, some new like after it) is asked for the ten posts they will
like next of all that they have not taken. What is relevant is what they then liked.
"""

from functools import partial
from itertools import pairwise

import numpy as np

from batch.arrays import Ints
from batch.data.facts import Facts
from batch.evaluate import results
from batch.evaluate.best import tell_best
from batch.evaluate.contest import compete, find_absent
from batch.evaluate.metrics import Hits, ndcg, recall
from batch.evaluate.own import OURS, fit_own
from batch.evaluate.unseen import AskedUsers
from batch.features import asof
from batch.learn.baselines.recommender import Recommender
from batch.learn.recipe import Recipe
from batch.learn.split import Split

K = 10
FIRST_SHARE = 0.5  # of all events lies before the first cut-off
NDCG: results.Metric = ("ndcg_achievable", K)  # a perfect list has 1
RECALL: results.Metric = ("recall", K)


def cut_offs(facts: Facts, n: int) -> list[Split]:
    """Return `n` tests that follow one another over the second half of the events, as many events in each.

    Raises:
        ValueError: The events do not make so many tests.
    """
    first = [int(len(facts.time) * (FIRST_SHARE + (1 - FIRST_SHARE) * k / n)) for k in range(n)]
    starts = [int(facts.time[row]) for row in first] if len(facts.time) else []
    bounds = [*starts, int(facts.time[-1]) + 1] if starts else []
    if len(np.unique(bounds)) != n + 1 or starts[0] == facts.time[0]:
        raise ValueError(f"{len(facts.time)} events do not make {n} tests: ask for fewer cut-offs")
    return [Split(begin, end) for begin, end in pairwise(bounds)]


def compare_unseen(
    facts: Facts, statics: asof.Statics, recipe: Recipe, n_cuts: int, names: tuple[str, ...] = ()
) -> results.Report:
    """Let all learn anew before each cut-off, and ask them for warm users' lists of unseen posts.

    Args:
        facts: All events; what a recommender learns from ends before its cut-off.
        statics: What does not change with time.
        recipe: How ours is trained; its blend is weighed on the last choices before each cut-off.
        n_cuts: Cut-offs, as `cut_offs` sets them; each is a segment of the results.
        names: Baselines that take part; empty for all.

    Raises:
        ValueError: Too few events, or at some cut-off no warm user.
    """
    rng, splits, tests = np.random.default_rng(recipe.seed), cut_offs(facts, n_cuts), []
    for split in splits:
        asked = _select_warm(AskedUsers.of(facts, split, rng))
        before = recipe.interactions(facts.until(split.test_from_s - 1), statics)
        fit = partial(fit_own, before, recipe, split.test_from_s - 1, split.test_from_s)
        measure = partial(_measure, asked)
        models, costs = compete(before, fit, names, partial(asked.rank, n=K), measure)
        tests.append(results.MeasuredLists(models, asked.users, totals=costs))
    pooled = results.pool(tests)
    cut = np.repeat(np.arange(n_cuts), [len(test.user) for test in tests])
    groups = [(f"cut-off {k + 1}", cut == k) for k in range(n_cuts)]
    others = [name for name in pooled.models if name != OURS]
    pairs = [(OURS, name) for name in others]
    frame = results.result_frame(results.summarize("unseen", pooled, rng, pairs, groups, (NDCG,)))
    about = {
        "cuts": [split.test_from_s for split in splits],
        **pooled.sizes(),
        "best_peer": {
            "ndcg_at_10": results.best_model(frame, NDCG, others),
            "recall_at_10": results.best_model(frame, RECALL, others),
        },
        "best": tell_best(frame, NDCG),
        "absent": find_absent(len(facts.posts), names),
    }
    return results.Report(about, frame)


def _measure(asked: AskedUsers, _one: Recommender, lists: Ints) -> results.Columns:
    hits = Hits.of_lists(lists, asked.row, asked.post)
    ideal = ndcg(hits, K, achievable=True)
    return {NDCG: results.mean_column(ideal), RECALL: results.mean_column(recall(hits, K))}


def _select_warm(asked: AskedUsers) -> AskedUsers:
    """Return those asked who have a history.

    Raises:
        ValueError: Nobody has.
    """
    warm = asked.n_seen > 0
    if not warm.any():
        raise ValueError(
            f"nobody with a history before {asked.split.test_from_s} likes anything new until "
            f"{asked.split.test_to_s}: ask for fewer cut-offs"
        )
    return asked.select(warm)
