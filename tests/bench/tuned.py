"""What tuning is worth: usual values, and those tuned inside each training past, at rolling cut-offs."""

import time
from dataclasses import replace

import numpy as np

from batch.data.load import read_facts
from batch.evaluate import results
from batch.evaluate.cutoffs import NDCG, cut_offs
from batch.evaluate.metrics import Hits, ndcg
from batch.evaluate.tune import find_knobs, tune
from batch.evaluate.unseen import AskedUsers
from batch.features import asof
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.named import find_baseline
from batch.learn.recipe import Recipe
from batch.settings import Settings

K = 10


def run(location: str, peer: str, n_cuts: int, n_trials: int, timeout_s: float) -> dict[str, object]:
    """Tune at each cut-off on what lies before it, and ask both for warm users' lists after it.

    Args:
        location: Folder or URL of facts that users chose.
        peer: Its name.
        n_cuts: Cut-offs, over the second half of the events.
        n_trials: Trials at each.
        timeout_s: Seconds of each.

    Returns:
        By cut-off the values, their NDCG@10 inside the past and after it, and the seconds; `gain` pooled over
        the users of all, with an interval of 95 %.

    Raises:
        RuntimeError: A tuning took longer than its time and the usual values' trial.
    """
    settings, baseline = Settings(), find_baseline(peer)
    recipe = Recipe.of(settings)
    find_knobs(peer, recipe)
    assert baseline is not None
    facts = read_facts(settings, location, lambda _n: None)
    tests, by_cut = [], []
    for split in cut_offs(facts, n_cuts):
        past = facts.until(split.test_from_s - 1)
        statics = asof.describe(past.described_at(split.test_from_s - 1), recipe.seed)
        begun = time.perf_counter()
        found = tune(peer, past, statics, recipe, n_trials, timeout_s)
        took_s = time.perf_counter() - begun
        longest_s = max(
            trial.duration.total_seconds() for trial in found.study.trials if trial.duration is not None
        )
        if took_s > timeout_s + 2 * longest_s:
            raise RuntimeError(f"{took_s:.0f} s of at most {timeout_s:.0f}, a trial at most {longest_s:.0f}")
        asked = AskedUsers.of(facts, split, np.random.default_rng(recipe.seed))
        asked = asked.select(asked.n_seen > 0)
        before, models = Interactions(past, statics, recipe.seed, recipe.threads), {}
        for name, given in (("usual", {}), ("tuned", found.given)):
            lists = asked.rank(baseline.fit(replace(before, given=given)), K)
            hits = Hits.of_lists(lists, asked.row, asked.post)
            models[name] = {NDCG: results.mean_column(ndcg(hits, K, achievable=True))}
        tests.append(results.MeasuredLists(models, asked.users))
        by_cut.append({**found.given, **found.figures, "seconds": round(took_s, 1)})
    pooled = results.pool(tests)
    frame = results.result_frame(
        results.summarize("tuned", pooled, np.random.default_rng(recipe.seed), [("tuned", "usual")])
    )
    rows = frame[frame["metric"] == NDCG[0]]
    return {"peer": peer, "lists": pooled.sizes(), "cuts": by_cut, "ndcg_at_10": rows.to_dict("records")}
