"""How a model is trained: the handful of numbers that settings give."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from batch.learn.baselines.knobs import Knob, read_tuned
from batch.settings import Settings

OURS = "almanac"  # table of a tuned file
TREES, LEAVES = Knob("n_trees", 100, 10, 400), Knob("n_leaves", 31, 4, 127)
KNOBS = TREES, LEAVES


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
        """Return how settings train.

        Raises:
            ValueError: The file of tuned values cannot be taken.
        """
        recipe = cls(
            train_days=settings.train_days,
            train_rows=settings.train_rows,
            width_s=settings.bucket_width_s,
            n_trees=settings.n_trees,
            n_leaves=settings.n_leaves,
            seed=settings.seed,
            threads=settings.threads,
        )
        return recipe.tune(read_tuned(settings.tuned, OURS, KNOBS))

    def tune(self, given: Mapping[str, float]) -> "Recipe":
        """Return it with values of `KNOBS`, by name."""
        whole: dict[str, Any] = {name: int(value) for name, value in given.items()}
        return replace(self, **whole)
