"""A model over one set of posts and buckets, made ready for blocks of users."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from batch.features.sides import Sides
from batch.score.exact import Units, to_units, values_by_bucket
from batch.score.predict import Dense
from batch.score.tables.masks import Codes, Doubles, Factors, Words, encode, factor, masks
from batch.score.tables.merge import Ids, merge, number_distinct
from batch.score.tables.sets import TILE, Layout, Sets, arrange, lay_out, layers
from batch.score.tables.trees import parse

SAMPLE, GROUPS = 2_048, 4  # users and groups on whom trees are merged
# Rows a group within the sample; measured on 163,205 users, see docs/decisions/0011.
ROWS_OF_SET = 128
ROWS_FOR_A_SUM = (30, 10, 0)
TREES_AT_ONCE = 256  # trees among which pairs are compared


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """What every block of users is scored with.

    Attributes:
        factors: The model, split by side.
        layout: Posts in tiles.
        units: Leaf values as whole numbers.
        values: float64 (trees × leaves, buckets), leaf values by bucket.
        post_masks: uint64 (posts, trees, words).
        masks_by_tile: uint64 (words, trees, places). The same, in tiles; 0 at padding.
        open_leaves: uint64 (groups, trees, words). Leaves that some post of the group leaves open.
        sets: Which trees share rows.
        class_of: int32 (sets, user × group columns, classes). Numbers of the classes that some tree of the
            set tells apart, times the column's stride.
        tested: bool (sets, columns). Whether some tree of the set tests the column.
        n_classes: int64 (sets,). How many combinations of them there are.
        dense: Factors float64 (users, k) and (posts, k); k is 0 where there is no dense part.
        dense_by_tile: float32 (users, k) and (tiles, k, TILE), whose product is that of `dense` in units;
            0 at padding.
    """

    factors: Factors
    layout: Layout
    units: Units
    values: Doubles
    post_masks: Words
    masks_by_tile: Words
    open_leaves: Words
    sets: Sets
    class_of: Codes
    tested: npt.NDArray[np.bool_]
    n_classes: npt.NDArray[np.int64]
    dense: tuple[Doubles, Doubles]
    dense_by_tile: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

    @property
    def n_groups(self) -> int:
        """Return how many groups the posts are in."""
        return len(self.open_leaves)

    @property
    def nbytes(self) -> int:
        """Return the bytes that all this takes."""
        arrays = (self.values, self.post_masks, self.masks_by_tile, self.factors.bank, self.class_of)
        return sum(some.nbytes for some in arrays)


def compile_model(
    model_text: str,
    sides: Sides,
    dense: Dense | None = None,
    memory_mb: int = 2048,
    topic: Codes | None = None,
) -> CompiledModel:
    """Split the model by side and choose what is merged, so that the tables fit `memory_mb`.

    With `topic`, int32 (posts,), no tile has posts of several topics.

    Raises:
        UnfactorableModel: The model cannot be split; the message names what stands in the way.
    """
    factors = factor(parse(model_text), sides.features)
    times = masks(factors, "time", encode(factors.sides["time"], sides.time))
    # Leaves that the time closes in every bucket are never reached: none of the masks holds them.
    factors = replace(factors, every=np.bitwise_or.reduce(times, axis=0))
    n_groups = int(sides.group.max(initial=0)) + 1
    layout = lay_out(sides.group, n_groups, topic)
    post_masks = masks(factors, "post", encode(factors.sides["post"], sides.post))
    n_words = post_masks.shape[2]
    placed = np.zeros((n_words, post_masks.shape[1], len(layout.post)), np.uint64)
    placed[:, :, layout.place] = post_masks.transpose(2, 1, 0)
    open_leaves = np.zeros((n_groups, *post_masks.shape[1:]), np.uint64)
    for group in range(n_groups):
        open_leaves[group] = np.bitwise_or.reduce(post_masks[sides.group == group], axis=0)
    rows_at_hand = memory_mb * 2**19 // (4 * len(layout.post) + 1)  # tables get about half of the memory
    sets = _merge_trees(factors, sides, open_leaves, times, rows_at_hand)
    x, y = (
        dense
        if dense is not None
        else (np.zeros((len(sides.user_ids), 0)), np.zeros((len(sides.post_ids), 0)))
    )
    units = to_units(factors.values, n_words, bound_products(x, y), x.shape[1])
    return CompiledModel(
        factors,
        layout,
        units,
        values_by_bucket(factors.values, times),
        post_masks,
        placed,
        open_leaves,
        sets,
        *_classes(factors, sets),
        (np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y, np.float64)),
        _place_dense(x, y, layout, units),
    )


def bound_products(x: Doubles, y: Doubles) -> float:
    """Return a bound on the sum of the absolute products of any user's and any post's factors.

    The lower of two bounds: by the longest rows, and by the largest values of each factor. Where a factor of
    large values meets small ones, the second is a hundred times lower, and so is what may tie by rounding.
    """
    by_rows = np.linalg.norm(x, axis=1).max(initial=0) * np.linalg.norm(y, axis=1).max(initial=0)
    return min(float(by_rows), float(np.abs(x).max(axis=0, initial=0) @ np.abs(y).max(axis=0, initial=0)))


def _place_dense(
    x: Doubles, y: Doubles, layout: Layout, units: Units
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the dense factors as `CompiledModel.dense_by_tile`; scaled, so that float32 holds both."""
    scale = float(np.abs(x).max(initial=0)) or 1.0
    placed = np.zeros((len(layout.post), y.shape[1]), np.float32)
    placed[layout.place] = y * (scale / units.size)
    tiled = placed.reshape(len(layout.post) // TILE, TILE, y.shape[1]).swapaxes(1, 2)
    return (x / scale).astype(np.float32), np.ascontiguousarray(tiled)


def _merge_trees(factors: Factors, sides: Sides, open_leaves: Words, times: Words, rows_at_hand: int) -> Sets:
    """Merge each layer's trees at the highest price whose rows take no more than half of those at hand."""
    plus, minus = layers(times)
    key, n_groups = _sample_masks(factors, sides, open_leaves)
    parts: list[tuple[int, npt.NDArray[np.int64], Ids]] = []  # layer, trees, ids
    for layer, matter in enumerate(plus ^ minus):
        changed = np.flatnonzero(matter.any(axis=1))
        for low in range(0, len(changed), TREES_AT_ONCE):
            trees = changed[low : low + TREES_AT_ONCE]
            named = [np.column_stack([key[:, 0, :1], key[:, 1 + tree] & matter[tree]]) for tree in trees]
            parts.append((layer, trees, np.array([number_distinct(some) for some in named])))
    merged: list[list[list[int]]] = []
    for price in ROWS_FOR_A_SUM:
        merged, rows = [[] for _ in plus], 0
        for layer, trees, ids in parts:
            sets, n_rows = merge(ids, ROWS_OF_SET * n_groups, price * n_groups)
            merged[layer] += [trees[members].tolist() for members in sets]
            rows += n_rows
        if rows <= n_groups * rows_at_hand / 2:
            break
    return arrange(merged, plus, minus)


def _sample_masks(factors: Factors, sides: Sides, open_leaves: Words) -> tuple[Words, int]:
    """Return the masks of users spread over all, in some groups from the largest to the smallest.

    Returns:
        uint64 (samples, 1 + trees, words), of which the first holds the group; and the number of groups.
    """
    some = np.linspace(0, len(sides.user_ids) - 1, min(SAMPLE, len(sides.user_ids))).astype(np.int64)
    by_size = np.argsort(-np.bincount(sides.group, minlength=1), kind="stable")
    groups = np.unique(by_size[np.linspace(0, len(by_size) - 1, GROUPS).astype(int)])
    user = masks(factors, "user", encode(factors.sides["user"], sides.user[some]))
    parts: list[Words] = []
    for group in groups.tolist():
        of_group = encode(factors.sides["user_group"], sides.user_group[:, some, group].T)
        key = user & masks(factors, "user_group", of_group) & open_leaves[group]
        parts.append(np.concatenate([np.full_like(key[:, :1], group), key], axis=1))
    return np.concatenate(parts), len(groups)


def _classes(factors: Factors, sets: Sets) -> tuple[Codes, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Number, for each set and user × group column, the classes that some tree of the set tells apart."""
    terms = factors.sides["user_group"]
    sizes = np.diff(terms.bounds) + 2
    class_of = np.zeros((len(sets.layer), len(sizes), int(sizes.max(initial=1))), np.int32)
    n_classes = np.ones(len(sets.layer), np.int64)
    matter = sets.matter
    for number, layer in enumerate(sets.layer.tolist()):
        found: dict[int, list[Words]] = {}
        for tree in sets.tree[sets.start[number] : sets.start[number + 1]].tolist():
            for term in range(int(terms.start[tree]), int(terms.start[tree + 1])):
                column, at = int(terms.column[term]), int(terms.offset[term])
                words = factors.bank[at : at + sizes[column]] & matter[layer, tree]
                found.setdefault(column, []).append(words)
        for column, some in found.items():
            ids = number_distinct(np.concatenate(some, axis=1))
            if n_classes[number] * (int(ids.max()) + 1) < 2**31:
                class_of[number, column, : len(ids)] = ids * n_classes[number]
            n_classes[number] = min(int(n_classes[number]) * (int(ids.max()) + 1), 2**31)
    return class_of, np.asarray(class_of.any(axis=2)), n_classes
