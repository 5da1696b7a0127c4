"""Which trees share a row: sets of trees whose users fall into few joint masks, so that one sum serves all.

A set of trees needs a table row for every combination of masks that users have in it. Joining two sets saves
a sum for every pair and costs rows, hence cache. The choice looks at a sample of users only: it changes how
fast lists are found, never what is in them.
"""

import numba as nb
import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
NEVER = np.iinfo(np.int64).max


def number_distinct(keys: npt.NDArray[np.uint64]) -> Ids:
    """Number the distinct rows of uint64 (samples, words) from 0, int32 (samples,)."""
    order = np.lexsort(keys.T)
    ranked = keys[order]
    new = np.ones(len(keys), bool)
    new[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    out = np.empty(len(keys), np.int32)
    out[order] = np.cumsum(new) - 1
    return out


def merge(ids: Ids, at_most: int, added_at_most: int) -> tuple[list[list[int]], int]:
    """Join trees into sets, always the two that add the fewest rows.

    Args:
        ids: int32 (trees, samples). Number of each sample's mask in each tree, from 0.
        at_most: Rows, distinct within the sample, that a joint set may have.
        added_at_most: Rows that it may have beyond those of its two parts: the price of one sum saved.

    Returns:
        Sets of tree numbers, ascending, which users_per_batch hold every tree once; and the rows of all sets.
    """
    sets = [[tree] for tree in range(len(ids))]
    ids = ids.copy()
    rows = np.array([int(some.max()) + 1 for some in ids], np.int64)
    top = max(int(rows.max()), at_most)
    stamp = np.zeros(top * top, np.int32)
    joint = np.full((len(ids), len(ids)), NEVER)
    _count_all(ids, rows, stamp, joint)
    mark = len(ids) ** 2
    alive = np.ones(len(ids), bool)
    while alive.sum() > 1:
        added = np.where(joint <= at_most, joint - rows[:, None] - rows[None, :], NEVER)
        added[~alive] = added[:, ~alive] = NEVER
        one, two = divmod(int(added.argmin()), len(ids))
        if added[one, two] > added_at_most:
            break
        sets[one] += sets[two]
        alive[two] = False
        rows[one] = _join(
            ids[one], ids[two], int(rows[two]), np.full(int(rows[one] * rows[two]), -1, np.int32)
        )
        mark = _count_with(one, ids, rows, alive, stamp, mark, joint)
    joined = [sorted(members) for members, kept in zip(sets, alive, strict=True) if kept]
    return joined, int(rows[alive].sum())


@nb.njit(cache=True, nogil=True)
def _count(one, two, rows_two, stamp, mark):  # type: ignore[no-untyped-def]
    """Count distinct pairs; `stamp` is scratch of at least rows × rows_two numbers, none of them `mark`."""
    found = 0
    for at in range(len(one)):
        pair = one[at] * rows_two + two[at]
        if stamp[pair] != mark:
            stamp[pair] = mark
            found += 1
    return found


@nb.njit(cache=True, nogil=True)
def _count_all(ids, rows, stamp, joint):  # type: ignore[no-untyped-def]
    n = len(rows)
    for one in range(n):
        for two in range(one + 1, n):
            joint[one, two] = _count(ids[one], ids[two], rows[two], stamp, one * n + two + 1)


@nb.njit(cache=True, nogil=True)
def _join(one, two, rows_two, numbers):  # type: ignore[no-untyped-def]
    """Overwrite `one` with the numbers of the pairs, from 0 in order of appearance; return how many.

    `numbers` is scratch for rows × rows_two numbers, all -1.
    """
    found = np.int32(0)
    for at in range(len(one)):
        pair = one[at] * rows_two + two[at]
        if numbers[pair] < 0:
            numbers[pair] = found
            found += np.int32(1)
        one[at] = numbers[pair]
    return found


@nb.njit(cache=True, nogil=True)
def _count_with(one, ids, rows, alive, stamp, mark, joint):  # type: ignore[no-untyped-def]
    for other in range(len(rows)):
        if alive[other] and other != one:
            low, high = min(one, other), max(one, other)
            mark += 1
            joint[low, high] = _count(ids[low], ids[high], rows[high], stamp, mark)
    return mark
