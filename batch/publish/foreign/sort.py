"""One range of users' rows put into lists: sorted, repeats and unknown posts out. Pure."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from batch.arrays import Ints, Ints32
from batch.publish.foreign.spill import Table


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists of some users.

    Attributes:
        rows: Those that stand in a list no deeper than was wanted, list by list, best first.
        place: int32 (rows,). Each row's place in its list, from 0.
        size: int64 (lists,). How many posts each list has, however deep it is.
        owner: int64 (lists,). The user of each list.
        repeated: How many rows repeat a post of their list, and the first of them; None: there is none.
        unknown: How many rows have a post that is not known, and the first of them.
        broken: How many lists have ranks that are not 1, 2, 3, …, and a row of the first of them.
        n_cut: Rows that stand deeper than was wanted.
    """

    rows: Table
    place: Ints32
    size: Ints
    owner: Ints
    repeated: tuple[int, Table | None]
    unknown: tuple[int, Table | None]
    broken: tuple[int, Table | None]
    n_cut: int


def sort_lists(table: Table, n_posts: int, depth: int, *, ranked: bool) -> Lists:
    """Put rows into lists: a user's of one begin each; best first, of equals the one that came first.

    Of a post that a list has twice the place further up counts.

    Args:
        table: The rows, in whatever order; a post of -1 is not known.
        n_posts: Posts that are known.
        depth: Most posts in a list.
        ranked: Whether the order is a rank, which should be 1, 2, 3, ….
    """
    table = table[np.lexsort((table["order"], table["from_s"], table["user"]))]
    user, post, from_s, rank = (
        np.ascontiguousarray(table[name]) for name in ("user", "post", "from_s", "order")
    )
    place, size, begins, wrong, first = _place(user, post, from_s, rank, n_posts, ranked)
    kept = (place >= 0) & (place < depth)
    repeated, unknown, broken = (
        (int(n), table[at] if n else None) for n, at in zip(wrong.tolist(), first.tolist(), strict=True)
    )
    return Lists(
        rows=table[kept],
        place=place[kept],
        size=size,
        owner=user[begins].astype(np.int64),
        repeated=repeated,
        unknown=unknown,
        broken=broken,
        n_cut=int(np.count_nonzero(place >= depth)),
    )


@numba.njit(cache=True)
def _place(user: Any, post: Any, from_s: Any, order: Any, n_posts: Any, ranked: Any) -> Any:
    """Give each row its place in its list, from 0; -1: it is left out.

    Returns:
        place int32 (rows,), size int64 (lists,), begins int64 (lists,); and of repeats, unknown posts and
        lists with broken ranks, int64 (3,) each, how many there are and the first one's row.
    """
    n = len(user)
    place = np.full(n, -1, np.int32)
    size = np.zeros(n, np.int64)
    begins = np.zeros(n, np.int64)
    met = np.full(n_posts, -1, np.int64)  # the list in which a post was met last
    wrong, first = np.zeros(3, np.int64), np.zeros(3, np.int64)
    at, is_broken = -1, False
    for row in range(n):
        if row == 0 or user[row] != user[row - 1] or from_s[row] != from_s[row - 1]:
            at, is_broken = at + 1, False
            begins[at] = row
        if ranked and not is_broken and order[row] != row - begins[at] + 1:
            is_broken = True
            if wrong[2] == 0:
                first[2] = row
            wrong[2] += 1
        kind = 1 if post[row] < 0 else 0 if met[post[row]] == at else -1
        if kind >= 0:
            if wrong[kind] == 0:
                first[kind] = row
            wrong[kind] += 1
            continue
        met[post[row]] = at
        place[row] = size[at]
        size[at] += 1
    return place, size[: at + 1], begins[: at + 1], wrong, first
