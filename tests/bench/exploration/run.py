"""Worlds in pairs, with exploration places and without: what the places cost at first and bring later."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy import stats

from batch.settings import Settings
from tests.bench.exploration.fortnight import Day, live
from tests.bench.exploration.world import World
from tests.bench.nights.house import FitStore

WEEK = 7
Days = Sequence[Day]
Pair = tuple[Days, Days]  # without, with


def run(
    users: int,
    posts: int,
    days: int,
    seeds: int,
    *,
    explore: str,
    variant: str,
    trees: int,
    plot: Path | None,
) -> dict[str, Any]:
    """Play so many worlds, each without and with exploration places, and return what differs, with intervals.

    The interval is Student's, over worlds, of 95 %. Each visit comes at the same time in both; a post that
    both show is liked in both or in neither.
    """
    begin, pairs = time.perf_counter(), list[Pair]()
    with TemporaryDirectory(prefix="almanac-exploration-") as name:
        folder = Path(name)
        (folder / "store").mkdir()
        how = Settings(
            state_dir=folder,
            variant=variant,
            n_trees=trees,
            bucket_width_s=6 * 3600,
            n_buckets=5,
            profiles=0,
            similar=0,
            gate="off",
        )
        store = FitStore(folder / "store")
        client = store.start()
        try:
            for seed in range(1, seeds + 1):
                world = World.make(users, posts, days, seed)
                without, having = (live(world, share, days, client, how) for share in ("", explore))
                _check(without, having, explore)
                pairs.append((without, having))
                client.flushall()
        finally:
            store.kill()
    if plot is not None:
        draw(pairs, plot)
    return {
        "users": users,
        "posts": posts,
        "days": days,
        "worlds": seeds,
        "explore": explore,
        "variant": variant,
        "views_a_day": round(np.mean([day.n_views for days in pairs[0] for day in days])),
        "share_drawn": round(_sum(pairs, 1, "n_drawn") / _sum(pairs, 1, "n_views"), 4),
        "share_young": [
            round(_sum(pairs, arm, "n_young") / _sum(pairs, arm, "n_views"), 4) for arm in (0, 1)
        ],
        "likes_first_week": _compare(pairs, lambda days: sum(day.likes for day in days[:WEEK])),
        "likes_second_week": _compare(pairs, lambda days: sum(day.likes for day in days[WEEK:])),
        "young_likes": _compare(pairs, lambda days: sum(day.young_likes for day in days)),
        "young_likes_second_week": _compare(pairs, lambda days: sum(day.young_likes for day in days[WEEK:])),
        "young_regret_a_view": _compare(
            pairs, lambda days: sum(day.young_regret for day in days) / sum(day.n_young for day in days)
        ),
        "listed_young_regret_a_view_second_week": _compare(
            pairs,
            lambda days: (
                sum(day.listed_regret for day in days[WEEK:]) / sum(day.n_listed for day in days[WEEK:])
            ),
        ),
        "seconds": round(time.perf_counter() - begin),
    }


def draw(pairs: Sequence[Pair], file: Path) -> None:
    """Draw by day what all likes and those of young posts are with exploration, against without."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.8), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, field, title in zip(
        panels, ("likes", "young_likes"), ("all likes", "of young posts"), strict=True
    ):
        ratio = np.array(
            [
                [getattr(b, field) / getattr(a, field) - 1 for a, b in zip(*pair, strict=True)]
                for pair in pairs
            ]
        )
        mean, half = 100 * ratio.mean(0), 100 * _half(ratio)
        at = np.arange(1, ratio.shape[1] + 1)
        panel.fill_between(at, mean - half, mean + half, color="#1f4e79", alpha=0.2, linewidth=0)
        panel.plot(at, mean, "o-", color="#1f4e79", markersize=3)
        panel.axhline(0, color="grey", linewidth=0.8)
        panel.set(xlabel="day", title=f"{title}, with against without, %")
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def _check(without: Days, having: Days, explore: str) -> None:
    n_places = int(explore.partition("/")[2])
    drawn = sum(day.n_drawn for day in having) / sum(day.n_views for day in having)
    assert sum(day.n_drawn for day in without) == 0, "without exploration nothing is drawn"
    assert 0.8 / n_places < drawn <= 1.05 / n_places, f"{drawn:.4f} of the places were drawn"


def _sum(pairs: Sequence[Pair], arm: int, field: str) -> float:
    return float(sum(getattr(day, field) for pair in pairs for day in pair[arm]))


def _compare(pairs: Sequence[Pair], of: Callable[[Days], float]) -> dict[str, float]:
    """Return both means, and the mean relative difference over worlds with its interval."""
    found = np.array([[of(without), of(having)] for without, having in pairs])
    change = found[:, 1] / found[:, 0] - 1
    half = float(_half(change[:, None])[0])
    values = {"without": found[:, 0].mean(), "with": found[:, 1].mean(), "change": change.mean()}
    values |= {"low": change.mean() - half, "high": change.mean() + half}
    return {name: round(float(value), 5) for name, value in values.items()}


def _half(of_worlds: Any) -> Any:
    n = len(of_worlds)
    if n < 2:
        return np.full(of_worlds.shape[1], np.nan)
    return stats.t.ppf(0.975, n - 1) * of_worlds.std(0, ddof=1) / np.sqrt(n)
