"""Posts of like texts or embeddings, found in a forest: never all posts against all posts.

Each tree halves the posts again and again by their place along a random direction, until a leaf is small
enough to compare all in it. So time and memory grow with the posts, however alike their texts are.

Source: Dasgupta and Freund, Random projection trees, STOC 2008.
"""

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

from batch.arrays import Floats32, Ints, Ints32
from batch.learn.similar.nearest import SCALE, no_keys, put, read_rows

N_TREES = 3
LEAF = 1024  # most posts of a leaf, all of which are compared


def unit(space: Floats32) -> Floats32:
    """Return vectors of length 1, float32 of the same shape; of posts without text or embedding, zeros."""
    known = np.nan_to_num(space)
    length = np.sqrt((known * known).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(known, length, out=np.zeros_like(known), where=length > 0), np.float32)


def likeness(one: Floats32, other: Floats32) -> Ints:
    """Return row by row the cosine of vectors of length 1, in whole numbers from 0 to `SCALE`."""
    return _whole(np.einsum("ij,ij->i", one, other))


def find_alike(vectors: Floats32, n: int, seed: int) -> Ints32:
    """Return each post's `n` nearest posts that its leaves hold, nearest first.

    Args:
        vectors: float32 (posts, factors) of length 1; zeros are near to nothing.
        n: Neighbours of a post.
        seed: Of the directions.

    Returns:
        int32 (posts, n), rows of posts, -1 fills; ties to the lower row.
    """
    known = np.flatnonzero(vectors.any(axis=1)) if vectors.shape[1] else np.empty(0, np.int64)
    rng, best = np.random.default_rng(seed), np.full((len(vectors), n), -1, np.int32)
    if len(known) < 2:
        return best
    own = vectors[known]
    keys = no_keys(len(known), n)
    for _ in range(N_TREES):
        for leaf in _leaves(own, rng):
            _keep_nearest(keys, leaf, own[leaf] @ own[leaf].T)
    rows = read_rows(keys, len(known))
    best[known] = np.where(rows < 0, -1, known[rows])
    return best


def _leaves(vectors: Floats32, rng: np.random.Generator) -> Iterator[Ints]:
    """Yield the leaves of one tree, rows ascending; together they hold every row once."""
    waiting = [np.arange(len(vectors))]
    while waiting:
        rows = waiting.pop()
        if len(rows) <= LEAF:
            yield np.sort(rows)
            continue
        along = vectors[rows] @ np.asarray(rng.standard_normal(vectors.shape[1]), np.float32)
        order = np.argsort(along, kind="stable")
        half = len(rows) // 2
        waiting += [rows[order[half:]], rows[order[:half]]]


def _whole(cosines: Floats32) -> Ints:
    return np.asarray(np.rint(np.clip(cosines, 0, 1) * np.float32(SCALE)), np.int64)


@numba.njit(cache=True, nogil=True)
def _keep_nearest(keys: Any, leaf: Any, cosines: Any) -> None:
    """Put what is nearest among the posts of a leaf into their keys."""
    n_posts, last = len(keys), keys.shape[1] - 1
    for i in range(len(leaf)):
        own = keys[leaf[i]]
        least = max(own[last] // n_posts - 1, 0) / SCALE
        for j in range(len(leaf)):
            if cosines[i, j] <= least or i == j:
                continue
            alike = np.int64(np.rint(min(cosines[i, j], np.float32(1)) * np.float32(SCALE)))
            if alike > 0:
                put(own, alike * n_posts + (n_posts - 1 - leaf[j]), n_posts)
                least = max(own[last] // n_posts - 1, 0) / SCALE
