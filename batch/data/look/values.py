"""What a column's values look like: numbers, times, texts. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from batch.arrays import Floats
from batch.data.mapping import TimeForm, TimeUnit
from batch.data.validation.times import UNITS, guess_units, parse_times
from batch.data.validation.unlikely import YEAR_1990_S
from batch.data.validation.values import find_missing, numbers, plain

_FORMATS = (
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y"),
    *("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y %I:%M:%S %p", "%Y/%m/%d %H:%M:%S"),
    *("%Y%m%d", "%Y%m%d%H%M%S", "%d %b %Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d-%m-%Y"),
)
_CLOCK = r"^\s*\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*$"
_MOST = 0.95  # share of a column's values that tell what it is
_FEW = 200  # values that tell a form of times


@dataclass(frozen=True, slots=True)
class Values:
    """What a column's values look like.

    Attributes:
        is_number: Nearly all are numbers.
        is_time: Nearly all are times, or numbers that can be.
        is_clock: All are times of day.
        n_distinct: How many differ.
        length: Mean length of texts, letters; 0 where none are.
        most: The largest number; NaN where none are.
    """

    is_number: bool
    is_time: bool
    is_clock: bool
    n_distinct: int
    length: float
    most: float


def describe(column: pa.ChunkedArray) -> Values:
    """Return what a column's values look like; lists are texts of no length."""
    whole = column.combine_chunks()
    whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
    if pt.is_nested(whole.type):
        return Values(
            is_number=False, is_time=False, is_clock=False, n_distinct=len(whole), length=0.0, most=np.nan
        )
    values = plain(whole)
    there = values.filter(pa.array(~find_missing(values)))
    floats = numbers(there) if len(there) else np.empty(0)
    is_number = len(floats) > 0 and float(np.mean(~np.isnan(floats))) >= _MOST
    length = pc.mean(pc.utf8_length(there)).as_py() if pt.is_string(there.type) and len(there) else None
    return Values(
        is_number=is_number,
        is_time=len(there) > 0 and find_form(there.slice(0, _FEW)) is not None,
        is_clock=len(there) > 0 and _are_clocks(there),
        n_distinct=pc.count_distinct(there).as_py(),
        length=0.0 if is_number or length is None else float(length),
        most=float(np.nanmax(floats)) if is_number else np.nan,
    )


def _are_clocks(column: pa.Array) -> bool:
    if pt.is_time(column.type):
        return True
    is_text = pt.is_string(column.type)
    return is_text and bool(pc.all(pc.match_substring_regex(column, _CLOCK)).as_py())


def _fits(column: pa.Array, pattern: str) -> bool:
    """Tell whether the first value has a format's letters between its numbers: most formats have others."""
    if pt.is_floating(column.type) or not len(column):
        return False
    first, probe = f"{column[0].as_py()}", datetime(2021, 12, 29, tzinfo=UTC).strftime(pattern)
    return [*filter(None, re.split(r"\w+", first.strip()))] == [*filter(None, re.split(r"\w+", probe))]


def find_form(column: pa.Array) -> TimeForm | None:
    """Return the form in which nearly all of a column's values are times since 1990, if there is one."""
    patterns = [pattern for pattern in _FORMATS if _fits(column, pattern)]
    for form in (TimeForm(), *(TimeForm(format=pattern) for pattern in patterns)):
        times = parse_times(column, form)
        likely = ~times.unreadable & ~times.missing & (times.value >= YEAR_1990_S)
        if len(likely) and float(np.mean(likely)) >= _MOST:
            unit = _unit(times.number)
            return TimeForm(unit=unit) if unit and not form.format else form
    return None


def _unit(number: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> TimeUnit | None:
    largest = int(number.max(initial=-1))
    return UNITS[int(guess_units(np.array([largest]))[0])] if largest >= 0 else None


def threshold(column: pa.ChunkedArray) -> float:
    """Return from which number on a rating is a like: four fifths of the largest, half of percents.

    >>> threshold(pa.chunked_array([["3", "5", "1"]])), threshold(pa.chunked_array([[20, 100]]))
    (4, 50)
    """
    floats: Floats = numbers(column.combine_chunks())
    most = float(np.nanmax(floats)) if len(floats) and not np.isnan(floats).all() else 0.0
    share = 0.5 if most > 10 else 0.8  # no scale of stars has more
    return round(most * share, 2) if most * share % 1 else int(most * share)
