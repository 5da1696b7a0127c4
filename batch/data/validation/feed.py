"""The feed's rows: parsed, checked and packed, a batch at a time."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batch.arrays import Bools, Ints, Ints8, Ints32
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
    VALID_FROM,
    VALID_TO,
    VIEW,
)
from batch.data.event_form import TargetForm
from batch.data.facts import Shown
from batch.data.mapping import Mapping
from batch.data.validation.cells import take_apart
from batch.data.validation.event_kinds import EventKinds
from batch.data.validation.ids import Ids, Places
from batch.data.validation.order import Chunk
from batch.data.validation.rejects import ACCEPTED, REASONS, Reason, Rejects, first_reason
from batch.data.validation.times import Times, join_clock, parse_times
from batch.data.validation.unlikely import MOST_SHOWN, TimesRead
from batch.data.validation.values import as_text, find_missing, normal_names, targets

MOST_NAMES, REST = 100, "(others)"  # of events that are not ours, counted one by one; and of all further ones
SHOWN_NAMES = 5  # of them in a message
OF_WINDOWS = ("unreadable_time", "bad_window")  # reasons for which posts are left out
_UNKNOWN = -1  # beside the codes of actions
_UNKNOWN_POST = REASONS.index("unknown_post")


class NoEvents(ValueError):
    """No row of the feed is an event of ours; nothing was changed. The message names what there is."""

    exit_code = 3


class Feed:
    """The accepted events so far; `n_read` counts rows of our names, `others` those of any other.

    Where users choose, events of posts that the table of posts lacks are kept, too, though counted as
    rejected: `retired` knows these posts, whose places in the chunks follow those of `posts`.
    """

    def __init__(
        self,
        mapping: Mapping,
        columns: Sequence[str],
        ids: tuple[Ids, Ids],
        posts: Places,
        now_s: int,
        rejects: Rejects,
    ) -> None:
        """Begin with no event.

        Args:
            mapping: Names of events, form of times.
            columns: Our names of the columns that there are.
            ids: Those of users and those of posts.
            posts: Knows the posts; or learns them from accepted events, where there is no table of posts.
            now_s: Epoch seconds; a later event is rejected.
            rejects: Takes the rows that are not accepted.
        """
        self.users = Places()
        self.posts = posts
        self.retired = Places()
        self._ids = ids
        self.chunks: list[Chunk] = []
        self.kinds = EventKinds(list(mapping.events.names) if ACTION in columns else [])
        self.n_read = 0
        self.others: Counter[str] = Counter()
        self.times = TimesRead(mapping.time, now_s)
        self.has_target = TARGET in columns or bool(mapping.events.mark)
        self._has_kinds = ACTION in columns and bool(mapping.events.names)
        self.shown: Shown = mapping.shown or self._guess_shown()
        self._mapping = mapping
        self._now_s = now_s
        self._rejects = rejects
        form = mapping.events
        self._names = pa.array(form.names, pa.string())
        self._actions = np.array([*form.names.values(), _UNKNOWN, VIEW], np.int8)
        weights = [*map(form.weight, form.names), 0, 0]
        self._weights = np.array(weights, np.float32) if form.weights else None

    def add(self, batch: pa.RecordBatch) -> None:
        """Check the rows of a batch, columns by our names, and keep the good ones."""
        for rows in take_apart(batch, self._mapping.events):
            self._add(rows)

    def _add(self, batch: pa.RecordBatch) -> None:
        name = self._find_names(batch)
        action = self._actions[name]
        other = self._count_others(batch, action)
        if self._mapping.events.only and other.any():
            batch, name, action = batch.filter(pa.array(~other)), name[~other], action[~other]
        self.n_read += batch.num_rows
        time = self._times(batch)
        user, post = (
            ids.parse(batch.column(key)) for ids, key in zip(self._ids, (USER_ID, POST_ID), strict=True)
        )
        target, bad_target = _targets(batch, action, self._mapping.events.target)
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
        if self.shown == "choices":
            good |= code == _UNKNOWN_POST
        what = (action[good].astype(np.uint8) << 1) | target[good].astype(np.uint8)
        users, posts = self.users.of(user.value[good]), self._place(post.value[good])
        if self.kinds.names:
            self.kinds.add(name[good], users, np.where(code[good] == ACCEPTED, posts, -1))
        if len(what):
            weight = None if self._weights is None else self._weights[name[good]]
            self.chunks.append(Chunk(_narrow(time.value[good]), users, posts, what, weight))

    def hints(self) -> dict[Reason, str]:
        """Return what is likely wrong with the rejected rows, by reason, where anything is plain."""
        found = {reason: self._hint(reason) for reason in self._rejects.rows_of(FEED)}
        return {reason: hint for reason, hint in found.items() if hint}

    @property
    def ignored(self) -> dict[str, int]:
        """Return the events that the mapping leaves out, name to rows."""
        return dict(self.others) if self._mapping.events.only else {}

    def _guess_shown(self) -> Shown:
        """Return what a view says where nobody says it: without kinds and targets no row can be a no."""
        return "impressions" if self.has_target or self._has_kinds else "choices"

    def refuse_foreign(self) -> None:
        """Refuse a feed in which no row is an event of ours.

        Raises:
            NoEvents: There are rows, and the mapping ignores all of them.
        """
        if self.others and not self.n_read:
            column = self._mapping.column(FEED, ACTION)
            raise NoEvents(
                f"no row of {self._mapping.table(FEED)} is an event that [events] names: column {column!r} "
                f"has {self._show_others()}; name them as view or like under [events] in a mapping file"
            )

    def _show_others(self) -> str:
        return ", ".join(
            f"{name[:MOST_SHOWN]!r} in {n} rows" for name, n in self.others.most_common(SHOWN_NAMES)
        )

    def _hint(self, reason: Reason) -> str:
        row = self._rejects.first.get((FEED, reason), {})
        if reason == "unknown_action" and self.others:
            return f"{self._show_others()}: name them as view or like under [events] in a mapping file"
        if reason == "bad_target" and row:
            column = self._mapping.column(FEED, TARGET)
            return (
                f"{column} {row[TARGET]!r} of a {row.get(ACTION, 'view')} is neither a yes nor a no: "
                f'set [events] view = ["view"], like = {{ column = "{column}", at_least = 1 }} in a mapping '
                "file, by which a missing one is a no"
            )
        if reason == "unknown_post" and row:
            lost = {why: n for why, n in self._rejects.rows_of(POSTS).items() if why in OF_WINDOWS}
            if lost:
                told = ", ".join(f"{n} {why}" for why, n in lost.items())
                return (
                    f"posts were left out for their windows, {told}: mend {VALID_FROM} and {VALID_TO} of "
                    f"{self._mapping.table(POSTS)}, or set [time] format in a mapping file"
                )
            split = ', or split = " " under [events]' if " " in f"{row[POST_ID]}".strip() else ""
            return (
                f"{self._mapping.table(POSTS)} has no post {row[POST_ID]}: set post_id under "
                f"[columns.{FEED}] or [columns.{POSTS}]{split} in a mapping file"
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

    def _place(self, posts: Ints) -> Ints32:
        """Return the places of posts' marks, those of retired ones after all others."""
        place = self.posts.of(posts)
        gone = place < 0
        if gone.any():
            place = np.where(gone, len(self.posts.marks), place)
            place[gone] += self.retired.of(posts[gone])
        return place.astype(np.int32)

    def _times(self, batch: pa.RecordBatch) -> Times:
        column = batch.column(TIMESTAMP)
        if CLOCK in batch.schema.names:
            column = join_clock(column, batch.column(CLOCK))
        times = parse_times(column, self._mapping.time)
        self.times.add(column, times)
        return times

    def _find_names(self, batch: pa.RecordBatch) -> Ints:
        """Return int64 (rows,): the place of each row's event in `_actions`; a view where nothing says it."""
        if not self._has_kinds:
            return np.full(batch.num_rows, len(self._names) + 1, np.int64)
        text = as_text(batch.column(ACTION))
        found = pc.index_in(text, value_set=self._names)
        if found.null_count:
            found = pc.index_in(normal_names(text), value_set=self._names)
        return np.asarray(pc.fill_null(found, len(self._names)), np.int64)

    def _count_others(self, batch: pa.RecordBatch, action: Ints8) -> Bools:
        """Count the events of other names; return bool (rows,): which rows' they are."""
        if not (action == _UNKNOWN).any():
            return np.zeros(len(action), np.bool_)
        text = as_text(batch.column(ACTION))
        other: Bools = (action == _UNKNOWN) & ~find_missing(text)
        for entry in pc.value_counts(text.filter(pa.array(other))).to_pylist():
            name = entry["values"]
            room = name in self.others or len(self.others) < MOST_NAMES
            self.others[name if room else REST] += entry["counts"]
        return other


def _targets(batch: pa.RecordBatch, action: Ints8, form: TargetForm) -> tuple[Ints8, Bools]:
    """Return the targets, 0 where missing and of likes, and which rows' are impossible."""
    if TARGET not in batch.schema.names:
        return np.zeros(batch.num_rows, np.int8), np.zeros(batch.num_rows, np.bool_)
    target, missing = targets(batch.column(TARGET), form)
    bad_view = (action == VIEW) & (target < 0)
    bad_like = (action == LIKE) & (target < 0) & ~missing
    said = np.where((target < 0) | (action == LIKE), 0, target)
    return said.astype(np.int8), bad_view | bad_like


def _narrow(time: Ints) -> npt.NDArray[np.uint32] | Ints:
    return time.astype(np.uint32) if time.max() < 2**32 else time
