"""Does each feature still look like what the model was trained on? Its text remembers every range."""

import re
from collections.abc import Mapping

import numpy as np

from batch.arrays import AnyFloats
from batch.features.sides import Feature

MARGIN = 0.5  # of the range's width: counts and ages of posts go on growing after the last training day


def trained_ranges(model: str) -> list[tuple[float, float] | frozenset[int] | None]:
    """Return what LightGBM's text says of each feature: range, categories, or None where no tree tests it.

    >>> trained_ranges("feature_infos=[0.5:3] 0:2:1 none [0:1]\\nsplit_feature=0 1 0")
    [(0.5, 3.0), frozenset({0, 1, 2}), None, None]
    """
    line = re.search(r"^feature_infos=(.*)$", model, re.MULTILINE)
    splits = re.findall(r"^split_feature=(.*)$", model, re.MULTILINE)
    tested = {int(number) for some in splits for number in some.split()}
    infos = line.group(1).split() if line else []
    return [_info(text) if k in tested else None for k, text in enumerate(infos)]


def shares_outside(
    features: tuple[Feature, ...], values: Mapping[str, AnyFloats], model: str
) -> dict[str, float]:
    """Return for each feature which share of its values, missing ones aside, lies far outside its training.

    What grows with the days may lie above its training, never below.

    Args:
        features: The model's columns, in its order.
        values: Feature to its values, any shape; features without values are passed over.
        model: LightGBM's text.
    """
    found = {}
    for feature, trained in zip(features, trained_ranges(model), strict=False):
        if feature.name not in values or trained is None:
            continue
        some = values[feature.name]
        some = some[~np.isnan(some)]
        if not len(some):
            continue
        if isinstance(trained, frozenset):
            far = ~np.isin(some, list(trained))
        else:
            low, high = trained
            margin = MARGIN * (high - low)
            far = some < low - margin
            if not feature.grows:
                far |= some > high + margin
        found[feature.name] = float(far.mean())
    return found


def _info(text: str) -> tuple[float, float] | frozenset[int] | None:
    if text == "none":
        return None
    if text.startswith("["):
        low, high = text.strip("[]").split(":")
        return float(low), float(high)
    return frozenset(int(code) for code in text.split(":"))
