"""Users by profile, posts by topic and text cluster, as ones of sparse matrices: for peers that add up."""

from typing import Any

import numpy as np
from scipy import sparse

from batch.arrays import Floats32
from batch.features.asof import Statics

N_BINS = 8  # of a number, with as many users in each
Matrix = Any  # sparse.csr_matrix, float32; scipy ships no types


def describe_users(statics: Statics) -> Matrix:
    """Return sparse float32 (users, values): a one for each value of a profile, of numbers for its bin."""
    features, values = statics.profiles.features, statics.profiles.values
    columns = [
        column if feature.categorical else _bin(column)
        for feature, column in zip(features, values.T, strict=True)
    ]
    return _ones(np.column_stack(columns) if columns else np.empty((len(values), 0), np.float32))


def describe_posts(statics: Statics) -> Matrix:
    """Return sparse float32 (posts, values): a one for its topic, and one for its text cluster."""
    return _ones(np.column_stack([statics.texts.topic, statics.texts.cluster]).astype(np.float32))


def _bin(column: Floats32) -> Floats32:
    present = column[~np.isnan(column)]
    edges = np.unique(np.quantile(present, np.arange(1, N_BINS) / N_BINS)) if len(present) else present
    return np.where(np.isnan(column), np.nan, np.searchsorted(edges, column, side="right")).astype(np.float32)


def _ones(codes: Floats32) -> Matrix:
    """Return a column for each value of each column of codes; NaN has none.

    >>> _ones(np.array([[3, np.nan], [5, 0]], np.float32)).toarray().tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    """
    parts = [sparse.csr_matrix((len(codes), 0), dtype=np.float32)]
    for column in codes.T:
        present = np.flatnonzero(~np.isnan(column))
        names, place = np.unique(column[present], return_inverse=True)
        ones, shape = np.ones(len(present), np.float32), (len(codes), len(names))
        parts.append(sparse.csr_matrix((ones, (present, place)), shape))
    return sparse.hstack(parts, format="csr", dtype=np.float32)
