"""Copy facts from one place to another: read, checked and sorted on the way, and then in our own schema."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from batch.data.columns import (
    ACTION,
    ACTIONS,
    EMBEDDINGS,
    FEED,
    POST_ID,
    POSTS,
    TARGET,
    TIMESTAMP,
    USER_ID,
    USERS,
)
from batch.data.facts import Facts, Report
from batch.data.mapping import Mapping
from batch.data.read import read
from batch.data.source import Progress
from batch.data.write import refuse_taken, write

CHUNK_ROWS = 1 << 20


def copy(
    source: str,
    target: str,
    *,
    mapping: Mapping,
    rejects: Path,
    max_rejected_share: float,
    now_s: int,
    replace: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Read, check and write every fact; the arguments are those of `read` and `write`.

    Takes the memory of `read`, and a chunk. A refused source leaves the target as it was.

    Raises:
        SourceError: Source or target cannot be reached, or the target holds facts and `replace` is False.
        TooManyRejected: More event rows than allowed were rejected.
    """
    if not replace:
        refuse_taken(target)
    facts = read(
        source,
        mapping=mapping,
        rejects=rejects,
        max_rejected_share=max_rejected_share,
        now_s=now_s,
        progress=progress,
    )
    write(target, tables(facts), replace=replace, progress=progress)
    return facts.report


def tables(facts: Facts) -> Iterator[tuple[str, pa.Table]]:
    """Yield facts as tables of our schema, the feed in chunks; reading them gives equal facts.

    Times are timestamps without zone, UTC. Profile columns of whole numbers are integers. Embeddings
    are `e0`, `e1`, …; a post without one has no row.
    """
    yield USERS, _frame(facts.users)
    yield POSTS, _frame(facts.posts)
    if facts.embeddings is not None:
        yield EMBEDDINGS, _vectors(facts.post_ids, facts.embeddings)
    user_ids, post_ids = facts.user_ids, facts.post_ids
    names = pa.array(sorted(ACTIONS, key=ACTIONS.__getitem__))
    for start in range(0, max(1, len(facts.time)), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        columns = {
            TIMESTAMP: pa.array(facts.time[rows]).cast(pa.timestamp("s")).cast(pa.timestamp("us")),
            USER_ID: user_ids[facts.user[rows]],
            POST_ID: post_ids[facts.post[rows]],
            ACTION: names.take(pa.array(facts.action[rows])),
            TARGET: facts.target[rows],
        }
        yield FEED, pa.table(columns)


def _frame(frame: pd.DataFrame) -> pa.Table:
    return pa.table({str(name): _column(np.asarray(frame[name])) for name in frame.columns})


def _column(values: npt.NDArray[Any]) -> pa.Array:
    if values.dtype == object:
        return pa.array(values, pa.string(), from_pandas=True)
    column = pa.array(values, from_pandas=True)
    present = values[~np.isnan(values)]
    # Beyond 2**53 a float64 is no longer every whole number.
    is_whole = len(present) > 0 and bool(np.all((np.floor(present) == present) & (np.abs(present) <= 2**53)))
    return column.cast(pa.int64()) if is_whole else column


def _vectors(post_ids: npt.NDArray[np.int64], embeddings: npt.NDArray[np.float32]) -> pa.Table:
    rows = ~np.isnan(embeddings).all(axis=1)
    columns = {f"e{place}": embeddings[rows, place] for place in range(embeddings.shape[1])}
    return pa.table({POST_ID: post_ids[rows], **columns})
