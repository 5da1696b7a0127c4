"""Evaluation on shown posts: train before a week, rank what that week's sessions showed."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from api.contract.buckets import DAY_S
from batch.data.facts import Facts
from batch.evaluate.chance import random_hitrate_at_k
from batch.evaluate.metrics import auc, auc_in_session, hitrate_at_k
from batch.evaluate.own import Trained, said
from batch.features import asof
from batch.features.popularity import post_scores
from batch.learn.baselines.interactions import Past
from batch.learn.baselines.neighbours import cosine, item_knn
from batch.learn.baselines.recommender import Ranked
from batch.learn.factors import negative_sampling
from batch.learn.recipe import Recipe
from batch.learn.sessions import positions
from batch.learn.split import MIN_SHOWN, Split

K = 5

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Scores from user ids, post ids and epoch seconds: a line that somebody else draws, such as an oracle's.
Line = Callable[[Ints, Ints, Ints], Floats]


@dataclass(frozen=True, slots=True)
class Plan:
    """How the evaluated ranker is trained: as the published one, but on the days before the split."""

    split: Split
    recipe: Recipe


def weekly(first: Split, n: int) -> list[Split]:
    """Return the split itself, or `n` of a week each from its begin on."""
    if n == 1:
        return [first]
    starts = [first.test_from_s + k * 7 * DAY_S for k in range(n)]
    return [Split(start, start + 7 * DAY_S) for start in starts]


def evaluate(facts: Facts, known: asof.Statics, plan: Plan, lines: dict[str, Line]) -> dict[str, float]:
    """Measure AUC and HitRate@5 on the split's shown posts, beside random, popular, kNN and first-five.

    Sessions with ten impressions or more count. Our model is the published one, made before the split and
    not renewed inside it: factors, trees and features as of the split's begin. Beside it stand its factors
    alone (`estimate`), trees that start from nothing (`trees_alone`), and ours with each impression's place
    in its session among the features, then scored as if all came first (`position_fixed`): it shows what
    position takes away. Where users chose what they took, a session holds what they liked next among posts
    that they did not take (`choices.slates`), since what they took tells only what they like once taken.

    Returns:
        Metric name to value; `auc_in_session` counts pairs of the same session only.

    Raises:
        ValueError: What lies before the split cannot train a model.
    """
    split = plan.split
    trained = Trained.at(facts, known, split.test_from_s - 1, plan.recipe)
    past = Past(facts.until(split.test_from_s - 1), known, plan.recipe.seed, plan.recipe.threads)
    if facts.shown == "choices":
        rng = np.random.default_rng(plan.recipe.seed)
        facts = negative_sampling.draw_slates(facts, [split.test_from_s - 1, split.test_to_s - 1], rng)
    made = replace(trained, facts=facts)
    event, session, position = shown(facts, split, plan.recipe.seed)
    liked = facts.target[event] == 1
    user, post = facts.user[event].astype(np.int64), facts.post[event].astype(np.int64)
    scores = {
        **_said(made, event),
        "_popular": post_scores(made.counts)[post],
        "_knn": Ranked(item_knn(cosine)(past)).pairs(user, post),
        "_first5": -position.astype(np.float64),
    }
    for name, line in lines.items():
        scores[f"_{name}"] = line(facts.user_ids[user], facts.post_ids[post], facts.time[event])
    found = {
        "auc": auc(scores[""], liked),
        "test_sessions": float(session.max(initial=-1) + 1),
        "test_impressions": float(len(event)),
        "of_choices": float(facts.shown == "choices"),
        "hitrate_at_5_random5": float(random_hitrate_at_k(session, liked, K).mean())
        if len(event)
        else float("nan"),
    }
    for name, values in scores.items():
        hits = hitrate_at_k(session, values, liked, K)
        found[f"hitrate_at_5{name}"] = float(hits.mean()) if len(hits) else float("nan")
        found[f"auc_in_session{name}"] = auc_in_session(session, values, liked)
    return found


def _said(made: Trained, event: Ints) -> dict[str, Floats]:
    """Return the scores of ours and of the models that tell where its worth comes from."""
    x, additive = made.snapshot(event), made.additive(event)
    first = np.column_stack([x, np.zeros(len(x), np.float32)])
    return {
        "": additive + said(made.model.booster(), x),
        "_estimate": additive,
        "_trees_alone": said(made.alone(), x),
        "_position_fixed": additive + said(made.placed(), first),
    }


def shown(facts: Facts, split: Split, seed: int) -> tuple[Ints, Ints, Ints]:
    """Return the split's impressions in long enough sessions: rows in the facts, session, position.

    They come in a random order: ties go to the earlier row, and one by time would give the place away.
    """
    low, high = np.searchsorted(facts.time, [split.test_from_s, split.test_to_s], side="left")
    event = low + np.flatnonzero(facts.views[low:high])
    session, position = positions(facts.user[event], facts.time[event])
    kept = np.random.default_rng(seed).permutation(np.flatnonzero(np.bincount(session)[session] >= MIN_SHOWN))
    _, number = np.unique(session[kept], return_inverse=True)
    return event[kept], number.astype(np.int64), position[kept]
