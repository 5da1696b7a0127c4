"""Tests on made arms: how often they find what is not there, and what is."""

from collections import Counter

import numpy as np
from tea_tasting.aggr import Aggregates

from batch.arrays import Floats
from batch.experiments.comparisons import Comparison, Terms, aggregate, compare, compare_means, look_early
from batch.experiments.metrics import Metric
from batch.experiments.power import Wish, solve
from batch.experiments.verdict import check_sample_ratio
from tests.bench.statistics.users import make_users

LIKES = Metric("likes a user", "likes", pre_over="pre_likes")
RATE = Metric("likes/views", "likes", "views", "pre_likes", "pre_views")
PLAIN = {"welch": Metric("likes a user", "likes"), "delta": Metric("likes/views", "likes", "views")}
PLANNED = {**PLAIN, "cuped": LIKES, "cuped of a ratio": RATE}
PILOT = 400_000  # users whose variance a plan knows


def count_false(n_experiments: int, n_users: int, rng: np.random.Generator) -> dict[str, float]:
    """Return how often each test differs where both arms were served the same, by metric and test."""
    terms, found = Terms(), Counter[str]()
    for _ in range(n_experiments):
        first, second = (make_users(n_users // 2, rng) for _ in range(2))
        for metric in (LIKES, RATE):
            for test in compare(metric, first, second, terms):
                found[f"{test.test}, {metric.name}"] += differs(test, terms.alpha)
    return {name: n / n_experiments for name, n in found.items()}


def differs(test: Comparison, alpha: float) -> bool:
    """Return whether a test finds a difference: by its p-value, or by its interval where it has none."""
    return test.p_value < alpha if np.isfinite(test.p_value) else test.low > 0 or test.high < 0


def measure_power(n_experiments: int, wish: Wish, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Return how often a lift is found by as many users as the plan asks for, by the test that decides."""
    terms, pilot = Terms(n_resamples=0), make_users(PILOT, rng)
    measured = {}
    for name, metric in PLANNED.items():
        needed = solve(metric, pilot, wish).users_needed
        n_found = 0
        for _ in range(n_experiments):
            control = aggregate(make_users(needed // 2, rng), metric.columns)
            treatment = aggregate(make_users(needed // 2, rng, wish.lift), metric.columns)
            cuped = metric.pre_over is not None
            test = compare_means(metric, control, treatment, terms, cuped=cuped, name=metric.test)
            n_found += differs(test, wish.alpha)
        measured[name] = {"users": needed, "planned": wish.power, "power": n_found / n_experiments}
    return measured


def measure_sample_ratio(n_experiments: int, rng: np.random.Generator) -> dict[str, float]:
    """Return how often the check of shares stops a verdict."""

    def stops(first: int, second: int) -> bool:
        return not check_sample_ratio({"a": first, "b": second}).is_kept

    uneven = rng.binomial(100_000, 0.51, n_experiments)
    half = rng.binomial(1_000_000, 0.5, n_experiments)
    kept = rng.binomial(1_000_000 - half, 0.99)
    even = rng.binomial(100_000, 0.5, 5 * n_experiments)
    return {
        "51/49 of 100,000": float(np.mean([stops(n, 100_000 - n) for n in uneven])),
        "1 % of an arm lost of 1,000,000": float(
            np.mean([stops(a, b) for a, b in zip(half, kept, strict=True)])
        ),
        "nothing wrong": float(np.mean([stops(n, 100_000 - n) for n in even])),
    }


def stop_early(
    n_experiments: int, n_looks: int, n_a_look: int, lift: float, rng: np.random.Generator
) -> dict[str, float]:
    """Look after every so many users, and stop at the first difference.

    Returns:
        `stopped`: share of experiments that the always-valid interval stops; `users`: their mean number then.
    """
    terms, metric = Terms(n_resamples=0), PLAIN["welch"]
    n_stopped, n_users = 0, 0
    for _ in range(n_experiments):
        arms = [make_users(n_looks * n_a_look // 2, rng, of_arm) for of_arm in (0.0, lift)]
        for look in range(1, n_looks + 1):
            control, treatment = _until(arms, look * n_a_look // 2)
            if differs(look_early(metric, control, treatment, terms), terms.alpha):
                n_stopped += 1
                break
        n_users += look * n_a_look
    return {"stopped": n_stopped / n_experiments, "users": n_users / n_experiments}


def peek(n_experiments: int, n_looks: int, n_a_look: int, rng: np.random.Generator) -> float:
    """Return how often somebody errs who looks at Welch's test as often, and stops when it differs."""
    terms, metric, n_wrong = Terms(n_resamples=0), PLAIN["welch"], 0
    for _ in range(n_experiments):
        arms = [make_users(n_looks * n_a_look // 2, rng) for _ in range(2)]
        looks = (_until(arms, look * n_a_look // 2) for look in range(1, n_looks + 1))
        n_wrong += any(
            differs(compare_means(metric, first, second, terms, cuped=False, name="welch"), terms.alpha)
            for first, second in looks
        )
    return n_wrong / n_experiments


def _until(arms: list[dict[str, Floats]], n_users: int) -> tuple[Aggregates, Aggregates]:
    first, second = (aggregate({"likes": arm["likes"][:n_users]}, ["likes"]) for arm in arms)
    return first, second


def grow(n_experiments: int, n_looks: int, n_users: int, rng: np.random.Generator) -> float:
    """Return how often the always-valid interval errs where the same users act, day by day."""
    terms, metric, n_wrong = Terms(n_resamples=0), PLAIN["welch"], 0
    for _ in range(n_experiments):
        days = [_count_by_day(n_looks, n_users // 2, rng) for _ in range(2)]
        n_wrong += any(
            differs(look_early(metric, first, second, terms), terms.alpha)
            for first, second in zip(*days, strict=True)
        )
    return n_wrong / n_experiments


def _count_by_day(n_days: int, n_users: int, rng: np.random.Generator) -> list[Aggregates]:
    """Return users' likes up to each day, four a user in the end."""
    taste = rng.gamma(1.6, 4 / 1.6, n_users)
    likes = np.cumsum(rng.poisson(np.broadcast_to(taste / n_days, (n_days, n_users))), axis=0)
    return [aggregate({"likes": until.astype(np.float64)}, ["likes"]) for until in likes]
