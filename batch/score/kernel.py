"""The inner loops: a user's approximate scores of all posts, and the posts that may be among the user's best.

Scores are whole numbers, the leaf values rounded to a small unit, so each is wrong by a known error at most.
A score at the first bucket is the sum of one table row a set of trees; from each bucket to the next only the
sets whose trees ask for the time are added, as differences. In each bucket the `depth`-th best score is
found: posts that reach it, or lie below it by no more than two errors, are candidates. `batch.score.exact`
sums their scores anew, exactly.
"""

import numba as nb
import numpy as np

from batch.score.tables.rows import NO_FLOOR, SEEN, UNSEEN_FLOOR
from batch.score.tables.sets import TILE
from batch.score.tables.simd import int32, row_adder

USERS_AT_ONCE = 128
SETS_AT_ONCE = 16  # so the rows added of one tile, about 1,500 of 256 bytes, stay in the second-level cache
add_rows, add_rows_with_max = row_adder(int32, TILE), row_adder(int32, TILE, with_max=True)


@nb.njit(cache=True, nogil=True)
def find_candidates(  # type: ignore[no-untyped-def]
    who,
    ids,
    of_layer,
    rows,
    tile_group,
    origin,
    seen_start,
    seen_post,
    place,
    tiles,
    slot,
    start,
    most,
    cut,
    is_enough,
    slack,
    turn_start,
    turn_place,
    turn_step,
    x,
    y,
    reach,
    scores,
    tops,
    found,
    floors,
):
    """Mark every post that may be among the best `most` unseen posts of its part for a user in any bucket.

    With a cut, those alone that may be among the best `cut` of these. A post that is closed in a bucket is
    none of the posts there.

    Args:
        who: int64 (users,). Places of the users in `ids` and `origin`.
        ids: uint16 (groups, sets, users or more). Row numbers.
        of_layer: int64 (layers + 1,). Bounds of each layer's sets.
        rows: int32 (tiles, rows, TILE).
        tile_group: int32 (tiles,).
        origin: int64 (users of the block,). Row of each user in `seen_start`.
        seen_start, seen_post: The posts that each user has seen, as in `SeenPosts`.
        place: int32 (posts,). Where each post is.
        tiles, slot, start, most, cut, is_enough: As in `Depths`.
        slack: Twice the largest error of a score, in units.
        turn_start, turn_place, turn_step: Which posts open and close before which bucket, as in `Turns`.
        x: float32 (all users, k). Factors of the dense part.
        y: float32 (tiles, k, TILE). The posts', in units of scores.
        reach: int32 (all users, buckets). Scores that candidates must reach, where `most` has one part and
            no post opens or closes; (0, 0): none are asked for.
        scores: int32 (tiles, users, TILE). On entry zeros, and `SEEN` at padding.
        tops: int32 (users, tiles). Scratch: each user's largest score in each tile, in the order of `tiles`.
        found: uint64 (users, tiles). Gets bit `lane` of each tile's candidates; zeros on entry.
        floors: int32 (users, buckets). Gets a score: what is left out by the cut lies `slack` below it, or
            `NO_FLOOR` where nothing is left out that a list could need.
    """
    n_users, n_tiles = found.shape
    if y.shape[1]:
        for tile in range(n_tiles):
            _add_dense(who, origin, x, y, tile, scores)
    for user in range(n_users):
        for at in range(seen_start[origin[who[user]]], seen_start[origin[who[user]] + 1]):
            where = place[seen_post[at]]
            scores[where // TILE, user, where % TILE] += SEEN
    _turn(turn_place, turn_step, turn_start[0], turn_start[1], 0, n_users, scores)
    places, reached = np.empty(n_tiles * TILE, np.int32), np.empty(n_tiles * TILE, np.int32)
    first_kept = np.append(0, np.cumsum(most))
    kept, n_kept = np.empty((n_users, first_kept[-1]), np.int32), np.zeros((n_users, len(most)), np.int64)
    best, n_best = np.empty((n_users, cut), np.int32), np.zeros(n_users, np.int64)
    for tile in range(n_tiles):
        _add_layer(
            who,
            ids,
            tile_group[tile],
            of_layer[0],
            of_layer[1],
            rows,
            scores,
            tops,
            tile,
            slot[tile],
            0,
            n_users,
        )
    # Some users at a time go through all layers, so that their scores stay in the cache.
    for step in range((n_users + USERS_AT_ONCE - 1) // USERS_AT_ONCE * (len(of_layer) - 1)):
        first_user, layer = step // (len(of_layer) - 1) * USERS_AT_ONCE, step % (len(of_layer) - 1)
        low, high = of_layer[layer], of_layer[layer + 1]
        is_new = layer == 0 or turn_start[layer] < turn_start[layer + 1]
        if low == high and not is_new:
            continue  # no score differs from the bucket before, so neither do the candidates
        after_user = min(first_user + USERS_AT_ONCE, n_users)
        if layer > 0:
            first_turn, after_turn = turn_start[layer], turn_start[layer + 1]
            _turn(turn_place, turn_step, first_turn, after_turn, first_user, after_user, scores)
            for tile in range(n_tiles):
                _add_layer(
                    who, ids, tile_group[tile], low, high, rows, scores, tops, tile, slot[tile], first_user,
                    after_user,
                )  # fmt: skip
        for user in range(first_user, after_user):
            n, is_whole, threshold, floor = 0, True, np.int64(UNSEEN_FLOOR), np.int64(UNSEEN_FLOOR)
            if len(reach):
                floor = np.int64(reach[origin[who[user]], layer])
            if cut and n_best[user] == cut:
                # The best of the bucket before are `cut` posts, of each part as many as it may have.
                floor = max(floor, _lowest(scores, user, best[user]))
            for part in range(len(most)):
                threshold, own = floor, kept[user, first_kept[part] : first_kept[part + 1]]
                if is_new:
                    # Each tile's best is a post of its own: so many posts reach the `most`-th of them.
                    threshold = _nth_largest(tops[user, start[part] : start[part + 1]], most[part], threshold)
                if layer > 0 and n_kept[user, part] == most[part]:
                    # The best posts of the bucket before are `most` posts, and all reach the lowest of them;
                    # where one has closed, that says nothing.
                    threshold = max(threshold, _lowest(scores, user, own))
                n_part = _find_reaching(
                    max(threshold - slack, UNSEEN_FLOOR), tiles[start[part] : start[part + 1]],
                    tops[user, start[part] : start[part + 1]], scores, user, places[n:], reached[n:],
                )  # fmt: skip
                if n_part >= most[part]:
                    threshold = _nth_largest(reached[n : n + n_part], most[part], threshold)
                is_whole = is_whole and threshold == UNSEEN_FLOOR
                n_kept[user, part] = 0
                for at in range(n, n + n_part):
                    if reached[at] >= threshold and n_kept[user, part] < most[part]:
                        own[n_kept[user, part]] = places[at]
                        n_kept[user, part] += 1
                    if reached[at] >= threshold - slack:
                        places[n], reached[n] = places[at], reached[at]
                        n += 1
            # Of several parts, what each leaves out beyond its number is worse than all that a list needs.
            floor = threshold if len(most) == 1 else floor
            if cut:
                floor = _nth_largest(reached[:n], cut, floor)
                n_best[user] = 0
            for at in range(n):
                if reached[at] >= floor - slack:
                    found[user, places[at] // TILE] |= np.uint64(1) << np.uint64(places[at] % TILE)
                if cut and reached[at] >= floor and n_best[user] < cut:
                    best[user, n_best[user]] = places[at]
                    n_best[user] += 1
            is_whole = is_enough or (is_whole and floor == UNSEEN_FLOOR)
            floors[user, layer] = NO_FLOOR if is_whole else floor


@nb.njit(cache=True, nogil=True)
def _turn(place, step, low, high, first_user, after_user, scores):  # type: ignore[no-untyped-def]
    """Open and close posts for some users."""
    for at in range(low, high):
        tile, lane = place[at] // TILE, place[at] % TILE
        for user in range(first_user, after_user):
            scores[tile, user, lane] += step[at]


@nb.njit(cache=True, nogil=True)
def _add_dense(who, origin, x, y, tile, scores):  # type: ignore[no-untyped-def]
    """Add the product of the users' and the posts' factors to the scores of one tile."""
    sums = np.empty(TILE, np.float32)
    for user in range(scores.shape[1]):
        sums[:] = 0
        for k in range(y.shape[1]):
            factor = x[origin[who[user]], k]
            for lane in range(TILE):
                sums[lane] += factor * y[tile, k, lane]
        for lane in range(TILE):
            scores[tile, user, lane] += np.int32(np.rint(sums[lane]))


@nb.njit(cache=True, nogil=True)
def _add_layer(  # type: ignore[no-untyped-def]
    who, ids, group, low, high, rows, scores, tops, tile, slot, first_user, after_user
):
    """Add a layer's rows to some users' scores of one tile, and keep each user's largest in a slot."""
    n_users, step, base = scores.shape[1], ids.shape[2], tile * rows.shape[1] * TILE
    while high - low > SETS_AT_ONCE:
        for user in range(first_user, after_user):
            at, out = (group * ids.shape[1] + low) * step + who[user], (tile * n_users + user) * TILE
            add_rows(rows, base, TILE, ids, at, step, SETS_AT_ONCE, scores, out)
        low += SETS_AT_ONCE
    for user in range(first_user, after_user):
        at, out = (group * ids.shape[1] + low) * step + who[user], (tile * n_users + user) * TILE
        tops[user, slot] = add_rows_with_max(rows, base, TILE, ids, at, step, high - low, scores, out)


@nb.njit(cache=True, nogil=True)
def _nth_largest(values, n, low):  # type: ignore[no-untyped-def]
    """Return the `n`-th largest value, or a number below it that no further value reaches.

    Found by bisection from `low` on; `low` itself where fewer than `n` values reach it.
    """
    high = low + 1
    for at in range(len(values)):
        high = max(high, np.int64(values[at]) + 1)
    while high - low > 1:
        middle = (low + high) >> 1
        threshold = np.int32(middle)
        reached = np.int32(0)
        for at in range(len(values)):
            reached += np.int32(values[at] >= threshold)
        if reached < n:
            high = middle
        else:
            low = middle
            if reached == n:
                break
    return low


@nb.njit(cache=True, nogil=True)
def _lowest(scores, user, kept):  # type: ignore[no-untyped-def]
    """Return the lowest score that a user now has among the posts kept from the bucket before."""
    lowest = scores[kept[0] // TILE, user, kept[0] % TILE]
    for at in range(1, len(kept)):
        lowest = min(lowest, scores[kept[at] // TILE, user, kept[at] % TILE])
    return np.int64(lowest)


@nb.njit(cache=True, nogil=True)
def _find_reaching(threshold, tiles, tops, scores, user, places, reached):  # type: ignore[no-untyped-def]
    """List the places in tiles whose score is at least `threshold`, and the scores; return how many."""
    n = 0
    threshold = np.int32(threshold)
    for at, tile in enumerate(tiles):
        if tops[at] >= threshold:
            for lane in range(TILE):
                places[n] = tile * TILE + lane
                reached[n] = scores[tile, user, lane]
                n += scores[tile, user, lane] >= threshold
    return n
