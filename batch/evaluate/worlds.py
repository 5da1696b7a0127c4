"""Protocol `worlds`: baselines and ours in made worlds, measured by the truth.

Nothing that learns reads the truth: `play` hands facts and no more to every contestant.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from api.contract.buckets import DAY_S
from batch.evaluate import attainable
from batch.evaluate.contest import find_absent, fit_each
from batch.evaluate.metrics import Floats, Ints
from batch.evaluate.own import OURS, fit_own
from batch.evaluate.results import (
    ALL,
    Column,
    Figure,
    MeasuredLists,
    Metric,
    Report,
    best_model,
    mean_column,
    pool,
    result_frame,
    summarize,
)
from batch.features import asof
from batch.learn.baselines.interactions import Interactions
from batch.learn.recipe import Recipe
from batch.simulate.config import Regime, WorldConfig
from batch.simulate.feed import facts as make_facts
from batch.simulate.truth import Truth

K = 5
HOUR_S = 14 * 3600  # of the day after as_of, for which all rank
RANDOM, ORACLE, ATTAINABLE, POPULAR = "random", "oracle", "attainable", "popular"
NO_PEERS = (RANDOM, POPULAR)  # of these only the halved taste asks
NORMALIZED: Metric = ("normalized", K)  # (x − random) / (oracle − random)
RATIO: Metric = ("attainable_ratio", K)  # (x − random) / (attainable − random)


@dataclass(frozen=True, slots=True)
class WorldsPlan:
    """Which worlds are made, and how many of their users are asked.

    Attributes:
        n_users: Users of a world.
        n_posts: Posts of a world.
        seeds: One world of each regime a seed.
        halved: The first so many seeds are played with taste halved too.
        regimes: Of the worlds.
        n_asked: Users whose lists are measured, evenly over all; every post is a candidate, seen or not.
        names: Baselines that take part; empty for all.
    """

    n_users: int = 20_000
    n_posts: int = 7_023
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    halved: int = 1
    regimes: tuple[Regime, ...] = ("gaussian", "typed")
    n_asked: int = 2_000
    names: tuple[str, ...] = ()

    def only(self, regime: str) -> "WorldsPlan":
        """Return the same plan with one regime only.

        Raises:
            ValueError: There is no such regime.
        """
        kept = tuple(one for one in self.regimes if one == regime)
        if not kept:
            raise ValueError(f"regime={regime!r} must be {' or '.join(self.regimes)}")
        return replace(self, regimes=kept)


@dataclass(frozen=True, slots=True)
class World:
    """A world's outcome: lists of asked users, by the chance that their five hold a like."""

    config: WorldConfig
    lists: MeasuredLists


def play_all(plan: WorldsPlan, recipe: Recipe, workers: int) -> Iterator[World]:
    """Play all worlds, `workers` at a time, each in a process and on a core of its own; yield in order.

    Those of halved taste come last, without the further baselines.
    """
    strengths = ((1.0, plan.seeds, plan.names), (0.5, plan.seeds[: plan.halved], NO_PEERS))
    configs, names = zip(
        *(
            (WorldConfig(plan.n_users, plan.n_posts, seed, regime, taste), some)
            for taste, seeds, some in strengths
            for seed in seeds
            for regime in plan.regimes
        ),
        strict=True,
    )
    if workers == 1:
        yield from map(play, configs, repeat(plan.n_asked), repeat(recipe), names)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_keep_to_one_thread) as processes:
        yield from processes.map(play, configs, repeat(plan.n_asked), repeat(recipe), names)


def _keep_to_one_thread() -> None:
    numba.set_num_threads(1)
    threadpool_limits(1)


def play(config: WorldConfig, n_asked: int, recipe: Recipe, names: tuple[str, ...]) -> World:
    """Make the world, let all learn from its facts, and measure their lists by the truth."""
    facts, truth = make_facts(config), Truth.from_config(config)
    interactions = Interactions(facts, asof.statics(facts, recipe.seed), recipe.seed, recipe.threads)
    asked = np.unique(np.linspace(0, config.n_users - 1, min(n_asked, config.n_users)).astype(np.int64))
    at_s = facts.as_of_s - facts.as_of_s % DAY_S + DAY_S + HOUR_S
    chance = truth.matrix(facts.user_ids[asked], at_s)
    hit = {ORACLE: _hits(chance, _best(chance))}
    if config.taste == 1:
        hit[ATTAINABLE] = _hits(chance, _best(attainable.scores(facts, truth, asked)))
    totals = {}
    for name, recommender, cost in fit_each(interactions, lambda: fit_own(interactions, recipe, at_s), names):
        with cost.measure("rank_s"):
            lists = recommender.lists(asked, K)
        hit[name], totals[name] = _hits(chance, lists), cost.totals()
    hit[RANDOM] = 1 - (1 - chance).mean(axis=1) ** K  # five drawn with replacement, exact
    return World(config, measure(hit, totals))


def measure(hit: dict[str, Floats], totals: dict[str, dict[Metric, float]]) -> MeasuredLists:
    """Return metrics of lists from the chance that they hold a like, float64 (asked,) of each model."""
    random, models = hit[RANDOM], {}
    for name, own in hit.items():
        models[name] = {
            ("expected_hitrate", K): mean_column(own),
            NORMALIZED: Column(own - random, hit[ORACLE] - random),
        }
    if ATTAINABLE in hit:
        models[OURS][RATIO] = Column(hit[OURS] - random, hit[ATTAINABLE] - random)
    users = np.arange(len(random))
    return MeasuredLists(models, users, np.zeros_like(users), totals)


def summarize_worlds(played: list[World], seed: int, names: tuple[str, ...] = ()) -> Report:
    """Sum up all worlds of full strength, by regime and by seed, and those with taste halved.

    Intervals are of users of all worlds drawn again and again.
    """
    rng, figures, segments = np.random.default_rng(seed), list[Figure](), dict[str, list[World]]()
    for world in played:
        regime, full = world.config.regime, world.config.taste == 1
        for segment in (
            (ALL, regime, f"{regime} {world.config.seed}") if full else (f"{regime}, taste halved",)
        ):
            segments.setdefault(segment, []).append(world)
    for segment, some in segments.items():
        lists = pool([world.lists for world in some])
        lists = replace(lists, user=np.arange(len(lists.user)))  # of each world others
        pairs = [(OURS, name) for name in lists.models if name not in (OURS, ORACLE, ATTAINABLE)]
        of_all = summarize("worlds", lists, rng, pairs)
        figures += (figure._replace(segment=segment) for figure in of_all)
    results = result_frame(figures)
    lines = (OURS, RANDOM, ORACLE, ATTAINABLE)
    best = best_model(results, NORMALIZED, set(results["model"]) - set(lines))
    figure = results[(results["segment"] == ALL) & (results["against"] == "")].set_index(["model", "metric"])
    ratio = figure.loc[(OURS, RATIO[0])]
    about = {
        "normalized_hitrate_at_5": float(figure.loc[(OURS, "normalized"), "value"]),
        "attainable_normalized": float(figure.loc[(ATTAINABLE, "normalized"), "value"]),
        "attainable_ratio": float(ratio["value"]),
        "attainable_ratio_interval": (float(ratio["low"]), float(ratio["high"])),
        "best_peer": best,
        "best_peer_normalized": float(figure.loc[(best, "normalized"), "value"]) if best else float("nan"),
        "absent": find_absent(names),
    }
    return Report(about, results)


def _best(scores: Floats) -> Ints:
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def _hits(chance: Floats, lists: Ints) -> Floats:
    """Return the chance that at least one of a user's five is liked, float64 (users,)."""
    return np.asarray(1 - np.prod(1 - np.take_along_axis(chance, lists, axis=1), axis=1), np.float64)
