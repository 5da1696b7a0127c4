"""The inner loops: sums of contiguous rows over tiles of posts, and the posts that may be a user's best."""

import numba as nb
import numpy as np

from batch.score.tables.rows import SEEN, UNSEEN_FLOOR
from batch.score.tables.sets import TILE
from batch.score.tables.simd import int32, row_adder

USERS_AT_ONCE = 128
SETS_AT_ONCE = 16  # their rows of one tile, some 1,500 of 256 bytes, stay in a second-level cache
add_rows, add_rows_telling = row_adder(int32, TILE), row_adder(int32, TILE, tells=True)


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
    x,
    y,
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
        seen_start, seen_post: The posts that each user has seen, as in `SeenPosts`.
        place: int32 (posts,). Where each post is.
        depth: Posts in a list.
        slack: Twice the largest error of a score, in units.
        x: float32 (all users, k). Factors of the dense part.
        y: float32 (tiles, k, TILE). The posts', in units of scores.
        scores: int32 (tiles, users, TILE). On entry zeros, and `SEEN` at padding.
        tops: int32 (users, tiles). Scratch.
        found: uint64 (users, tiles). Gets bit `lane` of each tile's candidates; zeros on entry.
    """
    n_users, n_tiles = found.shape
    if y.shape[1]:
        for tile in range(n_tiles):
            _add_dense(first, origin, x, y, tile, scores)
    for user in range(n_users):
        for at in range(seen_start[origin[first + user]], seen_start[origin[first + user] + 1]):
            where = place[seen_post[at]]
            scores[where // TILE, user, where % TILE] = SEEN
    places, reached = np.empty(n_tiles * TILE, np.int32), np.empty(n_tiles * TILE, np.int32)
    kept, n_kept = np.empty((n_users, depth), np.int32), np.zeros(n_users, np.int64)
    for tile in range(n_tiles):
        _add_layer(
            first, ids, tile_group[tile], of_layer[0], of_layer[1], rows, scores, tops, tile, 0, n_users
        )
    for at in range((n_users + USERS_AT_ONCE - 1) // USERS_AT_ONCE * (len(of_layer) - 1)):
        some, layer = at // (len(of_layer) - 1) * USERS_AT_ONCE, at % (len(of_layer) - 1)
        low, high = of_layer[layer], of_layer[layer + 1]
        if low == high and layer > 0:
            continue  # nothing moves: the candidates are the last bucket's
        after = min(some + USERS_AT_ONCE, n_users)
        if layer > 0:
            for tile in range(n_tiles):
                _add_layer(first, ids, tile_group[tile], low, high, rows, scores, tops, tile, some, after)
        for user in range(some, after):
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
def _add_dense(first, origin, x, y, tile, scores):  # type: ignore[no-untyped-def]
    """Add the product of the users' and the posts' factors to the scores of one tile."""
    sums = np.empty(TILE, np.float32)
    for user in range(scores.shape[1]):
        sums[:] = 0
        for k in range(y.shape[1]):
            factor = x[origin[first + user], k]
            for lane in range(TILE):
                sums[lane] += factor * y[tile, k, lane]
        for lane in range(TILE):
            scores[tile, user, lane] += np.int32(np.rint(sums[lane]))


@nb.njit(cache=True, nogil=True)
def _add_layer(first, ids, group, low, high, rows, scores, tops, tile, first_user, after_user):  # type: ignore[no-untyped-def]
    """Add a layer's rows to the scores of one tile, and keep their maxima."""
    n_users, step, base = scores.shape[1], ids.shape[2], tile * rows.shape[1] * TILE
    while high - low > SETS_AT_ONCE:
        for user in range(first_user, after_user):
            at, out = (group * ids.shape[1] + low) * step + first + user, (tile * n_users + user) * TILE
            add_rows(rows, base, TILE, ids, at, step, SETS_AT_ONCE, scores, out)
        low += SETS_AT_ONCE
    for user in range(first_user, after_user):
        at, out = (group * ids.shape[1] + low) * step + first + user, (tile * n_users + user) * TILE
        tops[user, tile] = add_rows_telling(rows, base, TILE, ids, at, step, high - low, scores, out)


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
