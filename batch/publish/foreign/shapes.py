"""Tables of recommendations as libraries write them, brought to rows of one user and one post. Pure.

A row an item, as RecTools, LensKit, SQL and most scripts have them: user, item, rank or score. Or a row a
user with a list: structs of item and rating in Spark's `recommendForAllUsers`, ids and scores in implicit.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from batch.arrays import Bools, Floats
from batch.data.tables.location import SourceError
from batch.data.validation.values import is_list, numbers, plain, to_numpy

# Compared without case and without what is neither letter nor digit; of several the first counts.
USER = ("userid", "user", "customerid", "visitorid", "uid")
POST = ("postid", "itemid", "post", "item", "productid", "movieid", "articleid", "sku")
POSTS = ("recommendations", "recs", "ids", "itemids", "postids", "items", "posts")  # lists
SCORE = ("score", "rating", "prediction", "scores", "ratings", "relevance")
RANK = ("rank",)
VALID_FROM = ("validfrom",)
FILL = float(np.finfo(np.float32).min)  # the score of a place that implicit had no item for


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of a table of recommendations, by their own names; an empty one is not there."""

    user: str
    post: str
    rank: str
    score: str
    valid_from: str

    @property
    def columns(self) -> list[str]:
        """Return the names of those that are there."""
        return [name for name in (self.user, self.post, self.rank, self.score, self.valid_from) if name]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one user and one post each, (rows,) everything.

    Attributes:
        user: Ids, any type.
        post: Ids, any type.
        order: float64. Lists are in ascending order of it, NaN where it is unknown: the rank, or minus the
            score, or the place in the list.
        score: float64. As given; minus the rank where no score is.
        valid_from: Any type; None where a list has no begin of its own.
        ragged: How many lists had more or fewer scores than posts; their rows are not here.
        ragged_user: Whose list was the first such.
        is_ranked: Whether `order` is a rank.
    """

    user: pa.Array
    post: pa.Array
    order: Floats
    score: Floats
    valid_from: pa.Array | None
    ragged: int
    ragged_user: str
    is_ranked: bool


def find_shape(names: Sequence[str], where: str) -> Shape:
    """Return which columns of a table hold users, posts and their order.

    Of Spark's two columns the one beside `recommendations` is the user, whatever it is called.

    Raises:
        SourceError: They are not there.

    >>> find_shape(["user_id", "item_id", "score", "rank"], "a frame")
    Shape(user='user_id', post='item_id', rank='rank', score='score', valid_from='')
    """
    user, post, lists = (find_column(names, words) for words in (USER, POST, POSTS))
    if not user and lists and len(names) == 2:
        user = next(name for name in names if name != lists)
    rank, score, valid_from = (find_column(names, words) for words in (RANK, SCORE, VALID_FROM))
    shape = Shape(user, post or lists, rank, score, valid_from)
    for what, name, words in (("user", shape.user, USER), ("post", shape.post, POST + POSTS)):
        if not name:
            there = ", ".join(filter(None, names)) or "nothing"
            raise SourceError(
                f"{where} has no column of a {what} (it has {there}): call it {words[0][:-2]}_id, "
                "as `almanac publish` reads user_id, post_id or item_id, rank or score"
            )
    if not (shape.rank or shape.score or lists):
        there = ", ".join(names)
        raise SourceError(
            f"{where} has neither a rank nor a score (it has {there}): nothing orders its lists"
        )
    return shape


def find_column(names: Sequence[str], words: Sequence[str]) -> str:
    """Return the column that is called by the first of the words that any is called by; empty: none is.

    >>> find_column(["itemId", "score"], POST), find_column(["score"], POST)
    ('itemId', '')
    """
    by_word = {_word(name): name for name in reversed(names)}
    return next((by_word[word] for word in words if word in by_word), "")


def take_rows(batch: pa.RecordBatch, shape: Shape) -> Rows:
    """Return the rows of a batch, lists taken apart; places that implicit filled for want of items are out.

    Raises:
        ValueError: A list holds structs in which no post is found.
    """
    batch, (ragged, ragged_user) = _drop_ragged(batch, shape)
    post, user = plain(batch.column(shape.post)), batch.column(shape.user)
    score = batch.column(shape.score) if shape.score else None
    rank = batch.column(shape.rank) if shape.rank else None
    valid_from = batch.column(shape.valid_from) if shape.valid_from else None
    if is_list(post.type):
        parent = pc.list_parent_indices(post)
        score = score if score is None or not is_list(score.type) else pc.list_flatten(score)
        post, rating = _fields(pc.list_flatten(post))
        score, rank = (rating if rating is not None else score), None
        user = user.take(parent)
        valid_from = None if valid_from is None else valid_from.take(parent)
        place = _places(to_numpy(parent))
    else:
        place = None
    scored = None if score is None else numbers(score)
    order = numbers(rank) if rank is not None else -scored if scored is not None else place
    assert order is not None, "find_shape has seen an order"
    rows = Rows(
        user=user,
        post=post,
        order=order,
        score=-order if scored is None else scored,
        valid_from=valid_from,
        ragged=ragged,
        ragged_user=ragged_user,
        is_ranked=rank is not None,
    )
    return _without_fill(rows) if scored is not None else rows


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _drop_ragged(batch: pa.RecordBatch, shape: Shape) -> tuple[pa.RecordBatch, tuple[int, str]]:
    """Return the batch without lists of another length than their scores; how many, whose is first."""
    post = plain(batch.column(shape.post))
    score = batch.column(shape.score) if shape.score else None
    if score is None or not is_list(post.type) or not is_list(score.type):
        return batch, (0, "")
    lengths = (pc.fill_null(pc.list_value_length(column), 0) for column in (post, score))
    alike = pc.equal(*lengths)
    n = len(alike) - pc.sum(alike).as_py()
    if not n:
        return batch, (0, "")
    user = batch.column(shape.user).filter(pc.invert(alike))[0].as_py()
    return batch.filter(alike), (n, str(user))


def _fields(values: Any) -> tuple[Any, Any]:
    """Return posts and ratings out of structs, or the values themselves and None."""
    if not pt.is_struct(values.type):
        return values, None
    words = {_word(field.name): field.name for field in reversed(list(values.type))}
    rating = next((words[word] for word in SCORE if word in words), None)
    post = next((words[word] for word in POST if word in words), None)
    others = [field.name for field in values.type if field.name != rating]
    if post is None and len(others) == 1:  # Spark's itemCol may have any name
        post = others[0]
    if post is None:
        raise ValueError(f"its lists hold {values.type}, in which no post is found: name it item_id")
    return pc.struct_field(values, post), None if rating is None else pc.struct_field(values, rating)


def _places(parent: Any) -> Floats:
    """Return float64 (rows,): each row's place in its list, from 1; rows of a list are neighbours."""
    at = np.arange(len(parent))
    begins = np.append(True, parent[1:] != parent[:-1])[: len(parent)]
    return np.asarray(at - np.maximum.accumulate(np.where(begins, at, 0)) + 1, np.float64)


def _without_fill(rows: Rows) -> Rows:
    kept: Bools = ~(rows.score <= FILL)
    if kept.all():
        return rows
    mask = pa.array(kept)
    valid_from = None if rows.valid_from is None else rows.valid_from.filter(mask)
    return Rows(
        rows.user.filter(mask),
        rows.post.filter(mask),
        rows.order[kept],
        rows.score[kept],
        valid_from,
        rows.ragged,
        rows.ragged_user,
        rows.is_ranked,
    )
