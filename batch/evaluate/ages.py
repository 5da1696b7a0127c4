"""Protocol `by_age`: how much a list loses as it ages: sessions ranked as of some hours before."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from batch.arrays import Floats, Ints
from batch.data.facts import Facts
from batch.evaluate import results
from batch.evaluate.own import OURS, raw_scores
from batch.evaluate.sessions import AUC, Sessions
from batch.features import asof
from batch.learn import trees
from batch.learn.factors import estimate
from batch.learn.recipe import Recipe
from batch.learn.split import Split
from batch.learn.train import train
from batch.progress import Advance

HOUR_S = 3600
AGES_H = (0, 1, 3, 6, 12, 24, 72)
MEASURED: tuple[results.Metric, ...] = (AUC, ("hitrate", 5))


def evaluate_ages(
    facts: Facts,
    statics: asof.Statics,
    split: Split,
    recipe: Recipe,
    ages_h: Sequence[int] = AGES_H,
    advance: Advance = lambda _n: None,
) -> results.Report:
    """Rank the split's shown posts by lists made some hours before, each age a model: `almanac_24h`.

    A list knows every fact before it was made and none later: estimates and features are made anew as of that
    hour. The trees and the weights of the estimates are those of one training before the oldest list of all,
    so that ages differ by what was known and by nothing else. `almanac_0h` against an older one is what that
    age lost; the same users and sessions are on both sides.

    Args:
        facts: Users, posts and events.
        statics: What does not change with time.
        split: Test days.
        recipe: Sizes and seed.
        ages_h: Hours from when a list was made to the begin of its session's hour, ascending from 0.
        advance: Called with 1 whenever the lists of one hour are made.

    Raises:
        ValueError: What lies before the oldest list cannot train a model, or no session can be tested.
    """
    what = Sessions.of(facts, split, recipe.seed, most=None)
    if not len(what.event):
        raise ValueError("no session of ten impressions or more lies in the test days: nothing can be ranked")
    begin = np.full(len(what.owner), np.iinfo(np.int64).max)
    np.minimum.at(begin, what.session, facts.time[what.event])
    hour = (begin - begin % HOUR_S)[what.session]
    scores = np.empty((len(ages_h), len(what.event)))
    made = np.stack([hour - age_h * HOUR_S for age_h in ages_h])
    for at_s, score in _scores_by_time(facts, statics, recipe, np.unique(made)):
        for row, when in zip(scores, made, strict=True):
            at = np.flatnonzero(when == at_s)
            row[at] = score(what.event[at])
        advance(1)
    models = {f"{OURS}_{age_h}h": what.measure(row) for age_h, row in zip(ages_h, scores, strict=True)}
    fresh, *older = models
    lists = results.MeasuredLists(models, what.owner).only(MEASURED)
    figures = results.summarize(
        "by_age", lists, np.random.default_rng(recipe.seed), [(fresh, name) for name in older]
    )
    about = {**lists.sizes(), "n_impressions": len(what.event)}
    about["n_sessions"] = about.pop("n_lists")
    return results.Report(about, results.result_frame(figures))


def _scores_by_time(
    facts: Facts, statics: asof.Statics, recipe: Recipe, made: Ints
) -> Iterator[tuple[int, Callable[[Ints], Floats]]]:
    """Yield for each time, ascending, a function that scores events as a list made then does."""
    first = train(facts, statics, int(made[0]) - 1, recipe)
    booster, weights = first.model.booster(), first.estimates.weights
    counts, parts = asof.start_tally(facts, statics), None
    for at_s in made.tolist():
        now, parts = estimate.renew(facts, statics.texts, at_s - 1, weights, recipe.seed, parts)
        counts.advance(at_s - 1)

        def score(events: Ints, now: estimate.Estimate = now) -> Floats:
            x = trees.snapshot(facts, statics, counts, recipe.width_s, events)
            return now.scores(facts.user[events], facts.post[events]) + raw_scores(booster, x)

        yield at_s, score
