"""The reference scorer: LightGBM's own `predict` on every row. Slow, and right by definition."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from batch.data.seen import SeenPosts
from batch.features.sides import Sides
from batch.score.caps import Caps
from batch.score.ranked import RankedBlock

if TYPE_CHECKING:  # who only reads what is kept needs no trees, whose library takes a second to load
    import lightgbm as lgb

Dense = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
Progress = Callable[[int], None]

ROWS_AT_ONCE = 200_000  # rows gathered for one call of predict: 200,000 × 30 float32 are 24 MB


def raw_scores(
    booster: "lgb.Booster",
    sides: Sides,
    users: npt.NDArray[np.integer],
    bucket: int,
    dense: Dense | None = None,
    threads: int = 0,
) -> npt.NDArray[np.float64]:
    """Score `users` (row numbers) against every post in one bucket.

    Args:
        booster: The model; its columns are those of `sides.features`.
        sides: The features' values.
        users: Row numbers of users, in any order.
        bucket: Row number of the bucket.
        dense: Factors float64 (users, k) and (posts, k). Their product, summed in the order of the
            columns, is added after the trees.
        threads: Threads of LightGBM; 0: all cores.

    Returns:
        float64 (users, posts). LightGBM's raw scores, NaN-free for finite models.
    """
    n_posts = len(sides.post_ids)
    out = np.empty((len(users), n_posts))
    step = max(1, ROWS_AT_ONCE // max(1, n_posts))
    for low in range(0, len(users), step):
        some = users[low : low + step]
        rows = sides.rows(
            np.repeat(some, n_posts),
            np.tile(np.arange(n_posts), len(some)),
            np.full(len(some) * n_posts, bucket),
        )
        raw = booster.predict(rows, raw_score=True, num_threads=threads, validate_features=False)
        out[low : low + len(some)] = np.asarray(raw, np.float64).reshape(len(some), n_posts)
    return out if dense is None else out + dense_scores(dense, users)


def dense_scores(dense: Dense, users: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Multiply the factors of `users` with every post's, float64 (users, posts), summed column by column."""
    x, y = dense
    total = np.zeros((len(users), len(y)))
    for column in range(x.shape[1]):
        total += x[users, column, None] * y[None, :, column]
    return total


def best(
    scores: npt.NDArray[np.float64],
    seen: npt.NDArray[np.integer],
    depth: int,
    caps: Caps | None = None,
    opened: npt.NDArray[np.bool_] | None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Rank one user's unseen posts, best first, ties to the lower row; as far as caps let them.

    With `opened`, bool (posts,), those alone that are open.

    Returns:
        posts int32 (depth,) and scores float64 (depth,), filled with -1 and NaN.
    """
    unseen = np.ones(len(scores), bool) if opened is None else opened.copy()
    unseen[seen] = False
    rows = np.flatnonzero(unseen)
    ranked = rows[np.argsort(-scores[rows], kind="stable")]
    kept = ranked[:depth] if caps is None else caps.choose(ranked, depth)
    posts, values = np.full(depth, -1, np.int32), np.full(depth, np.nan)
    posts[: len(kept)], values[: len(kept)] = kept, scores[kept]
    return posts, values


def score_by_predict(
    booster: "lgb.Booster",
    sides: Sides,
    seen: SeenPosts,
    depth: int,
    *,
    dense: Dense | None = None,
    caps: Caps | None = None,
    opened: npt.NDArray[np.bool_] | None = None,
    users_at_once: int = 64,
    threads: int = 0,
    progress: Progress | None = None,
) -> Iterator[RankedBlock]:
    """Yield every user's lists, block by block, by asking `booster.predict` for every user × post × bucket.

    Args:
        booster: The trained model.
        sides: The features' values.
        seen: Posts that lists leave out.
        depth: Posts in a list.
        dense: Factors whose product is added to the trees' sum; see `raw_scores`.
        caps: How many posts of a topic may stand close together; None: any number.
        opened: bool (buckets, posts). Which posts are candidates; None: all, in every bucket.
        users_at_once: Users a yielded block holds.
        threads: Threads of LightGBM; 0: all cores.
        progress: Called after each block with the number of its users.
    """
    for first in range(0, len(sides.user_ids), users_at_once):
        users = np.arange(first, min(first + users_at_once, len(sides.user_ids)))
        posts = np.full((len(users), len(sides.starts), depth), -1, np.int32)
        values = np.full(posts.shape, np.nan)
        for bucket in range(len(sides.starts)):
            block = raw_scores(booster, sides, users, bucket, dense, threads)
            now = None if opened is None else opened[bucket]
            for at, user in enumerate(users.tolist()):
                posts[at, bucket], values[at, bucket] = best(block[at], seen.of(user), depth, caps, now)
        yield RankedBlock(first, posts, values)
        if progress is not None:
            progress(len(users))
