"""Time: buckets, the horizon, and the one place where a datetime becomes epoch seconds.

What may live here: pure functions over `int` epoch seconds (UTC) and `datetime`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

DAY_S = 86_400

Label = Literal["exact", "nearest", "leaky"]


def epoch(at: datetime) -> int:
    """Return a time as whole epoch seconds, rounded down; a naive time is UTC.

    >>> epoch(datetime(2021, 12, 20))
    1639958400
    """
    aware = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return int(aware.timestamp() // 1)


def moment(epoch_s: int) -> datetime:
    """Return epoch seconds as an aware UTC time.

    >>> moment(1639958400).isoformat()
    '2021-12-20T00:00:00+00:00'
    """
    return datetime.fromtimestamp(epoch_s, UTC)


def bucket_start(epoch_s: int, width_s: int, first_s: int = 0) -> int:
    """Return the start of the bucket `[start, start + width)` that holds a time; one begins at `first_s`.

    >>> [bucket_start(at_s, 3600) for at_s in (3599, 3600, -1)], bucket_start(3599, 3600, 7)
    ([0, 3600, -3600], 7)
    """
    return epoch_s - (epoch_s - first_s) % width_s


@dataclass(frozen=True, slots=True)
class Horizon:
    """The buckets that one generation holds: `n_buckets` of `width_s` seconds from `start_s`.

    Our own begin at a multiple of their width, somebody else's lists at any second.
    """

    start_s: int
    width_s: int
    n_buckets: int

    @classmethod
    def after(cls, as_of_s: int, width_s: int, n_buckets: int) -> "Horizon":
        """Begin at the bucket that holds `as_of_s`."""
        return cls(bucket_start(as_of_s, width_s), width_s, n_buckets)

    @property
    def end_s(self) -> int:
        """Return the first second after the last bucket."""
        return self.start_s + self.width_s * self.n_buckets

    @property
    def starts(self) -> tuple[int, ...]:
        """Return every bucket's start, ascending."""
        return tuple(range(self.start_s, self.end_s, self.width_s))

    def bucket_for(self, at_s: int) -> int:
        """Return the start of the bucket that answers a time; every time has exactly one.

        Inside the horizon: the time's own bucket. Outside: the same time of day on the nearest day
        inside. A horizon shorter than a day that lacks that time of day answers with whichever end is
        nearer on the clock; the later bucket wins a tie.

        >>> day = Horizon(start_s=82_800, width_s=3600, n_buckets=24)  # from 23:00
        >>> day.bucket_for(82_800 + 5), day.bucket_for(3 * DAY_S + 3600), day.bucket_for(60)
        (82800, 90000, 86400)
        """
        if self.start_s <= at_s < self.end_s:
            return bucket_start(at_s, self.width_s, self.start_s)
        if at_s < self.start_s:
            same_hour = self.start_s + (at_s - self.start_s) % DAY_S
        else:
            same_hour = self.end_s - 1 - (self.end_s - 1 - at_s) % DAY_S
        if self.start_s <= same_hour < self.end_s:
            return bucket_start(same_hour, self.width_s, self.start_s)
        last = self.end_s - self.width_s
        clock = at_s % DAY_S
        to_first = (self.start_s % DAY_S - clock) % DAY_S
        to_last = (clock - (self.end_s - 1) % DAY_S) % DAY_S
        return self.start_s if to_first < to_last else last

    def label_for(self, at_s: int, as_of_s: int) -> Label:
        """Say how a time was answered: `leaky` before as_of, `exact` inside, else `nearest`."""
        if at_s < as_of_s:
            return "leaky"
        return "exact" if self.start_s <= at_s < self.end_s else "nearest"
