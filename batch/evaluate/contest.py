"""A contest of recommenders: baselines and ours learn from the same interactions; what that costs them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from batch.evaluate.own import OURS
from batch.evaluate.results import Metric
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.named import BASELINES
from batch.learn.baselines.recommender import Recommender

SAMPLE_S = 0.02  # between looks at the memory
STATM = Path("/proc/self/statm")


class Cost:
    """What a contestant took: seconds to learn and to rank, and most memory above what was held before."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.fit_s = self.rank_s = 0.0
        self.memory_mb = float("nan")

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the seconds of a block to `fit_s` or `rank_s`, and note the most memory that it took."""
        before, most, done = _resident_mb(), [0.0], threading.Event()

        def watch() -> None:
            while not done.wait(SAMPLE_S):
                most[0] = max(most[0], _resident_mb() - before)

        watcher, began = threading.Thread(target=watch, daemon=True), time.perf_counter()
        watcher.start()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - began)
            done.set()
            watcher.join()
            self.memory_mb = float(np.nanmax([self.memory_mb, most[0], _resident_mb() - before]))

    def totals(self) -> dict[Metric, float]:
        """Return it as figures."""
        return {("fit_s", 0): self.fit_s, ("rank_s", 0): self.rank_s, ("memory_mb", 0): self.memory_mb}


def fit_each(
    interactions: Interactions, fit_ours: Callable[[], Recommender], names: tuple[str, ...] = ()
) -> Iterator[tuple[str, Recommender, Cost]]:
    """Fit one contestant after another and yield each, ours last; drop it before the next for its memory.

    Args:
        interactions: What baselines learn from.
        fit_ours: Makes ours.
        names: Baselines that take part; empty for all. Those in `find_absent` are left out.
    """
    absent = find_absent(names)
    for baseline in BASELINES:
        if (names and baseline.name not in names) or baseline.name in absent:
            continue
        cost = Cost()
        with cost.measure("fit_s"):
            fitted = baseline.fit(interactions)
        yield baseline.name, fitted, cost
    cost = Cost()
    with cost.measure("fit_s"):
        ours = fit_ours()
    yield OURS, ours, cost


def find_absent(names: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the baselines, of some or of all, that need a package which is not installed, and why."""
    return {
        baseline.name: f"needs {baseline.needs}, which is not installed: pip install 'almanac-feed[zoo]'"
        for baseline in BASELINES
        if (not names or baseline.name in names) and baseline.needs and find_spec(baseline.needs) is None
    }


def check_names(names: tuple[str, ...]) -> None:
    """Make sure that all names are baselines'.

    Raises:
        ValueError: One is not.
    """
    possible = [baseline.name for baseline in BASELINES]
    strange = [name for name in names if name not in possible]
    if strange:
        raise ValueError(f"{', '.join(strange)}: no peer; {OURS} competes with {', '.join(possible)}")


def _resident_mb() -> float:
    """Return this process's resident memory; NaN where the system does not tell."""
    if not STATM.exists():
        return float("nan")
    return int(STATM.read_text().split()[1]) * 4096 / 2**20
