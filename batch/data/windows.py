"""Windows of posts: from when and until when each may be shown. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from batch.arrays import AnyInts, Bools, Ints
from batch.data.columns import VALID_FROM, VALID_TO

FROM_S, TO_S = "valid_from_s", "valid_to_s"  # columns of the facts' posts, there where some post has a window
SINCE_EVER, FOR_EVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max  # stand for a side that is open


@dataclass(frozen=True, slots=True)
class Windows:
    """Each post's window: it may be shown at a time `t` where `from_s <= t < to_s`.

    Attributes:
        from_s: int64 (posts,). Epoch seconds, or SINCE_EVER.
        to_s: int64 (posts,). Epoch seconds, or FOR_EVER.
    """

    from_s: Ints
    to_s: Ints

    @classmethod
    def of(cls, posts: pd.DataFrame) -> "Windows | None":
        """Return the windows of the facts' posts; None where none has one."""
        if FROM_S not in posts:
            return None
        return cls(posts[FROM_S].to_numpy(np.int64), posts[TO_S].to_numpy(np.int64))

    @classmethod
    def of_table(cls, posts: pa.Table) -> "Windows | None":
        """Return the same of a table of ours with such columns."""
        if FROM_S not in posts.column_names:
            return None
        return cls(posts[FROM_S].to_numpy(), posts[TO_S].to_numpy())

    @classmethod
    def of_sides(cls, sides: Sequence[tuple[int | None, int | None]]) -> "Windows":
        """Return the windows whose sides are given; None is open."""
        begins = [SINCE_EVER if from_s is None else from_s for from_s, _ in sides]
        ends = [FOR_EVER if to_s is None else to_s for _, to_s in sides]
        return cls(np.array(begins, np.int64), np.array(ends, np.int64))

    @classmethod
    def none(cls, n_posts: int) -> "Windows":
        """Return the windows of posts that have none."""
        return cls(np.full(n_posts, SINCE_EVER), np.full(n_posts, FOR_EVER))

    @property
    def given(self) -> Bools:
        """Return bool (posts,): which have a window."""
        return (self.from_s > SINCE_EVER) | (self.to_s < FOR_EVER)

    def at(self, times_s: AnyInts) -> Bools:
        """Return bool (times, posts): which posts may be shown when.

        >>> Windows(np.array([0, 5]), np.array([5, FOR_EVER])).at(np.array([4, 5])).tolist()
        [[True, False], [False, True]]
        """
        times_s = times_s[:, None]
        return (self.from_s <= times_s) & (times_s < self.to_s)

    def touch(self, start_s: int, end_s: int) -> Bools:
        """Return bool (posts,): which may be shown at some time of `[start_s, end_s)`."""
        return (self.from_s < end_s) & (self.to_s > start_s)

    def sides(self, row: int) -> tuple[int | None, int | None]:
        """Return both sides of one post's window; None is open."""
        from_s, to_s = int(self.from_s[row]), int(self.to_s[row])
        return None if from_s == SINCE_EVER else from_s, None if to_s == FOR_EVER else to_s

    def of_posts(self, rows: AnyInts | Bools) -> "Windows":
        """Return the windows of some posts, given by row, or as bool (posts,)."""
        return Windows(self.from_s[rows], self.to_s[rows])

    def put(self, rows: AnyInts, windows: "Windows") -> "Windows":
        """Return these with others in the place of some, given by row."""
        from_s, to_s = self.from_s.copy(), self.to_s.copy()
        from_s[rows], to_s[rows] = windows.from_s, windows.to_s
        return Windows(from_s, to_s)

    def frame(self) -> dict[str, pd.Series]:
        """Return the columns of the facts' posts; none where no post has a window."""
        return {FROM_S: pd.Series(self.from_s), TO_S: pd.Series(self.to_s)} if self.given.any() else {}

    def columns(self) -> dict[str, pa.Array]:
        """Return the columns of a table of posts: timestamps without zone, UTC; NULL where a side is open."""
        sides = {VALID_FROM: (self.from_s, SINCE_EVER), VALID_TO: (self.to_s, FOR_EVER)}
        kind = pa.timestamp("us")
        return {
            name: pa.array(time_s, mask=time_s == ever).cast(pa.timestamp("s")).cast(kind)
            for name, (time_s, ever) in sides.items()
        }
