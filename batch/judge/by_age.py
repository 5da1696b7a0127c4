"""How much a list loses as it ages: held-out sessions ranked by what was known some hours before them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from batch.features import asof
from batch.judge.evaluate import K, Plan, shown
from batch.judge.metrics import hitrate_at_k, pairs_won
from batch.learn.estimates import estimate, trees
from batch.learn.learn import learn, training_rows
from batch.source.facts import Facts

HOUR_S = 3600
AGES_H = (0, 1, 3, 6, 12, 24, 72)
N_DRAWS = 2_000  # of users, for the intervals
TAIL = 2.5  # per cent on either side of them

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
    event, session, _ = shown(facts, plan.split)
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
    first = int(made[0]) - 1
    estimates = estimate.fit(facts, known.texts, first, plan.recipe.seed)
    model = learn(facts, known, estimates, training_rows(facts, known, estimates, plan.recipe), plan.recipe)
    booster, counts, parts = model.booster(), asof.tally(facts, known), None
    for at_s in made.tolist():
        now, parts = estimate.renew(facts, known.texts, at_s - 1, estimates.weights, plan.recipe.seed, parts)
        counts.advance(at_s - 1)

        def score(events: Ints, now: estimate.Estimate = now) -> Floats:
            x = trees.snapshot(facts, known, counts, plan.recipe.width_s, events)
            return now.scores(facts.user[events], facts.post[events]) + _said(booster, x)

        yield at_s, score


def _said(booster: lgb.Booster, x: npt.NDArray[np.float32]) -> Floats:
    return np.asarray(booster.predict(x, raw_score=True), np.float64) if len(x) else np.empty(0)


def _ages(
    ages_h: Sequence[int],
    scores: Floats,
    session: Ints,
    liked: npt.NDArray[np.bool_],
    owner: Ints,
    rng: np.random.Generator,
) -> tuple[Age, ...]:
    """Return each age's figures; all ages are drawn with the same users."""
    _, user = np.unique(owner, return_inverse=True)
    n_users = int(user.max()) + 1
    drawn = rng.multinomial(n_users, np.full(n_users, 1 / n_users), N_DRAWS).astype(np.float64)
    auc, hits = [], []
    for row in scores:
        won, pairs = pairs_won(session, row, liked)
        hit = hitrate_at_k(session, row, liked, K)
        auc.append(_rates(user, won, pairs, drawn))
        hits.append(_rates(user, hit, np.ones(len(hit)), drawn))
    return tuple(
        Age(age_h, *_measured(a, auc[0]), *_measured(h, hits[0]))
        for age_h, a, h in zip(ages_h, auc, hits, strict=True)
    )


def _rates(user: Ints, above: Floats, below: Floats, drawn: Floats) -> Floats:
    """Return float64 (draws + 1,): the ratio of sums over all users, then over each draw of users."""
    n_users = drawn.shape[1]
    tops, bottoms = (np.bincount(user, values, n_users) for values in (above, below))
    whole = np.vstack([np.ones(n_users), drawn])
    return np.asarray((whole @ tops) / np.maximum(whole @ bottoms, 1e-9), np.float64)


def _measured(rates: Floats, fresh: Floats) -> tuple[float, Interval, float, Interval]:
    """Return a rate with its interval, and what it lost against fresh lists with that interval."""
    lost = fresh - rates
    return float(rates[0]), _interval(rates[1:]), float(lost[0]), _interval(lost[1:])


def _interval(draws: Floats) -> Interval:
    low, high = np.percentile(draws, [TAIL, 100 - TAIL])
    return float(low), float(high)
