"""Trees split by side: which leaves a user's, a post's, a time's answers leave open, as bit masks.

A node answered `left` closes the leaves of its right subtree, and the reverse. A side's mask of a tree holds
the leaves that all its answers leave open. One leaf is open on every side: the one that LightGBM reaches.
Values enter as classes: a feature's values between two neighbouring thresholds of the model are alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from batch.features.sides import Feature, Side
from batch.score.tables.trees import ZERO, Model, Tree, UnfactorableModel

Codes = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]
Doubles = npt.NDArray[np.float64]
SIDES: tuple[Side, ...] = ("user", "post", "time", "user_group")


@dataclass(frozen=True, slots=True)
class Terms:
    """One side's part of every tree; tree `t` has the terms `start[t]` to `start[t + 1]`.

    Attributes:
        start: int64 (trees + 1,).
        column: int64 (terms,). Column within the side.
        offset: int64 (terms,). Row of `Factors.bank` that holds the mask of the column's class 0.
        breaks: float64, ascending within a column. Class `k` of a column is `(break k - 1, break k]`; then
            come the class above all breaks and the class of NaN.
        bounds: int64 (columns + 1,). Where each column's breaks lie.
    """

    start: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    breaks: Doubles
    bounds: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Factors:
    """A model split by side.

    Attributes:
        bank: uint64 (rows, words). Masks of the terms' classes; bit `l` of the words is leaf `l`.
        every: uint64 (trees, words). All leaves of each tree.
        sides: The terms of each side.
        values: float64 (trees, leaves). Leaf outputs, 0 beyond a tree's leaves.
    """

    bank: Words
    every: Words
    sides: dict[Side, Terms]
    values: Doubles


def factor(model: Model, features: Sequence[Feature]) -> Factors:
    """Split every tree by side.

    Raises:
        UnfactorableModel: The model splits on a feature that `features` does not hold at its column, or whose
            side is unknown.
    """
    places = _places(features)
    _check(model, features)
    n_leaves = max((len(tree.value) for tree in model.trees), default=1)
    values = np.zeros((len(model.trees), n_leaves))
    for number, tree in enumerate(model.trees):
        values[number, : len(tree.value)] = tree.value
    breaks = _breaks(model, len(features))
    parts: dict[Side, list[list[tuple[int, int]]]] = {side: [[] for _ in model.trees] for side in SIDES}
    bank: list[Words] = []
    n_rows, n_words = 0, -(-n_leaves // 64)
    for number, tree in enumerate(model.trees):
        kept = _open_after(tree, n_words)
        for feature in np.unique(tree.feature).tolist():
            side, column = places[feature]
            parts[side][number].append((column, n_rows))
            bank.append(_class_masks(tree, feature, breaks[feature], kept))
            n_rows += len(bank[-1])
    sides = {
        side: _terms(parts[side], [breaks[k] for k, at in enumerate(places) if at[0] == side])
        for side in SIDES
    }
    every = np.array([_words((1 << len(tree.value)) - 1, n_words) for tree in model.trees])
    return Factors(np.concatenate([np.zeros((0, n_words), np.uint64), *bank]), every, sides, values)


def _places(features: Sequence[Feature]) -> list[tuple[Side, int]]:
    """Return each feature's side and its column within the side."""
    counts = dict.fromkeys(SIDES, 0)
    places: list[tuple[Side, int]] = []
    for feature in features:
        if feature.side not in counts:
            raise UnfactorableModel(
                f"feature {feature.name!r} is of side {feature.side!r}, which is none of {', '.join(SIDES)}"
            )
        places.append((feature.side, counts[feature.side]))
        counts[feature.side] += 1
    return places


def _check(model: Model, features: Sequence[Feature]) -> None:
    """Refuse a model whose split features are not the sides' features, column by column."""
    used = sorted({column for tree in model.trees for column in tree.feature.tolist()})
    for column in used:
        name = model.names[column]
        given = features[column].name.replace(" ", "_") if column < len(features) else "nothing"
        if given != name and name != f"Column_{column}":
            raise UnfactorableModel(
                f"the model splits on feature {name!r} in column {column}, where the sides hold {given!r}: "
                "it belongs to no user, post, time or group"
            )
        if column >= len(features):
            raise UnfactorableModel(
                f"the model splits on column {column}, the sides hold {len(features)} features"
            )


def _breaks(model: Model, n_features: int) -> list[Doubles]:
    found: list[set[float]] = [set() for _ in range(n_features)]
    for tree in model.trees:
        for node, feature in enumerate(tree.feature.tolist()):
            found[feature].update(tree.breaks(node))
    return [np.array(sorted(some), np.float64) for some in found]


def _open_after(tree: Tree, n_words: int) -> list[tuple[Words, Words]]:
    """Return for each node the leaves open after `left` and after `right`, uint64 (words,) each."""
    below: dict[int, int] = {~leaf: 1 << leaf for leaf in range(len(tree.value))}
    for node in reversed(range(len(tree.feature))):  # LightGBM numbers a node after its parent
        below[node] = below[int(tree.left[node])] | below[int(tree.right[node])]
    every = (1 << len(tree.value)) - 1
    return [
        (_words(every ^ below[int(right)], n_words), _words(every ^ below[int(left)], n_words))
        for left, right in zip(tree.left, tree.right, strict=True)
    ]


def _words(leaves: int, n_words: int) -> Words:
    return np.array([leaves >> 64 * word & (1 << 64) - 1 for word in range(n_words)], np.uint64)


def _class_masks(tree: Tree, feature: int, breaks: Doubles, kept: list[tuple[Words, Words]]) -> Words:
    """Return uint64 (classes, words): the leaves that each class of the feature leaves open in the tree."""
    members = np.concatenate([breaks, [np.inf, np.nan]])  # one value of every class
    masks = np.full((len(members), len(kept[0][0])), ~np.uint64(0))
    for node in np.flatnonzero(tree.feature == feature).tolist():
        left, right = kept[node]
        masks &= np.where(tree.goes_left(node, members)[:, None], left, right)
    return masks


def _terms(parts: list[list[tuple[int, int]]], breaks: list[Doubles]) -> Terms:
    flat = np.array([term for tree in parts for term in tree], np.int64).reshape(-1, 2)
    return Terms(
        np.cumsum([0, *map(len, parts)], dtype=np.int64),
        np.ascontiguousarray(flat[:, 0]),
        np.ascontiguousarray(flat[:, 1]),
        np.concatenate([np.zeros(0), *breaks]),
        np.cumsum([0, *map(len, breaks)], dtype=np.int64),
    )


def encode(terms: Terms, values: npt.NDArray[np.float32]) -> Codes:
    """Return the classes of a side's float32 (n, columns) values, int32 of the same shape."""
    codes = np.empty(values.shape, np.int32)
    _encode(np.ascontiguousarray(values, np.float32), terms.breaks, terms.bounds, codes)
    return codes


def masks(factors: Factors, side: Side, codes: Codes) -> Words:
    """Return uint64 (n, trees, words): the leaves that each row of classes leaves open in every tree."""
    terms = factors.sides[side]
    out = np.empty((len(codes), len(terms.start) - 1, factors.bank.shape[1]), np.uint64)
    _masks(codes, terms.start, terms.column, terms.offset, factors.bank, factors.every, out)
    return out


@nb.njit(cache=True, nogil=True)
def _encode(values, breaks, bounds, codes):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        for k in range(values.shape[1]):
            value = np.float64(values[i, k])
            low, high = bounds[k], bounds[k + 1]
            if np.isnan(value):
                codes[i, k] = high - low + 1
                continue
            if abs(value) <= ZERO:
                value = np.float64(0.0)
            while low < high:  # the first break ≥ value
                middle = (low + high) >> 1
                if breaks[middle] < value:
                    low = middle + 1
                else:
                    high = middle
            codes[i, k] = low - bounds[k]


@nb.njit(cache=True, nogil=True)
def _masks(codes, start, column, offset, bank, every, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        for tree in range(out.shape[1]):
            for word in range(out.shape[2]):
                open_leaves = every[tree, word]
                for term in range(start[tree], start[tree + 1]):
                    open_leaves &= bank[offset[term] + codes[i, column[term]], word]
                out[i, tree, word] = open_leaves
