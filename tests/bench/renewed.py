"""What a warm night costs: the last week's sessions by weights and trees of some days before its begin.

Features and tastes are of the week's begin in every model. Beside them stands the one that was trained then.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from api.contract.buckets import DAY_S
from batch.arrays import Floats, Ints
from batch.data.facts import Facts
from batch.data.load import read_facts
from batch.evaluate import results
from batch.evaluate.own import raw_scores
from batch.evaluate.sessions import AUC, Sessions
from batch.features import asof
from batch.jobs.warm import choose_start, keep_fit
from batch.learn import trees
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.learn.split import last_week
from batch.learn.train import renew, train
from batch.settings import Settings

AGES_DAYS = (0, 1, 3, 7)
MEASURED: tuple[results.Metric, ...] = (AUC, ("hitrate", 5))


def run(location: str, folder: Path, ages_days: Sequence[int] = AGES_DAYS) -> dict[str, object]:
    """Measure, and return each model's figures and what it lost against the one of age 0.

    An age after which facts had grown too much for a warm night is left out.

    Args:
        location: Folder or URL of the facts.
        folder: Where fits are kept meanwhile.
        ages_days: Days from the training to the week's begin, ascending from 0.
    """
    settings = Settings(state_dir=folder)
    facts = read_facts(settings, location, lambda _n: None)
    split = last_week(facts)
    assert split is not None, "no user comes back on a later day"
    what = Sessions.of(facts, split, settings.seed, most=None)
    at_s = split.test_from_s - 1
    models = {}
    for days in ages_days:
        model = _make_model(settings, facts, at_s, days)
        if model is not None:
            models[f"{days}d"] = what.measure(_score(facts, model, what.event, at_s))
    fresh, *older = models
    lists = results.MeasuredLists(models, what.owner).only(MEASURED)
    figures = results.summarize(
        "renewed", lists, np.random.default_rng(settings.seed), [(fresh, name) for name in older]
    )
    return {**lists.sizes(), "results": results.result_frame(figures).to_dict("records")}


def _make_model(settings: Settings, facts: Facts, at_s: int, days: int) -> Ranker | None:
    """Train some days before a moment, and renew at it; None where that night would be cold."""
    past, recipe = facts.until(at_s), Recipe.of(settings)
    before = past.until(at_s - days * DAY_S)
    statics = asof.describe(before, settings.seed)
    training = train(before, statics, before.as_of_s, recipe)
    keep_fit(settings, before, "", statics, training)
    start = choose_start(settings, past, "", anew=False)
    return renew(start.kept, past, start.statics, recipe) if start.kept else None


def _score(facts: Facts, model: Ranker, events: Ints, at_s: int) -> Floats:
    """Return a model's scores of later events, by features as of a moment."""
    statics = asof.describe(facts, Settings().seed)
    counts = asof.start_tally(facts, statics).advance(at_s)
    x = trees.snapshot(facts, statics, counts, 3600, events)
    mine, theirs = model.factors.dense
    user, post = facts.user[events], facts.post[events]
    taste = np.einsum("ij,ij->i", mine[user], theirs[post])
    return np.asarray(taste + raw_scores(model.booster(), x), np.float64)
