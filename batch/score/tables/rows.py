"""The tables: for every combination of masks that users have in a set of trees, what it adds to each post.

A table row is named by its set and by the users' masks that matter in it, so users of any block share it.
Leaf values are whole numbers of a small unit, so sums do not depend on sets, blocks, tiles or threads.
"""

import numba as nb
import numpy as np

from batch.score.tables.sets import TILE
from batch.score.tables.simd import allocate_aligned, lowest_bit

UNSEEN_FLOOR = -(2**29)  # scores lie above it; seen posts and padding lie below it
SEEN = -(2**30)
NO_FLOOR = -(2**31)  # stands where no post is left out that a list could need
NAME_WORDS = 12  # masks in a row's name, on average, that the arena has room for
MOST_CELLS = 2**18  # combinations of a set's masks that are looked up in a table; beyond, they are hashed
LARGEST = 2**28  # all sums of leaf values lie below it
# What scores of a closed post get: then they lie below UNSEEN_FLOOR, and are int32 where it is seen, too.
CLOSED = SEEN + LARGEST


class Arena:
    """Table rows of all groups within a fixed budget; full, it is emptied and filled anew."""

    def __init__(self, n_tiles: int, n_groups: int, n_rows: int, n_names: int) -> None:
        """Reserve `n_rows` rows a group, of which row 0 is all zeros, and `n_names` words for their names."""
        self.rows = allocate_aligned((n_tiles, n_rows, TILE), np.int32)
        self.hashed = np.empty((n_groups, 2 ** int(np.ceil(np.log2(2 * n_rows)))), np.int32)
        self.names = np.empty((n_groups, n_names), np.uint64)
        self.name_at = np.empty((n_groups, n_rows + 1), np.int64)
        self.set_of = np.empty((n_groups, n_rows), np.int32)
        self.used = np.empty(n_groups, np.int64)
        self.clear()

    def clear(self) -> None:
        """Forget all rows but row 0."""
        self.hashed[:] = -1
        self.used[:] = 1
        self.rows[:, 0] = 0
        self.name_at[:, :2] = 0


@nb.njit(cache=True, nogil=True)
def _mix(hashed, word):  # type: ignore[no-untyped-def]
    # Masks may differ in their highest bits alone, and a place comes from the lowest: fold before and after.
    hashed ^= word
    hashed = (hashed ^ (hashed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return hashed ^ (hashed >> np.uint64(29))


@nb.njit(cache=True, nogil=True)
def number_users(user_masks, trees, matter, hashed, out):  # type: ignore[no-untyped-def]
    """Number users by their masks in one set, from 0 by first appearance; return how many numbers there are.

    `hashed` is int32 scratch, a power of two of at least twice the users; `out` is int32 (users,).
    """
    hashed[:] = -1
    last = np.uint64(len(hashed) - 1)
    first = np.empty(len(out), np.int32)
    found = np.int32(0)
    n_words = user_masks.shape[2]
    for user in range(len(out)):
        key = np.uint64(0)
        for tree in trees:
            for word in range(n_words):
                key = _mix(key, user_masks[user, tree, word] & matter[tree, word])
        at = key & last
        while True:
            number = hashed[at]
            if number < 0:
                hashed[at] = found
                first[found] = user
                out[user] = found
                found += np.int32(1)
                break
            same = True
            other = first[number]
            for tree in trees:
                for word in range(n_words):
                    if (user_masks[user, tree, word] ^ user_masks[other, tree, word]) & matter[tree, word]:
                        same = False
                        break
                if not same:
                    break
            if same:
                out[user] = number
                break
            at = (at + np.uint64(1)) & last
    return found


@nb.njit(cache=True, nogil=True)
def find_rows(  # type: ignore[no-untyped-def]
    group, codes, user_masks, numbers, n_numbers, class_of, tested, n_classes,
    term_start, term_column, term_offset, bank, open_leaves,
    set_start, set_tree, set_layer, plus, minus,
    tiles, post_masks, units, rows, hashed, names, name_at, set_of, used, ids,
):  # fmt: skip
    """Write the row number of every user in every set into `ids`, building the rows that are new.

    Arrays are indexed, never sliced, in the loops: a slice counts a reference, and threads would wait for it.

    Returns:
        False when the arena is full.
    """
    n_users = len(user_masks)
    n_used = used[group]
    words = np.empty((len(set_tree) + 1, user_masks.shape[2]), np.uint64)
    cells = np.empty(n_users, np.int32)
    for number in range(len(set_layer)):
        n_cells = n_numbers[number] * n_classes[number]
        row_of_cell = np.full(n_cells if n_cells <= MOST_CELLS else 0, -1, np.int32)
        if len(row_of_cell):
            _find_cells(number, group, codes, numbers, n_numbers[number], class_of, tested, cells)
        for user in range(n_users):
            if len(row_of_cell) and row_of_cell[cells[user]] >= 0:
                continue
            row = _find_row(
                group, number, user, words, codes, user_masks, term_start, term_column, term_offset, bank,
                open_leaves, set_start, set_tree, set_layer, plus, minus,
                tiles, post_masks, units, rows, hashed, names, name_at, set_of, n_used,
            )  # fmt: skip
            if row < 0:
                return False
            n_used += row == n_used
            if len(row_of_cell):
                row_of_cell[cells[user]] = row
            ids[number, user] = row
        if len(row_of_cell):  # a loop of its own, which compiles to vector look-ups
            for user in range(n_users):
                ids[number, user] = row_of_cell[cells[user]]
    used[group] = n_used
    return True


@nb.njit(cache=True, nogil=True)
def _find_cells(number, group, codes, numbers, n_numbers, class_of, tested, cells):  # type: ignore[no-untyped-def]
    """Number every user's combination of masks in one set: the user's own and those of its groups."""
    for user in range(len(cells)):
        cells[user] = numbers[number, user]
    for k in range(codes.shape[1]):
        if tested[number, k]:
            for user in range(len(cells)):
                cells[user] += np.int32(class_of[number, k, codes[group, k, user]] * n_numbers)


@nb.njit(cache=True, nogil=True)
def _find_row(  # type: ignore[no-untyped-def]
    group, number, user, words, codes, user_masks, term_start, term_column, term_offset, bank,
    open_leaves, set_start, set_tree, set_layer, plus, minus,
    tiles, post_masks, units, rows, hashed, names, name_at, set_of, n_used,
):  # fmt: skip
    """Return a user's row in a set, built if it is new, and -1 if it does not fit."""
    layer, first = set_layer[number], set_start[number]
    n_trees = set_start[number + 1] - first
    for at in range(n_trees):
        tree = set_tree[first + at]
        for word in range(user_masks.shape[2]):
            left = user_masks[user, tree, word] & open_leaves[tree, word]
            left &= plus[layer, tree, word] ^ minus[layer, tree, word]
            for term in range(term_start[tree], term_start[tree + 1]):
                left &= bank[term_offset[term] + codes[group, term_column[term], user], word]
            words[at, word] = left
    row = _row(number, words, n_trees, rows.shape[1], hashed, names, name_at, set_of, n_used)
    if row == n_used:
        for tile in range(tiles[group], tiles[group + 1]):
            for at in range(n_trees):
                tree = set_tree[first + at]
                _build(at, tree, layer, words, plus, minus, post_masks, units, tile, row, rows)
    return row


@nb.njit(cache=True, nogil=True)
def _row(number, words, n_trees, n_rows, hashed, names, name_at, set_of, n_used):  # type: ignore[no-untyped-def]
    """Return the row named by a set and its trees' masks; `n_used` if it is new, -1 if it does not fit."""
    n_words = words.shape[1]
    empty = True
    key = _mix(np.uint64(0), np.uint64(number))
    for at in range(n_trees):
        for word in range(n_words):
            key = _mix(key, words[at, word])
            empty &= words[at, word] == 0
    if empty:
        return 0
    last = np.uint64(len(hashed) - 1)
    place = key & last
    while hashed[place] >= 0:
        row = hashed[place]
        if set_of[row] == number:
            same = True
            start = name_at[row]
            for at in range(n_trees):
                for word in range(n_words):
                    same &= names[start + at * n_words + word] == words[at, word]
            if same:
                return row
        place = (place + np.uint64(1)) & last
    start = name_at[n_used]
    if n_used >= n_rows or start + n_trees * n_words > len(names):
        return -1
    for at in range(n_trees):
        for word in range(n_words):
            names[start + at * n_words + word] = words[at, word]
    name_at[n_used + 1] = start + n_trees * n_words
    set_of[n_used] = number
    hashed[place] = n_used
    return n_used


@nb.njit(cache=True, nogil=True)
def _build(  # type: ignore[no-untyped-def]
    at, tree, layer, words, plus, minus, post_masks, units, tile, row, rows
):
    """Add what one tree of a set adds to the posts of one tile; the last of a tree's `units` is 0."""
    n_words = words.shape[1]
    if at == 0:
        for lane in range(TILE):
            rows[tile, row, lane] = 0
    if n_words == 1:
        added, taken = words[at, 0] & plus[layer, tree, 0], words[at, 0] & minus[layer, tree, 0]
        if added | taken:
            for lane in range(TILE):
                post = post_masks[0, tree, tile * TILE + lane]
                more = units[tree, lowest_bit(added & post)] - units[tree, lowest_bit(taken & post)]
                rows[tile, row, lane] += more
        return
    for lane in range(TILE):
        for word in range(n_words):
            both = words[at, word] & post_masks[word, tree, tile * TILE + lane]
            added, taken = both & plus[layer, tree, word], both & minus[layer, tree, word]
            if added:
                rows[tile, row, lane] += units[tree, np.uint64(64 * word) + lowest_bit(added)]
            if taken:
                rows[tile, row, lane] -= units[tree, np.uint64(64 * word) + lowest_bit(taken)]
