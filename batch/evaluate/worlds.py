"""Peers and ours in made worlds, judged by the truth: how much of what can be known is put first.

Nothing that learns reads the truth: `contest` hands facts and no more to every contestant.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from api.contract.buckets import DAY_S
from batch.evaluate import attainable
from batch.evaluate.contest import OURS, Cost, entries, interval, ranked
from batch.features import asof
from batch.learn.baselines.interactions import Floats, Ints, Past
from batch.learn.baselines.recommender import ours
from batch.learn.recipe import Recipe
from batch.simulate.config import Regime, WorldConfig
from batch.simulate.feed import facts as made
from batch.simulate.truth import Truth

K = 5
HOUR_S = 14 * 3600  # of the day after as_of, for which all rank
NO_PEERS = ("random", "popular")  # of these only the halved taste asks


@dataclass(frozen=True, slots=True)
class Plan:
    """Which worlds, and how many of their users are asked.

    Attributes:
        n_users: Users of a world.
        n_posts: Posts of a world.
        seeds: One world of each regime a seed.
        halved: The first so many seeds are played with taste halved too.
        regimes: Of the worlds.
        n_asked: Users whose lists are judged, evenly over all; every post is a candidate, seen or not.
        recipe: How ours is trained.
        names: Peers that take part; empty for all.
    """

    recipe: Recipe
    n_users: int = 20_000
    n_posts: int = 7_023
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    halved: int = 1
    regimes: tuple[Regime, ...] = ("gaussian", "typed")
    n_asked: int = 2_000
    names: tuple[str, ...] = ()


@dataclass(slots=True)
class World:
    """One world's outcome: for each asked user the chance that his five hold a like.

    Attributes:
        config: The world's.
        hit: Line or contestant to float64 (asked,).
        costs: What each contestant took.
        absent: Who could not take part, and why.
    """

    config: WorldConfig
    hit: dict[str, Floats] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def of_regime(plan: Plan, regime: str) -> Plan:
    """Return the same plan with one regime only.

    Raises:
        ValueError: There is no such regime.
    """
    kept = tuple(known for known in plan.regimes if known == regime)
    if not kept:
        raise ValueError(f"regime={regime!r} must be {' or '.join(plan.regimes)}")
    return replace(plan, regimes=kept)


def worlds(plan: Plan, workers: int) -> Iterator[World]:
    """Play all worlds, `workers` at a time, each in a process and on a core of its own; yield in order.

    Those of halved taste come last, without the further peers.
    """
    played = [
        (WorldConfig(plan.n_users, plan.n_posts, seed, regime, taste), plan, names)
        for taste, seeds, names in ((1.0, plan.seeds, plan.names), (0.5, plan.seeds[: plan.halved], NO_PEERS))
        for seed in seeds
        for regime in plan.regimes
    ]
    if workers == 1:
        yield from map(contest, *zip(*played, strict=True))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_alone) as pool:
        yield from pool.map(contest, *zip(*played, strict=True))


def _alone() -> None:
    """Keep this process to one thread."""
    numba.set_num_threads(1)
    threadpool_limits(1)


def contest(config: WorldConfig, plan: Plan, names: tuple[str, ...]) -> World:
    """Make the world, let all learn from its facts, and judge their lists by the truth."""
    facts, truth, world = made(config), Truth.from_config(config), World(config)
    past = Past(facts, asof.statics(facts, plan.recipe.seed), plan.recipe.seed, plan.recipe.threads)
    asked = np.unique(np.linspace(0, config.n_users - 1, min(plan.n_asked, config.n_users)).astype(np.int64))
    at_s = facts.as_of_s - facts.as_of_s % DAY_S + DAY_S + HOUR_S
    chance = truth.matrix(facts.user_ids[asked], at_s)
    world.hit["random"] = 1 - (1 - chance).mean(axis=1) ** K  # five drawn with replacement, exact
    world.hit["oracle"] = _hits(chance, _best(chance))
    if config.taste == 1:
        world.hit["attainable"] = _hits(chance, _best(attainable.scores(facts, truth, asked)))
    for entry in entries(past, lambda: ours(past, plan.recipe, at_s), names):
        if entry.fitted is None:
            world.absent[entry.name] = entry.why_absent
            continue
        lists = ranked(entry, asked, K)
        world.costs[entry.name] = entry.cost
        if entry.name != "random":
            world.hit[entry.name] = _hits(chance, lists)
    return world


def verdict(played: list[World], seed: int) -> dict[str, Any]:
    """Sum up: pooled over all worlds of full strength, by regime, and with taste halved.

    `normalized` is (x − random) / (oracle − random) over all asked users; intervals are of 95 %, users of
    all worlds drawn again and again.
    """
    rng = np.random.default_rng(seed)
    full, half = ([world for world in played if world.config.taste == taste] for taste in (1.0, 0.5))
    regimes = sorted({world.config.regime for world in full})
    found = _summed(full, rng)
    found["regimes"] = {
        regime: _summed([world for world in full if world.config.regime == regime], rng) for regime in regimes
    }
    found["taste_halved"] = {
        regime: _against(
            _pool([world for world in half if world.config.regime == regime]), OURS, "popular", rng
        )
        for regime in sorted({world.config.regime for world in half})
    }
    found["absent"] = {name: why for world in played for name, why in world.absent.items()}
    return found


def _summed(played: list[World], rng: np.random.Generator) -> dict[str, Any]:
    hit = _pool(played)
    lines = {name: _line(name, hit, played, rng) for name in hit}
    peers = [name for name in hit if name not in (OURS, "random", "oracle", "attainable")]
    best = max(peers, key=lambda name: float(hit[name].mean()), default="")
    own, random, attained = hit[OURS], hit["random"], hit["attainable"]
    ratio = float((own - random).sum() / (attained - random).sum())
    found = {
        "normalized_hitrate_at_5": lines[OURS]["normalized"],
        "attainable_normalized": lines["attainable"]["normalized"],
        "attainable_ratio": ratio,
        "attainable_ratio_interval": interval(own - random, attained - random, np.arange(len(own)), rng),
        "attainable_ratio_by_seed": _by_seed(played),
        "lines": dict(sorted(lines.items(), key=lambda item: -float(item[1]["hitrate_at_5"]))),
    }
    if best:
        found |= {"best_peer": best, "best_peer_normalized": lines[best]["normalized"]}
        found["ahead_of_best_peer"] = _against(hit, OURS, best, rng)
    return found


def _line(name: str, hit: dict[str, Floats], played: list[World], rng: np.random.Generator) -> dict[str, Any]:
    spread, gained = hit["oracle"] - hit["random"], hit[name] - hit["random"]
    costs = [asdict(world.costs[name]) for world in played if name in world.costs]
    return {
        "hitrate_at_5": float(hit[name].mean()),
        "normalized": float(gained.sum() / spread.sum()),
        "normalized_interval": interval(gained, spread, np.arange(len(gained)), rng),
        **{key: float(np.mean([cost[key] for cost in costs])) for key in (costs[0] if costs else {})},
    }


def _against(hit: dict[str, Floats], one: str, other: str, rng: np.random.Generator) -> dict[str, Any]:
    """Return by how much one is ahead on the oracle's scale, paired by user."""
    spread, ahead = hit["oracle"] - hit["random"], hit[one] - hit[other]
    return {
        one: float((hit[one] - hit["random"]).sum() / spread.sum()),
        other: float((hit[other] - hit["random"]).sum() / spread.sum()),
        "ahead": float(ahead.sum() / spread.sum()),
        "interval": interval(ahead, spread, np.arange(len(ahead)), rng),
    }


def _by_seed(played: list[World]) -> dict[str, float]:
    return {
        f"{world.config.regime} {world.config.seed}": float(
            (world.hit[OURS] - world.hit["random"]).sum()
            / (world.hit["attainable"] - world.hit["random"]).sum()
        )
        for world in played
    }


def _pool(played: list[World]) -> dict[str, Floats]:
    common = [name for name in played[0].hit if all(name in world.hit for world in played)]
    return {name: np.concatenate([world.hit[name] for world in played]) for name in common}


def _best(scores: Floats) -> Ints:
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def _hits(chance: Floats, lists: Ints) -> Floats:
    """Return the chance that at least one of a user's five is liked, float64 (users,)."""
    return np.asarray(1 - np.prod(1 - np.take_along_axis(chance, lists, axis=1), axis=1), np.float64)
