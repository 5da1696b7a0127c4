"""Evaluation on shown posts: train before a week, rank what that week's sessions showed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from api.contract.buckets import DAY_S
from batch.features import asof
from batch.features.popularity import post_scores
from batch.features.sides import Feature
from batch.judge.metrics import auc, auc_in_session, hitrate_at_k, random_hitrate_at_k
from batch.learn.ranker import fit, parameters_for
from batch.learn.sessions import positions
from batch.learn.split import MIN_SHOWN, Split
from batch.source.facts import Facts

K = 5
POSITION = Feature("position", "time")  # only compared: at scoring nobody knows it

# Scores from user ids, post ids and epoch seconds: a line that somebody else draws, such as an oracle's.
Line = Callable[
    [npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.float64]
]


@dataclass(frozen=True, slots=True)
class Plan:
    """How the evaluated ranker is trained: as the published one, but on the days before the split."""

    split: Split
    train_days: int
    train_rows: int
    width_s: int
    n_trees: int
    n_leaves: int
    seed: int
    threads: int = 0


def evaluate(facts: Facts, known: asof.Statics, plan: Plan, lines: dict[str, Line]) -> dict[str, float]:
    """Measure AUC and HitRate@5 on the split's shown posts, beside random, popular and first-five lines.

    Sessions with ten impressions or more count. The features of a test day see the facts before that day;
    the trees see none from the split on. `position_fixed` is the same ranker given each impression's place
    in its session as a feature and then scored as if all came first: it shows what position takes away.

    Returns:
        Metric name to value; `auc_in_session` counts pairs of the same session only.
    """
    rng = np.random.default_rng(plan.seed)
    split = plan.split
    begin = split.test_from_s - plan.train_days * DAY_S
    past = asof.rows(facts, known, begin, split.test_from_s, plan.width_s, plan.train_rows, rng)
    test = asof.rows(facts, known, split.test_from_s, split.test_to_s, plan.width_s, len(facts.time), rng)
    session, position, kept = _sessions(facts, test.event)
    x, liked = test.x[kept], test.y[kept] == 1
    event = test.event[kept]

    parameters = parameters_for(len(past.y), plan.n_leaves, plan.seed, plan.threads)
    booster = fit(past.x, past.y, known.features, parameters, plan.n_trees)
    place = _positions_of(facts, past.event)
    aliased = fit(
        np.column_stack([past.x, place]), past.y, (*known.features, POSITION), parameters, plan.n_trees
    )
    popular = post_scores(asof.tally(facts, known).advance(split.test_from_s - 1))
    scores = {
        "": np.asarray(booster.predict(x, raw_score=True), np.float64),
        "_popular": popular[facts.post[event]],
        "_first5": -position.astype(np.float64),
        "_position_fixed": np.asarray(
            aliased.predict(np.column_stack([x, np.zeros(len(x), np.float32)])), np.float64
        ),
    }
    for name, line in lines.items():
        scores[f"_{name}"] = line(
            facts.user_ids[facts.user[event]], facts.post_ids[facts.post[event]], facts.time[event]
        )
    found = {
        "auc": auc(scores[""], liked),
        "test_sessions": float(session.max(initial=-1) + 1),
        "test_impressions": float(len(event)),
        "train_impressions": float(len(past.y)),
        "hitrate_at_5_random5": float(random_hitrate_at_k(session, liked, K).mean())
        if len(event)
        else float("nan"),
    }
    for name, values in scores.items():
        hits = hitrate_at_k(session, values, liked, K)
        found[f"hitrate_at_5{name}"] = float(hits.mean()) if len(hits) else float("nan")
        found[f"auc_in_session{name}"] = auc_in_session(session, values, liked)
    return found


def _sessions(
    facts: Facts, event: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return session number and position of the impressions in long enough sessions, and which those are."""
    session, position = positions(facts.user[event], facts.time[event])
    kept = np.bincount(session)[session] >= MIN_SHOWN
    _, number = np.unique(session[kept], return_inverse=True)
    return number.astype(np.int64), position[kept], kept


def _positions_of(facts: Facts, event: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the place in its session of each impression among all impressions, thinned ones included."""
    shown = np.flatnonzero(facts.views)
    _, position = positions(facts.user[shown], facts.time[shown])
    return position[np.searchsorted(shown, event)].astype(np.float32)
