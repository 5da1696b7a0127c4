"""Users' lists read back from a generation's folder, with their scores."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from api.contract.buckets import Horizon
from batch.jobs.refresh.digests import find_rows
from batch.publish.folder import GenerationFolder

Ints = npt.NDArray[np.int64]


def read_stored(
    user_ids: Ints, folder: GenerationFolder, horizon: Horizon, depth: int
) -> tuple[Ints, npt.NDArray[np.float64]]:
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
        if len(table):
            cell = _cells(table, user_ids, horizon)
            _lay(table["posts"], cell, posts.reshape(-1, depth), -1)
            _lay(table["scores"], cell, scores.reshape(-1, depth), np.nan)
    return posts, scores


def _cells(table: pa.Table, user_ids: Ints, horizon: Horizon) -> Ints:
    """Return each list's place among users × buckets, -1 where it has none."""
    row = find_rows(user_ids, table["user_id"].to_numpy())
    bucket = (table["bucket"].to_numpy() - horizon.start_s) // horizon.width_s
    known = (row >= 0) & (bucket >= 0) & (bucket < horizon.n_buckets)
    return np.where(known, row * horizon.n_buckets + bucket, -1)


def _lay(lists: pa.ChunkedArray, cell: Ints, out: Any, fill: float) -> None:
    """Lay lists into their places, over what lies there."""
    kept = lists.filter(pa.array(cell >= 0)).combine_chunks()
    sizes, cell = np.diff(kept.offsets.to_numpy()), cell[cell >= 0]
    place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    out[cell] = fill
    out[np.repeat(cell, sizes), place] = kept.flatten().to_numpy()
