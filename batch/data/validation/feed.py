"""The feed's rows: parsed, checked and packed, a batch at a time."""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batch.arrays import Bools, Ints, Ints8
from batch.data.columns import (
    ACTION,
    CLOCK,
    FEED,
    LIKE,
    POST_ID,
    POSTS,
    TARGET,
    TIMESTAMP,
    USER_ID,
    USERS,
    VIEW,
)
from batch.data.mapping import Mapping
from batch.data.validation.ids import Ids, Places
from batch.data.validation.order import Chunk
from batch.data.validation.rejects import ACCEPTED, Reason, Rejects, first_reason
from batch.data.validation.times import Times, join_clock, parse_times
from batch.data.validation.unlikely import MOST_SHOWN, TimesRead
from batch.data.validation.values import plain, targets

_UNKNOWN, _IGNORED = -1, -2  # beside the codes of actions


class Feed:
    """The accepted events so far. `n_read` counts rows that are events of ours, `ignored` the others."""

    def __init__(
        self, mapping: Mapping, ids: tuple[Ids, Ids], posts: Places, now_s: int, rejects: Rejects
    ) -> None:
        """Begin with no event.

        Args:
            mapping: Names of events, form of times.
            ids: Those of users and those of posts.
            posts: Knows the posts; or learns them from accepted events, where there is no table of posts.
            now_s: Epoch seconds; a later event is rejected.
            rejects: Takes the rows that are not accepted.
        """
        self.users = Places()
        self.posts = posts
        self._ids = ids
        self.chunks: list[Chunk] = []
        self.n_read = 0
        self.ignored: Counter[str] = Counter()
        self.times = TimesRead(mapping.time, now_s)
        self._mapping = mapping
        self._now_s = now_s
        self._rejects = rejects
        self._names = pa.array(mapping.events, pa.string())
        self._actions = np.array([*mapping.events.values(), _UNKNOWN], np.int8)

    def add(self, batch: pa.RecordBatch) -> None:
        """Check the rows of a batch, columns by our names, and keep the good ones."""
        action = self._action(plain(batch.column(ACTION)))
        ours = action != _IGNORED
        if not ours.all():
            self._count_ignored(batch.column(ACTION).filter(pa.array(~ours)))
            batch, action = batch.filter(pa.array(ours)), action[ours]
        self.n_read += batch.num_rows
        time = self._times(batch)
        user, post = (
            ids.parse(batch.column(key)) for ids, key in zip(self._ids, (USER_ID, POST_ID), strict=True)
        )
        target, bad_target = _targets(batch, action)
        wrong: dict[Reason, Bools] = {
            "missing_time": time.missing,
            "unreadable_time": time.unreadable,
            "missing_user": user.missing,
            "missing_post": post.missing,
            "unreadable_id": user.unreadable | post.unreadable,
            "unknown_action": action == _UNKNOWN,
            "bad_target": bad_target,
            "future_time": time.value > self._now_s,
        }
        if not self.posts.learns:  # where posts are learnt, a rejected row must teach none
            wrong["unknown_post"] = self.posts.of(post.value) < 0
        code = first_reason(wrong)
        self._rejects.add(FEED, batch, code)
        good = code == ACCEPTED
        what = (action[good].astype(np.uint8) << 1) | target[good].astype(np.uint8)
        users, posts = self.users.of(user.value[good]), self.posts.of(post.value[good])
        if len(what):
            self.chunks.append(Chunk(_narrow(time.value[good]), users, posts, what))

    def hints(self) -> dict[Reason, str]:
        """Return what is likely wrong with the rejected rows, by reason, where anything is plain."""
        found = {reason: self._hint(reason) for reason in self._rejects.rows_of(FEED)}
        return {reason: hint for reason, hint in found.items() if hint}

    def _hint(self, reason: Reason) -> str:
        row = self._rejects.first.get((FEED, reason), {})
        if reason == "unknown_post" and row:
            return (
                f"{self._mapping.table(POSTS)} has no post {row[POST_ID]}: set post_id under "
                f"[columns.{FEED}] or [columns.{POSTS}] in a mapping file"
            )
        if reason == "unreadable_id" and row:
            return self._id_hint(row)
        if reason == "unreadable_row" and row:
            remedy = f"set separator, quote or escape under [files.{FEED}] in a mapping file"
            return f"{row['line'][:MOST_SHOWN]!r}, {row['why']}: {remedy}"
        return self.times.hint(reason)

    def _id_hint(self, row: dict[str, Any]) -> str:
        for ids, key, table in zip(self._ids, (USER_ID, POST_ID), (USERS, POSTS), strict=True):
            if ids.kind == "numbers" and ids.parse(pa.array([row[key]])).unreadable[0]:
                return (
                    f"ids of {self._mapping.table(table)} are numbers, {row[key]!r} is none: set {key} under "
                    f"[columns.{FEED}] or [columns.{table}] in a mapping file"
                )
        return ""

    def _times(self, batch: pa.RecordBatch) -> Times:
        column = batch.column(TIMESTAMP)
        if CLOCK in batch.schema.names:
            column = join_clock(column, batch.column(CLOCK))
        times = parse_times(column, self._mapping.time)
        self.times.add(column, times)
        return times

    def _action(self, column: pa.Array) -> Ints8:
        text = column if pa.types.is_string(column.type) else column.cast(pa.string())
        found = pc.index_in(text, value_set=self._names)
        place = np.asarray(pc.fill_null(found, len(self._names)), np.int64)
        action = self._actions[place]
        if self._mapping.ignores_other_events and found.null_count:
            present = np.asarray(
                pc.fill_null(pc.not_equal(text, ""), fill_value=False).to_numpy(zero_copy_only=False)
            )
            action[(action == _UNKNOWN) & present] = _IGNORED
        return action

    def _count_ignored(self, names: pa.Array) -> None:
        for entry in pc.value_counts(plain(names)).to_pylist():
            self.ignored[str(entry["values"])] += entry["counts"]


def _targets(batch: pa.RecordBatch, action: Ints8) -> tuple[Ints8, Bools]:
    """Return the targets, 0 where missing, and which rows' are impossible."""
    if TARGET not in batch.schema.names:
        return np.zeros(batch.num_rows, np.int8), np.zeros(batch.num_rows, np.bool_)
    target, missing = targets(batch.column(TARGET))
    bad_view = (action == VIEW) & (target < 0)
    bad_like = (action == LIKE) & (target != 0) & ~missing
    return np.where(target < 0, 0, target).astype(np.int8), bad_view | bad_like


def _narrow(time: Ints) -> npt.NDArray[np.uint32] | Ints:
    return time.astype(np.uint32) if time.max() < 2**32 else time
