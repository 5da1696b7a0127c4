"""Rows of lists from a source to disk: ids numbered as they come, faults counted and left out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batch.arrays import Bools, Ints
from batch.data.mapping import TimeForm
from batch.data.tables.location import SourceError
from batch.data.validation.ids import Ids, Places
from batch.data.validation.times import parse_times
from batch.progress import Advance
from batch.publish.foreign.faults import Fault, Faults
from batch.publish.foreign.shapes import Rows, Shape, take_rows
from batch.publish.foreign.source import Source
from batch.publish.foreign.spill import Spill, as_table

NO_TIME_S = -(1 << 62)  # of lists without a begin of their own


@dataclass(frozen=True, slots=True)
class Read:
    """What was read.

    Attributes:
        n_rows: Rows, those with faults included; of lists that are taken apart, what is in them.
        users: The users, by the places that stand in the spill.
        posts: The posts, likewise.
        starts: int64, ascending. The distinct begins of lists; NO_TIME_S alone where they have none.
        is_ranked: Whether ranks order the lists.
    """

    n_rows: int
    users: Places
    posts: Places
    starts: Ints
    is_ranked: bool


def read_rows(
    source: Source, shape: Shape, users: Ids, posts: Ids, spill: Spill, faults: Faults, advance: Advance
) -> Read:
    """Read all rows and write those without a fault to the spill.

    Raises:
        SourceError: The source cannot be read, or has no row at all.
    """
    read_users, read_posts = Places(), Places()
    n_rows, starts, is_ranked = 0, np.empty(0, np.int64), False
    for batch in source.batches(shape.columns):
        advance(batch.num_rows)
        try:
            rows = take_rows(batch, shape)
        except ValueError as exc:
            raise SourceError(f"{source.where}, column {shape.post!r}: {exc}") from exc
        faults.add("ragged_list", rows.ragged, f"that of user {rows.ragged_user}")
        user, post = users.parse(rows.user, shape.user), posts.parse(rows.post, shape.post)
        from_s, is_time = _begins(rows)
        wrong: dict[Fault, Bools] = {
            "missing_user": user.missing,
            "missing_item": post.missing,
            "unreadable_id": user.unreadable | post.unreadable,
            "missing_score": ~np.isfinite(rows.order) | ~np.isfinite(rows.score),
            "bad_time": ~is_time,
        }
        good = _count(wrong, rows, faults)
        columns: dict[str, npt.NDArray[Any]] = {
            "user": read_users.of(user.value[good]),
            "post": read_posts.of(post.value[good]),
            "from_s": from_s[good],
            "order": rows.order[good],
            "score": rows.score[good],
        }
        spill.add(as_table(columns, int(good.sum())))
        starts = np.union1d(starts, from_s[good] if shape.valid_from else [NO_TIME_S])
        n_rows, is_ranked = n_rows + len(good), rows.is_ranked
    if source.bad.n:
        file, line = source.bad.first[0]
        faults.add("unreadable_row", source.bad.n, f"{line.text[:60]!r} in {file}, where {line.why}")
    if not n_rows + source.bad.n:
        raise SourceError(f"{source.where} holds no list: there is nothing to publish")
    return Read(n_rows + source.bad.n, read_users, read_posts, starts, is_ranked)


def _begins(rows: Rows) -> tuple[Ints, Bools]:
    """Return when each row's list begins, epoch seconds, and whether that is a time."""
    if rows.valid_from is None:
        return np.full(len(rows.order), NO_TIME_S), np.ones(len(rows.order), np.bool_)
    times = parse_times(rows.valid_from, TimeForm())
    return times.value, ~(times.missing | times.unreadable)


def _count(wrong: dict[Fault, Bools], rows: Rows, faults: Faults) -> Bools:
    """Count each row by the first fault that it has; return bool (rows,): those that have none."""
    good = np.ones(len(rows.order), np.bool_)
    for fault, has in wrong.items():
        found = np.flatnonzero(has & good)
        good[found] = False
        if len(found):
            faults.add(fault, len(found), _show(rows, int(found[0])))
    return good


def _show(rows: Rows, at: int) -> str:
    user, post = (_text(column, at) for column in (rows.user, rows.post))
    return f"user {user}, item {post}, {'rank' if rows.is_ranked else 'score'} {_number(rows, at)}"


def _text(column: pa.Array, at: int) -> str:
    value = column[at].as_py()
    return "(none)" if value is None else str(value)[:60]


def _number(rows: Rows, at: int) -> str:
    value = rows.order[at] if rows.is_ranked else rows.score[at]
    return f"{value:g}"
