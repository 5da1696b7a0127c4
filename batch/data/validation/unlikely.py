"""Times that cannot be meant: which unit was guessed for a feed's, and what is likely instead."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from batch.arrays import Ints
from batch.data.columns import FEED, TIMESTAMP
from batch.data.mapping import DAY_S, TimeForm
from batch.data.validation.rejects import Reason
from batch.data.validation.times import UNITS, UNITS_PER_S, Times, guess_units, parse_format
from batch.data.validation.values import plain

YEAR_1990_S = 631_152_000  # no feed is older
MOST_AHEAD_S = 14 * 3600  # of UTC lies the farthest zone
MOST_SHOWN = 60  # letters of a value in a message
_DATE_NUMBERS = ("%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%y%m%d")


class UnlikelyTimes(ValueError):
    """The newest time lies where no feed can; nothing was changed. The message names what is likely meant."""

    exit_code = 3


class TimesRead:
    """What was read of a column of times: enough to say which unit was guessed, and what may be wrong."""

    def __init__(self, form: TimeForm, now_s: int, table: str = FEED, column: str = TIMESTAMP) -> None:
        """Begin with none; a later time than `now_s` is not true. Table and column have our names."""
        self.guessed: Counter[str] = Counter()
        self._form = form
        self._now_s = now_s
        self._table, self._column = table, column
        self._newest_s = -1  # of those that may be true
        self._newest_number = -1  # among those
        self._largest_number = -1  # among all
        self._ahead_s = 0
        self._n_ahead, self._n_far_ahead = 0, 0
        self._unreadable = ""

    def add(self, column: pa.Array, times: Times) -> None:
        """Take what a column was parsed into."""
        readable = ~times.missing & ~times.unreadable
        numbers = times.number >= 0
        true = readable & (times.value <= self._now_s + DAY_S)
        self._newest_s = max(self._newest_s, _largest(times.value[true]))
        self._newest_number = max(self._newest_number, _largest(times.number[true]))
        self._largest_number = max(self._largest_number, _largest(times.number))
        local = readable & (times.value <= self._now_s + MOST_AHEAD_S)
        self._ahead_s = max(self._ahead_s, _largest(times.value[local]) - self._now_s)
        self._n_ahead += int(np.count_nonzero(local & (times.value > self._now_s)))
        self._n_far_ahead += int(np.count_nonzero(readable & ~local))
        if self._form.unit is None:
            found = np.bincount(guess_units(times.number[numbers & readable]), minlength=len(UNITS))
            self.guessed.update({unit: int(n) for unit, n in zip(UNITS, found, strict=True) if n})
        column = plain(column)
        if pt.is_string(column.type) and times.unreadable.any() and not self._unreadable:
            self._unreadable = column[int(times.unreadable.argmax())].as_py()[:MOST_SHOWN]

    def refuse_unlikely(self) -> None:
        """Refuse numbers of which the newest, in their unit, lies before 1990 or after tomorrow.

        A single number that lies there among others is a bad row, no reason to doubt the unit.

        Raises:
            UnlikelyTimes: They do.
        """
        number = self._newest_number if self._newest_s >= 0 else self._largest_number
        if number < 0 or self._newest_s >= YEAR_1990_S:
            return
        unit = self._form.unit or UNITS[int(guess_units(np.array([number]))[0])]
        what = "time" if self._column == TIMESTAMP else self._column
        raise UnlikelyTimes(
            f"the newest {what} of {self._table}, {number}, cannot be {unit} since 1970: "
            f"{self._likely(number)} in a mapping file"
        )

    def hint(self, reason: Reason) -> str:
        """Return what is likely wrong with times rejected for a reason; empty where nothing is plain."""
        if reason == "future_time" and self._n_ahead > self._n_far_ahead and not self._form.zone:
            hours = max(0.25, round(self._ahead_s / 900) / 4)  # zones differ by quarters of an hour
            return f"the newest lies {hours:g} h ahead: if times are local, set [time] zone in a mapping file"
        if reason == "unreadable_time" and self._unreadable:
            meant = self._form.format or "ISO 8601"
            return f"{self._unreadable!r} is no time in {meant}: set [time] format in a mapping file"
        return ""

    def _likely(self, number: int) -> str:
        latest_s = self._now_s + DAY_S
        for unit in UNITS:
            if YEAR_1990_S <= number // UNITS_PER_S[unit] <= latest_s:
                return f'it is likely {unit}, set [time] unit = "{unit}"'
        for pattern in _DATE_NUMBERS:
            parsed = parse_format(pa.array([str(number)]), TimeForm(format=pattern))
            if YEAR_1990_S <= parsed[0] <= latest_s:
                return f'it is likely a date, set [time] format = "{pattern}"'
        other = f"another {self._column} under [columns.{self._table}]"
        return f"it is none of {', '.join(UNITS)}; set [time] format, or {other},"


def _largest(values: Ints) -> int:
    return int(values.max(initial=-1))
