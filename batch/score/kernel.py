"""The inner loops: sums of contiguous rows over tiles of posts, and the posts that may be a user's best."""

import numba as nb
import numpy as np

from batch.score.tables.lanes import int32, lane_max, row_adder
from batch.score.tables.rows import SEEN, TILE, UNSEEN_FLOOR

SETS_AT_ONCE = 16  # their rows of one tile, some 1,500 of 256 bytes, stay in a second-level cache
add_rows, largest = row_adder(int32, TILE), lane_max(TILE)


@nb.njit(cache=True, nogil=True)
def find_candidates(  # type: ignore[no-untyped-def]
    first,
    ids,
    of_layer,
    rows,
    tile_group,
    origin,
    seen_start,
    seen_post,
    place,
    depth,
    slack,
    scores,
    tops,
    found,
):
    """Mark every post that may be among the best `depth` unseen posts of a user in any bucket.

    Args:
        first: The users are `first` to `first + len(found)` of `ids` and `origin`.
        ids: uint16 (groups, sets, users or more). Row numbers.
        of_layer: int64 (layers + 1,). Bounds of each layer's sets.
        rows: int32 (tiles, rows, TILE).
        tile_group: int32 (tiles,).
        origin: int64 (users of the block,). Row of each user in `seen_start`.
        seen_start, seen_post: The posts that each user has seen, as in `SeenRows`.
        place: int32 (posts,). Where each post is.
        depth: Posts in a list.
        slack: Twice the largest error of a score, in units.
        scores: int32 (tiles, users, TILE). On entry what is added to the trees' sum, `SEEN` at padding.
        tops: int32 (users, tiles). Scratch.
        found: uint64 (users, tiles). Gets bit `lane` of each tile's candidates; zeros on entry.
    """
    n_users, n_tiles = found.shape
    for user in range(n_users):
        for at in range(seen_start[origin[first + user]], seen_start[origin[first + user] + 1]):
            where = place[seen_post[at]]
            scores[where // TILE, user, where % TILE] = SEEN
    places, reached = np.empty(n_tiles * TILE, np.int32), np.empty(n_tiles * TILE, np.int32)
    kept, n_kept = np.empty((n_users, depth), np.int32), np.zeros(n_users, np.int64)
    for layer in range(len(of_layer) - 1):
        low, high = of_layer[layer], of_layer[layer + 1]
        if low == high and layer > 0:
            continue  # nothing moves: the candidates are the last bucket's
        for tile in range(n_tiles):
            _add_layer(first, ids, tile_group[tile], low, high, rows, scores, tops, tile)
        for user in range(n_users):
            bar = np.int64(UNSEEN_FLOOR)
            if layer == 0:
                bar = _nth(tops[user], depth, bar)
            elif n_kept[user] == depth:  # the last bucket's best are so many posts: none of them is worse
                bar = _worst(scores, user, kept)
            n = _reaching(max(bar - slack, UNSEEN_FLOOR), tops, scores, user, places, reached)
            bar = _nth(reached[:n], depth, bar)
            n_kept[user] = 0
            for at in range(n):
                if reached[at] >= bar - slack:
                    found[user, places[at] // TILE] |= np.uint64(1) << np.uint64(places[at] % TILE)
                if reached[at] >= bar and n_kept[user] < depth:
                    kept[user, n_kept[user]] = places[at]
                    n_kept[user] += 1


@nb.njit(cache=True, nogil=True)
def _add_layer(first, ids, group, low, high, rows, scores, tops, tile):  # type: ignore[no-untyped-def]
    """Add a layer's rows to the scores of one tile, and keep their maxima."""
    n_users, step = scores.shape[1], ids.shape[2]
    for some in range(low, high, SETS_AT_ONCE):
        n_sets = min(SETS_AT_ONCE, high - some)
        for user in range(n_users):
            at = (group * ids.shape[1] + some) * step + first + user
            out = (tile * n_users + user) * TILE
            add_rows(rows, tile * rows.shape[1] * TILE, TILE, ids, at, step, n_sets, scores, out)
    for user in range(n_users):
        tops[user, tile] = largest(scores, (tile * n_users + user) * TILE)


@nb.njit(cache=True, nogil=True)
def _nth(values, n, low):  # type: ignore[no-untyped-def]
    """Return a number that at least `n` of the values reach, the largest or nearly; `low` if fewer do."""
    high = low + 1
    for at in range(len(values)):
        high = max(high, np.int64(values[at]) + 1)
    while high - low > 1:
        middle = (low + high) >> 1
        bar = np.int32(middle)
        reached = np.int32(0)
        for at in range(len(values)):
            reached += np.int32(values[at] >= bar)
        if reached < n:
            high = middle
        else:
            low = middle
            if reached == n:
                break
    return low


@nb.njit(cache=True, nogil=True)
def _worst(scores, user, kept):  # type: ignore[no-untyped-def]
    worst = scores[kept[user, 0] // TILE, user, kept[user, 0] % TILE]
    for at in range(1, kept.shape[1]):
        worst = min(worst, scores[kept[user, at] // TILE, user, kept[user, at] % TILE])
    return np.int64(worst)


@nb.njit(cache=True, nogil=True)
def _reaching(bar, tops, scores, user, places, reached):  # type: ignore[no-untyped-def]
    """List the places whose score is at least `bar`, and the scores; return how many there are."""
    n = 0
    bar = np.int32(bar)
    for tile in range(tops.shape[1]):
        if tops[user, tile] >= bar:
            for lane in range(TILE):
                places[n] = tile * TILE + lane
                reached[n] = scores[tile, user, lane]
                n += scores[tile, user, lane] >= bar
    return n
