"""What was chosen to be published, as a model's metrics keep it, and in words."""

from collections.abc import Mapping

import numpy as np

from batch.learn.factors.names import HOURS, NAMES, OF_CHOICES

COMPARED, WEIGHT = (
    "compared_",
    "weight_",
)  # begin the metrics that tell; a name follows, of the first a period
TREES = "trees"  # their share stands among the weights
COLUMNS, VERSION = "columns_", 1  # begins metrics that tell whose the factors' columns are; in which way
PLAIN = {
    "liked_by_many_lately": "recency",
    "post": "popularity",
    "post_lately": "recency",
    "liked_near": "item-kNN",
}
EVERYBODYS = {
    "post",
    "post_lately",
    "liked_by_many_lately",
    "taken_by_many_lately",
    HOURS,
}  # one order for all


def weights_of(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the weights above 0 of a model's parts, and the trees' share, by name."""
    return {
        name.removeprefix(WEIGHT): value
        for name, value in metrics.items()
        if name.startswith(WEIGHT) and value > 0
    }


def tell_columns(columns: Mapping[str, int]) -> dict[str, float]:
    """Return as metrics how many of the factors' columns are each component's, in the order of `NAMES`.

    >>> tell_columns({"post": 1, "taste": 4})
    {'columns_version': 1.0, 'columns_post': 1.0, 'columns_taste': 4.0}
    """
    own = {f"{COLUMNS}{name}": float(columns[name]) for name in NAMES if name in columns}
    return {f"{COLUMNS}version": float(VERSION), **own}


def columns_of(metrics: Mapping[str, float]) -> dict[str, int]:
    """Return what `tell_columns` told; empty for a model that does not tell, or tells it in another way."""
    if metrics.get(f"{COLUMNS}version") != VERSION:
        return {}
    return {name: int(metrics[COLUMNS + name]) for name in NAMES if COLUMNS + name in metrics}


def is_personal(metrics: Mapping[str, float]) -> bool:
    """Return whether users may get posts in orders of their own; so does a model whose metrics do not tell.

    >>> is_personal({"weight_post": 1.0, "weight_trees": 0.0}), is_personal({"weight_trees": 0.5})
    (False, True)
    """
    told = any(name.startswith(WEIGHT) for name in metrics)
    return not told or bool(weights_of(metrics).keys() - EVERYBODYS)


def compared_of(metrics: Mapping[str, float]) -> dict[str, dict[int, float]]:
    """Return what a model was chosen among: name to what it was worth by period, the last one last."""
    found: dict[str, dict[int, float]] = {}
    for name, value in metrics.items():
        if name.startswith(COMPARED):
            what, _, period = name.removeprefix(COMPARED).rpartition("_")
            found.setdefault(what, {})[int(period)] = value
    return {name: dict(sorted(by_period.items())) for name, by_period in found.items()}


def describe_choice(metrics: Mapping[str, float]) -> str:
    """Return in one sentence what is published, beside the best of its parts alone.

    Figures are means over the periods that judged: NDCG@10 of lists where users chose, AUC in session where a
    feed showed the posts. Empty for a model whose metrics do not tell, such as a peer or one that was given.

    >>> describe_choice({"weight_post": 1.0, "compared_post_1": 0.52, "compared_stack_1": 0.51,
    ...                  "compared_estimate_1": 0.52, "weight_trees": 0.0})
    'nothing beats popularity alone: it is published, without trees; AUC .520, all parts together .510'
    """
    compared, weights = compared_of(metrics), weights_of(metrics)
    if "estimate" not in compared:
        return ""
    worth = {name: float(np.mean([*by_period.values()])) for name, by_period in compared.items()}
    parts = [name for name in weights if name != TREES]
    alone = {name: value for name, value in worth.items() if name in NAMES}
    if not parts:
        what, beside = "no part tells what is liked later: none is published", ""
    elif len(parts) == 1:
        what = f"nothing beats {_word(parts[0])} alone: it is published"
        beside = f", all parts together {_figure(worth['stack'])}"
    else:
        best = max(alone, key=lambda name: alone[name])
        what = f"{', '.join(map(_word, parts[:-1]))} and {_word(parts[-1])} are published together"
        beside = f", the best part alone, {_word(best)}, {_figure(alone[best])}"
    trees = f"with {weights[TREES]:.2g} of what trees say" if TREES in weights else "without trees"
    measure = "NDCG@10" if alone.keys() & set(OF_CHOICES) else "AUC"
    return f"{what}, {trees}; {measure} {_figure(worth['estimate'])}{beside}"


def _word(name: str) -> str:
    return PLAIN.get(name, name.replace("_", " "))


def _figure(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
