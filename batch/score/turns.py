"""What opens and closes from bucket to bucket, where not every post is a candidate in every one."""

from dataclasses import dataclass

import numpy as np

from batch.arrays import Bools, Ints, Ints32
from batch.score.tables.rows import CLOSED
from batch.score.tables.sets import Layout


@dataclass(frozen=True, slots=True)
class Turns:
    """Posts that open or close, bucket by bucket; before the first bucket all are open.

    Attributes:
        opened: bool (buckets, posts). Which posts are candidates; (0, 0) where all are, in every bucket.
        start: int64 (buckets + 1,). Bucket `b` has the turns from `start[b]` to `start[b + 1]`.
        place: int32 (turns,). Where the post is.
        step: int32 (turns,). What its scores get: CLOSED as it closes, and that back as it opens.
    """

    opened: Bools
    start: Ints
    place: Ints32
    step: Ints32

    @classmethod
    def of(cls, opened: Bools | None, layout: Layout, n_buckets: int) -> "Turns":
        """Return the turns of the posts that `opened`, bool (buckets, posts), tells; None: there are none."""
        if opened is None:
            nothing = np.empty(0, np.int32)
            return cls(np.empty((0, 0), np.bool_), np.zeros(n_buckets + 1, np.int64), nothing, nothing)
        before = np.vstack([np.ones_like(opened[:1]), opened[:-1]])
        bucket, post = np.nonzero(before != opened)
        step = np.where(opened[bucket, post], -CLOSED, CLOSED).astype(np.int32)
        start = np.searchsorted(bucket, np.arange(n_buckets + 1)).astype(np.int64)
        return cls(np.ascontiguousarray(opened), start, layout.place[post], step)
