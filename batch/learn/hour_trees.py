"""Effects of hours as trees in LightGBM's own text: whoever predicts by the model has them too.

A tree a group of posts: does the post lie in it, and if so, what is the hour. With 25 leaves a tree's mask
stays one word of the engine.
"""

from collections.abc import Sequence

import lightgbm as lgb
import numpy as np

from batch.arrays import Floats
from batch.features.sides import Feature
from batch.learn.factors.hour_effects import HourEffects

MOST_TREES = 64  # of more groups those whose effects are largest over their posts
_IN_GROUP, _UP_TO = 1, 2  # LightGBM's decision_type: a category; a number, NaN of no kind of its own
_AFTER = "\nend of trees"


def add_hours(text: str, features: Sequence[Feature], hours: HourEffects | None) -> str:
    """Return LightGBM's model with the effects added to its score; the same text where there are none.

    Args:
        text: As `Booster.model_to_string` writes it.
        features: Its columns; the group and `hour` are among them.
        hours: In log-odds.
    """
    if hours is None:
        return text
    names = [feature.name for feature in features]
    columns = names.index(hours.feature), names.index("hour")
    size = np.bincount(hours.group, minlength=len(hours.value)) * (hours.value**2).sum(axis=1)
    groups = np.sort(np.argsort(-size, kind="stable")[:MOST_TREES])
    groups = groups[size[groups] > 0]
    first = lgb.Booster(model_str=text).num_trees()
    trees = [_write(first + k, int(group), hours.value[group], columns) for k, group in enumerate(groups)]
    head, tail = text.split(_AFTER, 1)
    lines = [line for line in head.split("\n") if not line.startswith("tree_sizes=")]
    joined = "\n".join([*lines, *trees]) + _AFTER + tail
    return lgb.Booster(model_str=joined).model_to_string()


def _write(number: int, group: int, value: Floats, columns: tuple[int, int]) -> str:
    """Return the text of one tree: leaf 0 is another group, leaf 1 + h is hour h."""
    n = len(value)
    nodes: list[tuple[int, str, int, int, int]] = []  # feature, threshold, decision, left, right

    def halve(low: int, high: int) -> int:
        """Write the nodes that tell the hours from low up to high apart; return the topmost, or the leaf."""
        if high - low == 1:
            return ~(1 + low)
        at, middle = len(nodes), (low + high) // 2
        nodes.append((0, "", 0, 0, 0))
        left, right = halve(low, middle), halve(middle, high)
        nodes[at] = columns[1], repr(middle - 0.5), _UP_TO, left, right
        return at

    nodes.append((0, "", 0, 0, 0))
    nodes[0] = columns[0], "0", _IN_GROUP, halve(0, n), ~0
    words = [0] * (group // 32) + [1 << group % 32]
    leaves = [0.0, *value.tolist()]
    parts = list(zip(*nodes, strict=True))
    fields = {
        "num_leaves": [n + 1],
        "num_cat": [1],
        "split_feature": parts[0],
        "split_gain": [0] * n,
        "threshold": parts[1],
        "decision_type": parts[2],
        "left_child": parts[3],
        "right_child": parts[4],
        "leaf_value": [repr(one) for one in leaves],
        "leaf_weight": [0] * (n + 1),
        "leaf_count": [0] * (n + 1),
        "internal_value": [0] * n,
        "internal_weight": [0] * n,
        "internal_count": [0] * n,
        "cat_boundaries": [0, len(words)],
        "cat_threshold": words,
        "is_linear": [0],
        "shrinkage": [1],
    }
    body = "\n".join(f"{name}={' '.join(map(str, of))}" for name, of in fields.items())
    return f"Tree={number}\n{body}\n\n"
