"""Evaluation on shown posts: train before a week, rank what that week's sessions showed."""

from collections.abc import Callable
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from batch.features import asof
from batch.features.popularity import post_scores
from batch.features.sides import Feature
from batch.features.tally import Tally
from batch.judge.metrics import auc, auc_in_session, hitrate_at_k, random_hitrate_at_k
from batch.learn.estimates import estimate, trees
from batch.learn.learn import Recipe, learn, training_rows
from batch.learn.ranker import fit, parameters_for
from batch.learn.sessions import positions
from batch.learn.split import MIN_SHOWN, Split
from batch.source.facts import Facts
from batch.zoo.neighbours import cosine, item_knn
from batch.zoo.past import Past

K = 5
USERS_AT_ONCE = 500  # whose scores of every post are held: 30 MB at 7,023 posts
POSITION = Feature("position", "time")  # only compared: at scoring nobody knows it

# Scores from user ids, post ids and epoch seconds: a line that somebody else draws, such as an oracle's.
Line = Callable[
    [npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.float64]
]


@dataclass(frozen=True, slots=True)
class Plan:
    """How the evaluated ranker is trained: as the published one, but on the days before the split."""

    split: Split
    recipe: Recipe


def evaluate(facts: Facts, known: asof.Statics, plan: Plan, lines: dict[str, Line]) -> dict[str, float]:
    """Measure AUC and HitRate@5 on the split's shown posts, beside random, popular, kNN and first-five.

    Sessions with ten impressions or more count. Our model is the published one, made before the split and
    not renewed inside it: factors, trees and features as of the split's begin. Beside it stand its factors
    alone (`estimate`), trees that start from nothing (`trees_alone`), and ours with each impression's place
    in its session among the features, then scored as if all came first (`position_fixed`): it shows what
    position takes away.

    Returns:
        Metric name to value; `auc_in_session` counts pairs of the same session only.

    Raises:
        ValueError: What lies before the split cannot train a model.
    """
    split = plan.split
    event, session, position = shown(facts, split)
    liked = facts.target[event] == 1
    counts = asof.tally(facts, known).advance(split.test_from_s - 1)
    scores = {
        **_trained(facts, known, plan, counts, event),
        "_popular": post_scores(counts)[facts.post[event]],
        "_knn": _knn(facts, known, plan, event),
        "_first5": -position.astype(np.float64),
    }
    for name, line in lines.items():
        scores[f"_{name}"] = line(
            facts.user_ids[facts.user[event]], facts.post_ids[facts.post[event]], facts.time[event]
        )
    found = {
        "auc": auc(scores[""], liked),
        "test_sessions": float(session.max(initial=-1) + 1),
        "test_impressions": float(len(event)),
        "hitrate_at_5_random5": float(random_hitrate_at_k(session, liked, K).mean())
        if len(event)
        else float("nan"),
    }
    for name, values in scores.items():
        hits = hitrate_at_k(session, values, liked, K)
        found[f"hitrate_at_5{name}"] = float(hits.mean()) if len(hits) else float("nan")
        found[f"auc_in_session{name}"] = auc_in_session(session, values, liked)
    return found


def _trained(
    facts: Facts, known: asof.Statics, plan: Plan, counts: Tally, event: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the scores of ours and of the models that tell where its worth comes from."""
    estimates = estimate.fit(facts, known.texts, plan.split.test_from_s - 1, plan.recipe.seed)
    rows = training_rows(facts, known, estimates, plan.recipe)
    model = learn(facts, known, estimates, rows, plan.recipe)
    parameters = parameters_for(len(rows.y), plan.recipe.n_leaves, plan.recipe.seed, plan.recipe.threads)
    alone = fit(rows.x, rows.y, known.features, parameters, plan.recipe.n_trees)
    placed = np.column_stack([rows.x, _positions_of(facts, rows.event)])
    base = estimates.before(facts, rows.event)
    aliased = fit(placed, rows.y, (*known.features, POSITION), parameters, plan.recipe.n_trees, init=base)
    x = trees.snapshot(facts, known, counts, plan.recipe.width_s, event)
    first = np.column_stack([x, np.zeros(len(x), np.float32)])
    additive = estimates.now.scores(facts.user[event], facts.post[event])
    return {
        "": additive + _said(model.booster(), x),
        "_estimate": additive,
        "_trees_alone": _said(alone, x),
        "_position_fixed": additive + _said(aliased, first),
    }


def _knn(
    facts: Facts, known: asof.Statics, plan: Plan, event: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return scores by likeness to what the user liked before the split: cosine between posts' likers."""
    past = Past(facts.until(plan.split.test_from_s - 1), known, plan.recipe.seed, plan.recipe.threads)
    ranking = item_knn(cosine)(past)
    out = np.empty(len(event))
    users, row = np.unique(facts.user[event], return_inverse=True)
    order, counts = np.argsort(row, kind="stable"), np.bincount(row, minlength=len(users))
    ends = np.concatenate([[0], np.cumsum(counts)])
    for low in range(0, len(users), USERS_AT_ONCE):
        high = min(low + USERS_AT_ONCE, len(users))
        at = order[ends[low] : ends[high]]
        out[at] = ranking(users[low:high].astype(np.int64))[row[at] - low, facts.post[event[at]]]
    return out


def _said(booster: lgb.Booster, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return np.asarray(booster.predict(x, raw_score=True), np.float64) if len(x) else np.empty(0)


def shown(
    facts: Facts, split: Split
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the split's impressions in long enough sessions: rows in the facts, session, position."""
    low, high = np.searchsorted(facts.time, [split.test_from_s, split.test_to_s], side="left")
    event = low + np.flatnonzero(facts.views[low:high])
    session, position = positions(facts.user[event], facts.time[event])
    kept = np.bincount(session)[session] >= MIN_SHOWN
    _, number = np.unique(session[kept], return_inverse=True)
    return event[kept], number.astype(np.int64), position[kept]


def _positions_of(facts: Facts, event: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the place in its session of each impression among all impressions, thinned ones included."""
    shown = np.flatnonzero(facts.views)
    _, position = positions(facts.user[shown], facts.time[shown])
    return position[np.searchsorted(shown, event)].astype(np.float32)
