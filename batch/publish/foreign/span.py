"""The times that somebody else's lists answer. Pure."""

from math import ceil, gcd

import numpy as np

from api.contract.buckets import Horizon
from batch.arrays import Ints
from batch.publish.foreign.faults import ListsRefused
from batch.publish.foreign.reading import NO_TIME_S


def find_horizon(starts: Ints, as_of_s: int, life_s: int, last_s: int | None, most: int) -> Horizon:
    """Return the buckets of lists: one, as wide as their life, or what their begins have in common.

    Args:
        starts: int64, ascending. The distinct begins of lists; NO_TIME_S alone where they have none.
        as_of_s: Where lists without a begin of their own begin.
        life_s: Seconds that lists hold which all begin together.
        last_s: Seconds that the last lists hold where they do not; None: as wide as a bucket.
        most: Buckets at most.

    Raises:
        ListsRefused: The begins make more buckets.

    >>> find_horizon(np.array([3600, 7200, 14400]), 0, 99, None, 24)
    Horizon(start_s=3600, width_s=3600, n_buckets=4)
    """
    if len(starts) <= 1:
        own = int(starts[0]) if len(starts) else NO_TIME_S
        return Horizon(as_of_s if own == NO_TIME_S else own, life_s, 1)
    width_s = gcd(*np.diff(starts).tolist())
    n_buckets = int(starts[-1] - starts[0]) // width_s + ceil((last_s or width_s) / width_s)
    if n_buckets > most:
        raise ListsRefused(
            f"the times in valid_from make {n_buckets:,} buckets of {width_s} s, more than {most}: "
            "round them, to whole hours say, or raise ALMANAC_N_BUCKETS"
        )
    return Horizon(int(starts[0]), width_s, n_buckets)
