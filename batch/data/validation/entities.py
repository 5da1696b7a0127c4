"""Users, posts and embeddings: one row an id, checked; small enough to be held whole."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from batch.data.columns import EMBEDDINGS, POSTS, USER_ID, USERS
from batch.data.validation.rejects import ACCEPTED, REASONS, Reason, Rejects
from batch.data.validation.values import Bools, Floats, ids, is_numeric, numbers, plain

Ints = npt.NDArray[np.int64]

DUPLICATES: dict[str, Reason] = {
    USERS: "duplicate_user",
    POSTS: "duplicate_post",
    EMBEDDINGS: "duplicate_embedding",
}


@dataclass(frozen=True, slots=True)
class Entities:
    """The rows of a table that has one row an id.

    Attributes:
        ids: int64 (rows,), ascending, distinct.
        batches: The accepted rows as they came, columns by our names.
        order: int64 (rows,). Place in `batches`, laid end to end, of each of `ids`.
        typed: The table knew its types; if not, text that looks like a number is one.
    """

    ids: Ints
    batches: list[pa.RecordBatch]
    order: Ints
    typed: bool

    def values(self, name: str) -> npt.NDArray[Any]:
        """Return a column, (rows,): float64 with NaN where it holds numbers alone, else texts with None.

        A column without any value is float64.
        """
        chunks = self._chunks(name)
        present = [chunk for chunk in chunks if chunk.null_count < len(chunk)]
        if all(is_numeric(chunk.type) for chunk in present):
            return self._numbers(chunks)
        if not self.typed:
            parsed = self._numbers(chunks)
            if np.array_equal(np.isnan(parsed), pd.isna(self.texts(name))):
                return parsed
        return self.texts(name)

    def texts(self, name: str) -> npt.NDArray[np.object_]:
        """Return a column as texts, object (rows,), None where missing."""
        parts = [chunk.cast(pa.string()).to_numpy(zero_copy_only=False) for chunk in self._chunks(name)]
        return np.concatenate([np.empty(0, object), *parts]).astype(object)[self.order]

    def _numbers(self, chunks: list[pa.Array]) -> Floats:
        return np.concatenate([np.empty(0), *(numbers(chunk) for chunk in chunks)])[self.order]

    def _chunks(self, name: str) -> list[pa.Array]:
        return [plain(batch.column(name)) for batch in self.batches]


def gather(
    table: str, key: str, batches: Iterable[pa.RecordBatch], rejects: Rejects, *, typed: bool
) -> Entities:
    """Keep the first row of every id; reject rows without an id, with an unreadable one, and repeats.

    Args:
        table: Our name of the table.
        key: Our name of its id column, `user_id` or `post_id`.
        batches: Its rows, columns by our names.
        rejects: Takes the rows that are not accepted.
        typed: The table knows its types.
    """
    kept: list[pa.RecordBatch] = []
    values: list[Ints] = [np.empty(0, np.int64)]
    missing: Reason = "missing_user" if key == USER_ID else "missing_post"
    for batch in batches:
        parsed = ids(batch.column(key))
        code = np.full(batch.num_rows, ACCEPTED, np.int8)
        code[parsed.missing] = REASONS.index(missing)
        code[parsed.unreadable] = REASONS.index("unreadable_id")
        rejects.add(table, batch, code)
        kept.append(batch.filter(pa.array(code == ACCEPTED)))
        values.append(parsed.value[code == ACCEPTED])
    every = np.concatenate(values)
    distinct, order = np.unique(every, return_index=True)
    _reject(table, kept, ~np.isin(np.arange(len(every)), order), DUPLICATES[table], rejects)
    return Entities(distinct, kept, order, typed)


def reject_unknown(entities: Entities, table: str, known: Ints, rejects: Rejects) -> Bools:
    """Reject the rows whose id is not among `known`; return bool (rows,) of those that are."""
    there = np.isin(entities.ids, known)
    bad = np.zeros(sum(batch.num_rows for batch in entities.batches), np.bool_)
    bad[entities.order[~there]] = True
    _reject(table, entities.batches, bad, "unknown_post", rejects)
    return there


def _reject(table: str, batches: list[pa.RecordBatch], bad: Bools, reason: Reason, rejects: Rejects) -> None:
    start = 0
    for batch in batches:
        rows = bad[start : start + batch.num_rows]
        rejects.add(table, batch, np.where(rows, REASONS.index(reason), ACCEPTED).astype(np.int8))
        start += batch.num_rows
