"""Trees on top of the estimates: they learn what x_u·y_p leaves, and count as far as that paid later."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np

from batch.features.asof import Rows, Statics, sides, tally
from batch.features.sides import Feature
from batch.learn.estimates.blend import slope
from batch.learn.estimates.estimate import Estimates
from batch.learn.ranker import fit
from batch.source.facts import Facts


@dataclass(frozen=True, slots=True)
class Trees:
    """Trees whose leaves are already scaled: their raw scores are added to the estimate's as they are.

    Attributes:
        booster: LightGBM's model; a single tree that says 0 where trees do not pay.
        share: How much of what the trees said is in the leaves, 0..1.
    """

    booster: lgb.Booster
    share: float


def rows(
    facts: Facts, known: Statics, estimates: Estimates, width_s: int, most: int, rng: np.random.Generator
) -> Rows:
    """Return the past periods' impressions with features as old as the estimates they go with.

    Features of the day would know of posts what the estimate of the period's begin does not; trees would
    learn to add it, and add it twice where both are fresh.

    Args:
        facts: Events, as given to `estimate.fit`.
        known: What does not change with time.
        estimates: Their periods are the rows'.
        width_s: Width of a time bucket, seconds.
        most: More impressions are thinned evenly at random to so many.
        rng: For the thinning.
    """
    ends = [one.as_of_s for one in (*estimates.past, estimates.now)]
    bounds = np.searchsorted(facts.time, ends, side="right")
    events = bounds[0] + np.flatnonzero(facts.views[bounds[0] : bounds[-1]])
    if len(events) > most:
        events = np.sort(rng.choice(events, most, replace=False))
    x = np.empty((len(events), len(known.features)), np.float32)
    counts = tally(facts, known)
    cuts = np.searchsorted(events, bounds)
    for end_s, low, high in zip(ends, cuts, cuts[1:], strict=False):
        chosen = events[low:high]
        time = facts.time[chosen]
        starts, bucket = np.unique(time - time % width_s, return_inverse=True)
        period = sides(facts, known, counts.advance(end_s), starts)
        x[low:high] = period.rows(facts.user[chosen], facts.post[chosen], bucket)
    return Rows(events, x, facts.target[events])


def fit_trees(
    facts: Facts,
    shown: Rows,
    estimates: Estimates,
    features: tuple[Feature, ...],
    parameters: dict[str, Any],
    n_trees: int,
    progress: Callable[[int], None] | None = None,
) -> Trees:
    """Boost trees from the estimates on; the last period says how much of them to keep, then trains too.

    Args:
        facts: Events, as given to `estimate.fit`.
        shown: What `rows` returned.
        estimates: What was estimated before each of them.
        features: Columns of the rows.
        parameters: LightGBM's.
        n_trees: Trees to boost.
        progress: Called with 1 after each tree of the last training, with all at once where there is none.

    Raises:
        ValueError: A row is older than the first estimate.
    """
    base = estimates.before(facts, shown.event)
    held = facts.time[shown.event] > estimates.past[-1].as_of_s
    share = 0.0
    tried: lgb.Booster | None = None
    if 0 < shown.y[~held].sum() < (~held).sum():
        tried = fit(shown.x[~held], shown.y[~held], features, parameters, n_trees, init=base[~held])
        said = (
            np.asarray(tried.predict(shown.x[held], raw_score=True), np.float64) if held.any() else base[held]
        )
        share = slope(facts, shown.event[held], base[held], said)
    if share > 0:
        booster = fit(shown.x, shown.y, features, parameters, n_trees, progress, init=base)
    else:
        booster = fit(shown.x, shown.y, features, parameters, 1, init=base)
        if progress is not None:
            progress(n_trees)
    return Trees(_scaled(booster, share), share)


def _scaled(booster: lgb.Booster, share: float) -> lgb.Booster:
    for tree, about in enumerate(booster.dump_model()["tree_info"]):
        for leaf in range(about["num_leaves"]):
            booster.set_leaf_output(tree, leaf, share * booster.get_leaf_output(tree, leaf))
    return lgb.Booster(model_str=booster.model_to_string())
