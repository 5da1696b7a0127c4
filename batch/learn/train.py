"""Facts to the published model: estimates of users' tastes, and trees on top of what they leave."""

from collections.abc import Callable

import numpy as np

from api.contract.buckets import DAY_S
from batch.data.facts import Facts
from batch.features.asof import Rows, Statics
from batch.learn.factors import estimate, trees
from batch.learn.factors.by_id import Factors
from batch.learn.factors.estimate import Estimates
from batch.learn.ranker import Ranker, check_labels, parameters_for
from batch.learn.recipe import Recipe


def training_rows(facts: Facts, known: Statics, estimates: Estimates, recipe: Recipe) -> Rows:
    """Return the impressions that train the trees.

    Raises:
        ValueError: There are none, or all of them have the same label.
    """
    begin_s = estimates.now.as_of_s + 1 - recipe.train_days * DAY_S
    rng = np.random.default_rng(recipe.seed)
    rows = trees.rows(facts, known, estimates, recipe.width_s, recipe.train_rows, rng, begin_s)
    check_labels(rows)
    return rows


def learn(
    facts: Facts,
    known: Statics,
    estimates: Estimates,
    rows: Rows,
    recipe: Recipe,
    metrics: dict[str, float] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Ranker:
    """Train the trees on the estimates' last periods; return both parts as one model.

    Args:
        facts: Events, as given to `estimate.fit`.
        known: What does not change with time.
        estimates: The additive part, now and before.
        rows: What `training_rows` returned.
        recipe: Sizes and seed.
        metrics: What the evaluation measured; the weight of each part is put beside it.
        progress: Called with 1 after each tree.
    """
    parameters = parameters_for(len(rows.y), recipe.n_leaves, recipe.seed, recipe.threads)
    fitted = trees.fit_trees(rows, estimates, known.features, parameters, recipe.n_trees, progress)
    weights = {**estimates.weights, "trees": fitted.share}
    now = estimates.now
    return Ranker(
        text=fitted.booster.model_to_string(),
        features=known.features,
        as_of_s=now.as_of_s,
        parameters={**parameters, "num_iterations": fitted.booster.num_trees()},
        metrics={**(metrics or {}), **{f"weight_{name}": weight for name, weight in weights.items()}},
        factors=Factors(facts.user_ids, facts.post_ids, now.x, now.y, now.level - now.base),
    )


def trained(facts: Facts, known: Statics, as_of_s: int, recipe: Recipe) -> Ranker:
    """Estimate and learn in one, from what lies up to a moment.

    Raises:
        ValueError: That cannot train a model.
    """
    estimates = estimate.fit(facts, known.texts, as_of_s, recipe.seed)
    return learn(facts, known, estimates, training_rows(facts, known, estimates, recipe), recipe)
