"""Rows by id: where ids stand among others. Pure."""

import numpy as np
import pandas as pd

from batch.arrays import AnyInts, Bools, Ints, Ints32


def find_rows(ids: Ints, wanted: AnyInts) -> Ints32:
    """Return each wanted id's row among distinct ids, int32 of its shape; -1 where it has none.

    >>> find_rows(np.array([3, 5, 9]), np.array([9, 4, 3])).tolist()
    [2, -1, 0]
    """
    return np.asarray(pd.Index(ids).get_indexer(wanted.ravel()), np.int32).reshape(wanted.shape)


def renumber(rows: Ints32, kept: Bools) -> Ints32:
    """Return where rows stand once only the kept ones are left; all of `rows` are kept ones.

    >>> renumber(np.array([3, 1], np.int32), np.array([False, True, False, True])).tolist()
    [1, 0]
    """
    return (np.cumsum(kept) - 1)[rows].astype(np.int32)
