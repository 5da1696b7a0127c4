"""The nearest posts of each post as keys, one whole number each: likeness first, then the lower row.

A key is the likeness, 1..SCALE, times the number of posts, and the row counted from the last. So the larger
of two keys is nearer, and of posts equally near the one with the lower row is. -1 fills.
"""

from typing import Any

import numba
import numpy as np

from batch.arrays import Ints

SCALE = 1_000_000  # the likeness of posts that are the same


def no_keys(n_posts: int, n: int) -> Ints:
    """Return the keys of posts of which no neighbour is known, int64 (posts, n)."""
    return np.full((n_posts, n), -1, np.int64)


def read_rows(keys: Ints, n_posts: int) -> Ints:
    """Return the rows of posts that keys hold, int64 of their shape; -1 fills."""
    return np.where(keys < 0, -1, n_posts - 1 - keys % n_posts)


@numba.njit(cache=True, nogil=True)
def put(own: Any, key: Any, n_posts: Any) -> None:
    """Put a key into those of a post, largest first, where it is larger than the last of them.

    A post that is among them already, with a likeness that a rounding sets apart, does not come again.
    """
    place, slack = len(own) - 1, 2 * n_posts
    if key <= own[place]:
        return
    while place > 0 and own[place - 1] < key:
        place -= 1
    k = place - 1
    while k >= 0 and own[k] <= key + slack:
        if own[k] % n_posts == key % n_posts:
            return
        k -= 1
    k = place
    while k < len(own) and own[k] >= key - slack:
        if own[k] >= 0 and own[k] % n_posts == key % n_posts:
            return
        k += 1
    for k in range(len(own) - 1, place, -1):
        own[k] = own[k - 1]
    own[place] = key
