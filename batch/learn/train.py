"""Facts to the published model, in one sequence: fit the estimates, gather rows of what they leave, boost.

A night after such a training may `renew` its model instead: the estimate as of now, weights and trees as
found.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from api.contract.buckets import DAY_S
from batch.data.facts import Facts
from batch.features.asof import Rows, Statics
from batch.learn import trees
from batch.learn.choose_trees import choose_trees
from batch.learn.chosen import COMPARED, TREES, WEIGHT, tell_columns
from batch.learn.factors import estimate
from batch.learn.factors.estimate import Estimate, Estimates
from batch.learn.factors.factor_table import FactorTable
from batch.learn.given import digest
from batch.learn.hour_trees import add_hours
from batch.learn.kept_fit import KeptFit
from batch.learn.ranker import Ranker
from batch.learn.recipe import Recipe
from batch.memory import give_back
from batch.progress import Advance, Progress, Silent

AGE = "estimates_age_days"  # the metric that tells how long before as_of weights and trees were fitted


@dataclass(frozen=True, slots=True)
class Training:
    """One training: the model, and what it was made of.

    Attributes:
        estimates: The additive part of the model, now and before.
        rows: The impressions that trained the trees.
        model: Both parts.
    """

    estimates: Estimates
    rows: Rows
    model: Ranker


def train(
    facts: Facts,
    statics: Statics,
    as_of_s: int,
    recipe: Recipe,
    metrics: dict[str, float] | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train the model on the facts up to and including `as_of_s`; every model of ours comes about here.

    Args:
        facts: Events; later ones are not read.
        statics: What does not change with time.
        as_of_s: Epoch seconds.
        recipe: Sizes and seed.
        metrics: What an evaluation measured, kept with the model.
        progress: Where to show the two steps; None shows nothing.

    Raises:
        ValueError: There are no impressions to train on, or all of them have the same label.
    """
    progress = progress or Silent()
    with progress.step("estimate"):
        estimates, rows = training_rows(facts, statics, as_of_s, recipe)
    with progress.step("train", recipe.n_trees) as advance:
        model = learn(facts, statics, estimates, rows, recipe, metrics, advance)
        facts.release()
        give_back()
    return Training(estimates, rows, model)


def training_rows(facts: Facts, statics: Statics, as_of_s: int, recipe: Recipe) -> tuple[Estimates, Rows]:
    """Fit the estimates, and gather the impressions of their last periods for the trees.

    Raises:
        ValueError: There are none, or all of them have the same label.
    """
    estimates = estimate.fit(facts, statics.texts, as_of_s, recipe.seed, recipe.width_s)
    begin_s = as_of_s + 1 - recipe.train_days * DAY_S
    rng = np.random.default_rng(recipe.seed)
    rows = trees.gather_rows(facts, statics, estimates, recipe.width_s, recipe.train_rows, rng, begin_s)
    facts.release()
    n_likes = int(rows.y.sum())
    if n_likes in (0, len(rows.y)):
        raise ValueError(
            f"{len(rows.y)} impressions with {n_likes} likes before as_of cannot train a ranker: "
            f"it needs impressions with and without likes; {_way_out(facts, n_likes)}"
        )
    return estimates, rows


def _way_out(facts: Facts, n_likes: int) -> str:
    """Return what to do about facts that cannot train our model."""
    if facts.shown == "choices":
        return "nobody chose a new post in the last tenths of the facts: bring more, or run --variant popular"
    if n_likes:
        return 'all are liked, so users chose these posts: set shown = "choices" in a mapping file'
    return (
        "nothing says what is liked: name it as like under [events] in a mapping file, or, if users chose "
        'these posts, set shown = "choices" there; --variant popular needs no likes'
    )


def learn(
    facts: Facts,
    statics: Statics,
    estimates: Estimates,
    rows: Rows,
    recipe: Recipe,
    metrics: dict[str, float] | None = None,
    advance: Advance | None = None,
) -> Ranker:
    """Boost the trees, and return estimates and trees as one model.

    The weight of each part is put beside `metrics`, and as `compared_*` what later likes said of it in each
    period; `advance` is called with 1 after each tree.
    """
    parameters = trees.parameters_for(len(rows.y), recipe.n_leaves, recipe.seed, recipe.threads)
    chosen = choose_trees(facts, statics, estimates, rows, parameters, recipe.n_trees, recipe.width_s)
    n_trees, share = chosen.n_trees, chosen.share
    booster = trees.fit_trees(rows, estimates, statics.features, parameters, n_trees, share, advance)
    if advance is not None:
        advance(recipe.n_trees - n_trees if share else recipe.n_trees)
    weights = {**estimates.weights, TREES: share}
    metrics = {**(metrics or {}), **_tell({**estimates.compared, **chosen.compared})}
    parameters = {**parameters, "num_iterations": booster.num_trees()}
    text = add_hours(booster.model_to_string(), statics.features, estimates.now.hours)
    return _join(facts, statics, estimates.now, text, parameters, weights, 0.0, metrics)


def renew(
    kept: KeptFit,
    facts: Facts,
    statics: Statics,
    recipe: Recipe,
    metrics: dict[str, float] | None = None,
    progress: Progress | None = None,
) -> Ranker:
    """Return the model of all facts by the weights and trees of a training some nights before.

    On that training's own facts it is that training's model, byte for byte.

    Args:
        kept: That training.
        facts: Events up to now.
        statics: What `kept.describe` returned of them.
        recipe: That training's.
        metrics: What an evaluation measured, kept with the model.
        progress: Where to show the step; None shows nothing.
    """
    progress = progress or Silent()
    with progress.step("estimate"):
        as_of_s, begun = facts.as_of_s, kept.begun_of(facts)
        now, _ = estimate.renew(facts, statics.texts, as_of_s, kept.weights, recipe.seed, begun)
        facts.release()
        give_back()
    weights, metrics = {**kept.weights, TREES: kept.share}, {**(metrics or {}), **kept.compared}
    age_days = kept.age_days(as_of_s)
    return _join(facts, statics, now, kept.trees, kept.parameters, weights, age_days, metrics)


def _join(
    facts: Facts,
    statics: Statics,
    now: Estimate,
    trees_text: str,
    parameters: dict[str, Any],
    weights: dict[str, float],
    age_days: float,
    metrics: dict[str, float] | None,
) -> Ranker:
    """Return an estimate and trees as one model, with what was measured, and how old the weights are."""
    told = {f"{WEIGHT}{name}": weight for name, weight in weights.items()}
    return Ranker(
        text=trees_text,
        features=statics.features,
        as_of_s=now.as_of_s,
        parameters=parameters,
        metrics={**(metrics or {}), **told, **tell_columns(now.columns), AGE: age_days},
        factors=FactorTable(facts.user_ids, facts.post_ids, now.x, now.y, now.level - now.base),
        made_of=digest(facts, statics),
    )


def _tell(compared: dict[str, list[float]]) -> dict[str, float]:
    """Return what was compared by period, the last one last, as the model keeps it."""
    return {
        f"{COMPARED}{name}_{period}": value
        for name, by_period in compared.items()
        for period, value in enumerate(by_period, estimate.N_PERIODS - len(by_period) + 1)
        if np.isfinite(value)
    }
