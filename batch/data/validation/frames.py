"""Entities laid out by row number: profiles, posts and vectors of everyone and everything in the facts."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from batch.data.columns import POST_ID, TEXT, TOPIC, USER_ID
from batch.data.validation.entities import Entities, Ints

Columns = dict[str, npt.NDArray[Any]]


def users_frame(user_ids: Ints, profiles: Entities | None, names: list[str]) -> pd.DataFrame:
    """Return one row a user; who has no profile has a row of missing values.

    Args:
        user_ids: int64 (users,), ascending.
        profiles: The profiles there are, all of them users; None without a table of them.
        names: The profile columns to lay out.
    """
    columns = {name: profiles.values(name) for name in names} if profiles else {}
    ids = profiles.ids if profiles else user_ids
    return _frame(USER_ID, user_ids, ids, columns)


def posts_frame(post_ids: Ints, posts: Entities | None, names: list[str]) -> pd.DataFrame:
    """Return one row a post, with `topic` and `text` (object, None is missing) even where none are given."""
    columns: Columns = {name: np.full(len(post_ids), None, object) for name in (TOPIC, TEXT)}
    if posts:
        columns |= {name: posts.texts(name) for name in names if name in columns}
    return _frame(POST_ID, post_ids, post_ids, columns)


def vectors(post_ids: Ints, embeddings: Entities, names: list[str], there: npt.NDArray[np.bool_]) -> Any:
    """Return float32 (posts, d) of the columns that hold numbers, in the table's order; NaN where missing.

    Args:
        post_ids: int64 (posts,), ascending.
        embeddings: One row a post.
        names: The columns beside the id.
        there: bool (rows,). The rows of `embeddings` whose post is among `post_ids`.
    """
    columns = [embeddings.values(name) for name in names]
    columns = [column for column in columns if column.dtype == np.float64]
    out = np.full((len(post_ids), len(columns)), np.nan, np.float32)
    at = np.searchsorted(post_ids, embeddings.ids[there])
    for number, column in enumerate(columns):
        out[at, number] = column[there]
    return out


def _frame(key: str, every: Ints, ids: Ints, columns: Columns) -> pd.DataFrame:
    """Return a row for each of `every`, with the columns' values where `ids` has it."""
    at = np.searchsorted(every, ids)
    laid: dict[str, Any] = {key: every}
    for name, values in columns.items():
        missing = None if values.dtype == object else np.nan
        whole = np.full(len(every), missing, values.dtype)
        whole[at] = values
        laid[name] = pd.Series(whole, dtype=values.dtype)
    return pd.DataFrame(laid)
