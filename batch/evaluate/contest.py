"""A contest of recommenders: baselines and ours learn from the same interactions; what that costs."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from batch.arrays import Ints
from batch.evaluate.own import OURS
from batch.evaluate.results import Columns, Metric
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.named import BASELINES
from batch.learn.baselines.recommender import Recommender

SAMPLE_S = 0.02  # between looks at the memory
STATM = Path("/proc/self/statm")
MEMORY: Metric = ("memory_mb", 0)
Totals = dict[str, dict[Metric, float]]


def compete(
    interactions: Interactions,
    fit_ours: Callable[[], Recommender],
    names: tuple[str, ...],
    rank: Callable[[Recommender], Ints],
    measure: Callable[[Recommender, Ints], Columns],
) -> tuple[dict[str, Columns], Totals]:
    """Fit one recommender after another, ours last, let it rank, and drop it before the next for its memory.

    Args:
        interactions: What baselines learn from.
        fit_ours: Makes ours.
        names: Baselines that take part; empty for all. Those in `find_absent` are left out.
        rank: Makes the lists of a recommender; it is timed.
        measure: Metrics of a recommender and its lists.

    Returns:
        Metrics by recommender, and its costs: `fit_s`, `rank_s`, and as `memory_mb` the most memory above
        what was held before.
    """
    absent = find_absent(len(interactions.facts.posts), names)
    models, costs = dict[str, Columns](), Totals()
    some = [one for one in BASELINES if (not names or one.name in names) and one.name not in absent]
    fits = [(one.name, lambda one=one: one.fit(interactions)) for one in some]
    for name, fit in (*fits, (OURS, fit_ours)):
        costs[name] = {}
        with measure_cost(costs[name], "fit_s"):
            fitted = fit()
        with measure_cost(costs[name], "rank_s"):
            lists = rank(fitted)
        models[name] = measure(fitted, lists)
        del fitted
    return models, costs


def find_absent(n_posts: int, names: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the baselines, of some or of all, that cannot take part, and why.

    They need a package which is not installed, or cannot hold so many posts.
    """
    found: dict[str, str] = {}
    for baseline in BASELINES:
        if not names or baseline.name in names:
            why = baseline.cannot_hold(n_posts)
            missing = next((one for one in baseline.needs if find_spec(one) is None), None)
            if missing:
                why = f"needs {missing}, which is not installed: pip install 'almanac-feed[{baseline.extra}]'"
            found |= {baseline.name: why} if why else {}
    return found


def check_names(names: tuple[str, ...]) -> None:
    """Make sure that all names are baselines'.

    Raises:
        ValueError: One is not.
    """
    possible = [baseline.name for baseline in BASELINES]
    strange = [name for name in names if name not in possible]
    if strange:
        raise ValueError(f"{', '.join(strange)}: no peer; {OURS} competes with {', '.join(possible)}")


@contextmanager
def measure_cost(cost: dict[Metric, float], name: str) -> Iterator[None]:
    """Note the seconds of a block under a name, and under `MEMORY` the most memory that it took, in MB."""
    before, most, done = _resident_mb(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            most[0] = max(most[0], _resident_mb() - before)

    watcher, began = threading.Thread(target=watch, daemon=True), time.perf_counter()
    watcher.start()
    try:
        yield
    finally:
        cost[name, 0] = time.perf_counter() - began
        done.set()
        watcher.join()
        cost[MEMORY] = float(np.nanmax([cost.get(MEMORY, np.nan), most[0], _resident_mb() - before]))


def _resident_mb() -> float:
    """Return this process's resident memory; NaN where the system does not tell."""
    if not STATM.exists():
        return float("nan")
    return int(STATM.read_text().split()[1]) * 4096 / 2**20
