"""An earlier generation's lists: copied inside the store, linked on disk, read back with their scores."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from api.contract.buckets import Horizon
from batch.publish.fill import Work
from batch.store.wire import PipelinedWriter, pack

Ints = npt.NDArray[np.int64]


class ListsGone(RuntimeError):
    """Lists that were to be carried over are not in the store any more."""

    exit_code = 4


def copy_lists(work: Work, base: int, number: int, users: Sequence[int], ttl_s: int) -> None:
    """Copy users' lists of generation `base` to generation `number`, and give each a new life.

    The server copies them: 150 bytes a user go over the wire. A copy has the life of what it was copied
    from until it gets its own, so none is without. Commands of one connection are carried out some hundred
    at a time, and readers get their turn in between.

    Raises:
        ListsGone: Some were not there.
        LeaseLost: This run stalled and lost its turn.
    """
    keys, life = work.keys, b"%d" % ttl_s
    with PipelinedWriter(work.client) as wire:
        for user_id in users:
            work.lease.check()
            source, target = keys.list(user_id, base).encode(), keys.list(user_id, number).encode()
            wire.send(pack(b"COPY", source, target) + pack(b"EXPIRE", target, life), 2)
        wire.flush()
        n_gone = wire.n_zeros // 2  # COPY and EXPIRE answer 0 where there is nothing
    if n_gone:
        raise ListsGone(
            f"{n_gone} of {len(users)} lists of generation {base} are gone from the store: "
            "publish whole with `almanac run`"
        )


def changed_name(number: int) -> str:
    """Return the name of the file with the lists that a refresh wrote.

    >>> changed_name(42)
    'changed-0000042.parquet'
    """
    return f"changed-{number:07d}.parquet"


def link_lists(base: Path, home: Path) -> None:
    """Put an earlier generation's files of lists into a folder: by hard link, or copied where that fails."""
    for path in _files(base):
        try:
            os.link(path, home / path.name)
        except OSError:  # another file system, or one without links
            shutil.copy2(path, home / path.name)


def read_stored(
    home: Path, user_ids: Ints, horizon: Horizon, depth: int
) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Read users' lists from a generation's folder, refreshed or not: what was written last counts.

    Args:
        home: The generation's folder.
        user_ids: int64 (users,), ascending.
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
    for path in _files(home):
        for table in _tables(path, between):
            _lay(table, user_ids, horizon, posts.reshape(-1, depth), scores.reshape(-1, depth))
    return posts, scores


def _files(home: Path) -> list[Path]:
    """Return the files of lists, those of refreshes after the whole ones, in order."""
    return sorted(home.glob("lists-*.parquet")) + sorted(home.glob("changed-*.parquet"))


def _tables(path: Path, between: list[tuple[str, str, int]]) -> Iterator[pa.Table]:
    table = pq.read_table(path, filters=between)
    if len(table):
        yield table.combine_chunks()


def _lay(table: pa.Table, user_ids: Ints, horizon: Horizon, posts: Any, scores: Any) -> None:
    """Lay lists into rows of users × buckets, in the place of what lies there."""
    users = table["user_id"].to_numpy()
    row = np.minimum(np.searchsorted(user_ids, users), len(user_ids) - 1)
    bucket = (table["bucket"].to_numpy() - horizon.start_s) // horizon.width_s
    known = (user_ids[row] == users) & (bucket >= 0) & (bucket < horizon.n_buckets)
    cell = (row * horizon.n_buckets + bucket)[known]
    for name, out in (("posts", posts), ("scores", scores)):
        lists = table.filter(pa.array(known))[name].combine_chunks()
        sizes = np.diff(lists.offsets.to_numpy())
        place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        out[cell] = -1 if name == "posts" else np.nan
        out[np.repeat(cell, sizes), place] = lists.flatten().to_numpy()
