"""Our model as it would be published at a moment: its scores of later impressions, and as a recommender."""

from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np

from batch.arrays import Bools, Floats, Floats32, Ints
from batch.data.facts import Facts
from batch.data.seen import SeenPosts
from batch.features import asof
from batch.features.sides import Feature, Sides
from batch.features.tally import Tally
from batch.learn import trees
from batch.learn.baselines.interactions import Interactions
from batch.learn.baselines.recommender import ScoreRecommender
from batch.learn.factors.components import fit_components
from batch.learn.factors.names import NAMES
from batch.learn.hour_trees import add_hours
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.learn.sessions import positions
from batch.learn.train import Training, train
from batch.score.caps import Caps
from batch.score.engine import score

OURS, CAPPED = "almanac", "almanac_capped"
POSITION = Feature("position", "time")  # only compared: at scoring nobody knows it


@dataclass(frozen=True, slots=True)
class ModelRecommender:
    """A recommender by the model that a run would publish.

    Attributes:
        model: Trained up to a moment.
        sides: Features as of then, for the bucket of the lists.
        recipe: How it was trained.
        zone: Of the hours among the features; empty is UTC.
    """

    model: Ranker
    sides: Sides
    recipe: Recipe
    zone: str

    def lists(self, users: Ints, n: int, opened: Bools | None = None) -> Ints:
        """Return each user's `n` best posts by the engine that publishes."""
        return self.capped(users, SeenPosts.none(len(users)), n, None, opened)

    def capped(
        self, users: Ints, seen: SeenPosts, n: int, caps: Caps | None, opened: Bools | None = None
    ) -> Ints:
        """Return each user's `n` places under caps, of what they have not seen; -1 beyond the last."""
        some, (x, y) = self.sides.part(users), self.model.factors.dense
        blocks = score(
            self.model.text, some, seen, n, dense=(x[users], y), caps=caps, threads=self.recipe.threads,
            opened=None if opened is None else opened[None],
        )  # fmt: skip
        return np.vstack([block.posts[:, 0] for block in blocks]).astype(np.int64)

    def pairs(self, users: Ints, posts: Ints, at_s: Ints) -> Floats:
        """Return the scores of pairs in their moments' buckets, by LightGBM's own predict and the factors."""
        x, y = self.model.factors.dense
        starts, bucket = np.unique(at_s - at_s % self.recipe.width_s, return_inverse=True)
        sides = replace(self.sides, starts=starts, time=asof.time_side(starts, self.zone))
        rows = sides.rows(users, posts, bucket)
        factors = np.einsum("ij,ij->i", x[users], y[posts])
        return np.asarray(raw_scores(self.model.booster(), rows) + factors, np.float64)


@dataclass(frozen=True, slots=True)
class OwnModel:
    """Our model trained up to a moment; of later facts only users, posts and hours are read.

    Attributes:
        facts: All events.
        statics: What does not change with time.
        recipe: How it was trained.
        training: The model, its estimates, and the impressions that trained its trees.
        counts: The tally as of the last moment that it knows.
    """

    facts: Facts
    statics: asof.Statics
    recipe: Recipe
    training: Training
    counts: Tally

    @classmethod
    def train(cls, facts: Facts, statics: asof.Statics, as_of_s: int, recipe: Recipe) -> "OwnModel":
        """Train as a run does, on what lies up to a moment.

        Raises:
            ValueError: That cannot train a model.
        """
        training = train(facts, statics, as_of_s, recipe)
        return cls(facts, statics, recipe, training, asof.start_tally(facts, statics).advance(as_of_s))

    def snapshot(self, event: Ints) -> Floats32:
        """Return the features of later impressions, as of the moment of training but for their hours."""
        return trees.snapshot(self.facts, self.statics, self.counts, self.recipe.width_s, event)

    def additive(self, event: Ints) -> Floats:
        """Return the factors' scores of impressions, float64 (events,)."""
        return self.training.estimates.now.scores(self.facts.user[event], self.facts.post[event])

    def booster(self) -> lgb.Booster:
        """Return the trees of the model."""
        return self.training.model.booster()

    def fit_trees_alone(self) -> lgb.Booster:
        """Return trees of the same rows that start from nothing."""
        rows, features = self.training.rows, self.statics.features
        return trees.fit(rows.x, rows.y, features, self._parameters, self.recipe.n_trees)

    def fit_with_position(self) -> lgb.Booster:
        """Return trees from the estimates on, then hours' effects; the last feature is the place."""
        rows, estimates = self.training.rows, self.training.estimates
        x = np.column_stack([rows.x, _places(estimates.shown, rows.event)])
        features, base = (*self.statics.features, POSITION), estimates.before(rows.event)
        booster = trees.fit(x, rows.y, features, self._parameters, self.recipe.n_trees, init=base)
        return lgb.Booster(model_str=add_hours(booster.model_to_string(), features, estimates.now.hours))

    def recommender(self, at_s: int) -> ModelRecommender:
        """Return the recommender whose lists are for the bucket that holds `at_s`."""
        starts = np.array([at_s - at_s % self.recipe.width_s], np.int64)
        sides = asof.make_sides(self.facts, self.statics, self.counts, starts)
        return ModelRecommender(self.training.model, sides, self.recipe, self.facts.zone)

    @property
    def _parameters(self) -> dict[str, Any]:
        n_rows, recipe = len(self.training.rows.y), self.recipe
        return trees.parameters_for(n_rows, recipe.n_leaves, recipe.seed, recipe.threads)


def fit_own(interactions: Interactions, recipe: Recipe, as_of_s: int, at_s: int) -> ModelRecommender:
    """Train our model on the interactions up to `as_of_s`; its lists are for the bucket that holds `at_s`.

    Raises:
        ValueError: They cannot train a model.
    """
    return OwnModel.train(interactions.facts, interactions.statics, as_of_s, recipe).recommender(at_s)


def fit_likes_only(interactions: Interactions, recipe: Recipe) -> ScoreRecommender:
    """Fit posts' effects and users' tastes from likes alone, nothing of the order of what was shown.

    Places in the session only take what is due to them out of posts' effects.

    Raises:
        ValueError: Users chose what they saw, so there is no order to leave out.
    """
    facts = interactions.facts
    if facts.shown == "choices":
        raise ValueError(
            "users chose these posts themselves: there is no order of what was shown to leave out"
        )
    parts = fit_components(facts, interactions.statics.texts, facts.as_of_s, recipe.seed, None)
    on = [NAMES.index(name) for name in ("post", "taste")]
    x, y = (np.hstack([side[k] for k in on]) for side in (parts.x, parts.y))
    return ScoreRecommender(lambda users: np.asarray(x[users] @ y.T, np.float64), len(y))


def raw_scores(booster: lgb.Booster, x: Floats32) -> Floats:
    """Return the trees' scores of rows, in log-odds, float64 (rows,)."""
    return np.asarray(booster.predict(x, raw_score=True), np.float64) if len(x) else np.empty(0)


def _places(facts: Facts, event: Ints) -> Floats32:
    """Return each impression's place in its session among all impressions, thinned ones included; 0 first."""
    shown = np.flatnonzero(facts.views)
    _, position = positions(facts.user[shown], facts.time[shown])
    return position[np.searchsorted(shown, event)].astype(np.float32)
