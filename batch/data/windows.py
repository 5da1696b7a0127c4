"""Windows of posts: from when and until when each may be shown. Pure."""

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

    @property
    def has_any(self) -> bool:
        """Say whether some post has a window."""
        return bool((self.from_s > SINCE_EVER).any() or (self.to_s < FOR_EVER).any())

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

    def of_posts(self, rows: AnyInts) -> "Windows":
        """Return the windows of some posts, given by row."""
        return Windows(self.from_s[rows], self.to_s[rows])

    def frame(self) -> dict[str, pd.Series]:
        """Return the columns of the facts' posts; none where no post has a window."""
        return {FROM_S: pd.Series(self.from_s), TO_S: pd.Series(self.to_s)} if self.has_any else {}

    def columns(self) -> dict[str, pa.Array]:
        """Return the columns of a table of posts: timestamps without zone, UTC; NULL where a side is open."""
        sides = {VALID_FROM: (self.from_s, SINCE_EVER), VALID_TO: (self.to_s, FOR_EVER)}
        kind = pa.timestamp("us")
        return {
            name: pa.array(time_s, mask=time_s == ever).cast(pa.timestamp("s")).cast(kind)
            for name, (time_s, ever) in sides.items()
        }
