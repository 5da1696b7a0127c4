"""Counts of accepted events by the names that a mapping gives them, where these are more than view and like.

Facts know views and likes alone, so this is counted while rows are read, before what comes twice is left out.
"""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from batch.arrays import AnyInts, Ints, Ints32
from batch.data.spread import describe_spread, find_largest, find_outliers

MOST_NAMES = 8  # that are told apart; those that a mapping names later are left out
MOST_TOP = 20
Table = npt.NDArray[np.int32]


class EventKinds:
    """Counts of each kind of event by user and by post, given by place; of two kinds or fewer nothing."""

    def __init__(self, names: Sequence[str]) -> None:
        """Begin with none; `names` are those of the mapping, in its order."""
        self.names = list(names)[:MOST_NAMES] if len(names) > len(("view", "like")) else []
        self._by_user, self._by_post = self._none(), self._none()

    def add(self, name: Ints, user: Ints32, post: Ints32) -> None:
        """Count events, (rows,) each: place of the name, of the user, of the post; -1 of a post is none."""
        if len(name):
            self._by_user = _grow(self._by_user, int(user.max()) + 1)
            self._by_post = _grow(self._by_post, int(post.max(initial=0)) + 1)
            _count(name, user, post, self._by_user, self._by_post)

    def describe(
        self, user_row: Ints32, post_row: Ints32, user_ids: Ints, post_ids: Ints
    ) -> list[dict[str, Any]]:
        """Return a line for each kind that there is: how many, whose, of how many posts, how spread.

        Args:
            user_row: int32 (places,). The row of each user's place; several may have one.
            post_row: int32 (places,). The same of posts.
            user_ids: int64 (users,). Codes by row.
            post_ids: int64 (posts,).

        Returns:
            In the mapping's order: `name`, `rows`, `users`, `posts`; `also` counts users who did what stands
            before it, too; `per_user` is a spread; `top_posts` and `far` are `code` and `n` of the posts with
            most and of the users far outside.
        """
        by_user = _by_row(self._by_user, user_row, len(user_ids))
        by_post = _by_row(self._by_post, post_row, len(post_ids))
        lines, before = [], np.ones(len(user_ids), np.bool_)
        for k, name in enumerate(self.names):
            of_user, of_post = by_user[:, k], by_post[:, k]
            if of_user.any():
                spread, did = describe_spread(of_user), of_user > 0
                top, far = find_largest(of_post, MOST_TOP), find_outliers(of_user, spread["fence"])
                lines.append(
                    {
                        "name": name,
                        "rows": int(of_user.sum()),
                        "users": int(did.sum()),
                        "posts": int((of_post > 0).sum()),
                        "also": int((did & before).sum()),
                        "per_user": spread,
                        "top_posts": _pairs(post_ids, of_post, top),
                        "far": _pairs(user_ids, of_user, far),
                    }
                )
                before = did
        return lines

    def _none(self) -> Table:
        return np.zeros((0, len(self.names)), np.int32)


def _grow(table: Table, n: int) -> Table:
    """Return a table of `n` rows or more, the first ones as they were."""
    if n <= len(table):
        return table
    grown = np.zeros((max(n, 2 * len(table)), table.shape[1]), np.int32)
    grown[: len(table)] = table
    return grown


def _by_row(table: Table, row: Ints32, n: int) -> Table:
    found = np.zeros((n, table.shape[1]), np.int32)
    known = min(len(row), len(table))
    np.add.at(found, row[:known], table[:known])
    return found


def _pairs(ids: Ints, values: AnyInts, rows: Ints) -> dict[str, list[int]]:
    return {"code": ids[rows].tolist(), "n": values[rows].tolist()}


@numba.njit(cache=True, nogil=True)
def _count(name: Any, user: Any, post: Any, by_user: Any, by_post: Any) -> None:
    for row in range(len(name)):
        if name[row] < by_user.shape[1]:
            by_user[user[row], name[row]] += 1
            if post[row] >= 0:
                by_post[post[row], name[row]] += 1
