"""What look-ups cost."""

from prometheus_client import CollectorRegistry, Histogram

TOOK_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class LookupStats:
    """Histograms of how long look-ups waited for the store, and of how many shared a round trip.

    Attributes:
        registry: Holds both.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.registry = CollectorRegistry()
        self._took_s = Histogram(
            "almanac_lookup_seconds",
            "Round trip of a look-up, seconds.",
            buckets=TOOK_S,
            registry=self.registry,
        )
        self._batch = Histogram(
            "almanac_lookup_batch",
            "Look-ups that shared a round trip.",
            buckets=BATCH,
            registry=self.registry,
        )

    def record(self, n: int, took_s: float) -> None:
        """Count one round trip of `n` look-ups."""
        self._batch.observe(n)
        for _ in range(n):
            self._took_s.observe(took_s)
