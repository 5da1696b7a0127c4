"""What exact scoring costs, in one run beside LightGBM's `predict` and lleaves: ratios, seconds, memory.

Everything scores the same world with the same model. The lists are compared with `predict`'s before any speed
is reported.
"""

import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import lightgbm as lgb
import numba as nb
import numpy as np
import numpy.typing as npt

from batch.data.seen import SeenPosts
from batch.features.sides import Sides
from batch.score import engine
from batch.score.compiled import compile_model
from batch.score.kernel import add_rows
from batch.score.predict import best, raw_scores
from batch.score.tables.sets import TILE
from tests.bench.lleaves import lleaves_pairs_per_s
from tests.bench.made import Made, Size, make, share_on_time

DEPTH = 50
CHECKED_USERS, CHECKED_BUCKETS = 500, 3
PREDICTED_ROWS = 2_000_000  # rows on which the rivals are timed
PREDICT_BLOCKS = (100_000, 500_000, 2_000_000)  # rows given to predict at once; the fastest counts
RESIDENT_ROWS, RESIDENT_SUMS = 1_000, 64  # a table of 256 kB stays in any second-level cache

Rows = npt.NDArray[np.float32]
Ranked = tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]  # posts and scores of a list
Lists = dict[tuple[int, int], Ranked]  # by user and bucket


def run(
    size: Size | None = None, threads: int = 0, memory_mb: int = 2048, with_lleaves: bool = True
) -> dict[str, object]:
    """Measure and return the figures; none of them is of a run whose lists differ from `predict`'s.

    The engine adds the product of the model's factors to every pair; the rivals are timed on the trees alone.

    Args:
        size: What is made; None: the defaults.
        threads: Threads of everything; 0: all cores.
        memory_mb: What scoring may plan with, MiB.
        with_lleaves: Whether lleaves is installed, in an environment of its own, and timed.

    Raises:
        AssertionError: A checked list differs from `predict`'s, or too few trees split on time.
    """
    n_threads = threads or os.cpu_count() or 1
    made = make(size or Size(), threads)
    on_time = share_on_time(made)
    assert on_time >= 0.3, f"{on_time:.0%} of the trees split on time; the bench wants at least 30 %"
    n_users, n_posts, n_buckets = (len(some) for some in _axes(made.sides))
    warm_up(made, threads)
    seconds_first, _ = timed_engine(part(made, n_users, 1), threads, memory_mb, {})
    checked = _checked(made)
    seconds_all, lists = timed_engine(made, threads, memory_mb, checked)
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    different = _different(made, checked, lists)
    assert different == 0, f"{different} of {len(lists)} lists differ from predict's"
    rows = _some_rows(made)
    lightgbm, how = _lightgbm_pairs_per_s(made.model_text, rows, n_threads)
    lleaves, why = (
        lleaves_pairs_per_s(made.model_text, rows, n_threads) if with_lleaves else (None, "left out")
    )
    pairs = n_users * n_posts
    further = (seconds_all - seconds_first) / max(n_buckets - 1, 1)
    sums = compile_model(made.model_text, made.sides, made.dense, memory_mb).sets
    row_sums = pairs / TILE * len(sums.layer)
    return {
        "machine": f"{os.cpu_count()} cores, {_processor()}",
        "size": f"{n_users} users × {n_posts} posts × {n_buckets} buckets, depth {DEPTH}",
        "trees": len(sums.plus[0]),
        "factors": made.dense[0].shape[1],
        "trees_on_time": round(on_time, 3),
        "engine_pairs_per_s": round(pairs / further) if n_buckets > 1 else None,
        "lightgbm_pairs_per_s": round(lightgbm),
        "lightgbm_best": how,
        "lleaves_pairs_per_s": None if lleaves is None else round(lleaves),
        "lleaves_missing_because": why,
        "ratio": round(pairs / further / lightgbm, 1) if n_buckets > 1 else None,
        "ratio_run": round(pairs * n_buckets / seconds_all / lightgbm, 1),
        "seconds_first_bucket": round(seconds_first, 2),
        "seconds_per_bucket": round(further, 3) if n_buckets > 1 else None,
        "seconds_run": round(seconds_all, 2),
        "row_sums_per_pair_before_merging": sums.plus.shape[1],
        "row_sums_per_pair": round(len(sums.layer) / n_buckets, 2),
        "fraction_of_roofline": round(row_sums / _resident_sums_per_s(n_threads) / seconds_all, 3),
        "peak_rss_mb": round(rss_mb),
        "lists_checked": len(lists),
        "lists_different": different,
    }


def _axes(sides: Sides) -> tuple[npt.NDArray[np.int64], ...]:
    return sides.user_ids, sides.post_ids, sides.starts


def part(made: Made, n_users: int, n_buckets: int) -> Made:
    """Keep the first users and buckets."""
    sides = made.sides
    return Made(
        made.model_text,
        replace(
            sides,
            user_ids=sides.user_ids[:n_users],
            starts=sides.starts[:n_buckets],
            user=sides.user[:n_users],
            time=sides.time[:n_buckets],
            user_group=sides.user_group[:, :n_users],
        ),
        SeenPosts(made.seen.start[: n_users + 1], made.seen.post),
        (made.dense[0][:n_users], made.dense[1]),
    )


def warm_up(made: Made, threads: int) -> None:
    """Compile what the first call compiles, which is kept on disk and paid once a machine."""
    timed_engine(part(made, 64, 2), threads, 1024, {})


def timed_engine(
    made: Made, threads: int, memory_mb: int, checked: dict[int, list[int]]
) -> tuple[float, Lists]:
    """Score everything, tables included; return the seconds, and the lists of `checked` users and buckets."""
    lists: Lists = {}
    start = time.perf_counter()
    blocks = engine.score(
        made.model_text, made.sides, made.seen, DEPTH, threads=threads, memory_mb=memory_mb, dense=made.dense
    )
    for block in blocks:
        for user in range(block.first, block.first + len(block.posts)):
            for bucket in checked.get(user, ()):
                at = user - block.first
                lists[user, bucket] = block.posts[at, bucket].copy(), block.scores[at, bucket].copy()
    return time.perf_counter() - start, lists


def _checked(made: Made) -> dict[int, list[int]]:
    """Choose the users and buckets whose lists are compared."""
    rng = np.random.default_rng(1)
    n_users, n_buckets = len(made.sides.user_ids), len(made.sides.starts)
    users = rng.choice(n_users, min(CHECKED_USERS, n_users), replace=False)
    buckets = np.sort(rng.choice(n_buckets, min(CHECKED_BUCKETS, n_buckets), replace=False)).tolist()
    return dict.fromkeys(np.sort(users).tolist(), buckets)


def _different(made: Made, checked: dict[int, list[int]], lists: Lists) -> int:
    """Count lists whose posts or scores are not `predict`'s, bit by bit."""
    booster = lgb.Booster(model_str=made.model_text)
    different = 0
    users = np.array(list(checked))
    for bucket in checked[int(users[0])]:
        for low in range(0, len(users), 50):
            raw = raw_scores(booster, made.sides, users[low : low + 50], bucket, made.dense)
            for user, scores in zip(users[low : low + 50].tolist(), raw, strict=True):
                wanted = best(scores, made.seen.of(user), DEPTH)
                different += not _same(wanted, lists[user, bucket])
    return different


def _same(one: Ranked, two: Ranked) -> bool:
    return np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1], equal_nan=True)


def _some_rows(made: Made) -> Rows:
    """Gather the rows of random users against all posts, as whoever scores with `predict` would."""
    n_posts = len(made.sides.post_ids)
    rng = np.random.default_rng(2)
    users = rng.integers(0, len(made.sides.user_ids), -(-PREDICTED_ROWS // n_posts))
    buckets = rng.integers(0, len(made.sides.starts), len(users))
    posts = np.tile(np.arange(n_posts), len(users))
    return made.sides.rows(np.repeat(users, n_posts), posts, np.repeat(buckets, n_posts))


def _lightgbm_pairs_per_s(model_text: str, rows: Rows, n_threads: int) -> tuple[float, str]:
    """Return the rate of the fastest thread count and block size, and what they were."""
    booster = lgb.Booster(model_str=model_text)
    found: list[tuple[float, str]] = []
    for threads in sorted({1, n_threads}):
        for block in PREDICT_BLOCKS:

            def predict(threads: int = threads, block: int = block) -> None:
                for low in range(0, len(rows), block):
                    booster.predict(rows[low : low + block], raw_score=True, num_threads=threads)

            found.append((len(rows) / _seconds(predict), f"{threads} threads, {block} rows at once"))
    return max(found)


def _resident_sums_per_s(n_threads: int) -> float:
    """Measure how many table rows of `TILE` posts are added a second when the table stays in the cache."""
    rng = np.random.default_rng(3)
    tables = rng.integers(-99, 99, (n_threads, RESIDENT_ROWS, TILE)).astype(np.int32)
    ids = rng.integers(0, RESIDENT_ROWS, (200, RESIDENT_SUMS)).astype(np.uint16)
    outs = np.zeros((n_threads, len(ids), TILE), np.int32)
    repeats = 100

    def measure() -> None:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(_sum_resident, tables, [ids] * n_threads, outs, [repeats] * n_threads))

    measure()
    return n_threads * repeats * ids.size / min(_seconds(measure) for _ in range(3))


@nb.njit(nogil=True)
def _sum_resident(table, ids, out, repeats):  # type: ignore[no-untyped-def]
    for _ in range(repeats):
        for user in range(len(ids)):
            add_rows(table, 0, TILE, ids, user * ids.shape[1], 1, ids.shape[1], out, user * TILE)


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:  # noqa: PTH123 - a file of the kernel, not of ours
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return "unknown processor"
