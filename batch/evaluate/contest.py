"""A contest: peers and ours learn from the same past and rank the same users' posts; what it cost them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from batch.evaluate.intervals import intervals
from batch.learn.baselines.interactions import Ints, Past
from batch.learn.baselines.recommender import PEERS, Fitted, Ranked

OURS = "almanac"
SAMPLE_S = 0.02  # between looks at the memory
STATM = Path("/proc/self/statm")


@dataclass(slots=True)
class Cost:
    """What one contestant took: seconds to learn and to rank, and memory above what was held before."""

    fit_s: float = 0.0
    rank_s: float = 0.0
    memory_mb: float = float("nan")

    @classmethod
    def mean(cls, costs: list["Cost"]) -> "Cost":
        """Return the mean seconds of several trainings, and the most memory."""
        return cls(
            float(np.mean([cost.fit_s for cost in costs])),
            float(np.mean([cost.rank_s for cost in costs])),
            float(np.max([cost.memory_mb for cost in costs])),
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A contestant that has learned; `why_absent` says why one did not take part."""

    name: str
    fitted: Fitted | None
    cost: Cost = field(default_factory=Cost)
    why_absent: str = ""


def entries(past: Past, own: Callable[[], Fitted], names: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Fit one contestant after another and yield each, ours last; drop it before the next for its memory.

    Args:
        past: What peers learn from.
        own: Makes ours.
        names: Peers that take part; empty for all.
    """
    for peer in PEERS:
        if names and peer.name not in names:
            continue
        if peer.needs and find_spec(peer.needs) is None:
            why = f"needs {peer.needs}, which is not installed: pip install 'almanac-feed[zoo]'"
            yield Entry(peer.name, None, why_absent=why)
            continue
        cost = Cost()
        with spent(cost, "fit_s"):
            ranking = peer.fit(past)
        yield Entry(peer.name, Ranked(ranking), cost)
    cost = Cost()
    with spent(cost, "fit_s"):
        fitted = own()
    yield Entry(OURS, fitted, cost)


def ranked(entry: Entry, users: Ints, n: int) -> Ints:
    """Return the contestant's lists, int64 (users, n), and note what they took."""
    assert entry.fitted is not None
    with spent(entry.cost, "rank_s"):
        return entry.fitted.lists(users, n)


@contextmanager
def spent(cost: Cost, what: str) -> Iterator[None]:
    """Add the seconds of a block to a field of the cost, and note the most memory that it took."""
    before, most, done = _resident_mb(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            most[0] = max(most[0], _resident_mb() - before)

    watcher, began = threading.Thread(target=watch, daemon=True), time.perf_counter()
    watcher.start()
    try:
        yield
    finally:
        setattr(cost, what, getattr(cost, what) + time.perf_counter() - began)
        done.set()
        watcher.join()
        cost.memory_mb = float(np.nanmax([cost.memory_mb, most[0], _resident_mb() - before]))


def _resident_mb() -> float:
    """Return this process's resident memory; NaN where the system does not tell."""
    if not STATM.exists():
        return float("nan")
    return int(STATM.read_text().split()[1]) * 4096 / 2**20


def interval(
    parts: npt.NDArray[np.float64], wholes: npt.NDArray[np.float64], owner: Ints, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of `sum(parts) / sum(wholes)`, an owner's rows drawn together.

    Args:
        parts: float64 (n,). Of sessions or users; differences for a paired comparison.
        wholes: float64 (n,). Ones for a mean.
        owner: int64 (n,). Whose row.
        rng: Draws.
    """
    low, high = intervals(parts[:, None], wholes[:, None], owner, rng)[0].tolist()
    return low, high
