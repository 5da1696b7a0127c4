"""Users' lists read back from a generation's folder, with their scores."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from api.contract.buckets import Horizon
from batch.arrays import Floats, Ints
from batch.data.rows import find_rows
from batch.publish import shard
from batch.publish.folder import GenerationFolder


def read_stored(
    user_ids: Ints, folder: GenerationFolder, horizon: Horizon, depth: int
) -> tuple[Ints, Floats]:
    """Read users' lists from a generation's folder, refreshed or not: what was written last counts.

    Args:
        user_ids: int64 (users,), ascending.
        folder: The generation's.
        horizon: The generation's buckets.
        depth: Posts in a list.

    Returns:
        int64 (users, buckets, depth) post ids, best first, -1 fills; float64 of that shape, their scores,
        NaN fills.
    """
    shape = (len(user_ids), horizon.n_buckets, depth)
    posts, scores = np.full(shape, -1, np.int64), np.full(shape, np.nan)
    if not len(user_ids):
        return posts, scores
    between = [("user_id", ">=", int(user_ids[0])), ("user_id", "<=", int(user_ids[-1]))]
    for path in folder.lists():
        table = pq.read_table(path, filters=between)
        cell = _cells(table, user_ids, horizon)
        here = cell >= 0
        for column, out, fill in (("posts", posts, -1), ("scores", scores, np.nan)):
            lists = table[column].filter(pa.array(here))
            out.reshape(-1, depth)[cell[here]] = shard.pad(lists, depth, fill)
    return posts, scores


def _cells(table: pa.Table, user_ids: Ints, horizon: Horizon) -> Ints:
    """Return each list's place among users × buckets, -1 where it has none."""
    row = find_rows(user_ids, table["user_id"].to_numpy()).astype(np.int64)
    bucket = (table["bucket"].to_numpy() - horizon.start_s) // horizon.width_s
    known = (row >= 0) & (bucket >= 0) & (bucket < horizon.n_buckets)
    return np.where(known, row * horizon.n_buckets + bucket, -1)
