"""Metrics that a run keeps in its manifest: a model trained before a week, on what its sessions showed."""

from dataclasses import replace

import numpy as np

from batch.arrays import Floats, Ints
from batch.data.facts import Facts
from batch.evaluate import chance
from batch.evaluate.metrics import Hits, auc, auc_in_session, hitrate
from batch.evaluate.own import OwnModel, raw_scores
from batch.evaluate.sessions import Sessions
from batch.features import asof
from batch.features.popularity import post_scores
from batch.learn.baselines.counts import popular_recent
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.neighbours import cosine, item_knn
from batch.learn.baselines.recommender import ScoreRecommender
from batch.learn.factors import negative_sampling
from batch.learn.recipe import Recipe
from batch.learn.split import Split

K = 5


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
        Metric name to value; `auc_in_session` counts pairs of the same session only.

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
        "hitrate_at_5_random5": _mean(chance.hitrate(*what.sizes, K)),
    }
    for name, values in scores.items():
        hits = Hits.of_sessions(what.session, values, what.liked, K)
        found[f"hitrate_at_5{name}"] = _mean(hitrate(hits, K))
        found[f"auc_in_session{name}"] = auc_in_session(what.session, values, what.liked)
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


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
