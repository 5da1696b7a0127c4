"""Which posts lie in which tile, and which trees are summed by one row in which layer.

Scores move from bucket to bucket in layers. Layer 0 holds all trees at the first bucket's time; layer `b`
holds the trees in which bucket `b` differs from bucket `b - 1`, and what they add and take away.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batch.score.tables.masks import Words

Ints = npt.NDArray[np.int64]

TILE = 64  # posts summed at once: a row of 64 int32 is four cache lines


@dataclass(frozen=True, slots=True)
class Layout:
    """Posts in tiles of `TILE`, every tile within one group and one topic.

    Attributes:
        post: int32 (tiles × TILE,). Row of the post at each place; -1 is padding.
        place: int32 (posts,). Where each post is.
        group: int32 (tiles,).
        topic: int32 (tiles,).
        tiles: int64 (groups + 1,). Tiles of group `g` are `tiles[g]` to `tiles[g + 1]`.
    """

    post: npt.NDArray[np.int32]
    place: npt.NDArray[np.int32]
    group: npt.NDArray[np.int32]
    topic: npt.NDArray[np.int32]
    tiles: Ints


def lay_out(
    group: npt.NDArray[np.int32], n_groups: int, topic: npt.NDArray[np.int32] | None = None
) -> Layout:
    """Put the posts of each group, and of each topic in it, in their order, into tiles."""
    topic = np.zeros_like(group) if topic is None else topic
    n_topics = int(topic.max(initial=-1)) + 2
    kinds, kind = np.unique(group * np.int64(n_topics) + topic + 1, return_inverse=True)
    sizes = np.bincount(kind, minlength=len(kinds))
    n_tiles = -(-sizes // TILE)
    first = np.cumsum(n_tiles) - n_tiles
    order = np.argsort(kind, kind="stable")
    within = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = np.empty(len(group), np.int32)
    place[order] = first[kind[order]] * TILE + within
    post = np.full(int(n_tiles.sum()) * TILE, -1, np.int32)
    post[place] = np.arange(len(group))
    of_tile = np.repeat(kinds, n_tiles)
    tile_group = (of_tile // n_topics).astype(np.int32)
    tiles = np.searchsorted(tile_group, np.arange(n_groups + 1)).astype(np.int64)
    return Layout(post, place, tile_group, (of_tile % n_topics - 1).astype(np.int32), tiles)


@dataclass(frozen=True, slots=True)
class Sets:
    """Which trees are summed by one row in which layer.

    Attributes:
        start: int64 (sets + 1,). Set `s` has the trees `tree[start[s]:start[s + 1]]`.
        tree: int64. Trees of the sets.
        layer: int64 (sets,).
        of_layer: int64 (layers + 1,). Layer `b` has the sets `of_layer[b]` to `of_layer[b + 1]`.
        plus: uint64 (layers, trees, words). Leaves that a layer adds.
        minus: uint64 (layers, trees, words). Leaves that it takes away.
    """

    start: Ints
    tree: Ints
    layer: Ints
    of_layer: Ints
    plus: Words
    minus: Words

    @property
    def matter(self) -> Words:
        """Return uint64 (layers, trees, words): leaves that tell users apart in a layer."""
        return self.plus ^ self.minus


def layers(times: Words) -> tuple[Words, Words]:
    """Return what each bucket adds and takes away, given the times' masks, uint64 (buckets, trees, words)."""
    minus = np.zeros_like(times)
    minus[1:] = times[:-1]
    return times, minus


def arrange(merged: list[list[list[int]]], plus: Words, minus: Words) -> Sets:
    """Number the merged sets of every layer."""
    flat = [(layer, trees) for layer, sets in enumerate(merged) for trees in sets]
    of_layer = np.concatenate([[0], np.cumsum([len(sets) for sets in merged])]).astype(np.int64)
    return Sets(
        start=np.cumsum([0, *(len(trees) for _, trees in flat)], dtype=np.int64),
        tree=np.array([tree for _, trees in flat for tree in trees], np.int64),
        layer=np.array([layer for layer, _ in flat], np.int64),
        of_layer=of_layer,
        plus=plus,
        minus=minus,
    )
