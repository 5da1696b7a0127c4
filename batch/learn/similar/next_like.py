"""The next like after a like: what neighbours of a post should name, and how early they do."""

from dataclasses import dataclass

import numpy as np

from batch.arrays import AnyInts, Bools, Ints
from batch.data.rows import find_rows
from batch.learn.similar.likes import Likes

NO_POST = -1  # stands in a list where it has ended
MOST_PAIRS = 10_000  # that are tested; of more every so many-th counts


@dataclass(frozen=True, slots=True)
class NextLikes:
    """Pairs of a user's successive likes, int64 (pairs,) each, in order of user and time.

    Attributes:
        user: Row.
        previous: Post liked last before.
        next: Post liked then, never liked before.
        time: When it was liked, epoch seconds.
    """

    user: Ints
    previous: Ints
    next: Ints
    time: Ints

    @classmethod
    def of(cls, likes: Likes, from_s: int) -> "NextLikes":
        """Pair each like from a moment on with the user's like before it, whenever that was."""
        order = np.lexsort((np.arange(len(likes.user)), likes.user))
        user, post, time = likes.user[order], likes.post[order], likes.time[order]
        second = 1 + np.flatnonzero((user[1:] == user[:-1]) & (time[1:] >= from_s))
        second = second[:: max(1, -(-len(second) // MOST_PAIRS))]
        return cls(user[second], post[second - 1], post[second], time[second])

    def pass_over(self, lists: AnyInts, likes: Likes) -> Ints:
        """Return lists without what the user of each pair had liked by then, closed up, `NO_POST` at the end.

        Args:
            lists: int (pairs, depth). Neighbours of each pair's previous post, best first.
            likes: All likes.
        """
        row = np.repeat(np.arange(len(lists)), lists.shape[1])
        gone = self.had_liked(row, lists.ravel(), likes).reshape(lists.shape) | (lists < 0)
        closed = np.argsort(gone, axis=1, kind="stable")
        return np.take_along_axis(np.where(gone, NO_POST, lists).astype(np.int64), closed, 1)

    def had_liked(self, row: AnyInts, post: AnyInts, likes: Likes) -> Bools:
        """Return whether the users of some pairs had liked some posts by then, bool (any,).

        Args:
            row: int (any,). Rows of pairs.
            post: int (any,). A post each, -1 for none.
            likes: All likes.
        """
        n_posts = int(max(likes.post.max(initial=0), post.max(initial=0))) + 1
        keys = likes.user * n_posts + likes.post
        order = np.argsort(keys)
        at = find_rows(keys[order], self.user[row] * n_posts + post)
        return np.asarray((post >= 0) & (at >= 0) & (likes.time[order][at] < self.time[row]))
