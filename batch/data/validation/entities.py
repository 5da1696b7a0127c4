"""Users, posts and embeddings: one row an id, checked; small enough to be held whole."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batch.arrays import Bools, Floats32, Ints
from batch.data.columns import (
    ALL_TOPICS,
    EMBEDDINGS,
    MORE_TOPICS,
    POST_ID,
    POSTS,
    TEXT,
    TOPIC,
    USER_ID,
    USERS,
)
from batch.data.mapping import TimeForm
from batch.data.rows import find_rows
from batch.data.tables.location import SourceError
from batch.data.validation.ids import Ids
from batch.data.validation.rejects import ACCEPTED, Reason, Rejects, first_reason
from batch.data.validation.values import (
    LARGEST,
    is_list,
    is_numeric,
    number_lists,
    numbers,
    plain,
    spell,
    spell_lists,
    to_numpy,
)
from batch.data.validation.windows import WINDOW, Wrong, read_windows
from batch.data.windows import Windows

LARGEST_IN_VECTORS = 1e15  # whose squares, added up, are finite in float32

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

        A column without any value is float64; of lists it is tuples of texts with None.
        """
        if self.holds_lists(name):
            return self.lists(name)
        chunks = [plain(batch.column(name)) for batch in self.batches]
        parsed = np.concatenate([np.empty(0), *map(numbers, chunks)])[self.order]
        if all(is_numeric(chunk.type) for chunk in chunks if chunk.null_count < len(chunk)):
            return parsed
        texts = self.texts(name)
        all_parsed = not self.typed and np.array_equal(np.isnan(parsed), pd.isna(texts))
        return parsed if all_parsed else texts

    def texts(self, name: str) -> npt.NDArray[np.object_]:
        """Return a column as texts, object (rows,), None where missing; a list's are joined by blanks."""
        return self._laid_out(to_numpy(spell(batch.column(name))) for batch in self.batches)

    def lists(self, name: str) -> npt.NDArray[np.object_]:
        """Return a column as tuples of texts, object (rows,), None where missing."""
        return self._laid_out(spell_lists(plain(batch.column(name))) for batch in self.batches)

    def holds_lists(self, name: str) -> bool:
        """Say whether a column has lists."""
        kinds = [batch.column(name) for batch in self.batches]
        return any(is_list(column.type) and column.null_count < len(column) for column in kinds)

    def vectors(self, name: str) -> Floats32:
        """Return a column of numbers or of lists of them, (rows, d), NaN where missing; d 0 where all are.

        Raises:
            ValueError: It is none, or its lists differ in length.
        """
        chunks = [number_lists(batch.column(name)) for batch in self.batches]
        lists = pa.chunked_array(chunks, pa.list_(pa.float64())).combine_chunks()
        there = to_numpy(pc.is_valid(lists))
        lengths = pc.unique(pc.list_value_length(lists.drop_null())).to_pylist()
        if len(lengths) > 1:
            raise ValueError(f"its lists have {lengths[0]} numbers and {lengths[1]}")
        if not lengths:
            return np.empty((len(self.order), 0), np.float32)
        out = np.full((len(lists), lengths[0]), np.nan, np.float32)
        with np.errstate(over="ignore"):  # what is too large for float32 is infinite
            out[there] = np.asarray(lists.flatten().fill_null(np.nan), np.float32).reshape(-1, lengths[0])
        return out[self.order]

    def _laid_out(self, parts: Iterable[npt.NDArray[Any]]) -> npt.NDArray[np.object_]:
        return np.concatenate([np.empty(0, object), *parts]).astype(object)[self.order]


def gather(
    table: str,
    key: Key,
    batches: Iterable[pa.RecordBatch],
    ids: Ids,
    rejects: Rejects,
    *,
    typed: bool,
    find_wrong: Callable[[pa.RecordBatch], Wrong] = lambda _: {},
) -> Entities:
    """Keep the first row of every id; reject rows without an id, with an unreadable one, and repeats.

    A row that repeats the header, as in files laid end to end, has no id either. The kind of ids is decided
    by the table of users, or of posts, unless it is empty.

    Args:
        table: Our name of the table.
        key: Its column of ids.
        batches: Its rows, columns by our names.
        ids: Those of users, or of posts.
        rejects: Takes the rows that are not accepted.
        typed: The table knows its types.
        find_wrong: What else rejects a row.
    """
    kept: list[pa.RecordBatch] = []
    values: list[Ints] = [np.empty(0, np.int64)]
    missing: Reason = "missing_user" if key.ours == USER_ID else "missing_post"
    for batch in batches:
        parsed = ids.parse(batch.column(key.ours), key.theirs)
        wrong: Wrong = {missing: parsed.missing, "unreadable_id": parsed.unreadable}
        code = first_reason(wrong | find_wrong(batch))
        rejects.add(table, batch, code)
        kept.append(batch.filter(pa.array(code == ACCEPTED)))
        values.append(parsed.value[code == ACCEPTED])
    every = np.concatenate(values)
    if table != EMBEDDINGS and len(every):
        ids.decide(every)
    marks, order = np.unique(ids.settle(every), return_index=True)
    _reject(table, kept, ~np.isin(np.arange(len(every)), order), DUPLICATES[table], rejects)
    codes = ids.codes(marks)
    ascending = np.argsort(codes)
    return Entities(codes[ascending], marks[ascending], kept, order[ascending], typed)


def users_frame(
    user_ids: Ints, profiles: Entities | None, names: list[str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return one row a user; who has no profile has a row of missing values.

    Args:
        user_ids: int64 (users,), ascending.
        profiles: The profiles there are, all of them users; None without a table of them.
        names: The profile columns to lay out.

    Returns:
        The rows, and of columns with infinite numbers, which are missing, how many there are.
    """
    columns: dict[str, Any] = {USER_ID: user_ids}
    infinite: dict[str, int] = {}
    if profiles:
        at = find_rows(user_ids, profiles.ids)
        for name in names:
            values = profiles.values(name)
            if values.dtype == np.float64 and (far := np.abs(values) > LARGEST).any():
                values, infinite[name] = np.where(far, np.nan, values), int(far.sum())
            whole = np.full(len(user_ids), None if values.dtype == object else np.nan, values.dtype)
            whole[at] = values
            columns[name] = pd.Series(whole, dtype=values.dtype)
    return pd.DataFrame(columns), infinite


def posts_frame(
    post_ids: Ints, posts: Entities | None, names: list[str], form: TimeForm | None = None
) -> pd.DataFrame:
    """Return one row a post, with `topic` and `text` (object, None is missing) even where none are given.

    A post of the feed alone has neither. Of a list of topics the first is the post's; `more_topics` are the
    others as words, `all_topics` the list: columns that are there only where a post has several. Further
    columns are texts, or tuples of them where they are lists. Windows, whose times are of a form, are there
    where some post has one.
    """
    texts = [name for name in names if name not in WINDOW]
    columns = {name: _cells(posts, name) for name in texts} if posts else {}
    if posts and TOPIC in names and posts.holds_lists(TOPIC):
        lists = [topics or () for topics in posts.lists(TOPIC)]
        columns[TOPIC] = np.array([topics[0] if topics else None for topics in lists], object)
        columns[MORE_TOPICS] = np.array([" ".join(topics[1:]) or None for topics in lists], object)
        if any(len(topics) > 1 for topics in lists):
            columns[ALL_TOPICS] = posts.lists(TOPIC)
    laid: dict[str, Any] = {POST_ID: post_ids}
    at = find_rows(post_ids, posts.ids) if posts else np.empty(0, np.int32)
    for name in dict.fromkeys((TOPIC, TEXT, MORE_TOPICS, *sorted(columns))):
        values = np.full(len(post_ids), None, object)
        values[at] = columns.get(name)
        if name != MORE_TOPICS or any(values):
            laid[name] = pd.Series(values, dtype=object)
    if posts and len(texts) < len(names):
        windows = read_windows(posts.batches, form or TimeForm()).of_posts(posts.order)
        laid |= Windows.none(len(post_ids)).put(at, windows).frame()
    return pd.DataFrame(laid)


def _cells(posts: Entities, name: str) -> npt.NDArray[np.object_]:
    """Return a column as texts; as tuples of them where it is lists, or what we wrote of lists as `a|b`."""
    if name not in (TEXT, MORE_TOPICS) and posts.holds_lists(name):
        return posts.lists(name)
    texts = posts.texts(name)
    if name != ALL_TOPICS:
        return texts
    return np.fromiter((text and tuple(text.split("|")) for text in texts), object, len(texts))


def vectors(
    post_ids: Ints, embeddings: Entities, names: list[str], rejects: Rejects
) -> tuple[Floats32 | None, int]:
    """Lay out the embeddings, the columns' numbers side by side in the table's order.

    Args:
        post_ids: int64 (posts,), ascending.
        embeddings: One row a post.
        names: The columns beside the id, numbers or lists of numbers.
        rejects: Takes the rows of other posts.

    Returns:
        float32 (posts, d), NaN rows where a number is missing or far too large, None where every row
        is; and how many rows have some of their numbers only.

    Raises:
        SourceError: A column is neither, or there is none.
    """
    row = find_rows(post_ids, embeddings.ids)
    strange = np.zeros(sum(batch.num_rows for batch in embeddings.batches), np.bool_)
    strange[embeddings.order[row < 0]] = True
    _reject(EMBEDDINGS, embeddings.batches, strange, "unknown_post", rejects)
    given = np.hstack([np.empty((len(row), 0), np.float32), *(_vectors(embeddings, name) for name in names)])
    given = given[row >= 0]
    broken = ~(np.abs(given) < LARGEST_IN_VECTORS).all(axis=1)  # what is missing, too
    n_broken = int((broken & ~np.isnan(given).all(axis=1)).sum())
    if broken.all() or not given.shape[1]:
        return None, n_broken
    given[broken] = np.nan
    out = np.full((len(post_ids), given.shape[1]), np.nan, np.float32)
    out[row[row >= 0]] = given
    return out, n_broken


def _vectors(embeddings: Entities, name: str) -> Floats32:
    try:
        return embeddings.vectors(name)
    except ValueError as exc:
        raise SourceError(
            f"{EMBEDDINGS} has a column {name!r} that holds no embeddings: {exc}; "
            "name those that do under [embeddings] columns in a mapping file"
        ) from exc


def _reject(table: str, batches: list[pa.RecordBatch], bad: Bools, reason: Reason, rejects: Rejects) -> None:
    start = 0
    for batch in batches:
        rows = bad[start : start + batch.num_rows]
        rejects.add(table, batch, first_reason({reason: rows}))
        start += batch.num_rows
