"""What look-ups cost: plain numbers, bumped once per round trip, not per look-up."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

TOOK_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Histogram:
    """Counts of values by upper bound, and their sum.

    >>> sizes = Histogram((1, 2))
    >>> sizes.add(2), sizes.add(5, n=3)
    (None, None)
    >>> sizes.cumulative(), sizes.total
    ([('1', 0), ('2', 1), ('+Inf', 4)], 17.0)
    """

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin with nothing; `bounds` ascend."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float, n: int = 1) -> None:
        """Count a value `n` times."""
        self._counts[bisect_left(self._bounds, value)] += n
        self.total += n * value

    def as_counts(self) -> tuple[list[int], float]:
        """Return the counts by upper bound, ascending, and the sum of values."""
        return self._counts, self.total

    def add_counts(self, counts: Sequence[int], total: float) -> None:
        """Add counts of the same bounds, and their sum of values."""
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, counts, strict=True)]
        self.total += total

    def update(self, other: "Histogram") -> None:
        """Add another one of the same bounds."""
        self.add_counts(*other.as_counts())

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, values no larger), as Prometheus wants them."""
        bounds = (*map(str, self._bounds), "+Inf")
        return list(zip(bounds, accumulate(self._counts), strict=True))


class LookupStats:
    """Histograms of how long look-ups waited for the store, and of how many shared a round trip."""

    __slots__ = ("batch", "took_s")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.batch = Histogram(BATCH)
        self.took_s = Histogram(TOOK_S)

    def record(self, n: int, took_s: float) -> None:
        """Count one round trip of `n` look-ups."""
        self.batch.add(n)
        self.took_s.add(took_s, n)
