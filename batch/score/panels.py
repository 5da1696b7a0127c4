"""Posts in panels that follow one another, so that no more of them are laid out than memory holds.

A panel's lists are exact, so the best of all panels' lists are exact, too. What a user's lists have reached
so far is what a further panel's posts must reach.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numba as nb
import numpy as np

from batch.arrays import AnyInts, Floats, Ints, Ints32
from batch.features.sides import Sides
from batch.score.ranked import RankedBlock

POSTS_A_MB = 32  # of the memory that scoring may take: 64 KB for each post's masks, rows and scores
FEWEST, MOST = 4_096, 65_536  # posts of a panel
SHARE = 4  # of the memory lists of the users get one part who go through all panels together
CELL_BYTES = 12  # a post and its score in a list

Score = Callable[[AnyInts, int, int, Floats | None], Iterator[RankedBlock]]


@dataclass(frozen=True, slots=True)
class Panels:
    """Which posts and users are scored together.

    Attributes:
        posts: int64 (any,) each. Rows of posts, ascending; together they hold every post once.
        users: Users who go through all panels together, at most.
    """

    posts: tuple[Ints, ...]
    users: int

    @classmethod
    def of(cls, sides: Sides, depth: int, memory_mb: int) -> "Panels":
        """Cut posts into panels of about equal size, group after group, one where memory holds all."""
        n_posts = len(sides.post_ids)
        largest = int(np.clip(memory_mb * POSTS_A_MB, FEWEST, MOST))
        order = np.argsort(sides.group, kind="stable")
        parts = np.array_split(order, max(1, -(-n_posts // largest)))
        of_user = len(sides.starts) * depth * CELL_BYTES
        return cls(
            tuple(np.sort(part) for part in parts), max(1, memory_mb * 2**20 // SHARE // max(of_user, 1))
        )


def score_by_panels(
    panels: Panels, n_users: int, n_buckets: int, depth: int, score: Score
) -> Iterator[RankedBlock]:
    """Yield the exact lists of all users, block by block, users ascending.

    Args:
        panels: What goes together.
        n_users: Users.
        n_buckets: Buckets of each.
        depth: Posts in a list.
        score: Given rows of posts, the first user, the one after the last, and float64 (users, buckets) the
            scores that their posts must reach, -inf for any, None for none asked, yields their blocks of
            lists: posts as places in the rows given, users counted from the first.
    """
    for first in range(0, n_users, panels.users):
        after = min(first + panels.users, n_users)
        shape = (after - first, n_buckets, depth)
        best = RankedBlock(first, np.full(shape, -1, np.int32), np.full(shape, np.nan))
        reached: Floats | None = None
        for rows in panels.posts:
            for block in score(rows, first, after, reached):
                part = slice(block.first, block.first + len(block.posts))
                _merge(block.posts, block.scores, rows, best.posts[part], best.scores[part])
            reached = np.where(best.posts[:, :, -1] < 0, -np.inf, best.scores[:, :, -1])
        yield best


def to_reach(reached: Floats, size: float, low: int, high: int) -> Ints32:
    """Return int32 of the same shape: in units of `size` what has these scores or better, within bounds."""
    with np.errstate(invalid="ignore"):
        units = np.floor(reached / size) - 1
    return np.asarray(np.clip(units, low, high), np.int32)


@nb.njit(cache=True, nogil=True)
def _merge(posts, scores, rows, best_posts, best_scores):  # type: ignore[no-untyped-def]
    """Keep the best of two lists of each user and bucket, higher scores first, ties to the lower row."""
    depth = best_posts.shape[2]
    merged, kept = np.empty(depth, np.int32), np.empty(depth)
    for user in range(posts.shape[0]):
        for bucket in range(posts.shape[1]):
            here, there = 0, 0
            for place in range(depth):
                new = posts[user, bucket, here] if here < posts.shape[2] else -1
                old = best_posts[user, bucket, there]
                if new < 0:
                    ahead = False
                elif old < 0:
                    ahead = True
                else:
                    one, other = scores[user, bucket, here], best_scores[user, bucket, there]
                    ahead = one > other or (one == other and rows[new] < old)
                if ahead:
                    merged[place], kept[place] = rows[new], scores[user, bucket, here]
                    here += 1
                else:
                    merged[place], kept[place] = old, best_scores[user, bucket, there]
                    there += 1
            if here:
                for place in range(depth):
                    best_posts[user, bucket, place] = merged[place]
                    best_scores[user, bucket, place] = kept[place]
