"""Rows that were not accepted: counted by reason, and written down so that someone can mend them."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, get_args

import numpy as np
import orjson
import pyarrow as pa

from batch.arrays import Bools, Ints8
from batch.data.columns import USER_ID
from batch.settings import Settings

Reason = Literal[
    "unreadable_row",  # a line of a file with more or fewer fields than columns, or that is no JSON object
    "missing_time",  # no time
    "unreadable_time",  # text of another form than times have, or a time outside 1970..9999; of posts, too
    "bad_window",  # a post's valid_to is not later than its valid_from
    "missing_user",  # no user id, in the feed or in the profiles
    "missing_post",  # no post id, in the feed, the posts or the embeddings
    "unreadable_id",  # longer than 256 bytes, with control characters, or no number beside a table of numbers
    "unknown_action",  # an action that is missing, or neither view nor like and no mapping ignores it
    "bad_target",  # a view's target is neither 0 nor 1, or a like's is none of 0, 1 and missing
    "future_time",  # later than now
    "unknown_post",  # an event or embedding of a post that is not among the posts
    "duplicate_event",  # same time, user, post and action as an accepted row
    "duplicate_user",  # a second profile of a user: the first is kept
    "duplicate_post",  # a second row of a post: the first is kept
    "duplicate_embedding",  # a second embedding of a post: the first is kept
]
REASONS: tuple[Reason, ...] = get_args(Reason)
ACCEPTED = len(REASONS)  # the code that follows the reasons' own
_WORD = re.compile(r"[^\s,;|\"']+")  # of a line, whatever parts its fields
MOST_ROWS = 100_000  # written down; what follows is only counted


def first_reason(wrong: dict[Reason, Bools]) -> Ints8:
    """Return int8 (rows,): place in REASONS of the first reason that holds of each row, or ACCEPTED."""
    if not any(rows.any() for rows in wrong.values()):
        return np.full(len(next(iter(wrong.values()))), ACCEPTED, np.int8)
    places = [REASONS.index(reason) for reason in wrong]
    return np.select(list(wrong.values()), places, ACCEPTED).astype(np.int8)


class Limits(NamedTuple):
    """Largest shares of event rows, 0..1, that may be left out; named as the settings that say them.

    Attributes:
        max_rejected_share: Of rows that cannot be read, or are read wrongly: local times without their zone.
        max_duplicate_share: Of rows that say again what an accepted one has said.
        max_unknown_post_share: Of rows of posts that the table of posts lacks.
        max_future_share: Of rows later than now.
    """

    max_rejected_share: float
    max_duplicate_share: float
    max_unknown_post_share: float
    max_future_share: float

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return what settings allow."""
        return cls(*(getattr(settings, name) for name in cls._fields))


UNREADABLE = "max_rejected_share"
LIMIT_OF: dict[Reason, str] = {
    "duplicate_event": "max_duplicate_share",
    "unknown_post": "max_unknown_post_share",
    "future_time": "max_future_share",
}


class TooManyRejected(ValueError):
    """More event rows were rejected than allowed; nothing was changed.

    The message says how many, why, most frequent reasons first, and where they are written down.
    """

    exit_code = 3

    def __init__(
        self, n_read: int, setting: str, limit: float, reasons: dict[Reason, int], path: Path, hint: str = ""
    ) -> None:
        """Write the sentence.

        Args:
            n_read: Event rows.
            setting: Name of the limit.
            limit: Largest share of them that may be rejected for these reasons.
            reasons: Reason to rows, most frequent first.
            path: File of the rejected rows.
            hint: What is likely wrong; may be empty.
        """
        share = sum(reasons.values()) / n_read
        top = ", ".join(f"{n} {reason}" for reason, n in list(reasons.items())[:3])
        why = f"{top} ({hint})" if hint else top
        super().__init__(
            f"{share:.2%} of {n_read} event rows were rejected, more than the {limit:.2%} allowed: "
            f"{why}; see {path}, then mend the source or raise ALMANAC_{setting.upper()}"
        )


def refuse_too_many(
    n_read: int,
    found: dict[Reason, int],
    limits: Limits,
    path: Path,
    hints: dict[Reason, str],
) -> None:
    """Refuse events of which a larger share than allowed was rejected.

    Args:
        n_read: Event rows.
        found: Reason to rejected ones, most frequent first.
        limits: What is allowed.
        path: File of the rejected rows.
        hints: Reason to what is likely wrong. Later ones than now that have one are unreadable.

    Raises:
        TooManyRejected: A limit is passed.
    """
    limit_of = {r: LIMIT_OF.get(r, UNREADABLE) for r in found}
    if "future_time" in hints:
        limit_of["future_time"] = UNREADABLE
    for setting, limit in limits._asdict().items():
        own = {reason: n for reason, n in found.items() if limit_of[reason] == setting}
        if sum(own.values()) > limit * n_read:
            raise TooManyRejected(n_read, setting, limit, own, path, hints.get(next(iter(own)), ""))


class Rejects:
    """The file of rejected rows, JSON lines: table, reason, row (by our column names).

    The file is made anew, and only when a row is rejected. After `most_rows` rows the rest is counted in
    a last line `{"more": n}`.
    """

    def __init__(self, path: Path, most_rows: int = MOST_ROWS) -> None:
        """Remove what an earlier run left."""
        self.path = path
        self.counts: Counter[tuple[str, Reason]] = Counter()
        self.room = most_rows
        self.first: dict[tuple[str, Reason], dict[str, Any]] = {}  # row of a table by its reason
        self._more = 0
        self._file: IO[bytes] | None = None
        path.unlink(missing_ok=True)

    def __enter__(self) -> "Rejects":
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write the last line and close the file."""
        if self._file:
            if self._more:
                self._file.write(orjson.dumps({"more": self._more}) + b"\n")
            self._file.close()

    def add(self, table: str, batch: pa.RecordBatch, codes: Ints8) -> None:
        """Take the rows of a batch whose code is not ACCEPTED.

        Args:
            table: Our name of the table.
            batch: The rows, columns by our names.
            codes: int8 (rows,). Place of each row's reason in REASONS, or ACCEPTED.
        """
        bad = np.flatnonzero(codes != ACCEPTED)
        if len(bad) == 0:
            return
        for code, n in zip(*np.unique(codes[bad], return_counts=True), strict=True):
            self.counts[table, REASONS[code]] += int(n)
        written = _readable(batch.take(pa.array(bad[: self.room])))
        self._write(table, [REASONS[code] for code in codes[bad]], written, len(bad))

    def add_rows(self, table: str, reason: Reason, n: int, rows: Iterable[dict[str, Any]]) -> None:
        """Take `n` rows of one reason, of which `rows` are at least as many as there is room for."""
        self.counts[table, reason] += n
        self._write(table, [reason] * n, list(rows)[: self.room], n)

    def rows_of(self, table: str) -> dict[Reason, int]:
        """Return reason to rows in one table, most frequent first."""
        own = {reason: n for (where, reason), n in self.counts.items() if where == table and n}
        return dict(sorted(own.items(), key=lambda item: (-item[1], item[0])))

    def by_reason(self) -> dict[str, int]:
        """Return reason to rows over all tables, in the order of REASONS."""
        totals: Counter[str] = Counter()
        for (_, reason), n in self.counts.items():
            totals[reason] += n
        return {reason: totals[reason] for reason in REASONS if totals[reason]}

    def _write(self, table: str, reasons: list[Reason], rows: list[dict[str, Any]], n: int) -> None:
        if n and self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb")
        for reason, row in zip(reasons, rows, strict=False):
            assert self._file is not None
            self.first.setdefault((table, reason), row)
            line = {"table": table, "reason": reason, "row": row}
            self._file.write(orjson.dumps(line, default=str) + b"\n")
        self.room -= len(rows)
        self._more += n - len(rows)


def _readable(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows with times as text: Arrow has years that Python's `datetime` has not."""
    columns = [
        column.cast(pa.string()) if pa.types.is_temporal(column.type) else column for column in batch.columns
    ]
    rows: list[dict[str, Any]] = pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
    return rows


def drop_rejects(path: Path, is_gone: Callable[[str], bool]) -> int:
    """Take rows of users out of a file of rejected ones; return how many they were.

    Args:
        path: The file; it need not be there.
        is_gone: Tells whether an id, in whatever spelling, is one of such a user. It is asked of a row's
            `user_id`, and of every word of a line that is no row.
    """
    if not path.is_file():
        return 0
    part, n_gone = path.with_suffix(".part"), 0
    with path.open("rb") as old, part.open("wb") as new:
        for line in old:
            if names_one(orjson.loads(line), is_gone):
                n_gone += 1
            else:
                new.write(line)
    part.replace(path)
    return n_gone


def names_one(rejected: dict[str, Any], is_gone: Callable[[str], bool]) -> bool:
    """Say whether a line of the file names such a user, by `user_id` or, of what is no row, by any word."""
    row = rejected.get("row", {})
    user_id = row.get(USER_ID)
    if isinstance(user_id, float) and user_id.is_integer():
        user_id = int(user_id)
    words = {"" if user_id is None else str(user_id), *_WORD.findall(str(row.get("line", "")))}
    return any(is_gone(word) for word in words - {""})
