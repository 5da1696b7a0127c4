"""Our model as it would be published at a moment, and what it says of impressions after it."""

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from batch.data.facts import Facts
from batch.features import asof
from batch.features.sides import Feature
from batch.features.tally import Tally
from batch.learn import trees
from batch.learn.baselines.recommender import Ours
from batch.learn.factors.estimate import Estimates
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.learn.sessions import positions
from batch.learn.train import train
from batch.learn.trees import fit, parameters_for

POSITION = Feature("position", "time")  # only compared: at scoring nobody knows it

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trained:
    """What was learnt up to a moment; later facts are looked at for their users, posts and hours alone.

    Attributes:
        facts: All events.
        known: What does not change with time.
        recipe: How it was trained.
        estimates: Its additive part.
        rows: The impressions that trained the trees.
        model: Both parts.
        counts: The tally as of the last moment that it knows.
    """

    facts: Facts
    known: asof.Statics
    recipe: Recipe
    estimates: Estimates
    rows: asof.Rows
    model: Ranker
    counts: Tally

    @classmethod
    def at(cls, facts: Facts, known: asof.Statics, as_of_s: int, recipe: Recipe) -> "Trained":
        """Train as a run does, on what lies up to a moment.

        Raises:
            ValueError: That cannot train a model.
        """
        made = train(facts, known, as_of_s, recipe)
        counts = asof.tally(facts, known).advance(as_of_s)
        return cls(facts, known, recipe, made.estimates, made.rows, made.model, counts)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return LightGBM's parameters for these rows."""
        return parameters_for(len(self.rows.y), self.recipe.n_leaves, self.recipe.seed, self.recipe.threads)

    def snapshot(self, event: Ints) -> Rows:
        """Return the features of later impressions, as of the moment of training but for their hours."""
        return trees.snapshot(self.facts, self.known, self.counts, self.recipe.width_s, event)

    def additive(self, event: Ints) -> Floats:
        """Return what the factors say of impressions, float64 (events,)."""
        return self.estimates.now.scores(self.facts.user[event], self.facts.post[event])

    def alone(self) -> lgb.Booster:
        """Return trees of the same rows that start from nothing."""
        rows, features = self.rows, self.known.features
        return fit(rows.x, rows.y, features, self.parameters, self.recipe.n_trees)

    def placed(self) -> lgb.Booster:
        """Return trees on top of the estimates whose last feature is the place in the session."""
        rows, features = self.rows, (*self.known.features, POSITION)
        x = np.column_stack([rows.x, places(self.estimates.shown, rows.event)])
        base = self.estimates.before(rows.event)
        return fit(x, rows.y, features, self.parameters, self.recipe.n_trees, init=base)

    def ours(self, at_s: int) -> Ours:
        """Return the contestant whose lists are for the bucket that holds `at_s`."""
        starts = np.array([at_s - at_s % self.recipe.width_s], np.int64)
        sides = asof.sides(self.facts, self.known, self.counts, starts)
        return Ours(self.model, sides, self.recipe.threads)


def said(booster: lgb.Booster, x: Rows) -> Floats:
    """Return what trees say of rows, in log-odds, float64 (rows,)."""
    return np.asarray(booster.predict(x, raw_score=True), np.float64) if len(x) else np.empty(0)


def places(facts: Facts, event: Ints) -> Rows:
    """Return each impression's place in its session among all impressions, thinned ones included; 0 first."""
    shown = np.flatnonzero(facts.views)
    _, position = positions(facts.user[shown], facts.time[shown])
    return position[np.searchsorted(shown, event)].astype(np.float32)
