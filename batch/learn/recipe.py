"""How a model is trained: the handful of numbers that settings give."""

from dataclasses import dataclass

from batch.settings import Settings


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained.

    Attributes:
        train_days: Days before as_of whose impressions may train the trees.
        train_rows: Most impressions that do.
        width_s: Width of a time bucket, seconds.
        n_trees: Trees to boost.
        n_leaves: Most leaves of a tree.
        seed: Of everything random.
        threads: Threads of LightGBM; 0: all cores.
    """

    train_days: int
    train_rows: int
    width_s: int
    n_trees: int
    n_leaves: int
    seed: int
    threads: int = 0

    @classmethod
    def of(cls, settings: Settings) -> "Recipe":
        """Return how settings train."""
        return cls(
            train_days=settings.train_days,
            train_rows=settings.train_rows,
            width_s=settings.bucket_width_s,
            n_trees=settings.n_trees,
            n_leaves=settings.n_leaves,
            seed=settings.seed,
            threads=settings.threads,
        )
