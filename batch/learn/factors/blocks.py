"""Work on users in blocks of about as many impressions each, by threads; how many threads changes no bit."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numba
import numpy as np

from batch.arrays import Ints

Block = tuple[int, int]  # users from the first up to the second, that not included
Item = TypeVar("Item")
Result = TypeVar("Result")

ROWS_A_BLOCK = 1 << 17  # impressions that last a millisecond, long beside what a call takes
ROWS_A_SUM = 1 << 20  # where blocks' sums are added up: their number is in the last bits, and in memory


def split_users(start: Ints, rows: int) -> list[Block]:
    """Cut users into blocks of about `rows` impressions; where no more are there, all are one block.

    >>> split_users(np.array([0, 3, 4, 9]), rows=4)
    [(0, 2), (2, 3)]
    """
    inner = np.searchsorted(start, np.arange(rows, start[-1], rows))
    bounds = np.unique([0, *inner, len(start) - 1]).tolist()
    return list(pairwise(bounds))


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield what `work` returns of each item, in their order; it runs on as many threads as numba may use.

    It should leave the interpreter's lock, as functions do that are compiled with `nogil`.
    """
    n_threads = min(numba.get_num_threads(), len(items))
    if n_threads < 2:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield from pool.map(work, items)


def for_blocks(work: Callable[[int, int], None], start: Ints) -> None:
    """Call `work(low, high)` for blocks of all users; it writes to nothing but places of these users."""
    for _ in in_threads(lambda block: work(*block), split_users(start, ROWS_A_BLOCK)):
        pass
