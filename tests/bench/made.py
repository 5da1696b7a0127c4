"""What the score bench scores: a simulated world, the model that a run would publish on it, seen posts."""

import re
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from api.contract.buckets import Horizon
from batch.data.seen import SeenPosts
from batch.features import asof
from batch.features.sides import Sides
from batch.learn.recipe import Recipe
from batch.learn.train import training_rows
from batch.learn.trees import fit, parameters_for
from batch.score.predict import Dense
from batch.settings import Settings
from batch.simulate.config import WorldConfig
from batch.simulate.feed import facts as simulate

DAY_S = 86_400
DAYS = 9  # a tenth of the 90 days that the original's 76.9 M rows span
FIRST_DAY = date(2021, 12, 21)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is made; the defaults are the original's users and posts, and a tenth of its feed."""

    n_users: int = 163_205
    n_posts: int = 7_023
    n_days: int = DAYS
    n_seen: int = 421
    n_buckets: int = 24
    n_trees: int = 200
    n_leaves: int = 31
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Made:
    """A model and everything that it scores: trees, and factors whose product is added to them."""

    model_text: str
    sides: Sides
    seen: SeenPosts
    dense: Dense


def make(size: Size, threads: int = 0) -> Made:
    """Simulate the world, train on what a run trains on, and lay out the sides as a run does."""
    settings = Settings(
        n_buckets=size.n_buckets,
        n_trees=size.n_trees,
        n_leaves=size.n_leaves,
        seed=size.seed,
        threads=threads,
    )
    last = FIRST_DAY + timedelta(days=size.n_days)
    facts = simulate(WorldConfig(size.n_users, size.n_posts, size.seed, start=FIRST_DAY, end=last))
    known = asof.describe(facts, size.seed)
    made_by = Recipe.of(settings)
    estimates, rows = training_rows(facts, known, facts.as_of_s, made_by)
    parameters = parameters_for(len(rows.y), made_by.n_leaves, made_by.seed, made_by.threads)
    # As many trees as were asked for, whether or not all of them would pay.
    base = estimates.before(rows.event)
    booster = fit(rows.x, rows.y, known.features, parameters, made_by.n_trees, init=base)
    horizon = Horizon.after(facts.as_of_s, settings.bucket_width_s, size.n_buckets)
    counts = asof.start_tally(facts, known).advance(facts.as_of_s)
    sides = asof.make_sides(facts, known, counts, np.array(horizon.starts, np.int64))
    seen = _seen(np.random.default_rng(size.seed), size)
    return Made(booster.model_to_string(), sides, seen, (estimates.now.x, estimates.now.y))


def share_on_time(made: Made) -> float:
    """Return the share of the trees that split on a feature of time."""
    of_time = {k for k, feature in enumerate(made.sides.features) if feature.side == "time"}
    splits = re.findall(r"^split_feature=(.*)$", made.model_text, re.MULTILINE)
    return sum(bool(of_time & {int(word) for word in line.split()}) for line in splits) / max(len(splits), 1)


def _seen(rng: np.random.Generator, size: Size) -> SeenPosts:
    """Draw `n_seen` distinct posts for every user, as many as users saw in the original, ascending."""
    n = min(size.n_seen, size.n_posts)
    post = np.empty((size.n_users, n), np.int32)
    for user in range(size.n_users):
        post[user] = np.sort(rng.choice(size.n_posts, n, replace=False, shuffle=False))
    return SeenPosts(np.arange(size.n_users + 1, dtype=np.int64) * n, post.ravel())
