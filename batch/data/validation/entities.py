"""Users, posts and embeddings: one row an id, checked; small enough to be held whole."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from batch.arrays import Bools, Ints
from batch.data.columns import EMBEDDINGS, POST_ID, POSTS, TEXT, TOPIC, USER_ID, USERS
from batch.data.rows import find_rows
from batch.data.validation.ids import Ids
from batch.data.validation.rejects import ACCEPTED, Reason, Rejects, first_reason
from batch.data.validation.values import is_numeric, numbers, plain, to_numpy

DUPLICATES: dict[str, Reason] = {
    USERS: "duplicate_user",
    POSTS: "duplicate_post",
    EMBEDDINGS: "duplicate_embedding",
}


class Key(NamedTuple):
    """A column of ids, `user_id` or `post_id`, by our name and by theirs."""

    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Entities:
    """The rows of a table that has one row an id.

    Attributes:
        ids: int64 (rows,), ascending, distinct. Codes; in embeddings also of posts that are none.
        marks: int64 (rows,). The mark of each of `ids`.
        batches: The accepted rows as they came, columns by our names.
        order: int64 (rows,). Place in `batches`, laid end to end, of each of `ids`.
        typed: The table knew its types; if not, text that looks like a number is one.
    """

    ids: Ints
    marks: Ints
    batches: list[pa.RecordBatch]
    order: Ints
    typed: bool

    def values(self, name: str) -> npt.NDArray[Any]:
        """Return a column, (rows,): float64 with NaN where it holds numbers alone, else texts with None.

        A column without any value is float64.
        """
        chunks = [plain(batch.column(name)) for batch in self.batches]
        parsed = np.concatenate([np.empty(0), *map(numbers, chunks)])[self.order]
        if all(is_numeric(chunk.type) for chunk in chunks if chunk.null_count < len(chunk)):
            return parsed
        texts = self.texts(name)
        all_parsed = not self.typed and np.array_equal(np.isnan(parsed), pd.isna(texts))
        return parsed if all_parsed else texts

    def texts(self, name: str) -> npt.NDArray[np.object_]:
        """Return a column as texts, object (rows,), None where missing."""
        parts = [to_numpy(plain(batch.column(name)).cast(pa.string())) for batch in self.batches]
        return np.concatenate([np.empty(0, object), *parts]).astype(object)[self.order]


def gather(
    table: str, key: Key, batches: Iterable[pa.RecordBatch], ids: Ids, rejects: Rejects, *, typed: bool
) -> Entities:
    """Keep the first row of every id; reject rows without an id, with an unreadable one, and repeats.

    A row that repeats the header, as in files laid end to end, has no id either. The kind of ids is decided
    by the table of users, or of posts.

    Args:
        table: Our name of the table.
        key: Its column of ids.
        batches: Its rows, columns by our names.
        ids: Those of users, or of posts.
        rejects: Takes the rows that are not accepted.
        typed: The table knows its types.
    """
    kept: list[pa.RecordBatch] = []
    values: list[Ints] = [np.empty(0, np.int64)]
    missing: Reason = "missing_user" if key.ours == USER_ID else "missing_post"
    for batch in batches:
        parsed = ids.parse(batch.column(key.ours))
        unreadable = parsed.unreadable | _equal(batch.column(key.ours), key.theirs)
        code = first_reason({missing: parsed.missing, "unreadable_id": unreadable})
        rejects.add(table, batch, code)
        kept.append(batch.filter(pa.array(code == ACCEPTED)))
        values.append(parsed.value[code == ACCEPTED])
    every = np.concatenate(values)
    if table != EMBEDDINGS:
        ids.decide(every)
    marks, order = np.unique(ids.settle(every), return_index=True)
    _reject(table, kept, ~np.isin(np.arange(len(every)), order), DUPLICATES[table], rejects)
    codes = ids.codes(marks)
    ascending = np.argsort(codes)
    return Entities(codes[ascending], marks[ascending], kept, order[ascending], typed)


def users_frame(user_ids: Ints, profiles: Entities | None, names: list[str]) -> pd.DataFrame:
    """Return one row a user; who has no profile has a row of missing values.

    Args:
        user_ids: int64 (users,), ascending.
        profiles: The profiles there are, all of them users; None without a table of them.
        names: The profile columns to lay out.
    """
    columns: dict[str, Any] = {USER_ID: user_ids}
    if profiles:
        at = find_rows(user_ids, profiles.ids)
        for name in names:
            values = profiles.values(name)
            whole = np.full(len(user_ids), None if values.dtype == object else np.nan, values.dtype)
            whole[at] = values
            columns[name] = pd.Series(whole, dtype=values.dtype)
    return pd.DataFrame(columns)


def posts_frame(post_ids: Ints, posts: Entities | None, names: list[str]) -> pd.DataFrame:
    """Return one row a post, with `topic` and `text` (object, None is missing) even where none are given."""
    columns: dict[str, Any] = {POST_ID: post_ids}
    for name in (TOPIC, TEXT):
        values = posts.texts(name) if posts and name in names else [None] * len(post_ids)
        columns[name] = pd.Series(values, dtype=object)
    return pd.DataFrame(columns)


def vectors(post_ids: Ints, embeddings: Entities, names: list[str], rejects: Rejects) -> Any:
    """Return float32 (posts, d) of the columns that hold numbers, in the table's order; NaN where missing.

    Args:
        post_ids: int64 (posts,), ascending.
        embeddings: One row a post.
        names: The columns beside the id.
        rejects: Takes the rows of other posts.
    """
    row = find_rows(post_ids, embeddings.ids)
    strange = np.zeros(sum(batch.num_rows for batch in embeddings.batches), np.bool_)
    strange[embeddings.order[row < 0]] = True
    _reject(EMBEDDINGS, embeddings.batches, strange, "unknown_post", rejects)
    columns = [embeddings.values(name) for name in names]
    columns = [column for column in columns if column.dtype == np.float64]
    out = np.full((len(post_ids), len(columns)), np.nan, np.float32)
    for number, column in enumerate(columns):
        out[row[row >= 0], number] = column[row >= 0]
    return out


def _equal(column: pa.Array, text: str) -> Bools:
    column = plain(column)
    if not pt.is_string(column.type):
        return np.zeros(len(column), np.bool_)
    return to_numpy(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), text), fill_value=False))


def _reject(table: str, batches: list[pa.RecordBatch], bad: Bools, reason: Reason, rejects: Rejects) -> None:
    start = 0
    for batch in batches:
        rows = bad[start : start + batch.num_rows]
        rejects.add(table, batch, first_reason({reason: rows}))
        start += batch.num_rows
