"""How a model is trained: the handful of numbers that settings give."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from batch.data.facts import Facts
from batch.features.asof import Statics
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.knobs import Knob, read_tuned
from batch.learn.stages import Stages
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
        stages: How peers by two stages rank.
    """

    train_days: int
    train_rows: int
    width_s: int
    n_trees: int
    n_leaves: int
    seed: int
    threads: int = 0
    stages: Stages = field(default_factory=Stages)

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
            stages=read_stages(settings),
        )
        return recipe.tune(read_tuned(settings.tuned, OURS, KNOBS))

    def interactions(self, facts: Facts, statics: Statics) -> Interactions:
        """Return what peers learn from, where they are trained as ours is."""
        return Interactions(facts, statics, self.seed, self.threads, stages=self.stages)

    def tune(self, given: Mapping[str, float]) -> "Recipe":
        """Return it with values of `KNOBS`, by name."""
        whole: dict[str, Any] = {name: int(value) for name, value in given.items()}
        return replace(self, **whole)


def read_stages(settings: Settings) -> Stages:
    """Return how settings have peers rank by two stages."""
    names = tuple(name.strip() for name in settings.candidates.split(",") if name.strip())
    return Stages(names, settings.candidates_per_user, settings.ranker_aim)
