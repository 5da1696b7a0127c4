"""Exact scores of candidates, float64 summed in LightGBM's order, and how wrong approximate ones can be."""

from dataclasses import dataclass

import numba as nb
import numpy as np
import numpy.typing as npt

from batch.score.caps import choose
from batch.score.tables.masks import Doubles, Words
from batch.score.tables.rows import LARGEST, NO_FLOOR
from batch.score.tables.sets import TILE
from batch.score.tables.simd import allocate_aligned, bit_count, float64, lowest_bit, row_adder

add_24, add_8 = row_adder(float64, 24), row_adder(float64, 8)


@dataclass(frozen=True, slots=True)
class Units:
    """Leaf values as whole numbers of a small unit.

    Attributes:
        leaves: int32 (trees, 64 × words + 1). Zero beyond a tree's leaves.
        size: The unit. Sums of leaves and of the dense part stay within `LARGEST` units.
        slack: Two scores further apart than this many units are in LightGBM's order.
    """

    leaves: npt.NDArray[np.int32]
    size: float
    slack: int

    def scores(self, floors: npt.NDArray[np.int32]) -> Doubles:
        """Return float64: what lies `slack` below these units has a lower score; -inf: `NO_FLOOR`."""
        return np.where(floors == NO_FLOOR, -np.inf, (floors - self.slack / 2) * self.size)


def to_units(values: Doubles, n_words: int, dense_range: float, n_factors: int) -> Units:
    """Choose the unit for float64 (trees, leaves) values and a dense part within ± `dense_range`.

    The error of a score has three parts: the rounding of each tree's leaf and of the dense part to units,
    which `values` shows; the rounding of the dense product, summed in float32 from float32 factors, at most
    `n_factors` + 4 half ulps of its range, and of the float64 one; and that of LightGBM's own float64 sum, at
    most one half ulp of the largest partial sum for each tree.
    """
    largest = float(np.abs(values).max(axis=1, initial=0).sum()) + dense_range
    size = largest / (LARGEST - len(values) - 2) if largest else 1.0
    leaves = np.zeros((len(values), 64 * n_words + 1), np.int32)
    leaves[:, : values.shape[1]] = np.rint(values / size)
    rounded = np.abs(leaves[:, : values.shape[1]] * size - values).max(axis=1, initial=0).sum()
    summed = (len(values) + 4 * (n_factors + 2)) * np.finfo(np.float64).eps * largest
    summed += (n_factors + 4) * np.finfo(np.float32).eps * dense_range
    return Units(leaves, size, 2 * int(np.ceil((rounded + summed) / size + 1)) + 1)


def values_by_bucket(values: Doubles, times: Words) -> Doubles:
    """Return float64 (trees × leaves, buckets): a leaf's value where the time leaves it open, else 0.

    Of the leaves that a user and a post leave open, each bucket's time leaves one: adding their rows adds,
    bucket by bucket, the one value that LightGBM adds, and zeros, which change no sum. Buckets are filled up
    to a multiple of 8.
    """
    n_leaves = values.shape[1]
    leaf = np.arange(n_leaves, dtype=np.uint64)
    is_open = times[:, :, leaf // 64] >> (leaf % np.uint64(64)) & np.uint64(1)
    rows = np.where(np.moveaxis(is_open, 0, 2), values[:, :, None], 0.0).reshape(-1, len(times))
    filled = allocate_aligned((len(rows), len(times) + -len(times) % 8), np.float64)
    filled[:, : len(times)], filled[:, len(times) :] = rows, 0.0
    return filled


@nb.njit(cache=True, nogil=True)
def rank(  # type: ignore[no-untyped-def]
    who, found, user_masks, codes, term_start, term_column, term_offset, bank,
    post_masks, post_of, tile_group, values, n_leaves, x, y, origin, at_first, of_layer,
    topic, most, window, opened, turn_start, floors, posts, scores, is_sure,
):  # fmt: skip
    """Write the users' exact lists.

    Args:
        who: int64 (users,). Places of the users in the block's arrays.
        found: uint64 (users, tiles). Candidates.
        user_masks: uint64 (users of the block, trees, words).
        codes: int32 (groups, columns, users of the block). Classes of the user × group features.
        term_start, term_column, term_offset, bank: Their terms.
        post_masks: uint64 (posts, trees, words).
        post_of: int32 (places,).
        tile_group: int32 (tiles,).
        values: float64 (trees × leaves, buckets), as `values_by_bucket` returns.
        n_leaves: Rows of `values` a tree has.
        x, y: float64 (users, k) and (posts, k): the dense part's factors.
        origin: int64 (users of the block,). Row of each user among all users.
        at_first: Row of the block's first user; it has row 0 in the output.
        of_layer: int64 (buckets + 1,). Bounds of the sets of trees that differ from the bucket before.
        topic, most, window: The cap, as in `Caps`; a `window` of 0: none.
        opened, turn_start: Which posts are candidates in which bucket, as in `Turns`.
        floors: float64 (users, buckets). What is no candidate, and a list could need, is lower.
        posts: int32 (users of the block, buckets, depth). Filled with -1 beyond the candidates.
        scores: float64 of the same shape. Filled with NaN.
        is_sure: bool (users,). Whether no post beside the candidates could have come into a user's lists.
    """
    n_trees, n_words = user_masks.shape[1:]
    n_buckets = values.shape[1]
    leaves = np.empty(len(values) + 2, np.uint64)
    n_most = _count_most(found)
    total, candidates = np.empty((n_most, n_buckets)), np.empty(n_most, np.int32)
    mine = np.empty((n_trees, n_words), np.uint64)
    n_topics = topic.max() + 1 if window and len(topic) else 0
    for user in range(found.shape[0]):
        n, group = 0, -1
        for tile in range(found.shape[1]):
            lanes = found[user, tile]
            if lanes and tile_group[tile] != group:
                group = tile_group[tile]
                _mask_in_group(
                    who[user], group, user_masks, codes, term_start, term_column, term_offset, bank, mine
                )
            while lanes:
                post = post_of[np.uint64(tile * TILE) + lowest_bit(lanes)]
                _sum(mine, post_masks, post, values, n_leaves, leaves, total, n)
                product = 0.0
                for k in range(x.shape[1]):
                    product += x[origin[who[user]], k] * y[post, k]
                if x.shape[1]:
                    for bucket in range(n_buckets):
                        total[n, bucket] += product
                for bucket in range(len(opened)):
                    if not opened[bucket, post]:
                        total[n, bucket] = -np.inf
                candidates[n] = post
                n += 1
                lanes &= lanes - np.uint64(1)
        at = origin[who[user]] - at_first
        is_sure[user] = _select(
            candidates[:n], total[:n], of_layer, topic, n_topics, most, window, len(opened) > 0, turn_start,
            floors[user], posts[at], scores[at],
        )  # fmt: skip


@nb.njit(cache=True, nogil=True)
def _count_most(found):  # type: ignore[no-untyped-def]
    """Return the most candidates that a user has, at least 1."""
    most = 1
    for user in range(found.shape[0]):
        n = 0
        for tile in range(found.shape[1]):
            lanes = found[user, tile]
            while lanes:
                n += 1
                lanes &= lanes - np.uint64(1)
        most = max(most, n)
    return most


@nb.njit(cache=True, nogil=True)
def _mask_in_group(  # type: ignore[no-untyped-def]
    user, group, user_masks, codes, term_start, term_column, term_offset, bank, mine
):
    for tree in range(mine.shape[0]):
        for word in range(mine.shape[1]):
            left = user_masks[user, tree, word]
            for term in range(term_start[tree], term_start[tree + 1]):
                left &= bank[term_offset[term] + codes[group, term_column[term], user], word]
            mine[tree, word] = left


@nb.njit(cache=True, nogil=True)
def _sum(mine, post_masks, post, values, n_leaves, leaves, total, n):  # type: ignore[no-untyped-def]
    """Sum the trees in LightGBM's order, all buckets at once. `leaves` is scratch: rows of `values`."""
    found = np.uint64(0)
    for tree in range(mine.shape[0]):
        for word in range(mine.shape[1]):
            left = mine[tree, word] & post_masks[post, tree, word]
            first = np.uint64(tree * n_leaves + 64 * word)
            after = found + bit_count(left)
            # Most often one or two leaves are open. Both are written without a branch: where there is no
            # second, the next tree overwrites it.
            leaves[found] = first + lowest_bit(left)
            left &= left - np.uint64(1)
            leaves[found + np.uint64(1)] = first + lowest_bit(left)
            while after > found + np.uint64(2):
                found += np.uint64(1)
                left &= left - np.uint64(1)
                leaves[found + np.uint64(1)] = first + lowest_bit(left)
            found = after
    width = total.shape[1]
    for bucket in range(width):
        total[n, bucket] = 0.0
    at = 0
    while at + 24 <= width:
        add_24(values, at, width, leaves, 0, 1, found, total, n * width + at)
        at += 24
    while at < width:
        add_8(values, at, width, leaves, 0, 1, found, total, n * width + at)
        at += 8


@nb.njit(cache=True, nogil=True)
def _select(  # type: ignore[no-untyped-def]
    candidates, total, of_layer, topic, n_topics, most, window, closes, turn_start, floors, posts, scores
):
    """Keep each bucket's best by insertion, starting from the order of the bucket before, which is near.

    Under a cap all are put in order, and the list is chosen from them. Where posts close, those that are
    closed have a `total` of -inf: they come last, and into no list. Returns whether all lists are sure.
    """
    n, depth = len(candidates), posts.shape[1]
    n_kept = n if window else depth
    order, keys = np.arange(n), np.empty(n_kept)
    ranked, chosen = np.empty(n, np.int32), np.arange(depth)
    after, recent = np.empty(n + 1, np.int64), np.zeros(n_topics, np.int64)
    is_sure = True
    for bucket in range(posts.shape[0]):
        same = of_layer[bucket] == of_layer[bucket + 1] and turn_start[bucket] == turn_start[bucket + 1]
        if bucket > 0 and same:  # no tree differs, no post opens or closes
            for place in range(depth):  # setting one array to another compiles for three seconds
                posts[bucket, place], scores[bucket, place] = (
                    posts[bucket - 1, place],
                    scores[bucket - 1, place],
                )
            continue
        for at in range(n):
            new, key, place = order[at], total[order[at], bucket], at
            if at >= n_kept:
                last = order[n_kept - 1]
                if not _before(key, candidates[new], keys[n_kept - 1], candidates[last]):
                    continue
                order[at], place = last, n_kept - 1
            while place > 0 and _before(key, candidates[new], keys[place - 1], candidates[order[place - 1]]):
                order[place], keys[place] = order[place - 1], keys[place - 1]
                place -= 1
            order[place], keys[place] = new, key
        n_open = n
        if closes:
            for at in range(n):
                n_open -= total[at, bucket] == -np.inf
        if window:
            for at in range(n):
                ranked[at] = candidates[order[at]]
            n_forced = choose(ranked, n_open, topic, most, window, after, recent, chosen)
            is_sure = is_sure and (floors[bucket] == -np.inf or (n_forced == 0 and n_open >= depth))
        for place in range(min(n_open, depth)):
            posts[bucket, place] = candidates[order[chosen[place]]]
            scores[bucket, place] = keys[chosen[place]]
            is_sure = is_sure and keys[chosen[place]] >= floors[bucket]
        posts[bucket, n_open:], scores[bucket, n_open:] = -1, np.nan
    return is_sure


@nb.njit(cache=True, nogil=True)
def _before(score, post, other_score, other_post):  # type: ignore[no-untyped-def]
    return score > other_score or (score == other_score and post < other_post)
