"""How much a list loses as it ages: held-out sessions ranked by what was known some hours before them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from batch.data.facts import Facts
from batch.evaluate.intervals import intervals
from batch.evaluate.metrics import hitrate_at_k, pairs_won
from batch.evaluate.nightly import K, Plan, shown
from batch.evaluate.own import said
from batch.features import asof
from batch.learn import trees
from batch.learn.factors import estimate
from batch.learn.train import train

HOUR_S = 3600
AGES_H = (0, 1, 3, 6, 12, 24, 72)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Age:
    """Quality of lists of one age. Intervals are of 95 %, over users drawn again and again.

    Attributes:
        age_h: Hours from when a list was made to the begin of the hour in which its session begins.
        auc_in_session: Share of a session's pairs of a liked and an unliked post that stand in order.
        auc_interval: Its interval.
        auc_lost: By how much fresh lists, of age 0, are better, and the interval of that; the same users
            and sessions on both sides, so it tells ages apart that the intervals above do not.
        auc_lost_interval: See `auc_lost`.
        hitrate_at_5: Share of sessions with a like among the five posts ranked first.
        hitrate_interval: Its interval.
        hitrate_lost: As `auc_lost`.
        hitrate_lost_interval: As `auc_lost_interval`.
    """

    age_h: int
    auc_in_session: float
    auc_interval: Interval
    auc_lost: float
    auc_lost_interval: Interval
    hitrate_at_5: float
    hitrate_interval: Interval
    hitrate_lost: float
    hitrate_lost_interval: Interval


@dataclass(frozen=True, slots=True)
class Curve:
    """The ages, and on how much they were measured."""

    ages: tuple[Age, ...]
    n_sessions: int
    n_users: int
    n_impressions: int

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return asdict(self)


def by_age(
    facts: Facts,
    known: asof.Statics,
    plan: Plan,
    ages_h: Sequence[int] = AGES_H,
    progress: Callable[[int], None] | None = None,
) -> Curve:
    """Rank the split's shown posts by lists made some hours before, one curve over their age.

    A list knows every fact before it was made and none later: estimates and features are made anew as of that
    hour. The trees and the weights of the estimates are those of one training before the oldest list of all,
    so that ages differ by what was known and by nothing else.

    Args:
        facts: Users, posts and events.
        known: What does not change with time.
        plan: Test days, sizes and seed.
        ages_h: Ages in hours, ascending from 0.
        progress: Called with 1 whenever the lists of one hour are made.

    Raises:
        ValueError: What lies before the oldest list cannot train a model, or no session can be tested.
    """
    event, session, _ = shown(facts, plan.split, plan.recipe.seed)
    if not len(event):
        raise ValueError("no session of ten impressions or more lies in the test days: nothing can be ranked")
    begin = np.full(session.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(begin, session, facts.time[event])
    hour = (begin - begin % HOUR_S)[session]
    scores = np.empty((len(ages_h), len(event)))
    made = np.stack([hour - age_h * HOUR_S for age_h in ages_h])
    for at_s, score in _lists(facts, known, plan, np.unique(made)):
        for row, when in zip(scores, made, strict=True):
            at = np.flatnonzero(when == at_s)
            row[at] = score(event[at])
        if progress:
            progress(1)
    liked, user = facts.target[event] == 1, facts.user[event]
    owner = np.empty(len(begin), np.int64)
    owner[session] = user
    ages = _ages(ages_h, scores, session, liked, owner, np.random.default_rng(plan.recipe.seed))
    return Curve(ages, len(begin), len(np.unique(owner)), len(event))


def _lists(
    facts: Facts, known: asof.Statics, plan: Plan, made: Ints
) -> Iterator[tuple[int, Callable[[Ints], Floats]]]:
    """Yield for each time, ascending, what scores events as a list made then does."""
    first = train(facts, known, int(made[0]) - 1, plan.recipe)
    booster, weights = first.model.booster(), first.estimates.weights
    counts, parts = asof.tally(facts, known), None
    for at_s in made.tolist():
        now, parts = estimate.renew(facts, known.texts, at_s - 1, weights, plan.recipe.seed, parts)
        counts.advance(at_s - 1)

        def score(events: Ints, now: estimate.Estimate = now) -> Floats:
            x = trees.snapshot(facts, known, counts, plan.recipe.width_s, events)
            return now.scores(facts.user[events], facts.post[events]) + said(booster, x)

        yield at_s, score


def _ages(
    ages_h: Sequence[int],
    scores: Floats,
    session: Ints,
    liked: npt.NDArray[np.bool_],
    owner: Ints,
    rng: np.random.Generator,
) -> tuple[Age, ...]:
    """Return each age's figures; all ages are drawn with the same users."""
    won, pairs = zip(*(pairs_won(session, row, liked) for row in scores), strict=True)
    hits = np.column_stack([hitrate_at_k(session, row, liked, K) for row in scores])
    auc = _measured(np.column_stack(won), np.column_stack(pairs), owner, rng)
    hitrate = _measured(hits, np.ones_like(hits), owner, rng)
    return tuple(Age(age_h, *a, *h) for age_h, a, h in zip(ages_h, auc, hitrate, strict=True))


def _measured(
    parts: Floats, wholes: Floats, owner: Ints, rng: np.random.Generator
) -> list[tuple[float, Interval, float, Interval]]:
    """Return each column's rate with its interval, and what it lost against the first, with that interval."""
    both = np.hstack([parts, parts[:, :1] - parts])
    whole = np.hstack([wholes, wholes])
    rates = (both.sum(axis=0) / np.maximum(whole.sum(axis=0), 1e-9)).tolist()
    ranges = [(low, high) for low, high in intervals(both, whole, owner, rng).tolist()]
    n = parts.shape[1]
    return list(zip(rates[:n], ranges[:n], rates[n:], ranges[n:], strict=True))
