"""How the cost of exact scoring grows with users, posts, buckets, trees and leaves: seconds of whole runs.

A catalogue's axis is measured apart: few users' item kNN, which once was quadratic in posts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import lightgbm as lgb
import numpy as np

from batch.data.seen import SeenPosts
from batch.features import asof
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.neighbours import cosine, item_knn
from batch.learn.baselines.recommender import ScoreRecommender
from batch.simulate.config import WorldConfig
from batch.simulate.feed import facts as simulate
from tests.bench.made import Made, Size, make
from tests.bench.score import part, timed_engine, warm_up

USERS = 20_000  # of every run but those over users
MEMORY_MB = 2_048
CATALOGUES, CATALOGUE_USERS = (25_000, 50_000, 100_000, 200_000), 50


@dataclass(frozen=True, slots=True)
class Point:
    """One timed run: all axes but `axis` are at the default of `Size`, users at `USERS`.

    On the axis `catalogue` it is item kNN, learned from `CATALOGUE_USERS` users, who then score all views.
    """

    axis: str
    at: int
    seconds: float


def grow(threads: int = 0) -> Iterator[Point]:
    """Time whole runs, tables included, and yield each as it ends: about six minutes on two cores."""
    size = Size(n_users=4 * USERS)
    largest = make(size, threads)
    some = part(largest, USERS, size.n_buckets)
    warm_up(largest, threads)

    def timed(axis: str, at: int, made: Made) -> Point:
        return Point(axis, at, round(timed_engine(made, threads, MEMORY_MB, {})[0], 2))

    for n in (USERS // 4, USERS // 2, USERS, 2 * USERS, 4 * USERS):
        yield timed("users", n, part(largest, n, size.n_buckets))
    for n in (1_000, 2_000, 4_000, size.n_posts):
        yield timed("posts", n, _with_posts(some, n))
    for n in (1, 6, 12, 18, 24):
        yield timed("buckets", n, part(largest, USERS, n))
    booster = lgb.Booster(model_str=some.model_text)
    for n in (25, 50, 100, size.n_trees):
        yield timed("trees", n, replace(some, model_text=booster.model_to_string(num_iteration=n)))
    for n in (7, 15, size.n_leaves, 63):
        yield timed("leaves", n, make(replace(size, n_users=USERS, n_leaves=n), threads))
    yield from grow_catalogue(threads)


def grow_catalogue(threads: int = 0) -> Iterator[Point]:
    """Time item kNN over more and more posts, and yield each as it ends."""
    for n in CATALOGUES:
        facts = simulate(WorldConfig(CATALOGUE_USERS, n))
        interactions = Interactions(facts, asof.describe(facts, 0), seed=0, threads=threads)
        user, post = facts.user.astype(np.int64), facts.post.astype(np.int64)
        begin = perf_counter()
        scores = ScoreRecommender(item_knn(cosine)(interactions), n).pairs(user, post)
        seconds = perf_counter() - begin
        assert np.isfinite(scores).all()
        yield Point("catalogue", n, round(seconds, 2))


def plot(points: list[Point], file: Path) -> None:
    """Draw the points as one picture, an axis a panel.

    Raises:
        ModuleNotFoundError: matplotlib is not installed; see `require_extra`.
    """
    from matplotlib.figure import Figure

    axes = list(dict.fromkeys(point.axis for point in points))
    figure = Figure(figsize=(3 * len(axes), 2.6), layout="constrained")
    for axis, panel in zip(axes, figure.subplots(1, len(axes), squeeze=False)[0], strict=True):
        of_axis = [point for point in points if point.axis == axis]
        panel.plot(
            [point.at for point in of_axis], [point.seconds for point in of_axis], "o-", color="#1f4e79"
        )
        panel.set(xlabel=axis, xlim=(0, None), ylim=(0, None))
        panel.grid(visible=True, alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supylabel("seconds")
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def _with_posts(made: Made, n: int) -> Made:
    """Keep `n` posts, drawn at random, and what users have seen of them."""
    sides = made.sides
    kept = np.sort(np.random.default_rng(0).permutation(len(sides.post_ids))[:n])
    place = np.full(len(sides.post_ids), -1, np.int32)
    place[kept] = np.arange(n)
    n_users = len(sides.user_ids)
    start = made.seen.start[: n_users + 1]
    post = place[made.seen.post[: start[-1]]]
    seen = SeenPosts(start, post).where(post >= 0)
    left = replace(sides, post_ids=sides.post_ids[kept], post=sides.post[kept], group=sides.group[kept])
    return replace(made, sides=left, seen=seen, dense=(made.dense[0], made.dense[1][kept]))
