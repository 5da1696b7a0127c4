"""Peers and ours on the same facts and split: how they rank what was shown, and what they cost."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from batch.data.facts import Facts
from batch.evaluate.chance import random_hitrate_at_k
from batch.evaluate.contest import OURS, Cost, entries, interval, ranked
from batch.evaluate.metrics import hitrate_at_k, pairs_won
from batch.evaluate.nightly import K, Plan, weekly
from batch.evaluate.sessions import Shown
from batch.features import asof
from batch.learn.baselines.interactions import Floats, Ints, Past
from batch.learn.baselines.recommender import Fitted, from_likes, ours

Interval = tuple[float, float]

DEPTH = 50  # of the lists that contestants are timed on


@dataclass(frozen=True, slots=True)
class Standing:
    """How one did on the split's sessions of ten impressions or more. Intervals are of 95 %, over users.

    Attributes:
        name: Whose.
        hitrate_at_5: Share of sessions with a like among the five ranked first.
        auc_in_session: Share of a session's pairs of a liked and an unliked post that stand in order.
        hitrate_behind: By how much ours is better, its interval beside it; None for ours and for lines that
            are no contestant.
        hitrate_behind_interval: See `hitrate_behind`.
        auc_behind: The same of the AUC.
        auc_behind_interval: The same of the AUC.
        cost: Seconds to learn and to rank all posts for the split's users, memory; None for a line.
    """

    name: str
    hitrate_at_5: float
    auc_in_session: float
    hitrate_behind: float | None = None
    hitrate_behind_interval: Interval | None = None
    auc_behind: float | None = None
    auc_behind_interval: Interval | None = None
    cost: Cost | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All standings, best AUC first, on how much they rest, and who could not take part."""

    standings: tuple[Standing, ...]
    n_sessions: int
    n_users: int
    n_impressions: int
    absent: dict[str, str]

    def values(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Judged:
    """Sessions as one contestant ranked them: float64 (sessions,) hits, pairs in order, pairs."""

    hits: Floats
    won: Floats
    pairs: Floats

    @classmethod
    def of(cls, what: Shown, scores: Floats) -> "_Judged":
        won, pairs = pairs_won(what.session, scores, what.liked)
        return cls(hitrate_at_k(what.session, scores, what.liked, K), won, pairs)

    @classmethod
    def pooled(cls, parts: list["_Judged"]) -> "_Judged":
        columns = [(part.hits, part.won, part.pairs) for part in parts]
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def compare(
    facts: Facts,
    known: asof.Statics,
    plan: Plan,
    names: tuple[str, ...] = (),
    weeks: int = 1,
    *,
    likes_only: bool = False,
) -> Comparison:
    """Let all learn from what lies before the split, and rank the sessions inside it.

    Nobody sees a fact of the split, not even of its earlier days. Random five (`random_exact`, its chance
    computed, not drawn) and the old feed's order (`first5`) stand beside them.

    Args:
        facts: All events.
        known: What does not change with time.
        plan: The split, and how ours is trained.
        names: Peers that take part; empty for all.
        weeks: More than 1: so many splits of a week each from the plan's begin on, everybody trained anew
            for each; their sessions are pooled.
        likes_only: Ours is what likes alone tell, without the order of what was shown.

    Raises:
        ValueError: What lies before a split cannot train ours, or no session in any is long enough.
    """
    splits = weekly(plan.split, weeks)
    found_in = [(split, Shown.of(facts, split, plan.recipe.seed)) for split in splits]
    tests = [(split, what) for split, what in found_in if what is not None]
    if not tests:
        raise ValueError(f"no session of ten impressions lies in {splits}: nothing can be compared")
    owner = np.concatenate([what.owner for _, what in tests])
    found: dict[str, list[_Judged]] = {}
    costs: dict[str, list[Cost]] = {}
    absent: dict[str, str] = {}
    for split, what in tests:
        past = Past(facts.until(split.test_from_s - 1), known, plan.recipe.seed, plan.recipe.threads)
        own: Callable[[], Fitted] = partial(ours, past, plan.recipe, split.test_from_s)
        if likes_only:
            own = partial(from_likes, past, plan.recipe)
        for entry in entries(past, own, names):
            if entry.fitted is None:
                absent[entry.name] = entry.why_absent
                continue
            ranked(entry, np.unique(what.user), min(DEPTH, len(facts.posts)))
            found.setdefault(entry.name, []).append(
                _Judged.of(what, entry.fitted.pairs(what.user, what.post))
            )
            costs.setdefault(entry.name, []).append(entry.cost)
    rng = np.random.default_rng(plan.recipe.seed)
    pooled = {name: _Judged.pooled(parts) for name, parts in found.items()}
    standings = [_standing(name, pooled, owner, Cost.mean(costs[name]), rng) for name in pooled]
    first = [_Judged.of(what, -what.position.astype(np.float64)) for _, what in tests]
    standings.append(_line("first5", _Judged.pooled(first)))
    chance = np.concatenate([random_hitrate_at_k(what.session, what.liked, K) for _, what in tests])
    standings.append(Standing("random_exact", float(chance.mean()), 0.5))
    standings.sort(key=lambda standing: -standing.auc_in_session)
    n_impressions = sum(len(what.post) for _, what in tests)
    return Comparison(tuple(standings), len(owner), len(np.unique(owner)), n_impressions, absent)


def _standing(
    name: str, found: dict[str, _Judged], owner: Ints, cost: Cost, rng: np.random.Generator
) -> Standing:
    own, best = found[name], found[OURS]
    line = _line(name, own)
    if name == OURS:
        return Standing(name, line.hitrate_at_5, line.auc_in_session, cost=cost)
    return Standing(
        name,
        line.hitrate_at_5,
        line.auc_in_session,
        float((best.hits - own.hits).mean()),
        interval(best.hits - own.hits, np.ones(len(own.hits)), owner, rng),
        float((best.won - own.won).sum() / max(float(own.pairs.sum()), 1e-12)),
        interval(best.won - own.won, own.pairs, owner, rng),
        cost,
    )


def _line(name: str, own: _Judged) -> Standing:
    auc = float(own.won.sum() / own.pairs.sum()) if own.pairs.sum() else float("nan")
    return Standing(name, float(own.hits.mean()), auc)
