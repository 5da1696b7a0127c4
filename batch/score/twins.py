"""Posts that are alike in all that scores see: of these only the first ones can be in anybody's list.

Where few of many posts were ever shown, most others differ in nothing that the model asks. They tie for
every user in every bucket and the lower row comes first, so a list has none of them beyond the first `depth`
that it does not leave out.
"""

from typing import Any

import numba as nb
import numpy as np

from batch.arrays import AnyFloats, AnyInts, Bools, Ints32
from batch.features.sides import Sides
from batch.score.tables.masks import encode, factor
from batch.score.tables.trees import parse

FROM = 10_000  # posts; fewer are scored as fast as twins are found


def find_needed(model_text: str, sides: Sides, y: AnyFloats | None, topic: Ints32 | None, n: int) -> Bools:
    """Return bool (posts,): which are not beyond the first `n` of those that are alike.

    Args:
        model_text: What `Booster.model_to_string` returns.
        sides: The features' values.
        y: float (posts, k). The posts' factors of a dense part.
        topic: int32 (posts,). What a cap counts; None: there is no cap.
        n: Posts in a list, and the most that anybody's leaves out.

    Raises:
        UnfactorableModel: The model cannot be split by side.
    """
    terms = factor(parse(model_text), sides.features).sides["post"]
    tested = np.unique(terms.column)
    columns = [sides.group, *encode(terms, sides.post)[:, tested].T]
    columns += [] if topic is None else [topic]
    columns += [] if y is None else list(np.ascontiguousarray(y.T, np.float64).view(np.int64))
    key = np.zeros(len(sides.post_ids), np.uint64)
    for column in columns:
        _mix(key, np.ascontiguousarray(column, np.int64))
    order = np.argsort(key, kind="stable")
    is_like = np.ones(len(order) - 1, np.bool_)  # the one before it, in all and not in the key alone
    for column in columns:
        is_like &= column[order[1:]] == column[order[:-1]]
    needed = np.empty(len(order), np.bool_)
    _keep_first(order, is_like, n, needed)
    return needed


@nb.njit(cache=True, nogil=True)
def _mix(key: Any, column: Any) -> None:
    """Mix one more column into the key of each post."""
    for row in range(len(key)):
        word = (key[row] ^ np.uint64(column[row])) * np.uint64(0x9E3779B97F4A7C15)
        key[row] = word ^ (word >> np.uint64(29))


@nb.njit(cache=True, nogil=True)
def _keep_first(order: AnyInts, is_like: Any, n: Any, needed: Any) -> None:
    """Mark the first `n` of each run of posts that are alike; rows of a run ascend."""
    place = 0
    for at in range(len(order)):
        place = place + 1 if at > 0 and is_like[at - 1] else 0
        needed[order[at]] = place < n
