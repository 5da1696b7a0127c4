"""Trees on top of the estimates: they learn what x_u·y_p leaves."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import lightgbm as lgb
import numpy as np

from batch.arrays import Floats, Floats32, Ints, Ints8
from batch.data.facts import Facts
from batch.features import asof
from batch.features.asof import Rows, Statics
from batch.features.sides import Feature
from batch.features.tally import Tally
from batch.learn.factors.estimate import Estimates
from batch.learn.judges import known_posts

# Small steps, large leaves, smoothed categories: effects here are weak (a post's rate has AUC .55), and
# freer fits lost to their own inputs on the real rows (docs/decisions/0002-learning.md).
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.04,
    "max_bin": 255,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "cat_smooth": 50.0,
    "max_cat_to_onehot": 8,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_HOLDABLE = re.compile(r"(?!Column_\d+$)\w[\w.=-]*")  # names that LightGBM's text gives back as they are


def gather_rows(
    facts: Facts,
    statics: Statics,
    estimates: Estimates,
    width_s: int,
    most: int,
    rng: np.random.Generator,
    begin_s: int = 0,
) -> Rows:
    """Return what the past periods showed, with features as old as the estimates it goes with.

    Features of the day would know of posts what the estimate of the period's begin does not; trees would
    learn to add it, and add it twice where both are fresh.

    Args:
        facts: Events, as given to `estimate.fit`.
        statics: What does not change with time.
        estimates: Their periods are the rows'.
        width_s: Width of a time bucket, seconds.
        most: More impressions are thinned evenly at random to so many.
        rng: For the thinning.
        begin_s: Impressions before this moment are left out, epoch seconds.
    """
    ends = [one.as_of_s for one in (*estimates.past, estimates.now)]
    shown = estimates.shown
    bounds = np.searchsorted(shown.time, ends, side="right")
    first = max(int(bounds[0]), int(np.searchsorted(shown.time, begin_s)))
    events = first + np.flatnonzero(shown.views[first : bounds[-1]])
    if len(events) > most:
        events = np.sort(rng.choice(events, most, replace=False))
    if facts.shown == "choices":
        events = _of_known(facts, shown, ends, events)
    x = np.empty((len(events), len(statics.features)), np.float32)
    counts = asof.start_tally(facts, statics)
    cuts = np.searchsorted(events, bounds)
    for end_s, low, high in zip(ends, cuts, cuts[1:], strict=False):
        x[low:high] = snapshot(shown, statics, counts.advance(end_s), width_s, events[low:high])
    return Rows(events, x, shown.target[events])


def _of_known(facts: Facts, slates: Facts, ends: Sequence[int], events: Ints) -> Ints:
    """Return the rows of slates whose liked post was known to be there before its period.

    Beside it a post that was not may stand: nobody can like what nobody shows.
    """
    user, time = slates.user[events].astype(np.int64), slates.time[events]
    liked = slates.target[events] == 1
    for begin_s, end_s in pairwise(ends):
        low, high = np.searchsorted(time, [begin_s, end_s], side="right")
        liked[low:high] &= known_posts(facts, begin_s)[slates.post[events[low:high]]]
    slate = user * (int(time.max(initial=0)) + 1) + time
    unknown = (slates.target[events] == 1) & ~liked
    return np.asarray(events[np.isin(slate, slate[liked]) & ~unknown], np.int64)


def snapshot(facts: Facts, statics: Statics, counts: Tally, width_s: int, events: Ints) -> Floats32:
    """Return events' features, all as of `counts.at_s`, float32 (events, features)."""
    time = facts.time[events]
    starts, bucket = np.unique(time - time % width_s, return_inverse=True)
    return asof.make_sides(facts, statics, counts, starts).rows(
        facts.user[events], facts.post[events], bucket
    )


def parameters_for(n_rows: int, n_leaves: int, seed: int, threads: int) -> dict[str, Any]:
    """Return what LightGBM is given for this many rows; `threads` 0 means all cores."""
    sizes = {"num_leaves": n_leaves, "min_data_in_leaf": smallest_leaf(n_rows)}
    return {**PARAMETERS, **sizes, "seed": seed, "num_threads": threads}


def smallest_leaf(n_rows: int) -> int:
    """Return the fewest rows a leaf may hold: 20 in a tiny world, 100 in a small one, then a 2,000th.

    >>> smallest_leaf(1_000), smallest_leaf(30_000), smallest_leaf(2_000_000)
    (20, 100, 1000)
    """
    return max(20, min(100, n_rows // 200), n_rows // 2000)


def fit(
    x: Floats32,
    y: Ints8,
    features: tuple[Feature, ...],
    parameters: dict[str, Any],
    n_trees: int,
    progress: Callable[[int], None] | None = None,
    init: Floats | None = None,
) -> lgb.Booster:
    """Boost `n_trees` trees; `progress` is called with 1 after each.

    `init` float64 (rows,) are log-odds to boost from; the model holds only what the trees add to them.
    """
    names = inner_names([feature.name for feature in features])
    categorical = [name for name, feature in zip(names, features, strict=True) if feature.categorical]
    data = lgb.Dataset(
        x,
        y,
        init_score=init,
        feature_name=names,
        categorical_feature=categorical,
        params={"max_bin": parameters["max_bin"], "verbosity": -1},
    )
    callbacks = [lambda _env: progress(1)] if progress else []
    return lgb.train(parameters, data, num_boost_round=n_trees, callbacks=callbacks)


def inner_names(names: Sequence[str]) -> list[str]:
    """Return what columns are called inside LightGBM: their names, or `Column_` and their number.

    It refuses brackets, commas, quotes and names that come twice, and turns blanks into underscores.

    >>> inner_names(["age", "city, region", "os", "os", "Column_0"])
    ['age', 'Column_1', 'Column_2', 'Column_3', 'Column_4']
    """
    often = Counter(names)
    return [
        name if often[name] == 1 and _HOLDABLE.fullmatch(name) else f"Column_{column}"
        for column, name in enumerate(names)
    ]


def fit_trees(
    shown: Rows,
    estimates: Estimates,
    features: tuple[Feature, ...],
    parameters: dict[str, Any],
    n_trees: int,
    share: float,
    progress: Callable[[int], None] | None = None,
) -> lgb.Booster:
    """Boost trees from the estimates on, whose raw scores are added to the estimate's as they are.

    Args:
        shown: What `gather_rows` returned.
        estimates: What was estimated before each of them.
        features: Columns of the rows.
        parameters: LightGBM's.
        n_trees: Trees to boost.
        share: How much of what they say is in the leaves, 0..1.
        progress: Called with 1 after each tree, where they say anything.

    Returns:
        LightGBM's model. Its scores are around the log-odds of everybody's like rate, so that they are
        probabilities on their own too.

    Raises:
        ValueError: A row is older than the first estimate.
    """
    base = estimates.before(shown.event)
    booster = fit(shown.x, shown.y, features, parameters, n_trees, progress if share else None, init=base)
    return _scale(booster, share, estimates.now.base)


def _scale(booster: lgb.Booster, share: float, base: float) -> lgb.Booster:
    """Return the model with a share of what its leaves say, and `base` once, in the first tree."""
    for tree, about in enumerate(booster.dump_model()["tree_info"]):
        for leaf in range(about["num_leaves"]):
            value = share * booster.get_leaf_output(tree, leaf)
            booster.set_leaf_output(tree, leaf, value + (0.0 if tree else base))
    return lgb.Booster(model_str=booster.model_to_string())
