"""A LightGBM model's text as arrays, and the decisions of its nodes, exactly as LightGBM takes them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ZERO = float(np.float32(1e-35))  # LightGBM's kZeroThreshold, a float constant widened to double
BELOW_ZERO = float(np.nextafter(-ZERO, -1.0))  # the largest value that is not taken for zero
_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of decision_type; the missing type is in the bits above
_MISSING_ZERO, _MISSING_NAN = 1, 2


class UnfactorableModel(ValueError):
    """The model holds something that cannot be split into sides; the message names it."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree: inner nodes in LightGBM's numbering, children ≥ 0 are nodes, negative are `~leaf`.

    Attributes:
        feature: int64 (nodes,). Column of the model.
        threshold: float64 (nodes,). A numerical node goes left at values ≤ it.
        decision: int64 (nodes,). LightGBM's decision_type.
        left: int64 (nodes,).
        right: int64 (nodes,).
        categories: For each node the categories that go left, ascending; empty for numerical nodes.
        value: float64 (leaves,). Leaf outputs, shrinkage applied.
    """

    feature: Ints
    threshold: Doubles
    decision: Ints
    left: Ints
    right: Ints
    categories: tuple[Ints, ...]
    value: Doubles

    def is_categorical(self, node: int) -> bool:
        """Tell whether the node tests a category set."""
        return bool(self.decision[node] & _CATEGORICAL)

    def goes_left(self, node: int, values: Doubles) -> Bools:
        """Decide the node for float64 values, bool, as `Tree::Decision` in LightGBM's tree.h does."""
        values = np.where(np.abs(values) <= ZERO, 0.0, values)
        if self.is_categorical(node):
            whole = np.where(np.isnan(values) | (np.abs(values) >= 2**31), -1.0, np.trunc(values))
            return np.isin(whole, self.categories[node])
        decision = int(self.decision[node])
        missing = decision >> 2
        absent = np.isnan(values)
        filled = np.where(absent, 0.0, values)
        left: Bools = filled <= self.threshold[node]
        default = bool(decision & _DEFAULT_LEFT)
        if missing == _MISSING_ZERO:
            return np.where(filled == 0.0, default, left)
        if missing == _MISSING_NAN:
            return np.where(absent, default, left)
        return left

    def breaks(self, node: int) -> list[float]:
        """Return values `b` such that the node decides alike for all values within any `(b, next b]`."""
        if not self.is_categorical(node):
            threshold = float(self.threshold[node])
            return [BELOW_ZERO, 0.0, *([threshold] if abs(threshold) > ZERO else [])]
        # A category is the whole part, towards zero: c holds [c, c + 1), and 0 holds (-1, 1).
        below = [float(np.nextafter(c, -1.0)) if c else -1.0 for c in self.categories[node]]
        above = [float(np.nextafter(c + 1.0, 0.0)) for c in self.categories[node]]
        return below + above


@dataclass(frozen=True, slots=True)
class Model:
    """The trees in the order in which LightGBM adds them, and the columns' names."""

    trees: tuple[Tree, ...]
    names: tuple[str, ...]


def parse(model_text: str) -> Model:
    """Read the text that `Booster.model_to_string` writes.

    Raises:
        UnfactorableModel: The model has linear trees, or several trees an iteration (multiclass).
        ValueError: The text is no LightGBM model.
    """
    head, *blocks = model_text.split("\nTree=")
    header = _fields(head)
    if "feature_names" not in header:
        raise ValueError(f"{model_text[:40]!r}… is not the text of a LightGBM model")
    per_iteration = header.get("num_tree_per_iteration", "1")
    if per_iteration != "1":
        raise UnfactorableModel(
            f"the model grows {per_iteration} trees an iteration (multiclass); a ranked list needs one score"
        )
    trees = tuple(_tree(number, _fields(block)) for number, block in enumerate(blocks))
    return Model(trees, tuple(header["feature_names"].split()))


def _fields(block: str) -> dict[str, str]:
    lines = block.split("\nend of trees", 1)[0].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _tree(number: int, fields: dict[str, str]) -> Tree:
    if fields.get("is_linear", "0") != "0":
        raise UnfactorableModel(
            f"tree {number} has linear models in its leaves (linear_tree=true), whose outputs mix the sides; "
            "train with linear_tree=false or score with on_unfactorable='predict'"
        )

    def ints(name: str) -> Ints:
        return np.array(fields.get(name, "").split(), np.int64)

    if int(fields["num_leaves"]) == 1:  # LightGBM may still write empty node arrays
        none = np.zeros(0, np.int64)
        return Tree(none, np.zeros(0), none, none, none, (), _floats(fields["leaf_value"])[:1])
    threshold, decision = _floats(fields["threshold"]), ints("decision_type")
    bounds, words = ints("cat_boundaries"), ints("cat_threshold")
    categories = tuple(
        _members(words[bounds[int(at)] : bounds[int(at) + 1]]) if kind & _CATEGORICAL else ints("")
        for at, kind in zip(threshold, decision, strict=True)
    )
    return Tree(
        ints("split_feature"),
        threshold,
        decision,
        ints("left_child"),
        ints("right_child"),
        categories,
        _floats(fields["leaf_value"]),
    )


def _floats(text: str) -> Doubles:
    return np.array([float(word) for word in text.split()], np.float64)


def _members(words: Ints) -> Ints:
    """List the set bits of 32-bit words, ascending."""
    bits: Sequence[int] = [
        32 * at + bit for at, word in enumerate(words) for bit in range(32) if word >> bit & 1
    ]
    return np.array(bits, np.int64)
