"""Metrics that a run keeps in its manifest: a model trained before a week, on what its sessions showed."""

from dataclasses import replace

import numpy as np

from batch.arrays import Floats, Ints
from batch.data.facts import Facts
from batch.evaluate import chance
from batch.evaluate.intervals import delta_interval
from batch.evaluate.metrics import Hits, auc, hitrate
from batch.evaluate.own import OwnModel, raw_scores
from batch.evaluate.results import Column, mean_column
from batch.evaluate.sessions import Sessions
from batch.features import asof
from batch.features.popularity import post_scores
from batch.learn.baselines.counts import popular_recent
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.neighbours import cosine, item_knn
from batch.learn.baselines.recommender import ScoreRecommender
from batch.learn.factors import negative_sampling
from batch.learn.recipe import Recipe
from batch.learn.sessions import pairs_won
from batch.learn.split import Split

K = 5
BOUNDED = ("", "_popular", "_recent", "_knn")  # lines with intervals, and random


def measure_run(facts: Facts, statics: asof.Statics, split: Split, recipe: Recipe) -> dict[str, float]:
    """Measure AUC and HitRate@5 on the split's shown posts, beside random, popular, kNN and first-five.

    Sessions with ten impressions or more count. Our model is the published one, made before the split and
    not renewed inside it: factors, trees and features as of the split's begin. Beside it stand its factors
    alone (`estimate`), trees that start from nothing (`trees_alone`), and ours with each impression's place
    in its session among the features, then scored as if all came first (`position_fixed`): it shows what
    position takes away. Where users chose what they took, a session holds what they liked next among posts
    that they did not take (`negative_sampling.draw_slates`), since what they took tells only what they like
    once taken.

    Returns:
        Metric name to value; `auc_in_session` counts pairs of the same session only. Of the lines that
        `BOUNDED` names, `…_low` and `…_high` are the ends of the 95 % interval over users.

    Raises:
        ValueError: What lies before the split cannot train a model.
    """
    own = OwnModel.train(facts, statics, split.test_from_s - 1, recipe)
    before = Interactions(facts.until(split.test_from_s - 1), statics, recipe.seed, recipe.threads)
    if facts.shown == "choices":
        rng = np.random.default_rng(recipe.seed)
        facts = negative_sampling.draw_slates(facts, [split.test_from_s - 1, split.test_to_s - 1], rng)
        own = replace(own, facts=facts)
    what = Sessions.of(facts, split, recipe.seed, most=None)
    scores = {
        **_own_scores(own, what.event),
        "_popular": post_scores(own.counts)[what.post],
        "_recent": ScoreRecommender(popular_recent(before), len(facts.posts)).pairs(what.user, what.post),
        "_knn": ScoreRecommender(item_knn(cosine)(before), len(facts.posts)).pairs(what.user, what.post),
        "_first5": -what.position.astype(np.float64),
    }
    found = {
        "auc": auc(scores[""], what.liked),
        "test_sessions": float(len(what.owner)),
        "test_impressions": float(len(what.event)),
        "of_choices": float(facts.shown == "choices"),
        **_bounded("hitrate_at_5_random5", mean_column(chance.hitrate(*what.sizes, K)), what.owner),
    }
    for name, values in scores.items():
        hits = mean_column(hitrate(Hits.of_sessions(what.session, values, what.liked, K), K))
        pairs = Column(*pairs_won(what.session, values, what.liked))
        for metric, column in ((f"hitrate_at_5{name}", hits), (f"auc_in_session{name}", pairs)):
            found |= _bounded(metric, column, what.owner, only=name not in BOUNDED)
    return found


def _own_scores(own: OwnModel, event: Ints) -> dict[str, Floats]:
    """Return the scores of ours and of the models that tell where its worth comes from."""
    x, additive = own.snapshot(event), own.additive(event)
    first = np.column_stack([x, np.zeros(len(x), np.float32)])
    return {
        "": additive + raw_scores(own.booster(), x),
        "_estimate": additive,
        "_trees_alone": raw_scores(own.fit_trees_alone(), x),
        "_position_fixed": additive + raw_scores(own.fit_with_position(), first),
    }


def _bounded(metric: str, column: Column, owner: Ints, *, only: bool = False) -> dict[str, float]:
    """Return a metric's figure over all sessions; unless it is wanted `only`, its interval too."""
    whole = float(column.wholes.sum())
    found = {metric: float(column.parts.sum()) / whole if whole else float("nan")}
    if only:
        return found
    low, high = delta_interval(column.parts, column.wholes, owner)
    return {**found, f"{metric}_low": low, f"{metric}_high": high}
