"""What tuning is worth: usual values, and those tuned inside each training past, at rolling cut-offs."""

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np

from batch.arrays import Floats
from batch.data.load import read_facts
from batch.evaluate import results
from batch.evaluate.cutoffs import NDCG, cut_offs
from batch.evaluate.metrics import Hits, ndcg
from batch.evaluate.tune import find_knobs, tune
from batch.evaluate.unseen import AskedUsers
from batch.features import asof
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.named import find_baseline
from batch.learn.baselines.recommender import Baseline
from batch.learn.recipe import Recipe
from batch.settings import Settings

K = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """What is measured: a peer, tuned by so many trials in so many seconds, and asked of several seeds."""

    location: str
    peer: str
    n_cuts: int
    n_trials: int
    timeout_s: float
    n_seeds: int


def run(asked: Asked, at_once: int) -> dict[str, object]:
    """Tune at each cut-off on what lies before it, and ask both for warm users' lists after it.

    A list's worth is the mean over models learnt with several seeds: of a peer that begins with random
    factors, the seed alone moves the mean of some hundred lists as far as a tuning does.

    Args:
        asked: The facts must be of what users chose.
        at_once: Cut-offs that are looked at side by side, each in a process.

    Returns:
        By cut-off the values, their NDCG@10 inside the past, and the seconds; `ndcg_at_10` pooled over
        the lists of all, with intervals of 95 % over users, and `of_first_seed`, the same of one model.

    Raises:
        RuntimeError: A tuning took longer than its time and the usual values' trial.
    """
    with ProcessPoolExecutor(at_once, get_context("spawn")) as pool:
        found = list(pool.map(partial(_tune_before, asked), range(asked.n_cuts)))
    cuts, pooled = [told for told, _, _ in found], results.pool([every for _, every, _ in found])
    of_first = results.pool([first for _, _, first in found])
    about = {"peer": asked.peer, "seeds": asked.n_seeds, "cuts": cuts, "lists": pooled.sizes()}
    return {**about, "ndcg_at_10": _rows(pooled), "of_first_seed": _rows(of_first)}


def _tune_before(
    of: Asked, cut: int
) -> tuple[dict[str, float], results.MeasuredLists, results.MeasuredLists]:
    """Return what was found before a cut-off, and lists after it by all seeds and by the first."""
    settings, baseline = Settings(), find_baseline(of.peer)
    recipe = Recipe.of(settings)
    find_knobs(of.peer, recipe)
    assert baseline is not None
    facts = read_facts(settings, of.location, lambda _n: None)
    split = cut_offs(facts, of.n_cuts)[cut]
    past = facts.until(split.test_from_s - 1)
    statics = asof.describe(past.described_at(split.test_from_s - 1), recipe.seed)
    begun = time.perf_counter()
    found = tune(of.peer, past, statics, recipe, of.n_trials, of.timeout_s)
    took_s = time.perf_counter() - begun
    longest_s = max(
        trial.duration.total_seconds() for trial in found.study.trials if trial.duration is not None
    )
    if took_s > of.timeout_s + 2 * longest_s:
        raise RuntimeError(f"{took_s:.0f} s of at most {of.timeout_s:.0f}, a trial at most {longest_s:.0f}")
    asked = AskedUsers.of(facts, split, np.random.default_rng(recipe.seed))
    asked = asked.select(asked.n_seen > 0)
    values = {"usual": dict[str, float](), "tuned": found.given}
    worth = {
        name: np.array(
            [
                _measure(baseline, Interactions(past, statics, seed, recipe.threads, given), asked)
                for seed in range(recipe.seed, recipe.seed + of.n_seeds)
            ]
        )
        for name, given in values.items()
    }
    every, first = (
        {name: {NDCG: results.mean_column(lists[some].mean(axis=0))} for name, lists in worth.items()}
        for some in (slice(None), slice(1))
    )
    told = {**found.given, **found.figures, "seconds": round(took_s, 1)}
    return told, results.MeasuredLists(every, asked.users), results.MeasuredLists(first, asked.users)


def _measure(baseline: Baseline, before: Interactions, asked: AskedUsers) -> Floats:
    """Return NDCG@10 of each asked user's list by one model, float64 (asked,)."""
    hits = Hits.of_lists(asked.rank(baseline.fit(before), K), asked.row, asked.post)
    return ndcg(hits, K, achievable=True)


def _rows(pooled: results.MeasuredLists) -> list[dict[str, object]]:
    """Return both models' NDCG@10 and the difference, with intervals."""
    draws = np.random.default_rng(0)
    frame = results.result_frame(results.summarize("tuned", pooled, draws, [("tuned", "usual")]))
    return list(frame[frame["metric"] == NDCG[0]].to_dict("records"))
