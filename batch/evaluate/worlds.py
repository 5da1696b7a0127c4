"""Protocol `worlds`: baselines and ours in made worlds, measured by the truth.

Nothing that learns reads the truth: `play` hands facts and no more to every recommender.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from typing import get_args

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from api.contract.buckets import DAY_S
from batch.arrays import Floats, Ints
from batch.evaluate import attainable, results
from batch.evaluate.attainable import UNKNOWN
from batch.evaluate.best import tell_best
from batch.evaluate.contest import Totals, compete, find_absent
from batch.evaluate.own import OURS, fit_own
from batch.features import asof
from batch.learn.recipe import Recipe
from batch.simulate.config import Regime, WorldConfig
from batch.simulate.feed import facts as make_facts
from batch.simulate.truth import Truth

K = 5
HOUR_S = 14 * 3600  # of the day after as_of, for which all rank
RANDOM, ORACLE, ATTAINABLE = "random", "oracle", "attainable"
OF_HALVED_TASTE = (RANDOM, "popular", "popular_recent")  # baselines that worlds of halved taste ask
N_HALVED = 3  # first seeds, whose worlds are played once more with taste halved
REGIMES: tuple[Regime, ...] = ("gaussian", "typed")  # that are played where none is named
N_ASKED = 2_000  # users whose lists are measured, evenly over all; every post is a candidate, seen or not
HIT: results.Metric = ("expected_hitrate", K)  # the chance that five hold a like
NORMALIZED: results.Metric = ("normalized", K)  # (x − random) / (oracle − random)
RATIO: results.Metric = ("attainable_ratio", K)  # (x − random) / (attainable − random)


@dataclass(frozen=True, slots=True)
class World:
    """A world's outcome: lists of asked users, by the chance that their five hold a like."""

    config: WorldConfig
    lists: results.MeasuredLists


def world_configs(n_users: int, n_posts: int, n_seeds: int, regime: str = "") -> list[WorldConfig]:
    """Return worlds of both `REGIMES` or of any one: one of each a seed; then the first ones', taste halved.

    Raises:
        ValueError: There is no such regime.
    """
    possible = get_args(Regime)
    if regime and regime not in possible:
        raise ValueError(f"regime={regime!r} must be {' or '.join(possible)}")
    regimes = tuple(one for one in possible if (one == regime if regime else one in REGIMES))
    full = [(seed, 1.0) for seed in range(1, n_seeds + 1)]
    return [
        WorldConfig(n_users, n_posts, seed, one, taste)
        for seed, taste in (*full, *((seed, 0.5) for seed, _ in full[:N_HALVED]))
        for one in regimes
    ]


def play_all(
    configs: list[WorldConfig], recipe: Recipe, names: tuple[str, ...], workers: int
) -> Iterator[World]:
    """Play all worlds, `workers` at a time, each in a process and on a core of its own; yield in order."""
    how = repeat(recipe), repeat(names)
    if workers == 1:
        yield from map(play, configs, *how)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_keep_to_one_thread) as processes:
        yield from processes.map(play, configs, *how)


def _keep_to_one_thread() -> None:
    numba.set_num_threads(1)
    threadpool_limits(1)


def play(config: WorldConfig, recipe: Recipe, names: tuple[str, ...] = ()) -> World:
    """Make the world, let all learn from its facts, and measure their lists by the truth.

    Args:
        config: The world's; of halved taste only `OF_HALVED_TASTE` take part.
        recipe: How ours is trained.
        names: Baselines that take part; empty for all.
    """
    facts, truth = make_facts(config), Truth.from_config(config)
    interactions = recipe.interactions(facts, asof.describe(facts, recipe.seed))
    asked = np.unique(np.linspace(0, config.n_users - 1, min(N_ASKED, config.n_users)).astype(np.int64))
    at_s = facts.as_of_s - facts.as_of_s % DAY_S + DAY_S + HOUR_S
    chance = truth.matrix(facts.user_ids[asked], at_s)
    hit = {ORACLE: _hits(chance, _best(chance))}
    if config.taste == 1:
        hit[ATTAINABLE] = _hits(chance, _best(attainable.score_attainable(facts, truth, asked, at_s)))
    columns, costs = compete(
        interactions,
        lambda: fit_own(interactions, recipe, facts.as_of_s, at_s),
        names if config.taste == 1 else OF_HALVED_TASTE,
        lambda recommender: recommender.lists(asked, K),
        lambda _, lists: {HIT: results.mean_column(_hits(chance, lists))},
    )
    hit |= {name: of[HIT].parts for name, of in columns.items()}
    hit[RANDOM] = 1 - (1 - chance).mean(axis=1) ** K  # five drawn with replacement, exact
    return World(config, measure(hit, costs))


def measure(hit: dict[str, Floats], totals: Totals) -> results.MeasuredLists:
    """Return metrics of lists from the chance that they hold a like, float64 (asked,) of each model."""
    random = hit[RANDOM]
    models = {name: results.truth_columns(own, random, hit[ORACLE], K) for name, own in hit.items()}
    if ATTAINABLE in hit:
        models[OURS][RATIO] = results.Column(hit[OURS] - random, hit[ATTAINABLE] - random)
    return results.MeasuredLists(models, np.arange(len(random)), totals=totals)


def summarize_worlds(played: list[World], seed: int, names: tuple[str, ...] = ()) -> results.Report:
    """Sum up all worlds of full strength, by regime and by seed, and those with taste halved.

    Intervals are of users of all worlds drawn again and again.
    """
    rng, figures, segments = np.random.default_rng(seed), list[results.Figure](), dict[str, list[World]]()
    for world in played:
        regime, full = world.config.regime, world.config.taste == 1
        for segment in (
            (results.ALL, regime, f"{regime} {world.config.seed}") if full else (f"{regime}, taste halved",)
        ):
            segments.setdefault(segment, []).append(world)
    for segment, some in segments.items():
        lists = results.pool([world.lists for world in some])
        lists = replace(lists, user=np.arange(len(lists.user)))  # of each world others
        pairs = [(OURS, name) for name in lists.models if name not in (OURS, ORACLE, ATTAINABLE)]
        of_all = results.summarize("worlds", lists, rng, pairs)
        figures += (figure._replace(segment=segment) for figure in of_all)
    frame = results.result_frame(figures)
    lines = (OURS, RANDOM, ORACLE, ATTAINABLE)
    best = results.best_model(frame, NORMALIZED, set(frame["model"]) - set(lines))
    figure = frame[(frame["segment"] == results.ALL) & (frame["against"] == "")].set_index(
        ["model", "metric"]
    )
    ratio = figure.loc[(OURS, RATIO[0])]
    about = {
        "normalized_hitrate_at_5": float(figure.loc[(OURS, "normalized"), "value"]),
        "attainable_normalized": float(figure.loc[(ATTAINABLE, "normalized"), "value"]),
        "attainable_ratio": float(ratio["value"]),
        "attainable_ratio_interval": (float(ratio["low"]), float(ratio["high"])),
        "attainable_unknown": sorted({what for world in played for what in UNKNOWN[world.config.regime]}),
        "best_peer": best,
        "best_peer_normalized": float(figure.loc[(best, "normalized"), "value"]) if best else float("nan"),
        "best": tell_best(frame, NORMALIZED),
        "absent": find_absent(max(world.config.n_posts for world in played), names),
    }
    return results.Report(about, frame)


def _best(scores: Floats) -> Ints:
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def _hits(chance: Floats, lists: Ints) -> Floats:
    """Return the chance that at least one of a user's five is liked, float64 (users,)."""
    return np.asarray(1 - np.prod(1 - np.take_along_axis(chance, lists, axis=1), axis=1), np.float64)
