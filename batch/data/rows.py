"""Rows by id: where ids stand among others. Pure."""

import numpy as np
import pandas as pd

from batch.arrays import AnyInts, Ints, Ints32


def find_rows(ids: Ints, wanted: AnyInts) -> Ints32:
    """Return each wanted id's row among distinct ids, int32 of its shape; -1 where it has none.

    >>> find_rows(np.array([3, 5, 9]), np.array([9, 4, 3])).tolist()
    [2, -1, 0]
    """
    return np.asarray(pd.Index(ids).get_indexer(wanted.ravel()), np.int32).reshape(wanted.shape)
